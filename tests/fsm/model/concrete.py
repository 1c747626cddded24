# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""From the abstract to the real: memories and observations with real moments, and back.

Each moment of the memory is known by its class only: which thresholds of the guards are behind
it. A class is made real twice, just begun and just before its end; that both take the same row
is checked for every step, so no threshold is overlooked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

from fsm.guards import (
    GO_ON_TICKS,
    LONELY_TURNS,
    REPEAT_TICKS,
    SETTLE_TICKS,
    dark_counts_s,
    time_out_s,
)
from fsm.handover import resume_after_s
from fsm.memory import BETTER, CUT_OFF, DARK, MAINTENANCE, SHUTDOWN, BrokenOff, Memory
from fsm.observation import (
    HostCondition,
    Lease,
    MoveOutcome,
    MoveRequest,
    Observation,
    Peer,
    StartOutcome,
    Vm,
)
from fsm.own_moves import DAY_S
from fsm.peers import undecided
from fsm.step import broken_off_by
from metadata.liveness import Liveness
from metadata.reach import Sight, Testimony
from metadata.records import Health
from metadata.settings.parse import (
    ClusterSettings,
    EngineSettings,
    MigrationSettings,
    ScoreWeights,
    check_timing,
)
from metadata.states import State
from tests.fsm.model import shape
from tests.fsm.model.shape import Agent, Dom, For, Hold, Host, Life, Mem, View

# Two failed starts put a host out, not three: one place less to count to.
CONFIG = ClusterSettings(
    engine=EngineSettings(fqdn="engine.example.org"),
    score=ScoreWeights(failed_starts_to_zero=2),
    migration=MigrationSettings(better_points=0, out_of_reach_s=0),
)
OWN_MOVES = replace(CONFIG, migration=MigrationSettings(better_per_day=1))
WITHOUT_PAGE = replace(CONFIG, engine=EngineSettings())
NO_PAGE = "there is no page"
TIMING = CONFIG.timing
assert not check_timing(TIMING, CONFIG.score.failed_starts_to_zero)

NOW_S = 100_000.0
LONG_S = 50_000.0
JUST_S = 0.5

UPLINK = 2
_MOVE_S = OWN_MOVES.migration.out_of_reach_s
_CUT_S = (0.0, 0.0, TIMING.isolated_s, TIMING.isolated_s + _MOVE_S, LONG_S)
_DARK_AFTER_S = (dark_counts_s(TIMING), TIMING.bad_health_s, TIMING.bad_health_s + _MOVE_S)
_DARK_S = (0.0, 0.0, *_DARK_AFTER_S, LONG_S)
_BETTER_S = (0.0, 0.0, OWN_MOVES.migration.better_s, LONG_S)
_REPEAT_S = REPEAT_TICKS * TIMING.tick_s
_RESUME_S = resume_after_s(TIMING)


def _thresholds(state: State) -> tuple[float, ...]:
    limit_s = time_out_s(Memory(state), CONFIG)
    if state is State.ENGINE_STOP and limit_s is not None:
        return (_REPEAT_S, limit_s)
    if state is State.ENGINE_UNEXPECTEDLY_DOWN and limit_s is not None:
        return (LONELY_TURNS * TIMING.turn_s, limit_s)
    if state is State.ENGINE_MIGRATING_AWAY and limit_s is not None:
        return (TIMING.away_s, limit_s)
    return () if limit_s is None else (limit_s,)


THRESHOLDS = {state: _thresholds(state) for state in State}

_VMS = {
    Dom.ABSENT: Vm.ABSENT,
    Dom.CREATED: Vm.PAUSED,
    Dom.PAUSED: Vm.PAUSED,
    Dom.LEAVING: Vm.IN_TRANSIT,
    Dom.ARRIVING: Vm.IN_TRANSIT,
    Dom.HELD: Vm.IN_TRANSIT,
    Dom.STUCK: Vm.IN_TRANSIT,
    Dom.STRANDED: Vm.PAUSED,
    Dom.BOOTS: Vm.RUNNING,
    Dom.GOOD: Vm.RUNNING,
    Dom.SICK: Vm.RUNNING,
}
_HEALTHS = {Dom.BOOTS: Health.BAD, Dom.GOOD: Health.GOOD, Dom.SICK: Health.BAD}
_PEERS = {
    shape.UNDECIDED: {"fresh": False, "score": 3400},
    shape.GONE: {"liveness": Liveness.DEAD, "fresh": False, "score": 3400},
    shape.IN_MAINTENANCE: {"maintenance": True, "score": 3400},
    shape.STOPPED: {"stopped": True, "score": 3400},
    shape.MOVING: {
        "score": 3400,
        "moving_limit_s": TIMING.away_s,
        "moving_to": "h0",
        "told_at_s": NOW_S,
    },
    shape.MOVING_OUT: {
        "score": 0,
        "maintenance": True,
        "moving_limit_s": TIMING.away_s,
        "moving_to": "h0",
        "told_at_s": NOW_S,
    },
    shape.SILENT: {"state": State.UNKNOWN_LOCAL_VM_STATE.value, "score": 3400},
}


# --- memory ---------------------------------------------------------------------------


def early(mem: Mem) -> Memory:
    """The memory whose moments have all just come to their class."""
    ages = (0.0, *THRESHOLDS[mem.state])
    return Memory(
        state=mem.state,
        since_s=NOW_S - ages[mem.age],
        started_at_s=NOW_S - (LONG_S if mem.settled else 0),
        failed_starts_s=(NOW_S,) * mem.failed,
        crashed_at_s=NOW_S - JUST_S if mem.crashed else None,
        lease_free_since_s=NOW_S - mem.free * TIMING.turn_s if mem.free else None,
        lease_left_since_s=NOW_S - mem.left * TIMING.turn_s if mem.left else None,
        held_off_until_s=NOW_S + TIMING.turn_s if mem.held else None,
        last_owner_id=mem.owner or None,
        attempt_s=NOW_S - (_REPEAT_S if mem.due else 0),
        lease_denied_s=_DENIALS_S[mem.denied],
        handover_since_s=NOW_S - TIMING.away_s if mem.waited else NOW_S,
        vm_held_since_s=NOW_S - (_RESUME_S if mem.between else 0),
        cut_off_since_s=NOW_S - _CUT_S[mem.cut] if mem.cut else None,
        dark_since_s=NOW_S - _DARK_S[mem.dark] if mem.dark else None,
        reached=mem.reached,
        giving_away=mem.leaving,
        gave_away_at_s=NOW_S - JUST_S if mem.gave else None,
        gave_away_uplink=mem.gave == UPLINK,
        broken_off=None if mem.broke is None else _broken_off(mem.broke, mem.broke_age),
        better_id=mem.better_id or None,
        better_since_s=NOW_S - _BETTER_S[mem.better] if mem.better else None,
        better_moves_s=(NOW_S - JUST_S,) if mem.day else (),
        wants=_PURPOSES[mem.move] if mem.move in OWN_MOVES_FOR else "",
        move_for=_PURPOSES[mem.move],
        move_target_id=mem.target or None,
        move_ordered=mem.ordered,
        move_refusals=tuple([(host_id, REFUSED) for host_id in sorted(mem.refused)]),
        move_ended=mem.over,
    )


REQUEST_ID = "a person's"
REFUSED = "it would not have it"
_PURPOSES = {
    For.NOTHING: "",
    For.MAINTENANCE: MAINTENANCE,
    For.PERSON: REQUEST_ID,
    For.SHUTDOWN: SHUTDOWN,
    For.CUT_OFF: CUT_OFF,
    For.DARK: DARK,
    For.BETTER: BETTER,
}
OWN_MOVES_FOR = shape.OWN_MOVES


def _broken_off(state: State, age: int) -> BrokenOff:
    return BrokenOff(state, NOW_S - (0.0, *THRESHOLDS[state])[age])


def _age(state: State, since_s: Optional[float]) -> int:
    """How many thresholds of the state are behind."""
    lasted_s = 0.0 if since_s is None else NOW_S - since_s
    return sum(lasted_s >= limit_s for limit_s in THRESHOLDS[state])


def late(mem: Mem, lease: Lease, hosts: int) -> Memory:
    """The one whose moments are all about to leave their class (those that are counted)."""
    ends = (*THRESHOLDS[mem.state], LONG_S)
    window_s = TIMING.retry_window_s - JUST_S
    free_end = LONG_S if mem.free >= hosts - 1 else (mem.free + 1) * TIMING.turn_s
    left_end = LONG_S if mem.left else TIMING.turn_s
    settle_s = SETTLE_TICKS * TIMING.tick_s
    return replace(
        early(mem),
        since_s=NOW_S - ends[mem.age] + JUST_S,
        cut_off_since_s=NOW_S - _CUT_S[mem.cut + 1] + JUST_S if mem.cut else None,
        dark_since_s=NOW_S - _DARK_S[mem.dark + 1] + JUST_S if mem.dark else None,
        gave_away_at_s=NOW_S - window_s if mem.gave else None,
        better_since_s=NOW_S - _BETTER_S[mem.better + 1] + JUST_S if mem.better else None,
        better_moves_s=(NOW_S - DAY_S + JUST_S,) if mem.day else (),
        started_at_s=NOW_S - (LONG_S if mem.settled else settle_s - JUST_S),
        failed_starts_s=(NOW_S - window_s,) * mem.failed,
        crashed_at_s=NOW_S - window_s if mem.crashed else NOW_S - LONG_S,
        lease_free_since_s=NOW_S - free_end + JUST_S if lease is Lease.FREE else None,
        lease_left_since_s=NOW_S - left_end + JUST_S,
        held_off_until_s=NOW_S + JUST_S if mem.held else NOW_S,
        attempt_s=NOW_S - (LONG_S if mem.due else _REPEAT_S - JUST_S),
        handover_since_s=NOW_S - (LONG_S if mem.waited else TIMING.away_s - JUST_S),
        vm_held_since_s=NOW_S - (LONG_S if mem.between else _RESUME_S - JUST_S),
    )


_DENIALS_S = ((), (NOW_S,), (NOW_S - JUST_S,), (NOW_S - JUST_S, NOW_S))

_REPEATS = frozenset({State.ENGINE_STOP, State.ENGINE_FORCE_STOP, State.ENGINE_MIGRATING_AWAY})
_MOVES = frozenset({State.LOCAL_MAINTENANCE_MIGRATE_VM, State.ENGINE_MIGRATING_AWAY})


def abstract(before: Mem, after: Memory, observation: Observation, stayed: bool) -> Mem:
    """`after` in classes; what its state never asks for before it is left is forgotten."""
    state = after.state
    down = state is State.ENGINE_DOWN
    repeats = state in _REPEATS or (
        state is State.LOCAL_MAINTENANCE_MIGRATE_VM and after.move_ended
    )
    return Mem(
        state=state,
        age=_age(state, after.since_s),
        due=repeats and after.attempt_s is not None and NOW_S - after.attempt_s >= _REPEAT_S,
        failed=len(after.failed_starts_s),
        crashed=after.crashed_at_s is not None,
        free=before.free if down and stayed and observation.lease is Lease.FREE else 0,
        left=before.left if down and stayed and observation.lease is Lease.OURS else 0,
        held=(down or repeats)
        and after.held_off_until_s is not None
        and after.held_off_until_s > NOW_S,
        settled=before.settled
        and (
            state is State.LOCAL_MAINTENANCE_MIGRATE_VM or (down and bool(undecided(observation)))
        ),
        owner=after.last_owner_id or 0,
        denied=_denied(after, observation),
        waited=down and before.waited and after.handover_since_s is not None,
        between=before.between
        and after.vm_held_since_s is not None
        and NOW_S - after.vm_held_since_s >= _RESUME_S,
        cut=_passed(after.cut_off_since_s, TIMING.isolated_s, TIMING.isolated_s + _MOVE_S),
        dark=_passed(after.dark_since_s, *_DARK_AFTER_S),
        gave=0 if after.gave_away_at_s is None else UPLINK if after.gave_away_uplink else 1,
        leaving=after.giving_away,
        reached=after.reached and _moved(after, observation),
        **_broken(after.broken_off),
        **_move(after, observation),
        **_better(after),
    )


def _better(after: Memory) -> dict[str, Any]:
    return {
        "better_id": after.better_id or 0,
        "better": _passed(after.better_since_s, OWN_MOVES.migration.better_s),
        "day": bool(after.better_moves_s),
    }


def _move(after: Memory, observation: Observation) -> dict[str, Any]:
    """What is remembered of a move, while anybody may ask for it."""
    asks = observation.move_request is not None and after.move_for == REQUEST_ID
    asks = asks or (observation.host_stops is not None and after.move_for == SHUTDOWN)
    asks = asks or (bool(after.wants) and after.move_for == after.wants)
    broken = after.broken_off is not None and after.broken_off.state is State.ENGINE_MIGRATING_AWAY
    if after.state not in _MOVES and not asks and not broken:
        return {}
    moving = after.state is State.ENGINE_MIGRATING_AWAY or broken
    purpose = next(one for one, text in _PURPOSES.items() if text == after.move_for)
    return {
        "move": purpose,
        "target": (after.move_target_id or 0) if moving else 0,
        "ordered": moving and after.move_ordered,
        "refused": frozenset([host_id for host_id, _ in after.move_refusals]),
        "over": after.move_ended or after.move_left,
    }


def _denied(after: Memory, observation: Observation) -> int:
    """Of a VM whose lease sanlock itself denies nobody asks the storage's word."""
    looks_s = after.lease_denied_s
    if not looks_s or observation.vm_holds_lease is False:
        return 0
    return 3 if len(looks_s) > 1 else 1 + (looks_s != (NOW_S,))


def _passed(since_s: Optional[float], *thresholds_s: float) -> int:
    """0: it is not so; else 1 and the thresholds that are behind."""
    return 0 if since_s is None else 1 + sum(NOW_S - since_s >= one_s for one_s in thresholds_s)


def _moved(after: Memory, observation: Observation) -> bool:
    return after.gave_away_at_s is not None or any(peer.gave_away for peer in observation.peers)


def lasted_s(memory: Memory) -> float:
    """How long its present state has lasted."""
    return 0.0 if memory.since_s is None else NOW_S - memory.since_s


def goes_on_after_s(mem: Mem) -> float:
    """How much of what was broken off must be behind when it goes on: all but a few looks."""
    assert mem.broke is not None
    ends = THRESHOLDS[mem.broke]
    return min((0.0, *ends)[mem.broke_age], ends[-1] - GO_ON_TICKS * TIMING.tick_s)


def _broken(found: Optional[BrokenOff]) -> dict[str, Any]:
    if found is None:
        return {}
    return {"broke": found.state, "broke_age": _age(found.state, found.since_s)}


def kept(mem: Mem) -> Mem:
    """What an agent that has ended leaves to the next one, as `ha_agent.kept_memory` does."""
    broken_off = broken_off_by(early(mem))
    return Mem(
        failed=mem.failed, crashed=mem.crashed, owner=mem.owner, cut=mem.cut, dark=mem.dark,
        reached=mem.reached, leaving=mem.leaving, gave=mem.gave, day=mem.day, **_broken(broken_off),
        **_kept_move(mem, broken_off),
    )  # fmt: skip


def _kept_move(mem: Mem, broken_off: Optional[BrokenOff]) -> dict[str, Any]:
    """What for and where to, of a move that was broken off; of any other nobody asks again."""
    moving = broken_off is not None and broken_off.state is State.ENGINE_MIGRATING_AWAY
    return {"move": mem.move, "target": mem.target} if moving else {}


# --- observation ----------------------------------------------------------------------


def observation(host: Host, host_id: int, view: View) -> Observation:
    """What `ha_agent.observation.collect` would make of this host and its broker's word."""
    knows = host.broker and can_ask(host)
    lease, owner = _lease(view.lease if knows else shape.LEASE_UNKNOWN, host_id)
    return Observation(
        now_s=NOW_S,
        host_id=host_id,
        complete=host.looked and host.broker,
        blocked_why=blocked_why(host),
        vm=_VMS[host.dom] if host.libvirt else Vm.UNKNOWN,
        vm_ending=host.ending,
        vm_leaving=host.libvirt and host.dom in (Dom.LEAVING, Dom.HELD, Dom.STUCK),
        vm_stranded=_is_stranded(host, lease),
        health=_health(host),
        lease=lease,
        lease_owner=f"h{owner}" if owner else "",
        lease_owner_id=owner,
        health_detail="" if host.page else NO_PAGE,
        vm_began_s=NOW_S - LONG_S if host.dom is Dom.SICK else None,
        vm_holds_lease=_holds(host),
        global_maintenance=view.maintenance if host.looked and host.slot0 else None,
        local_maintenance=host.local and host.looked,
        move_request=MoveRequest(REQUEST_ID) if host.request and host.looked else None,
        move_outcome=_outcome(host),
        move_why=REFUSED,
        host_stops=host.stops,
        move_announced=host.told,
        start=host.start,
        stop_requested=host.agent is Agent.STOPPING,
        condition=HostCondition(network_failed_fraction=float(host.poor)),
        peers=_peers(host, host_id, view) if host.looked else (),
    )


def _outcome(host: Host) -> MoveOutcome:
    """What became of an earlier order tells nothing of the next one."""
    ordered = host.mem is not None and host.mem.ordered
    return host.moved if ordered or host.moved is MoveOutcome.RUNNING else MoveOutcome.NONE


def can_ask(host: Host) -> bool:
    """Does its broker know who owns the lease?"""
    return host.looked and host.storage and host.reads and host.life is Life.LIVE


def blocked_why(host: Host) -> str:
    if not host.broker:
        return "the broker does not answer"
    if host.stops is not None:
        return "this host is being shut down"
    if not host.storage:
        return "the shared storage fails"
    if host.life is not Life.LIVE:
        return "this host has not joined the sanlock lockspace"
    if host.kill or (host.job and host.start is not StartOutcome.RUNNING):
        return "an order has not ended"
    return ""


def _lease(seen: int, host_id: int) -> tuple[Lease, Optional[int]]:
    if seen == shape.LEASE_UNKNOWN:
        return Lease.UNKNOWN, None
    if seen == shape.LEASE_FREE:
        return Lease.FREE, None
    return (Lease.OURS if seen == host_id else Lease.THEIRS), seen


def _health(host: Host) -> Health:
    looked_at = host.broker and host.page
    return _HEALTHS.get(host.dom, Health.UNKNOWN) if looked_at else Health.UNKNOWN


def _holds(host: Host) -> Optional[bool]:
    """What `ha_agent.observation.vm_lease` makes of sanlock's answers."""
    if not host.runs or not host.libvirt or host.life is Life.GONE:
        return None
    if host.life is Life.LAPSED:
        return False
    return host.hold in (Hold.YES, Hold.SLEPT)


def _is_stranded(host: Host, lease: Lease) -> bool:
    """Do libvirt, sanlock and the storage say so? Else libvirt has held it for too long."""
    said = host.libvirt and host.hold is Hold.YES and host.life is Life.LIVE
    return said and host.dom is Dom.STRANDED and lease is Lease.OURS


def _peers(host: Host, host_id: int, view: View) -> tuple[Peer, ...]:
    # While the lease is free they still show what they saw last.
    owner = view.lease if view.lease > 0 else host.mem.owner if host.mem else 0
    dark = host.unseen and owner == host_id
    return tuple(
        _peer(other, code, owner, dark)
        for other, code in enumerate(view.peers, start=1)
        if other != host_id
    )


def _peer(host_id: int, code: int, owner: int, dark: bool) -> Peer:
    points = code % shape.GAVE if code > 0 else code
    fields = {"name": f"h{host_id}", "liveness": Liveness.LIVE, "fresh": True, "score": points}
    if code > 0:
        fields["gave_away"] = code >= shape.GAVE
        fields["takes_at"] = f"qemu://h{host_id}/system"
        fields["testimony"] = _testimony(host_id, points, owner, dark)
    return Peer(host_id=host_id, **{**fields, **_PEERS.get(code, {})})  # type: ignore[arg-type]


def _testimony(host_id: int, points: int, owner: int, dark: bool) -> Optional[Testimony]:
    if not owner or owner == host_id:
        return None
    good = points > shape.HAS_NETWORK
    # Who is cut off itself reaches nobody.
    return Testimony(Sight.DARK if dark or not good else Sight.REACHED, owner, good)
