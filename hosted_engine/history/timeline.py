# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The entries of the history put together: what lasted from when to when, host by host. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Optional, TypeVar

from ha_agent.history.entry import AgentStarted, BrokerLost, ClusterSight, HostSight, Transition
from ha_broker.api.snapshot import LeaseState
from hosted_engine.history.wall_times import Timed
from metadata.liveness import Liveness
from metadata.records import EngineVm, Health
from metadata.states import State

T = TypeVar("T")

STOPPED = State.AGENT_STOPPED.value
DEAD = "dead"
FREE = "free"
_UP_AND = {Health.GOOD.value: "healthy", Health.BAD.value: "not healthy"}


@dataclass(frozen=True)
class TimeSpan(Generic[T]):
    """Something that was so from one second since the epoch to another one."""

    from_s: float
    to_s: float
    value: T

    @property
    def lasted_s(self) -> float:
        """How long."""
        return self.to_s - self.from_s


@dataclass(frozen=True)
class HostPast:
    """One host. Where no span is, nothing was known.

    states   names of states, or `DEAD`
    engine   what it said of the engine on it (see `engine_word`)
    """

    host_id: int
    name: str
    states: tuple[TimeSpan[str], ...] = ()
    engine: tuple[TimeSpan[str], ...] = ()


@dataclass(frozen=True)
class Past:
    """All of it, as the host `own_id` saw it. `lease` spans name the owner, or `FREE`."""

    from_s: float
    to_s: float
    own_id: Optional[int] = None
    own_name: str = ""
    engine: str = ""
    hosts: tuple[HostPast, ...] = ()
    lease: tuple[TimeSpan[str], ...] = ()
    global_maintenance: tuple[TimeSpan[str], ...] = ()

    def name_of(self, host_id: int) -> str:
        """The host's name, or its id where it never said one."""
        return next((one.name for one in self.hosts if one.host_id == host_id), f"host {host_id}")


def engine_word(vm: str, health: str) -> str:
    """What a host says of the engine on it: "healthy", "not healthy", "up", "not known"; or
    nothing, where there is none."""
    if vm == EngineVm.UP:
        return _UP_AND.get(health, "up")
    return "not known" if vm == EngineVm.UNKNOWN else ""


def past_of(entries: Sequence[Timed]) -> Past:
    """What `entries` tell."""
    if not entries:
        return Past(0.0, 0.0)
    builder = _TimelineBuilder()
    for timed in entries:
        builder.take(timed)
    return builder.result(entries[0].at_s, entries[-1].at_s)


class _Track:
    """One thing over time; "" is not known, or not worth a span."""

    def __init__(self) -> None:
        self.value = ""
        self._since_s = 0.0
        self._spans: list[TimeSpan[str]] = []

    def set(self, at_s: float, value: str) -> None:
        if value == self.value:
            return
        if self.value:
            self._spans.append(TimeSpan(self._since_s, at_s, self.value))
        self.value, self._since_s = value, at_s

    def spans(self, to_s: float) -> tuple[TimeSpan[str], ...]:
        self.set(to_s, "")
        return tuple(self._spans)


@dataclass
class _HostTracks:
    name: str = ""
    state: _Track = field(default_factory=_Track)
    engine: _Track = field(default_factory=_Track)

    def forget(self, at_s: float) -> None:
        self.state.set(at_s, "")
        self.engine.set(at_s, "")


class _TimelineBuilder:
    """Takes one entry after the other."""

    def __init__(self) -> None:
        self._hosts: dict[int, _HostTracks] = {}
        self._lease, self._maintenance = _Track(), _Track()
        self._own_id: Optional[int] = None
        self._engine = ""
        self._boot = ""
        self._before_s = 0.0

    def take(self, timed: Timed) -> None:
        at_s, fact = timed.at_s, timed.entry.fact
        if isinstance(fact, AgentStarted):
            self._began(timed, fact)
        elif isinstance(fact, Transition) and self._own_id is not None:
            self._host(self._own_id).state.set(at_s, fact.after)
        elif isinstance(fact, HostSight):
            self._see(at_s, fact)
        elif isinstance(fact, ClusterSight):
            self._see_cluster(at_s, fact)
        elif isinstance(fact, BrokerLost):
            self._forget_others(at_s)
        self._before_s, self._boot = at_s, timed.entry.boot

    def result(self, from_s: float, to_s: float) -> Past:
        hosts = tuple(
            HostPast(
                host_id,
                tracks.name or f"host {host_id}",
                tracks.state.spans(to_s),
                tracks.engine.spans(to_s),
            )
            for host_id, tracks in sorted(self._hosts.items())
        )
        own_name = self._hosts[self._own_id].name if self._own_id is not None else ""
        past = Past(from_s, to_s, self._own_id, own_name, self._engine, hosts)
        named = tuple(
            TimeSpan(
                one.from_s, one.to_s, past.name_of(int(one.value)) if one.value != FREE else FREE
            )
            for one in self._lease.spans(to_s)
        )
        return replace(past, lease=named, global_maintenance=self._maintenance.spans(to_s))

    def _host(self, host_id: int) -> _HostTracks:
        return self._hosts.setdefault(host_id, _HostTracks())

    def _began(self, timed: Timed, fact: AgentStarted) -> None:
        """What was since the word before is not known; but that the agent was stopped is."""
        self._own_id = fact.host_id
        own = self._host(fact.host_id)
        own.name = fact.host_name
        was_stopped = own.state.value == STOPPED and timed.entry.boot == self._boot
        self._forget_others(self._before_s)
        own.engine.set(self._before_s, "")
        own.state.set(timed.at_s if was_stopped else self._before_s, "")

    def _forget_others(self, at_s: float) -> None:
        for host_id, tracks in self._hosts.items():
            if host_id != self._own_id:
                tracks.forget(at_s)
        self._lease.set(at_s, "")
        self._maintenance.set(at_s, "")

    def _see(self, at_s: float, fact: HostSight) -> None:
        tracks = self._host(fact.host_id)
        tracks.name = fact.name or tracks.name
        tracks.state.set(at_s, shown_state(fact))
        tracks.engine.set(at_s, engine_word(fact.vm, fact.health) if fact.live else "")

    def _see_cluster(self, at_s: float, fact: ClusterSight) -> None:
        self._engine = fact.engine or self._engine
        owner = "" if fact.owner_id is None else str(fact.owner_id)
        known = {LeaseState.HELD: owner, LeaseState.FREE: FREE}
        self._lease.set(at_s, known.get(fact.lease, ""))
        self._maintenance.set(at_s, "on" if fact.global_maintenance else "")


def shown_state(sight: HostSight) -> str:
    """The state to show; "" where it is not known now."""
    if sight.live:
        return sight.state
    if sight.liveness == Liveness.DEAD.value:
        return DEAD
    return STOPPED if sight.stopped else ""
