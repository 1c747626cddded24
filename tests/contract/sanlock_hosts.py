# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Real sanlock daemons, each with a process of its own that talks to it.

The library reads SANLOCK_RUN_DIR once per process, so one process can't talk to two daemons.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from enum import Enum
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Optional

import pytest

from metadata.layout import LEASE_NAME, LOCKSPACE_NAME, sanlock_align
from metadata.records import VolumeAddress
from metadata.settings.parse import StorageParts
from tests.contract.places import TIME_FACTOR
from tests.contract.standing_clock import StandingClock
from world.ports import errors
from world.storage.direct_store import DirectStore
from world.storage.sanlock_lockspace import SanlockLockspace

_START_TIMEOUT_S = 10 * TIME_FACTOR
_GUARD = b"\xa5" * 4096


class Binding(Enum):
    """The module by which the processes of a host talk to its daemon."""

    PYTHON = "sanlock"
    LIBRARY = "world.storage.libsanlock"


_HOLDER = f"""
import importlib, sys
sanlock = importlib.import_module(sys.argv[3])
disks = [(sys.argv[1], int(sys.argv[2]))]
fd = sanlock.register()
try:
    sanlock.acquire({LOCKSPACE_NAME.encode()!r}, {LEASE_NAME.encode()!r}, disks, slkfd=fd)
except sanlock.SanlockException as error:
    print("failed", error.errno, flush=True)
    sys.exit(1)
print("held", flush=True)
sys.stdin.read()
"""


_ASKER = """
import errno, importlib, sys
sanlock = importlib.import_module(sys.argv[2])
refused = 0
print("ready", flush=True)
while True:
    try:
        sanlock.inquire(pid=int(sys.argv[1]))
    except sanlock.SanlockException as error:
        if error.errno != errno.EBUSY:
            raise
        refused += 1
        print("refused", flush=True)
"""


def need_sanlock(binding: Binding = Binding.PYTHON) -> None:
    """Skip, naming what is missing."""
    try:
        importlib.import_module(binding.value)
    except ImportError as error:
        pytest.skip(f"{error}: install python3-sanlock, or libsanlock1 for {Binding.LIBRARY.value}")
    if shutil.which("sanlock") is None:
        pytest.skip("no command sanlock: install the package sanlock")
    if os.geteuid() != 0:
        pytest.skip("sanlock's daemon is run as root here")


class GuardedVolume:
    """A volume with guard bytes before, between and behind the sanlock areas."""

    def __init__(self, path: Path, sector_size: int = 512) -> None:
        self.area = sanlock_align(sector_size)
        self.path = path
        self.parts = StorageParts(
            lockspace=VolumeAddress(str(path), self.area),
            lease=VolumeAddress(str(path), 3 * self.area),
            metadata=VolumeAddress(str(path), 0),
            shared_config=VolumeAddress(str(path), 0),
            sector_size=sector_size,
            config_lease=VolumeAddress(str(path), 5 * self.area),
        )
        with path.open("wb") as file:
            for area in range(7):
                filler = _GUARD if area % 2 == 0 else bytes(4096)
                file.write(filler * (self.area // 4096))

    def read(self, place: VolumeAddress, size: int) -> bytes:
        """As it stands on the storage: past the cache, as the daemon writes."""
        store = DirectStore(read_only=True)
        try:
            return store.read(place, -(-size // 4096) * 4096)[:size]
        finally:
            store.close()

    def check_guards(self) -> None:
        """Nothing outside sanlock's areas was written."""
        with self.path.open("rb") as file:
            for area in (0, 2, 4, 6):
                file.seek(area * self.area)
                assert file.read(self.area) == _GUARD * (self.area // 4096), f"guard {area}"
            assert file.read() == b""


class Talker:
    """A process of its own with a SanlockLockspace that talks to one daemon."""

    def __init__(
        self, run_directory: Path, parts: StorageParts, binding: Binding = Binding.PYTHON
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_talk, args=(theirs, str(run_directory), parts, binding)
        )
        self._process.start()
        theirs.close()

    def call(self, method: str, *arguments: object) -> Any:
        """Call that method there; raises what it raises."""
        self._pipe.send((method, arguments))
        result, error = self._pipe.recv()
        if error is not None:
            kind, *fields = error
            raise getattr(errors, kind)(*fields)
        return result

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def close(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join()


class SanlockHost:
    """One host: its daemon, a process that talks to it, and processes that hold the lease.

    With a `clock` of its own it can sleep.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        parts: StorageParts,
        clock: Optional[StandingClock] = None,
        binding: Binding = Binding.PYTHON,
    ) -> None:
        self.name = name
        self.binding = binding
        self._clock = clock
        self._asleep_since_s: Optional[float] = None
        self._directory = directory
        self._parts = parts
        self._daemon: Optional[subprocess.Popen[bytes]] = None
        self._holders: dict[int, subprocess.Popen[str]] = {}
        directory.mkdir()
        self.start_daemon()
        self._talker = self.new_talker()

    def new_talker(self) -> Talker:
        """One more process that talks to this host's daemon."""
        return Talker(self._directory, self._parts, self.binding)

    def call(self, method: str, *arguments: object) -> Any:
        """Call the host's SanlockLockspace; raises what it raises."""
        return self._talker.call(method, *arguments)

    def end_callers(self) -> None:
        """SIGKILL to the process that `call` uses; the next one is another."""
        self._talker.close()
        self._talker = self.new_talker()

    def start_daemon(self) -> None:
        """Start it under this host's name."""
        (self._directory / "sanlock.sock").unlink(missing_ok=True)
        command = ["sanlock", "daemon", "-D", "-w", "0", "-h", "0", "-l", "0"]
        command += ["-U", "root", "-G", "root", "-e", self.name]
        with (self._directory / "log").open("ab") as log:
            self._daemon = subprocess.Popen(command, env=self._env(), stdout=log, stderr=log)
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while not (self._directory / "sanlock.sock").exists():
            assert time.monotonic() < deadline_s, (self._directory / "log").read_text()
            time.sleep(0.02)

    def kill_daemon(self) -> None:
        """SIGKILL; its helper process ends by itself."""
        assert self._daemon is not None
        self._daemon.kill()
        self._daemon.wait()

    def acquire(self) -> int:
        """Start a process that takes the lease; returns its pid, raises what sanlock said."""
        command = [sys.executable, "-c", _HOLDER, self._parts.lease.path]
        holder = subprocess.Popen(
            [*command, str(self._parts.lease.offset), self.binding.value],
            env=self._env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._holders[holder.pid] = holder
        assert holder.stdout is not None
        said = holder.stdout.readline().split()
        if said != ["held"]:
            self.release(holder.pid)
            raise errors.LockspaceError("acquire", " ".join(said), int(said[1]))
        return holder.pid

    def ask_side_by_side(self, pid: int, questions: int) -> tuple[set[bool], bool]:
        """Ask whether `pid` holds the lease while another process asks sanlock without a pause.

        Returns all the answers, and whether that other process was refused meanwhile.
        """
        asker = subprocess.Popen(
            [sys.executable, "-c", _ASKER, str(pid), self.binding.value],
            env=self._env(), stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert asker.stdout is not None
            assert asker.stdout.readline() == "ready\n"
            told = {self.call("process_holds_lease", pid) for _ in range(questions)}
        finally:
            asker.kill()
            said, _ = asker.communicate()
        return told, "refused" in said

    def release(self, pid: int) -> None:
        """End the process `pid`; sanlock lets its lease go."""
        holder = self._holders.pop(pid)
        holder.kill()
        holder.communicate()

    def is_killed(self, pid: int) -> bool:
        """Has sanlock ended the holder `pid`?"""
        return self._holders[pid].poll() is not None

    def fall_asleep(self) -> None:
        """SIGSTOP to all that runs here."""
        assert self._clock is not None
        self._asleep_since_s = time.monotonic()
        self._signal_all(signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT to all that runs here, with its clock set back by the time that it slept."""
        assert self._clock is not None and self._asleep_since_s is not None
        self._clock.stood_still(time.monotonic() - self._asleep_since_s)
        self._asleep_since_s = None
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._daemon is not None
        daemon = self._daemon.pid
        children = Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split()
        for pid in (daemon, *map(int, children), self._talker.pid, *self._holders):
            os.kill(pid, number)

    def close(self) -> None:
        if self._asleep_since_s is not None:
            self.wake()  # sanlock's helper ends by itself only while it runs
        for pid in list(self._holders):
            self.release(pid)
        self.kill_daemon()
        self._talker.close()

    def _env(self) -> dict[str, str]:
        return {
            **os.environ,
            "SANLOCK_RUN_DIR": str(self._directory),
            "SANLOCK_PRIVILEGED": "0",
            **(self._clock.environment if self._clock else {}),
        }


def _talk(pipe: Connection, run_directory: str, parts: StorageParts, binding: Binding) -> None:
    """In a process of its own: do what is asked until the pipe is closed."""
    os.environ["SANLOCK_RUN_DIR"] = run_directory
    if binding is Binding.LIBRARY:
        sys.modules["sanlock"] = None  # type: ignore[assignment]  # as if it were not there
    lockspace = SanlockLockspace(parts)
    while True:
        try:
            method, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((getattr(lockspace, method)(*arguments), None))
        except errors.WorldError as error:
            pipe.send((None, (type(error).__name__, error.what, error.why, error.errno)))
