# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The records that hosts exchange through the shared storage, as frozen values.

`metadata.wire` turns them into bytes and back. A slot that can't be read is a value
too (`SlotError`), so one host's garbage never hides another host.
"""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from typing import Any, Union

from metadata.plain_text import SEVERAL_LINES
from metadata.states import State
from metadata.value_class import value_class


class EngineVm(str, Enum):
    """The vocabulary of ``vm`` in a host's engine status."""

    UP = "up"  # running or paused here
    DOWN = "down"  # not here, and nothing unexpected
    DOWN_UNEXPECTED = "down_unexpected"  # it crashed, or the agent is in EngineUnexpectedlyDown
    DOWN_MISSING = "down_missing"  # it is gone, and libvirt did not say why
    UNKNOWN = "unknown"  # libvirt does not answer


class Health(str, Enum):
    """What the engine's health page says, asked each tick by the host that it runs on."""

    GOOD = "good"  # from one good answer on
    BAD = "bad"  # after two looks in a row that failed, or (in records) where no VM runs
    UNKNOWN = "unknown"  # not looked yet, or two looks in a row not made; never counts as bad


POWERING_DOWN = "Powering down"  # the `detail` of an engine that is being stopped
PAUSED = "Paused"  # ... and of one whose VM is paused
# Part of the reason of one that nobody can let go on.
STRANDED = "libvirt can't let it go on, for its process still holds the engine's lease"


@value_class(frozen=True)
class EngineStatus:
    """One host's view of the engine; `reason` is written only when health is not good."""

    vm: EngineVm = EngineVm.UNKNOWN
    health: Health = Health.UNKNOWN
    detail: str = "Unknown"
    reason: str = ""

    @property
    def is_up(self) -> bool:
        """Does the VM run there (or is it paused there), healthy or not?"""
        return self.vm is EngineVm.UP

    @property
    def is_healthy(self) -> bool:
        """Does the VM run there with a healthy engine?"""
        return self.is_up and self.health is Health.GOOD


@value_class(frozen=True)
class HostRecord:
    """What a host says of itself in its metadata slot.

    `timestamp_s` and `vm_conf_refresh_s` are seconds of the writer's own monotonic clock and
    say nothing to another host but "changed" or "unchanged". `wall_time` is the writer's
    ``ctime`` text, for people. `notes` are further lines of the text part (why, penalties);
    `trailing_fields` are record fields newer than this program, kept when rewriting.
    """

    host_id: int
    timestamp_s: int
    score: int
    engine_status: EngineStatus
    hostname: str
    maintenance: bool = False
    stopped: bool = False
    conf_on_shared_storage: bool = True
    vm_conf_refresh_s: int = 0
    state: str = State.START_STATE.value
    timeout_wall_time: str = ""
    wall_time: str = ""
    vm_conf_refresh_wall_time: str = ""
    notes: tuple[tuple[str, str], ...] = ()
    trailing_fields: tuple[str, ...] = ()
    feature_version: int = 1
    crc32: str = ""
    text: str = field(default="", compare=False, metadata=SEVERAL_LINES)


def made_record(values: dict[str, Any]) -> HostRecord:
    """A `HostRecord` of all its fields, as its class makes it, at a sixth of the cost; `values` is
    its own from now on.

    A frozen dataclass sets each field by a call; a cluster may have 2000 records in each tick.
    """
    record = object.__new__(HostRecord)
    object.__setattr__(record, "__dict__", values)
    return record


def rewritten_record(
    record: HostRecord, *, timestamp_s: int, wall_time: str, crc32: str, text: str
) -> HostRecord:
    """`record` written again at another time; all its other values are the same objects."""
    again = object.__new__(HostRecord)
    values = again.__dict__
    values.update(record.__dict__)
    values["timestamp_s"], values["wall_time"] = timestamp_s, wall_time
    values["crc32"], values["text"] = crc32, text
    return again


@value_class(frozen=True)
class SlotAbsent:
    """The slot was never written (its first byte is NUL)."""

    host_id: int


@value_class(frozen=True)
class SlotDamaged:
    """The slot holds something that is no record; `reason` names the field and its value."""

    host_id: int
    reason: str


@value_class(frozen=True)
class SlotTooNew:
    """The slot was written by a newer program; it is named and ignored."""

    host_id: int
    parse_version: int


SlotError = Union[SlotDamaged, SlotTooNew]
DecodedSlot = Union[HostRecord, SlotAbsent, SlotDamaged, SlotTooNew]


@value_class(frozen=True)
class GlobalRecord:
    """Slot 0: what holds for all hosts."""

    maintenance: bool = False


DecodedGlobal = Union[GlobalRecord, SlotDamaged]


@value_class(frozen=True)
class VolumeAddress:
    """A byte offset on a file or block device."""

    path: str
    offset: int = 0


def describe_slot_error(error: SlotError) -> str:
    """One sentence for people about a slot that can't be used."""
    if isinstance(error, SlotTooNew):
        return (
            f"slot {error.host_id}: written by a newer version "
            f"(parse version {error.parse_version}); update this host"
        )
    return f"slot {error.host_id}: {error.reason}"


__all__ = [
    "PAUSED",
    "POWERING_DOWN",
    "DecodedGlobal",
    "DecodedSlot",
    "EngineStatus",
    "EngineVm",
    "GlobalRecord",
    "Health",
    "HostRecord",
    "SlotAbsent",
    "SlotDamaged",
    "SlotError",
    "SlotTooNew",
    "VolumeAddress",
    "describe_slot_error",
    "made_record",
    "rewritten_record",
]
