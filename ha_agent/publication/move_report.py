# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What this host's agent says of moving the engine away: for people and programs here. Pure."""

from __future__ import annotations

from typing import Optional

from fsm.memory import BY_ITSELF, Memory
from fsm.moves import refusals, wanted_move
from fsm.observation import Lease, MoveOutcome, Observation, Vm
from ha_broker.api.snapshot import MovePhase, MoveReport
from metadata.states import State
from world.ports.libvirt import MigrationResult

# What the broker takes at once has a bound, and there may be 2000 hosts.
MOST_REFUSALS = 16
LONGEST_REFUSAL = 400
ENDED = "the VM ended on the way"


class MoveReporter:
    """Reports of one agent's life.

    What became of a move is told as it was then: the hosts that refused it may be well since. One
    whose end is not known yet is under way.
    """

    def __init__(self) -> None:
        self._last: Optional[MoveReport] = None

    def report(
        self,
        memory: Memory,
        observation: Observation,
        copied: Optional[float] = None,
        result: Optional[MigrationResult] = None,
    ) -> Optional[MoveReport]:
        """As `move_report`."""
        last, now = self._last, move_report(memory, observation, copied, result)
        same = last is not None and last.what_for == memory.move_for
        if last is None or not same or not _still_so(last, now):
            self._last = now
        return self._last


def _still_so(last: MoveReport, now: Optional[MoveReport]) -> bool:
    """Of one purpose: is nothing better known by now than what was told?"""
    if now is None:
        return last.phase != MovePhase.WAITING
    if not last.is_over:
        return False
    if not now.is_over:
        # An order that is over may be there for a moment still; the others come again.
        return last.what_for not in BY_ITSELF
    told_by_libvirt = last.took_s is not None or now.took_s is None
    return told_by_libvirt and (now.phase, now.target) == (last.phase, last.target)


def move_report(
    memory: Memory,
    observation: Observation,
    copied: Optional[float] = None,
    result: Optional[MigrationResult] = None,
) -> Optional[MoveReport]:
    """The latest move that was wanted; None: none was yet, or what became of it is not known.

    `copied` (0 to 1) is how much of the VM's memory the target has, `result` what libvirt has said
    of the latest move that succeeded.
    """
    phase = _phase(memory, observation) if memory.move_for else ""
    if not phase:
        return None
    moved = phase == MovePhase.MOVED
    told = result if moved else None
    milliseconds = told.downtime_ms if told is not None else None
    return MoveReport(
        what_for=memory.move_for,
        phase=phase,
        target=_name(observation, memory.move_target_id),
        tries=memory.move_tries + moved,  # what succeeded is none of those that it counts
        refusals=refusal_texts(memory, observation),
        copied=copied if phase == MovePhase.MOVING else None,
        took_s=told.took_s if told is not None else None,
        downtime_s=None if milliseconds is None else milliseconds / 1000,
        copied_bytes=told.copied_bytes if told is not None else None,
    )


def refusal_texts(memory: Memory, observation: Observation) -> tuple[str, ...]:
    """The hosts that did not get it, each as "host: reason"; the first of them where many are."""
    refused = [(_name(observation, one), why) for one, why in memory.move_refusals]
    if _has_ended_on_the_way(memory, observation):
        target = _name(observation, memory.move_target_id)
        refused.append((target, observation.move_why or ENDED))
    elif memory.move_ended and _is_wanted(memory, observation):
        refused = list(refusals(memory, observation))  # those that were not tried, too
    told = [f"{name}: {why}" for name, why in refused[:MOST_REFUSALS]]
    rest = len(refused) - len(told)
    return (*(text[:LONGEST_REFUSAL] for text in told), *([f"and {rest} more hosts"] * bool(rest)))


def _phase(memory: Memory, observation: Observation) -> str:
    """Empty: nobody knows what became of it, or nobody wants it now."""
    if memory.state is State.ENGINE_MIGRATING_AWAY:
        return MovePhase.MOVING
    # What was ordered and not refused is no move that ended in vain: the VM has left.
    in_vain = memory.move_ended and not memory.move_ordered
    if in_vain or _has_ended_on_the_way(memory, observation):
        return MovePhase.REFUSED
    if observation.vm is not Vm.ABSENT:
        waits = _is_wanted(memory, observation) and not memory.move_ended
        return MovePhase.WAITING if waits else ""
    return MovePhase.MOVED if _got_it(memory, observation) else ""


def _is_wanted(memory: Memory, observation: Observation) -> bool:
    wanted = wanted_move(memory, observation)
    return wanted is not None and wanted.purpose == memory.move_for


def _got_it(memory: Memory, observation: Observation) -> bool:
    """Has the target the engine, by libvirt's word, or by the lease where that is not known?"""
    if not memory.move_ordered or not _has_target(memory):
        return False
    by_lease = observation.lease is Lease.THEIRS
    by_lease = by_lease and observation.lease_owner_id == memory.move_target_id
    return observation.move_outcome is MoveOutcome.DONE or by_lease


def _has_ended_on_the_way(memory: Memory, observation: Observation) -> bool:
    """The move failed, and yet the VM is not here: it has ended."""
    failed = observation.move_outcome is MoveOutcome.FAILED and observation.vm is Vm.ABSENT
    in_it = memory.state is State.ENGINE_MIGRATING_AWAY
    return failed and not in_it and memory.move_ordered and _has_target(memory)


def _has_target(memory: Memory) -> bool:
    """One that has not refused."""
    target_id = memory.move_target_id
    return target_id is not None and target_id not in dict(memory.move_refusals)


def _name(observation: Observation, host_id: Optional[int]) -> str:
    if host_id is None:
        return ""
    found = [peer.name for peer in observation.peers if peer.host_id == host_id]
    return found[0] if found and found[0] else f"host {host_id}"
