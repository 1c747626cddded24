"""The engine moves alive: for local maintenance, for a shutdown, and as a person asks for it."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, TypeVar

import pytest

from lab.settings import GATEWAY_ADDRESS
from tests.lab.verbs import LabVerbs, scaled

Answer = TypeVar("Answer")
COMMAND = "hosted-engine"
# As the engine's users see it, and as whoever typed the command does.
LONGEST_GAP_S = 1.2
LONGEST_MOVE_S = 12.0
WATCHED_S = 20.0


@pytest.fixture
def back(lab: LabVerbs) -> Any:
    """Nobody stays in local maintenance."""
    yield
    for host, found in lab.status()["hosts"].items():
        if found["power"] == "on":
            lab.on(host, COMMAND, "--set-maintenance", "--mode=none")
    lab.wait_settled()


def watched(lab: LabVerbs, act: Callable[..., Answer], *given: Any) -> tuple[float, Answer]:
    """The longest gap in the page's answers while `act` runs, and what it returns."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        page = pool.submit(lab, "watch-page", "--seconds", str(WATCHED_S))
        answer = act(*given)
        return float(json.loads(page.result())["longest_gap_s"]), answer


def maintain(lab: LabVerbs, host: str) -> float:
    """Local maintenance until it has begun; returns the seconds that took."""
    begin_s = time.monotonic()
    lab.on(host, COMMAND, "--set-maintenance", "--mode=local", "--wait", "--timeout=60")
    assert lab.status()["hosts"][host]["state"] == "LocalMaintenance"
    return time.monotonic() - begin_s


def test_local_maintenance_round_the_hosts_costs_no_boot(lab: LabVerbs, back: Any) -> None:
    _, _, boot = lab.engine_identity()
    for _ in lab.status()["hosts"]:
        host = lab.engine_host()
        gap_s, took_s = watched(lab, maintain, lab, host)
        moved_to, _, boot_after = lab.engine_identity()
        print(f"{host} => {moved_to}: {took_s:.1f} s, longest gap {gap_s:.2f} s")
        assert moved_to != host
        assert boot_after == boot
        assert took_s <= scaled(LONGEST_MOVE_S)
        assert gap_s <= scaled(LONGEST_GAP_S)
        lab.on(host, COMMAND, "--set-maintenance", "--mode=none")
        lab.wait_settled()


def test_a_person_moves_it_to_the_host_that_he_names(lab: LabVerbs) -> None:
    host, _, boot = lab.engine_identity()
    target = [name for name in lab.status()["hosts"] if name != host][-1]
    told = lab.on(host, COMMAND, "--vm-migrate", f"--to={target}", "--wait", "--timeout=60")
    moved_to, _, boot_after = lab.engine_identity()
    assert (moved_to, boot_after) == (target, boot)
    assert target in told
    lab.wait_settled()


def test_a_host_that_is_shut_down_hands_its_engine_over_alive(lab: LabVerbs) -> None:
    host, _, boot = lab.engine_identity()
    gap_s, _ = watched(lab, lab, "shutdown", host)
    moved_to, _, boot_after = lab.engine_identity()
    print(f"shutdown of {host} => {moved_to}: longest gap {gap_s:.2f} s")
    assert moved_to != host
    assert boot_after == boot
    assert gap_s <= scaled(LONGEST_GAP_S)
    lab("power-on", host)
    lab.wait_settled()


# --- by the hosts themselves --------------------------------------------------------------------

TICK_S, PROBES, ISOLATED_S, BETTER_S = 2, 5, 20, 60
BY_ITSELF = {
    "timing": f"{{tick_s: {TICK_S}, isolated_s: {ISOLATED_S}}}",
    "network": f"{{probes: {PROBES}, probe_timeout_s: 1}}",
    "migration.better_points": "800",
    "migration.better_s": str(BETTER_S),
    "migration.better_per_day": "3",
    "migration.out_of_reach_s": "30",
}


@pytest.fixture
def by_itself(lab: LabVerbs) -> Any:
    """Settings that make it quick; afterwards they are as before."""
    shown = lab.on("h1", COMMAND, "--shared-config-history", "--json")
    before = json.loads(shown)["versions"][0]["version"]
    *earlier, latest = BY_ITSELF.items()
    for key, value in earlier:
        lab.on("h1", COMMAND, "--set-shared-config", key, value)
    lab("on", "h1", COMMAND, "--set-shared-config", *latest, "--wait", timeout_s=180)
    yield
    lab.on("h1", COMMAND, "--shared-config-rollback", str(before))
    lab.wait_settled()


@pytest.fixture
def lost_gateway(lab: LabVerbs) -> Any:
    """A host loses its gateway, and only that: what it sends there goes to nobody's address. The
    hosts still reach each other."""
    lost: list[tuple[str, str, str]] = []

    def lose(host: str) -> None:
        gateway = GATEWAY_ADDRESS
        words = lab.on(host, "ip", "-o", "route", "get", gateway).split()
        device = words[words.index("dev") + 1]
        nobody = ("lladdr", "02:00:00:00:00:01", "nud", "permanent")
        lab.on(host, "ip", "neigh", "replace", gateway, *nobody, "dev", device)
        lost.append((host, gateway, device))

    yield lose
    for host, gateway, device in lost:
        lab.on(host, "ip", "neigh", "del", gateway, "dev", device)


def test_a_host_that_is_much_worse_for_long_gives_its_engine_away_alive(
    lab: LabVerbs, by_itself: Any, lost_gateway: Callable[[str], None]
) -> None:
    host, _, boot = lab.engine_identity()
    lost_gateway(host)
    lab.wait_healthy(TICK_S * PROBES + BETTER_S + 60, "--not-on", host)
    moved_to, _, boot_after = lab.engine_identity()
    assert moved_to != host
    assert boot_after == boot


def test_an_engine_out_of_reach_is_moved_alive_where_the_hosts_reach_each_other(
    lab: LabVerbs, by_itself: Any, lost_gateway: Callable[[str], None]
) -> None:
    """Its own network card is taken off the bridge, and its host has lost the gateway."""
    host, _, boot = lab.engine_identity()
    links = json.loads(lab.on(host, "ip", "-j", "link"))
    (tap,) = [link["ifname"] for link in links if link["ifname"].startswith("vnet")]
    began_s = time.monotonic()
    lost_gateway(host)
    lab.on(host, "ip", "link", "set", tap, "nomaster")
    lab.wait_healthy(TICK_S * PROBES + ISOLATED_S + 60, "--not-on", host)
    took_s = time.monotonic() - began_s
    moved_to, _, boot_after = lab.engine_identity()
    print(f"out of reach on {host} => {moved_to}: healthy again after {took_s:.1f} s")
    assert boot_after == boot
    # Detection, and what a move takes; a boot alone would take longer.
    assert took_s <= TICK_S * PROBES + ISOLATED_S + scaled(LONGEST_MOVE_S)
