# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The engine runs well, and nobody reaches it: one host's story, decision by decision."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest

from fsm import Action, State
from fsm.guards import dark_counts_s
from fsm.observation import HostCondition, Lease, Peer, Vm
from metadata import reach
from metadata.liveness import Liveness
from metadata.reach import Sight
from metadata.records import Health
from tests.fsm.test_stories import CONFIG, GONE, TIMING, Host, peer

CUT = HostCondition(network_failed_fraction=1.0)
GOOD = HostCondition(network_failed_fraction=0.0)
PENALTY = "out-of-reach"


def witness(
    host_id: int,
    sight: Sight = Sight.DARK,
    network_good: Optional[bool] = True,
    owner_id: int = 1,
    **fields: Any,
) -> Peer:
    return peer(host_id, testimony=reach.Testimony(sight, owner_id, network_good), **fields)


def cut_off(*peers: Peer) -> Host:
    """Its network has just failed."""
    host = Host(peers=peers).running()
    host.see(5, condition=CUT)
    return host


def stopped_for_it() -> Host:
    """An engine that is asked to shut down, for it is out of reach together with its host."""
    host = cut_off(witness(2))
    host.see(TIMING.isolated_s)
    assert (host.memory.state, host.last.actions) == (State.ENGINE_STOP, (Action.SHUTDOWN_VM,))
    return host


def forced_for_it() -> Host:
    host = stopped_for_it()
    host.see(TIMING.stop_s)
    assert (host.memory.state, host.last.actions) == (
        State.ENGINE_FORCE_STOP,
        (Action.DESTROY_VM,),
    )
    return host


# --- cut off with its host ------------------------------------------------------------


def test_an_engine_that_is_cut_off_is_stopped_after_isolated_s_and_not_before() -> None:
    host = cut_off(witness(2))
    host.see(TIMING.isolated_s - 0.1)
    assert host.memory.state is State.ENGINE_UP
    assert host.last.wake_at_s == pytest.approx(host.seen.now_s + 0.1)
    host.see(0.1)
    assert host.memory.state is State.ENGINE_STOP
    assert "this host's network has failed and h2 can't reach the engine here" in host.last.why


@pytest.mark.parametrize(
    "peers",
    [
        (witness(2, network_good=False),),
        (witness(2, network_good=None),),
        (witness(2, network_good=False), witness(3, network_good=False)),
        (witness(2), witness(3, Sight.REACHED)),
        (witness(2), witness(3, Sight.REACHED, network_good=False)),
        (witness(2, Sight.UNKNOWN),),
        (witness(2, owner_id=3),),
        (witness(2, fresh=False),),
        (peer(2, 1800),),
    ],
    ids=str,
)
def test_without_a_witness_that_can_tell_it_stays(peers: tuple[Peer, ...]) -> None:
    host = cut_off(*peers)
    host.see(10 * TIMING.isolated_s)
    assert host.settle(TIMING.bad_health_s) is State.ENGINE_UP


def test_a_network_that_is_back_for_a_moment_begins_it_anew() -> None:
    host = cut_off(witness(2))
    host.see(TIMING.isolated_s - 1, condition=HostCondition(network_failed_fraction=0.8))
    host.see(1, condition=CUT)
    assert host.settle(TIMING.isolated_s - 1) is State.ENGINE_UP
    assert host.settle(1) is State.ENGINE_STOP


def test_where_nobody_looks_a_much_better_host_is_enough() -> None:
    assert cut_off(peer(2, 1800 + 800)).settle(TIMING.isolated_s) is State.ENGINE_STOP
    assert cut_off(peer(2, 1800 + 799)).settle(TIMING.isolated_s) is State.ENGINE_UP


def test_a_much_better_host_that_is_not_known_to_live_is_not_enough() -> None:
    """It may not even be in the lockspace, and the engine would be stopped for nothing."""
    unknown = replace(peer(2), liveness=Liveness.UNKNOWN)
    assert cut_off(unknown).settle(2 * TIMING.isolated_s) is State.ENGINE_UP


def test_anybodys_testimony_ends_the_fallback() -> None:
    host = cut_off(peer(2), witness(3, network_good=False))
    assert host.settle(2 * TIMING.isolated_s) is State.ENGINE_UP


@pytest.mark.parametrize("where", ["global_maintenance", "local_maintenance"])
def test_in_maintenance_it_stays(where: str) -> None:
    host = cut_off(witness(2))
    host.settle(1, **{where: True})
    host.settle(2 * TIMING.isolated_s)
    assert not {Action.SHUTDOWN_VM, Action.DESTROY_VM} & set(host.last.actions)
    assert host.memory.state is not State.ENGINE_STOP


# --- the stop -------------------------------------------------------------------------


def test_a_guest_that_hangs_is_forced_and_stays_so() -> None:
    host = forced_for_it()
    host.see(1)
    assert host.memory.state is State.ENGINE_FORCE_STOP
    host.see(CONFIG.timing.tick_s * 10)
    assert (host.memory.state, host.last.actions) == (
        State.ENGINE_FORCE_STOP,
        (Action.DESTROY_VM,),
    )


def test_an_unknown_lease_does_not_hold_the_force_up() -> None:
    host = forced_for_it()
    host.see(CONFIG.timing.tick_s * 10, vm_holds_lease=None)
    assert host.last.actions == (Action.DESTROY_VM,)


@pytest.mark.parametrize("host_of", [stopped_for_it, forced_for_it])
@pytest.mark.parametrize(
    "back", [{"condition": GOOD}, {"peers": (witness(2, Sight.REACHED),)}], ids=["own", "witness"]
)
def test_an_engine_in_reach_again_is_left_up_and_was_not_given_away(
    host_of: Any, back: dict[str, Any]
) -> None:
    host = host_of()
    assert host.settle(1, **back) is State.ENGINE_UP
    assert (host.memory.giving_away, host.memory.gave_away_at_s) == (False, None)


@pytest.mark.parametrize("host_of", [stopped_for_it, forced_for_it])
def test_the_window_begins_at_the_end_of_the_stop(host_of: Any) -> None:
    host = host_of()
    host.settle(5, **GONE)
    assert host.memory.state is State.ENGINE_DOWN
    end_s = host.seen.now_s
    assert (host.memory.giving_away, host.memory.gave_away_at_s) == (False, end_s)
    host.settle(TIMING.retry_window_s - 1, lease=Lease.THEIRS, lease_owner_id=2)
    assert host.memory.gave_away_at_s == end_s
    host.settle(1)
    assert host.memory.gave_away_at_s is None


def test_a_stop_that_is_lost_sight_of_is_remembered() -> None:
    host = forced_for_it()
    host.settle(1, vm=Vm.UNKNOWN)
    assert host.memory.state is State.UNKNOWN_LOCAL_VM_STATE
    assert host.settle(1, **GONE) is State.ENGINE_DOWN
    assert host.memory.gave_away_at_s is not None
    assert not host.memory.giving_away


def test_a_stop_for_bad_health_is_none_for_being_out_of_reach() -> None:
    host = Host(peers=(witness(2, Sight.REACHED),)).running()
    host.settle(1, health=Health.BAD)
    assert host.settle(TIMING.bad_health_s) is State.ENGINE_STOP
    assert (host.memory.giving_away, host.memory.gave_away_at_s) == (False, None)
    assert host.settle(1, health=Health.GOOD, condition=CUT) is State.ENGINE_UP


# --- who starts it then ---------------------------------------------------------------


def test_the_host_that_gave_it_away_waits_for_one_that_can_be_reached() -> None:
    host = stopped_for_it()
    free = {"lease": Lease.FREE, "lease_owner_id": None}
    host.settle(5, **GONE)
    assert host.settle(5, **free) is State.ENGINE_DOWN
    assert host.last.score.points == 1
    assert host.last.score.penalties[-1].name == PENALTY
    assert host.settle(10 * TIMING.turn_s) is State.ENGINE_DOWN
    assert "nobody reached the engine here; h2 can be reached and may start it" in host.last.why


def test_with_nobody_else_it_starts_it_again() -> None:
    host = stopped_for_it()
    host.settle(5, **GONE)
    host.settle(5, lease=Lease.FREE, lease_owner_id=None, peers=())
    assert host.settle(TIMING.turn_s) is State.ENGINE_START


def test_its_network_back_it_is_as_good_as_any() -> None:
    host = stopped_for_it()
    host.settle(5, **GONE)
    host.settle(5, condition=GOOD, lease=Lease.THEIRS, lease_owner_id=2)
    assert host.last.score.points == CONFIG.score.base


# --- behind a good network ------------------------------------------------------------


def dark_for_two() -> Host:
    return Host(peers=(witness(2), witness(3)), condition=GOOD).running()


def test_a_broken_uplink_counts_as_bad_health_after_bad_health_s() -> None:
    host = dark_for_two()
    host.see(dark_counts_s(TIMING) - 0.1)
    assert host.memory.state is State.ENGINE_UP
    assert host.settle(0.1) is State.ENGINE_UP_BAD_HEALTH
    assert "out of reach of h2, h3, though this host's network is good" in host.memory.why
    assert host.settle(TIMING.bad_health_s - dark_counts_s(TIMING) - 0.1) is (
        State.ENGINE_UP_BAD_HEALTH
    )
    host.see(0.1)
    assert (host.memory.state, host.last.actions) == (State.ENGINE_STOP, (Action.SHUTDOWN_VM,))
    assert host.settle(1) is State.ENGINE_STOP  # its own good network is no reason to leave it up


@pytest.mark.parametrize(
    ("peers", "condition"),
    [
        ((witness(2),), GOOD),
        ((witness(2), witness(3, Sight.REACHED)), GOOD),
        ((witness(2), witness(3, Sight.UNKNOWN)), GOOD),
        ((witness(2), witness(3, network_good=False)), GOOD),
        ((witness(2), witness(3, Sight.UNKNOWN), witness(4)), GOOD),
        ((witness(2), witness(3)), HostCondition(network_failed_fraction=0.8)),
        ((witness(2), witness(3)), HostCondition()),
    ],
    ids=str,
)
def test_against_a_good_network_two_must_agree(
    peers: tuple[Peer, ...], condition: HostCondition
) -> None:
    host = Host(peers=peers, condition=condition).running()
    host.see(5)
    assert host.settle(3 * TIMING.bad_health_s) is State.ENGINE_UP


def test_the_host_with_the_broken_uplink_goes_last_for_the_window() -> None:
    host = dark_for_two()
    host.settle(dark_counts_s(TIMING))
    host.see(TIMING.bad_health_s)
    assert host.memory.state is State.ENGINE_STOP
    host.settle(5, **GONE)
    host.settle(5, lease=Lease.THEIRS, lease_owner_id=2)
    assert host.last.score.points == 1
    host.settle(TIMING.retry_window_s)
    assert host.last.score.points == CONFIG.score.base


# --- no ping-pong ---------------------------------------------------------------------


def moved_here(**fields: Any) -> Host:
    """h2 gave the engine away to this host, where it is dark as well."""
    host = Host(peers=(witness(2, gave_away=True),), **fields).running()
    host.see(5, condition=CUT)
    return host


def test_a_move_that_changed_nothing_is_not_repeated_within_the_window() -> None:
    host = moved_here()
    assert host.settle(3 * TIMING.isolated_s) is State.ENGINE_UP
    assert f"it was moved for that within the last {TIMING.retry_window_s:.0f} s" in host.last.why
    host.settle(1, peers=(witness(2),))
    assert host.memory.state is State.ENGINE_STOP


def test_an_engine_that_was_reached_here_may_be_moved_again() -> None:
    host = Host(peers=(witness(2, Sight.REACHED, gave_away=True),)).running()
    host.see(5)
    host.see(5, condition=CUT, peers=(witness(2, gave_away=True),))
    assert host.settle(TIMING.isolated_s) is State.ENGINE_STOP


def test_an_agent_that_begins_anew_looks_for_the_whole_time_again() -> None:
    """What it knew of the cut is gone: it neither stops at once, nor never."""
    host = cut_off(witness(2))
    host.see(TIMING.isolated_s - 1)
    again = Host(**{name: getattr(host.seen, name) for name in ("peers", "condition")}).running()
    assert again.settle(TIMING.isolated_s - 1) is State.ENGINE_UP
    assert again.settle(1) is State.ENGINE_STOP


def test_an_agent_that_begins_anew_after_the_move_is_behind_those_with_a_network() -> None:
    """It has forgotten that it gave the engine away; that its network failed it sees anew."""
    host = Host(peers=(witness(2),), condition=CUT)
    host.seen = replace(host.seen, lease=Lease.THEIRS, lease_owner_id=2)
    assert host.settle() is State.ENGINE_DOWN
    assert host.last.score.points == CONFIG.score.base - CONFIG.score.network
    host.settle(5, lease=Lease.FREE, lease_owner_id=None)
    assert host.memory.state is State.ENGINE_DOWN
    assert "h2 (score 3400) goes first" in host.last.why
