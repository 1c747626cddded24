# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The thread runner: one hung job blocks its own key and nothing else."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from world.host.clock import SystemClock
from world.host.thread_runner import IDLE_S, JobFailedError, ThreadRunner
from world.ports.jobs import Outcome

LIMIT_S = 10 * float(os.environ.get("HE_TIME_FACTOR", "1"))


class Bench:
    def __init__(self, idle_s: float = IDLE_S) -> None:
        self.woken = threading.Semaphore(0)
        self.runner = ThreadRunner(SystemClock(), self._wake, idle_s)

    def _wake(self) -> None:
        self.woken.release()

    def next_outcome(self) -> Outcome[object]:
        """Wait to be woken; the outcome must be there by then."""
        assert self.woken.acquire(timeout=LIMIT_S)
        (outcome,) = self.runner.poll()
        return outcome


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    assert bench.runner.stop(LIMIT_S)


@pytest.fixture
def restless() -> Iterator[Bench]:
    """Whose threads end when no job waits for them."""
    bench = Bench(idle_s=0.0)
    yield bench
    assert bench.runner.stop(LIMIT_S)


@pytest.fixture
def hung(bench: Bench) -> Iterator[threading.Event]:
    """A job under key "a" that goes on when the event is set."""
    release, begun = threading.Event(), threading.Event()

    def job() -> str:
        begun.set()
        assert release.wait(LIMIT_S)
        return "late"

    assert bench.runner.submit("a", job)
    assert begun.wait(LIMIT_S)
    yield release
    release.set()


def test_a_result_comes_with_its_times(bench: Bench) -> None:
    before_s = time.monotonic()
    assert bench.runner.submit("a", lambda: 42)
    outcome = bench.next_outcome()
    assert (outcome.key, outcome.value, outcome.error) == ("a", 42, None)
    assert before_s <= outcome.started_at_s <= outcome.finished_at_s <= time.monotonic()
    assert bench.runner.poll() == []


def test_what_a_job_raises_is_its_outcome_and_its_thread_lives_on(bench: Bench) -> None:
    failure = ValueError("no")

    def fail() -> None:
        raise failure

    bench.runner.submit("a", fail)
    assert bench.next_outcome().error is failure
    bench.runner.submit("a", lambda: "fine")
    assert bench.next_outcome().value == "fine"


class Odd(BaseException):
    pass


@pytest.mark.parametrize(
    "raised", [SystemExit(3), KeyboardInterrupt(), GeneratorExit("x"), Odd("y")], ids=repr
)
def test_whatever_a_job_raises_is_an_outcome(bench: Bench, raised: BaseException) -> None:
    def fail() -> None:
        raise raised

    assert bench.runner.submit("a", fail)
    outcome = bench.next_outcome()
    assert isinstance(outcome.error, JobFailedError)
    assert str(outcome.error) == f"it raised {type(raised).__name__}: {raised}"
    assert bench.runner.busy_since_s("a") is None
    assert bench.runner.submit("a", lambda: "fine")
    assert bench.next_outcome().value == "fine"


def test_a_thread_that_can_not_be_made_is_an_outcome(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert bench.runner.submit("a", lambda: "never")
    outcome = bench.next_outcome()
    assert (outcome.key, outcome.value) == ("a", None)
    assert str(outcome.error) == "it has no thread: can't start new thread"
    assert bench.runner.busy_since_s("a") is None
    assert bench.runner.submit("a", lambda: "now")
    assert bench.next_outcome().value == "now"


def test_a_busy_key_takes_no_second_job(bench: Bench, hung: threading.Event) -> None:
    assert bench.runner.busy_since_s("a") is not None
    assert bench.runner.submit("a", lambda: "never") is False
    hung.set()
    assert bench.next_outcome().value == "late"
    assert bench.runner.busy_since_s("a") is None
    assert bench.runner.submit("a", lambda: "now")
    assert bench.next_outcome().value == "now"


def test_a_hung_job_does_not_block_other_keys(bench: Bench, hung: threading.Event) -> None:
    assert bench.runner.submit("b", lambda: "quick")
    assert bench.next_outcome().value == "quick"
    assert bench.runner.busy_since_s("b") is None
    assert bench.runner.busy_since_s("a") is not None


def test_outcomes_come_in_the_order_of_their_ends(bench: Bench, hung: threading.Event) -> None:
    bench.runner.submit("b", lambda: "first")
    assert bench.woken.acquire(timeout=LIMIT_S)
    hung.set()
    assert bench.woken.acquire(timeout=LIMIT_S)
    assert [outcome.value for outcome in bench.runner.poll()] == ["first", "late"]


def test_one_thread_serves_a_key(bench: Bench) -> None:
    threads = set()
    for _ in range(20):
        bench.runner.submit("a", threading.get_ident)
        threads.add(bench.next_outcome().value)
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_a_thread_ends_that_gets_no_job_and_the_next_job_gets_a_new_one(restless: Bench) -> None:
    restless.runner.submit("a", threading.current_thread)
    first = restless.next_outcome().value
    assert isinstance(first, threading.Thread)
    first.join(LIMIT_S)
    assert not first.is_alive()
    assert restless.runner.busy_since_s("a") is None
    restless.runner.submit("a", threading.current_thread)
    assert restless.next_outcome().value is not first


def test_no_job_is_lost_to_a_thread_that_ends(restless: Bench) -> None:
    for number in range(2000):
        assert restless.runner.submit("a", lambda number=number: number)
        assert restless.next_outcome().value == number


def test_a_job_that_lasts_is_no_rest(restless: Bench) -> None:
    release, begun = threading.Event(), threading.Event()

    def job() -> bool:
        begun.set()
        return release.wait(LIMIT_S)

    restless.runner.submit("a", job)
    assert begun.wait(LIMIT_S)
    assert restless.runner.busy_since_s("a") is not None
    assert restless.runner.submit("a", lambda: "never") is False
    release.set()
    assert restless.next_outcome().value is True


def test_idle_costs_nothing(bench: Bench) -> None:
    bench.runner.submit("a", lambda: None)
    bench.next_outcome()
    before = os.times()
    threading.Event().wait(0.3)
    after = os.times()
    assert (after.user + after.system) - (before.user + before.system) < 0.1


def test_stopping(hung: threading.Event, bench: Bench) -> None:
    bench.runner.submit("b", lambda: None)
    assert bench.runner.stop(0.05) is False
    assert bench.runner.submit("c", lambda: None) is False
    hung.set()
    assert bench.runner.stop(LIMIT_S) is True
