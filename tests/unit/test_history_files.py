# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The history's lines and files."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha_agent.history import store as history_store
from ha_agent.history.entry import (
    AgentStarted,
    Alive,
    BrokerLost,
    ClusterSight,
    Cost,
    Entry,
    HostSight,
    Lost,
    Transition,
    entry_of,
    line_of,
)
from ha_agent.history.store import PAST, PRESENT, FileHistory, read_history
from metadata.plain_text import printable_text

TEXTS = st.text(max_size=40).map(printable_text)
FACTS = st.one_of(
    st.builds(AgentStarted, st.integers(1, 2000), TEXTS),
    st.builds(
        Transition,
        TEXTS,
        TEXTS,
        TEXTS,
        st.none() | st.floats(0, 1e7),
        st.integers(0, 3400),
        st.lists(st.builds(Cost, TEXTS, st.integers(0, 3400), TEXTS), max_size=3).map(tuple),
    ),
    st.builds(HostSight, st.integers(1, 2000), TEXTS, TEXTS, st.none() | st.integers(0, 3400)),
    st.builds(ClusterSight, TEXTS, st.none() | st.integers(1, 2000), st.none() | st.booleans()),
    st.builds(BrokerLost, TEXTS),
    st.just(Alive()),
    st.builds(Lost, st.integers(1, 500)),
)
CHANGE = Transition("EngineDown", "EngineStart", "it is our turn", 12.5, 3400, (Cost("cpu", 9),))


def alive(at_s: float) -> Entry:
    return Entry(1_700_000_000.0 + at_s, at_s, Alive())


# --- lines ------------------------------------------------------------------------------


@given(FACTS)
def test_what_is_written_is_read_back_from_one_line(fact: Any) -> None:
    entry = Entry(1_700_000_000.25, 12.5, fact, "0123abcd")
    line = line_of(entry)
    assert "\n" not in line and line.isascii()
    assert entry_of(line) == entry


def test_a_line_has_the_documented_keys() -> None:
    data = json.loads(line_of(Entry(1_700_000_000.1234, 5.0, CHANGE, "0123abcd")))
    assert data == {
        "kind": "transition",
        "at": 1_700_000_000.123,
        "mono": 5.0,
        "boot": "0123abcd",
        "before": "EngineDown",
        "after": "EngineStart",
        "why": "it is our turn",
        "lasted_s": 12.5,
        "score": 3400,
        "penalties": [{"name": "cpu", "points": 9, "reason": ""}],
    }


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        "null",
        '{"kind": "alive"}',
        '{"kind": "tomorrow", "at": 1, "mono": 1, "boot": "b"}',
        '{"kind": "alive", "at": "1", "mono": 1, "boot": "b"}',
        '{"kind": "alive", "at": NaN, "mono": 1, "boot": "b"}',
        '{"kind": "transition", "at": 1, "mono": 1, "boot": "b", "before": "a"}',
        '{"kind": ["alive"], "at": 1, "mono": 1, "boot": "b"}',
        "[" * 100_000,
        '{"kind": "alive", "at": %s, "mono": 1, "boot": "b"}' % ("9" * 400),
        '{"kind": "alive", "at": 1, "mono": -%s, "boot": "b"}' % ("9" * 400),
        '{"kind": "alive", "at": 1e300, "mono": 1, "boot": "b"}',
        '{"kind": "alive", "at": 1e15, "mono": 1, "boot": "b"}',
        '{"kind": "alive", "at": -1, "mono": 1, "boot": "b"}',
        '{"kind": "lost", "count": %s, "at": 1, "mono": 1, "boot": "b"}' % ("9" * 400),
    ],
)
def test_what_is_no_entry_is_none(line: str) -> None:
    assert entry_of(line) is None


def test_keys_of_a_newer_program_are_ignored() -> None:
    line = '{"kind": "alive", "at": 1, "mono": 2, "boot": "b", "mood": "good"}'
    assert entry_of(line) == Entry(1.0, 2.0, Alive(), "b")


# --- files ------------------------------------------------------------------------------


def test_entries_survive_the_process_that_wrote_them(tmp_path: Path) -> None:
    directory = str(tmp_path / "state" / "history")
    FileHistory(directory).append([alive(1)])
    FileHistory(directory).append([alive(2), alive(3)])
    kept = read_history(directory)
    assert [entry.mono_s for entry in kept.entries] == [1, 2, 3]
    assert kept.damaged == 0
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    assert {entry.boot for entry in kept.entries} == {boot}


def test_no_history_is_no_error(tmp_path: Path) -> None:
    assert read_history(str(tmp_path / "none")).entries == ()
    assert FileHistory(str(tmp_path / "none")).earlier() == []


def test_a_torn_last_line_costs_itself_alone(tmp_path: Path) -> None:
    store = FileHistory(str(tmp_path))
    store.append([alive(1), alive(2)])
    path = tmp_path / PRESENT
    path.write_bytes(path.read_bytes()[:-9])
    store.append([alive(3)])
    kept = read_history(str(tmp_path))
    assert [entry.mono_s for entry in kept.entries] == [1, 3]
    assert kept.damaged == 1


def test_bytes_that_are_no_text_cost_their_line(tmp_path: Path) -> None:
    (tmp_path / PRESENT).write_bytes(b"\xff\xfe\x00\n" + line_of(alive(1)).encode() + b"\n")
    kept = read_history(str(tmp_path))
    assert ([entry.mono_s for entry in kept.entries], kept.damaged) == ([1], 1)


def test_the_files_are_bounded_and_the_newest_is_kept(tmp_path: Path) -> None:
    store = FileHistory(str(tmp_path), file_bytes=1000)
    for number in range(60):
        store.append([alive(number)])
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert sorted(path.name for path in tmp_path.iterdir()) == [PAST, PRESENT]
    assert max(sizes) < 1100
    times = [entry.mono_s for entry in read_history(str(tmp_path)).entries]
    assert times == list(range(int(times[0]), 60))
    assert len(times) > 10


def test_only_the_latest_of_this_boot_are_earlier_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileHistory(str(tmp_path))
    other = line_of(alive(1)._replace(boot="another"))
    (tmp_path / PRESENT).write_text(f"{other}\n")
    store.append([alive(number) for number in range(100)])
    assert [entry.mono_s for entry in store.earlier()] == list(range(100))
    monkeypatch.setattr(history_store, "_TAIL_BYTES", 1000)
    latest = [entry.mono_s for entry in store.earlier()]
    assert latest == list(range(100 - len(latest), 100))
    assert 0 < len(latest) < 20


def test_a_disk_that_takes_half_a_line_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileHistory(str(tmp_path))
    store.append([alive(1)])
    before = (tmp_path / PRESENT).read_bytes()
    real_write, calls = os.write, []

    def write(descriptor: int, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real_write(descriptor, data[:10])

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space left"):
        store.append([alive(2), alive(3)])
    assert len(calls) == 2
    assert (tmp_path / PRESENT).read_bytes() == before


def test_what_was_appended_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileHistory(str(tmp_path))
    synced = []
    real_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    store.append([alive(1)])
    assert synced == [str(tmp_path / PRESENT), str(tmp_path)]
    store.append([alive(2)])
    assert synced[2:] == [str(tmp_path / PRESENT)]


def test_a_place_that_is_no_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        FileHistory(str(tmp_path / "file" / "history")).append([alive(1)])
