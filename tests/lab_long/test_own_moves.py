# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The hosts themselves move the engine alive: out of reach, and to a much better host."""

import json
import time
from typing import Any, Callable

import pytest

from lab.settings import GATEWAY_ADDRESS
from tests.lab.test_moves import COMMAND, LONGEST_MOVE_S
from tests.lab.verbs import LabVerbs, scaled

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
