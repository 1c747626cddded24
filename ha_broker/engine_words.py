# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the hosts' records say of the engine, as far as it decides how often this host looks."""

from __future__ import annotations

from typing import Optional

from ha_broker.api.snapshot import HostView
from metadata.moving_note import moving_to
from metadata.records import POWERING_DOWN, HostRecord
from metadata.start_notes import is_shutting_down
from metadata.value_class import value_class

_NOBODY: frozenset[int] = frozenset()


@value_class(frozen=True)
class EngineWords:
    """What all records say together; the hosts, by their ids, are others than this one.

    healthy   the engine runs well on a living host, and nothing is known of its end
    to_tell   by their fresh records these have it: where the lease is free, their next ones tell
              what became of it
    giving    of them, those that are about to let it go: it is being stopped, it moves, or the
              host goes down
    """

    healthy: bool = False
    to_tell: frozenset[int] = _NOBODY
    giving: frozenset[int] = _NOBODY


def words_on_the_engine(views: tuple[HostView, ...], own_id: int) -> EngineWords:
    """Of all hosts together."""
    told = {
        view.host_id: record
        for view in views
        if view.host_id != own_id and (record := _word_to_come(view)) is not None
    }
    return EngineWords(
        healthy=any(map(_runs_healthy_engine, views)),
        to_tell=frozenset(told),
        giving=frozenset([one for one, record in told.items() if _gives_it_away(record)]),
    )


def _word_to_come(view: HostView) -> Optional[HostRecord]:
    """Its record, if the engine is up there by it and there will be a next one.

    An agent that has stopped writes none.
    """
    record = view.fresh_record
    if record is None or record.stopped or not record.engine_status.is_up:
        return None
    return record


def _runs_healthy_engine(view: HostView) -> bool:
    """A living host whose record says so and is fresh."""
    record = view.sure_record
    if record is None:
        return False
    return record.engine_status.is_healthy and not _may_end(record)


def _may_end(record: HostRecord) -> bool:
    """May its engine end, and its lease be free, at any moment?

    One that is being stopped may. So may one whose host, or only whose agent, stops: that is how a
    host's shutdown begins.
    """
    stops = record.engine_status.detail == POWERING_DOWN or record.stopped
    return stops or is_shutting_down(record.notes)


def _gives_it_away(record: HostRecord) -> bool:
    return _may_end(record) or moving_to(record.notes) is not None
