# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""This host's membership in the lockspace; apart, for who only reads what others found out."""

from __future__ import annotations

from enum import Enum


class Membership(str, Enum):
    """This host's place in the lockspace."""

    JOINED = "joined"
    JOINING = "joining"  # takes 2.5 x io_timeout where the host id is free
    OUT = "out"  # by the daemon's own word; one that does not answer says nothing
