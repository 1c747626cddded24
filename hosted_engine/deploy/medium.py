# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a volume lies on, as far as this host's kernel can tell: may other hosts see it? Pure.

sanlock and direct I/O work on a file in memory or on a local disk as on shared storage (tmpfs takes
direct I/O in newer kernels). Each host would then make a cluster of its own, with its own engine.
So a volume is told by what it lies on, and is never advised to be made where a device belongs.
"""

from __future__ import annotations

import os
from typing import Optional

from hosted_engine.deploy.findings import Finding, fail
from hosted_engine.host.probes import RAM_DISK

_IN_MEMORY = ("devtmpfs", "hugetlbfs", "ramfs", RAM_DISK, "tmpfs")
_CONTAINERS_OWN = ("aufs", "fuse.fuse-overlayfs", "overlay", "unionfs")
_ON_OWN_DISK = (
    *("bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "ntfs3"),
    *("reiserfs", "vfat", "xfs", "zfs"),
)
SHARED = "for more than one host use NFS, GlusterFS, a cluster file system or a block device"
_CONNECT = (
    "connect or rescan the storage: iscsiadm -m node --login (once logged in: iscsiadm -m session "
    "--rescan); Fibre Channel: rescan-scsi-bus.sh; then multipath -r, and vgchange -ay for LVM",
    "where the answers have storage.connection, --deploy connects it by itself",
)


def is_device_path(path: str) -> bool:
    """Does a device belong there? Also by a link that leads there."""
    return any(_below_dev(one) for one in (os.path.normpath(path), os.path.realpath(path)))


def _below_dev(path: str) -> bool:
    return path.startswith("/dev/") and not path.startswith("/dev/shm/")


def memory_problem(path: str, file_system: str, is_device: bool) -> Optional[Finding]:
    """Storage in memory is none."""
    if file_system not in _IN_MEMORY:
        return None
    why = (
        f"{path} lies in this host's memory ({file_system}): no other host can see it, and the "
        "next start of this host ends it"
    )
    if is_device_path(path) and not is_device:
        return fail(why, f"it is a file where a device belongs: rm {path}", *_CONNECT)
    return fail(why, SHARED)


def local_text(path: str, file_system: str) -> str:
    """Why no other host can see what lies on `file_system`; empty: that can't be told."""
    if file_system in _CONTAINERS_OWN:
        return f"{path} lies on {file_system}, a container's own layer, which no other host can see"
    if file_system in _ON_OWN_DISK:
        return f"{path} lies on {file_system}, a disk of this host, which no other host can see"
    return ""


def missing(path: str, file_system: str, making: str) -> Finding:
    """`path` does not exist; `file_system` is that of the folder where it would be, and `making`
    how it is made where it can be."""
    if is_device_path(path):
        return fail(f"{path} does not exist: this host has no such device", *_CONNECT)
    if file_system in _IN_MEMORY:
        return fail(
            f"{path} does not exist, and would lie in this host's memory ({file_system})",
            f"mount the shared storage there; {SHARED}",
        )
    local = local_text("its folder", file_system)
    if local:
        return fail(
            f"{path} does not exist, and {local}",
            "mount the shared storage there first, where it is not mounted yet",
            f"then make it: {making}",
        )
    return fail(f"{path} does not exist", f"make it, on the storage that all hosts share: {making}")
