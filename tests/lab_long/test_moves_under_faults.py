# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A move of the engine, and what may happen to either side in the middle of it."""

import time

import pytest

from tests.lab.real_story import DOMAIN
from tests.lab.test_migration_gap import moving_line
from tests.lab.test_moves import COMMAND, watched
from tests.lab.verbs import LabError, LabVerbs, machine_clock_s, scaled
from tests.lab_long.slow_move import BEGUN_S, Move

ENDED_S = 240.0
# What a takeover may take beside sanlock's own time: noticing, deciding, and the guest's boot.
TAKEOVER_S = 60.0


def wait_for_end(lab: LabVerbs, move: Move) -> tuple[str, str]:
    """Returns where the engine is at rest then, and its boot."""
    deadline_s = time.monotonic() + scaled(ENDED_S)
    while _is_under_way(lab, move):
        if time.monotonic() > deadline_s:
            raise LabError("the move has not ended")
        time.sleep(0.5)
    lab.wait_healthy(scaled(TAKEOVER_S))
    host, _, boot = lab.engine_identity()
    return host, str(boot)


def _is_under_way(lab: LabVerbs, move: Move) -> bool:
    """As its agent says, or, where that is not there, its libvirt."""
    source = lab.status()["hosts"][move.source]
    if source["power"] != "on":
        return False
    job = lab.attempt("on", move.source, "virsh", "domjobinfo", DOMAIN).stdout
    return source["state"] == "EngineMigratingAway" or "Memory remaining" in job


def no_trouble(lab: LabVerbs, *hosts: str) -> None:
    """No host counts a crash or a start that failed."""
    for host in hosts:
        assert lab.status()["hosts"][host]["score"] == 3400


def test_a_source_that_loses_its_power_is_taken_over(slow: LabVerbs, move: Move) -> None:
    began_s = machine_clock_s()
    slow("power-off", move.source)
    limit_s = slow.floor_s() + scaled(TAKEOVER_S)
    slow.wait_healthy(limit_s, "--not-on", move.source)
    print(f"healthy {machine_clock_s() - began_s:.1f} s after the cut; floor {slow.floor_s():g} s")
    assert machine_clock_s() - began_s >= slow.floor_s()


def test_a_target_that_loses_its_power_costs_nothing(slow: LabVerbs, move: Move) -> None:
    def cut() -> tuple[str, str]:
        slow("power-off", move.target)
        return wait_for_end(slow, move)

    gap_s, (host, boot) = watched(slow, cut)
    print(f"target cut: longest gap {gap_s:.2f} s, the engine is on {host}")
    assert (host, boot) == (move.source, move.boot)
    no_trouble(slow, move.source)


def test_a_target_whose_storage_hangs_does_not_get_it_or_loses_nothing(
    slow: LabVerbs, move: Move
) -> None:
    slow("storage", move.target, "hang")
    try:
        host, _ = wait_for_end(slow, move)
    finally:
        slow("storage", move.target, "heal")
    print(f"target's storage hung: the engine is on {host}")


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_libvirtd_that_is_restarted_costs_a_gap_at_the_most(
    slow: LabVerbs, move: Move, side: str
) -> None:
    slow.on(getattr(move, side), "systemctl", "restart", "libvirtd.service")
    host, boot = wait_for_end(slow, move)
    print(f"libvirtd of the {side} restarted: the engine is on {host}")
    assert boot == move.boot
    no_trouble(slow, move.source)


@pytest.mark.parametrize("unit", ["ha-agent", "ha-broker"])
def test_our_own_services_may_be_restarted_meanwhile(slow: LabVerbs, move: Move, unit: str) -> None:
    slow.on(move.source, "systemctl", "kill", "--signal=SIGKILL", f"{unit}.service")
    third = next(name for name in slow.status()["hosts"] if name not in (move.source, move.target))

    def is_told() -> bool:
        """Also by an agent that did not order it: the others must leave the lease alone."""
        found = slow.status()["hosts"][move.source]["state"] == "EngineMigratingAway"
        return found and moving_line(slow, third, move.source).startswith("to ")

    slow.wait_until("the word that the engine still moves", is_told, scaled(BEGUN_S))
    host, boot = wait_for_end(slow, move)
    print(f"{unit} of the source killed: the engine is on {host}")
    assert boot == move.boot


def test_somebody_elses_move_in_global_maintenance_is_followed(lab: LabVerbs) -> None:
    source, _, boot = lab.engine_identity()
    target = next(name for name in lab.status()["hosts"] if name != source)
    lab.on(source, COMMAND, "--set-maintenance", "--mode=global", "--wait")
    try:
        uri = f"qemu+tcp://{target}/system"
        lab.on(source, "virsh", "migrate", "--live", "--p2p", DOMAIN, uri)
        lab.wait_healthy(30, "--on", target)
        assert lab.engine_identity()[2] == boot
        states = {one["state"] for one in lab.status()["hosts"].values()}
        assert states == {"GlobalMaintenance"}
    finally:
        lab.on(source, COMMAND, "--set-maintenance", "--mode=none")
    lab.wait_settled()
    no_trouble(lab, source, target)
