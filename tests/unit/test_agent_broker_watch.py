# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The watch on the broker, without its thread."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Callable, Optional, Union

import pytest

from ha_agent.observation.broker_poller import BrokerWatch
from ha_broker.api.client import (
    BrokerError,
    BrokerGoneError,
    BrokerRefusedError,
    BrokerTimeoutError,
    Reach,
)
from ha_broker.api.snapshot import Publication, Snapshot, StorageView
from metadata.records import EngineStatus
from metadata.shared_config import SharedConfig
from simulation.world import VirtualClock
from tests.unit.agent_host import snapshot

Answer = Union[Snapshot, Exception]
WAIT_S = 5.0
GONE = BrokerGoneError("wait for a change", "there is no broker", 2)


class Client:
    """Answers what it is told; `poll_takes_s` of virtual time pass at each poll."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.answer: Answer = GONE
        self.poll_takes_s = WAIT_S
        self.asked: list[tuple[int, float]] = []
        self.published: list[Publication] = []
        self.told_by_records = False
        self.told: Optional[Answer] = None
        self.reached: Union[Reach, Exception] = Reach(True, "")
        self.tried: list[str] = []
        self.looks = 0
        self.looks_to_write = 1

    def wait_for_change(self, sequence: int, wait_s: float) -> Snapshot:
        self.asked.append((sequence, wait_s))
        self.clock.advance(self.poll_takes_s)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def status(self) -> Snapshot:
        self.looks += 1
        written_at_s = self.clock.monotonic_s() if self.looks >= self.looks_to_write else None
        return snapshot(1000.0, storage=StorageView(1000.0, written_at_s))

    def publish(self, publication: Publication) -> Optional[Snapshot]:
        self.published.append(publication)
        if isinstance(self.told, Exception):
            raise self.told
        return self.told

    def shared_config(self) -> SharedConfig:
        raise NotImplementedError

    def reach(self, address: str, timeout_s: float) -> Reach:
        self.tried.append(address)
        if isinstance(self.reached, Exception):
            raise self.reached
        return self.reached

    def close(self) -> None:
        pass


class Bench:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.client = Client(self.clock)
        self.wakes = 0
        self.watch = BrokerWatch(self.client, self.clock, self._woken, WAIT_S)

    def _woken(self) -> None:
        self.wakes += 1

    def answer(self, answer: Answer) -> float:
        self.client.answer = answer
        return self.watch.poll_once()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_keeps_the_latest_with_the_moment_of_its_arrival(bench: Bench) -> None:
    first = snapshot(1000.0)
    assert bench.answer(first) == 0.0
    look = bench.watch.latest_snapshot()
    assert (look.snapshot, look.received_at_s, look.error) == (first, 1005.0, "")
    assert bench.wakes == 1


def test_asks_for_what_is_newer_than_what_it_knows(bench: Bench) -> None:
    bench.answer(snapshot(1000.0, sequence=7))
    bench.answer(snapshot(1000.0, sequence=9))
    bench.watch.poll_once()
    assert bench.client.asked == [(-1, WAIT_S), (7, WAIT_S), (9, WAIT_S)]


def test_wakes_for_news_only(bench: Bench) -> None:
    known = snapshot(1000.0)
    bench.answer(known)
    bench.answer(replace(known, taken_at_s=1010.0))
    assert bench.wakes == 1
    assert bench.watch.latest_snapshot().received_at_s == 1010.0
    bench.answer(replace(known, sequence=2))
    assert bench.wakes == 2


def test_another_broker_with_the_same_sequence_is_news(bench: Bench) -> None:
    bench.answer(snapshot(1000.0))
    bench.answer(snapshot(1000.0, started_at_s=999.0))
    assert bench.wakes == 2


ERRORS: list[Callable[[], Exception]] = [
    lambda: GONE,
    lambda: BrokerTimeoutError("wait for a change", "no answer within 10 s"),
    lambda: BrokerError("read the status", "unexpected answer"),
    lambda: RuntimeError("a bug"),
]


@pytest.mark.parametrize("make", ERRORS)
def test_survives_every_error_and_keeps_what_it_knows(
    bench: Bench, make: Callable[[], Exception]
) -> None:
    known = snapshot(1000.0)
    bench.answer(known)
    bench.answer(make())
    look = bench.watch.latest_snapshot()
    assert look.snapshot == known
    assert look.received_at_s == 1005.0
    assert look.error
    assert bench.wakes == 2
    bench.answer(known)
    assert bench.watch.latest_snapshot().error == ""
    assert bench.wakes == 3


def test_backs_off_up_to_two_seconds_and_begins_anew(bench: Bench) -> None:
    assert [bench.answer(GONE) for _ in range(6)] == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert bench.answer(snapshot(1000.0)) == 0.0
    assert bench.answer(GONE) == 0.2


def test_after_an_error_any_snapshot_is_news(bench: Bench) -> None:
    bench.answer(snapshot(1000.0, sequence=7))
    bench.answer(GONE)
    bench.watch.poll_once()
    assert [sequence for sequence, _ in bench.client.asked] == [-1, 7, -1]


def test_a_broker_that_lets_polls_go_at_once_is_not_asked_in_circles(bench: Bench) -> None:
    known = snapshot(1000.0)
    bench.answer(known)
    bench.client.poll_takes_s = 0.0
    assert bench.answer(known) == 0.2
    bench.client.poll_takes_s = WAIT_S
    assert bench.answer(known) == 0.0


RECORD = Publication(0, EngineStatus(), "EngineDown")


def test_a_record_is_handed_over(bench: Bench) -> None:
    bench.watch.publish(RECORD)
    assert bench.client.published == [RECORD]
    assert bench.client.looks == 0


def test_what_a_record_is_answered_with_is_kept_and_wakes_for_news_only(bench: Bench) -> None:
    known = snapshot(1000.0, sequence=7)
    bench.answer(known)
    bench.clock.advance(1.0)
    bench.client.told = replace(known, taken_at_s=1005.5)
    bench.watch.publish(RECORD)
    look = bench.watch.latest_snapshot()
    assert (look.snapshot, look.received_at_s) == (bench.client.told, 1006.0)
    assert bench.wakes == 1
    bench.client.told = replace(known, sequence=8)
    bench.watch.publish(RECORD)
    assert bench.wakes == 2


def test_a_poll_that_brings_what_a_record_has_brought_already_goes_on_at_once(
    bench: Bench,
) -> None:
    """A pause would make the next news late."""
    known = snapshot(1000.0, sequence=7)
    bench.answer(known)
    news = replace(known, sequence=8)
    bench.client.poll_takes_s = 0.0

    def wait(sequence: int, _wait_s: float) -> Snapshot:
        assert sequence == 7
        bench.client.told = news
        bench.watch.publish(RECORD)
        return news

    bench.client.wait_for_change = wait  # type: ignore[assignment,method-assign]
    assert bench.watch.poll_once() == 0.0
    assert bench.wakes == 2


@pytest.mark.parametrize(
    "older", [{"sequence": 6, "taken_at_s": 1020.0}, {"sequence": 7, "taken_at_s": 999.0}]
)
def test_an_older_answer_that_comes_last_is_dropped(bench: Bench, older: dict[str, float]) -> None:
    known = snapshot(1000.0, sequence=7)
    bench.answer(known)
    bench.client.told = replace(known, **older)  # type: ignore[arg-type]
    bench.watch.publish(RECORD)
    assert bench.watch.latest_snapshot().snapshot == known


def test_another_brokers_answer_is_never_the_older_one(bench: Bench) -> None:
    bench.answer(snapshot(1000.0, sequence=7))
    bench.client.told = snapshot(1000.0, sequence=1, started_at_s=999.0)
    bench.watch.publish(RECORD)
    assert bench.watch.latest_snapshot().snapshot == bench.client.told


@pytest.mark.parametrize("beats", [True, False])
def test_a_record_that_nobody_answers_is_a_lost_broker_where_nothing_else_would_tell(
    bench: Bench, beats: bool
) -> None:
    bench.answer(snapshot(1000.0))
    bench.client.told_by_records = beats
    bench.client.told = BrokerTimeoutError("publish this host's record", "no answer within 5 s")
    with pytest.raises(BrokerTimeoutError):
        bench.watch.publish(RECORD)
    assert (bench.watch.latest_snapshot().error == "no answer within 5 s") is beats
    bench.client.told = snapshot(1000.0)
    bench.watch.publish(RECORD)
    assert bench.watch.latest_snapshot().error == ""


def test_a_record_that_is_refused_is_answered(bench: Bench) -> None:
    bench.answer(snapshot(1000.0))
    bench.client.told_by_records = True
    bench.client.told = BrokerRefusedError("publish this host's record", 400, "score: missing")
    with pytest.raises(BrokerRefusedError):
        bench.watch.publish(RECORD)
    assert bench.watch.latest_snapshot().error == ""


def test_the_last_record_is_watched_until_it_is_written(bench: Bench) -> None:
    bench.client.looks_to_write = 3
    bench.watch.publish(replace(RECORD, stopped=True))
    assert bench.client.looks == 3
    look = bench.watch.latest_snapshot()
    assert look.snapshot is not None
    assert look.snapshot.storage.last_write_at_s == 1000.0


def test_one_line_when_it_goes_and_one_when_it_is_back(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for answer in (snapshot(1000.0), GONE, GONE, GONE, snapshot(1000.0), snapshot(1000.0)):
        bench.answer(answer)
    assert [record.message for record in caplog.records] == [
        "the broker does not answer: there is no broker",
        "the broker answers again",
    ]


@pytest.mark.parametrize(
    ("reached", "why"),
    [
        (Reach(False, "port 16514 of h2: silent"), "port 16514 of h2: silent"),
        (Reach(True, "h2 accepts"), ""),
        # Nobody can say: libvirt tries by itself.
        (Reach(None, "no such name"), ""),
        (BrokerRefusedError("connect", 404, "/v1/reach: no such resource"), ""),
        (GONE, ""),
    ],
)
def test_why_a_libvirt_is_not_reached(
    bench: Bench, reached: Union[Reach, Exception], why: str
) -> None:
    bench.client.reached = reached
    assert bench.watch.not_reached_why("qemu+tls://h2/system") == why
    assert bench.client.tried == ["qemu+tls://h2/system"]
    assert bench.watch.latest_snapshot().error == ""
