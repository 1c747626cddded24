# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the kernel tells of processes that come and go."""

from __future__ import annotations

from pathlib import Path


def is_running(pid: int) -> bool:
    """Is there such a process, of which more than its exit status is left?

    One that ends while its file is read is gone, too: the kernel answers ESRCH then, not ENOENT.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
