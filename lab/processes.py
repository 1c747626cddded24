# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Running programs, and finding and ending the processes of this machine."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.settings import scaled

CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """One process as /proc shows it."""

    pid: int
    parent: int
    state: str
    started_s: float
    command: tuple[str, ...]

    @property
    def program(self) -> str:
        """The base name of what it runs."""
        return Path(self.command[0]).name if self.command else ""

    @property
    def stopped(self) -> bool:
        """Whether a SIGSTOP holds it."""
        return self.state == "T"


def machine_clock_s() -> float:
    """The machine's own monotonic clock: seconds since boot, the clock of every lab record."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def run(command: Sequence[str], timeout_s: float = 60, text_in: str | None = None) -> str:
    """Run a program to its end and return its output; its failure is a LabError."""
    try:
        done = subprocess.run(
            command,
            input=text_in,
            stdin=subprocess.DEVNULL if text_in is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=scaled(timeout_s),
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{command[0]}: not installed") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{_short(command)}: no end within {scaled(timeout_s):g} s") from error
    if done.returncode:
        raise LabError(f"{_short(command)}: {_last_line(done.stderr or done.stdout)}")
    return done.stdout


def run_to_the_end(command: Sequence[str], env: dict[str, str], log: Path) -> None:
    """Run a program that must not be broken off half-way, such as a package installation.

    Ctrl-C is honoured after its end: an interrupted dpkg would leave the machine broken.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        interrupt: BaseException | None = None
        while True:
            try:
                child.wait()
                break
            except (KeyboardInterrupt, SystemExit) as caught:
                interrupt = caught
                print(f"waiting for the end of {command[0]}", file=sys.stderr, flush=True)
    if interrupt is not None:
        raise interrupt
    if child.returncode:
        raise LabError(
            f"{_short(command)}: {_last_line(log.read_text(errors='replace'))} (all of it: {log})"
        )


def wait_until(
    what: str, condition: Callable[[], bool], timeout_s: float, interval_s: float = 0.1
) -> None:
    """Wait for something that no event announces; ``timeout_s`` is stretched by the factor."""
    deadline_s = time.monotonic() + scaled(timeout_s)
    while not condition():
        if time.monotonic() > deadline_s:
            raise LabError(f"{what}: not within {scaled(timeout_s):g} s")
        time.sleep(interval_s)


def processes() -> Iterator[Process]:
    """All processes of this machine that are alive."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            found = process(int(entry.name))
            if found is not None:
                yield found


def process(pid: int) -> Process | None:
    """One process, or None when it is gone or only its exit status is left.

    One that ends while its file is read is gone, too: the kernel answers ESRCH then, not ENOENT.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    return Process(
        pid=pid,
        parent=int(fields[1]),
        state=fields[0],
        started_s=int(fields[19]) / CLOCK_TICKS_PER_S,
        command=tuple(part.decode(errors="replace") for part in command.split(b"\0")[:-1]),
    )


def namespace(pid: int, kind: str) -> str:
    """A process's namespace, as a name that can be compared; empty when it is gone."""
    try:
        return str(Path(f"/proc/{pid}/ns/{kind}").readlink())
    except OSError:
        return ""


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process already gone is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_gone(pid: int, timeout_s: float) -> bool:
    """Wait until a process has ended; False when it has not in time."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(scaled(timeout_s) * 1000))
    finally:
        os.close(handle)


def end(pids: Sequence[int], patience_s: float = 2) -> None:
    """Ask processes to end and to clean up, stopped ones too; SIGKILL those that do not."""
    for pid in pids:
        send(pid, signal.SIGTERM)
        send(pid, signal.SIGCONT)
    kill([pid for pid in pids if not wait_gone(pid, patience_s)])


def kill(pids: Sequence[int], timeout_s: float = 10) -> None:
    """SIGKILL processes and wait until they are gone."""
    for pid in pids:
        send(pid, signal.SIGKILL)
    for pid in pids:
        if not wait_gone(pid, timeout_s):
            raise LabError(f"process {pid} still there {scaled(timeout_s):g} s after SIGKILL")


def _short(command: Sequence[str]) -> str:
    return " ".join(command[:4]) + (" ..." if len(command) > 4 else "")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "failed without a word"
