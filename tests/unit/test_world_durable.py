# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Files that are replaced as a whole."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from world.durable import replace_file, written_beside


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_what_was_there_is_replaced_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    replace_file(path, b"after")
    assert path.read_bytes() == b"after"
    assert _names(tmp_path) == ["file"]


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_mode_is_kept_whatever_the_umask_says(tmp_path: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        replace_file(tmp_path / "file", b"", mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_without_a_mode_the_umask_says_it(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        replace_file(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@pytest.mark.parametrize("only_writer", [False, True])
def test_a_write_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only_writer: bool
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "file"
    path.write_bytes(b"before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"after", only_writer=only_writer)
    assert path.read_bytes() == b"before"
    assert _names(tmp_path) == ["file"]


def test_the_only_writer_takes_away_what_a_crash_has_left(tmp_path: Path) -> None:
    (tmp_path / "file.new").write_bytes(b"a longer text, cut off")
    replace_file(tmp_path / "file", b"whole", only_writer=True)
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert _names(tmp_path) == ["file"]


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with written_beside(path, b"one") as one, written_beside(path, b"two") as two:
        assert one != two
        one.replace(path)
    assert path.read_bytes() == b"one"
    assert _names(tmp_path) == ["file"]
