# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Does the running VM hold its lease? One "no" is not enough, silence is for a while."""

from __future__ import annotations

from typing import Optional

import pytest

from ha_agent.observation.vm_lease import (
    KEY,
    LOOKS,
    LeaseAnswer,
    LeaseVerdict,
    VmLeaseWatch,
)
from metadata.settings.parse import Timing
from metadata.settings.timing import KILL_S, lease_floor_s, renewal_s, sanlock_silence_s
from simulation.world import InlineRunner, SimLockspace, SimSan, VirtualClock
from world.ports.errors import LockspaceError
from world.ports.jobs import Outcome

TIMING = Timing()
IO_S = TIMING.io_timeout_s
FIRE_S = 60


def verdict(
    rules: LeaseVerdict,
    now_s: float,
    pid: Optional[int] = 7,
    asked_at_s: Optional[float] = None,
    timing: Timing = TIMING,
    fire_timeout_s: Optional[int] = FIRE_S,
) -> Optional[bool]:
    return rules.verdict(pid, now_s, asked_at_s, timing, fire_timeout_s=fire_timeout_s)


@pytest.fixture
def rules() -> LeaseVerdict:
    return LeaseVerdict()


def test_nothing_is_known_at_first(rules: LeaseVerdict) -> None:
    assert verdict(rules, 100) is None
    assert not rules.doubtful, "nobody asks without a pause before the first answer"


def test_a_yes_counts_at_once_and_for_that_process_only(rules: LeaseVerdict) -> None:
    rules.answered(LeaseAnswer(7, 100, True), 101)
    assert verdict(rules, 101) is True
    assert verdict(rules, 101, pid=8) is None
    assert verdict(rules, 101, pid=None) is None


def test_a_no_counts_when_the_vm_was_seen_running_after_it(rules: LeaseVerdict) -> None:
    rules.answered(LeaseAnswer(7, 100, False), 101)
    assert verdict(rules, 101) is None
    assert rules.doubtful
    rules.answered(LeaseAnswer(7, 101, False), 102)
    assert verdict(rules, 102) is False
    assert not rules.doubtful


def test_a_second_no_on_the_same_look_at_the_vm_does_not_count(rules: LeaseVerdict) -> None:
    rules.answered(LeaseAnswer(7, 100, False), 101)
    rules.answered(LeaseAnswer(7, 100.5, False), 102)
    assert verdict(rules, 102) is None
    assert rules.doubtful


def test_paused_and_resumed_meanwhile(rules: LeaseVerdict) -> None:
    rules.answered(LeaseAnswer(7, 100, False), 101)
    rules.forget()
    rules.answered(LeaseAnswer(7, 103, False), 104)
    assert verdict(rules, 104) is None


def test_a_yes_clears_the_doubt(rules: LeaseVerdict) -> None:
    rules.answered(LeaseAnswer(7, 100, False), 101)
    rules.answered(LeaseAnswer(7, 102, True), 103)
    assert verdict(rules, 103) is True
    rules.answered(LeaseAnswer(7, 104, False), 105)
    assert verdict(rules, 105) is not False


def test_another_process_begins_anew(rules: LeaseVerdict) -> None:
    rules.answered(LeaseAnswer(7, 100, False), 101)
    rules.answered(LeaseAnswer(8, 102, False), 103)
    assert verdict(rules, 103, pid=8) is None


def test_sanlock_gone_is_no_after_eight_io_timeouts(rules: LeaseVerdict) -> None:
    rules.answered(LeaseAnswer(7, 100, True), 100)
    rules.failed(105)
    assert verdict(rules, 106) is None
    rules.failed(150)
    assert verdict(rules, 105 + 8 * IO_S) is None
    assert verdict(rules, 105 + 8 * IO_S + 1) is False


def test_a_question_that_hangs_is_like_sanlock_gone(rules: LeaseVerdict) -> None:
    rules.answered(LeaseAnswer(7, 100, True), 100)
    assert verdict(rules, 100 + 8 * IO_S, asked_at_s=100) is True
    assert verdict(rules, 101 + 8 * IO_S, asked_at_s=100) is False


def test_sanlock_back_ends_the_silence(rules: LeaseVerdict) -> None:
    rules.failed(100)
    rules.answered(LeaseAnswer(7, 170, True), 170)
    assert verdict(rules, 181) is True


def test_silence_from_before_this_vm_does_not_count(rules: LeaseVerdict) -> None:
    rules.failed(100, busy=True)
    rules.forget()
    assert verdict(rules, 1000) is None
    assert not rules.doubtful


def test_an_agent_that_never_had_an_answer_waits_one_renewal_only(rules: LeaseVerdict) -> None:
    rules.failed(100)
    assert verdict(rules, 100 + 2 * IO_S) is None
    assert verdict(rules, 101 + 2 * IO_S) is False


@pytest.mark.parametrize(("tick_s", "io_s"), [(25.0, 10), (10.0, 20), (25.0, 20), (5.0, 10)])
def test_silence_leaves_the_time_to_switch_the_engine_off(
    rules: LeaseVerdict, tick_s: float, io_s: int
) -> None:
    """Seen a tick late, judged a tick late, killed: before another host may take the lease."""
    timing = Timing(tick_s=tick_s, io_timeout_s=io_s)
    rules.answered(LeaseAnswer(7, 100, True), 100)
    died_at_s = 100.5
    rules.failed(died_at_s + tick_s)
    judged_at_s = lease_floor_s(io_s, FIRE_S) - renewal_s(io_s) - KILL_S + died_at_s - tick_s + 0.1
    assert verdict(rules, judged_at_s, timing=timing) is False


def test_sanlock_that_dies_after_the_storage_had_renewed_nothing_since(
    rules: LeaseVerdict,
) -> None:
    rules.answered(LeaseAnswer(7, 100, True), 200)
    storage_good_at_s = 110.0

    def judged(now_s: float) -> Optional[bool]:
        return rules.verdict(7, now_s, None, TIMING, storage_good_at_s, fire_timeout_s=FIRE_S)

    assert judged(200) is True  # sanlock lives: it ends the engine itself
    rules.failed(180)
    assert judged(110 + 8 * IO_S) is None
    assert judged(110 + 8 * IO_S + 1) is False


def test_a_question_that_was_just_asked_is_no_silence(rules: LeaseVerdict) -> None:
    rules.answered(LeaseAnswer(7, 100, True), 200)
    assert rules.verdict(7, 200, 199.9, TIMING, storage_good_at_s=50.0) is True


def test_busy_is_no_answer_and_is_asked_again_at_once(rules: LeaseVerdict) -> None:
    rules.failed(100, busy=True)
    assert rules.doubtful
    assert verdict(rules, 101 + 2 * IO_S) is None, "it lives: not as long as one that is gone"
    rules.answered(LeaseAnswer(7, 103, True), 104)
    assert not rules.doubtful
    assert verdict(rules, 104) is True


def test_busy_between_two_noes_does_not_count_as_the_second(rules: LeaseVerdict) -> None:
    rules.answered(LeaseAnswer(7, 100, False), 101)
    rules.failed(102, busy=True)
    assert verdict(rules, 103) is None
    rules.answered(LeaseAnswer(7, 104, False), 105)
    assert verdict(rules, 105) is False


def test_busy_for_too_long_is_silence(rules: LeaseVerdict) -> None:
    rules.failed(100, busy=True)
    rules.failed(150, busy=True)
    assert verdict(rules, 100 + 8 * IO_S) is None
    assert verdict(rules, 101 + 8 * IO_S) is False


def test_gone_after_having_been_busy_is_gone(rules: LeaseVerdict) -> None:
    rules.failed(100, busy=True)
    rules.failed(105)
    assert not rules.doubtful
    assert verdict(rules, 101 + 2 * IO_S) is False


def test_a_short_watchdog_time_shortens_the_patience(rules: LeaseVerdict) -> None:
    quick = Timing(io_timeout_s=2, tick_s=2, alive_s=20)
    rules.answered(LeaseAnswer(7, 100, True), 100)
    rules.failed(102)
    for fire_timeout_s, patience_s in ((60, 16), (10, 1), (None, 1)):
        asked = {"timing": quick, "fire_timeout_s": fire_timeout_s}
        assert rules.verdict(7, 102 + patience_s, None, **asked) is None
        assert rules.verdict(7, 102.1 + patience_s, None, **asked) is False


def test_where_no_silence_at_all_is_allowed_a_sanlock_that_answers_keeps_the_engine(
    rules: LeaseVerdict,
) -> None:
    timing = Timing(io_timeout_s=2, tick_s=3, alive_s=20)
    assert sanlock_silence_s(timing, 10) == 0
    rules.answered(LeaseAnswer(7, 100, True), 100)
    assert verdict(rules, 105, timing=timing, fire_timeout_s=10) is True
    rules.failed(105)
    assert verdict(rules, 105.1, timing=timing, fire_timeout_s=10) is False


# --- the questions to sanlock -----------------------------------------------------------


class Bench:
    """This host's sanlock, in which qemu (pid 7) holds the lease."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.lockspace = SimLockspace(SimSan(self.clock), "h1")
        self.lockspace.join(1, IO_S)
        self.lockspace.acquire(7)
        self.runner = InlineRunner(self.clock)
        self.watch = VmLeaseWatch(self.runner, self.lockspace)

    def ask(self, pid: int = 7, not_within_s: float = 0.0) -> None:
        self.watch.request(pid, self.clock.monotonic_s(), not_within_s=not_within_s)
        self.harvest()

    def harvest(self) -> None:
        for outcome in self.runner.poll():
            self.watch.take(outcome)

    def holds(self, pid: Optional[int] = 7, storage_good_at_s: Optional[float] = None):
        now_s = self.clock.monotonic_s()
        return self.watch.holds(pid, now_s, TIMING, storage_good_at_s, fire_timeout_s=FIRE_S)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_sanlock_is_asked_about_the_process_and_its_version_is_kept(bench: Bench) -> None:
    assert (bench.holds(), bench.watch.version) == (None, None)
    bench.ask()
    assert bench.runner.submitted == [KEY]
    assert bench.holds() is True
    assert bench.watch.version == bench.lockspace.san.lease_version
    assert bench.watch.version is not None


def test_without_the_lease_there_is_no_version(bench: Bench) -> None:
    bench.ask()
    bench.lockspace.elsewhere.add(7)
    bench.ask()
    assert (bench.holds(), bench.watch.version) == (None, None)
    assert bench.watch.doubtful
    bench.clock.advance(1)
    bench.ask()
    assert bench.holds() is False


def test_the_version_outlasts_a_pause(bench: Bench) -> None:
    bench.ask()
    version = bench.watch.version
    bench.watch.vm_is_gone()
    assert (bench.holds(), bench.watch.version) == (None, version)


def test_a_version_that_sanlock_can_not_say_spoils_no_answer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(pid: int) -> int:
        raise LockspaceError("ask", "no such command", 22)

    monkeypatch.setattr(bench.lockspace, "held_version", fails)
    bench.ask()
    assert (bench.holds(), bench.watch.version) == (True, None)


def test_only_a_busy_sanlock_is_asked_again_at_once(bench: Bench) -> None:
    bench.ask()
    bench.lockspace.busy_answers = 1
    bench.ask()
    bench.clock.advance(5)
    bench.harvest()
    assert bench.watch.doubtful
    bench.lockspace.kill_daemon()
    bench.ask()
    assert not bench.watch.doubtful
    assert bench.holds() is None


def test_a_question_without_an_answer_is_silence(bench: Bench) -> None:
    bench.ask()
    bench.runner.hang(KEY)
    bench.ask()
    bench.clock.advance(8 * IO_S)
    assert bench.holds() is True
    bench.clock.advance(1)
    assert bench.holds() is False


def test_what_the_storage_says_shortens_the_silence_of_a_dead_sanlock(bench: Bench) -> None:
    bench.ask()
    good_at_s = bench.clock.monotonic_s()
    bench.clock.advance(50)
    bench.lockspace.kill_daemon()
    bench.ask()
    bench.clock.advance(8 * IO_S - 49)
    assert bench.holds() is None
    assert bench.holds(storage_good_at_s=good_at_s) is False


def test_while_the_vm_moves_away_sanlock_is_asked_once_a_tick(bench: Bench) -> None:
    bench.ask()
    for _ in range(20):
        bench.clock.advance(TIMING.tick_s / 10)
        bench.ask(not_within_s=TIMING.tick_s)
        assert bench.holds() is True
    assert bench.runner.submitted == [KEY] * 3


def test_another_process_is_asked_about_at_once(bench: Bench) -> None:
    bench.ask(pid=8, not_within_s=TIMING.tick_s)
    bench.ask(pid=7, not_within_s=TIMING.tick_s)
    assert bench.holds() is True
    bench.watch.vm_is_gone()
    bench.ask(not_within_s=TIMING.tick_s)
    assert bench.holds() is True


def test_a_no_is_confirmed_at_once_also_while_the_vm_moves_away(bench: Bench) -> None:
    bench.ask()
    bench.lockspace.elsewhere.add(7)
    bench.clock.advance(TIMING.tick_s)
    bench.ask(not_within_s=TIMING.tick_s)
    bench.clock.advance(0.1)
    bench.ask(not_within_s=TIMING.tick_s)
    assert bench.holds() is False


# --- a sleep that nobody could look after ---------------------------------------------------


def lease_watch() -> VmLeaseWatch:
    clock = VirtualClock()
    return VmLeaseWatch(InlineRunner(clock), SimLockspace(SimSan(clock), "h1"))


def after_a_sleep(
    slept_s: float, awake_s: float, seen_after_s: Optional[float] = None
) -> tuple[Optional[bool], str]:
    """`holds` so long after waking at 1000, with a sanlock that has just said yes; and `why`."""
    watch = lease_watch()
    watch.woke(slept_s, 1000.0)
    said_yes = LeaseAnswer(7, 1000 + awake_s, True)
    watch.take(Outcome(KEY, said_yes, None, 1000 + awake_s, 1000 + awake_s))
    watch.seen(None if seen_after_s is None else 1000 + seen_after_s)
    return watch.holds(7, 1000 + awake_s, TIMING, fire_timeout_s=FIRE_S), watch.why


RENEWED_S = renewal_s(TIMING.io_timeout_s) + 1
LOOKED_FOR_S = LOOKS * TIMING.tick_s + 0.1


def test_a_vm_loses_its_lease_when_its_host_slept_past_it_and_nobody_can_look() -> None:
    holds, why = after_a_sleep(260, LOOKED_FOR_S)
    assert holds is False
    assert why == "this machine slept for 260 s, and the storage does not tell who holds it now"


@pytest.mark.parametrize(
    ("slept_s", "awake_s", "seen_after_s"),
    [
        pytest.param(260, LOOKS * TIMING.tick_s, None, id="two-ticks-are-not-over"),
        pytest.param(30, LOOKED_FOR_S, None, id="too-short-for-anybody-to-take-it"),
        pytest.param(260, LOOKED_FOR_S, 1, id="the-storage-was-read-after-the-waking"),
        pytest.param(260, 500, RENEWED_S, id="sanlock-could-renew-after-the-waking"),
    ],
)
def test_sanlocks_word_stands_after_a_sleep(
    slept_s: float, awake_s: float, seen_after_s: Optional[float]
) -> None:
    assert after_a_sleep(slept_s, awake_s, seen_after_s) == (True, "")


def test_what_was_read_before_the_sleep_does_not_count() -> None:
    assert after_a_sleep(260, LOOKED_FOR_S, seen_after_s=-1)[0] is False


def test_a_look_at_the_lease_proves_nothing_for_long_before_sanlock_has_renewed() -> None:
    """Until then others count the sleep, too: the next moment it may be theirs."""
    assert after_a_sleep(260, 1 + LOOKED_FOR_S, seen_after_s=1)[0] is False


def test_naps_add_up_until_somebody_has_looked() -> None:
    watch = lease_watch()
    patience_s = sanlock_silence_s(TIMING, FIRE_S)
    for woke_at_s in (1000.0, 1001.0):
        watch.woke(patience_s / 2, woke_at_s)
    assert watch.holds(7, 1001 + LOOKED_FOR_S, TIMING, fire_timeout_s=FIRE_S) is False


def test_the_time_awake_counts_as_well_as_the_sleep() -> None:
    """sanlock gives the VM all of its patience anew; the others count on."""
    patience_s = sanlock_silence_s(TIMING, FIRE_S)
    assert after_a_sleep(patience_s - 20, 19)[0] is True
    assert after_a_sleep(patience_s - 20, 21)[0] is False


def test_there_is_nothing_to_say_when_no_vm_runs_here() -> None:
    watch = lease_watch()
    watch.woke(260, 1000.0)
    assert watch.holds(None, 1000 + LOOKED_FOR_S, TIMING, fire_timeout_s=FIRE_S) is None
    assert not watch.why
