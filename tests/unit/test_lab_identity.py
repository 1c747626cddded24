# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which processes and interfaces a lab takes for its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import cgroups, host, lan
from lab.errors import LabError
from lab.settings import BRIDGE, Places

ROOT = Path(__file__).resolve().parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone makes namespaces")


@contextmanager
def supervisor(places: Places, *launcher: str) -> Iterator[int]:
    """A process that looks like a host's systemd-nspawn; `launcher` may put it elsewhere."""
    words = ["systemd-nspawn", "--directory", f"{places.run}/hosts/h1/root"]
    script = "import sys; print('here', flush=True); sys.stdin.read()"
    command = [*launcher, sys.executable, "-c", script, *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"here\n"
        yield process.pid
        process.stdin.close()


def pids(places: Places) -> list[int]:
    return [found.pid for found in host.supervisors(places)]


def test_own_host_is_found_by_the_labs_folder(tmp_path: Path) -> None:
    places = Places(tmp_path / "mine")
    places.state.mkdir()
    with supervisor(places) as pid:
        assert pids(places) == [pid]
        assert pids(Places(tmp_path / "other")) == []


@needs_root
def test_folder_of_the_same_name_in_a_container_is_another_lab(tmp_path: Path) -> None:
    places = Places(tmp_path)
    inner = ("unshare", "--mount", "--propagation", "private", "sh", "-c",
             'mount -t tmpfs inner "$0" && exec "$@"', str(tmp_path))  # fmt: skip
    with supervisor(places, *inner):
        assert pids(places) == []


def test_labs_have_control_groups_of_their_own(tmp_path: Path) -> None:
    names = {cgroups.group(Places(tmp_path / name)) for name in ("one", "two")}
    assert len(names) == 2


@needs_root
def test_bridge_of_another_lab_is_refused_and_stays(tmp_path: Path) -> None:
    # In a network of its own, where no other lab is.
    script = f"from tests.unit.test_lab_identity import meet; meet({str(tmp_path)!r})"
    command = ["unshare", "--net", sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def meet(folder: str) -> None:
    """Two labs in one network."""
    mine, other = Places(Path(folder, "mine")), Places(Path(folder, "other"))
    lan.refuse_if_used()
    lan.create(other)
    with pytest.raises(LabError, match=f"{BRIDGE} exists already.*{folder}/other"):
        lan.refuse_if_used()
    lan.remove(mine)
    assert lan.exists()
    lan.remove(other)
    assert not lan.exists()
