# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Is the shared storage there, large enough, open to sanlock, shared, and fast enough?"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Callable, Optional

from hosted_engine.cluster.storage_survey import AreaKind, Survey
from hosted_engine.deploy.findings import Finding, fail, ok, warn
from hosted_engine.deploy.medium import SHARED, local_text, memory_problem, missing
from hosted_engine.host.environment import Environment, FormatStore
from hosted_engine.host.volume_advice import enlarge_text, is_block_device
from metadata.layout import (
    METADATA_SIZE,
    SLOT_SIZE,
    required_sizes,
    sanlock_align,
    too_short_text,
    whole_mib,
)
from metadata.layout import storage_parts as usual_parts
from metadata.records import VolumeAddress
from metadata.settings.parse import StorageParts
from world.ports.errors import StorageError
from world.ports.storage import BlockStore
from world.service_user import STORAGE_GROUP, USER

# --- there, and large enough ----------------------------------------------------------------


def check_volumes(
    store: FormatStore,
    parts: StorageParts,
    file_system: Callable[[str], str],
    creates: bool = True,
) -> Finding:
    """Each volume exists, is no memory, is large enough and takes direct I/O.

    A cluster that was made before there was a lock of writers need not have room for it.
    `file_system` is that of `Probes`.
    """
    sizes = required_sizes(parts)
    for path, least in required_sizes(parts, config_lease=creates).items():
        trouble = _volume_trouble(store, _Room(path, least, sizes[path]), file_system(path))
        if trouble:
            return trouble
    path, needed = parts.lockspace.path, sizes[parts.lockspace.path]
    room_text = f"has the {whole_mib(needed)} MiB that are needed"
    if store.size(path) < needed:
        room_text = (
            f"has room for what lies on it ({whole_mib(needed)} MiB for a change of its settings)"
        )
    return ok(f"{path} takes direct I/O in sectors of {parts.sector_size} bytes and {room_text}")


@dataclass(frozen=True)
class _Room:
    """Bytes: without `least` the volume is refused, `needed` is what people are told."""

    path: str
    least: int
    needed: int


def _volume_trouble(store: FormatStore, room: _Room, file_system: str) -> Optional[Finding]:
    """A file in memory is not made larger either, so that is looked at before its size."""
    path, needed = room.path, room.needed
    is_device = is_block_device(path)
    try:
        found = store.size(path)
        in_memory = memory_problem(path, file_system, is_device)
        if in_memory:
            return in_memory
        if found < room.least:
            return fail(too_short_text(path, found, needed), enlarge_text(path, needed))
        store.probe_direct_io(path)
    except (FileNotFoundError, StorageError) as error:
        if isinstance(error, FileNotFoundError) or error.errno == errno.ENOENT:
            how = f"truncate -s {whole_mib(needed)}M {path} && {_give_to_sanlock(path)}"
            return missing(path, file_system, how)
        return memory_problem(path, file_system, is_device) or _unusable(path, error)
    return None


def _unusable(path: str, error: Exception) -> Finding:
    return fail(
        f"{path} can't be used: {getattr(error, 'why', error)}",
        "it must be a file or block device on storage that takes direct I/O (no tmpfs), readable "
        "and writable for root and sanlock",
    )


def _give_to_sanlock(path: str) -> str:
    return f"chown sanlock:sanlock {path} && chmod 660 {path}"


# --- whose it is ----------------------------------------------------------------------------


def check_access(world: Environment, parts: StorageParts) -> Finding:
    """sanlock and our daemons, which are not root, may write to it; and it can be shared."""
    for path in required_sizes(parts):
        why = world.probes.sanlock_can_not_open(path)
        if why:
            return fail(f"sanlock's user can't write to {path}: {why}", *_let_sanlock_in(path))
        why = world.probes.service_can_not_open(path)
        if why:
            whom = f"user {USER} of ha-broker and ha-agent, in group {STORAGE_GROUP},"
            return fail(f"{whom} can't write to {path}: {why}", *_let_sanlock_in(path))
        local = local_text(path, world.probes.file_system(path))
        if local:
            return warn(local, SHARED)
    return ok("sanlock's user and the daemons' may write to it")


def _let_sanlock_in(path: str) -> tuple[str, ...]:
    if path.startswith("/dev/"):
        link = path[len("/dev/") :]
        rule = f'SUBSYSTEM=="block", SYMLINK=="{link}", GROUP="sanlock", MODE="0660"'
        return (
            _give_to_sanlock(path),
            f"so that it lasts, a udev rule in /etc/udev/rules.d/90-sanlock.rules: {rule}",
        )
    return (
        f"{_give_to_sanlock(path)} (and each folder above it must let group {STORAGE_GROUP} pass: "
        "chmod o+x)",
        "EL, on NFS: setsebool -P sanlock_use_nfs on",
    )


# --- fast enough ----------------------------------------------------------------------------

LOOKS = 5
BUDGET_S = 3.0
_WARN_FRACTION = 0.1
"""sanlock gives up an I/O after io_timeout. What takes a tenth of that while nobody else works
takes it all when a path fails over, a disk is rebuilt or a backup runs."""


@dataclass(frozen=True)
class IoTimes:
    """The slowest read and write, in seconds; None: not tried."""

    read_s: float
    write_s: Optional[float]


def spare_block(parts: StorageParts) -> Optional[VolumeAddress]:
    """A block between the parts that nobody ever uses; None: no such in a layout of one's own."""
    if parts != usual_parts(parts.lockspace.path, parts.sector_size):
        return None
    end = parts.metadata.offset + METADATA_SIZE
    return VolumeAddress(parts.metadata.path, end) if end < parts.shared_config.offset else None


def measure(
    store: BlockStore,
    parts: StorageParts,
    spare: Optional[VolumeAddress],
    clock: Callable[[], float],
) -> IoTimes:
    """Read what sanlock reads for each renewal, and write zeros over zeros where nobody is.

    Nothing that is there is changed: a spare block that is not blank is left alone.
    """
    area = sanlock_align(parts.sector_size)
    read_s = _slowest(lambda: store.read(parts.lockspace, area), clock)
    if spare is None or any(store.read(spare, SLOT_SIZE)):
        return IoTimes(read_s, None)
    return IoTimes(read_s, _slowest(lambda: store.write(spare, bytes(SLOT_SIZE)), clock))


def _slowest(look: Callable[[], object], clock: Callable[[], float]) -> float:
    return max(_durations(look, clock))


def _durations(look: Callable[[], object], clock: Callable[[], float]) -> Iterator[float]:
    end_s = clock() + BUDGET_S
    for _ in range(LOOKS):
        began_s = clock()
        look()
        yield clock() - began_s
        if clock() > end_s:
            return


def check_speed(
    world: Environment, parts: StorageParts, found: Survey, io_timeout_s: int
) -> Finding:
    """How long reading and writing take, held against sanlock's io_timeout."""
    spare = None if found.kind is AreaKind.FOREIGN else spare_block(parts)
    store, clock = world.store, world.clock.monotonic_s
    times = world.in_new(partial(measure, store, parts, spare, clock))
    return judge(times, io_timeout_s)


def judge(times: IoTimes, io_timeout_s: int) -> Finding:
    """Is that fast enough for sanlock?"""
    slowest_s = max(times.read_s, times.write_s or 0.0)
    written = "not tried" if times.write_s is None else f"{times.write_s * 1000:.1f} ms"
    detail = (
        f"slowest of {LOOKS}: read {times.read_s * 1000:.1f} ms, write {written}, with sanlock's "
        f"io_timeout at {io_timeout_s} s"
    )
    if slowest_s >= io_timeout_s:
        mend = "make the storage faster, or create the cluster with a larger sanlock.io_timeout_s"
        return fail(f"too slow for sanlock to live on: {detail}", mend)
    if slowest_s > _WARN_FRACTION * io_timeout_s:
        mend = "look what else uses the storage; a larger sanlock.io_timeout_s bears more"
        return warn(f"slow, so that hosts may lose their leases under load: {detail}", mend)
    return ok(detail)
