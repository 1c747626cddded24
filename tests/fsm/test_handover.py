# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The lease is free, and yet the engine goes on: nobody starts a second life of it meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from fsm import Action, State
from fsm.handover import SILENT_TICKS, resume_after_s
from fsm.observation import Lease, Peer, Vm
from metadata.liveness import Liveness
from metadata.records import Health
from tests.fsm.test_stories import CONFIG, TIMING, Host, peer

GRACE_S = TIMING.tick_s + 2 * TIMING.io_timeout_s
NOW_S = 1000.0


def source(**fields: Any) -> Peer:
    """h2, which says that the engine is leaving it for h3."""
    told = {"moving_limit_s": 40.0, "moving_to": "h3", "told_at_s": NOW_S, "engine_up": True}
    return peer(2, 1800, **{**told, **fields})


def test_the_best_host_waits_for_a_moving_engine_until_the_time_is_over() -> None:
    host = Host(peers=(source(),))
    assert host.settle() is State.ENGINE_DOWN
    assert "h2 is moving the engine to h3 (40 s more)" in host.last.why
    assert host.last.wake_at_s == pytest.approx(NOW_S + 15)  # peers had their time to show up
    host.see(TIMING.away_s - 1, peers=(source(told_at_s=NOW_S + TIMING.away_s - 1),))
    assert host.last.wake_at_s == pytest.approx(NOW_S + TIMING.away_s)
    assert host.settle(1) is State.ENGINE_START


def test_the_source_asks_for_no_more_than_away_s() -> None:
    host = Host(peers=(source(moving_limit_s=99_999.0),))
    host.settle()
    assert f"({TIMING.away_s:.0f} s more)" in host.last.why


@pytest.mark.parametrize(
    "fields",
    [
        {"liveness": Liveness.DEAD},
        {"liveness": Liveness.FAIL},
        {"fresh": False, "liveness": Liveness.DEAD},
        {"stopped": True},
        {"moving_limit_s": None, "engine_up": False},
        {"told_at_s": NOW_S - SILENT_TICKS * TIMING.tick_s - 2 * TIMING.io_timeout_s - 1},
        {"told_at_s": None},
    ],
    ids=str,
)
def test_a_host_that_can_not_speak_for_the_engine_is_not_waited_for(fields: Any) -> None:
    assert Host(peers=(source(**fields),)).settle() is State.ENGINE_START


def test_the_last_owner_gets_the_time_to_tell_what_became_of_the_engine() -> None:
    host = Host(peers=(peer(2, 1800, engine_up=True),))
    host.settle(lease=Lease.THEIRS, lease_owner_id=2)
    assert host.settle(5, lease=Lease.FREE, lease_owner_id=None) is State.ENGINE_DOWN
    assert "h2 had the engine and has not told yet" in host.last.why
    host.see(GRACE_S - 1)
    assert host.memory.state is State.ENGINE_DOWN
    assert host.settle(1) is State.ENGINE_START


def test_a_last_owner_that_has_told_is_not_waited_for() -> None:
    host = Host(peers=(peer(2, 1800, engine_up=True),))
    host.settle(lease=Lease.THEIRS, lease_owner_id=2)
    host.see(5, lease=Lease.FREE, lease_owner_id=None)
    assert host.settle(1, peers=(peer(2, 1800),)) is State.ENGINE_START


def test_another_host_with_a_vm_of_its_own_is_not_waited_for() -> None:
    """Its record is of an engine that was never seen with the lease."""
    assert Host(peers=(peer(2, 1800, engine_up=True),)).settle() is State.ENGINE_START


def test_the_wait_begins_anew_when_the_lease_was_held_in_between() -> None:
    host = Host(peers=(source(),))
    host.settle()
    host.see(30, lease=Lease.THEIRS, lease_owner_id=3)
    later = NOW_S + 60
    host.see(30, lease=Lease.FREE, lease_owner_id=None, peers=(source(told_at_s=later),))
    assert "(40 s more)" in host.last.why


# --- the source -----------------------------------------------------------------------

LEFT = {"vm": Vm.IN_TRANSIT, "vm_leaving": True, "health": Health.UNKNOWN, "lease": Lease.FREE}


def left_behind() -> Host:
    host = Host().running()
    host.see(5, **LEFT, lease_owner_id=None, vm_holds_lease=None)
    assert host.memory.state is State.ENGINE_UP
    assert host.last.actions == ()
    return host


def test_a_vm_that_a_migration_left_paused_goes_on_and_is_asked_again() -> None:
    host = left_behind()
    assert host.last.wake_at_s == pytest.approx(host.seen.now_s + resume_after_s(TIMING))
    host.see(resume_after_s(TIMING) - 1)
    assert host.last.actions == ()
    host.see(1)
    assert host.last.actions == (Action.RESUME_VM,)
    assert host.memory.state is State.ENGINE_UP
    host.see(1)
    assert host.last.actions == ()
    host.see(resume_after_s(TIMING))
    assert host.last.actions == (Action.RESUME_VM,)


@pytest.mark.parametrize(
    "fields",
    [
        {"lease": Lease.THEIRS, "lease_owner_id": 2},
        {"lease": Lease.UNKNOWN},
        {"vm_leaving": False},
        {"global_maintenance": True},
    ],
    ids=str,
)
def test_a_vm_is_not_resumed_when_the_engine_may_be_elsewhere(fields: Any) -> None:
    host = left_behind()
    host.settle(resume_after_s(TIMING) + 1, **fields)
    assert host.last.actions == ()


def test_a_libvirt_that_was_silent_in_between_forgets_nothing() -> None:
    host = left_behind()
    host.settle(1, vm=Vm.UNKNOWN)
    assert host.settle(1, **LEFT) is State.ENGINE_DOWN
    host.see(resume_after_s(TIMING))
    assert host.last.actions == (Action.RESUME_VM,)


def test_a_vm_that_arrives_costs_no_memory_points() -> None:
    host = Host(condition=Host().seen.condition.__class__(memory_sufficient=False))
    assert host.see().score.points == CONFIG.score.base - CONFIG.score.memory_low
    assert host.see(vm=Vm.IN_TRANSIT).score.points == CONFIG.score.base
