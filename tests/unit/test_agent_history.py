# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the agent remembers for people, and the line in which it tells of its penalties."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm import Decision, Memory, Penalty, Score, State
from fsm.table import rows_of
from ha_agent.publication.recent_history import RecentHistory
from ha_broker.api.penalties_line import NotedPenalty, penalties_note, read_note
from ha_broker.api.times import moment_text
from metadata.extra_text import NOTE_LIMIT

DAY_S = 86400.0
WALL_S = 1_700_000_000.0


def decision(state: State = State.ENGINE_DOWN, *penalties: Penalty, **fields: Any) -> Decision:
    content: dict[str, Any] = {
        "memory": Memory(state=state),
        "actions": (),
        "row": rows_of(state)[-1],
        "why": "so",
        "score": Score(3400, penalties),
    }
    return Decision(**{**content, **fields})


def network(points: int) -> Penalty:
    return Penalty("network", points, f"{points} lost")


# --- since when -----------------------------------------------------------------------


def test_a_penalty_began_when_it_first_cost_anything() -> None:
    history = RecentHistory(0.0)
    for at_s, points in ((10.0, 320), (15.0, 640), (20.0, 320)):
        history.note(State.ENGINE_DOWN, decision(State.ENGINE_DOWN, network(points)), at_s)
    (told,) = history.penalties
    assert (told.points, told.began_at_s) == (320, 10.0)


def test_a_penalty_that_was_over_begins_anew() -> None:
    history = RecentHistory(0.0)
    history.note(State.ENGINE_DOWN, decision(State.ENGINE_DOWN, network(320)), 10.0)
    history.note(State.ENGINE_DOWN, decision(), 15.0)
    assert history.penalties == ()
    history.note(State.ENGINE_DOWN, decision(State.ENGINE_DOWN, network(320)), 20.0)
    assert [told.began_at_s for told in history.penalties] == [20.0]


def test_each_penalty_has_its_own_beginning_and_the_costliest_comes_first() -> None:
    history = RecentHistory(0.0)
    bridge = Penalty("bridge", 600, "down")
    history.note(State.ENGINE_DOWN, decision(State.ENGINE_DOWN, network(320)), 10.0)
    history.note(State.ENGINE_DOWN, decision(State.ENGINE_DOWN, network(320), bridge), 15.0)
    assert [(told.name, told.began_at_s) for told in history.penalties] == [
        ("bridge", 15.0),
        ("network", 10.0),
    ]


# --- changes of state -----------------------------------------------------------------


def test_only_changes_of_state_are_kept_and_counted() -> None:
    history = RecentHistory(5.0)
    assert (history.life_at_s, history.state_since_s) == (5.0, 5.0)
    history.note(State.START_STATE, decision(State.REINITIALIZE_FSM, changed=True), 6.0)
    history.note(State.REINITIALIZE_FSM, decision(State.ENGINE_DOWN, changed=True), 7.0)
    history.note(State.ENGINE_DOWN, decision(State.ENGINE_DOWN), 12.0)
    assert [(one.number, one.at_s, one.before, one.after) for one in history.transitions] == [
        (1, 6.0, "StartState", "ReinitializeFSM"),
        (2, 7.0, "ReinitializeFSM", "EngineDown"),
    ]
    assert history.state_since_s == 7.0


def test_a_time_out_that_begins_anew_does_not_make_the_state_younger() -> None:
    history = RecentHistory(0.0)
    up = decision(State.ENGINE_UP_BAD_HEALTH, changed=True)
    history.note(State.ENGINE_UP, up, 10.0)
    again = decision(memory=Memory(State.ENGINE_UP_BAD_HEALTH, since_s=20.0))
    history.note(State.ENGINE_UP_BAD_HEALTH, again, 20.0)
    assert history.state_since_s == 10.0


# --- moments --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ago_s", "pattern"), [(0.0, "%H:%M:%S"), (DAY_S - 1, "%H:%M:%S"), (DAY_S, "%Y-%m-%d %H:%M")]
)
def test_a_moment_has_its_date_only_when_it_is_needed(ago_s: float, pattern: str) -> None:
    expected = time.strftime(pattern, time.localtime(WALL_S - ago_s))
    assert moment_text(500.0, 500.0 + ago_s, WALL_S) == expected


# --- the line -------------------------------------------------------------------------


def view(name: str = "network", points: int = 320, reason: str = "20% failed") -> Penalty:
    return Penalty(name, points, reason, began_at_s=100.0)


def clock(at_s: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(WALL_S + at_s))


def test_the_line_says_since_when_and_until_when() -> None:
    ends = Penalty("failed-starts", 3400, "3 failed", began_at_s=90.0, ends_at_s=160.0)
    line = penalties_note([view(), ends], 100.0, WALL_S)
    assert line == (
        f"failed-starts -3400 (3 failed, since {clock(-10)}, until {clock(60)}); "
        f"network -320 (20% failed, since {clock(0)})"
    )


def test_what_does_not_fit_into_the_line_is_the_least_and_is_counted() -> None:
    many = [view(f"p{points}", points, "x" * 100) for points in range(1, 21)]
    line = penalties_note(many, 100.0, WALL_S)
    kept = [one.points for one in read_note(line)]
    assert kept == sorted(range(1, 21), reverse=True)[: len(kept)]
    assert line.endswith(f"; and {20 - len(kept)} more")
    assert NOTE_LIMIT - 150 < len(line) <= NOTE_LIMIT


VIEWS = st.builds(
    Penalty,
    name=st.from_regex(r"[a-z0-9._-]{1,71}", fullmatch=True),
    points=st.integers(1, 100_000),
    reason=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200),
    began_at_s=st.none() | st.floats(0, 1e6),
    ends_at_s=st.none() | st.floats(0, 1e6),
)


@given(st.lists(VIEWS, max_size=9))
def test_the_line_always_fits(penalties: list[Penalty]) -> None:
    line = penalties_note(penalties, 5000.0, WALL_S)
    assert len(line) <= NOTE_LIMIT
    assert bool(line) == bool(penalties)


PLAIN = st.from_regex(r"[A-Za-z0-9%.:][A-Za-z0-9%.: (-]{0,60}[a-z%]", fullmatch=True)
PLAIN_VIEWS = st.builds(
    Penalty,
    name=st.from_regex(r"[a-z0-9._-]{1,20}", fullmatch=True),
    points=st.integers(1, 100_000),
    reason=PLAIN,
    began_at_s=st.floats(0, 1e6),
    ends_at_s=st.none() | st.floats(0, 1e6),
)


@given(st.lists(PLAIN_VIEWS, min_size=1, max_size=9))
def test_what_was_written_is_read_back(penalties: list[Penalty]) -> None:
    line = penalties_note(penalties, 5000.0, WALL_S)
    costly = sorted(penalties, key=lambda one: -one.points)
    found = read_note(line)
    assert found
    for noted, written in zip(found, costly):
        assert (noted.name, noted.points) == (written.name, written.points)
        assert noted.reason == written.reason
        assert bool(noted.until) == (written.ends_at_s is not None)
        assert re.fullmatch(r"[\d :-]+", noted.since)


def test_another_programs_line_is_left_unread() -> None:
    assert read_note("gateway: 100 points") == ()
    assert read_note("network -320 (20% failed); something else") == ()
    assert read_note("network -320 (20% failed)") == (NotedPenalty("network", 320, "20% failed"),)
    assert read_note("") == ()
