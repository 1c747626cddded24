"""The hosts in the answers to one caller's long polls: only those with news, once it has all.

With ``hosts_since=all`` in its query an answer has all hosts, and in ``hosts_as_of`` a mark. With
that mark for ``hosts_since`` the next one has only the hosts that say something new since then (and
the broker's own), in ``hosts_gone`` the ids of those that are no more, and repeats the mark in
``hosts_since``. A mark that is not of this broker's life is answered with all hosts. Of the hosts
that are left out only the time of their records may be another one. What only people read
(``agent``, ``events``, ``notifications``, ages) is left out, too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Optional

from ha_broker.api.json_codec import DataError
from ha_broker.api.snapshot import HostView, NotificationCounts, Snapshot
from ha_broker.api.snapshot_json import snapshot_from_data, snapshot_to_data
from metadata.error_words import shown

ALL = "all"
_FEW = 32  # one in so many


def lean_answer(
    snapshot: Snapshot, as_of: str, since: str, changed: Optional[Collection[int]]
) -> dict[str, Any]:
    """The answer as of the mark `as_of`; `changed`: the hosts with news since the mark `since`,
    those that are gone among them. None: all hosts are told.
    """
    hosts, gone = snapshot.hosts, sorted(changed or ())
    if changed is not None:
        told = {*changed, snapshot.host_id}
        hosts = _only(told, snapshot.hosts)
        here = {view.host_id for view in hosts}
        gone = [host_id for host_id in gone if host_id not in here]
    counts = NotificationCounts()
    lean = replace(snapshot, hosts=hosts, agent=None, events=(), notifications=counts)
    data = {**snapshot_to_data(lean), "hosts_as_of": as_of}
    return data if changed is None else {**data, "hosts_since": since, "hosts_gone": gone}


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
    """The hosts as one caller knows them from its answers so far.

    `_by_id` holds as of `mark`, which the broker gave with it; whoever could not ask forgets it.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Have the next answer tell all of them."""
        self.mark = ALL
        self._by_id: dict[int, HostView] = {}

    def snapshot(self, data: object) -> Snapshot:
        """The answer with all hosts; raises DataError, and has forgotten all then."""
        try:
            return self._whole(data)
        except DataError:
            self.forget()
            raise

    def _whole(self, data: object) -> Snapshot:
        told = snapshot_from_data(data)
        answer = data if isinstance(data, Mapping) else {}
        if "hosts_since" not in answer:
            self._by_id = {}
        elif answer["hosts_since"] != self.mark or self.mark == ALL:
            raise DataError([f"hosts_since: {shown(answer['hosts_since'])} was not asked for"])
        for host_id in _ids(answer.get("hosts_gone", [])):
            self._by_id.pop(host_id, None)
        self._take(told.hosts)
        self.mark = _mark(answer.get("hosts_as_of", ALL))
        return replace(told, hosts=tuple(self._by_id.values()))

    def _take(self, views: tuple[HostView, ...]) -> None:
        in_order = all(view.host_id in self._by_id for view in views)
        self._by_id.update({view.host_id: view for view in views})
        if not in_order:
            self._by_id = dict(sorted(self._by_id.items()))


def _ids(data: object) -> list[int]:
    if not isinstance(data, list) or not all(type(one) is int for one in data):
        raise DataError([f"hosts_gone: expected a list of host ids, got {shown(data)}"])
    return data


def _mark(data: object) -> str:
    if not isinstance(data, str):
        raise DataError([f"hosts_as_of: expected a string, got {shown(data)}"])
    return data
