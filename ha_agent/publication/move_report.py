"""What this host's agent says of moving the engine away: for people and programs here. Pure."""

from __future__ import annotations

from typing import Optional

from fsm.memory import Memory
from fsm.observation import MoveOutcome, Observation, Vm
from ha_broker.api.snapshot import MovePhase, MoveReport
from metadata.states import State
from world.ports.libvirt import MigrationResult

# What the broker takes at once has a bound, and there may be 2000 hosts.
MOST_REFUSALS = 16
LONGEST_REFUSAL = 400


def move_report(
    memory: Memory,
    observation: Observation,
    copied: Optional[float] = None,
    result: Optional[MigrationResult] = None,
) -> Optional[MoveReport]:
    """The latest move that was wanted; None: none was yet.

    `copied` (0 to 1) is how much of the VM's memory the target has, `result` what libvirt has said
    of the latest move that succeeded.
    """
    if not memory.move_for:
        return None
    phase = _phase(memory, observation)
    told = result if phase == MovePhase.MOVED else None
    milliseconds = told.downtime_ms if told is not None else None
    return MoveReport(
        what_for=memory.move_for,
        phase=phase,
        target=_name(observation, memory.move_target_id),
        tries=memory.move_tries,
        refusals=refusal_texts(memory, observation),
        copied=copied if phase == MovePhase.MOVING else None,
        took_s=told.took_s if told is not None else None,
        downtime_s=None if milliseconds is None else milliseconds / 1000,
        copied_bytes=told.copied_bytes if told is not None else None,
    )


def refusal_texts(memory: Memory, observation: Observation) -> tuple[str, ...]:
    """The hosts that did not get it, each as "host: reason"; the first of them where many are."""
    refused = memory.move_refusals
    told = [f"{_name(observation, one)}: {why}" for one, why in refused[:MOST_REFUSALS]]
    rest = len(refused) - len(told)
    return (*(text[:LONGEST_REFUSAL] for text in told), *([f"and {rest} more hosts"] * bool(rest)))


def _phase(memory: Memory, observation: Observation) -> str:
    if memory.state is State.ENGINE_MIGRATING_AWAY:
        return MovePhase.MOVING
    refused = dict(memory.move_refusals)
    has_target = memory.move_target_id is not None and memory.move_target_id not in refused
    if memory.move_ended:
        return MovePhase.MOVED if has_target else MovePhase.REFUSED
    done = observation.move_outcome is MoveOutcome.DONE and observation.vm is Vm.ABSENT
    return MovePhase.MOVED if has_target and done else MovePhase.WAITING


def _name(observation: Observation, host_id: Optional[int]) -> str:
    if host_id is None:
        return ""
    found = [peer.name for peer in observation.peers if peer.host_id == host_id]
    return found[0] if found and found[0] else f"host {host_id}"
