# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""sanlock's word on a host, as all who speak of hosts use it."""

from __future__ import annotations

from enum import Enum


class Liveness(str, Enum):
    """sanlock's word on a host of the lockspace: when did the daemon here last see it renewed?

    io: the lockspace's io_timeout; fire: the watchdog_fire_timeout of the daemon here (seconds). A
    living host renews its place every 2 x io. The daemon looks at the others when it renews its
    own, so each word may come up to 2 x io late. The formulas: `metadata.settings.timing`.
    """

    # Just after this host joined, until a renewal is seen: it may live or be long gone.
    UNKNOWN = "unknown"
    # Its place was given back in order, and leaving kills who holds leases there.
    FREE = "free"
    # A renewal was seen in the last 8 x io seconds.
    LIVE = "live"
    # None for more than 8 x io: its own daemon kills its lease holders, which may run still.
    FAIL = "fail"
    # None for more than 8 x io + fire: its watchdog must have reset it; its leases can be taken.
    DEAD = "dead"
