# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The agent's client: a record that says the same is one exchange, and brings what is new."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ha_broker.api.client import BrokerClient, BrokerError, BrokerRefusedError
from ha_broker.api.lean_client import LeanClient
from ha_broker.api.snapshot import HostView, Publication, Snapshot, StorageView
from ha_broker.cycle.host_changes import HostChanges, says_the_same
from ha_broker.server.http_server import ApiServer
from ha_broker.server.mailbox import Mailbox, Refusal
from ha_broker.server.routes import Api
from metadata.records import EngineStatus
from tests.unit.agent_host import host_view
from tests.unit.agent_host import snapshot as content_snapshot
from tests.unit.test_host_changes import histories

LONG_S = 20.0
RECORD = Publication(3400, EngineStatus(), "EngineDown")


class Broker:
    """A broker's process but for its cycle, which is `show` and `take`."""

    def __init__(self, path: Path, sequence: int = 1) -> None:
        self.changes = HostChanges()
        self.sequence = sequence
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self.came = threading.Condition()
        self.refuses = False
        first = content_snapshot(100.0, hosts=(), sequence=sequence)
        self.mailbox = Mailbox(first, versions=self.changes.versions)
        self.api = Api(self.mailbox, lambda: 200.0, look_within_s=0.0)
        self.server = ApiServer(str(path), self.answer)
        self.server.start()

    def answer(self, method: str, target: str, body: bytes, caller: Any) -> Any:
        with self.came:
            self.asked.append(f"{method} {target}")
            self.bodies.append(body)
            self.came.notify_all()
        if self.refuses:
            raise Refusal(503, "busy")
        return self.api.answer(method, target, body, caller)

    def looks_within(self, seconds: float) -> None:
        """From now on records wait for a look, so long at most."""
        self.api._look_within_s = seconds

    def wait_until_asked(self, what: str) -> None:
        with self.came:
            done = self.came.wait_for(lambda: any(what in one for one in self.asked), LONG_S)
        assert done, self.asked

    def show(self, *views: HostView, read_at_s: float = 1.0, news: bool = True) -> None:
        self.changes.note(views)
        self.sequence += news
        seen = content_snapshot(100.0, hosts=views, sequence=self.sequence)
        seen = replace(seen, storage=StorageView(last_read_at_s=read_at_s))
        self.mailbox.show(seen, None, None, self.changes.versions)

    def end(self, client: LeanClient) -> None:
        """As when its process ends: nobody serves, and the connections break."""
        self.stop()
        for channel in (client._polls, client._calls):
            if channel._connection is not None:
                channel._connection.interrupt()

    def stop(self) -> None:
        self.mailbox.close()
        self.server.stop()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "broker.sock"


@pytest.fixture
def broker(path: Path) -> Iterator[Broker]:
    found = Broker(path)
    found.show(host_view(1), host_view(2))
    yield found
    found.stop()


@pytest.fixture
def client(path: Path) -> Iterator[LeanClient]:
    found = LeanClient(str(path), LONG_S)
    yield found
    found.close()


@pytest.fixture
def beside() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def read_at_s(seen: object) -> object:
    assert isinstance(seen, Snapshot)
    return seen.storage.last_read_at_s


def beating(broker: Broker, client: LeanClient) -> Snapshot:
    """The client's first two records."""
    assert client.publish(RECORD) is not None
    seen = client.publish(RECORD)
    assert seen is not None
    assert client.told_by_records
    return seen


def whole(broker: Broker) -> list[bool]:
    """Of each record that came, whether it was there itself or by its mark."""
    calls = zip(broker.asked, broker.bodies)
    return [bool(body) for asked, body in calls if asked.startswith("PUT")]


# --- records ------------------------------------------------------------------------------------


def test_a_record_that_says_the_same_has_no_body_and_brings_what_is_new(
    broker: Broker, client: LeanClient
) -> None:
    first = beating(broker, client)
    assert first.hosts == (host_view(1), host_view(2))
    assert broker.mailbox.take().publication == RECORD
    broker.show(host_view(1), host_view(2), read_at_s=9.0, news=False)
    again = client.publish(RECORD)
    assert read_at_s(again) == 9.0
    assert again is not None
    assert again.hosts is first.hosts
    assert broker.mailbox.take().publication == RECORD
    assert whole(broker) == [True, False, False]


def test_a_record_that_says_more_is_handed_over_whole_and_brings_as_much(
    broker: Broker, client: LeanClient
) -> None:
    """One that says more in each tick must not be one that is told nothing."""
    beating(broker, client)
    for number in range(3):
        broker.show(host_view(1), host_view(2), read_at_s=float(number), news=False)
        record = replace(RECORD, score=number)
        assert read_at_s(client.publish(record)) == float(number)
        assert client.told_by_records
        assert broker.mailbox.take().publication == record
    assert whole(broker) == [True, False, True, True, True]
    assert client.publish(record) is not None
    assert whole(broker)[-1] is False


def test_what_is_told_is_of_the_look_after_the_record(
    path: Path, client: LeanClient, beside: ThreadPoolExecutor
) -> None:
    broker = Broker(path)
    try:
        broker.show(host_view(1), read_at_s=1.0)
        client.publish(RECORD)
        broker.looks_within(LONG_S)
        told = beside.submit(client.publish, RECORD)
        broker.wait_until_asked("same_as")
        assert not told.done()
        broker.show(host_view(1), read_at_s=2.0, news=False)
        assert read_at_s(told.result(LONG_S)) == 2.0
    finally:
        broker.stop()


def test_a_look_that_shows_only_times_counts(
    path: Path, client: LeanClient, beside: ThreadPoolExecutor
) -> None:
    broker = Broker(path)
    try:
        broker.show(host_view(1))
        client.publish(RECORD)
        broker.looks_within(LONG_S)
        told = beside.submit(client.publish, RECORD)
        broker.wait_until_asked("same_as")
        shown = replace(broker.mailbox.snapshot(), storage=StorageView(last_write_at_s=5.0))
        broker.mailbox.show_times(shown)
        seen = told.result(LONG_S)
        assert seen is not None
        assert seen.storage.last_write_at_s == 5.0
    finally:
        broker.stop()


def test_a_broker_that_does_not_look_is_not_waited_for_long(path: Path, client: LeanClient) -> None:
    broker = Broker(path)
    broker.looks_within(0.05)
    try:
        broker.show(host_view(1), read_at_s=1.0)
        assert read_at_s(beating(broker, client)) == 1.0
    finally:
        broker.stop()


def test_a_broker_that_stops_lets_a_record_go(
    path: Path, client: LeanClient, beside: ThreadPoolExecutor
) -> None:
    broker = Broker(path)
    broker.show(host_view(1))
    client.publish(RECORD)
    broker.looks_within(LONG_S)
    told = beside.submit(client.publish, RECORD)
    broker.wait_until_asked("same_as")
    broker.stop()
    assert told.result(LONG_S) is not None


def test_another_broker_gets_the_record_whole(path: Path, client: LeanClient) -> None:
    for _ in range(3):
        broker = Broker(path)
        try:
            broker.show(host_view(1), host_view(2))
            assert client.publish(RECORD) is not None
            assert broker.mailbox.take().publication == RECORD
            assert whole(broker)[-1]
            assert client.publish(RECORD) is not None
            assert not whole(broker)[-1]
        finally:
            broker.end(client)


def test_where_somebody_else_has_published_the_record_is_handed_over_whole(
    path: Path, broker: Broker, client: LeanClient
) -> None:
    beating(broker, client)
    other = BrokerClient(str(path), LONG_S)
    other.publish(replace(RECORD, score=1))
    other.close()
    assert client.publish(RECORD) is not None
    assert broker.mailbox.take().publication == RECORD
    assert whole(broker)[-2:] == [False, True]
    assert client.publish(RECORD) is not None
    assert not whole(broker)[-1]


class UnknownMarks(Broker):
    """Gives marks, and knows no parameter."""

    def answer(self, method: str, target: str, body: bytes, caller: Any) -> Any:
        if "?" in target:
            self.asked.append(target)
            raise Refusal(400, "hosts_since: unknown parameter (allowed: none)")
        return super().answer(method, target, body, caller)


class NoMarks(UnknownMarks):
    """An older one."""

    def answer(self, method: str, target: str, body: bytes, caller: Any) -> Any:
        answer = super().answer(method, target, body, caller)
        return {} if method == "PUT" else answer


@pytest.mark.parametrize("kind", [UnknownMarks, NoMarks])
def test_an_older_broker_gets_each_record_whole(
    kind: Callable[[Path], Broker], path: Path, client: LeanClient
) -> None:
    broker = kind(path)
    try:
        for _ in range(4):
            assert client.publish(RECORD) is None
            assert broker.mailbox.take().publication == RECORD
        assert sum("?" in one for one in broker.asked) == 1
        assert not client.told_by_records
    finally:
        broker.stop()


def test_after_an_error_records_are_whole_and_polls_bring_all_again(
    broker: Broker, client: LeanClient
) -> None:
    beating(broker, client)
    broker.refuses = True
    with pytest.raises(BrokerRefusedError, match="busy"):
        client.publish(RECORD)
    assert not client.told_by_records
    broker.refuses = False
    assert "hosts_since" in _asked_by(broker, lambda: client.wait_for_change(-1, 0.0))
    assert client.publish(RECORD) is not None
    assert whole(broker)[-1]


def _asked_by(broker: Broker, call: Callable[[], object]) -> str:
    before = len(broker.asked)
    call()
    return broker.asked[before]


# --- polls beside them --------------------------------------------------------------------------


def test_while_records_bring_the_news_a_poll_waits_for_them_and_fetches_them(
    broker: Broker, client: LeanClient, beside: ThreadPoolExecutor
) -> None:
    known = beating(broker, client)
    poll = beside.submit(client.wait_for_change, known.sequence, 0.0)
    broker.wait_until_asked("/v1/sequence")
    assert not poll.done(), "it goes by the time of the record's answers, not by its own"
    broker.show(host_view(1), host_view(2, score=7))
    assert poll.result(LONG_S).hosts == (host_view(1), host_view(2, score=7))
    assert "hosts_since" in broker.asked[-1]
    assert "all" not in broker.asked[-1]


def test_news_that_a_record_has_brought_are_not_fetched_again(
    broker: Broker, client: LeanClient
) -> None:
    known = beating(broker, client)
    broker.show(host_view(1), host_view(2, score=7))
    news = client.publish(RECORD)
    broker.asked.clear()
    assert client.wait_for_change(known.sequence, 0.0) is news
    assert [one.partition("?")[0] for one in broker.asked] == ["GET /v1/sequence"]


def test_a_poll_that_was_asked_before_a_records_answer_takes_nothing_back(
    broker: Broker, client: LeanClient, beside: ThreadPoolExecutor
) -> None:
    """The answer to it leaves out what its caller knew then, and not what is known now."""
    known = client.wait_for_change(-1, 0.0)
    poll: Future[Snapshot] = beside.submit(client.wait_for_change, known.sequence, LONG_S)
    broker.wait_until_asked(f"since={known.sequence}&wait_s={LONG_S:g}")
    broker.show(host_view(1), host_view(2), read_at_s=2.0, news=False)
    assert read_at_s(client.publish(RECORD)) == 2.0
    broker.show(host_view(1), host_view(2, score=7), read_at_s=1.0)
    poll.result(LONG_S)
    seen = client.wait_for_change(known.sequence, 0.0)
    assert seen.hosts == (host_view(1), host_view(2, score=7))
    assert read_at_s(seen) == 1.0


def test_a_broker_that_knows_no_sequences_is_asked_for_whole_answers(
    broker: Broker, client: LeanClient
) -> None:
    known = beating(broker, client)
    real = broker.api.answer

    def answer(method: str, target: str, body: bytes, caller: Any = None) -> Any:
        if target.startswith("/v1/sequence"):
            raise Refusal(404, "/v1/sequence: no such resource")
        return real(method, target, body, caller)

    broker.api.answer = answer  # type: ignore[method-assign]
    broker.show(host_view(1), host_view(2, score=7))
    seen = client.wait_for_change(known.sequence, 0.0)
    assert seen.hosts == (host_view(1), host_view(2, score=7))


@pytest.mark.parametrize(
    "answer", [{}, {"sequence": "7"}, {"sequence": None}, [], {"sequence": 1.5}]
)
def test_a_sequence_that_is_none_is_an_error(
    answer: Any, broker: Broker, client: LeanClient
) -> None:
    known = beating(broker, client)
    broker.api.answer = lambda *_request: answer  # type: ignore[method-assign]
    with pytest.raises(BrokerError, match="expected an integer"):
        client.wait_for_change(known.sequence, 0.0)


# --- over random histories ----------------------------------------------------------------------

STEPS = st.sampled_from(["beat", "beat", "poll", "other record", "restart", "quiet"])


@settings(deadline=None, max_examples=60)
@given(histories(), st.lists(STEPS, min_size=8, max_size=8))
def test_what_the_client_gives_is_what_the_broker_shows(
    tmp_path_factory: pytest.TempPathFactory,
    history: list[tuple[HostView, ...]],
    steps: list[str],
) -> None:
    path = tmp_path_factory.mktemp("beats") / "broker.sock"
    broker, record = Broker(path), RECORD
    client = LeanClient(str(path), LONG_S)
    known = -1
    try:
        for number, (views, step) in enumerate(zip(history, steps)):
            if step == "restart":
                broker.end(client)
                broker = Broker(path)
            if step == "other record":
                record = replace(record, score=number)
            broker.show(*views, read_at_s=float(number), news=step != "quiet")
            seen = None if step == "poll" else client.publish(record)
            if seen is None:
                # A sequence that is known already would be waited for.
                seen = _polled(client, known if known != broker.sequence else -1)
            known = seen.sequence
            assert read_at_s(seen) == float(number)
            assert [view.host_id for view in seen.hosts] == [view.host_id for view in views]
            assert all(says_the_same(mine, theirs) for mine, theirs in zip(seen.hosts, views))
    finally:
        client.close()
        broker.stop()


def _polled(client: LeanClient, since: int) -> Snapshot:
    """After an error a watch asks once more."""
    try:
        return client.wait_for_change(since, 0.0)
    except BrokerError:
        return client.wait_for_change(-1, 0.0)
