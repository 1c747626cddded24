# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --history``: times, what lasted, what changed, and how it is told."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ha_agent.history.entry import (
    AgentStarted,
    Alive,
    BrokerLost,
    Cost,
    Entry,
    HostSight,
    Lost,
    Transition,
)
from hosted_engine.cli.since import moment
from hosted_engine.history.changes import ToldChange, changes_of
from hosted_engine.history.text import iso_text
from hosted_engine.history.timeline import Past, TimeSpan, past_of
from hosted_engine.history.wall_times import timed
from hosted_engine.main import main
from tests.unit.history_entries import WALL_S, entry, host, lease, story, up, write


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone with summer time."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def past(entries: list[Entry]) -> Past:
    return past_of(timed(entries))


def changes(entries: list[Entry]) -> list[ToldChange]:
    return changes_of(timed(entries))


def steps(entries: list[Entry], kind: str) -> list[tuple[str, str, str]]:
    return [(one.host, one.before, one.after) for one in changes(entries) if one.kind == kind]


def spans(found: tuple[TimeSpan[str], ...]) -> list[tuple[float, float, str]]:
    return [(one.from_s - WALL_S, one.to_s - WALL_S, one.value) for one in found]


def change(after: str, why: str = "so") -> Transition:
    return Transition("before", after, why, 5.0, 3400)


# --- times ------------------------------------------------------------------------------


def test_a_clock_that_was_set_is_right_for_the_past_of_its_boot_too() -> None:
    entries = [
        entry(0, AgentStarted(1, "h1")),
        entry(10, Alive()),
        entry(3620, Alive(), mono_s=120),
    ]
    found = timed(entries)
    assert [one.at_s - WALL_S for one in found] == [3600, 3610, 3620]
    assert [round(one.set_by_s) for one in found] == [0, 0, 3600]
    assert steps(entries, "clock") == [("h1", "", "set forwards by 3600 s")]


@pytest.mark.parametrize("drift_s", [-1.9, 1.9])
def test_a_clock_that_drifts_was_not_set(drift_s: float) -> None:
    entries = [entry(0, AgentStarted(1, "h1")), entry(60 + drift_s, Alive(), mono_s=160)]
    assert steps(entries, "clock") == []


def test_an_earlier_boot_ends_before_the_next_one_begins() -> None:
    """Its clock was a day ahead."""
    wrong = [entry(86400, AgentStarted(1, "h1")), entry(86460, Alive())]
    right = [entry(600, AgentStarted(1, "h1"), "b", 5.0), entry(660, Alive(), "b", 65.0)]
    times = [one.at_s - WALL_S for one in timed([*wrong, *right])]
    assert times == [540, 600, 600, 660]
    assert steps([*wrong, *right], "clock") == []


def test_an_earlier_boot_with_a_right_clock_stays_where_it_was() -> None:
    entries = [entry(0, AgentStarted(1, "h1")), entry(600, AgentStarted(1, "h1"), "b", 5.0)]
    assert [one.at_s - WALL_S for one in timed(entries)] == [0, 600]


DAY_S = 86400.0


def boots(*told: tuple[float, float]) -> list[float]:
    """Days after the first one at which each boot is dated, by its beginning; `told` has for
    each when it began by its own clock, in days, and how many it lasted."""
    entries = []
    for number, (day, lasted) in enumerate(told):
        began = entry(day * DAY_S, AgentStarted(1, "h1"), f"b{number}", 5.0)
        ended = entry((day + lasted) * DAY_S, Alive(), f"b{number}", 5.0 + lasted * DAY_S)
        entries += [began, ended]
    found = timed(entries)
    assert [one.entry for one in found] == entries
    times = [one.at_s for one in found]
    assert times == sorted(times)
    assert not any(one.set_by_s for one in found)
    return [round((at_s - WALL_S) / DAY_S, 2) for at_s in times[::2]]


NEVER_SET = -WALL_S / DAY_S  # 1970


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        # one at 1970: alone, first, between, last, and more than one of them
        ([(NEVER_SET, 1)], [round(NEVER_SET, 2)]),
        ([(NEVER_SET, 1), (9, 1)], [8, 9]),
        ([(0, 2), (NEVER_SET, 1), (9, 1)], [0, 8, 9]),
        ([(0, 2), (3, 1), (NEVER_SET, 1)], [0, 3, 4]),
        ([(0, 2), (NEVER_SET, 1), (NEVER_SET, 2), (NEVER_SET + 3, 1), (9, 1)], [0, 5, 6, 8, 9]),
        ([(0, 2), (NEVER_SET, 1), (NEVER_SET, 1)], [0, 2, 3]),
        # longer than the gap that there is for it
        ([(0, 2), (NEVER_SET, 5), (4, 1)], [-3, -1, 4]),
        # a clock that fell back to the date of the firmware, or ran ahead for one boot
        ([(0, 2), (-900, 1), (9, 1)], [0, 8, 9]),
        ([(0, 2), (3, 1), (-900, 1), (9, 1), (11, 1)], [0, 3, 8, 9, 11]),
        ([(0, 2), (9000, 1), (9, 1)], [0, 8, 9]),
        ([(9000, 1), (0, 2), (9, 1)], [-1, 0, 9]),
        # the latest boot is believed, for people ask by its clock
        ([(100, 2), (103, 2), (9, 1)], [5, 7, 9]),
        # all of them are right
        ([(0, 2), (2, 1), (9, 1), (90, 1)], [0, 2, 9, 90]),
    ],
)
def test_a_boot_with_a_wrong_clock_spoils_no_other(
    told: list[tuple[float, float]], expected: list[float]
) -> None:
    assert boots(*told) == expected


def test_many_boots_are_dated_in_time() -> None:
    """As fast a history can be made of boots alone as it can be told."""
    days = [float(number if number % 3 else 2000 - number) for number in range(20000)]
    began_s = time.process_time()
    assert len(boots(*[(day, 0.5) for day in days])) == 20000
    assert time.process_time() - began_s < 30.0


# --- what lasted ------------------------------------------------------------------------


def test_the_power_cut_of_another_host() -> None:
    found = past(story())
    assert (found.own_id, found.own_name, found.engine) == (2, "h2", "engine.example.com")
    h1, h2, h3 = found.hosts
    assert spans(h1.states) == [(1, 300, "EngineUp"), (360, 360, "dead")]
    assert spans(h1.engine) == [(1, 300, "healthy")]
    assert spans(h2.states) == [(1, 360, "EngineDown")]
    assert spans(h3.engine) == []
    assert spans(found.lease) == [(1, 360, "h1"), (360, 360, "free")]
    later = past([*story(), entry(400, Alive())])
    assert spans(later.hosts[0].states) == [(1, 300, "EngineUp"), (360, 400, "dead")]
    assert spans(later.lease) == [(1, 360, "h1"), (360, 400, "free")]


def test_while_the_agent_was_gone_nothing_is_known() -> None:
    found = past(
        [*story()[:5], entry(61, Alive()), entry(500, AgentStarted(2, "h2")), entry(510, up(1))]
    )
    assert spans(found.hosts[0].states) == [(1, 61, "EngineUp"), (510, 510, "EngineUp")]
    assert spans(found.hosts[1].states) == [(1, 61, "EngineDown")]
    assert spans(found.lease) == [(1, 61, "h1")]


def test_an_agent_that_was_stopped_is_known_to_be() -> None:
    entries = [*story()[:5], entry(50, change("AgentStopped")), entry(90, AgentStarted(2, "h2"))]
    assert spans(past(entries).hosts[1].states) == [(1, 50, "EngineDown"), (50, 90, "AgentStopped")]
    booted = [*entries[:-1], entry(90, AgentStarted(2, "h2"), "b", 5.0)]
    assert spans(past(booted).hosts[1].states)[1:] == [(50, 50, "AgentStopped")]


def test_without_the_broker_only_this_host_is_known() -> None:
    found = past(
        [*story()[:5], entry(20, BrokerLost("gone")), entry(40, host(3)), entry(50, Alive())]
    )
    h1, h2, h3 = found.hosts
    assert spans(h1.states) == [(1, 20, "EngineUp")]
    assert spans(h2.states) == [(1, 50, "EngineDown")]
    assert spans(h3.states) == [(1, 20, "EngineDown"), (40, 50, "EngineDown")]
    assert spans(found.lease) == [(1, 20, "h1")]


def test_this_hosts_states_are_as_exact_as_it_told_them() -> None:
    entries = [*story()[:4], entry(5, change("EngineStart")), entry(5.5, host(2, "EngineStart"))]
    found = past([*entries, entry(6, change("EngineStarting")), entry(9, Alive())])
    assert spans(found.hosts[1].states)[1:] == [
        (5, 6, "EngineStart"),
        (6, 9, "EngineStarting"),
    ]


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"live": False, "liveness": "dead"}, "dead"),
        ({"live": False, "liveness": "free", "stopped": True}, "AgentStopped"),
        ({"live": False, "liveness": "fail"}, None),
        ({"live": True, "liveness": "fail"}, "EngineUp"),
    ],
)
def test_the_last_word_of_a_silent_host_is_not_repeated(
    fields: dict[str, Any], shown: str | None
) -> None:
    found = past([entry(0, AgentStarted(2, "h2")), entry(0, up(1, **fields)), entry(9, Alive())])
    assert spans(found.hosts[0].states) == ([(0, 9, shown)] if shown else [])
    assert bool(found.hosts[0].engine) is fields["live"]


def test_global_maintenance_lasts_while_it_is_on() -> None:
    switches = [entry(at_s, lease(1, on)) for at_s, on in ((1, False), (5, True), (9, None))]
    found = past([entry(0, AgentStarted(2, "h2")), *switches, entry(20, Alive())])
    assert spans(found.global_maintenance) == [(5, 9, "on")]


def test_no_entries_are_no_past() -> None:
    assert past([]).hosts == ()


# --- what changed -----------------------------------------------------------------------


def test_the_power_cut_as_changes() -> None:
    found = [(one.at_s - WALL_S, one.kind, one.host, one.after) for one in changes(story())]
    assert found == [
        (0, "agent", "h2", "started"),
        (300, "life", "h1", "silent"),
        (300, "engine", "h1", "not known"),
        (360, "life", "h1", "dead"),
        (360, "lease", "", "free"),
    ]


def test_how_long_what_was_before_had_lasted() -> None:
    dead = next(one for one in changes(story()) if one.after == "dead")
    assert (dead.before, dead.lasted_s) == ("silent", 60)
    silent = next(one for one in changes(story()) if one.after == "silent")
    assert silent.lasted_s is None  # its beginning was not seen


def test_this_hosts_changes_are_told_once_and_exactly() -> None:
    own = Transition("EngineDown", "EngineStart", "our turn", 12.0, 3000, (Cost("cpu", 400),))
    entries = [*story()[:4], entry(5, own), entry(5, host(2, "EngineStart", why="our turn"))]
    (found,) = [one for one in changes(entries) if one.kind == "state"]
    assert (found.host, found.before, found.after) == ("h2", "EngineDown", "EngineStart")
    assert (found.lasted_s, found.score, found.why) == (12.0, 3000, "our turn")
    assert found.penalties == (Cost("cpu", 400),)
    assert found.exact


def test_another_hosts_changes_are_told_as_they_were_seen() -> None:
    entries = [*story()[:3], entry(5, host(1, "EngineStop", why="ill")), entry(9, host(1))]
    first, second = (one for one in changes(entries) if one.kind == "state")
    assert (first.host, first.before, first.after) == ("h1", "EngineUp", "EngineStop")
    assert (first.why, first.score, first.lasted_s, first.exact) == ("ill", 3400, None, False)
    assert second.lasted_s == 4


def test_a_host_is_called_by_its_name_before_it_was_told() -> None:
    entries = [
        entry(0, AgentStarted(2, "h2")),
        entry(1, lease(None)),
        entry(2, lease(1)),
        entry(3, up(1)),
    ]
    assert steps(entries, "lease") == [("", "free", "h1")]


def test_what_a_new_agent_sees_first_is_no_change() -> None:
    again = [entry(100 + one.mono_s, one.fact, "b", one.mono_s) for one in story()[:5]]
    assert [one.kind for one in changes([*story()[:5], *again])] == ["agent", "agent"]
    why = changes([*story()[:5], *again])[-1].why
    assert why == "nothing is known of the 3 min before"


def test_what_became_of_this_host_while_its_agent_was_gone_is_no_change() -> None:
    entries = [entry(0, AgentStarted(2, "h2")), entry(1, up(2)), entry(50, AgentStarted(2, "h2"))]
    assert steps([*entries, entry(51, host(2))], "engine") == []


def test_what_is_seen_again_after_a_silent_broker_is_no_change() -> None:
    entries = [*story()[:5], entry(20, BrokerLost("gone")), entry(40, lease(1)), entry(40, host(1))]
    assert [one.kind for one in changes(entries)] == ["agent", "broker"]


def test_entries_that_could_not_be_kept_are_told() -> None:
    assert steps([*story()[:5], entry(9, Lost(7))], "lost") == [("h2", "", "7 entries")]


# --- moments ----------------------------------------------------------------------------


def at(text: str) -> float:
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))


NOW = "2026-11-21 10:00:00"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("90s", "2026-11-21 09:58:30"),
        ("30m", "2026-11-21 09:30:00"),
        ("30min", "2026-11-21 09:30:00"),
        ("2h", "2026-11-21 08:00:00"),
        ("3d", "2026-11-18 10:00:00"),
        ("09:15", "2026-11-21 09:15:00"),
        ("10:00", "2026-11-21 10:00:00"),
        ("10:00:01", "2026-11-20 10:00:01"),
        ("23:30", "2026-11-20 23:30:00"),
        ("2026-11-20", "2026-11-20 00:00:00"),
        ("2026-07-01 12:00", "2026-07-01 12:00:00"),
        ("2026-11-20T12:00:30", "2026-11-20 12:00:30"),
    ],
)
def test_a_moment_as_it_is_typed(typed: str, meant: str) -> None:
    assert moment(typed)(at(NOW)) == at(meant)


@pytest.mark.parametrize("typed", ["", "h", "-2h", "2 weeks", "24:00", "2026-13-01", "1e3s", "٢h"])
def test_what_is_no_moment_is_refused_with_what_is(typed: str) -> None:
    with pytest.raises(ValueError, match="is refused; allowed: 30m, 2h or 3d"):
        moment(typed)


ZONES = {  # when its clocks go forward, and back
    "Europe/Berlin": ("2026-03-29 03:00:00", "2026-10-25 03:00:00"),
    "America/New_York": ("2026-03-08 03:00:00", "2026-11-01 02:00:00"),
    "Australia/Lord_Howe": ("2026-10-04 02:30:00", "2026-04-05 02:00:00"),
    "America/Santiago": ("2026-09-06 01:00:00", "2026-04-05 00:00:00"),
}


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("change", [0, 1])
def test_a_time_of_day_is_the_latest_such_one_around_summer_time(
    zone: str, change: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each quarter of an hour of three days, from each third one: it shows that time, is past,
    and nothing between it and now shows it, too."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    around_s = round(at(ZONES[zone][change]) / 900) * 900
    seconds = range(around_s - 36 * 3600, around_s + 36 * 3600, 900)
    shown: dict[str, list[int]] = defaultdict(list)
    for at_s in seconds:
        shown[time.strftime("%H:%M", time.localtime(at_s))].append(at_s)
    for now_s in range(around_s - 6 * 3600, around_s + 30 * 3600, 2700):
        for typed, times_s in sorted(shown.items()):
            latest = max(at_s for at_s in times_s if at_s <= now_s)
            meant = moment(typed)(now_s)
            if meant != latest:  # it never came today, so the clocks went forward over it
                assert latest < meant <= now_s, (typed, now_s)
                assert time.localtime(meant).tm_gmtoff > time.localtime(meant - 1).tm_gmtoff


@pytest.mark.parametrize(
    ("zone", "typed", "utc"),
    [
        ("Europe/Berlin", "2026-03-29 02:30", "2026-03-29 01:00:00"),  # never came
        ("Europe/Berlin", "2026-03-29 02:00:01", "2026-03-29 01:00:00"),
        ("Europe/Berlin", "2026-10-25 02:30", "2026-10-25 00:30:00"),  # the first of two
        ("America/Santiago", "2026-09-06", "2026-09-06 04:00:00"),  # begins at one o'clock
        ("Pacific/Apia", "2011-12-30 12:00", "2011-12-30 10:00:00"),  # a day that never came
    ],
)
def test_a_date_around_a_change_of_the_clocks(
    zone: str, typed: str, utc: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    found_s = moment(typed)(at(NOW))
    assert time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(found_s)) == utc


@pytest.mark.parametrize("typed", ["0001-01-01", "9999-12-31 23:59:59"])
def test_a_date_that_no_clock_shows_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match=f"'{typed}' is refused; allowed: 30m"):
        moment(typed)


def test_stamps_have_their_zone() -> None:
    assert iso_text(at("2026-07-01 12:00:00") + 0.0414) == "2026-07-01T12:00:00.041+02:00"
    assert iso_text(at("2026-11-21 12:00:00")) == "2026-11-21T12:00:00.000+01:00"
    assert iso_text(at("2026-11-21 12:00:00") + 0.9999) == "2026-11-21T12:00:01.000+01:00"


# --- the command ------------------------------------------------------------------------


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """There is neither a daemon nor a deployment."""
    monkeypatch.setenv("HE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("HE_SETTINGS", str(tmp_path / "none.yaml"))
    monkeypatch.setenv("HE_BROKER_SOCKET", str(tmp_path / "none.sock"))
    return tmp_path / "history"


def told(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["--history", *words]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_lines_stand_in_columns(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(directory, story())
    lines = told(capsys)
    assert lines[0].split() == ["time", "host", "change", "after", "score", "why"]
    assert lines[2] == "2023-11-14 23:18:20  h1    life: live => silent"
    assert lines[4] == "2023-11-14 23:19:20  h1    life: silent => dead          60 s"
    assert lines[5] == "2023-11-14 23:19:20  --    lease: h1 => free"


def test_penalties_stand_behind_the_reason(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    costs = (Cost("cpu", 400, "80% load"), Cost("bridge", 600, "down"))
    own = Transition("EngineDown", "EngineStart", "our turn", 3.0, 2400, costs)
    write(directory, [entry(0, AgentStarted(2, "h2")), entry(5, own)])
    assert told(capsys)[-1].endswith(
        "EngineDown => EngineStart  3 s    2400   our turn; cpu -400 (80% load); bridge -600 (down)"
    )


def test_json_is_one_document_with_the_documented_keys(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(directory, story())
    (line,) = told(capsys, "--json", "--last", "1")
    assert json.loads(line) == {
        "host_id": 2,
        "host_name": "h2",
        "engine": "engine.example.com",
        "from": "2023-11-14T23:13:20.000+01:00",
        "to": "2023-11-14T23:19:20.000+01:00",
        "hosts": {"1": "h1", "2": "h2", "3": "h3"},
        "changes": [
            {
                "time": "2023-11-14T23:19:20.000+01:00",
                "at": WALL_S + 360,
                "kind": "lease",
                "host_id": None,
                "host": "",
                "before": "h1",
                "after": "free",
                "lasted_s": None,
                "score": None,
                "why": "",
                "penalties": [],
                "exact": False,
            }
        ],
        "left_out": 4,
        "damaged_lines": 0,
    }


@pytest.mark.parametrize("name", ["h1", "1"])
def test_one_host_alone(directory: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    write(directory, story())
    (line,) = told(capsys, "--json", "--host", name)
    assert {one["host"] for one in json.loads(line)["changes"]} == {"h1"}


def test_only_what_was_since_then(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(directory, story())
    (line,) = told(capsys, "--json", "--since", "2023-11-14 23:19:00")
    assert [one["kind"] for one in json.loads(line)["changes"]] == ["life", "lease"]


def test_the_latest_fifty_unless_more_is_asked_for(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = [entry(number, change(f"s{number}")) for number in range(1, 81)]
    write(directory, [entry(0, AgentStarted(2, "h2")), *many])
    assert main(["--history"]) == 0
    output = capsys.readouterr()
    assert len(output.out.splitlines()) == 1 + 50
    assert output.err == (
        "hosted-engine: 31 earlier changes are not shown; see them with --last or --since\n"
    )
    assert len(told(capsys, "--since", "2023-11-14")) == 1 + 81
    assert len(told(capsys, "--last", "3")) == 1 + 3


def test_damaged_lines_are_counted(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(directory, story())
    with (directory / "history.jsonl").open("a") as file:
        file.write('{"kind": "host", "at": 17')
    assert main(["--history"]) == 0
    assert "1 damaged lines of the history were left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--host", "h9"), "no host 'h9' in the history; known: h1 (1), h2 (2), h3 (3)"),
        (("--plot", "night.pdf"), "'night.pdf' is refused; allowed: a file named *.svg or *.png"),
        (("--last", "0"), "'0' is refused; allowed: a number from 1 to 100000"),
        (("--since", "tea"), "'tea' is refused"),
        (("--plot", "a.svg", "--json"), "--plot and --json exclude each other"),
        (("--plot", "/none/a.svg"), "/none/a.svg: can't be written: No such file or directory"),
        (("--plot", "a.svg", "--since", "1s"), "the history ends before that time"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    directory: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], problem: str
) -> None:
    write(directory, story())
    assert main(["--history", *words]) in (1, 2)
    output = capsys.readouterr()
    text = output.err or json.loads(output.out)["error"]
    assert problem in text
    assert len(text.splitlines()) == 1


def test_where_there_is_no_history_it_says_who_writes_it(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--history"]) == 1
    error = capsys.readouterr().err
    assert f"{directory}: there is no history yet; ha-agent writes it" in error


def test_nothing_in_that_time_is_said(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(directory, story())
    assert main(["--history", "--since", "1s"]) == 0
    output = capsys.readouterr()
    assert output.out == ""
    assert "no such change; the history goes back to 2023-11-14 23:13:20" in output.err


def test_a_strangers_words_do_not_steer_the_terminal(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nasty = HostSight(1, "h\x1b[2J", "EngineUp", 1, live=True)
    write(directory, [*story()[:2], entry(2, nasty), entry(3, host(1, "a\x1bb", why="\x1b[0m"))])
    assert "\x1b" not in "".join(told(capsys))


IMPOSSIBLE = [
    ("at", ("1e300", "1e18", "-1e300", "1e400", "NaN", "9" * 400)),
    ("mono", ("1e300", "-5", "9" * 400, "null")),
]


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        *((kind, key, value) for kind in ("alive", "host", "transition")
          for key, values in IMPOSSIBLE for value in values),
        ("transition", "lasted_s", "1e300"),
        ("transition", "lasted_s", "-1"),
    ],
)  # fmt: skip
def test_a_line_with_an_impossible_time_hides_nothing_else(
    directory: Path, capsys: pytest.CaptureFixture[str], kind: str, key: str, value: str
) -> None:
    write(directory, story())
    assert main(["--history"]) == 0
    before = capsys.readouterr().out
    stamp = {"at": str(WALL_S), "mono": "500.0", "lasted_s": "1.0", key: value}
    rest = {
        "alive": "",
        "host": ', "host_id": 1',
        "transition": ', "before": "EngineDown", "after": "EngineStart", "why": "so", "lasted_s": '
        + stamp["lasted_s"],
    }[kind]
    line = f'{{"kind": "{kind}", "at": {stamp["at"]}, "mono": {stamp["mono"]}, "boot": "a"{rest}}}'
    with (directory / "history.jsonl").open("a") as file:
        file.write(f"{line}\n")
    assert main(["--history"]) == 0
    printed = capsys.readouterr()
    assert printed.out == before
    assert "1 damaged lines of the history were left out" in printed.err
