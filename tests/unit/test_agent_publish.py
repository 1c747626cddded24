# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a host says of itself: the exact words, and when they are written."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any, Optional

import pytest

from fsm import Decision, Memory, Penalty, Score, State
from fsm.observation import Lease, Observation, Peer, Vm, VmEnding
from fsm.table import rows_of
from ha_agent.publication.publish import KEY, Publisher, engine_status, publication
from ha_agent.publication.recent_history import PENALTIES_KEPT, TRANSITIONS_KEPT, RecentHistory
from ha_broker.api.snapshot import MovePhase, MoveReport, Publication
from ha_broker.api.snapshot_json import publication_from_data, publication_to_data
from ha_broker.server.http_server import MAX_BODY_SIZE
from metadata.records import EngineStatus, EngineVm, Health, HostRecord
from metadata.wire import decode_slot, encode_host
from simulation.world import InlineRunner, VirtualClock


def seen(**fields: Any) -> Observation:
    return Observation(**{"now_s": 100.0, "host_id": 1, **fields})


def as_json(status: EngineStatus) -> dict[str, str]:
    """The status as it stands on the storage."""
    record = HostRecord(1, 100, 3400, status, "h1")
    field = encode_host(record)[:512].split(b"|")[5]
    decoded = json.loads(field)
    assert isinstance(decoded, dict)
    return decoded


RUNNING = {"vm": Vm.RUNNING}
ABSENT = {"vm": Vm.ABSENT}

STATUSES: dict[str, tuple[State, dict[str, Any], dict[str, str]]] = {
    "healthy": (
        State.ENGINE_UP,
        {**RUNNING, "health": Health.GOOD, "health_detail": "DB Up!"},
        {"vm": "up", "health": "good", "detail": "Up"},
    ),
    "healthy in maintenance": (
        State.GLOBAL_MAINTENANCE,
        {**RUNNING, "health": Health.GOOD},
        {"vm": "up", "health": "good", "detail": "Up"},
    ),
    "healthy and just noticed": (
        State.ENGINE_STARTING,
        {**RUNNING, "health": Health.GOOD},
        {"vm": "up", "health": "good", "detail": "Up"},
    ),
    "booting": (
        State.ENGINE_STARTING,
        {**RUNNING, "health": Health.BAD, "health_detail": "Connection refused"},
        {
            "vm": "up",
            "health": "bad",
            "detail": "Powering up",
            "reason": "failed liveliness check: Connection refused",
        },
    ),
    "sick": (
        State.ENGINE_UP_BAD_HEALTH,
        {**RUNNING, "health": Health.BAD},
        {"vm": "up", "health": "bad", "detail": "Up", "reason": "failed liveliness check"},
    ),
    "health not known": (
        State.ENGINE_UP,
        {**RUNNING, "health_detail": "its health page has not been asked yet"},
        {
            "vm": "up",
            "health": "unknown",
            "detail": "Up",
            "reason": "health not known: its health page has not been asked yet",
        },
    ),
    "shutting down": (
        State.ENGINE_STOP,
        {**RUNNING, "health": Health.BAD},
        {
            "vm": "up",
            "health": "bad",
            "detail": "Powering down",
            "reason": "failed liveliness check",
        },
    ),
    "paused": (
        State.ENGINE_UP_BAD_HEALTH,
        {"vm": Vm.PAUSED, "vm_detail": "its disk can't be read"},
        {
            "vm": "up",
            "health": "bad",
            "detail": "Paused",
            "reason": "paused: its disk can't be read",
        },
    ),
    "not here": (
        State.ENGINE_DOWN,
        ABSENT,
        {
            "vm": "down",
            "health": "bad",
            "detail": "unknown",
            "reason": "vm not running on this host",
        },
    ),
    "crashed": (
        State.ENGINE_DOWN,
        {**ABSENT, "vm_ending": VmEnding.CRASHED, "vm_detail": "killed"},
        {
            "vm": "down_unexpected",
            "health": "bad",
            "detail": "Down",
            "reason": "vm went down unexpectedly: killed",
        },
    ),
    "powered off inside, others go first": (
        State.ENGINE_UNEXPECTEDLY_DOWN,
        {**ABSENT, "vm_ending": VmEnding.GUEST_SHUTDOWN},
        {
            "vm": "down_unexpected",
            "health": "bad",
            "detail": "Down",
            "reason": "vm went down unexpectedly",
        },
    ),
    "crashed, meanwhile elsewhere": (
        State.ENGINE_DOWN,
        {**ABSENT, "vm_ending": VmEnding.CRASHED, "lease": Lease.THEIRS},
        {
            "vm": "down",
            "health": "bad",
            "detail": "unknown",
            "reason": "vm not running on this host",
        },
    ),
    "missing": (
        State.ENGINE_MAYBE_AWAY,
        {**ABSENT, "vm_ending": VmEnding.MISSING},
        {"vm": "down_missing", "health": "bad", "detail": "Down", "reason": "vm is missing"},
    ),
    "libvirt silent": (
        State.UNKNOWN_LOCAL_VM_STATE,
        {"vm": Vm.UNKNOWN, "vm_detail": "libvirt does not answer"},
        {
            "vm": "unknown",
            "health": "unknown",
            "detail": "Unknown",
            "reason": "libvirt does not answer",
        },
    ),
    "first record": (
        State.START_STATE,
        {},
        {
            "vm": "unknown",
            "health": "unknown",
            "detail": "Unknown",
            "reason": "libvirt has not answered yet",
        },
    ),
}


@pytest.mark.parametrize("name", STATUSES)
def test_the_words_of_the_engine_status(name: str) -> None:
    state, fields, expected = STATUSES[name]
    assert as_json(engine_status(state, seen(**fields))) == expected


# --- the record -----------------------------------------------------------------------


def decision(state: State = State.ENGINE_DOWN, **fields: Any) -> Decision:
    content: dict[str, Any] = {
        "memory": Memory(state=state),
        "actions": (),
        "row": rows_of(state)[-1],
        "why": "the engine runs elsewhere",
        "score": Score(3400),
    }
    return Decision(**{**content, **fields})


WALL_S = 1_700_000_000.0


def record_of(taken: Decision, now_s: float = 100.0) -> Publication:
    history = RecentHistory(10.0)
    history.note(taken.memory.state, taken, now_s)
    return publication(taken, seen(now_s=now_s, vm=Vm.ABSENT), WALL_S, 42.9, history)


def test_a_record() -> None:
    record = record_of(decision())
    assert (record.score, record.state, record.stopped) == (3400, "EngineDown", False)
    assert record.timeout_wall_time == ""
    assert record.notes == (("why", "the engine runs elsewhere"),)
    assert (record.conf_on_shared_storage, record.vm_conf_refresh_s) == (True, 42)


def test_no_configuration_yet() -> None:
    record = publication(decision(), seen(), 0.0, None, RecentHistory(10.0))
    assert (record.conf_on_shared_storage, record.vm_conf_refresh_s) == (False, 0)


def test_only_the_stopped_agent_says_stopped() -> None:
    said = {state: record_of(decision(state)).stopped for state in State}
    assert [state for state, stopped in said.items() if stopped] == [State.AGENT_STOPPED]


def test_the_time_out_is_told_in_wall_time() -> None:
    record = record_of(decision(State.ENGINE_STARTING, timeout_at_s=160.0))
    assert record.timeout_wall_time == time.ctime(WALL_S + 60)
    assert record.timeout_at_s == 160.0


def test_every_penalty_is_told_with_its_reason_and_since_when() -> None:
    penalties = (Penalty("network", 800, "50% failed"), Penalty("config", 1000, "outdated"))
    record = record_of(decision(score=Score(1600, penalties)))
    now = time.strftime("%H:%M:%S", time.localtime(WALL_S))
    expected = f"config -1000 (outdated, since {now}); network -800 (50% failed, since {now})"
    assert dict(record.notes)["penalties"] == expected
    assert [(one.name, one.began_at_s) for one in record.penalties] == [
        ("config", 100.0),
        ("network", 100.0),
    ]


def test_the_past_goes_with_the_record() -> None:
    record = record_of(decision(State.ENGINE_UP, changed=True))
    (change,) = record.transitions
    assert (change.number, change.at_s, change.after) == (1, 100.0, "EngineUp")
    assert (record.in_state_since_s, record.life_at_s) == (100.0, 10.0)
    assert record.why == "the engine runs elsewhere"


# The longest that a decision can tell: every text at its limit, in letters that JSON escapes.
WORST = decision(
    changed=True,
    why='"' * 5000,
    score=Score(0, tuple(Penalty(f"plugin-{n}" + "x" * 60, 1, "\xe4" * 5000) for n in range(99))),
)


def test_the_longest_publication_is_not_too_long_for_a_request() -> None:
    history = RecentHistory(10.0)
    for number in range(50):
        history.note(State.ENGINE_DOWN, WORST, 100.0 + number)
    record = publication(WORST, seen(vm=Vm.ABSENT), WALL_S, 42.9, history)
    assert len(record.penalties) == PENALTIES_KEPT
    assert len(record.transitions) == TRANSITIONS_KEPT
    assert record.transitions[-1].number == 50
    body = json.dumps(publication_to_data(record)).encode()
    assert len(body) < MAX_BODY_SIZE
    assert publication_from_data(json.loads(body)) == record


def test_a_measured_number_that_json_does_not_know_is_left_out() -> None:
    strange = (Penalty("network", 1, "?", float("inf"), float("nan"), "fraction"),)
    (told,) = record_of(decision(score=Score(0, strange))).penalties
    assert (told.value, told.threshold) == (None, None)


def test_notes_keep_one_equals_sign_per_line() -> None:
    record = record_of(decision(why="lock_manager = sanlock\nis missing"))
    assert dict(record.notes)["why"] == "lock_manager : sanlock is missing"


def test_the_record_survives_the_wire() -> None:
    record = record_of(decision(State.ENGINE_STARTING, timeout_at_s=160.0))
    host = HostRecord(
        1, 100, record.score, record.engine_status, "h1", state=record.state,
        timeout_wall_time=record.timeout_wall_time, notes=record.notes,
    )  # fmt: skip
    decoded = decode_slot(1, encode_host(host))
    assert isinstance(decoded, HostRecord)
    assert decoded.state == "EngineStarting"
    lines = decoded.text.splitlines()
    assert "why=the engine runs elsewhere" in lines
    assert all(line.count("=") == 1 for line in lines)


# --- when it is written ---------------------------------------------------------------


class Broker:
    """Takes what is published, or refuses it."""

    def __init__(self) -> None:
        self.taken: list[Publication] = []
        self.error: Exception | None = None

    def publish(self, record: Publication) -> None:
        if self.error is not None:
            raise self.error
        self.taken.append(record)


BASE = Publication(3400, EngineStatus(EngineVm.DOWN, Health.BAD, "unknown", "x"), "EngineDown")


def publisher() -> tuple[Publisher, Broker, InlineRunner]:
    runner, broker = InlineRunner(VirtualClock()), Broker()
    return Publisher(runner, broker), broker, runner  # type: ignore[arg-type]


def harvest(given: Publisher, runner: InlineRunner) -> list[str]:
    return [given.take(outcome) for outcome in runner.poll()]


def test_published_at_first_then_when_due() -> None:
    given, broker, runner = publisher()
    given.offer(BASE, due=False)
    harvest(given, runner)
    given.offer(BASE, due=False)
    assert broker.taken == [BASE]
    given.offer(BASE, due=True)
    assert broker.taken == [BASE, BASE]


CHANGES: list[dict[str, Any]] = [
    {"score": 0},
    {"state": "EngineUp"},
    {"stopped": True},
    {"engine_status": EngineStatus(EngineVm.UP, Health.GOOD, "Up")},
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_others_act_on_is_published_at_once(change: dict[str, Any]) -> None:
    given, broker, runner = publisher()
    given.offer(BASE, due=False)
    harvest(given, runner)
    given.offer(replace(BASE, **change), due=False)
    assert broker.taken[1:] == [replace(BASE, **change)]


def test_a_new_number_in_a_reason_waits_for_the_tick() -> None:
    given, broker, runner = publisher()
    given.offer(BASE, due=False)
    harvest(given, runner)
    given.offer(replace(BASE, notes=(("why", "16 s"),)), due=False)
    assert broker.taken == [BASE]


def test_the_latest_record_follows_a_slow_one() -> None:
    given, broker, runner = publisher()
    runner.hang(KEY)
    given.offer(BASE, due=True)
    given.offer(replace(BASE, score=1), due=True)
    given.offer(replace(BASE, score=2), due=True)
    assert broker.taken == []
    runner.release(KEY)
    harvest(given, runner)
    assert [record.score for record in broker.taken] == [3400, 2]


def test_an_answer_that_was_not_looked_at_yet_is_no_answer_to_the_next_record() -> None:
    given, broker, runner = publisher()
    given.offer(BASE, due=False)
    last = replace(BASE, stopped=True)
    given.offer(last, due=False)  # the first has ended, and nobody has harvested that yet
    for outcome in runner.poll():
        given.take(outcome)
        assert given.stopped_at_s is None
    assert broker.taken == [BASE, last]
    harvest(given, runner)
    assert given.stopped_at_s == 1000.0


def test_an_error_is_reported_and_the_next_due_record_is_the_retry() -> None:
    given, broker, runner = publisher()
    broker.error = OSError("no broker")
    given.offer(BASE, due=False)
    assert harvest(given, runner) == ["no broker"]
    broker.error = None
    given.offer(BASE, due=True)
    assert broker.taken == [BASE]


def test_stopped_at_is_known_once_the_broker_took_that_record() -> None:
    given, _broker, runner = publisher()
    given.offer(BASE, due=False)
    harvest(given, runner)
    assert given.stopped_at_s is None
    given.offer(replace(BASE, stopped=True), due=False)
    assert given.stopped_at_s is None
    harvest(given, runner)
    assert given.stopped_at_s == 1000.0


# --- an engine that leaves ----------------------------------------------------------------


def moving(**fields: Any) -> dict[str, str]:
    taken = decision(State.ENGINE_UP)
    history = RecentHistory(10.0)
    history.note(State.ENGINE_UP, taken, 100.0)
    observation = seen(moving_limit_s=40.0, **fields)
    return dict(publication(taken, observation, WALL_S, 42.9, history).notes)


def target(host_id: int, **fields: Any) -> Peer:
    return Peer(host_id, f"h{host_id}", fresh=True, **fields)


def test_an_engine_that_leaves_is_told_with_its_target() -> None:
    peers = (target(2), target(3, engine_up=True))
    note = "to h3, others wait 40 s"
    assert moving(vm=Vm.RUNNING, vm_leaving=True, peers=peers)["moving"] == note
    assert moving(vm=Vm.IN_TRANSIT, vm_leaving=True, peers=peers)["moving"] == note
    assert "moving" not in moving(vm=Vm.RUNNING, peers=peers)


@pytest.mark.parametrize("up", [(), (2, 3)])
def test_a_target_that_is_not_known_is_not_guessed(up: tuple[int, ...]) -> None:
    peers = tuple(target(host_id, engine_up=host_id in up) for host_id in (2, 3))
    told = moving(vm=Vm.IN_TRANSIT, vm_leaving=True, peers=peers)["moving"]
    assert told == "to another-host, others wait 40 s"


def test_that_it_leaves_is_written_at_once() -> None:
    runner = InlineRunner(VirtualClock())
    records: list[Publication] = []

    class Broker:
        def publish(self, record: Publication) -> None:
            records.append(record)

    publisher = Publisher(runner, Broker())  # type: ignore[arg-type]
    still = record_of(decision(State.ENGINE_UP))
    publisher.offer(still, due=False)
    for outcome in runner.poll():
        publisher.take(outcome)
    leaving = replace(still, notes=(("moving", "to h3, others wait 40 s"),))
    publisher.offer(leaving, due=False)
    assert records == [still, leaving]


# --- moves that are over ----------------------------------------------------------------------

LEFT = {"vm": Vm.ABSENT, "vm_ending": VmEnding.MIGRATED, "lease": Lease.THEIRS, "lease_owner": "h2"}
REPORT = MoveReport("shutdown", MovePhase.MOVED, "h2", 1, (), None, 1.63, 0.617, 134217728)


def said_of(move: Optional[MoveReport] = REPORT, **fields: Any) -> dict[str, str]:
    memory = Memory(State.ENGINE_DOWN, better_moves_s=fields.pop("better_moves_s", ()))
    taken = replace(decision(), memory=memory)
    history = RecentHistory(10.0)
    return dict(
        publication(taken, seen(**{**LEFT, **fields}), WALL_S, 42.9, history, move=move).notes
    )


def test_a_host_that_the_engine_has_left_alive_says_where_it_went_and_how() -> None:
    assert said_of()["moved"] == "to h2, took 1.6 s, stood still 0.62 s, 134217728 bytes"


@pytest.mark.parametrize("move", [None, replace(REPORT, target="h3")])
def test_what_somebody_else_has_moved_is_said_without_figures(move: Optional[MoveReport]) -> None:
    assert said_of(move)["moved"] == "to h2"


@pytest.mark.parametrize(
    "fields",
    [
        {"vm": Vm.RUNNING},
        {"vm_ending": VmEnding.STOPPED},
        {"lease": Lease.FREE},
        {"lease_owner": ""},
    ],
    ids=str,
)
def test_nothing_is_said_of_a_move_that_is_not_known_to_be_over(fields: Any) -> None:
    assert "moved" not in said_of(**fields)


def test_moves_to_a_better_host_are_counted_for_the_others() -> None:
    assert "better-moves" not in said_of()
    assert said_of(better_moves_s=(1.0, 2.0))["better-moves"] == "2"
