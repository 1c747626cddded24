# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The history as a picture: nothing outside, nothing hidden, nothing written over another."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha_agent.history.entry import AgentStarted, Alive, BrokerLost, Entry, Transition
from hosted_engine.history.plot import colours
from hosted_engine.history.plot.axis import ticks
from hosted_engine.history.plot.chart import chart, short_names
from hosted_engine.history.plot.shapes import Drawing, Line, Rect, Text, shortened, text_width
from hosted_engine.history.plot.svg import svg_bytes
from hosted_engine.history.plot_command import cut
from hosted_engine.history.timeline import HostPast, Past, TimeSpan, past_of
from hosted_engine.history.wall_times import timed
from hosted_engine.main import main
from metadata.states import State
from tests.unit.history_entries import WALL_S, entry, host, lease, story, up, write

DAY_S = 86400.0
STATES = [state.value for state in State]


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def drawn(entries: list[Entry]) -> Drawing:
    return chart(past_of(timed(entries)))


def texts(drawing: Drawing) -> list[str]:
    return [shape.text for shape in drawing.shapes if isinstance(shape, Text)]


def rects(drawing: Drawing, title: str) -> list[Rect]:
    found = (shape for shape in drawing.shapes if isinstance(shape, Rect))
    return [rect for rect in found if rect.title.startswith(title)]


def dashes(drawing: Drawing) -> list[Line]:
    """But for the one in the legend."""
    found = [shape for shape in drawing.shapes if isinstance(shape, Line) and shape.dashed]
    return found[:-1]


def crowd(seed: int) -> list[Entry]:
    """Nine hosts with long names of whom each is in every state, some for a tenth of a second."""
    dice = random.Random(seed)
    names = [f"node-{number}.rack.datacenter-frankfurt.example.com" for number in range(1, 10)]
    entries = [entry(0, AgentStarted(3, names[2])), entry(1, lease(1))]
    at_s = 2.0
    while at_s < 3600:
        at_s += dice.choice([0.1, 0.2, 30, 60, 120])
        host_id, live = dice.randint(1, 9), dice.random() > 0.1
        name = names[host_id - 1]
        entries.append(entry(at_s, host(host_id, dice.choice(STATES), name=name, live=live)))
        if dice.random() < 0.3:
            entries.append(entry(at_s, lease(dice.randint(1, 9), dice.random() < 0.3)))
    return entries


# --- what is drawn ----------------------------------------------------------------------


def test_each_span_stands_where_its_time_is() -> None:
    drawing = drawn([*story(), entry(601, Alive())])
    (up_to_cut,) = rects(drawing, "h1: EngineUp")
    (dead,) = rects(drawing, "h1: dead")
    (whole,) = rects(drawing, "h2: EngineDown")
    per_s = whole.width / 600
    assert up_to_cut.width == pytest.approx(299 * per_s)
    assert dead.x - up_to_cut.x == pytest.approx(359 * per_s)
    assert dead.width == pytest.approx(241 * per_s)
    assert [rect.fill for rect in (up_to_cut, dead)] == [colours.STATES["EngineUp"], "#252a31"]
    assert {rect.y for rect in (up_to_cut, dead)} == {up_to_cut.y}
    (engine,) = rects(drawing, "h1: engine")
    assert (engine.x, engine.width) == (up_to_cut.x, up_to_cut.width)
    assert engine.y >= up_to_cut.y + up_to_cut.height


def test_the_lanes_are_the_hosts_and_the_lease() -> None:
    drawing = drawn([*story(), entry(601, Alive())])
    written = texts(drawing)
    assert [one for one in written if one in ("h1", "h2", "h3", "lease")] == [
        "h1", "h2", "h3", "lease", "h1"
    ]  # fmt: skip
    assert "Engine engine.example.com, as h2 saw it" in written
    assert "2023-11-14 23:13:20 to 2023-11-14 23:23:21, UTC+01:00 (CET): 10 min, 3 hosts" in written
    assert "id 2, told by itself" in written
    assert "global maintenance" not in written


def test_global_maintenance_has_a_lane_once_there_was_one() -> None:
    drawing = drawn([*story(), entry(500, lease(3, True)), entry(601, Alive())])
    assert "global maintenance" in texts(drawing)
    (span,) = rects(drawing, "global maintenance: on")
    assert span.fill == colours.MAINTENANCE


def test_where_nothing_was_known_is_a_dashed_line() -> None:
    drawing = drawn([*story()[:5], entry(100, BrokerLost("gone")), entry(200, Alive())])
    (known,) = rects(drawing, "h1: EngineUp")
    (lease_known,) = rects(drawing, "lease: h1")
    gaps = dashes(drawing)
    ends = known.x + known.width
    behind = [line for line in gaps if line.x1 == pytest.approx(ends)]
    middles = [rect.y + rect.height / 2 for rect in (known, *rects(drawing, "h3"), lease_known)]
    assert sorted(line.y1 for line in behind) == pytest.approx(sorted(middles))
    assert {round(line.x2, 3) for line in behind} == {1180.0}


def test_changes_within_a_second_are_counted_and_each_can_be_seen() -> None:
    steps = ["EngineUnexpectedlyDown", "EngineDown", "EngineStart", "EngineStarting", "EngineUp"]
    burst = [entry(1800 + n / 10, Transition("x", step, "so")) for n, step in enumerate(steps)]
    drawing = drawn([*story()[:5], *burst, entry(3600, Alive())])
    assert "×5" in texts(drawing)
    order = [shape.title for shape in drawing.shapes if isinstance(shape, Rect)]
    narrow = [title for title in order if title.startswith("h2:")][-4:]
    assert [title.split()[1] for title in narrow] == steps[:4]
    assert min(rect.width for rect in rects(drawing, "h2: Engine")) >= 1.5


def test_two_changes_beside_each_other_need_no_count() -> None:
    drawing = drawn([*story(), entry(601, Alive())])
    assert not [text for text in texts(drawing) if text.startswith("×")]


def test_only_what_occurs_is_in_the_legend() -> None:
    written = texts(drawn([*story(), entry(601, Alive())]))
    legend = written[written.index("EngineDown", len(written) - 6) :]
    assert legend == ["EngineDown", "EngineUp", "dead", "engine healthy", "nothing known"]


def test_states_of_a_newer_program_are_drawn_and_named() -> None:
    drawing = drawn(
        [entry(0, AgentStarted(1, "h1")), entry(0, up(2)), entry(5, host(2, "EngineOdd"))]
    )
    assert "EngineOdd" in texts(drawn([*story(), entry(500, host(3, "EngineOdd"))]))
    assert {rect.fill for rect in rects(drawing, "h2: EngineOdd")}.isdisjoint(
        colours.STATES.values()
    )


def test_every_state_has_a_colour_of_its_own() -> None:
    assert set(STATES) <= set(colours.STATES)
    begin = {"StartState", "ReinitializeFSM"}
    others = [colour for state, colour in colours.STATES.items() if state not in begin]
    assert len(set(others)) == len(others)


def test_a_lease_whose_owners_name_does_not_fit_has_its_id() -> None:
    long = "node.rack.datacenter-frankfurt.example.com"
    entries = [
        *(entry(0, AgentStarted(7, long)), entry(0, lease(7)), entry(60, lease(None))),
        entry(3600, Alive()),
    ]
    written = texts(drawn(entries))
    assert "7" in written


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_outside_and_no_two_texts_overlap(seed: int) -> None:
    drawing = drawn(crowd(seed))
    boxes = []
    for shape in drawing.shapes:
        if isinstance(shape, Text):
            width = text_width(shape.text, shape.size, shape.bold)
            left = shape.x - (width / 2 if shape.anchor == "middle" else 0)
            boxes.append((left, shape.y - shape.size * 0.8, left + width, shape.y, shape.text))
        elif isinstance(shape, Rect):
            assert shape.x >= 0 and shape.x + shape.width <= drawing.width
            assert shape.y >= 0 and shape.y + shape.height <= drawing.height
    for left, top, right, bottom, text in boxes:
        assert left >= 0 and right <= drawing.width + 8, text
        assert top >= 0 and bottom <= drawing.height, text
    for one, other in combinations(boxes, 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart, (one, other)


def test_a_moment_is_a_picture_too() -> None:
    drawing = drawn([entry(0, AgentStarted(1, "h1"))])
    assert "h1" in texts(drawing)
    assert len([text for text in texts(drawing) if text.count(":") == 2]) > 2


def test_what_was_before_is_cut_off() -> None:
    past = cut(past_of(timed(story())), WALL_S + 200)
    assert past.from_s == WALL_S + 200
    assert past.hosts[0].states[0] == TimeSpan(WALL_S + 200, WALL_S + 300, "EngineUp")
    assert past.lease[0].from_s == WALL_S + 200
    later = cut(past, WALL_S + 320)
    assert [span.value for span in later.hosts[0].states] == ["dead"]


# --- names and texts --------------------------------------------------------------------


def test_hosts_of_one_domain_go_without_it() -> None:
    assert short_names(["a.x.org", "b.x.org"]) == {"a.x.org": "a", "b.x.org": "b"}
    assert short_names(["a.x.org", "a.y.org"]) == {"a.x.org": "a.x.org", "a.y.org": "a.y.org"}


@given(st.text(min_size=1, max_size=60), st.floats(30, 300))
def test_a_shortened_text_fits_and_keeps_both_ends(text: str, room: float) -> None:
    short = shortened(text, 10.0, room)
    assert text_width(short, 10.0) <= room
    assert (short[0], short[-1]) == (text[0], text[-1])


# --- the axis ---------------------------------------------------------------------------


@given(st.floats(60, 400 * DAY_S), st.floats(0, 365 * DAY_S))
def test_marks_are_round_few_and_inside(length_s: float, offset_s: float) -> None:
    from_s = WALL_S + offset_s
    found = ticks(from_s, from_s + length_s, 10)
    assert 2 <= len(found) <= 15
    assert all(from_s <= tick.at_s <= from_s + length_s for tick in found)
    assert [tick.at_s for tick in found] == sorted(tick.at_s for tick in found)
    assert found[0].day
    assert all(time.localtime(tick.at_s).tm_sec in (0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55)
               for tick in found)  # fmt: skip


def test_a_day_is_named_where_it_begins() -> None:
    midnight_s = time.mktime((2023, 11, 15, 0, 0, 0, 0, 0, -1))
    found = ticks(midnight_s - 3600, midnight_s + 3600, 10)
    assert [(tick.label, tick.day) for tick in found if tick.day] == [
        ("23:00", "2023-11-14"),
        ("00:00", "2023-11-15"),
    ]


# --- files ------------------------------------------------------------------------------

SVG = "{http://www.w3.org/2000/svg}"


def test_the_svg_has_every_shape_and_escapes_what_strangers_wrote() -> None:
    nasty = 'h<script>&"\x1b'
    drawing = drawn(
        [entry(0, AgentStarted(1, nasty)), entry(0, host(1, name=nasty)), entry(9, Alive())]
    )
    root = ElementTree.fromstring(svg_bytes(drawing))
    for kind, tag in ((Line, "line"), (Text, "text")):
        count = sum(isinstance(shape, kind) for shape in drawing.shapes)
        assert len(root.findall(f"{SVG}{tag}")) == count
    assert 'h<script>&"?' in [element.text for element in root.iter(f"{SVG}text")]
    assert not list(root.iter(f"{SVG}script"))


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HE_STATE_DIR", str(tmp_path))
    write(tmp_path / "history", story())
    return tmp_path


@pytest.mark.parametrize("name", ["night.svg", "NIGHT.SVG"])
def test_the_command_writes_the_file_alone(
    directory: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    target = directory / name
    assert main(["--history", "--plot", str(target)]) == 0
    assert capsys.readouterr().out == f"{target}: 3 hosts, 5 changes\n"
    assert target.read_bytes().startswith(b"<?xml")
    assert sorted(path.name for path in directory.iterdir()) == sorted([name, "history"])


def test_one_host_alone_is_one_lane(directory: Path) -> None:
    target = directory / "h1.svg"
    assert main(["--history", "--host", "h1", "--plot", str(target)]) == 0
    written = [element.text for element in ElementTree.parse(target).iter(f"{SVG}text")]
    assert "h1" in written
    assert "h3" not in written


def test_the_latest_changes_alone_begin_with_the_first_of_them(directory: Path) -> None:
    target = directory / "end.svg"
    assert main(["--history", "--last", "4", "--plot", str(target)]) == 0
    written = [element.text or "" for element in ElementTree.parse(target).iter(f"{SVG}text")]
    assert [text for text in written if text.startswith("2023-11-14 23:18:20 to")]


@pytest.fixture
def converter(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where rsvg-convert would be; nothing else is on the PATH."""
    folder: Path = tmp_path_factory.mktemp("bin")
    monkeypatch.setenv("PATH", str(folder))
    return folder / "rsvg-convert"


def converts(converter: Path, script: str) -> None:
    converter.write_text(f"#!/bin/sh\n{script}\n")
    converter.chmod(0o755)


def test_a_png_is_what_the_converter_makes_of_the_svg(directory: Path, converter: Path) -> None:
    converts(converter, 'exec /bin/cp "$3" "${2#--output=}"')
    assert main(["--history", "--plot", str(directory / "night.svg")]) == 0
    assert main(["--history", "--plot", str(directory / "NIGHT.PNG")]) == 0
    assert (directory / "NIGHT.PNG").read_bytes() == (directory / "night.svg").read_bytes()
    assert len(list(directory.iterdir())) == 3


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", "a PNG needs rsvg-convert, which is not installed here"),
        ("echo no font >&2; exit 1", "rsvg-convert: no font"),
        ("exit 0", "rsvg-convert: exit code 0"),
    ],
    ids=["missing", "fails", "writes nothing"],
)
def test_without_a_picture_the_way_out_is_told_and_the_old_one_stays(
    directory: Path,
    converter: Path,
    script: str,
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if script:
        converts(converter, script)
    target = directory / "night.png"
    target.write_bytes(b"old")
    assert main(["--history", "--plot", str(target)]) == 1
    error = capsys.readouterr().err
    assert expected in error
    assert "an SVG needs nothing: --plot FILE.svg" in error
    assert target.read_bytes() == b"old"
    assert len(list(directory.iterdir())) == 2


def test_too_many_hosts_are_no_picture(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(directory / "history", [*story(), *(entry(400, host(n)) for n in range(4, 100))])
    assert main(["--history", "--plot", str(directory / "a.svg")]) == 1
    assert "99 hosts are too many for one picture: use --host" in capsys.readouterr().err


def test_a_past_without_an_agents_name_can_be_drawn() -> None:
    past = Past(WALL_S, WALL_S + 60, hosts=(HostPast(4, "host 4"),))
    assert "Engine" in texts(chart(past))
