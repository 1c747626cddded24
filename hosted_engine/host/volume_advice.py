# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""How a volume is made larger: the same words wherever one is too small."""

from __future__ import annotations

import stat
from pathlib import Path

from metadata.layout import whole_mib


def is_block_device(path: str) -> bool:
    """Is it one? False where it can't be told."""
    try:
        return stat.S_ISBLK(Path(path).stat().st_mode)
    except OSError:
        return False


def enlarge_text(path: str, needed: int) -> str:
    """How `path` gets `needed` bytes; a device is not made longer by writing to its end."""
    if is_block_device(path):
        return f"give the device {whole_mib(needed)} MiB where it comes from, then rescan it"
    return f"enlarge it: truncate -s {whole_mib(needed)}M {path}"
