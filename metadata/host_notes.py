# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a host tells the others of itself beside its record: lines of the text part. Pure.

``machine-id``, ``hardware-id`` and ``boot-id`` say which machine writes, so that a copy of a host
is told from the host itself; they are short digests. ``watchdog_fire_timeout`` is sanlock's
setting in seconds; it is written while the host is a member of the lockspace, so that two hosts
which have not joined never wait for each other.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Optional

from metadata.notes import Notes, number_in
from metadata.records import HostRecord
from metadata.sanlock_usual import USUAL_FIRE_TIMEOUT_S
from metadata.value_class import value_class

MACHINE, HARDWARE, BOOT = "machine-id", "hardware-id", "boot-id"
FIRE_TIMEOUT = "watchdog_fire_timeout"
_MOST_SECONDS = 9999
_DIGITS = 12

# What makers write where they have no number of their own; letters only, in lower case.
_NO_HARDWARE = re.compile(r"0*|f*|0*3000200040005000006000700080009|.*notset.*|.*default.*")


@value_class(frozen=True)
class MachineIdentity:
    """Which machine, which installation and which boot of it; empty: not known.

    machine   its installation (/etc/machine-id): a copy of its disk has the same
    hardware  its mainboard, as far as that has a number
    boot      this boot of its kernel
    """

    machine: str = ""
    hardware: str = ""
    boot: str = ""

    @property
    def known(self) -> bool:
        """Is there enough to tell one machine from another?"""
        return bool(self.machine and self.boot)

    def is_same_boot(self, other: MachineIdentity) -> bool:
        """Is `other` surely this very machine, and this very boot?"""
        return self.known and (self.machine, self.boot) == (other.machine, other.boot)

    def is_same_machine(self, other: MachineIdentity) -> bool:
        """Is `other` surely this very machine, in whatever boot?"""
        same = (self.machine, self.hardware) == (other.machine, other.hardware)
        return bool(self.machine and self.hardware) and same

    def is_another_machine(self, other: MachineIdentity) -> bool:
        """Is `other` surely not this very machine, or not this installation of it?"""
        pairs = ((self.machine, other.machine), (self.hardware, other.hardware))
        return any(ours and theirs and ours != theirs for ours, theirs in pairs)

    def text(self) -> str:
        """For people."""
        parts = (("machine", self.machine), ("hardware", self.hardware), ("boot", self.boot))
        told = ", ".join(f"{name} {value}" for name, value in parts if value)
        return told or "its machine is not known"


def machine_identity(machine_id: str, hardware_id: str, boot_id: str) -> MachineIdentity:
    """From the kernel's and the system's own words; each may be empty."""
    hardware = _plain(hardware_id)
    if _NO_HARDWARE.fullmatch(hardware):
        hardware = ""
    return MachineIdentity(_digest(_plain(machine_id)), _digest(hardware), _digest(_plain(boot_id)))


def _plain(text: str) -> str:
    return re.sub(r"[^0-9a-z]", "", text.lower())


def _digest(text: str) -> str:
    """machine-id(5) asks that the number itself is not published."""
    return _sha256(f"hosted-engine {text}".encode())[:_DIGITS] if text else ""


def _sha256(data: bytes) -> str:
    """By Python's own module where it has one, as the library's `random` does: `hashlib` sets
    OpenSSL up, which takes the broker two thirds of a megabyte for three digests."""
    for name in ("_sha2", "_sha256", "hashlib"):  # of Python 3.12, of those before, of any
        with suppress(ImportError):
            return str(importlib.import_module(name).sha256(data).hexdigest())
    raise AssertionError("hashlib is always there")


def identity_notes(identity: MachineIdentity) -> Notes:
    """The lines that say it."""
    parts = ((MACHINE, identity.machine), (HARDWARE, identity.hardware), (BOOT, identity.boot))
    return tuple((key, value) for key, value in parts if value)


def identity_in(record: HostRecord) -> MachineIdentity:
    """Who wrote it, as far as it says so."""
    notes = dict(record.notes)
    return MachineIdentity(notes.get(MACHINE, ""), notes.get(HARDWARE, ""), notes.get(BOOT, ""))


def fire_timeout_in(record: HostRecord) -> Optional[int]:
    """Its sanlock's watchdog_fire_timeout; None: it is no member, as far as it says.

    A program that says nothing of all this is an older one, which knew but the usual value.
    """
    notes = dict(record.notes)
    seconds = number_in(notes.get(FIRE_TIMEOUT, ""), _MOST_SECONDS)
    if seconds is not None:
        return seconds
    return None if MACHINE in notes or BOOT in notes else USUAL_FIRE_TIMEOUT_S


def longest_fire_timeout_s(records: Iterable[HostRecord], own_s: int) -> int:
    """The longest that this host or any of the writers has: what who waits for the end of all
    others goes by."""
    told = [fire_timeout_in(record) for record in records]
    return max([own_s, *[seconds for seconds in told if seconds is not None]])
