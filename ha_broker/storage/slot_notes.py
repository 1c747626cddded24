# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the broker adds to the text part of this host's record, and reads in the others'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from ha_broker.api.snapshot import HostView
from metadata.notes import CONFIG_VERSION, GLOBAL_MAINTENANCE, MOST_CONFIG_VERSION, Notes, number_in
from metadata.records import DecodedSlot, HostRecord

_SAID = {"True": True, "False": False}


def with_cluster_notes(
    notes: Notes,
    maintenance: Optional[bool],
    config_version: Optional[int],
    before: Optional[HostRecord],
) -> Notes:
    """`notes` with what this host knows of global maintenance, or last knew in its life `before`,
    and the version of the shared configuration that it goes by.

    The last to be dropped of the notes: they are what the others go by when slot 0 is garbage,
    or the shared configuration is.
    """
    known = maintenance if maintenance is not None else _said_before(before)
    ours = []
    if known is not None:
        ours.append((GLOBAL_MAINTENANCE, str(known)))
    if config_version is not None:
        ours.append((CONFIG_VERSION, str(config_version)))
    others = [note for note in notes if note[0] not in (GLOBAL_MAINTENANCE, CONFIG_VERSION)]
    return (*ours, *others)


def newer_config_elsewhere(views: Sequence[HostView], sequence: int) -> str:
    """Who goes, or may go, by a newer version of the shared configuration; empty: nobody.

    A host that lives and does not tell its version is one of an older program.
    """
    for view in views:
        record = view.record
        if record is None:
            continue
        version = number_in(dict(record.notes).get(CONFIG_VERSION, ""), MOST_CONFIG_VERSION)
        if version is not None and version > sequence:
            return f"{record.hostname} goes by version {version}"
        if version is None and view.fresh:
            return f"{record.hostname} does not tell which version it goes by"
    return ""


def global_maintenance_said(seen: DecodedSlot) -> Optional[bool]:
    """What the host of this slot last knew of global maintenance; None: it does not tell."""
    if not isinstance(seen, HostRecord):
        return None
    return _SAID.get(dict(seen.notes).get(GLOBAL_MAINTENANCE, ""))


def _said_before(record: Optional[HostRecord]) -> Optional[bool]:
    return None if record is None else global_maintenance_said(record)
