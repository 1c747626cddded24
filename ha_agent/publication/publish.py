# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What this host tells the others of itself, and getting it told.

The vocabulary of the engine status is read by other programs (``engine_status_json``): a
healthy engine is exactly ``{"vm": "up", "health": "good", "detail": "Up"}``.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Optional

from fsm.decision import Decision
from fsm.memory import Memory
from fsm.observation import Lease, Observation, Peer, Vm, VmEnding
from fsm.reach import dark_for
from ha_agent.observation.collect import NO_PAGE
from ha_agent.ports import BrokerPort
from ha_agent.publication.recent_history import RecentHistory
from ha_broker.api import penalties_line
from ha_broker.api.snapshot import MovePhase, MoveReport, Publication
from ha_broker.api.times import local_time
from metadata import better_note, moved_note, moving_note, takes_note
from metadata.engine_status import NOT_HERE, UNHEALTHY
from metadata.error_words import bare_reason
from metadata.extra_text import NOTE_LIMIT
from metadata.moved_note import MovedNote, encode_moved
from metadata.moving_note import MovingNote, encode_moving, moving_to
from metadata.notes import WHY
from metadata.reach import (
    GAVE_AWAY,
    GAVE_AWAY_TEXT,
    OUT_OF_REACH,
    WITNESS,
    reach_notes,
    testimony_text,
)
from metadata.records import PAUSED, POWERING_DOWN, EngineStatus, EngineVm, Health
from metadata.start_notes import StartNotes, read_start_notes, start_notes, started_from_notes
from metadata.states import State
from metadata.takes_note import TakesNote, encode_takes, takes_told
from world.ports.jobs import Outcome, Runner

KEY = "publish"


_POWERING_UP = frozenset({State.ENGINE_START, State.ENGINE_STARTING})
_POWERING_DOWN = frozenset({State.ENGINE_STOP, State.ENGINE_FORCE_STOP})


# --- the record -----------------------------------------------------------------------


def publication(
    decision: Decision,
    observation: Observation,
    wall_s: float,
    config_loaded_at_s: Optional[float],
    history: RecentHistory,
    *,
    takes: Optional[TakesNote] = None,
    move: Optional[MoveReport] = None,
    older_version: Optional[int] = None,
) -> Publication:
    """The record of this host after `decision`; `wall_s` serves texts only.

    `takes` None: it does not say whether it can take the engine by live migration. `move` is what
    there is to say of moving it away from here. `older_version` of the shared configuration is what
    the VM here was started from, where its domain XML is not the one in use.
    """
    state, now_s = decision.memory.state, observation.now_s
    return Publication(
        score=decision.score.points,
        engine_status=engine_status(state, observation),
        state=state.value,
        stopped=state is State.AGENT_STOPPED,
        timeout_wall_time=_timeout_text(decision, now_s, wall_s),
        notes=(
            *_notes(decision, observation, history, wall_s),
            *_moving(decision.memory, observation),
            *_takes(takes),
            *_better_moves(decision.memory),
            *_testimony(observation),
            *_giving(decision),
            *started_from_notes(older_version),
            *_moved(observation, move),
        ),
        conf_on_shared_storage=config_loaded_at_s is not None,
        vm_conf_refresh_s=int(config_loaded_at_s or 0),
        why=decision.why[:NOTE_LIMIT],
        in_state_since_s=history.state_since_s,
        timeout_at_s=decision.timeout_at_s,
        penalties=history.penalties,
        transitions=history.transitions,
        life_at_s=history.life_at_s,
        move=move,
    )


def engine_status(state: State, observation: Observation) -> EngineStatus:
    """The engine as seen from this host, in the words that other programs know."""
    if observation.vm is Vm.RUNNING:
        return _running(state, observation)
    if observation.vm in (Vm.PAUSED, Vm.IN_TRANSIT):
        reason = f"paused: {observation.vm_detail or 'no reason given'}"
        return EngineStatus(EngineVm.UP, Health.BAD, PAUSED, reason)
    if observation.vm is Vm.ABSENT:
        return _absent(state, observation)
    reason = observation.vm_detail or "libvirt has not answered yet"
    return EngineStatus(EngineVm.UNKNOWN, Health.UNKNOWN, "Unknown", reason)


def _running(state: State, observation: Observation) -> EngineStatus:
    detail = _running_detail(state, observation.health)
    if state is State.ENGINE_UP_BAD_HEALTH and observation.health is not Health.BAD:
        names = ", ".join(peer.name for peer in dark_for(observation))
        if names:
            reason = _joined(UNHEALTHY, f"{OUT_OF_REACH} {names}")
            return EngineStatus(EngineVm.UP, Health.BAD, detail, reason)
    if observation.health is Health.GOOD:
        return EngineStatus(EngineVm.UP, Health.GOOD, detail)
    if observation.health is Health.BAD:
        reason = _joined(UNHEALTHY, observation.health_detail)
    elif observation.health_detail == NO_PAGE:
        reason = NO_PAGE
    else:
        reason = _joined("health not known", observation.health_detail)
    return EngineStatus(EngineVm.UP, observation.health, detail, reason)


def _running_detail(state: State, health: Health) -> str:
    if state in _POWERING_DOWN:
        return POWERING_DOWN
    if state in _POWERING_UP and health is not Health.GOOD:
        return "Powering up"
    return "Up"


def _absent(state: State, observation: Observation) -> EngineStatus:
    """An engine that runs elsewhere did not go missing here."""
    if observation.lease is not Lease.THEIRS:
        if observation.vm_ending is VmEnding.MISSING:
            return EngineStatus(EngineVm.DOWN_MISSING, Health.BAD, "Down", "vm is missing")
        crashed = observation.vm_ending is VmEnding.CRASHED
        if crashed or state is State.ENGINE_UNEXPECTEDLY_DOWN:
            reason = _joined("vm went down unexpectedly", observation.vm_detail)
            return EngineStatus(EngineVm.DOWN_UNEXPECTED, Health.BAD, "Down", reason)
    return EngineStatus(EngineVm.DOWN, Health.BAD, "unknown", NOT_HERE)


def _joined(reason: str, detail: str) -> str:
    return f"{reason}: {detail}" if detail else reason


def _timeout_text(decision: Decision, now_s: float, wall_s: float) -> str:
    if decision.timeout_at_s is None:
        return ""
    return time.asctime(local_time(wall_s + decision.timeout_at_s - now_s))


def _notes(
    decision: Decision, observation: Observation, history: RecentHistory, wall_s: float
) -> tuple[tuple[str, str], ...]:
    """What other hosts go by comes first: where room is short, the last lines are dropped."""
    now_s = observation.now_s
    told = StartNotes(_one_line(observation.cannot_start_why), decision.memory.tries)
    notes = [*start_notes(told), (WHY, _one_line(decision.why))]
    if history.penalties:
        text = penalties_line.penalties_note(history.penalties, now_s, wall_s)
        notes.append((penalties_line.KEY, _one_line(text)))
    return tuple(notes)


def _moving(memory: Memory, observation: Observation) -> list[tuple[str, str]]:
    """The engine is about to run elsewhere: nobody shall take its lease on the way.

    A move of our own is told before it begins. Of one by somebody else the target's record has the
    VM as paused; before it is read nobody knows the target.
    """
    own = memory.state is State.ENGINE_MIGRATING_AWAY
    if not own and not observation.vm_leaving:
        return []
    to = move_target(memory, observation.peers) if own else _target_seen(observation.peers)
    return [(moving_note.KEY, encode_moving(MovingNote(to, observation.moving_limit_s)))]


def _better_moves(memory: Memory) -> list[tuple[str, str]]:
    """How often this host has moved the engine to a better one within a day."""
    count = len(memory.better_moves_s)
    return [(better_note.KEY, str(count))] if count else []


def _moved(observation: Observation, move: Optional[MoveReport]) -> list[tuple[str, str]]:
    """That the engine has left this host alive, with libvirt's figures where they are of that."""
    away = observation.vm is Vm.ABSENT and observation.lease is Lease.THEIRS
    to = _one_line(observation.lease_owner).replace(" ", "")
    if not away or observation.vm_ending is not VmEnding.MIGRATED or not to:
        return []
    note = MovedNote(to)
    if move is not None and move.phase == MovePhase.MOVED and move.target == to:
        note = MovedNote(to, move.took_s, move.downtime_s, move.copied_bytes)
    return [(moved_note.KEY, encode_moved(note))]


def move_target(memory: Memory, peers: tuple[Peer, ...]) -> str:
    """The name of the host to which this one moves the engine; empty: it is not known."""
    target_id = memory.move_target_id
    if target_id is None:
        return ""
    return next((peer.name for peer in peers if peer.host_id == target_id), "")


def _target_seen(peers: tuple[Peer, ...]) -> str:
    targets = [peer.name for peer in peers if peer.fresh and peer.engine_up]
    return targets[0] if len(targets) == 1 else ""


def _takes(takes: Optional[TakesNote]) -> list[tuple[str, str]]:
    """Whether this host could take an engine that moves."""
    return [] if takes is None else [(takes_note.KEY, _one_line(encode_takes(takes)))]


def _testimony(observation: Observation) -> tuple[tuple[str, str], ...]:
    """What this host sees of an engine that runs elsewhere."""
    testimony = observation.testimony
    return () if testimony is None else ((WITNESS, testimony_text(testimony)),)


def _giving(decision: Decision) -> tuple[tuple[str, str], ...]:
    """That it gave the engine away, as long as it counts."""
    given = decision.memory.gave_away_at_s is not None
    return ((GAVE_AWAY, GAVE_AWAY_TEXT),) if given else ()


def _one_line(text: str) -> str:
    """A line of the text part has exactly one ``=``: the one behind its key."""
    return " ".join(text.replace("=", ":").split())[:NOTE_LIMIT]


# --- getting it told ------------------------------------------------------------------


class Publisher:
    """Hands records to the broker, one at a time; a newer one replaces one that waits."""

    def __init__(self, runner: Runner, broker: BrokerPort) -> None:
        self._runner = runner
        self._broker = broker
        self._latest: Optional[Publication] = None
        self._waiting: Optional[Publication] = None
        self._in_flight: Optional[Publication] = None
        self._accepted: Optional[Publication] = None
        self._accepted_at_s: Optional[float] = None
        self._moving_to: Optional[str] = None
        self._moving_since_s: Optional[float] = None
        self._refusing_since_s: Optional[float] = None
        self.said_the_same = False
        """Was the record handed over last the one before, and nothing else waits?"""

    def offer(self, record: Publication, due: bool) -> None:
        """Publish `record` if something in it changed that others act on, or if it is `due`."""
        if due or self._latest is None or _essence(record) != _essence(self._latest):
            self._latest = self._waiting = record
            self.send()

    def send(self) -> None:
        """Hand over what waits, unless the previous record is still on its way."""
        record = self._waiting
        # One that has ended but was not harvested yet still is on its way: `take` sends again.
        if record is None or self._in_flight is not None:
            return
        if self._runner.submit(KEY, lambda: self._broker.publish(record)):
            self._in_flight, self._waiting = record, None

    def take(self, outcome: Outcome[object]) -> str:
        """A hand-over ended; returns its error. The next due record is the retry."""
        same = outcome.error is None and self._accepted == self._in_flight
        self.said_the_same = same and self._waiting is None
        if outcome.error is None:
            self._accepted, self._accepted_at_s = self._in_flight, outcome.started_at_s
            self._note_moving(outcome.started_at_s)
            self._note_refusing(outcome.started_at_s)
        self._in_flight = None
        self.send()
        return "" if outcome.error is None else bare_reason(outcome.error)

    @property
    def stopped_at_s(self) -> Optional[float]:
        """When the broker took the record that says `stopped`; None: it has not."""
        accepted = self._accepted
        return self._accepted_at_s if accepted is not None and accepted.stopped else None

    def moving_since_s(self, to: str) -> Optional[float]:
        """Since when each record that the broker took says that the engine moves to host `to`;
        None: the latest does not."""
        return self._moving_since_s if self._moving_to == to else None

    @property
    def refusing_since_s(self) -> Optional[float]:
        """Since when each record that the broker took says that this host takes no engine alive;
        None: the latest does not."""
        return self._refusing_since_s

    def _note_refusing(self, at_s: float) -> None:
        takes = self._accepted is None or bool(takes_told(self._accepted.notes).address)
        if takes:
            self._refusing_since_s = None
        elif self._refusing_since_s is None:
            self._refusing_since_s = at_s

    def _note_moving(self, at_s: float) -> None:
        to = moving_to(self._accepted.notes) if self._accepted is not None else None
        if to != self._moving_to:
            self._moving_to, self._moving_since_s = to, at_s


def _essence(record: Publication) -> tuple[object, ...]:
    """What others act on; a reason with a new number is no reason to write."""
    status = record.engine_status
    told = read_start_notes(record.notes)
    starts = bool(told.cannot_start), told.tries
    moving, takes_at = moving_to(record.notes), takes_told(record.notes).address
    engine = status.vm, status.health, status.detail
    reach = reach_notes(record.notes)
    # How much is copied changes all the time.
    move = record.move and replace(record.move, copied=None)
    moves = moving, takes_at, move
    return (record.score, record.state, record.stopped, *starts, *engine, *moves, reach)
