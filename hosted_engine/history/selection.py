# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which changes of the history are wanted, and what is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Optional

from ha_agent.history.store import KeptEntries, read_history
from ha_broker.api import paths
from hosted_engine.errors import CommandError
from hosted_engine.history.changes import ToldChange
from hosted_engine.history.timeline import HostPast, Past, past_of
from hosted_engine.history.wall_times import Timed, timed
from hosted_engine.host.deadline import within_deadline
from metadata.error_words import reason, shown

READ_DEADLINE_S = 10.0


@dataclass(frozen=True)
class Selection:
    """What of it is asked for; `since` turns the present second into the first one."""

    host: Optional[str] = None
    since: Optional[Callable[[float], float]] = None
    last: Optional[int] = None


def load() -> tuple[KeptEntries, list[Timed], Past]:
    """The whole history of this host; raises CommandError when there is none."""
    directory = paths.history_dir()
    try:
        kept = within_deadline(
            lambda: read_history(directory), f"the disk below {directory}", READ_DEADLINE_S
        )
    except OSError as error:
        raise CommandError(f"{directory}: can't be read: {reason(error)}") from error
    if not kept.entries:
        raise CommandError(
            f"{directory}: there is no history yet; ha-agent writes it while it runs "
            "(see 'systemctl status ha-agent')"
        )
    entries = timed(kept.entries)
    return kept, entries, past_of(entries)


def selected(
    changes: Sequence[ToldChange], past: Past, selection: Selection, now_s: float
) -> list[ToldChange]:
    """Those of the wanted host and time; raises CommandError for a host that nobody knows."""
    host = host_named(past, selection.host) if selection.host is not None else None
    since_s = float("-inf") if selection.since is None else selection.since(now_s)
    return [
        change
        for change in changes
        if change.at_s >= since_s and (host is None or change.host_id == host.host_id)
    ]


def host_named(past: Past, name: str) -> HostPast:
    """The host of that name or id; raises CommandError naming those there are."""
    for host in past.hosts:
        if name in (host.name, str(host.host_id)):
            return host
    known = ", ".join(f"{host.name} ({host.host_id})" for host in past.hosts)
    raise CommandError(f"no host {shown(name)} in the history; known: {known}")
