# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Long polls that bring only the hosts with news: what the caller holds is what is shown."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ha_broker.api.client import BrokerClient, BrokerError, BrokerGoneError
from ha_broker.api.host_news import ALL, HeldHosts, lean_answer
from ha_broker.api.json_codec import DataError
from ha_broker.api.lean_client import LeanClient
from ha_broker.api.monitors import FOR_PEOPLE, MonitorView
from ha_broker.api.snapshot import (
    HostView,
    LeaseView,
    MoveOrder,
    NotificationCounts,
    Snapshot,
    StorageView,
)
from ha_broker.api.snapshot_json import snapshot_to_data
from ha_broker.cycle.host_changes import HostChanges, says_the_same
from ha_broker.server import routes
from ha_broker.server.http_server import ApiServer
from ha_broker.server.mailbox import Mailbox, Refusal
from ha_broker.server.routes import Api
from tests.unit.agent_host import host_view
from tests.unit.agent_host import snapshot as content_snapshot
from tests.unit.test_host_changes import histories, rewritten

OWN_ID = 1
ASKS_ALL = "&hosts_since=all&parts_since=all"
LONG_S = 20.0


class Broker:
    """A broker's process, but for its cycle: `show` is what the cycle does."""

    def __init__(self, path: Optional[Path] = None, sequence: int = 1) -> None:
        self.changes = HostChanges()
        self.sequence = sequence
        first = content_snapshot(100.0, hosts=(), sequence=sequence)
        self.mailbox = Mailbox(first, versions=self.changes.versions)
        self.api = Api(self.mailbox, lambda: 200.0)
        self.asked: list[str] = []
        self.parts: dict[str, Any] = {}
        self.server = ApiServer(str(path), self._answer) if path else None
        if self.server:
            self.server.start()

    def _answer(self, method: str, target: str, body: bytes, caller: Any) -> Any:
        self.asked.append(target)
        return self.api.answer(method, target, body, caller)

    def show(self, *views: HostView, same_sequence: bool = False) -> None:
        self.changes.note(views)
        self.sequence += 0 if same_sequence else 1
        self.mailbox.show(self.snapshot(views), None, None, self.changes.versions)

    def snapshot(self, views: tuple[HostView, ...]) -> Snapshot:
        seen = content_snapshot(100.0, hosts=views, sequence=self.sequence)
        return replace(seen, **self.parts)

    def ask(self, mark: str, parts: Optional[str] = None) -> Any:
        """Through JSON, as on the socket."""
        marks = f"hosts_since={mark}" + (f"&parts_since={parts}" if parts is not None else "")
        data = self.api.answer("GET", f"/v1/changes?since=-1&wait_s=0&{marks}", b"")
        return json.loads(json.dumps(data))

    def stop(self) -> None:
        self.mailbox.close()
        if self.server:
            self.server.stop()


def told(data: Any) -> list[int]:
    return [view["host_id"] for view in data["hosts"]]


# --- over random histories -------------------------------------------------------------------


@settings(deadline=None, max_examples=120)
@given(histories(), st.lists(st.sampled_from(["ask", "ask", "wait", "restart", "lost"])))
def test_the_caller_holds_what_the_broker_shows(
    history: list[tuple[HostView, ...]], steps: list[str]
) -> None:
    broker, held = Broker(), HeldHosts()
    for views, step in zip(history, [*steps, *["ask"] * 7]):
        if step == "restart":
            broker = Broker()
        broker.show(*views)
        if step == "wait":
            continue
        if step == "lost":
            held.forget()
        found = held.snapshot(broker.ask(held.mark))
        assert [view.host_id for view in found.hosts] == [view.host_id for view in views]
        for mine, theirs in zip(found.hosts, views):
            assert says_the_same(mine, theirs)
            assert mine == theirs or theirs.host_id != OWN_ID
        assert _for_agents(found) == _for_agents(broker.snapshot(()))


PARTS = st.fixed_dictionaries(
    {},
    optional={
        "taken_at_s": st.sampled_from([1.0, 2.0]),
        "storage": st.builds(
            StorageView,
            last_read_at_s=st.sampled_from([None, 1.0, 2.0]),
            error=st.sampled_from("ab"),
        ),
        "lease": st.builds(LeaseView, owner_id=st.sampled_from([1, 2]), seen_at_s=st.just(3.0)),
        "monitors": st.lists(
            st.builds(
                MonitorView,
                st.sampled_from(["network", "bridge", *FOR_PEOPLE]),
                value=st.sampled_from([None, 0.0, 1.0]),
                seen_at_s=st.sampled_from([1.0, 2.0]),
            ),
            max_size=2,
        ).map(tuple),
        "global_maintenance": st.sampled_from([None, True, False]),
        "move_order": st.sampled_from([None, MoveOrder("a"), MoveOrder("b", 2)]),
    },
)


@settings(deadline=None, max_examples=120)
@given(
    histories(),
    st.lists(PARTS, min_size=8, max_size=8),
    st.lists(st.sampled_from(["ask", "ask", "ask", "wait", "restart", "lost", "others", "lean"])),
)
def test_the_caller_holds_all_parts_of_what_the_broker_shows(
    history: list[tuple[HostView, ...]], parts: list[dict[str, Any]], steps: list[str]
) -> None:
    """`others`: so many ask that what this caller was told is not kept; `lean`: it leaves out the
    parameter."""
    broker, held = Broker(), HeldHosts()
    for views, fields, step in zip(history, parts, [*steps, *["ask"] * 8]):
        if step == "restart":
            broker = Broker()
        broker.parts = fields
        broker.show(*views)
        if step == "wait":
            continue
        if step == "lost":
            held.forget()
        if step == "others":
            for _ in range(5):
                broker.show(*views)
                broker.ask(ALL, ALL)
        found = held.snapshot(broker.ask(held.mark, None if step == "lean" else held.parts_mark))
        assert [view.host_id for view in found.hosts] == [view.host_id for view in views]
        assert all(says_the_same(mine, theirs) for mine, theirs in zip(found.hosts, views))
        assert _but_measured(found) == _but_measured(broker.snapshot(()))


def _but_measured(seen: Snapshot) -> Snapshot:
    """As `_for_agents`, without what was measured when."""
    lean = _for_agents(seen)
    return replace(lean, monitors=tuple(replace(one, seen_at_s=None) for one in lean.monitors))


def _for_agents(seen: Snapshot) -> Snapshot:
    """Without the hosts, and without the monitors that only people read."""
    monitors = tuple(one for one in seen.monitors if one.name not in FOR_PEOPLE)
    return replace(seen, hosts=(), monitors=monitors)


def test_without_any_news_next_to_nothing_is_told() -> None:
    broker, held = Broker(), HeldHosts()
    views = [host_view(host_id, changed_at_s=5.0) for host_id in range(1, 6)]
    broker.parts = {"monitors": (MonitorView("network", value=1.0, seen_at_s=1.0),)}
    broker.show(*views)
    first = held.snapshot(broker.ask(ALL, ALL))
    broker.parts = {"monitors": (MonitorView("network", value=1.0, seen_at_s=2.0),)}
    broker.show(*map(rewritten, views), same_sequence=True)
    data = broker.ask(held.mark, held.parts_mark)
    marks = {"hosts_as_of", "hosts_since", "hosts_gone", "parts_as_of", "parts_since"}
    assert data.keys() == {"hosts", *marks} and data["hosts"] == []
    assert held.snapshot(data).hosts is first.hosts


@pytest.mark.parametrize("name", sorted(FOR_PEOPLE))
def test_what_only_people_read_of_the_monitors_is_never_told_to_an_agent(name: str) -> None:
    broker, held = Broker(), HeldHosts()
    for value in (1.0, 2.0, 3.0):
        broker.parts = {
            "monitors": (MonitorView("network", value=1.0), MonitorView(name, value=value))
        }
        broker.show(host_view(1, changed_at_s=5.0), same_sequence=True)
        data = broker.ask(held.mark, held.parts_mark)
        assert [one["name"] for one in data.get("monitors", [])] in ([], ["network"])
        assert [one.name for one in held.snapshot(data).monitors] == ["network"]
    assert "monitors" not in data
    whole = json.loads(json.dumps(broker.api.answer("GET", "/v1/status", b"")))
    assert [one["name"] for one in whole["monitors"]] == ["network", name]


# --- what is left out, and what never is -------------------------------------------------------


def test_without_news_only_the_own_host_is_told() -> None:
    broker = Broker()
    views = tuple(host_view(host_id, changed_at_s=5.0) for host_id in range(1, 6))
    broker.show(*views)
    mark = broker.ask(ALL)["hosts_as_of"]
    broker.show(*map(rewritten, views), same_sequence=True)
    data = broker.ask(mark)
    assert (told(data), data["hosts_gone"], data["hosts_as_of"]) == ([1], [], mark)


def test_only_news_is_told_and_who_is_gone_is_named() -> None:
    broker = Broker()
    broker.show(*[host_view(host_id) for host_id in (1, 2, 3, 4)])
    mark = broker.ask(ALL)["hosts_as_of"]
    broker.show(host_view(1), host_view(2), host_view(3, score=7), host_view(9))
    data = broker.ask(mark)
    assert (told(data), data["hosts_gone"], data["hosts_since"]) == ([1, 3, 9], [4], mark)
    assert told(broker.ask(data["hosts_as_of"])) == [1]


def test_without_news_an_answer_is_as_long_for_2000_hosts_as_for_three() -> None:
    sizes = []
    for count in (3, 2000):
        broker = Broker()
        views = [host_view(host_id, changed_at_s=5.0) for host_id in range(1, count + 1)]
        broker.show(*views)
        mark = broker.ask(ALL)["hosts_as_of"]
        broker.show(*map(rewritten, views), same_sequence=True)
        sizes.append(len(json.dumps(broker.ask(mark))))
    assert sizes[0] == sizes[1]


def test_what_only_people_read_is_left_out() -> None:
    shown = content_snapshot(
        1.0, hosts=(host_view(1),), notifications=NotificationCounts(sent=3), metrics_error="why"
    )
    data = lean_answer(shown, "m.1", ALL, None)
    whole = snapshot_to_data(shown)
    assert (data["agent"], data["events"], data["notifications"]["sent"]) == (None, [], 0)
    assert {key for key in whole if data[key] != whole[key]} == {"notifications"}


def test_who_does_not_ask_for_it_gets_all_as_before() -> None:
    broker = Broker()
    broker.show(host_view(1), host_view(2))
    for target in ("/v1/changes?since=-1&wait_s=0", "/v1/status"):
        data = broker.api.answer("GET", target, b"")
        assert data == snapshot_to_data(broker.mailbox.snapshot(), 200.0)


@given(st.permutations(range(1, 101)), st.booleans(), st.sets(st.integers(1, 120), max_size=8))
def test_a_few_hosts_of_many_are_found_in_whatever_order(
    ids: list[int], in_order: bool, changed: set[int]
) -> None:
    views = tuple(host_view(host_id) for host_id in (sorted(ids) if in_order else ids))
    shown = content_snapshot(1.0, hosts=views)
    data = lean_answer(shown, "m.2", "m.1", changed)
    told = sorted(host["host_id"] for host in data["hosts"])
    assert told == sorted(host_id for host_id in {*changed, shown.host_id} if host_id <= 100)
    assert data["hosts_gone"] == sorted(host_id for host_id in changed if host_id > 100)


# --- a mark that is not of this broker's life ----------------------------------------------------


@pytest.mark.parametrize(
    "mark",
    [
        *("", "all", "1", ".", ".1", "x.1", "{life}", "{life}.", "{life}.-1", "{life}.2"),
        *("{life}.1x", "{life}.\N{ARABIC-INDIC DIGIT ONE}", "{life}." + "9" * 5000, "{life}.1.1"),
    ],
)
def test_any_other_mark_is_answered_with_all_hosts(mark: str) -> None:
    broker = Broker()
    broker.show(host_view(1), host_view(2))
    life, _, version = broker.ask(ALL)["hosts_as_of"].partition(".")
    assert version == "1"
    data = broker.ask(mark.format(life=life))
    assert told(data) == [1, 2] and "hosts_since" not in data


def test_a_restarted_broker_with_the_same_or_a_lower_sequence_tells_all() -> None:
    broker, held = Broker(sequence=1000), HeldHosts()
    broker.show(host_view(1), host_view(2, score=1), host_view(3))
    held.snapshot(broker.ask(held.mark))
    for sequence in (1000, 0):
        broker = Broker(sequence=sequence)
        broker.show(host_view(1), host_view(2, score=2))
        found = held.snapshot(broker.ask(held.mark))
        assert found.hosts == (host_view(1), host_view(2, score=2))


def test_a_mailbox_that_is_not_told_the_versions_tells_all() -> None:
    mailbox = Mailbox(content_snapshot(1.0, hosts=()))
    api, held = Api(mailbox, lambda: 1.0), HeldHosts()
    for score in (1, 2):
        mailbox.show(content_snapshot(1.0, hosts=(host_view(1), host_view(2, score=score))), None)
        data = api.answer("GET", f"/v1/changes?wait_s=0&hosts_since={held.mark}", b"")
        assert held.snapshot(data).hosts == (host_view(1), host_view(2, score=score))


@pytest.mark.parametrize(
    "fields",
    [
        {"hosts_since": "other.1", "hosts_gone": []},
        {"hosts_since": None, "hosts_gone": []},
        {"hosts_gone": 5},
        {"hosts_gone": ["1"]},
        {"hosts_as_of": 7},
        {"parts_since": ALL},
        {"parts_since": "other.1"},
        {"parts_as_of": 7},
    ],
)
def test_an_answer_to_another_question_is_refused_and_all_is_asked_for(fields: Any) -> None:
    broker, held = Broker(), HeldHosts()
    broker.show(host_view(1), host_view(2))
    held.snapshot(broker.ask(ALL))
    data = broker.ask(held.mark)
    with pytest.raises(DataError, match=next(iter(fields))):
        held.snapshot({**data, **fields})
    assert held.mark == ALL
    with pytest.raises(DataError):  # a part without the whole that it belongs to
        held.snapshot(data)
    assert len(held.snapshot(broker.ask(held.mark)).hosts) == 2


# --- on a socket, with brokers of both kinds ---------------------------------------------------


class OlderBroker(Broker):
    """One that does not know the parameter."""

    def _answer(self, method: str, target: str, body: bytes, caller: Any) -> Any:
        if "hosts_since" in target:
            self.asked.append(target)
            raise Refusal(400, "hosts_since: unknown parameter (allowed: since, wait_s)")
        return super()._answer(method, target, body, caller)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "broker.sock"


@pytest.fixture
def client(path: Path) -> Iterator[LeanClient]:
    found = LeanClient(str(path), LONG_S)
    yield found
    found.close()


def end(broker: Broker, client: LeanClient) -> None:
    """As when its process ends: nobody serves, and the connections break."""
    broker.stop()
    connection = client._polls._connection
    assert connection is not None
    connection.interrupt()


def test_a_client_and_its_broker(path: Path, client: LeanClient) -> None:
    broker = Broker(path)
    try:
        broker.show(host_view(1), host_view(2), host_view(3))
        first = client.wait_for_change(-1, 0.0)
        broker.show(host_view(1), host_view(2, score=7), host_view(3))
        second = client.wait_for_change(first.sequence, LONG_S)
        assert second.hosts == (host_view(1), host_view(2, score=7), host_view(3))
        assert second.hosts[2] is first.hosts[2]
        assert client.wait_for_change(second.sequence, 0.0).hosts == second.hosts
        assert broker.asked[0].endswith(ASKS_ALL)
        assert "all" not in broker.asked[1]
    finally:
        broker.stop()


def test_a_client_and_an_older_broker(path: Path, client: LeanClient) -> None:
    broker = OlderBroker(path)
    try:
        for score in (1, 2, 3):
            broker.show(host_view(1), host_view(2, score=score))
            assert client.wait_for_change(-1, 0.0).hosts[1] == host_view(2, score=score)
        assert [("hosts_since" in target) for target in broker.asked] == [True, *[False] * 3]
    finally:
        broker.stop()


def test_an_older_client_and_the_broker(path: Path) -> None:
    broker = Broker(path)
    older = BrokerClient(str(path), LONG_S)
    try:
        for score in (1, 2):
            broker.show(host_view(1), host_view(2, score=score))
            assert older.wait_for_change(-1, 0.0).hosts[1] == host_view(2, score=score)
    finally:
        older.close()
        broker.stop()


def test_a_broker_whose_values_have_other_defaults_is_asked_for_whole_ones(
    path: Path, client: LeanClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it would leave out is not what this client would fill in."""
    monkeypatch.setattr(routes, "defaults_mark", lambda _kind: "other")
    broker = Broker(path)
    try:
        for score in (1, 2, 3):
            broker.show(host_view(1), host_view(2, score=score))
            found = client.wait_for_change(-1, 0.0)
            assert found.hosts == (host_view(1), host_view(2, score=score))
        assert [("parts_since" in target) for target in broker.asked] == [True, False, False]
        assert all("hosts_since" in target for target in broker.asked)
    finally:
        broker.stop()


def test_brokers_of_both_kinds_one_after_the_other(path: Path, client: LeanClient) -> None:
    """Each is another process; the client is told nothing of the change."""
    score = 0
    for kind in (Broker, OlderBroker, Broker, Broker, OlderBroker):
        broker = kind(path, sequence=5)
        try:
            for _ in range(2):
                score += 1
                broker.show(host_view(1), host_view(2, score=score), same_sequence=True)
                found = client.wait_for_change(-1, 0.0)
                assert found.hosts == (host_view(1), host_view(2, score=score))
            marks = [target.partition("hosts_since=")[2] for target in broker.asked]
            assert (marks[-1] == "") is (kind is OlderBroker)
        finally:
            end(broker, client)


def test_after_any_error_all_is_asked_for(path: Path, client: LeanClient) -> None:
    broker = Broker(path)
    broker.show(host_view(1), host_view(2))
    client.wait_for_change(-1, 0.0)
    end(broker, client)
    with pytest.raises(BrokerGoneError):
        client.wait_for_change(-1, 0.0)
    broker = Broker(path)
    try:
        broker.show(host_view(1))
        assert client.wait_for_change(-1, 0.0).hosts == (host_view(1),)
        assert broker.asked[0].endswith(ASKS_ALL)
        broker.api.answer = _refuse  # type: ignore[method-assign]
        with pytest.raises(BrokerError, match="busy"):
            client.wait_for_change(-1, 0.0)
        del broker.api.answer  # type: ignore[method-assign]
        client.wait_for_change(-1, 0.0)
        assert broker.asked[-1].endswith(ASKS_ALL)
    finally:
        broker.stop()


def _refuse(*_: Any) -> Any:
    raise Refusal(503, "busy")


def test_a_waiting_poll_ends_with_the_next_sequence_as_before(
    path: Path, client: LeanClient
) -> None:
    broker = Broker(path)
    try:
        broker.show(host_view(1))
        first = client.wait_for_change(-1, 0.0)
        begun_s = time.monotonic()
        broker.show(host_view(1), host_view(2))
        assert len(client.wait_for_change(first.sequence, LONG_S).hosts) == 2
        assert time.monotonic() - begun_s < LONG_S
    finally:
        broker.stop()
