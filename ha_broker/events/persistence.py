# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What survives a restart of the broker, so that nothing is told twice, as plain data. Pure."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Optional

from ha_broker.api.event import Event
from ha_broker.api.json_codec import from_data, to_data
from ha_broker.events.cluster_state import Presence
from ha_broker.events.debounce import Debounced
from ha_broker.events.detector import EngineValue, HostMemory, WatchMemory
from ha_broker.events.reporter_election import ReporterElection
from ha_broker.events.transitions import TransitionMemory
from metadata.value_class import value_class


@value_class(frozen=True)
class _StoredHost:
    host_id: int
    name: str
    presence: Optional[Presence] = None
    maintenance: Optional[bool] = None


@value_class(frozen=True)
class _Duty:
    event: Event
    before_me: tuple[int, ...]
    left_s: float  # until a later record is the sign that it was told
    lives: tuple[int, ...] = ()


@value_class(frozen=True)
class _Saved:
    engine: Optional[EngineValue] = None
    engine_host: Optional[int] = None
    engine_host_name: str = ""
    was_absent: bool = False
    hosts: tuple[_StoredHost, ...] = ()
    global_maintenance: Optional[bool] = None
    storage_ok: Optional[bool] = None
    unattended: Optional[int] = None
    duties: tuple[_Duty, ...] = ()
    transitions: TransitionMemory = field(default_factory=TransitionMemory)


@value_class(frozen=True)
class EventMemory:
    """All that events need of the past."""

    watch: WatchMemory = field(default_factory=WatchMemory)
    duties: tuple[ReporterElection, ...] = ()
    transitions: TransitionMemory = field(default_factory=TransitionMemory)


def memory_to_data(memory: EventMemory, now_s: float) -> dict[str, Any]:
    """Plain data for a file. Of one moment, equal memories give equal data."""
    watch = memory.watch
    saved = _Saved(
        engine=watch.engine.settled,
        engine_host=watch.engine_host,
        engine_host_name=watch.engine_host_name,
        was_absent=watch.was_absent,
        hosts=tuple(_host(host_id, watch.hosts[host_id]) for host_id in sorted(watch.hosts)),
        global_maintenance=watch.global_maintenance.settled,
        storage_ok=watch.storage_ok.settled,
        unattended=watch.unattended.settled,
        duties=tuple(
            _Duty(duty.event, duty.before_me, duty.told_by_s - now_s, duty.lives)
            for duty in memory.duties
        ),
        transitions=memory.transitions,
    )
    data: dict[str, Any] = to_data(saved)
    return data


def memory_from_data(data: object, now_s: float) -> EventMemory:
    """The memory of a process that begins now; raises `json_codec.DataError`."""
    saved = from_data(_Saved, data)
    watch = WatchMemory(
        engine=Debounced(saved.engine),
        engine_host=saved.engine_host,
        engine_host_name=saved.engine_host_name,
        was_absent=saved.was_absent,
        hosts={
            host.host_id: HostMemory(
                host.name, Debounced(host.presence), Debounced(host.maintenance)
            )
            for host in saved.hosts
        },
        global_maintenance=Debounced(saved.global_maintenance),
        storage_ok=Debounced(saved.storage_ok),
        unattended=Debounced(saved.unattended),
    )
    duties = tuple(
        ReporterElection(duty.event, duty.before_me, now_s + duty.left_s, duty.lives)
        for duty in saved.duties
    )
    return EventMemory(watch, duties, saved.transitions)


def _host(host_id: int, host: HostMemory) -> _StoredHost:
    return _StoredHost(host_id, host.name, host.presence.settled, host.maintenance.settled)


def essence(memory: EventMemory) -> tuple[object, ...]:
    """Equal as long as there is nothing new to keep."""
    watch = memory.watch
    return (
        watch.engine.settled,
        watch.engine_host,
        watch.was_absent,
        tuple([_host(host_id, host) for host_id, host in watch.hosts.items()]),
        watch.global_maintenance.settled,
        watch.storage_ok.settled,
        watch.unattended.settled,
        memory.duties,
        memory.transitions,
    )
