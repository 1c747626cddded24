# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The engine moves alive: for local maintenance, for a shutdown, and as a person asks for it."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, TypeVar

import pytest

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
