# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The picture of a round of maintenance, from a record of one."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from lab import moves_picture, page
from lab.page import Question

SVG = "{http://www.w3.org/2000/svg}"


def question(at_s: float, well: bool = True) -> dict[str, Any]:
    return {"asked_s": at_s - 0.01, "ended_s": at_s, "well": well}


def record() -> dict[str, Any]:
    """h1 gives the engine to h2 at second 103; the page is gone from 102.9 to 103.6."""
    answers = [100 + tenth / 10 for tenth in (*range(30), *range(36, 56))]
    move = {"source": "h1", "target": "h2", "ordered_s": 101.0, "reached_s": 3.0}
    return {
        "hosts": ["h1", "h2"],
        "rounds": [[move]],
        "recorded": {
            "begin_s": 100.0,
            "end_s": 106.0,
            "page": [*map(question, answers), question(103.2, well=False)],
            "processes": [[100.0, ["h1"]], [102.0, ["h1", "h2"]], [104.0, ["h2"]]],
            "lease": [[100.0, "h1"], [103.0, ""], [103.3, "h2"]],
            "states": {
                "h1": [[100.0, "EngineUp"], [101.2, "EngineMigratingAway"]],
                "h2": [[100.0, "EngineDown"], [103.4, "EngineUp"]],
            },
        },
    }


def drawn() -> ElementTree.Element:
    return ElementTree.fromstring(moves_picture.draw(record()))


def texts(kind: str) -> list[str]:
    found = drawn().iter(f"{SVG}text")
    return [str(one.text) for one in found if one.get("class") == kind]


def bars(colour: str) -> list[tuple[float, float]]:
    """From where to where, in the panel that shows the whole round and in the other one."""
    found = [one for one in drawn().iter(f"{SVG}rect") if one.get("fill") == colour]
    return [(float(one.get("x", 0)), float(one.get("width", 0))) for one in found]


def test_both_panels_name_hosts_states_and_the_gap() -> None:
    assert texts("title") == [
        "One round of local maintenance: h1 > h2",
        "The first move of it: h1 > h2",
    ]
    assert texts("name") == ["page", "h1", "h2"] * 2
    assert texts("gap") == ["0.70 s"] * 2
    assert {"EngineUp", "EngineMigratingAway", "EngineDown"} <= set(texts("state"))


def test_the_lease_is_drawn_where_it_is_held_and_not_in_between() -> None:
    h1, h2 = bars(moves_picture.LEASE)[:2]
    assert h1[0] + h1[1] < h2[0]
    scale = (moves_picture.WIDTH - moves_picture.LEFT - moves_picture.RIGHT) / 6.0
    assert abs((h2[0] - h1[0] - h1[1]) / scale - 0.3) < 0.01


def test_the_longest_gap_counts_from_answer_to_answer_and_to_the_end() -> None:
    seen = page.judge([Question(9.9, 10.0, True), Question(10.1, 10.6, False)])
    assert (seen.asked, seen.answered) == (2, 1)
    assert abs(seen.longest_gap_s - 0.6) < 1e-9
    assert page.judge([]).longest_gap_s == 0.0
