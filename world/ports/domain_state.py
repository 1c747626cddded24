# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The state of the engine's domain; apart, for who only reads what others found out."""

from __future__ import annotations

from enum import Enum


class DomainState(str, Enum):
    """The engine's domain on this host."""

    RUNNING = "running"  # its qemu must hold the lease
    PAUSED = "paused"  # libvirt holds no lease for it, and takes it when it goes on
    ABSENT = "absent"  # no qemu of it here
    UNKNOWN = "unknown"  # libvirt does not answer: it may be anything
