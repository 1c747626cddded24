# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The hosts in the answers to one caller's long polls: only those with news, once it has all.

With ``hosts_since=all`` in its query an answer has all hosts, and in ``hosts_as_of`` a mark. With
that mark for ``hosts_since`` the next one has only the hosts that say something new since then (and
the broker's own), in ``hosts_gone`` the ids of those that are no more, and repeats the mark in
``hosts_since``. A mark that is not of this broker's life is answered with all hosts. Of the hosts
that are left out only the time of their records may be another one. What only people read
(``agent``, ``events``, ``notifications``, ages, and the monitors of `monitors.FOR_PEOPLE`, of which
some have another value in each look) is left out, too.

With ``parts_since`` the same goes for all else: ``parts_as_of`` is the mark, and an answer that
repeats it in ``parts_since`` has only the keys whose values are others than as of that mark, within
an object, too; of an object that was not there then, only the keys whose values are others than its
class's defaults. ``defaults`` in an answer that tells all follows from these: a caller of another
program, with others, asks without ``parts_since``. Of the monitors that are left out only the time
may be another one, and the broker's own host is told as any other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from operator import attrgetter
from typing import Any, Optional

from ha_broker.api.json_codec import (
    DataError,
    defaults_mark,
    to_lean_data,
    to_news_data,
    updated,
)
from ha_broker.api.monitors import FOR_PEOPLE, MonitorView
from ha_broker.api.snapshot import HostView, NotificationCounts, Snapshot, with_hosts
from ha_broker.api.snapshot_json import snapshot_from_data, snapshot_to_data
from metadata.error_words import shown

ALL = "all"
_FOR_PEOPLE = ("agent", "events", "notifications")
_PARTS = tuple(
    one.name for one in fields(Snapshot) if one.name not in ("hosts", "monitors", *_FOR_PEOPLE)
)
_word = attrgetter(*(one.name for one in fields(MonitorView) if one.name != "seen_at_s"))
_FEW = 32  # one in so many


def lean_answer(
    snapshot: Snapshot, as_of: str, since: str, changed: Optional[Collection[int]]
) -> dict[str, Any]:
    """The answer as of the mark `as_of`; `changed`: the hosts with news since the mark `since`,
    those that are gone among them. None: all hosts are told.
    """
    hosts = snapshot.hosts
    gone: list[int] = []
    if changed is not None:
        told = {*changed, snapshot.host_id}
        hosts = _only(told, snapshot.hosts)
        gone = _gone(changed, hosts)
    counts = NotificationCounts()
    lean = replace(
        snapshot,
        hosts=hosts,
        monitors=_for_agents(snapshot.monitors),
        agent=None,
        events=(),
        notifications=counts,
    )
    data = {**snapshot_to_data(lean), "hosts_as_of": as_of}
    return data if changed is None else {**data, "hosts_since": since, "hosts_gone": gone}


def parts_answer(
    snapshot: Snapshot,
    held: Snapshot,
    as_of: tuple[str, str],
    since: tuple[str, str],
    changed: Collection[int],
) -> dict[str, Any]:
    """The answer to a caller that has `held`, and of the hosts all but those in `changed`; marks
    are those of hosts and of parts."""
    data = _news_of_parts(vars(held), vars(snapshot))
    if not _monitors_alike(held.monitors, snapshot.monitors):
        data["monitors"] = to_lean_data(_for_agents(snapshot.monitors))
    hosts = _only(changed, snapshot.hosts) if changed else ()
    return {
        **data,
        "hosts": to_lean_data(hosts),
        "hosts_as_of": as_of[0],
        "hosts_since": since[0],
        "hosts_gone": _gone(changed, hosts),
        "parts_as_of": as_of[1],
        "parts_since": since[1],
    }


def _gone(changed: Collection[int], views: tuple[HostView, ...]) -> list[int]:
    """Those that changed and have no view any more."""
    return sorted(set(changed) - {view.host_id for view in views})


def _news_of_parts(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: to_news_data(before[name], now[name])
        for name in _PARTS
        if now[name] is not before[name] and now[name] != before[name]
    }


def _for_agents(monitors: tuple[MonitorView, ...]) -> tuple[MonitorView, ...]:
    return tuple([view for view in monitors if view.name not in FOR_PEOPLE])


def _monitors_alike(before: tuple[MonitorView, ...], now: tuple[MonitorView, ...]) -> bool:
    """Is nothing new for agents but that they were measured again?"""
    if len(before) != len(now):
        return False
    for was, view in zip(before, now):
        if was is view or (was.name == view.name and view.name in FOR_PEOPLE):
            continue
        if _word(was) != _word(view):
            return False
    return True


def _only(ids: Collection[int], views: tuple[HostView, ...]) -> tuple[HostView, ...]:
    """The views of these hosts; a few of many are looked for, which leaves the others alone."""
    if len(ids) * _FEW <= len(views):
        found = [_find(host_id, views) for host_id in sorted(ids)]
        if None not in found:
            return tuple([view for view in found if view is not None])
    return tuple([view for view in views if view.host_id in ids])


def _find(host_id: int, views: tuple[HostView, ...]) -> Optional[HostView]:
    """By halves: the broker shows its hosts in the order of their ids. None: not found so."""
    low, high = 0, len(views)
    while low < high:
        middle = (low + high) // 2
        if views[middle].host_id < host_id:
            low = middle + 1
        else:
            high = middle
    return views[low] if low < len(views) and views[low].host_id == host_id else None


class HeldHosts:
    """The snapshot as one caller knows it from its answers so far.

    `_by_id`, the hosts, holds as of `mark`, and `held`, the latest snapshot, as of `parts_mark`,
    which the broker gave with them; whoever could not ask forgets them. `parts_mark` None: the
    broker is of another program, whose parts would be read wrongly.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Have the next answer tell all."""
        self.mark = ALL
        self.parts_mark: Optional[str] = ALL
        self._by_id: dict[int, HostView] = {}
        self.held: Optional[Snapshot] = None

    def snapshot(self, data: object) -> Snapshot:
        """The answer with all hosts; raises DataError, and has forgotten all then."""
        try:
            self.held = self._whole(data)
        except DataError:
            self.forget()
            raise
        return self.held

    def _whole(self, data: object) -> Snapshot:
        answer: Mapping[str, object] = data if isinstance(data, dict) else {}
        told = self._told(data, answer)
        if "hosts_since" not in answer:
            self._by_id = {}
        else:
            _check_asked("hosts_since", answer, self.mark)
        gone = _ids(answer.get("hosts_gone", []))
        for host_id in gone:
            self._by_id.pop(host_id, None)
        self._take(told.hosts)
        self.mark = _mark(answer, "hosts_as_of")
        parts_mark = _mark(answer, "parts_as_of")
        same = "parts_since" in answer or answer.get("defaults") == defaults_mark(Snapshot)
        self.parts_mark = parts_mark if same else None
        if self.held is not None and "hosts_since" in answer and not told.hosts and not gone:
            return with_hosts(told, self.held.hosts)
        return with_hosts(told, tuple(self._by_id.values()))

    def _told(self, data: object, answer: Mapping[str, object]) -> Snapshot:
        """What is new laid over what is held; `hosts` are those with news."""
        if "parts_since" not in answer:
            return snapshot_from_data(data)
        _check_asked("parts_since", answer, self.parts_mark)
        if self.held is None or "hosts_since" not in answer:
            raise DataError(["parts_since: without hosts_since"])
        return updated(with_hosts(self.held, ()), answer)

    def _take(self, views: tuple[HostView, ...]) -> None:
        in_order = all(view.host_id in self._by_id for view in views)
        self._by_id.update({view.host_id: view for view in views})
        if not in_order:
            self._by_id = dict(sorted(self._by_id.items()))


def _ids(data: object) -> list[int]:
    if not isinstance(data, list) or not all(type(one) is int for one in data):
        raise DataError([f"hosts_gone: expected a list of host ids, got {shown(data)}"])
    return data


def _mark(answer: Mapping[str, object], key: str) -> str:
    mark = answer.get(key, ALL)
    if not isinstance(mark, str):
        raise DataError([f"{key}: expected a string, got {shown(mark)}"])
    return mark


def _check_asked(key: str, answer: Mapping[str, object], mark: Optional[str]) -> None:
    if answer[key] != mark or mark == ALL:
        raise DataError([f"{key}: {shown(answer[key])} was not asked for"])
