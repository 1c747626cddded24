# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The reader of the lease alone, against a sanlock and a lockspace that say what the test wants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest

from ha_broker.api.snapshot import HostView, LeaseState, LeaseView
from ha_broker.cycle.host_changes import HostChanges
from ha_broker.cycle.part import BrokerPorts, ChangeLog, Settings
from ha_broker.cycle.task import HarvestedRunner
from ha_broker.lockspace.lease_reader import LEASE, MACHINES_KEPT, LeaseReader
from metadata.host_notes import MachineIdentity, identity_notes
from metadata.liveness import Liveness
from metadata.settings.parse import HostSettings
from metadata.settings.timing import lease_floor_s, renewal_s
from simulation.world import InlineRunner, VirtualClock
from tests.unit.broker_host import CONFIG, IO_TIMEOUT_S, PARTS, TICK_S, record
from world.ports.errors import LockspaceError
from world.ports.sanlock import LeaseOwner, LockspaceHost

OWN_ID, FIRE_S = 1, 60
FLOOR_S = lease_floor_s(int(IO_TIMEOUT_S), FIRE_S)
NEW_LIFE_S = renewal_s(int(IO_TIMEOUT_S)) + TICK_S
NEVER_READ = LeaseView(why="the lease has not been read yet")


def host(host_id: int, liveness: Liveness = Liveness.LIVE, generation: int = 3) -> LockspaceHost:
    return LockspaceHost(host_id, generation, 77, liveness)


class Members:
    """What the reader asks of the membership."""

    def __init__(self) -> None:
        self.why = ""
        self.differs_why = ""
        self.hosts: dict[int, LockspaceHost] = {}
        self.silent_since_s: dict[int, float] = {}
        self.fire_timeout_s: Optional[int] = FIRE_S

    def unusable_why(self, now_s: float) -> str:
        return self.why or self.differs_why

    def unreadable_why(self, now_s: float) -> str:
        return self.why


class Bench:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.changes = HostChanges()
        self.runner = InlineRunner(self.clock)
        self.harvested = HarvestedRunner(self.runner, self.clock)
        self.owner: Optional[LeaseOwner] = None
        self.error: Optional[LockspaceError] = None
        self.members = Members()
        fields: dict[str, Any] = dict.fromkeys(BrokerPorts.__dataclass_fields__)
        fields.update(clock=self.clock, runner=self.harvested, lockspace=self)
        settings = Settings(HostSettings(OWN_ID, "h1", PARTS))
        settings.use(CONFIG)
        members: Any = self.members
        self.reader = LeaseReader(BrokerPorts(**fields), settings, members, ChangeLog())

    def lease_owner(self) -> Optional[LeaseOwner]:
        if self.error is not None:
            raise self.error
        return self.owner

    @property
    def now_s(self) -> float:
        return self.clock.monotonic_s()

    @property
    def view(self) -> LeaseView:
        return self.reader.view

    def judge(self, later_s: float = 0.0, healthy: bool = True, runs_here: bool = False) -> str:
        """The state that the reader sees `later_s` from now, without a new reading."""
        self.clock.advance(later_s)
        self.reader.judge(self.now_s, healthy, runs_here)
        return self.view.state

    def read(self, *hosts: LockspaceHost, owner: Optional[LeaseOwner] = None) -> str:
        """The lease is read, and these hosts are listed."""
        self.owner = owner
        self.members.hosts = {one.host_id: one for one in hosts}
        self.reader.hurry(self.now_s)
        self.reader.work(self.now_s)
        self.harvest()
        return self.judge()

    def read_when_due(self, times: int) -> None:
        """From the second time on in step with the tick."""
        for _ in range(times):
            self.clock.advance(self.reader.next_due_s(self.now_s) - self.now_s)
            self.reader.work(self.now_s)
            self.harvest()

    def harvest(self) -> None:
        for outcome in self.harvested.poll():
            self.reader.harvest(outcome)

    def note(self, *identities: MachineIdentity, host_id: int = 2) -> None:
        """Host 2 writes records, one after the other."""
        for identity in identities:
            written = record(host_id, notes=identity_notes(identity))
            self.note_views(HostView(host_id, record=written))

    def note_views(self, *views: HostView) -> None:
        """The broker's next views of all hosts."""
        self.changes.note(views)
        self.reader.note_records(views, self.changes.versions)


@pytest.fixture
def bench() -> Bench:
    return Bench()


OWNER = LeaseOwner(2, 3)

# --- reading --------------------------------------------------------------------------


def test_nothing_is_known_before_the_first_reading(bench: Bench) -> None:
    assert bench.view == LeaseView()
    assert bench.reader.restless
    bench.judge()
    assert bench.view == NEVER_READ
    bench.reader.work(bench.now_s)
    assert bench.runner.submitted == [LEASE]


def test_the_owner_is_told_as_of_the_beginning_of_the_read(bench: Bench) -> None:
    bench.runner.hang(LEASE)
    begun_s = bench.now_s
    bench.reader.work(begun_s)
    bench.clock.advance(3)
    bench.runner.release(LEASE)
    bench.harvest()
    bench.judge()
    assert bench.view == LeaseView(LeaseState.FREE, None, begun_s, "the lease has no owner")


def test_a_vm_here_is_told_whose_its_lease_is_though_watchdog_times_differ(bench: Bench) -> None:
    """Nobody may take a lease then; a host that has slept must still learn that it lost its own."""
    bench.members.differs_why = "the watchdog times differ"
    bench.judge(runs_here=True)
    assert bench.read(owner=OWNER) == LeaseState.UNKNOWN, "no VM is here"
    assert bench.judge(runs_here=True) == LeaseState.HELD
    assert bench.view.holder_id == OWNER.host_id
    assert bench.reader.restless, "it is looked at again soon"
    bench.members.why = "sanlock has not answered"
    assert bench.judge(runs_here=True) == LeaseState.UNKNOWN


def test_a_reading_counts_for_two_ticks_and_sanlocks_patience(bench: Bench) -> None:
    bench.read()
    assert bench.judge(2 * TICK_S + IO_TIMEOUT_S) == LeaseState.FREE
    assert bench.judge(0.1) == LeaseState.UNKNOWN


def test_a_lease_that_can_not_be_read_is_unknown_until_it_can(bench: Bench) -> None:
    bench.read()
    bench.error = LockspaceError("read the lease", "EIO", 5)
    assert bench.read() == LeaseState.UNKNOWN
    assert bench.view.why == "the lease can't be read: EIO"
    bench.error = None
    assert bench.read() == LeaseState.FREE


def test_nothing_is_read_while_sanlocks_word_on_the_hosts_can_not_be_used(bench: Bench) -> None:
    bench.read()
    bench.members.why = "not joined"
    assert bench.judge() == LeaseState.UNKNOWN
    assert bench.view.why == "not joined"
    reads = len(bench.runner.submitted)
    bench.clock.advance(60)
    bench.reader.work(bench.now_s)
    assert len(bench.runner.submitted) == reads
    assert bench.reader.next_due_s(bench.now_s) == float("inf")


def test_what_was_read_before_a_sleep_says_nothing(bench: Bench) -> None:
    bench.read(host(2), owner=OWNER)
    bench.runner.hang(LEASE)
    bench.clock.advance(TICK_S)
    bench.reader.work(bench.now_s)
    bench.clock.advance(1)
    bench.reader.slept(bench.now_s)
    bench.judge()
    assert bench.view == NEVER_READ
    bench.runner.release(LEASE)
    bench.harvest()
    bench.judge()
    assert bench.view == NEVER_READ, "it was asked for before the sleep"
    bench.reader.work(bench.now_s)
    bench.harvest()
    assert bench.judge() == LeaseState.HELD, "it is asked for again at once"


def test_after_a_sleep_it_is_read_at_once(bench: Bench) -> None:
    bench.read(host(2), owner=OWNER)
    bench.reader.slept(bench.now_s)
    assert bench.reader.next_due_s(bench.now_s) == bench.now_s
    bench.reader.work(bench.now_s)
    bench.harvest()
    assert bench.judge() == LeaseState.HELD


@pytest.mark.parametrize(("healthy", "interval_s"), [(True, TICK_S), (False, 1.0)])
def test_how_often_it_is_read(bench: Bench, healthy: bool, interval_s: float) -> None:
    bench.read(host(2), owner=OWNER)
    bench.judge(healthy=healthy)
    bench.read_when_due(2)
    assert bench.reader.next_due_s(bench.now_s) == bench.now_s + interval_s


def test_who_gets_restless_need_not_wait_for_the_tick(bench: Bench) -> None:
    bench.read(host(2), owner=OWNER)
    bench.read_when_due(2)
    assert bench.reader.next_due_s(bench.now_s) == bench.now_s + TICK_S
    bench.judge(healthy=False)
    bench.reader.work(bench.now_s)
    assert bench.reader.next_due_s(bench.now_s) == bench.now_s + 1.0


def test_a_read_that_hangs_is_judged_when_it_is_too_old(bench: Bench) -> None:
    bench.read()
    bench.runner.hang(LEASE)
    bench.reader.hurry(bench.now_s)
    bench.reader.work(bench.now_s)
    late_s = bench.reader.next_due_s(bench.now_s) - bench.now_s - 2 * TICK_S - IO_TIMEOUT_S
    assert 0 < late_s < 0.1


# --- restless -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "hosts", "healthy", "runs_here", "restless"),
    [
        (OWNER, [host(2)], True, False, False),
        (OWNER, [host(2)], False, False, True),
        (OWNER, [host(2)], True, True, True),
        (LeaseOwner(1, 3), [host(1)], True, True, False),
        (LeaseOwner(1, 3), [host(1)], True, False, False),
        (OWNER, [host(2, Liveness.FAIL)], True, False, True),
        (OWNER, [host(2, Liveness.UNKNOWN)], True, False, True),
        (OWNER, [host(3)], True, False, True),
        (None, [host(2)], True, False, True),
        (LeaseOwner(1, 2), [host(1)], True, True, True),  # an earlier life's
    ],
)
def test_restless_where_the_lease_may_change_hands(
    bench: Bench,
    owner: Optional[LeaseOwner],
    hosts: list[LockspaceHost],
    healthy: bool,
    runs_here: bool,
    restless: bool,
) -> None:
    bench.read(*hosts, owner=owner)
    bench.judge(healthy=healthy, runs_here=runs_here)
    assert bench.reader.restless is restless


# --- an owner that sanlock does not list ------------------------------------------------

UNLISTED_S = 6 * IO_TIMEOUT_S


def test_an_owner_not_listed_for_three_renewals_has_left(bench: Bench) -> None:
    assert bench.read(host(1), owner=OWNER) == LeaseState.HELD
    bench.clock.advance(UNLISTED_S - 0.1)
    assert bench.read(host(1), owner=OWNER) == LeaseState.HELD
    bench.clock.advance(0.1)
    assert bench.read(host(1), owner=OWNER) == LeaseState.FREE


@pytest.mark.parametrize(
    ("hosts", "owner"),
    [
        ([host(1), host(2)], OWNER),  # listed for a moment
        ([], OWNER),  # sanlock has not looked around
        ([host(1)], LeaseOwner(2, 4)),  # another owner
        ([host(1)], None),
    ],
)
def test_what_counts_the_three_renewals_anew(
    bench: Bench, hosts: list[LockspaceHost], owner: Optional[LeaseOwner]
) -> None:
    bench.read(host(1), owner=OWNER)
    bench.clock.advance(UNLISTED_S - 1)
    bench.read(*hosts, owner=owner)
    bench.clock.advance(1)
    assert bench.read(host(1), owner=OWNER) == LeaseState.HELD
    bench.clock.advance(UNLISTED_S)
    assert bench.read(host(1), owner=OWNER) == LeaseState.FREE


# --- a new life of the owner's host -----------------------------------------------------


def test_a_new_life_frees_after_a_renewal_and_a_tick(bench: Bench) -> None:
    assert bench.read(host(2, generation=4), owner=OWNER) == LeaseState.HELD
    assert bench.view.why.endswith(f"may run for {NEW_LIFE_S:.0f} s more")
    bench.clock.advance(NEW_LIFE_S - 0.1)
    assert bench.read(host(2, generation=4), owner=OWNER) == LeaseState.HELD
    bench.clock.advance(0.1)
    assert bench.read(host(2, generation=4), owner=OWNER) == LeaseState.FREE


@pytest.mark.parametrize(
    ("hosts", "owner"),
    [
        ([host(2)], OWNER),
        ([host(3)], OWNER),
        ([host(2, generation=4)], None),
        ([host(2, generation=5)], OWNER),
        ([host(2, generation=4)], LeaseOwner(2, 2)),
    ],
)
def test_what_begins_a_new_life_anew(
    bench: Bench, hosts: list[LockspaceHost], owner: Optional[LeaseOwner]
) -> None:
    bench.read(host(2, generation=4), owner=OWNER)
    bench.clock.advance(NEW_LIFE_S - 1)
    bench.read(*hosts, owner=owner)
    bench.clock.advance(1)
    assert bench.read(host(2, generation=4), owner=OWNER) == LeaseState.HELD


FIRST, SECOND = MachineIdentity("m", "board", "boot 1"), MachineIdentity("m", "board", "boot 2")
COPY = MachineIdentity("m", "other board", "boot 3")
NO_BOOT = MachineIdentity("m", "board", "")


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        ((), LeaseState.HELD),
        ((FIRST,), LeaseState.HELD),
        ((FIRST, FIRST), LeaseState.HELD),
        ((FIRST, SECOND), LeaseState.FREE),
        ((FIRST, NO_BOOT, SECOND), LeaseState.FREE),
        ((FIRST, COPY), LeaseState.HELD),
        ((COPY, FIRST, SECOND), LeaseState.HELD),
        ((FIRST, SECOND, FIRST), LeaseState.HELD),
        ((COPY, *(FIRST,) * MACHINES_KEPT, SECOND), LeaseState.HELD),
    ],
)
def test_a_new_life_of_one_and_the_same_machine_frees_at_once(
    bench: Bench, seen: tuple[MachineIdentity, ...], state: str
) -> None:
    bench.note(*seen)
    assert bench.read(host(2, generation=4), owner=OWNER) == state


def test_the_machines_of_another_host_say_nothing_of_this_one(bench: Bench) -> None:
    bench.note(FIRST, SECOND, host_id=3)
    assert bench.read(host(2, generation=4), owner=OWNER) == LeaseState.HELD


def test_records_without_a_writer_are_none(bench: Bench) -> None:
    bench.note_views(HostView(2))
    bench.note(FIRST)
    bench.note_views(HostView(2))
    bench.note(SECOND)
    assert bench.read(host(2, generation=4), owner=OWNER) == LeaseState.FREE


def test_only_so_many_machines_are_remembered(bench: Bench) -> None:
    """A copy that was seen long ago, and many boots since."""
    boots = [replace(FIRST, boot=f"boot {number}") for number in range(MACHINES_KEPT)]
    bench.note(COPY, *boots[:-1])
    assert bench.read(host(2, generation=4), owner=OWNER) == LeaseState.HELD
    bench.note(boots[-1])
    assert bench.read(host(2, generation=4), owner=OWNER) == LeaseState.FREE


# --- a silent owner ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("silent_s", "fire_timeout_s", "state"),
    [
        (FLOOR_S + 0.1, FIRE_S, LeaseState.FREE),
        (FLOOR_S, FIRE_S, LeaseState.HELD),
        (FLOOR_S + 0.1, None, LeaseState.HELD),
        (FLOOR_S + 0.1, FIRE_S + 1, LeaseState.HELD),
        (None, FIRE_S, LeaseState.HELD),
    ],
)
def test_an_owner_silent_for_the_floor_has_lost_its_lease(
    bench: Bench, silent_s: Optional[float], fire_timeout_s: Optional[int], state: str
) -> None:
    bench.members.fire_timeout_s = fire_timeout_s
    if silent_s is not None:
        bench.members.silent_since_s = {2: bench.now_s - silent_s, 3: 0.0}
    assert bench.read(host(2, Liveness.FAIL), owner=OWNER) == state
