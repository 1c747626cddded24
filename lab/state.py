# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the lab remembers of itself: its settings, its event log, and who is changing it now."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.processes import machine_clock_s
from lab.settings import USUAL_FIRE_TIMEOUT_S, USUAL_MEMORY_MIB, Places


@dataclass(frozen=True)
class Lab:
    """One lab that is up.

    `io_timeout_s` and `fire_timeout_s` are sanlock's I/O time-out and watchdog_fire_timeout;
    `memory_mib` is the memory of the engine's guest; `releases` are those of the hosts, in turn:
    none means that they are overlays of this machine.
    """

    hosts: tuple[str, ...]
    io_timeout_s: int
    accelerator: str
    fire_timeout_s: int = USUAL_FIRE_TIMEOUT_S
    memory_mib: int = USUAL_MEMORY_MIB
    releases: tuple[str, ...] = ()

    def release_of(self, host: str) -> str | None:
        """The Debian release of a host's own root; None when it is this machine's."""
        if not self.releases:
            return None
        return self.releases[self.hosts.index(host) % len(self.releases)]

    @property
    def lease_floor_s(self) -> float:
        """No correct program takes a dead host's lease sooner after its last sign of life."""
        return 8.0 * self.io_timeout_s + self.fire_timeout_s


def save(places: Places, lab: Lab) -> None:
    """Write down what the lab is made of."""
    _file(places).write_text(json.dumps(asdict(lab)), encoding="utf-8")


def load(places: Places) -> Lab:
    """The lab that is up; an error when none is."""
    try:
        fields: dict[str, Any] = json.loads(_file(places).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LabError("the lab is not up: `lab up` builds it") from error
    return Lab(
        tuple(fields["hosts"]),
        int(fields["io_timeout_s"]),
        str(fields["accelerator"]),
        int(fields["fire_timeout_s"]),
        int(fields["memory_mib"]),
        tuple(fields["releases"]),
    )


def is_up(places: Places) -> bool:
    """Whether a lab was built and not removed."""
    return _file(places).exists()


def check_host(lab: Lab, name: str) -> None:
    """Refuse a host that the lab does not have."""
    if name not in lab.hosts:
        raise LabError(f"no host {name}: the lab has {', '.join(lab.hosts)}")


def log_event(places: Places, verb: str, arguments: Sequence[str] = (), note: str = "") -> float:
    """Add a line to the lab's event log; returns the machine's clock of that line."""
    at_s = machine_clock_s()
    wall = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    line = {"at_s": at_s, "wall": wall, "verb": verb, "arguments": list(arguments), "note": note}
    with contextlib.suppress(FileNotFoundError), _events(places).open("a") as log:
        log.write(json.dumps(line) + "\n")
    return at_s


def events(places: Places) -> list[dict[str, Any]]:
    """The event log from its beginning."""
    try:
        lines = _events(places).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


def note_value(places: Places, name: str, value: float) -> None:
    """Keep a measured figure of this lab."""
    (places.run / f"{name}.figure").write_text(repr(value), encoding="ascii")


def noted_value(places: Places, name: str) -> float | None:
    """A figure kept earlier."""
    try:
        return float((places.run / f"{name}.figure").read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None


@contextlib.contextmanager
def changing(places: Places) -> Iterator[None]:
    """Hold the lab's lock: only one command at a time builds or removes it."""
    places.state.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(places.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(descriptor, 32, 0).decode().strip()
            raise LabError(f"another lab command is at work (process {owner})") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _file(places: Places) -> Path:
    return places.run / "lab.json"


def _events(places: Places) -> Path:
    return places.run / "events.jsonl"
