# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Moving the engine alive: the order, what becomes of it, and what stands in the record before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Callable, Optional

import pytest

from fsm.memory import Action, Memory
from fsm.observation import HostCondition, MoveOutcome, Observation, Vm
from fsm.own_moves import PATIENCE_S
from fsm.table import Row
from ha_agent.actions.execute import ABORT, DESTROY, MIGRATE, Executor, Judged, OrderResult
from ha_agent.actions.migrate_engine import LatestMove, MigrationOrder, options_of
from ha_agent.agent import Agent
from ha_agent.observation.collect import peers_of
from ha_agent.ports import AgentPorts
from ha_agent.publication.takes import takes
from ha_broker.api.snapshot import HostView, StorageView
from metadata.settings.parse import ClusterSettings, HostSettings, MigrationSettings
from metadata.states import State
from metadata.takes_note import TakesNote, takes_told
from simulation.world import InlineRunner, SimHypervisor, SimLockspace, SimSan, VirtualClock
from tests.unit.agent_host import (
    HOST,
    PARTS,
    TICK_S,
    AgentHost,
    StubBroker,
    domain_xml,
    host_view,
    snapshot,
)
from world.ports.errors import HypervisorError
from world.ports.libvirt import Ending, MigrationOptions, MigrationResult

LATEST_S = 15.0
AT = "qemu+tls://h2/system"
OPTIONS = MigrationOptions(limit_s=100.0)
TO_H2 = MigrationOrder(2, AT, OPTIONS)
RESULT = MigrationResult(1.6, 120, 10**8)


class Movable(SimHypervisor):
    """A libvirt whose migrations end as the test says."""

    def __init__(self, lockspace: SimLockspace) -> None:
        super().__init__(lockspace)
        self.moves: list[tuple[str, MigrationOptions]] = []
        self.aborts = 0
        self.comes_of_it: Callable[[], MigrationResult] = self.arrive

    def arrive(self) -> MigrationResult:
        self.end(Ending.MIGRATED)
        return RESULT

    def refuse(self) -> MigrationResult:
        raise HypervisorError("move the domain", "h2 has another CPU")

    def migrate(self, address: str, options: MigrationOptions) -> MigrationResult:
        self.moves.append((address, options))
        return self.comes_of_it()

    def abort_migration(self) -> None:
        self.aborts += 1


class Bench:
    """An executor beside a VM that runs."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.san = SimSan(self.clock)
        lockspace = SimLockspace(self.san, "h1")
        lockspace.join(1, 10)
        self.vm = Movable(lockspace)
        self.runner = InlineRunner(self.clock)
        self.unreached: dict[str, str] = {}
        self.executor = Executor(
            self.runner,
            self.vm,
            lockspace,
            PARTS,
            self.clock,
            not_reached_why=lambda address: self.unreached.get(address, ""),
        )
        self.vm.start(domain_xml())

    def order(
        self, move: Optional[MigrationOrder] = TO_H2, action: Action = Action.MIGRATE_VM
    ) -> str:
        judged = Judged(self.vm.now, self.clock.monotonic_s() + LATEST_S)
        return self.executor.perform(action, domain_xml(), "", judged, move)

    def harvest(self) -> list[OrderResult]:
        return [self.executor.take(outcome) for outcome in self.runner.poll()]

    def give_up(self) -> bool:
        return self.executor.give_up_move(self.clock.monotonic_s())


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- the order ----------------------------------------------------------------------------


def test_a_move_that_works(bench: Bench) -> None:
    assert bench.executor.move == LatestMove()
    assert bench.order() == ""
    assert bench.executor.move == LatestMove(MoveOutcome.RUNNING, target_id=2)
    (result,) = bench.harvest()
    assert (result.order, result.domain, result.error) == (MIGRATE, None, "")
    assert bench.executor.move == LatestMove(MoveOutcome.DONE, "", 2, RESULT)
    assert bench.vm.moves == [(AT, OPTIONS)]


def test_a_move_that_fails_is_told_to_the_state_machine_and_not_as_an_error(bench: Bench) -> None:
    bench.vm.comes_of_it = bench.vm.refuse
    bench.order()
    assert [result.error for result in bench.harvest()] == [""]
    assert bench.executor.move == LatestMove(MoveOutcome.FAILED, "h2 has another CPU", 2)


def test_where_nobody_is_libvirt_does_not_even_try(bench: Bench) -> None:
    """It would do nothing else with the VM for two minutes."""
    bench.unreached[AT] = "port 16514 of h2: no answer within 3 s"
    bench.order()
    bench.harvest()
    why = f"no connection to {AT}: port 16514 of h2: no answer within 3 s"
    assert bench.executor.move == LatestMove(MoveOutcome.FAILED, why, 2)
    assert bench.vm.moves == []


def test_the_next_move_forgets_how_the_one_before_ended(bench: Bench) -> None:
    bench.vm.comes_of_it = bench.vm.refuse
    bench.order()
    bench.harvest()
    bench.runner.hang(MIGRATE)
    bench.order(replace(TO_H2, target_id=3))
    assert bench.executor.move == LatestMove(MoveOutcome.RUNNING, target_id=3)


@pytest.mark.parametrize(
    ("move", "why"),
    [
        (None, "it is not said to which host"),
        (MigrationOrder(None, AT), "it is not said to which host"),
        (MigrationOrder(2, ""), "the target does not say where its libvirt takes the engine"),
    ],
)
def test_an_order_that_can_not_be_given_has_failed(
    bench: Bench, move: Optional[MigrationOrder], why: str
) -> None:
    assert bench.order(move) == why
    latest = bench.executor.move
    assert (latest.outcome, latest.why) == (MoveOutcome.FAILED, why)
    assert (bench.vm.moves, bench.runner.submitted) == ([], [])


def run_another(bench: Bench) -> None:
    bench.vm.end(Ending.CRASHED)
    bench.vm.start(domain_xml())


LATE: dict[str, Callable[[Bench], None]] = {
    "qemu is another process now (pid 4002, not 4001)": run_another,
    "the VM is paused now, not running": lambda bench: bench.vm.pause(),
    "it came 95 s too late; to be decided anew": lambda bench: bench.clock.advance(110),
    "it is not here any more": lambda bench: bench.vm.end(Ending.CRASHED),
}


@pytest.mark.parametrize("why", LATE)
def test_a_late_order_moves_nothing_but_what_was_judged(bench: Bench, why: str) -> None:
    bench.runner.hang(MIGRATE)
    bench.order()
    LATE[why](bench)
    bench.runner.release(MIGRATE)
    bench.harvest()
    assert bench.executor.move == LatestMove(MoveOutcome.FAILED, why, 2)
    assert bench.vm.moves == []


@pytest.mark.parametrize("why", [why for why in LATE if why != "it is not here any more"])
def test_a_late_abort_breaks_off_nobody_elses_migration(bench: Bench, why: str) -> None:
    bench.runner.hang(ABORT)
    bench.order(action=Action.ABORT_MIGRATION)
    LATE[why](bench)
    bench.runner.release(ABORT)
    assert [(one.order, one.error) for one in bench.harvest()] == [(ABORT, why)]
    assert bench.vm.aborts == 0


def test_a_move_is_broken_off_while_its_own_job_waits(bench: Bench) -> None:
    bench.runner.hang(MIGRATE)
    bench.order()
    assert bench.order(action=Action.ABORT_MIGRATION) == ""
    assert [(one.order, one.error) for one in bench.harvest()] == [(ABORT, "")]
    assert (bench.vm.aborts, bench.executor.move.outcome) == (1, MoveOutcome.RUNNING)


# --- a libvirt that does not end it ---------------------------------------------------------


def hang(bench: Bench, seconds: float) -> None:
    bench.runner.hang(MIGRATE)
    bench.order()
    bench.clock.advance(seconds)


def test_a_move_that_hangs_is_given_up_long_after_its_limit(bench: Bench) -> None:
    hang(bench, OPTIONS.limit_s + PATIENCE_S)
    assert not bench.give_up()
    bench.clock.advance(1)
    assert bench.give_up()
    why = "libvirt has not ended the migration within 160 s"
    assert bench.executor.move == LatestMove(MoveOutcome.FAILED, why, 2)
    assert not bench.give_up()


def test_a_move_that_has_ended_is_not_given_up_before_it_was_heard_of(bench: Bench) -> None:
    bench.order()
    bench.clock.advance(1000)
    assert not bench.give_up()
    bench.harvest()
    assert bench.executor.move.outcome is MoveOutcome.DONE


def given_up(bench: Bench) -> LatestMove:
    hang(bench, 161)
    assert bench.give_up()
    return bench.executor.move


def test_the_late_end_of_a_given_up_move_changes_no_verdict(bench: Bench) -> None:
    failed = given_up(bench)
    bench.runner.release(MIGRATE)
    assert [(one.order, one.error) for one in bench.harvest()] == [
        (MIGRATE, "it came 146 s too late; to be decided anew")
    ]
    assert bench.executor.move == failed


def test_a_given_up_move_stands_against_the_next_one(bench: Bench) -> None:
    given_up(bench)
    assert bench.order(MigrationOrder(3, AT)) == "the previous such order has not ended"
    assert bench.executor.move == LatestMove(
        MoveOutcome.FAILED, "the previous such order has not ended", 3
    )


def test_its_late_end_is_not_that_of_the_next_one(bench: Bench) -> None:
    """It ended between two looks, and the next one was begun before anybody heard of that."""
    given_up(bench)
    bench.runner.release(MIGRATE)
    bench.runner.hang(MIGRATE)
    assert bench.order(MigrationOrder(3, AT)) == ""
    assert len(bench.harvest()) == 1
    assert bench.executor.move == LatestMove(MoveOutcome.RUNNING, target_id=3)
    bench.runner.release(MIGRATE)
    bench.harvest()
    assert bench.executor.move == LatestMove(MoveOutcome.DONE, "", 3, RESULT)


def test_a_second_order_does_not_hide_the_move_that_runs(bench: Bench) -> None:
    hang(bench, 5)
    assert bench.order(MigrationOrder(3, AT)) == "the previous such order has not ended"
    assert bench.executor.move == LatestMove(MoveOutcome.RUNNING, target_id=2)


def test_a_move_stands_against_a_start_and_its_end_is_no_start_s(bench: Bench) -> None:
    hang(bench, 9)
    why = bench.executor.unfinished_why(bench.clock.monotonic_s())
    assert why == "the order to move the VM to another host has not ended for 9 s"
    bench.runner.release(MIGRATE)
    bench.order(action=Action.DESTROY_VM)
    assert {one.order for one in bench.harvest()} == {MIGRATE, DESTROY}
    assert bench.executor.unfinished_why(bench.clock.monotonic_s()) == ""


def test_the_options_are_the_cluster_s() -> None:
    settings = MigrationSettings("x://{address}/", 7, 50, 30.0, False, True, True, 2)
    assert options_of(settings, 30.0) == MigrationOptions(7, 50, 30.0, False, True, True)
    assert options_of(MigrationSettings(), 120.0) == MigrationOptions()
    assert options_of(MigrationSettings(), 12.5).limit_s == 12.5


# --- what a host says of itself ---------------------------------------------------------------


def seen(**fields: Any) -> Observation:
    return Observation(**{"now_s": 100.0, "host_id": 1, "vm": Vm.ABSENT, **fields})


def word(observation: Observation, host: HostSettings = HOST) -> TakesNote:
    return takes(observation, host, MigrationSettings())


def test_a_host_that_is_well_takes_the_engine_at_its_address() -> None:
    assert word(seen()) == TakesNote("qemu+tls://h1/system")
    elsewhere = replace(HOST, migration_address="2001:db8::1")
    assert word(seen(), elsewhere) == TakesNote("qemu+tls://[2001:db8::1]/system")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"stop_requested": True}, "its agent is being stopped"),
        ({"vm": Vm.UNKNOWN}, "its libvirt is silent: it has not answered yet"),
        (
            {"vm": Vm.UNKNOWN, "vm_detail": "no connection"},
            "its libvirt is silent: no connection",
        ),
        *(
            ({"vm": vm}, "the engine's VM is there already")
            for vm in (Vm.RUNNING, Vm.PAUSED, Vm.IN_TRANSIT)
        ),
        ({"local_maintenance": True}, "it is in local maintenance"),
        ({"blocked_why": "the shared storage fails: EIO"}, "the shared storage fails: EIO"),
        ({"cannot_start_why": "its lease lies elsewhere"}, "its lease lies elsewhere"),
        (
            {"condition": HostCondition(config_current=False)},
            "it does not have the newest shared configuration",
        ),
        ({"condition": HostCondition(memory_sufficient=False)}, "it has too little free memory"),
        (
            {
                "condition": HostCondition(
                    memory_sufficient=False,
                    memory_free_bytes=2**30,
                    memory_needed_bytes=2**32,
                )
            },
            "it has too little free memory (1024 MiB, and 4096 MiB are needed)",
        ),
        ({"condition": HostCondition(bridge_up=False)}, "its network bridge is down"),
        (
            {"condition": HostCondition(bridge_up=False, bridge_detail="br0: no carrier")},
            "its network bridge is down (br0: no carrier)",
        ),
    ],
)
def test_each_thing_that_stands_against_it_is_told(fields: dict[str, Any], why: str) -> None:
    assert word(seen(**fields)) == TakesNote(why_not=why)


def test_what_is_not_known_stands_against_nothing() -> None:
    unknown = HostCondition(config_current=None, memory_sufficient=None, bridge_up=None)
    assert word(seen(condition=unknown)).address
    enough = HostCondition(config_current=True, memory_sufficient=True, bridge_up=True)
    assert word(seen(condition=enough)).address


@pytest.mark.parametrize(
    ("line", "at", "not_"),
    [
        ("at qemu+tls://h2/system", "qemu+tls://h2/system", ""),
        ("no, its network bridge is down", "", "its network bridge is down"),
        ("perhaps", "", ""),
        (None, "", ""),
    ],
)
def test_a_peer_s_word_is_read_from_its_record(line: Optional[str], at: str, not_: str) -> None:
    notes = () if line is None else (("takes", line),)
    view = host_view(2, record={"notes": notes})
    (peer,) = peers_of(snapshot(1.0, hosts=(host_view(1), view)), 1)
    assert (peer.takes_at, peer.takes_not) == (at, not_)


# --- the agent --------------------------------------------------------------------------------


def peer_view(host_id: int, address: str = "") -> HostView:
    at = address or f"qemu+tls://h{host_id}/system"
    return host_view(host_id, record={"notes": (("takes", f"at {at}"),)})


class MovingHost(AgentHost):
    """The state machine is the test's: it stays where it is, and orders what `then` says."""

    def _new_agent(self) -> Agent:
        self.vm = self.libvirt = Movable(self.lockspace)
        self.broker: SlowBroker = SlowBroker(self.clock, self.lockspace, self.vm)
        self.seen: list[Observation] = []
        self.then: Callable[[Observation], tuple[Action, ...]] = lambda _seen: ()
        self.goes_to: Optional[State] = None
        ports = AgentPorts(
            self.clock, self.runner, self.vm, self.lockspace, self.broker, self.services
        )
        return Agent(ports, HOST, find_row=self._find_row)

    def _find_row(self, memory: Memory, seen: Observation, _config: ClusterSettings) -> Row:
        self.seen.append(seen)
        target, self.goes_to = self.goes_to or memory.state, None
        return Row(memory.state, (), target, "so", self.then(seen))

    def enter(self, state: State, target_id: Optional[int] = None) -> None:
        """The state machine decides to go there."""
        self.agent._memory = replace(self.agent.memory, move_target_id=target_id)
        self.goes_to = state
        self.run_for(TICK_S)
        assert self.state is state

    @property
    def latest(self) -> Observation:
        self.clock.advance(TICK_S)
        self.settle()
        return self.seen[-1]

    @property
    def told(self) -> dict[str, str]:
        return dict(self.last_published().notes)


class SlowBroker(StubBroker):
    """Shows the own record as it stands on the storage; writes what it took while `writes`."""

    def __init__(self, clock: VirtualClock, lockspace: SimLockspace, vm: SimHypervisor) -> None:
        super().__init__(clock, lockspace, vm)
        self.writes = True
        self.stored: tuple[tuple[str, str], ...] = ()
        self.confirmed_at_s: Optional[float] = None

    def write(self) -> None:
        """The latest record is on the storage."""
        self.stored = self.published[-1].notes
        self.confirm()

    def confirm(self) -> None:
        """A write ends, whatever it carries."""
        self.confirmed_at_s = self.clock.monotonic_s()

    def publish(self, publication: Any) -> None:
        super().publish(publication)
        if self.writes:
            self.write()

    def latest_snapshot(self) -> Any:
        now_s = self.clock.monotonic_s()
        self.override["storage"] = StorageView(now_s, self.confirmed_at_s)
        own = host_view(1, record={"notes": self.stored})
        self.override["hosts"] = (own, *self.peers)
        return super().latest_snapshot()


@pytest.fixture
def host() -> Iterator[MovingHost]:
    """It has the engine."""
    host = MovingHost()
    host.broker.peers = (peer_view(2), peer_view(3))
    host.vm.start(domain_xml())
    host.enter(State.ENGINE_UP)
    yield host


def test_the_record_says_where_the_engine_goes_from_the_moment_of_the_decision(
    host: MovingHost,
) -> None:
    assert "moving" not in host.told
    host.enter(State.ENGINE_MIGRATING_AWAY, 3)
    assert host.told["moving"] == "to h3, others wait 40 s"
    said = [dict(one.notes).get("moving") for one in host.broker.published]
    states = [one.state for one in host.broker.published]
    assert said[states.index("EngineMigratingAway")] == "to h3, others wait 40 s"
    host.enter(State.ENGINE_DOWN, 3)
    assert "moving" not in host.told


def test_another_target_is_told_at_once(host: MovingHost) -> None:
    host.enter(State.ENGINE_MIGRATING_AWAY, 3)
    host.agent._memory = replace(host.agent.memory, move_target_id=2)
    host.agent._settled = None
    before = len(host.broker.published)
    host.settle()
    assert len(host.broker.published) == before + 1
    assert host.told["moving"] == "to h2, others wait 40 s"


def test_a_target_that_nobody_knows_is_somebody(host: MovingHost) -> None:
    host.enter(State.ENGINE_MIGRATING_AWAY, 7)
    assert host.told["moving"] == "to another-host, others wait 40 s"
    assert not host.latest.move_announced


def test_the_move_is_announced_once_the_storage_has_it(host: MovingHost) -> None:
    assert not host.latest.move_announced
    host.broker.writes = False
    host.enter(State.ENGINE_MIGRATING_AWAY, 2)
    assert not host.latest.move_announced, "the broker has it, the storage does not"
    host.broker.confirm()
    assert not host.latest.move_announced, "an earlier write has ended"
    host.broker.write()
    assert host.latest.move_announced
    assert host.latest.move_announced, "it stays so while newer records wait"


def test_what_an_earlier_life_has_announced_is_announced_anew(host: MovingHost) -> None:
    host.broker.writes = False
    host.broker.stored = (("moving", "to h2, others wait 40 s"),)
    host.broker.confirm()
    host.clock.advance(1)
    host.enter(State.ENGINE_MIGRATING_AWAY, 2)
    assert not host.latest.move_announced


def test_an_announcement_is_for_one_target(host: MovingHost) -> None:
    host.enter(State.ENGINE_MIGRATING_AWAY, 2)
    assert host.latest.move_announced
    host.broker.writes = False
    host.agent._memory = replace(host.agent.memory, move_target_id=3)
    assert not host.latest.move_announced
    host.broker.write()
    assert host.latest.move_announced


def test_a_broker_that_is_gone_announces_nothing(host: MovingHost) -> None:
    host.broker.gone = True
    host.enter(State.ENGINE_MIGRATING_AWAY, 2)
    assert not host.latest.move_announced


def order_once(host: MovingHost) -> None:
    """The next decision orders the move."""

    def then(_seen: Observation) -> tuple[Action, ...]:
        host.then = lambda _seen: ()
        return (Action.MIGRATE_VM,)

    host.then = then
    host.clock.advance(TICK_S)
    host.settle()


def test_the_order_goes_to_the_address_of_the_target(host: MovingHost) -> None:
    host.enter(State.ENGINE_MIGRATING_AWAY, 3)
    order_once(host)
    assert host.libvirt.moves == [("qemu+tls://h3/system", MigrationOptions())]
    assert host.seen[-1].move_outcome is MoveOutcome.DONE
    assert host.seen[-1].vm is Vm.ABSENT, "where the VM is was asked anew"


def test_a_target_without_an_address_is_a_failure(host: MovingHost) -> None:
    host.enter(State.ENGINE_MIGRATING_AWAY, 7)
    order_once(host)
    assert host.latest.move_outcome is MoveOutcome.FAILED
    assert host.latest.move_why == "the target does not say where its libvirt takes the engine"


def test_a_failure_is_that_of_its_target_and_of_this_move(host: MovingHost) -> None:
    host.libvirt.comes_of_it = host.libvirt.refuse
    host.enter(State.ENGINE_MIGRATING_AWAY, 3)
    assert host.latest.move_outcome is MoveOutcome.NONE
    order_once(host)
    assert (host.latest.move_outcome, host.latest.move_why) == (
        MoveOutcome.FAILED,
        "h2 has another CPU",
    )
    host.agent._memory = replace(host.agent.memory, move_target_id=2)
    assert (host.latest.move_outcome, host.latest.move_why) == (MoveOutcome.NONE, "")
    host.enter(State.ENGINE_UP, 3)
    host.enter(State.ENGINE_MIGRATING_AWAY, 3)
    assert host.latest.move_outcome is MoveOutcome.NONE, "a new move, of which nothing is known"


def test_a_move_that_runs_is_seen_whatever_the_state(host: MovingHost) -> None:
    host.runner.hang(MIGRATE)
    host.enter(State.ENGINE_MIGRATING_AWAY, 3)
    order_once(host)
    host.enter(State.UNKNOWN_LOCAL_VM_STATE)
    assert host.latest.move_outcome is MoveOutcome.RUNNING


def test_a_move_that_hangs_is_given_up_by_the_agent(host: MovingHost) -> None:
    host.runner.hang(MIGRATE)
    host.enter(State.ENGINE_MIGRATING_AWAY, 3)
    order_once(host)
    host.run_for(MigrationOptions().limit_s + PATIENCE_S - TICK_S)
    outcomes = [host.seen[-1].move_outcome]
    host.run_for(2 * TICK_S)
    outcomes.append(host.seen[-1].move_outcome)
    assert outcomes == [MoveOutcome.RUNNING, MoveOutcome.FAILED]
    assert "libvirt has not ended the migration within 180 s" in host.seen[-1].move_why


def test_whether_it_takes_the_engine_stands_in_the_record_and_changes_are_written_at_once(
    host: MovingHost,
) -> None:
    assert host.told["takes"] == "no, the engine's VM is there already"
    host.vm.end(Ending.STOPPED)
    host.run_for(TICK_S)
    assert host.told["takes"] == "at qemu+tls://h1/system"
    before = len(host.broker.published)
    host.clock.advance(TICK_S / 4)
    host.broker.override["local_maintenance"] = True
    host.settle()
    assert len(host.broker.published) == before + 1
    assert takes_told(host.last_published().notes).why_not == "it is in local maintenance"
