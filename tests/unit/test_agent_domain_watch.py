# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""libvirt's word on the domain, never waited for, never older than it looks."""

from __future__ import annotations

from typing import Optional

import pytest

from ha_agent.observation.domain_poller import KEY, DomainReading, DomainWatch
from simulation.world import InlineRunner, VirtualClock
from world.ports.errors import HypervisorGoneError
from world.ports.host import ProcessStart
from world.ports.libvirt import Domain, DomainState, Pause
from world.vm.domain_states import paused

DEADLINE_S = 5.0
ABSENT = Domain(DomainState.ABSENT)


def running(pid: int) -> Domain:
    return Domain(DomainState.RUNNING, pid=pid)


class Bench:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.runner = InlineRunner(self.clock)
        self.answer: Optional[Domain] = ABSENT
        self.watch = DomainWatch(self.runner, self)  # type: ignore[arg-type]

    def domain(self) -> Domain:
        if self.answer is None:
            raise HypervisorGoneError("ask", "libvirtd is not there")
        return self.answer

    def ask(self, answer: Optional[Domain]) -> list[Optional[DomainReading]]:
        self.answer = answer
        self.watch.want()
        self.watch.request()
        return self.harvest()

    def harvest(self) -> list[Optional[DomainReading]]:
        return [self.watch.take(outcome) for outcome in self.runner.poll()]

    @property
    def now(self) -> Domain:
        return self.watch.domain(self.clock.monotonic_s(), DEADLINE_S)

    @property
    def answered(self) -> bool:
        return self.watch.was_answered(self.clock.monotonic_s(), DEADLINE_S)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_asked_at_first_and_then_when_wanted(bench: Bench) -> None:
    bench.watch.request()
    bench.harvest()
    bench.watch.request()
    assert bench.runner.submitted == [KEY]
    bench.watch.want()
    bench.watch.request()
    assert bench.runner.submitted == [KEY, KEY]


def test_an_event_during_a_question_asks_again(bench: Bench) -> None:
    bench.runner.hang(KEY)
    bench.watch.request()
    bench.watch.want()
    bench.watch.request()
    bench.runner.release(KEY)
    bench.harvest()
    bench.watch.request()
    assert bench.runner.submitted == [KEY, KEY]


def test_unknown_before_the_first_answer(bench: Bench) -> None:
    assert bench.now == Domain(DomainState.UNKNOWN, detail="libvirt has not been asked yet")
    assert not bench.answered
    bench.ask(ABSENT)
    assert bench.now == ABSENT
    assert bench.answered


def test_an_error_is_unknown_and_an_answer(bench: Bench) -> None:
    bench.ask(None)
    assert bench.now.state is DomainState.UNKNOWN
    assert bench.now.detail == "libvirtd is not there"
    assert bench.answered
    bench.ask(ABSENT)
    assert bench.now == ABSENT


def test_a_question_beyond_its_deadline_is_unknown(bench: Bench) -> None:
    bench.ask(running(7))
    bench.runner.hang(KEY)
    bench.ask(running(7))
    bench.clock.advance(DEADLINE_S)
    assert bench.now == running(7)
    bench.clock.advance(1)
    assert bench.now.detail == "libvirt has not answered for 6 s"
    bench.runner.release(KEY)
    bench.harvest()
    bench.ask(running(7))
    assert bench.now == running(7)


def test_what_a_start_has_left_is_newer_than_a_question_before_its_end(bench: Bench) -> None:
    bench.runner.hang(KEY)
    bench.ask(ABSENT)
    bench.clock.advance(DEADLINE_S + 1)
    assert bench.now.detail == "libvirt has not answered for 6 s"
    bench.watch.changed(bench.clock.monotonic_s(), running(7))
    bench.clock.advance(DEADLINE_S)
    assert bench.now == running(7)
    bench.clock.advance(1)
    assert bench.now.detail == "libvirt has not answered for 6 s"


def test_a_short_deadline_is_none_for_what_is_not_asked(bench: Bench) -> None:
    bench.ask(running(7))
    assert bench.watch.domain(bench.clock.monotonic_s(), 0.5) == running(7)


def test_the_deadline_counts_as_the_first_answer(bench: Bench) -> None:
    bench.runner.hang(KEY)
    bench.ask(ABSENT)
    bench.clock.advance(DEADLINE_S + 1)
    assert bench.answered


def test_an_old_answer_is_no_answer(bench: Bench) -> None:
    bench.ask(running(7))
    bench.clock.advance(3 * DEADLINE_S)
    assert bench.now == running(7)
    bench.clock.advance(1)
    assert bench.now == Domain(DomainState.UNKNOWN, detail="libvirt was last asked 16 s ago")


def test_an_answer_from_before_our_order_does_not_count(bench: Bench) -> None:
    bench.runner.hang(KEY)
    bench.ask(ABSENT)
    bench.clock.advance(1)
    bench.watch.changed(bench.clock.monotonic_s(), running(7))
    bench.runner.release(KEY)
    assert bench.harvest() == [None]
    assert bench.now == running(7)
    bench.watch.request()
    bench.harvest()
    assert bench.now == ABSENT


def test_since_when_it_is_this_vm(bench: Bench) -> None:
    bench.ask(ABSENT)
    bench.clock.advance(10)
    bench.ask(running(7))
    assert bench.watch.vm_since_s == 1010.0
    bench.clock.advance(10)
    bench.ask(running(7))
    assert bench.watch.vm_since_s == 1010.0
    bench.ask(running(8))
    assert bench.watch.vm_since_s == 1020.0


def test_a_vm_that_ran_before_us_has_no_since(bench: Bench) -> None:
    bench.ask(None)
    bench.clock.advance(10)
    bench.ask(running(7))
    assert bench.watch.vm_since_s is None


def test_libvirt_gone_and_back_is_the_same_vm(bench: Bench) -> None:
    bench.ask(running(7))
    bench.ask(None)
    bench.clock.advance(10)
    bench.ask(running(7))
    assert bench.watch.vm_since_s is None
    bench.ask(None)
    bench.ask(running(8))
    assert bench.watch.vm_since_s == 1010.0


def test_an_error_without_words_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()

    def domain() -> Domain:
        raise TimeoutError

    monkeypatch.setattr(bench, "domain", domain)
    bench.watch.request()
    bench.harvest()
    assert bench.now == Domain(DomainState.UNKNOWN, detail="TimeoutError")


def test_running_since_begins_anew_with_each_pause_and_each_process(bench: Bench) -> None:
    begun_s = bench.clock.monotonic_s()
    bench.ask(running(7))
    bench.clock.advance(3)
    bench.ask(running(7))
    assert (bench.watch.running_since_s, bench.watch.seen_at_s) == (begun_s, begun_s + 3)
    bench.ask(None)  # an answer that says nothing ends nothing
    assert bench.watch.running_since_s == begun_s
    bench.ask(paused(Pause.MIGRATION, 7))
    assert bench.watch.running_since_s is None
    bench.clock.advance(1)
    bench.ask(running(7))
    assert bench.watch.running_since_s == begun_s + 4
    bench.clock.advance(1)
    bench.ask(running(8))
    assert bench.watch.running_since_s == begun_s + 5


def test_since_when_libvirt_says_the_same_and_whether_the_vm_ran(bench: Bench) -> None:
    for at_s, domain, since_s, ran in (
        (10, paused(Pause.MIGRATION, 7), 10, False),
        (15, paused(Pause.MIGRATION, 7), 10, False),
        (20, Domain(DomainState.RUNNING, pid=7), 20, True),
        (25, paused(Pause.MIGRATION, 7), 25, True),
        (30, paused(Pause.MIGRATION, 8), 30, False),
    ):
        bench.watch.changed(float(at_s), domain)
        assert (bench.watch.vm_same_since_s, bench.watch.vm_ran) == (since_s, ran)


# --- the process ------------------------------------------------------------------------


class Starts:
    """`Processes`: what began when, by its process id."""

    def __init__(self) -> None:
        self.known = {7: ProcessStart("seven", 100.0)}
        self.asked: list[int] = []

    def started(self, pid: int) -> Optional[ProcessStart]:
        self.asked.append(pid)
        return self.known.get(pid)


@pytest.fixture
def starts(bench: Bench) -> Starts:
    found = Starts()
    bench.watch = DomainWatch(bench.runner, bench, found)  # type: ignore[arg-type]
    return found


def test_the_process_is_looked_up_with_the_domain(bench: Bench, starts: Starts) -> None:
    bench.ask(ABSENT)
    assert (bench.watch.process, starts.asked) == (None, [])
    (reading,) = bench.ask(running(7))
    assert reading == DomainReading(1000.0, running(7), process=ProcessStart("seven", 100.0))
    assert bench.watch.process == ProcessStart("seven", 100.0)
    bench.ask(running(8))
    assert (bench.watch.process, starts.asked) == (None, [7, 8])
    bench.ask(running(7))
    assert bench.watch.process == ProcessStart("seven", 100.0)
    bench.ask(None)
    assert bench.watch.process == ProcessStart("seven", 100.0), "an error says nothing of it"
    bench.ask(ABSENT)
    assert bench.watch.process is None


def test_the_same_process_keeps_the_moment_of_its_beginning(bench: Bench, starts: Starts) -> None:
    """It is reckoned anew each time and differs by a hair: that is no news."""
    bench.ask(running(7))
    first = bench.watch.process
    starts.known[7] = ProcessStart("seven", 100.01)
    bench.ask(running(7))
    assert bench.watch.process is first
    starts.known[7] = ProcessStart("another", 300.0)
    bench.ask(running(7))
    assert bench.watch.process == ProcessStart("another", 300.0)


def test_nothing_is_known_of_a_vm_before_the_first_answer(bench: Bench) -> None:
    watch = bench.watch
    known = watch.vm_since_s, watch.running_since_s, watch.seen_at_s, watch.vm_same_since_s
    assert known == (None,) * 4
    assert not watch.vm_ran
    bench.ask(ABSENT)
    assert (watch.running_since_s, watch.vm_ran) == (None, False)


def test_an_order_of_ours_asks_libvirt_again(bench: Bench) -> None:
    bench.ask(running(7))
    bench.watch.changed(bench.clock.monotonic_s())
    assert bench.now == running(7), "it left no domain to know"
    bench.watch.request()
    assert bench.runner.submitted == [KEY, KEY]


def test_an_answer_of_the_moment_of_our_order_counts(bench: Bench) -> None:
    bench.watch.changed(bench.clock.monotonic_s(), running(7))
    assert bench.ask(ABSENT) == [DomainReading(1000.0, ABSENT)]
