# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which hosts say something new: what an agent may take from them, and when it changed last.

Most records that come in are new only in their time. All but that counts here: whatever else
differs in a view or in its record makes its host a changed one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, fields
from operator import attrgetter
from typing import Optional

from ha_broker.api.snapshot import HostView
from metadata import moving_note
from metadata.records import HostRecord
from metadata.value_class import value_class

# When it was written, what follows from that, and the text that all of it was read from.
_OF_THE_TIME = frozenset({"timestamp_s", "wall_time", "crc32", "text"})
_lasting = attrgetter(*(one.name for one in fields(HostRecord) if one.name not in _OF_THE_TIME))
_word = attrgetter(
    *(one.name for one in fields(HostView) if one.name not in ("record", "changed_at_s"))
)


@value_class(frozen=True)
class HostVersions:
    """When each host last said something new; hosts that are gone are kept, with their end.

    `latest` rises with each snapshot that has changed hosts; `by_id` has at most the ids that there
    can be, and is replaced, never changed.
    """

    latest: int = 0
    by_id: Mapping[int, int] = field(default_factory=dict)

    def since(self, version: int) -> set[int]:
        """The hosts that have changed, come or gone after `version`."""
        if version == self.latest:
            return set()
        return {host_id for host_id, at in self.by_id.items() if at > version}


class HostChanges:
    """Told of the hosts of each snapshot, one after the other.

    `_shown` are the views of the snapshot before: what changed is found by comparing with them.
    """

    def __init__(self) -> None:
        self.versions = HostVersions()
        self._shown: tuple[HostView, ...] = ()

    def note(self, shown: tuple[HostView, ...]) -> frozenset[int]:
        """The ids of the hosts that differ from those noted before, come and gone ones too."""
        if shown is self._shown:
            return frozenset()
        before, self._shown = self._shown, shown
        changed = _changed(before, shown)
        if changed:
            self._note_changed(changed)
        return frozenset(changed)

    def differ(self, views: tuple[HostView, ...]) -> bool:
        """Would `note` find a changed one?"""
        return views is not self._shown and bool(_changed(self._shown, views))

    def _note_changed(self, ids: Iterable[int]) -> None:
        latest = self.versions.latest + 1
        by_id = {**self.versions.by_id, **dict.fromkeys(ids, latest)}
        self.versions = HostVersions(latest, by_id)


def _changed(before: tuple[HostView, ...], shown: tuple[HostView, ...]) -> set[int]:
    """The hosts that say something new, have come or have gone."""
    if len(before) == len(shown):
        others = [(was, view) for was, view in zip(before, shown) if was is not view]
        if all(was.host_id == view.host_id for was, view in others):
            return {view.host_id for was, view in others if not says_the_same(was, view)}
    known = {view.host_id: view for view in before}
    changed = {one.host_id for one in shown if not says_the_same(known.get(one.host_id), one)}
    return changed | (known.keys() - {view.host_id for view in shown})


def says_the_same(before: Optional[HostView], view: HostView) -> bool:
    """Is nothing new in `view` but that its record was written again?"""
    if before is view:
        return True
    if before is None or _word(before) != _word(view):
        return False
    record = view.record
    if before.record is None or record is None:
        return before.record is record
    if record is not before.record and _lasting(record) != _lasting(before.record):
        return False
    if before.changed_at_s == view.changed_at_s:
        return True
    # How long others leave the engine to a host that moves it counts from its latest record.
    seen_before = before.changed_at_s is not None and view.changed_at_s is not None
    return seen_before and moving_note.KEY not in dict(record.notes)
