# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the kernel tells of processes that come and go."""

from __future__ import annotations

from lab.processes import process


def is_running(pid: int) -> bool:
    """Is there such a process, of which more than its exit status is left?"""
    return process(pid) is not None
