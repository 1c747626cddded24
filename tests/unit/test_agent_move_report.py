# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the agent says of moving the engine away, and local maintenance that it takes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest

from fsm import Decision, Memory, State
from fsm.memory import Action
from fsm.observation import Lease, MoveOutcome, MoveRequest, Observation, Peer, Vm
from fsm.step import step as real_step
from ha_agent import agent as agent_module
from ha_agent.publication.move_report import (
    LONGEST_REFUSAL,
    MOST_REFUSALS,
    MoveReporter,
    move_report,
    refusal_texts,
)
from ha_agent.publication.publish import Publisher
from ha_broker.api.snapshot import MAINTENANCE, MoveOrder, MovePhase, MoveReport, Publication
from ha_broker.api.snapshot_json import publication_from_data, publication_to_data
from ha_broker.server.http_server import MAX_BODY_SIZE
from metadata.records import EngineStatus, EngineVm, Health
from simulation.world import InlineRunner, VirtualClock
from tests.unit.agent_host import AgentHost
from world.ports.libvirt import MigrationResult

PEERS = (Peer(2, "h2"), Peer(3, "h3"))
RESULT = MigrationResult(took_s=1.6, downtime_ms=640, copied_bytes=150_000_000)
UP = EngineStatus(EngineVm.UP, Health.GOOD, "Up")


def seen(**fields: Any) -> Observation:
    return Observation(**{"now_s": 100.0, "host_id": 1, "peers": PEERS, **fields})


def wants(state: State = State.ENGINE_UP, **fields: Any) -> Memory:
    """As the table leaves it: libvirt has been told of a target that has not refused."""
    refused = dict(fields.get("move_refusals", ()))
    ordered = "move_target_id" in fields and fields["move_target_id"] not in refused
    given = {"state": state, "move_for": MAINTENANCE, "move_ordered": ordered, **fields}
    return Memory(**given)


def phase(memory: Memory, **fields: Any) -> Optional[str]:
    report = move_report(memory, seen(**fields))
    return None if report is None else report.phase


def test_where_none_was_wanted_nothing_is_said() -> None:
    assert move_report(Memory(), seen(), 0.5, RESULT) is None


MOVING, MIGRATE = State.ENGINE_MIGRATING_AWAY, State.LOCAL_MAINTENANCE_MIGRATE_VM
BACK, DOWN = State.ENGINE_UP, State.ENGINE_DOWN
GONE = {"vm": Vm.ABSENT, "move_outcome": MoveOutcome.DONE}
LOST = {"vm": Vm.ABSENT, "move_outcome": MoveOutcome.FAILED}
HERE = {"vm": Vm.RUNNING}
ORDERED = {"move_for": "order-1"}
ASKED = {"move_request": MoveRequest("order-1")}
H2_NO = ((2, "no room"),)


@pytest.mark.parametrize(
    ("memory", "observed", "expected"),
    [
        (wants(MIGRATE), HERE, MovePhase.WAITING),
        (wants(BACK, **ORDERED), {**HERE, **ASKED}, MovePhase.WAITING),
        (wants(MOVING, move_target_id=2), HERE, MovePhase.MOVING),
        (wants(MOVING, move_target_id=2), GONE, MovePhase.MOVING),
        # The first host has refused, the next one is looked for.
        (wants(MIGRATE, move_target_id=2, move_refusals=H2_NO), HERE, MovePhase.WAITING),
        (wants(MIGRATE, move_ended=True), HERE, MovePhase.REFUSED),
        (wants(BACK, move_ended=True, move_ordered=False), HERE, MovePhase.REFUSED),
        (wants(State.LOCAL_MAINTENANCE, move_target_id=2), GONE, MovePhase.MOVED),
        (wants(DOWN, move_target_id=2, **ORDERED), {**GONE, **ASKED}, MovePhase.MOVED),
        (wants(State.ENGINE_MAYBE_AWAY, move_target_id=2, **ORDERED), GONE, MovePhase.MOVED),
        # An agent that was started anew on the way asks nobody what became of it but the lease.
        (
            wants(State.LOCAL_MAINTENANCE, move_target_id=2),
            {"vm": Vm.ABSENT, "lease": Lease.THEIRS, "lease_owner_id": 2},
            MovePhase.MOVED,
        ),
        (
            wants(State.LOCAL_MAINTENANCE, move_target_id=2),
            {"vm": Vm.ABSENT, "lease": Lease.THEIRS, "lease_owner_id": 3},
            None,
        ),
        # Back again, much later: the reporter alone knows what became of it.
        (wants(BACK, move_target_id=2), {**HERE, "move_outcome": MoveOutcome.DONE}, None),
        # For a second maintenance it has to leave anew.
        (
            wants(MIGRATE, move_target_id=2),
            {**HERE, "move_outcome": MoveOutcome.DONE},
            MovePhase.WAITING,
        ),
        # It ended here in the middle of it: that is no move, and nothing more comes of it.
        (wants(DOWN, move_target_id=2, **ORDERED), {**LOST, **ASKED}, MovePhase.REFUSED),
        # It has left, and nobody has said yet how that ended.
        (
            wants(State.ENGINE_MAYBE_AWAY, move_target_id=2, **ORDERED),
            {"vm": Vm.ABSENT, "move_outcome": MoveOutcome.RUNNING, **ASKED},
            None,
        ),
        # Nobody wants it any more, and it was never begun.
        (wants(BACK, **ORDERED), HERE, None),
    ],
)
def test_how_far_it_is(memory: Memory, observed: dict[str, Any], expected: Optional[str]) -> None:
    assert phase(memory, **observed) == expected


def test_names_and_reasons_are_told() -> None:
    memory = wants(
        MOVING,
        move_for="order-1",
        move_target_id=3,
        move_refusals=((2, "no room"), (7, "it is gone")),
    )
    refused = ("h2: no room", "host 7: it is gone")
    tries = memory.move_tries
    assert move_report(memory, seen(vm=Vm.RUNNING), 0.34, RESULT) == MoveReport(
        "order-1", MovePhase.MOVING, "h3", tries, refused, 0.34
    )


def test_a_vm_that_ended_on_the_way_says_what_libvirt_said() -> None:
    memory = wants(DOWN, move_target_id=2, move_refusals=((3, "no room"),))
    report = move_report(memory, seen(**LOST, move_why="the connection broke"))
    assert report is not None
    assert report.refusals == ("h3: no room", "h2: the connection broke")


def test_what_became_of_a_move_is_told_as_it_was_then() -> None:
    reporter = MoveReporter()
    asked = seen(vm=Vm.RUNNING, **ASKED)
    assert reporter.report(wants(MOVING, move_target_id=2, **ORDERED), asked) is not None
    ended = wants(BACK, move_ended=True, move_target_id=2, move_refusals=H2_NO, **ORDERED)
    report = reporter.report(ended, asked)
    assert report is not None
    assert report.refusals == ("h2: no room", "h3: sanlock does not call it alive")
    later = replace(ended, move_refusals=())
    assert reporter.report(later, seen(vm=Vm.RUNNING)) is report
    # The order is there still for a moment, and libvirt's word counts for that one decision alone.
    assert reporter.report(replace(ended, move_ended=False), asked) is report
    fails = MoveReporter()
    ordered = wants(DOWN, move_target_id=2, **ORDERED)
    refused = fails.report(ordered, seen(**LOST, **ASKED))
    assert refused is not None
    assert refused.phase == MovePhase.REFUSED
    assert fails.report(ordered, seen(vm=Vm.ABSENT, **ASKED)) is refused
    assert fails.report(ordered, seen(vm=Vm.RUNNING, **ASKED)) is refused
    # In local maintenance the end of the move may be known later.
    late = MoveReporter()
    rests = wants(State.LOCAL_MAINTENANCE, move_target_id=2)
    moving = late.report(wants(MOVING, move_target_id=2), seen(vm=Vm.RUNNING))
    assert late.report(rests, seen(vm=Vm.ABSENT, move_outcome=MoveOutcome.RUNNING)) is moving
    told = late.report(rests, seen(**GONE), None, RESULT)
    assert told is not None
    assert told.phase == MovePhase.MOVED
    # By the lease it was known before libvirt has said how it was.
    soon = MoveReporter()
    by_lease = seen(vm=Vm.ABSENT, lease=Lease.THEIRS, lease_owner_id=2)
    moved = wants(State.LOCAL_MAINTENANCE, move_target_id=2)
    early, full = soon.report(moved, by_lease), soon.report(moved, seen(**GONE), 1, RESULT)
    assert early is not None
    assert full is not None
    assert (early.phase, early.took_s, full.took_s) == (MovePhase.MOVED, None, 1.6)
    # A second maintenance is another move, though it is for the same.
    again = MoveReporter()
    first = again.report(wants(State.LOCAL_MAINTENANCE, move_target_id=2), seen(**GONE), 1, RESULT)
    assert again.report(wants(State.LOCAL_MAINTENANCE, move_target_id=2), seen(**GONE)) is first
    second = again.report(wants(MIGRATE, move_target_id=2), seen(vm=Vm.RUNNING))
    assert second is not None
    assert second.phase == MovePhase.WAITING


def test_what_libvirt_said_belongs_to_a_move_that_succeeded() -> None:
    memory = wants(State.LOCAL_MAINTENANCE, move_target_id=2)
    report = move_report(memory, seen(**GONE), 1.0, RESULT)
    assert report is not None
    assert (report.took_s, report.downtime_s, report.copied_bytes) == (1.6, 0.64, 150_000_000)
    assert report.copied is None
    silent = move_report(memory, seen(**GONE), None, MigrationResult(2.0))
    assert silent is not None
    assert (silent.took_s, silent.downtime_s, silent.copied_bytes) == (2.0, None, None)


def test_many_long_refusals_fit_into_what_the_broker_takes() -> None:
    memory = wants(MIGRATE, move_refusals=tuple((number, "x" * 5000) for number in range(2000)))
    told = refusal_texts(memory, seen())
    assert told[-1] == f"and {2000 - MOST_REFUSALS} more hosts"
    assert max(map(len, told)) == LONGEST_REFUSAL
    record = Publication(3400, UP, "EngineUp", move=move_report(memory, seen(vm=Vm.RUNNING)))
    assert len(str(publication_to_data(record))) < MAX_BODY_SIZE
    assert publication_from_data(publication_to_data(record)) == record


# --- when it is told --------------------------------------------------------------------------


def test_news_of_a_move_is_told_at_once_and_its_progress_with_the_next_record() -> None:
    given: list[Publication] = []
    host = AgentHost()
    host.broker.publish = given.append  # type: ignore[method-assign]
    publisher = Publisher(InlineRunner(VirtualClock()), host.broker)
    moving = MoveReport(MAINTENANCE, MovePhase.MOVING, "h2", 1, copied=0.1)
    record = Publication(3400, UP, "EngineMigratingAway", move=moving)

    def offered(move: MoveReport, due: bool = False) -> bool:
        before = publisher._latest
        publisher.offer(replace(record, move=move), due)
        return publisher._latest is not before

    assert offered(moving)
    assert not offered(replace(moving, copied=0.9))
    assert offered(replace(moving, copied=0.9), due=True)
    for news in (
        replace(moving, tries=2),
        replace(moving, target="h3"),
        replace(moving, refusals=("h2: no",)),
        replace(moving, phase=MovePhase.MOVED),
    ):
        assert offered(news)


# --- the agent --------------------------------------------------------------------------------


def test_the_agent_sees_a_persons_order_while_the_broker_speaks() -> None:
    host = AgentHost()
    host.settle()
    host.broker.override["move_order"] = MoveOrder("move-1.000-1", 2, 90.0)
    observed = host.agent._observe(host.clock.monotonic_s(), False)
    assert observed.move_request is not None
    assert (observed.move_request.request_id, observed.move_request.to_id) == ("move-1.000-1", 2)
    host.broker.gone = True
    host.clock.advance(60)
    assert host.agent._observe(host.clock.monotonic_s(), False).move_request is None


def ends_it(memory: Memory, *rest: Any) -> Decision:
    found = real_step(memory, *rest)
    return replace(found, why=WHY, actions=(Action.END_LOCAL_MAINTENANCE,))


WHY = "local maintenance is taken back, for no host can take the engine: h2: no room"


def test_local_maintenance_is_taken_back_with_the_decisions_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = AgentHost()
    host.settle()
    monkeypatch.setattr(agent_module, "step", ends_it)
    host.run_for(12)
    assert host.broker.ended_for, "a job has told the broker"
    assert set(host.broker.ended_for) == {WHY}


def test_a_broker_that_is_gone_is_noted_and_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    host = AgentHost()
    host.settle()
    host.broker.gone = True
    monkeypatch.setattr(agent_module, "step", ends_it)
    host.run_for(12)
    assert "can't take local maintenance back: there is no broker" in caplog.text
    host.broker.gone = False
    host.run_for(12)
    assert host.broker.ended_for
