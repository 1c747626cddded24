# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Whose record stands in a host's own slot. Pure."""

from __future__ import annotations

from typing import Optional

from metadata.records import HostRecord


def rival(record: Optional[HostRecord], host_name: str, owns_id: bool) -> Optional[HostRecord]:
    """The record, where another host than `host_name` may use the id of its slot; else None.

    `owns_id`: this host's sanlock is in the lockspace with that id, which nobody else can be at the
    same time. A record that says "stopped" is then what this host left under its former name, or
    another host that has gone: nobody writes there but us. One that does not say so may be of an
    agent that writes on without sanlock, and is looked at for a while first.
    """
    if record is None or record.hostname == host_name:
        return None
    return None if owns_id and record.stopped else record
