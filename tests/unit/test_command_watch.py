# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""--vm-status --watch: what counts as a change, where pictures go, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Union

import pytest

from ha_broker.api.client import BrokerGoneError
from ha_broker.api.snapshot import HostView, Snapshot, StorageView
from hosted_engine.cli.terminal import Terminal
from hosted_engine.cluster.cluster_status import ClusterStatus
from hosted_engine.errors import CommandError
from hosted_engine.status import watch as watching
from hosted_engine.status.watch import JsonLines, LiveTable, Pages, essence, screen_lines, watch
from metadata.liveness import Liveness
from metadata.records import HostRecord
from tests.unit.test_command_status import BOOTING, live, record, status

GONE = BrokerGoneError("wait for a change", "there is no broker", 2)


def snapshot(sequence: int, written: HostRecord) -> Snapshot:
    host = HostView(1, Liveness.LIVE, record=written, fresh=True, changed_at_s=90.0)
    storage = StorageView(last_read_at_s=1e12)
    return Snapshot(
        sequence, 100.0, 1, "h1", 50.0, storage=storage, hosts=(host,), global_maintenance=False
    )


FIRST = snapshot(1, record(1))
SAME_BUT_LATER = snapshot(2, record(1, timestamp_s=4270))
CHANGED = snapshot(3, record(1, status=BOOTING))


class ScriptedBroker:
    """A `BrokerClient` that answers as written down, and then somebody presses Ctrl-C."""

    def __init__(self, answers: list[Union[Snapshot, Exception]]) -> None:
        self._answers: Iterator[Union[Snapshot, Exception]] = iter(answers)
        self.asked_for: list[int] = []
        self.closed = False

    def status(self) -> Snapshot:
        return self._next()

    def wait_for_change(self, sequence: int, _wait_s: float) -> Snapshot:
        self.asked_for.append(sequence)
        return self._next()

    def close(self) -> None:
        self.closed = True

    def _next(self) -> Snapshot:
        answer = next(self._answers, KeyboardInterrupt())
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody really waits here; how long they would have."""
    found: list[float] = []
    monkeypatch.setattr("time.sleep", found.append)
    return found


def follow(
    monkeypatch: pytest.MonkeyPatch, *answers: Union[Snapshot, Exception], as_json: bool = False
) -> ScriptedBroker:
    """Watch until the script is over; it must end as after Ctrl-C."""
    broker = ScriptedBroker(list(answers))
    monkeypatch.setattr(watching, "BrokerClient", lambda timeout_s: broker)
    assert watch(as_json, 5.0) == 0
    assert broker.closed
    return broker


# --- what is news ---------------------------------------------------------------------------


def test_time_that_passes_is_no_news() -> None:
    older = replace(live(1, timestamp_s=4999), changed_at_s=-7.0)
    assert essence(status(live(1))) == essence(status(older))


def test_age_of_a_storage_that_hangs_is_no_news_each_second() -> None:
    first = ClusterStatus((live(1),), False, ("last read 17 s ago",))
    assert essence(first) == essence(replace(first, notes=("last read 18 s ago",)))
    assert essence(first) != essence(replace(first, notes=()))


@pytest.mark.parametrize(
    "change",
    [
        {"status": BOOTING},
        {"score": 2800},
        {"state": "EngineStop"},
        {"maintenance": True},
        {"stopped": True},
        {"hostname": "other"},
    ],
    ids=str,
)
def test_what_people_wait_for_is_news(change: dict[str, Any]) -> None:
    assert essence(status(live(1))) != essence(status(live(1, **change)))


@pytest.mark.parametrize(
    "other",
    [
        HostView(1, record=record(1), fresh=False),
        HostView(1, record=record(1), fresh=True, error="slot 1: torn"),
        HostView(1, error="slot 1: torn"),
    ],
    ids=["stale", "damaged", "unreadable"],
)
def test_host_that_is_lost_is_news(other: HostView) -> None:
    assert essence(status(live(1))) != essence(status(other))


@pytest.mark.parametrize("maintenance", [True, None])
def test_change_of_global_maintenance_is_news(maintenance: Any) -> None:
    assert essence(status(live(1))) != essence(status(live(1), maintenance=maintenance))


def test_lease_is_no_news_where_it_is_not_printed() -> None:
    picture = status(live(1))
    assert essence(picture) == essence(replace(picture, lease="held", lease_owner_id=2))


# --- into a pipe ----------------------------------------------------------------------------


def test_each_change_is_one_picture(
    monkeypatch: pytest.MonkeyPatch, slept: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    broker = follow(monkeypatch, FIRST, SAME_BUT_LATER, CHANGED)
    output = capsys.readouterr()
    assert output.out.count("--== Host h1 (id: 1) status ==--") == 2
    assert output.out.index('"health": "good"') < output.out.index('"health": "bad"')
    assert output.err == ""
    assert broker.asked_for == [1, 2, 3]


def test_each_change_is_one_line_of_json(
    monkeypatch: pytest.MonkeyPatch, slept: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    follow(monkeypatch, FIRST, SAME_BUT_LATER, GONE, GONE, CHANGED, as_json=True)
    output = capsys.readouterr()
    first, error, second = map(json.loads, output.out.splitlines())
    assert first["1"]["engine-status"]["health"] == "good"
    assert list(error) == ["error"]
    assert second["1"]["engine-status"]["health"] == "bad"
    assert output.err == ""


def test_broker_that_restarts_is_waited_for_and_told_of_once(
    monkeypatch: pytest.MonkeyPatch, slept: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    follow(monkeypatch, FIRST, GONE, GONE, GONE, SAME_BUT_LATER)
    output = capsys.readouterr()
    assert output.err.count("there is no broker") == 1
    assert output.err.count("\n") == 1
    assert output.out.count("--== Host h1") == 2
    assert slept.count(watching.POLL_S) == 3


def test_broker_that_stops_is_not_pestered(
    monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    """While it stops, it answers each poll at once."""
    follow(monkeypatch, FIRST, FIRST, FIRST)
    assert slept == [watching.REST_S] * 3


def test_watch_without_a_broker_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = ScriptedBroker([GONE])
    monkeypatch.setattr(watching, "BrokerClient", lambda timeout_s: broker)
    with pytest.raises(CommandError, match="systemctl status ha-broker"):
        watch(False, 5.0)
    assert broker.closed


# --- on a terminal --------------------------------------------------------------------------


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "terminal_of", lambda _stream: Terminal(100, 24, colour=False))


def test_table_is_drawn_in_its_place_with_every_picture(
    monkeypatch: pytest.MonkeyPatch,
    slept: list[float],
    terminal: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    follow(monkeypatch, FIRST, SAME_BUT_LATER)
    text = capsys.readouterr().out
    assert text.startswith("\x1b[2J\x1b[H")
    assert text.count("\x1b[H") == 2
    assert "--==" not in text


def test_last_picture_stays_while_the_broker_is_gone(
    monkeypatch: pytest.MonkeyPatch,
    slept: list[float],
    terminal: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    follow(monkeypatch, FIRST, GONE)
    last = capsys.readouterr().out.split("\x1b[H")[-1]
    assert "up, good on h1 (1)" in last
    assert "No news since the last picture" in last


def test_picture_never_scrolls_the_terminal() -> None:
    hosts = [live(host_id) for host_id in range(1, 201)]
    picture = ClusterStatus(tuple(hosts), False, ("a note",), "held", 1)
    for rows in (5, 12, 24, 50):
        lines = screen_lines(picture, Terminal(80, rows, colour=False), "Ctrl-C ends.")
        assert len(lines) < rows
        assert max(len(line) for line in lines) <= 80
    assert lines[-1].endswith("Ctrl-C ends.")
    assert lines[-3].startswith("... and ")


@pytest.mark.parametrize(
    ("found", "as_json", "expected"),
    [
        (None, False, Pages),
        (None, True, JsonLines),
        (Terminal(80, 24), False, LiveTable),
        (Terminal(80, 24, colour=False, plain=True), False, Pages),
        (Terminal(80, 24), True, JsonLines),
    ],
)
def test_each_reader_gets_what_it_can_read(
    found: Any, as_json: bool, expected: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "terminal_of", lambda _stream: found)
    assert type(watching._screen(as_json)) is expected
