# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which program this is. Pure.

A constant, and not what the installed package says of itself: reading that takes as long as all the
rest of a short command, and keeps megabytes of the standard library in a daemon's memory.
"""

from __future__ import annotations

VERSION = "0.1.0"
"""The same as in pyproject.toml, which a test compares."""
