# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a test run judges as left behind: all that it began itself, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import is_running

ROOT = Path(__file__).resolve().parents[2]
WATCHED = (sys.executable, "-m", "tests.leftovers")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone mounts anything")


def watched(script: str) -> subprocess.CompletedProcess[str]:
    command = [*WATCHED, "sh", "-c", script]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    yield path


def test_exit_code_and_output_are_the_commands() -> None:
    done = watched("echo said; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "said\n", "")


def test_end_by_a_signal_is_a_failure() -> None:
    assert watched("kill -KILL $$").returncode == 128 + signal.SIGKILL


def test_orphan_without_environment_or_session_is_named_and_ended(tmp_path: Path) -> None:
    # As a daemon goes: the second fork's parent has ended, the session and the environment are new.
    script = f"env -i setsid sh -c 'sleep 987 & echo $! > {tmp_path}/pid'"
    done = watched(script)
    pid = int((tmp_path / "pid").read_text())
    assert done.returncode == 1
    assert f"process {pid} (sleep 987" in done.stderr
    assert not is_running(pid)


def test_what_ends_by_itself_in_a_moment_is_waited_for() -> None:
    assert watched("sleep 0.3 &").returncode == 0


def test_failure_stays_a_failure_beside_what_is_left() -> None:
    assert watched("sleep 0.3 & exit 7").returncode == 7


def test_daemon_of_others_is_not_judged(tmp_path: Path, pipe: Path) -> None:
    with subprocess.Popen([*WATCHED, "cat", str(pipe)], cwd=ROOT, stderr=subprocess.PIPE) as run:
        command = ["bash", "-c", "exec -a sanlock sleep 60"]
        with subprocess.Popen(command) as foreign:
            pipe.write_text("go on")
            assert run.communicate()[1] == b""
            assert run.returncode == 0
            assert foreign.poll() is None
            foreign.kill()


def test_interrupt_waits_for_the_commands_own_cleaning_up(pipe: Path) -> None:
    script = f"trap 'sleep 0.3; echo cleaned; exit 3' INT; echo go > {pipe}; while :; do :; done"
    command = [*WATCHED, "sh", "-c", script]
    run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True)
    pipe.read_text()
    os.killpg(run.pid, signal.SIGINT)  # as a terminal sends it
    assert run.communicate()[0] == b"cleaned\n"
    assert run.returncode == 3


@needs_root
def test_own_mounts_and_interfaces_are_named_and_go(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "bound").mkdir()
    done = watched(
        f"mount -t tmpfs left {tmp_path}/made && mount --bind /etc {tmp_path}/bound"
        " && ip link add left0 type bridge"
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[1:] == [
        f"  mount {tmp_path}/bound",
        f"  mount {tmp_path}/made",
        "  interface left0",
    ]
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


@needs_root
def test_mount_of_others_is_seen_and_not_judged(tmp_path: Path) -> None:
    # In a world whose mounts are handed on to the namespaces made of it, as systemd sets it up.
    (tmp_path / "foreign").mkdir()
    for name in ("begun", "go"):
        os.mkfifo(tmp_path / name)
    inside = f"echo > {tmp_path}/begun; cat {tmp_path}/go; findmnt {tmp_path}/foreign"
    world = f"""
        {" ".join(WATCHED)} sh -c '{inside}' &
        cat {tmp_path}/begun
        mount -t tmpfs foreign {tmp_path}/foreign
        echo > {tmp_path}/go
        wait $!
    """
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "shared", "sh", "-ec", world],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert f"{tmp_path}/foreign" in done.stdout, done.stderr
    assert (done.returncode, done.stderr) == (0, "")


@needs_root
def test_control_groups_are_there_beside_the_own_network() -> None:
    done = watched("ls /sys/class/net; stat -c %d /sys/fs/cgroup")
    assert done.stdout.split() == ["lo", str(Path("/sys/fs/cgroup").stat().st_dev)]
