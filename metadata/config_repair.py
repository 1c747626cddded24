# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""May a known-good version of the shared configuration be written back? Pure.

Both copies can be lost at once (a storage that wrote elsewhere, a volume that was cut and grown
again) while every host still goes by what it read. Writing that back must never bring an older
version back over a newer one.
"""

from __future__ import annotations

from typing import Optional

from metadata.shared_config import (
    COPY_SIZE,
    ConfigTooNew,
    StoredConfig,
    copy_offset,
    decode_stored,
    header_sequence,
)

CopyHeads = tuple[Optional[int], Optional[int]]


def is_whole(area: bytes, sequence: int) -> bool:
    """Does version `sequence`, or a newer one, stand there whole?"""
    found = decode_stored(area)
    return isinstance(found, StoredConfig) and found.config.sequence >= sequence


def newest_begun(area: bytes) -> int:
    """The highest number that a copy's head shows, whole or not; 0: none."""
    heads = (header_sequence(area[:COPY_SIZE]), header_sequence(area[COPY_SIZE:]))
    return max((head for head in heads if head is not None), default=0)


def refusal(area: bytes, sequence: int) -> str:
    """Why version `sequence` may not be written back over this area; empty: it may.

    Only over what is no configuration at all, or over the damaged newest copy beside the
    version just before it: any other whole copy is somebody's decision.
    """
    found = decode_stored(area)
    if isinstance(found, ConfigTooNew):
        return f"a newer program wrote version {found.sequence}"
    begun = newest_begun(area)
    if begun > sequence:
        return f"version {begun} was begun there, newer than version {sequence}"
    if isinstance(found, StoredConfig):
        before = found.config.sequence
        place = area[copy_offset(sequence) : copy_offset(sequence) + COPY_SIZE]
        if before != sequence - 1 or not any(place):
            return f"version {before} stands there, whole"
    return ""
