# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Moves that this host itself wants: nobody reaches the engine here, or another is much better.

Both move it alive or not at all. One that is out of reach is stopped afterwards, as it was before
there were moves (`fsm.table`); for a better host a healthy engine is never stopped.

Nothing of this happens in maintenance, and a better host has to be so for a long while, is taken at
most so often in a day by all hosts together, and takes the engine by its own word.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

from fsm.memory import BETTER, CUT_OFF, DARK, OUT_OF_REACH, Memory
from fsm.moves import not_chosen
from fsm.observation import Observation, Peer, Vm
from fsm.peers import candidates, turns_had
from fsm.reach import is_no_place, moved_lately
from fsm.score import points_but_for_failed_starts
from metadata.records import Health
from metadata.settings.parse import ClusterSettings
from metadata.states import State

DAY_S = 86400.0
_RESTS = (State.ENGINE_UP, State.ENGINE_UP_BAD_HEALTH)


def is_leaving_for(memory: Memory, *purposes: str) -> bool:
    """Is the engine being moved away for one of these?"""
    return memory.state is State.ENGINE_MIGRATING_AWAY and memory.move_for in purposes


# --- what is remembered ---------------------------------------------------------------


def own_moves(memory: Memory, observation: Observation, config: ClusterSettings) -> dict[str, Any]:
    """What this observation adds to the memory, in which all else is up to date already."""
    noted = {
        **_watch(memory, observation, config),
        "better_moves_s": _of_the_day(memory, observation),
    }
    changed = any(getattr(memory, name) != value for name, value in noted.items())
    known = replace(memory, **noted) if changed else memory
    wants = _wish(known, observation, config)
    noted["wants"] = wants
    anew = wants and wants != memory.wants and memory.state is not State.ENGINE_MIGRATING_AWAY
    if anew and memory.move_for == wants:
        # What came to nothing then is tried again.
        noted["move_for"] = ""
    return noted


def _of_the_day(memory: Memory, observation: Observation) -> tuple[float, ...]:
    return tuple([at_s for at_s in memory.better_moves_s if observation.now_s - at_s < DAY_S])


def _watch(memory: Memory, observation: Observation, config: ClusterSettings) -> dict[str, Any]:
    """The host that has been much better for longest; another one is counted anew."""
    counts = _counts(memory, observation, config)
    found = _better_hosts(memory, observation, config) if counts else []
    takers = {peer.host_id: peer for peer in found if not not_chosen(peer)}
    if memory.better_id in takers:
        return {"better_id": memory.better_id, "better_since_s": memory.better_since_s}
    best = min(takers.values(), key=lambda peer: (-peer.score, peer.host_id), default=None)
    if best is None or memory.state is State.ENGINE_MIGRATING_AWAY:
        return {"better_id": None, "better_since_s": None}
    return {"better_id": best.host_id, "better_since_s": observation.now_s}


def _counts(memory: Memory, observation: Observation, config: ClusterSettings) -> bool:
    """Is the engine well here, so that a better place is only better?

    Where it was moved to be in reach, the points say that others go first, and not what they have.
    """
    if observation.global_maintenance is not False or _is_held(observation):
        return False
    leaves = is_leaving_for(memory, BETTER)  # which it goes on with, reached here or not
    reached = memory.cut_off_since_s is None and memory.dark_since_s is None
    if not (reached or leaves) or is_no_place(memory, observation, config):
        return False
    return memory.state is State.ENGINE_UP or leaves


def _is_held(observation: Observation) -> bool:
    """Is this host in maintenance or being shut down? That decides then."""
    return observation.local_maintenance or observation.host_stops is not None


def _better_hosts(memory: Memory, observation: Observation, config: ClusterSettings) -> list[Peer]:
    """Those that could start it, with so many points more; none that has had more turns in vain."""
    least = config.migration.better_points
    if not least or observation.vm is not Vm.RUNNING:
        return []
    if not any(peer.score >= least for peer in observation.peers):
        return []
    # Starts that failed here say where to start it next, and nothing of an engine that is well.
    least += points_but_for_failed_starts(memory, observation, config)
    turns = turns_had(memory.tries, config.score)
    return [
        peer
        for peer in candidates(observation)
        if peer.score >= least and turns_had(peer.tries, config.score) <= turns
    ]


# --- what is wanted -------------------------------------------------------------------


def _wish(memory: Memory, observation: Observation, config: ClusterSettings) -> str:
    if observation.vm is not Vm.RUNNING or _is_held(observation):
        return memory.wants if is_leaving_for(memory, *OUT_OF_REACH, BETTER) else ""
    if observation.global_maintenance is True:
        return ""
    return _wish_for_reach(memory, observation, config) or _wish_for_better(
        memory, observation, config
    )


def _wish_for_reach(memory: Memory, observation: Observation, config: ClusterSettings) -> str:
    in_vain = not memory.reached and moved_lately(memory, observation, config)
    leaves = is_leaving_for(memory, *OUT_OF_REACH)
    if in_vain or not (leaves or memory.state in _RESTS):
        return ""
    for purpose in (CUT_OFF, DARK):
        left_s = reach_left_s(purpose, memory, observation, config)
        # Behind a good network an ill engine is ill, and not out of reach.
        ill = purpose == DARK and observation.health is Health.BAD
        if left_s is not None and left_s > 0 and not ill:
            return purpose
    return ""


def reach_left_s(
    purpose: str, memory: Memory, observation: Observation, config: ClusterSettings
) -> Optional[float]:
    """Seconds for moves alive before the stop; None: it is not out of reach for long enough."""
    timing = config.timing
    since_s, after_s = memory.cut_off_since_s, timing.isolated_s
    if purpose == DARK:
        since_s, after_s = memory.dark_since_s, timing.bad_health_s
    if since_s is None or observation.now_s - since_s < after_s:
        return None
    return since_s + after_s + config.migration.out_of_reach_s - observation.now_s


def _wish_for_better(memory: Memory, observation: Observation, config: ClusterSettings) -> str:
    since_s = memory.better_since_s
    if since_s is None:
        return ""
    if is_leaving_for(memory, BETTER):
        return BETTER
    lasted = observation.now_s - since_s >= config.migration.better_s
    well = observation.health is Health.GOOD or not config.engine.page_url
    return BETTER if lasted and well and not is_enough(memory, observation, config) else ""


def is_enough(memory: Memory, observation: Observation, config: ClusterSettings) -> bool:
    """Have all hosts together moved the engine for that as often as they may in a day?"""
    theirs = sum([peer.better_moves for peer in observation.peers if peer.fresh])
    return len(memory.better_moves_s) + theirs >= config.migration.better_per_day


def move_limit_s(memory: Memory, observation: Observation, config: ClusterSettings) -> float:
    """How long libvirt may take for the move that is ordered now."""
    limit_s = config.migration.limit_s
    if memory.move_for not in OUT_OF_REACH:
        return limit_s
    left_s = reach_left_s(memory.move_for, memory, observation, config)
    return max(SHORTEST_S, min(limit_s, left_s or 0.0))


SHORTEST_S = 1.0
# libvirt needs up to 30 s to see that the target is gone, and the target is asked before anything
# moves.
PATIENCE_S = 60.0


def longest_move_s(config: ClusterSettings) -> float:
    """How long a move of this program's own may take, from its announcement to its end.

    In the post-copy phase, which begins at the limit, it can't be broken off: the guest runs at
    the target already.
    """
    if config.migration.post_copy:
        return config.timing.migration_s
    return min(config.migration.limit_s + PATIENCE_S, config.timing.migration_s)


# --- for people -----------------------------------------------------------------------


def better_told(memory: Memory, observation: Observation, config: ClusterSettings) -> str:
    """Which host is much better, and what comes of it; empty: none is."""
    if not _counts(memory, observation, config):
        return ""
    found = _better_hosts(memory, observation, config)
    watched = [peer for peer in found if peer.host_id == memory.better_id]
    if not found:
        return ""
    peer = (watched or sorted(found, key=lambda peer: (-peer.score, peer.host_id)))[0]
    more = peer.score - points_but_for_failed_starts(memory, observation, config)
    return f"{peer.name or peer.host_id} is {more} points better, and " + _what_comes(
        peer, memory, observation, config
    )


def _what_comes(
    peer: Peer, memory: Memory, observation: Observation, config: ClusterSettings
) -> str:
    why = not_chosen(peer)
    if why:
        return f"can't take the engine alive: {why}"
    if is_enough(memory, observation, config):
        most = config.migration.better_per_day
        return f"the engine stays: it has moved for that {most} times a day (better_per_day)"
    since_s = memory.better_since_s
    lasted_s = 0.0 if since_s is None else observation.now_s - since_s
    left_s = config.migration.better_s - lasted_s
    return f"the engine moves there alive if that lasts {max(0.0, left_s):.0f} s more (better_s)"
