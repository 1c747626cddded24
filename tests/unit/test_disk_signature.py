# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What libblkid says of what is on the storage; it is asked for real."""

from __future__ import annotations

from pathlib import Path

import pytest

from hosted_engine.host import disk_signature as asked
from hosted_engine.host.disk_signature import disk_signature
from tests.unit.disk_areas import (
    EXT2,
    SECTOR,
    gpt,
    labelled_ext2,
    physical_volume,
    swap_space,
)

MIB = 1 << 20
ROOM = 12 * MIB


def said(data: bytes, room: int = ROOM) -> str:
    return disk_signature(data.ljust(MIB, b"\0"), room)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (EXT2, "a file system (ext2)"),
        (labelled_ext2(b"backup"), "a file system (ext2, label 'backup')"),
        (physical_volume(), "a part of a RAID or volume group (LVM2_member)"),
        (swap_space(), "data (swap)"),
        (bytes(510) + b"\x55\xaa", "a partition table (dos)"),
        (b"\x07rubbish", ""),
        (b"", ""),
    ],
    ids=["ext2", "ext2 with a label", "LVM", "swap", "MBR", "rubbish", "nothing"],
)
def test_what_is_known_is_named(data: bytes, expected: str) -> None:
    assert said(data) == expected


def test_partition_table_of_the_whole_volume_is_one_though_only_its_beginning_is_read() -> None:
    table = gpt(100 * MIB // SECTOR - 1)
    protective = "a partition table (PMBR)"
    assert said(table, 100 * MIB) == f"a partition table (gpt) and {protective}"
    assert said(table, ROOM) == protective


def test_volume_that_is_two_things_at_once_is_called_both() -> None:
    swap = swap_space()
    both = swap[:1080] + EXT2[1080:] + swap[1082:]
    assert said(both) == "data (swap) and a file system (ext2)"


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (b"a 'b' \"c\"\\", "label 'a \\'b\\' \"c\"\\\\'"),
        (b"x=y", "label 'x=y'"),
    ],
)
def test_label_that_somebody_chose_comes_as_it_is(label: bytes, expected: str) -> None:
    assert expected in said(labelled_ext2(label))


def test_label_does_not_steer_the_terminal() -> None:
    assert "\x1b" not in said(labelled_ext2(b"a\x1b[2Jb"))
    assert said(labelled_ext2(b"a\xff\xfeb")).isascii()


@pytest.mark.parametrize("script", ["", "exec sleep 60", "exit 1"], ids=["no", "hung", "silent"])
def test_tool_that_does_not_answer_is_no_reason_to_fail(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "wipefs"
    if script:
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
    monkeypatch.setattr(asked, "WIPEFS", str(tool))
    monkeypatch.setattr(asked, "_DEADLINE_S", 0.2)
    assert said(EXT2) == ""
