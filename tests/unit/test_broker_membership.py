# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""This host's membership alone, against a sanlock that says what the test wants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Optional

import pytest

from ha_broker.api.snapshot import HostView, LockspaceView
from ha_broker.cycle.host_changes import HostChanges
from ha_broker.cycle.part import NEVER_S, BrokerPorts, ChangeLog, Settings
from ha_broker.cycle.task import HarvestedRunner
from ha_broker.lockspace.membership import JOIN, SANLOCK, LockspaceLook, MembershipWatch, join, look
from metadata.host_notes import FIRE_TIMEOUT, MACHINE
from metadata.liveness import Liveness
from metadata.settings.parse import HostSettings
from simulation.world import InlineRunner, VirtualClock
from tests.unit.broker_host import ALIVE_S, CONFIG, IO_TIMEOUT_S, PARTS, SETTINGS, TICK_S, record
from world.ports.errors import LockspaceError
from world.ports.libvirt import DomainState
from world.ports.sanlock import LockspaceHost, Membership

OUT, JOINING, JOINED = Membership.OUT, Membership.JOINING, Membership.JOINED
NOT_JOINED = "this host has not joined the lockspace"
DROPPED = "sanlock dropped the lockspace; joining again"


def host(
    host_id: int = 2, liveness: Liveness = Liveness.LIVE, timestamp: int = 7, generation: int = 3
) -> LockspaceHost:
    return LockspaceHost(host_id, generation, timestamp, liveness)


class Sanlock:
    """The part of a `Lockspace` that is asked here; `calls` in their order."""

    def __init__(self) -> None:
        self.state = OUT
        self.known: list[LockspaceHost] = []
        self.fire_s = 60
        self.error: Optional[Exception] = None
        self.join_error: Optional[Exception] = None
        self.calls: list[str] = []

    def membership(self, host_id: int) -> Membership:
        self._called(f"membership {host_id}")
        return self.state

    def hosts(self) -> list[LockspaceHost]:
        self._called("hosts")
        return list(self.known)

    def fire_timeout_s(self) -> int:
        self._called("fire timeout")
        return self.fire_s

    def join(self, host_id: int, io_timeout_s: int) -> None:
        self._called(f"join {host_id} {io_timeout_s}")
        if self.join_error is not None:
            raise self.join_error

    def _called(self, what: str) -> None:
        self.calls.append(what)
        if self.error is not None:
            raise self.error


class Bench:
    """A host that may join: configured, without a VM, and with a look at all records."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.sanlock = Sanlock()
        self.runner = InlineRunner(self.clock)
        self.harvested = HarvestedRunner(self.runner, self.clock)
        fields: dict[str, Any] = dict.fromkeys(BrokerPorts.__dataclass_fields__)
        fields.update(clock=self.clock, runner=self.harvested, lockspace=self.sanlock)
        self.settings = Settings(HostSettings(1, "h1", PARTS))
        self.settings.use(CONFIG)
        self.watch = MembershipWatch(BrokerPorts(**fields), self.settings, ChangeLog())
        self.watch.engine = DomainState.ABSENT
        self.changes = HostChanges()
        self.note_peers()

    def note_peers(self, *views: HostView) -> None:
        """The broker's next views of all hosts."""
        self.changes.note(views)
        self.watch.note_peers(views, self.changes.versions, self.now_s)

    @property
    def now_s(self) -> float:
        return self.clock.monotonic_s()

    @property
    def error(self) -> str:
        return self.watch.error(self.now_s)

    def cycle(self, later_s: float = 0.0) -> None:
        """What the broker does with this part, `later_s` from now."""
        self.clock.advance(later_s)
        for outcome in self.harvested.poll():
            self.watch.harvest(outcome)
        self.watch.work(self.now_s)

    def look(self, *known: LockspaceHost, state: Membership = JOINED, later_s: float = 0.0) -> None:
        """sanlock says so, and is heard."""
        self.sanlock.state, self.sanlock.known = state, list(known)
        self.clock.advance(later_s)
        self.watch.hurry(self.now_s)
        self.cycle()
        self.cycle()

    def joins(self) -> list[str]:
        return [call for call in self.sanlock.calls if call.startswith("join")]

    def times_fire_was_asked(self) -> int:
        return self.sanlock.calls.count("fire timeout")


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- joining --------------------------------------------------------------------------


def test_nothing_is_known_and_nothing_is_joined_before_the_first_look(bench: Bench) -> None:
    watch = bench.watch
    assert watch.view(bench.now_s) == LockspaceView(OUT, "", None)
    assert (watch.joined, watch.in_a_hurry, watch.looked_in_vain) == (False, False, False)
    assert (watch.hosts, watch.overdue, watch.looked_at_s) == ({}, set(), None)
    assert watch.unusable_why(bench.now_s) == NOT_JOINED
    assert watch.next_due_s(bench.now_s) == NEVER_S
    bench.cycle()
    assert bench.runner.submitted == [SANLOCK]


def test_it_joins_when_sanlock_says_that_it_is_out(bench: Bench) -> None:
    bench.cycle()
    bench.runner.hang(JOIN)
    bench.cycle()
    assert bench.runner.submitted == [SANLOCK, JOIN]
    assert bench.watch.view(bench.now_s) == LockspaceView(JOINING, "", 60)
    assert bench.watch.looked_at_s == bench.now_s
    bench.look(state=JOINING)
    bench.runner.release(JOIN)
    assert bench.joins() == [f"join 1 {IO_TIMEOUT_S:g}"]
    bench.sanlock.state = JOINED
    looks = bench.runner.submitted.count(SANLOCK)
    bench.cycle()
    assert bench.runner.submitted.count(SANLOCK) == looks + 1, "it looks at once"
    bench.cycle()
    assert bench.watch.view(bench.now_s) == LockspaceView(JOINED, "", 60)
    assert bench.watch.unusable_why(bench.now_s) == ""
    bench.cycle(60)
    assert bench.runner.submitted.count(JOIN) == 1


def test_a_member_whose_join_has_not_ended_is_one(bench: Bench) -> None:
    bench.runner.hang(JOIN)
    bench.cycle()
    bench.cycle()
    bench.look(state=JOINED)
    assert bench.watch.view(bench.now_s).membership is JOINED


def test_a_member_is_one_before_the_first_look_at_all_records(bench: Bench) -> None:
    no_records(bench)
    bench.look(state=JOINED)
    assert (bench.error, bench.watch.unusable_why(bench.now_s)) == ("", "")


def test_out_without_a_join_is_out(bench: Bench) -> None:
    bench.watch.engine = DomainState.RUNNING
    bench.look(state=OUT)
    assert bench.watch.view(bench.now_s).membership is OUT


def unconfigured(bench: Bench) -> None:
    bench.settings.config = None


def runs(bench: Bench) -> None:
    bench.watch.engine = DomainState.RUNNING


def unknown_vm(bench: Bench) -> None:
    bench.watch.engine = DomainState.UNKNOWN


def no_records(bench: Bench) -> None:
    bench.watch = MembershipWatch(bench.watch._world, bench.settings, ChangeLog())
    bench.watch.engine = DomainState.ABSENT


def same_id(bench: Bench) -> None:
    bench.watch.same_id_why = "used by h9"


def short_fire(bench: Bench) -> None:
    timing = replace(SETTINGS.timing, io_timeout_s=2)
    bench.settings.use(replace(CONFIG, settings=replace(SETTINGS, timing=timing)))
    bench.sanlock.fire_s = 10


WAITS: dict[str, Callable[[Bench], None]] = {
    "not joined: waits for the shared configuration": unconfigured,
    "not joined: a VM runs here that would lose its lease at once": runs,
    "not joined: waits for libvirt's word on the VM": unknown_vm,
    "not joined: waits for the first look at all hosts' records": no_records,
    "not joined: used by h9": same_id,
    "not joined: with sanlock's watchdog_fire_timeout of 10 s here, ": short_fire,
}


@pytest.mark.parametrize("why", WAITS)
def test_what_it_waits_for_before_it_joins(bench: Bench, why: str) -> None:
    WAITS[why](bench)
    bench.look(state=OUT)
    assert bench.error.startswith(why)
    assert bench.watch.view(bench.now_s).error == bench.error
    assert bench.watch.unusable_why(bench.now_s) == bench.error
    assert bench.joins() == []
    assert bench.watch.next_due_s(bench.now_s) == NEVER_S


def test_before_libvirts_first_word_it_does_not_join(bench: Bench) -> None:
    bench.watch.engine = None
    bench.look(state=OUT)
    assert (bench.error, bench.joins()) == ("", [])


def test_a_paused_vm_has_no_lease_to_lose(bench: Bench) -> None:
    bench.watch.engine = DomainState.PAUSED
    bench.look(state=OUT)
    assert len(bench.joins()) == 1


def test_it_joins_no_more_once_it_is_told_to_stop(bench: Bench) -> None:
    bench.watch.stop()
    bench.look(state=OUT)
    assert bench.joins() == []


def test_an_error_is_no_word_that_it_is_out(bench: Bench) -> None:
    bench.runner.hang(JOIN)
    bench.look(state=OUT)
    bench.sanlock.error = LockspaceError("ask", "the daemon does not answer", 2)
    bench.look(state=OUT)
    bench.runner.release(JOIN)
    bench.sanlock.error = None
    bench.sanlock.state = OUT
    bench.runner.hang(SANLOCK)
    bench.cycle(20)
    assert bench.runner.submitted.count(JOIN) == 1
    assert "the daemon does not answer" in bench.error


def test_the_watchdog_time_is_told_before_it_joins(bench: Bench) -> None:
    bench.watch._ask_all = False
    bench.look(state=OUT)
    assert bench.error == "not joined: sanlock has not told its watchdog_fire_timeout yet"
    assert bench.joins() == []


def test_a_failed_join_is_tried_again_after_longer_and_longer_pauses(bench: Bench) -> None:
    bench.sanlock.join_error = LockspaceError("join", "no space", 5)
    bench.look(state=OUT)
    bench.cycle()
    for pause_s in (1, 2, 4, 8, 16, 16):
        assert "no space" in bench.error
        bench.cycle()  # no look is under way any more
        failed_at_s = bench.now_s
        assert bench.watch.next_due_s(failed_at_s) == failed_at_s + pause_s
        tries = len(bench.joins())
        bench.cycle(pause_s - 0.1)
        bench.cycle()
        assert len(bench.joins()) == tries
        bench.cycle(0.1)
        bench.cycle()
        assert len(bench.joins()) == tries + 1


def test_a_join_that_works_ends_the_error_and_the_pauses(bench: Bench) -> None:
    bench.sanlock.join_error = LockspaceError("join", "no space", 5)
    bench.look(state=OUT)
    bench.cycle(1.0)
    bench.cycle()
    bench.sanlock.join_error = None
    bench.cycle(2.0)
    bench.cycle()
    assert bench.error == "", "before sanlock has shown it as a member"
    bench.look(state=JOINED)
    assert bench.error == ""
    bench.look(state=OUT, later_s=60)
    bench.sanlock.join_error = LockspaceError("join", "no space", 5)
    bench.look(state=OUT, later_s=60)
    assert bench.watch.next_due_s(bench.now_s) == bench.now_s + 1.0


def test_a_member_by_other_hands_forgets_its_own_error(bench: Bench) -> None:
    bench.sanlock.join_error = LockspaceError("join", "no space", 5)
    bench.look(state=OUT)
    bench.look(state=JOINED)
    bench.look(state=JOINING)
    assert bench.error == ""


def test_a_lockspace_that_was_dropped_is_joined_again_at_once(bench: Bench) -> None:
    bench.sanlock.join_error = LockspaceError("join", "no space", 5)
    bench.look(state=OUT)
    for pause_s in (1, 2, 4):
        bench.cycle(pause_s)
        bench.cycle()
    assert bench.watch.next_due_s(bench.now_s) == bench.now_s + 8
    bench.look(state=JOINED)
    tries, bench.sanlock.join_error = len(bench.joins()), None
    bench.runner.hang(JOIN)
    bench.look(state=OUT)
    assert bench.error == DROPPED
    bench.runner.release(JOIN)
    assert len(bench.joins()) == tries + 1


@pytest.mark.parametrize(("before", "after"), [(JOINED, JOINING), (JOINING, OUT), (OUT, JOINING)])
def test_only_from_member_to_out_is_it_dropped(
    bench: Bench, before: Membership, after: Membership
) -> None:
    bench.runner.hang(JOIN)
    bench.look(state=before)
    bench.look(state=after)
    assert bench.error == ""


# --- looking --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "liveness", "hurry", "tick_s", "interval_s"),
    [
        (JOINING, Liveness.LIVE, False, 5.0, 0.5),
        (JOINED, Liveness.LIVE, True, 5.0, 0.5),
        (JOINED, Liveness.LIVE, True, 40.0, 4.0),
        (OUT, Liveness.LIVE, False, 5.0, 2.0),
        (OUT, Liveness.LIVE, False, 40.0, 4.0),
        (JOINED, Liveness.UNKNOWN, False, 5.0, 2.0),
        (JOINED, Liveness.LIVE, False, 5.0, 5.0),
        (JOINED, Liveness.FAIL, False, 5.0, 5.0),
        (JOINED, Liveness.LIVE, False, 1.0, 2.0),
        (JOINED, Liveness.LIVE, False, 40.0, 20.0),
    ],
)
def test_how_often_sanlock_is_looked_at(
    bench: Bench,
    state: Membership,
    liveness: Liveness,
    hurry: bool,
    tick_s: float,
    interval_s: float,
) -> None:
    bench.watch.engine = DomainState.RUNNING  # no join hurries a look
    timing = replace(SETTINGS.timing, tick_s=tick_s)
    bench.settings.use(replace(CONFIG, settings=replace(SETTINGS, timing=timing)))
    bench.look(host(1), host(2, liveness), state=state)
    bench.watch.in_a_hurry = hurry
    for _ in range(3):  # from then on in step
        bench.cycle(bench.watch.next_look_s - bench.now_s)
        bench.cycle()
    assert bench.watch.next_look_s == bench.now_s + interval_s


def test_somebody_who_joins_is_looked_at_more_often(bench: Bench) -> None:
    bench.look(host(1), host(2, Liveness.UNKNOWN))
    assert bench.watch.next_look_s == bench.now_s + 2
    bench.look(host(1), host(2))
    bench.cycle(2)
    bench.cycle()
    assert bench.watch.next_look_s == bench.now_s + 3, "in step with the tick"


def test_a_member_whom_sanlock_tells_nobody_yet_is_calm(bench: Bench) -> None:
    bench.look(state=JOINED)
    for _ in range(2):
        bench.cycle(bench.watch.next_look_s - bench.now_s)
        bench.cycle()
    assert bench.watch.next_look_s == bench.now_s + TICK_S


def test_a_hurry_begins_at_once(bench: Bench) -> None:
    bench.look(host(1), state=JOINED)
    bench.cycle(TICK_S)
    bench.cycle()
    begun_s = bench.now_s
    bench.watch.in_a_hurry = True
    bench.cycle()
    assert bench.watch.next_look_s == begun_s + 0.5


def test_a_look_that_hangs_is_an_error_after_its_deadline(bench: Bench) -> None:
    bench.look(host(1), state=JOINED)
    bench.runner.hang(SANLOCK)
    bench.cycle(TICK_S)
    late_at_s = bench.watch.next_due_s(bench.now_s)
    assert bench.now_s + 10 < late_at_s < bench.now_s + 10.1
    bench.clock.advance(10)
    assert bench.error == ""
    bench.clock.advance(0.1)
    assert bench.error.startswith("sanlock has not answered since ")
    assert bench.watch.unusable_why(bench.now_s) == bench.error
    assert bench.watch.joined


def test_an_error_ends_what_was_known_of_hosts_but_not_the_membership(bench: Bench) -> None:
    bench.look(host(1), host(2), state=JOINED)
    bench.sanlock.error = LockspaceError("ask", "the daemon does not answer", 2)
    bench.look(state=JOINED)
    assert "the daemon does not answer" in bench.error
    assert bench.watch.unusable_why(bench.now_s) == bench.error
    assert (bench.watch.hosts, bench.watch.renewed_at_s) == ({}, {})
    assert (bench.watch.silent_since_s, bench.watch.overdue) == ({}, set())
    assert bench.watch.joined
    bench.sanlock.error = None
    bench.look(host(1), state=JOINED)
    assert (bench.error, set(bench.watch.hosts)) == ("", {1})


def fails(bench: Bench) -> None:
    bench.sanlock.error = LockspaceError("ask", "the daemon does not answer", 2)
    bench.look()
    bench.sanlock.error = None


def drops(bench: Bench) -> None:
    bench.watch.stop()
    bench.look(state=OUT)


def test_what_the_daemon_runs_with_is_asked_for_once(bench: Bench) -> None:
    for _ in range(3):
        bench.look(host(1))
    assert bench.times_fire_was_asked() == 1
    assert bench.watch.fire_timeout_s == 60


@pytest.mark.parametrize("change", [fails, drops])
def test_another_daemon_may_run_with_something_else(
    bench: Bench, change: Callable[[Bench], None]
) -> None:
    bench.look(host(1))
    change(bench)
    bench.sanlock.fire_s = 30
    before = bench.times_fire_was_asked()
    bench.look(host(1))
    assert bench.times_fire_was_asked() == before + 1
    assert bench.watch.fire_timeout_s == 30


def test_after_a_failed_join_it_is_asked_for_again(bench: Bench) -> None:
    bench.runner.hang(JOIN)
    bench.look(state=OUT)
    bench.look(state=OUT)
    assert bench.times_fire_was_asked() == 1
    bench.sanlock.join_error = LockspaceError("join", "no space", 5)
    bench.runner.release(JOIN)  # which asks once itself
    bench.cycle()
    assert bench.times_fire_was_asked() == 3


NEWS: dict[str, Callable[[Bench], None]] = {
    "nothing": lambda bench: bench.look(host(1), host(2, timestamp=8)),
    "life": lambda bench: bench.look(host(1), host(2, Liveness.FAIL)),
    "generation": lambda bench: bench.look(host(1), host(2, generation=4)),
    "another host": lambda bench: bench.look(host(1), host(2), host(3)),
    "membership": lambda bench: bench.look(host(1), host(2), state=JOINING),
    "error": fails,
    "overdue": lambda bench: bench.look(host(1), host(2), later_s=4 * IO_TIMEOUT_S),
}


@pytest.mark.parametrize("what", NEWS)
def test_a_look_without_news_is_told_from_one_with_news(bench: Bench, what: str) -> None:
    bench.look(host(1), host(2))
    assert not bench.watch.looked_in_vain
    NEWS[what](bench)
    assert bench.watch.looked_in_vain == (what == "nothing")


def test_the_end_of_a_join_is_no_look_in_vain(bench: Bench) -> None:
    bench.runner.hang(JOIN)
    bench.look(state=OUT)
    bench.look(state=OUT)
    assert bench.watch.looked_in_vain
    bench.runner.release(JOIN)
    bench.runner.hang(SANLOCK)
    bench.cycle()
    assert not bench.watch.looked_in_vain


def test_another_watchdog_time_is_news(bench: Bench) -> None:
    bench.look(host(1), host(2))
    bench.watch._ask_all, bench.sanlock.fire_s = True, 30
    bench.look(host(1), host(2))
    assert not bench.watch.looked_in_vain


# --- the hosts ------------------------------------------------------------------------


def test_the_hosts_are_another_mapping_only_when_they_are_others(bench: Bench) -> None:
    bench.look(host(1), host(2))
    before = bench.watch.hosts
    assert before == {1: host(1), 2: host(2)}
    bench.look(host(1), host(2))
    assert bench.watch.hosts is before
    bench.look(host(1), host(2, timestamp=8))
    assert bench.watch.hosts is before
    assert bench.watch.renewed_at_s[2] == bench.now_s
    for other in (host(2, generation=9), host(2, liveness=Liveness.FAIL), host(3)):
        bench.look(host(1), other)
        assert bench.watch.hosts == {1: host(1), other.host_id: other}
    before = bench.watch.hosts


def test_its_own_generation_outlasts_the_list(bench: Bench) -> None:
    bench.look(host(2, generation=9))
    assert bench.watch.own_generation is None
    bench.look(host(1, generation=5), host(2, generation=9))
    assert bench.watch.own_generation == 5
    bench.look(host(2, generation=9))
    assert bench.watch.own_generation == 5


def test_since_when_a_host_renews_no_more(bench: Bench) -> None:
    """A change is seen by the look that shows it, and may have come right after the one before."""
    first_s = bench.now_s
    bench.look(host(1), host(2))
    assert bench.watch.renewed_at_s == bench.watch.silent_since_s == {1: first_s, 2: first_s}
    bench.look(host(1, timestamp=8), host(2), later_s=5)
    assert bench.watch.renewed_at_s == {1: first_s + 5, 2: first_s}
    assert bench.watch.silent_since_s == {1: first_s, 2: first_s}
    bench.look(host(1, timestamp=9), host(2), host(3), later_s=5)
    assert bench.watch.renewed_at_s == {1: first_s + 10, 2: first_s, 3: first_s + 10}
    assert bench.watch.silent_since_s == {1: first_s + 5, 2: first_s, 3: first_s + 10}
    bench.look(host(1, timestamp=9), host(3), later_s=5)
    assert bench.watch.renewed_at_s == {1: first_s + 10, 3: first_s + 10}


def test_after_an_error_silence_is_counted_anew(bench: Bench) -> None:
    bench.look(host(1), host(2))
    fails(bench)
    bench.look(host(1), host(2), later_s=5)
    assert bench.watch.silent_since_s == {1: bench.now_s, 2: bench.now_s}


def test_overdue_is_who_has_not_renewed_for_four_io_timeouts(bench: Bench) -> None:
    bench.look(host(1), host(2))
    bench.look(host(1, timestamp=8), host(2), later_s=4 * IO_TIMEOUT_S - 1)
    assert bench.watch.overdue == set()
    bench.look(host(1, timestamp=8), host(2), later_s=1)
    assert bench.watch.overdue == {2}
    bench.look(host(1, timestamp=8), host(2, timestamp=8), later_s=1)
    assert bench.watch.overdue == set()


# --- sanlock's watchdog time ------------------------------------------------------------


def says(host_id: int, fire_timeout_s: Optional[int], age_s: Optional[float] = 0.0) -> HostView:
    """A host's record from `age_s` before the bench begins (None: no change was seen)."""
    notes = ((MACHINE, "0123456789ab"),)
    if fire_timeout_s is not None:
        notes = (*notes, (FIRE_TIMEOUT, str(fire_timeout_s)))
    changed_at_s = None if age_s is None else Bench().now_s - age_s
    return HostView(
        host_id, record=record(host_id, notes=notes), fresh=True, changed_at_s=changed_at_s
    )


@pytest.mark.parametrize(
    ("views", "other"),
    [
        ((), ""),
        ((says(2, 30),), "30 s on h2"),
        ((says(2, 90),), "90 s on h2"),
        ((says(2, 60),), ""),
        ((says(2, None),), ""),
        ((HostView(2, changed_at_s=1000.0),), ""),
        ((says(1, 30),), ""),
        ((says(2, 30, ALIVE_S),), "30 s on h2"),
        ((says(2, 30, ALIVE_S + 1),), ""),
        ((says(2, 30, None),), "30 s on h2"),
        ((says(1, 30), says(2, 60), says(3, None), says(4, 30, 900), says(5, 30)), "30 s on h5"),
    ],
)
def test_who_may_live_with_another_watchdog_time_keeps_it_out(
    bench: Bench, views: tuple[HostView, ...], other: str
) -> None:
    bench.watch.stop()
    bench.look(state=OUT)
    bench.note_peers(*views)
    expected = f"not joined: sanlock's watchdog_fire_timeout is 60 s on this host (h1) and {other}"
    assert bench.error.startswith(expected) if other else bench.error == ""


def test_a_record_that_has_not_changed_since_the_broker_began_is_a_dead_hosts(bench: Bench) -> None:
    bench.watch.stop()
    bench.look(state=OUT, later_s=ALIVE_S + 1)
    bench.note_peers(says(2, 30, None))
    assert bench.error == ""


@pytest.mark.parametrize(("other_s", "told"), [(90, True), (60, False), (30, False)])
def test_a_member_with_the_longer_time_is_only_slow(bench: Bench, other_s: int, told: bool) -> None:
    bench.look(host(1), state=JOINED)
    bench.note_peers(says(2, other_s))
    assert bool(bench.error) is told
    assert bool(bench.watch.unusable_why(bench.now_s)) is told
    bench.note_peers()
    assert bench.error == ""


def test_nobody_differs_before_the_own_time_is_known(bench: Bench) -> None:
    bench.watch._ask_all = False
    bench.look(host(1), state=JOINED)
    bench.note_peers(says(2, 90))
    assert bench.error == ""


# --- the two jobs -----------------------------------------------------------------------


@pytest.mark.parametrize("state", [OUT, JOINING, JOINED])
def test_only_members_are_told_the_hosts(state: Membership) -> None:
    sanlock = Sanlock()
    sanlock.state, sanlock.known = state, [host(1)]
    found = look(sanlock, 1)  # type: ignore[arg-type]
    assert found == LockspaceLook(state, [host(1)] if state is JOINED else [], 60)
    assert look(sanlock, 1, ask_all=False).fire_timeout_s is None  # type: ignore[arg-type]


def test_a_daemon_that_runs_with_something_else_by_now_is_not_joined() -> None:
    sanlock = Sanlock()
    with pytest.raises(LockspaceError, match="watchdog_fire_timeout has become 60 s"):
        join(sanlock, 1, 10, 30)  # type: ignore[arg-type]
    assert sanlock.calls == ["fire timeout"]
    join(sanlock, 1, 10, 60)  # type: ignore[arg-type]
    assert sanlock.calls == ["fire timeout", "fire timeout", "join 1 10"]
