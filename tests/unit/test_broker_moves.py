# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Orders to move the engine, and local maintenance where it runs: a real broker, a fake agent."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional, Union

import pytest

from ha_broker.api.snapshot import MAINTENANCE, HostView, MovePhase, MoveReport
from ha_broker.api.takers import MOST_REASONS, cannot_take, not_chosen, reasons_text, takers
from ha_broker.engine_moves import ORDER_HOLDS_S, maintenance_refusal
from ha_broker.server.mailbox import MoveTicket, Refusal
from ha_broker.storage import second_look
from metadata import takes_note
from metadata.liveness import Liveness
from metadata.records import GlobalRecord
from metadata.takes_note import TakesNote, encode_takes
from metadata.wire import encode_global
from simulation.world import SimLockspace
from tests.unit.broker_host import JOIN_S, PUBLICATION, TICK_S, UP, Cluster, Host, record
from world.ports.libvirt import Domain, DomainState

ENGINE_UP = replace(PUBLICATION, engine_status=UP, state="EngineUp")
RUNNING = Domain(DomainState.RUNNING, pid=7)


def takes(why: str = "") -> tuple[tuple[str, str], ...]:
    note = TakesNote(why_not=why) if why else TakesNote(address="qemu+tls://h/system")
    return ((takes_note.KEY, encode_takes(note)),)


class Scene:
    """h1 has the engine, its agent is this test; h2 and h3 are records beside members."""

    def __init__(self, directory: Path) -> None:
        self.cluster = Cluster()
        self.host: Host = self.cluster.host(1, directory)
        self.others: dict[int, dict[str, Any]] = {2: {"notes": takes()}, 3: {"notes": takes()}}
        self.members: dict[int, SimLockspace] = {}
        self.said = ENGINE_UP
        self.silent = False
        self.cluster.put(0, encode_global(GlobalRecord(False)))
        for host_id in self.others:
            self.members[host_id] = self.cluster.peer(host_id)
        self.run(JOIN_S + 12 * TICK_S)
        self.host.hypervisor.set_domain(RUNNING)
        self.run(2 * TICK_S)

    def run(self, seconds: float) -> None:
        """Everybody writes in each tick."""
        for _ in range(max(1, round(seconds / TICK_S))):
            for host_id, fields in self.others.items():
                self.write(host_id, **fields)
            if not self.silent:
                self.host.publish(self.said)
            self.cluster.run(TICK_S)

    def write(self, host_id: int, **fields: Any) -> None:
        """One host alone, and now."""
        self.cluster.put_record(host_id, int(self.cluster.clock.monotonic_s()), **fields)

    def order(self, to: Union[int, str, None] = None) -> MoveTicket:
        ticket = self.host.broker.mailbox.ask_move(to)
        self.host.settle()
        return ticket

    def refused(self, to: Union[int, str, None] = None) -> str:
        with pytest.raises(Refusal) as caught:
            self.order(to).wait(0)
        assert caught.value.status == 409
        assert self.host.snapshot.move_order is None
        return caught.value.why

    def local_refused(self) -> str:
        with pytest.raises(Refusal) as caught:
            self.host.ask("local", True).wait(0)
        assert caught.value.status == 409
        assert self.host.snapshot.local_maintenance is False
        return caught.value.why

    def report(self, what_for: str, phase: str, **fields: Any) -> None:
        self.said = replace(self.said, move=MoveReport(what_for, phase, **fields))
        self.host.publish(self.said)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


# --- orders -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("to", "expected"), [(None, None), ("h2", 2), (3, 3), ("3", 3)], ids=repr)
def test_an_order_is_shown_at_once_and_is_news(
    scene: Scene, to: Union[int, str, None], expected: Optional[int]
) -> None:
    before = scene.host.snapshot.sequence
    ticket = scene.order(to)
    ticket.wait(0)
    order = scene.host.snapshot.move_order
    assert order is not None
    assert order is ticket.order
    assert order.to_id == expected
    assert order.asked_at_s == scene.cluster.clock.monotonic_s()
    assert scene.host.snapshot.sequence > before, "the agent's long poll ends"


@pytest.mark.parametrize("phase", [MovePhase.MOVED, MovePhase.REFUSED])
def test_an_order_holds_until_the_agent_says_what_became_of_it(scene: Scene, phase: str) -> None:
    scene.order("h2").wait(0)
    order = scene.host.snapshot.move_order
    assert order is not None
    for going_on in (MovePhase.WAITING, MovePhase.MOVING):
        scene.report(order.request_id, going_on)
        scene.run(TICK_S)
        assert scene.host.snapshot.move_order == order
    scene.report("another one", phase)
    assert scene.host.snapshot.move_order == order
    scene.report(order.request_id, phase)
    assert scene.host.snapshot.move_order is None


def test_a_newer_order_takes_the_place_of_an_older_one(scene: Scene) -> None:
    first, second = scene.order("h2"), scene.order("h3")
    first.wait(0)
    second.wait(0)
    assert first.order is not None
    assert second.order is not None
    assert first.order.request_id != second.order.request_id
    assert scene.host.snapshot.move_order == second.order


def test_an_order_that_no_agent_speaks_of_is_dropped(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.order().wait(0)
    scene.silent = True
    scene.run(ORDER_HOLDS_S - TICK_S)
    assert scene.host.snapshot.move_order is not None
    scene.run(2 * TICK_S)
    assert scene.host.snapshot.move_order is None
    assert "is dropped: it was not begun within 180 s" in caplog.text


def test_an_order_that_finds_no_target_does_not_wait_for_ever(scene: Scene) -> None:
    scene.order().wait(0)
    order = scene.host.snapshot.move_order
    assert order is not None
    scene.report(order.request_id, MovePhase.WAITING)
    scene.run(ORDER_HOLDS_S - TICK_S)
    assert scene.host.snapshot.move_order == order
    scene.run(2 * TICK_S)
    assert scene.host.snapshot.move_order is None


def test_an_agent_that_is_at_it_keeps_its_order(scene: Scene) -> None:
    scene.order().wait(0)
    order = scene.host.snapshot.move_order
    assert order is not None
    scene.report(order.request_id, MovePhase.MOVING)
    scene.run(2 * ORDER_HOLDS_S)
    assert scene.host.snapshot.move_order == order
    scene.silent = True
    scene.run(ORDER_HOLDS_S + TICK_S)
    assert scene.host.snapshot.move_order is None


def test_a_broker_that_was_restarted_knows_of_no_order(scene: Scene) -> None:
    scene.order().wait(0)
    scene.host.start()
    scene.run(3 * TICK_S)
    assert scene.host.snapshot.move_order is None


def test_an_order_that_nobody_waits_for_is_not_given(scene: Scene) -> None:
    ticket = scene.host.broker.mailbox.ask_move("h2")
    with pytest.raises(Refusal, match="the order to move the engine to 'h2' could not be begun"):
        ticket.wait(0)
    scene.host.settle()
    assert scene.host.snapshot.move_order is None


def test_orders_work_in_global_maintenance_where_nothing_moves_by_itself(scene: Scene) -> None:
    scene.host.ask("global", True)
    scene.run(2 * TICK_S)
    assert scene.host.snapshot.global_maintenance is True
    scene.order("h2").wait(0)
    assert scene.host.snapshot.move_order is not None


# --- orders that can never work ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("h1", "h1 is this host: the engine's VM is there already"),
        (1, "h1 is this host"),
        ("h9", "'h9' is not known; known hosts with their ids: h1 (1); h2 (2); h3 (3)"),
        (77, "host 77 is not known"),
        ("H2", "'H2' is not known"),
    ],
)
def test_a_host_that_can_not_be_meant(scene: Scene, to: Union[int, str], why: str) -> None:
    assert why in scene.refused(to)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"notes": takes("too little free memory")}, "too little free memory"),
        ({"notes": ()}, "its program is older"),
        ({"notes": takes(), "maintenance": True}, "it is in local maintenance"),
        ({"notes": takes(), "stopped": True}, "its agent is stopped"),
    ],
)
def test_a_target_that_can_not_take_it_is_refused_with_the_reason(
    scene: Scene, fields: dict[str, Any], why: str
) -> None:
    scene.others[2] = fields
    scene.run(2 * TICK_S)
    for to in ("h2", 2):
        assert scene.refused(to).startswith(f"h2 can't take the engine: {why}")
    scene.order("h3").wait(0)


MAINTAINED = {"notes": takes(), "maintenance": True}


def test_an_order_is_judged_by_what_the_target_has_written_last(scene: Scene) -> None:
    scene.others[2] = MAINTAINED
    scene.run(2 * TICK_S)
    scene.write(2, notes=takes())
    scene.order("h2").wait(0)


def test_a_refusal_is_judged_by_what_the_target_has_written_last(scene: Scene) -> None:
    scene.others[2] = MAINTAINED
    scene.run(2 * TICK_S)
    scene.write(2, notes=takes("its bridge is down"))
    assert scene.refused("h2") == "h2 can't take the engine: its bridge is down"


def test_orders_that_wait_for_a_reading_keep_their_order(scene: Scene) -> None:
    scene.others[2] = MAINTAINED
    scene.run(2 * TICK_S)
    scene.write(2, notes=takes())
    mailbox = scene.host.broker.mailbox
    tickets = [mailbox.ask_move(to) for to in ("h2", "h1", "h3")]
    scene.host.settle()
    tickets[0].wait(0)
    with pytest.raises(Refusal, match="h1 is this host"):
        tickets[1].wait(0)
    tickets[2].wait(0)
    order = scene.host.snapshot.move_order
    assert order is not None
    assert order is tickets[2].order


@pytest.mark.parametrize("fault", ["hang", "fail"])
def test_a_storage_that_does_not_answer_makes_a_refusal_late_and_no_more(
    scene: Scene, fault: str
) -> None:
    scene.others[2] = MAINTAINED
    scene.run(2 * TICK_S)
    scene.host.store.hang() if fault == "hang" else scene.host.store.fail(errno.EIO)
    ticket = scene.order("h2")
    assert not ticket.is_done()
    scene.cluster.run(second_look.WITHIN_S)
    with pytest.raises(Refusal) as caught:
        ticket.wait(0)
    assert caught.value.why == (
        "h2 can't take the engine: it is in local maintenance (the storage could not be read again "
        "within 2 s)"
    )


def test_a_dead_target_is_refused(scene: Scene) -> None:
    scene.members[2].power_off()
    del scene.others[2]
    scene.run(300)
    assert scene.host.view(2).liveness is Liveness.DEAD
    assert scene.refused("h2") == "h2 can't take the engine: sanlock counts it as dead"


def test_two_hosts_of_one_name_are_told_apart_by_id(scene: Scene) -> None:
    scene.others[3]["hostname"] = "h2"
    scene.run(2 * TICK_S)
    assert scene.refused("h2") == "2 hosts are called 'h2': name one by its id (2, 3)"
    scene.order(3).wait(0)


def test_a_score_of_zero_stands_against_a_choice_and_not_against_a_name(scene: Scene) -> None:
    for fields in scene.others.values():
        fields["score"] = 0
    scene.run(2 * TICK_S)
    expected = "no other host can take the engine: h2: its score is 0; h3: its score is 0"
    assert scene.refused(None) == expected
    scene.order("h3").wait(0)


@pytest.mark.parametrize(
    ("domain", "why"),
    [
        (Domain(DomainState.PAUSED, pid=7), "the engine's VM is paused on this host"),
        (Domain(DomainState.UNKNOWN, detail="hung"), "it is not known whether the engine's VM is"),
    ],
)
def test_a_vm_that_can_not_be_moved_stays(scene: Scene, domain: Domain, why: str) -> None:
    scene.host.hypervisor.set_domain(domain)
    scene.run(4 * TICK_S)
    assert scene.refused("h2").startswith(why)
    assert scene.local_refused().startswith(why)


def test_on_another_host_the_refusal_names_the_one_where_to_ask(scene: Scene) -> None:
    scene.host.hypervisor.set_domain(Domain(DomainState.ABSENT))
    scene.said = PUBLICATION
    scene.run(2 * TICK_S)
    assert "the engine's VM is not on this host; it runs nowhere" in scene.refused()
    scene.others[3] |= {"engine_status": UP, "state": "EngineUp"}
    scene.run(2 * TICK_S)
    expected = "the engine's VM is not on this host; it is on h3: give the order there"
    assert scene.refused("h2") == expected


@pytest.mark.parametrize("state", ["EngineStart", "EngineStarting", "EngineStop"])
def test_a_vm_that_begins_or_ends_is_not_moved(scene: Scene, state: str) -> None:
    scene.said = replace(ENGINE_UP, state=state)
    scene.run(TICK_S)
    word = "stopped" if state == "EngineStop" else "started"
    assert f"the engine's VM is being {word} on this host" in scene.refused("h2")
    assert f"the engine's VM is being {word} on this host" in scene.local_refused()


def test_without_an_agent_nobody_would_move_it(scene: Scene) -> None:
    scene.silent = True
    scene.run(20 * TICK_S)
    assert scene.refused("h2").endswith("this host's agent, which would move it, does not report")
    assert scene.local_refused().endswith("which would move it, does not report")


def test_in_local_maintenance_the_engine_moves_by_itself(scene: Scene) -> None:
    scene.host.ask("local", True).wait(0)
    assert "in local maintenance, which moves the engine by itself" in scene.refused("h2")


# --- local maintenance where the engine runs --------------------------------------------------


def test_it_is_granted_where_one_peer_takes_the_engine(scene: Scene) -> None:
    scene.others[3]["notes"] = takes("its bridge is down")
    scene.run(2 * TICK_S)
    scene.host.ask("local", True).wait(0)
    assert scene.host.snapshot.local_maintenance is True
    scene.host.publish(scene.said)
    assert scene.cluster.stored(1).maintenance, "the others hear of it, too"


def test_where_nobody_takes_it_each_reason_is_told(scene: Scene) -> None:
    scene.others[2]["score"] = 0
    scene.others[3]["notes"] = takes("its bridge is down")
    scene.run(2 * TICK_S)
    assert scene.local_refused() == (
        "the engine's VM is running on this host, and no other host can take it: "
        "h2: its score is 0; h3: its bridge is down"
    )


def test_it_is_granted_by_what_a_host_has_written_since_the_round(scene: Scene) -> None:
    for host_id in scene.others:
        scene.others[host_id] = MAINTAINED
    scene.run(2 * TICK_S)
    scene.write(3, notes=takes())
    scene.host.ask("local", True).wait(0)


def test_alone_it_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    host = cluster.host(1, tmp_path)
    cluster.put(0, encode_global(GlobalRecord(False)))
    cluster.run(JOIN_S + 3)
    host.hypervisor.set_domain(RUNNING)
    host.publish(ENGINE_UP)
    cluster.run(TICK_S)
    with pytest.raises(Refusal, match="no other host can take it: there is no other host"):
        host.ask("local", True).wait(0)


def test_in_global_maintenance_it_is_refused_with_the_way_out(scene: Scene) -> None:
    scene.host.ask("global", True)
    scene.run(2 * TICK_S)
    why = scene.local_refused()
    assert "nothing moves by itself in global maintenance: move it with 'hosted-engine " in why
    assert "'hosted-engine --vm-migrate', or end global maintenance first" in why


def test_where_global_maintenance_is_not_known_nothing_moves(scene: Scene) -> None:
    assert maintenance_refusal(scene.host.snapshot) == ""
    why = maintenance_refusal(replace(scene.host.snapshot, global_maintenance=None))
    assert why.endswith("whether the cluster is in global maintenance is not known")


def test_it_is_granted_while_the_engine_is_leaving_already(scene: Scene) -> None:
    scene.said = replace(ENGINE_UP, state="EngineMigratingAway")
    for fields in scene.others.values():
        fields["notes"] = takes("the VM is here already")
    scene.run(2 * TICK_S)
    scene.host.ask("local", True).wait(0)


def test_a_report_reaches_who_asks(scene: Scene) -> None:
    scene.report(MAINTENANCE, MovePhase.MOVING, target="h2", tries=1, copied=0.34)
    agent = scene.host.snapshot.agent
    assert agent is not None
    assert agent.move == MoveReport(MAINTENANCE, MovePhase.MOVING, "h2", 1, copied=0.34)
    assert not agent.move.is_over


# --- the rule, host by host -------------------------------------------------------------------


def view(**fields: Any) -> HostView:
    found = record(2, notes=fields.pop("notes", takes()), score=fields.pop("score", 3400))
    return replace(HostView(2, Liveness.LIVE, record=found, fresh=True), **fields)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (view(), ""),
        (view(liveness=Liveness.FAIL), "sanlock has not heard of it for a while"),
        (view(liveness=Liveness.FREE), "it is not in the lockspace"),
        (view(liveness=Liveness.UNKNOWN), "sanlock does not say that it lives"),
        (view(liveness=Liveness.DEAD, fresh=False), "sanlock counts it as dead"),
        (view(fresh=False), "it has not reported for a while"),
        (view(record=None), "it has written no record"),
        (view(record=None, error="garbage"), "garbage"),
        (view(notes=((takes_note.KEY, "at a=b"),)), "its program is older"),
        (view(notes=((takes_note.KEY, "no, libvirt is silent"),)), "libvirt is silent"),
    ],
)
def test_what_stands_against_a_host(found: HostView, why: str) -> None:
    assert cannot_take(found).startswith(why)
    assert bool(cannot_take(found)) is bool(why)
    assert not_chosen(found) == cannot_take(found)


def test_only_others_are_takers(scene: Scene) -> None:
    scene.said = replace(ENGINE_UP, notes=takes())
    scene.run(2 * TICK_S)
    assert [found.host_id for found in takers(scene.host.snapshot)] == [2, 3]


def test_many_reasons_are_counted() -> None:
    told = reasons_text(f"h{number}: no" for number in range(MOST_REASONS + 3))
    assert told.endswith(f"h{MOST_REASONS - 1}: no; and 3 more hosts")
