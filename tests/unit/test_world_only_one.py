# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""One process of a kind on a host."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from world.host.only_one import AnotherRunsError, OnlyOne
from world.ports.errors import WorldError

HOLDER = """
import sys
from world.host.only_one import OnlyOne
lock = OnlyOne(sys.argv[1], "ha-agent")
print("locked", flush=True)
sys.stdin.read()
"""


def test_the_second_is_refused_and_told_the_first(tmp_path: Path) -> None:
    OnlyOne(str(tmp_path), "ha-broker")  # another kind
    first = OnlyOne(str(tmp_path), "ha-agent")
    with pytest.raises(AnotherRunsError) as caught:
        OnlyOne(str(tmp_path), "ha-agent")
    why = str(caught.value)
    assert why.startswith(
        f"can't start ha-agent: ha-agent runs on this host already (process {os.getpid()}"
    )
    assert "\n" not in why
    first.release()
    OnlyOne(str(tmp_path), "ha-agent").release()


def test_it_goes_with_its_process_however_that_ends(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    with pytest.raises(AnotherRunsError, match=f"process {holder.pid} "):
        OnlyOne(str(tmp_path), "ha-agent")
    holder.kill()
    holder.communicate()
    OnlyOne(str(tmp_path), "ha-agent").release()


def test_the_directory_is_made(tmp_path: Path) -> None:
    OnlyOne(str(tmp_path / "var" / "lib"), "ha-agent").release()
    assert (tmp_path / "var" / "lib" / "ha-agent.lock").is_file()


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorldError, match=rf"start ha-agent: .*{tmp_path}/file"):
        OnlyOne(str(tmp_path / "file"), "ha-agent")


def test_a_file_system_that_became_read_only_is_locked_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    OnlyOne(str(tmp_path), "ha-agent").release()
    real_open = os.open

    def refuse(path: str, flags: int, *mode: int) -> int:
        if flags & os.O_RDWR:
            raise OSError(errno.EROFS, "Read-only file system")
        return real_open(path, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    first = OnlyOne(str(tmp_path), "ha-agent")
    with pytest.raises(AnotherRunsError):
        OnlyOne(str(tmp_path), "ha-agent")
    first.release()


def test_a_lock_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_fd: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(WorldError, match=r"can't lock .*No locks available"):
        OnlyOne(str(tmp_path), "ha-agent")
