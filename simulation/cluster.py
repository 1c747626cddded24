# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The simulated hosts together, in virtual time: what happens next, and what may happen."""

from __future__ import annotations

import heapq
import itertools
import math
import random
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Callable, Optional, Protocol, Union
from urllib.parse import urlsplit

from ha_agent.observation.broker_poller import REACH_S
from metadata.error_words import shown
from metadata.layout import CONFIG_SIZE, SLOT_SIZE, slot_address
from metadata.states import State
from simulation import other_versions
from simulation.errors import SimulationError
from simulation.host import SimHost, SpinError
from simulation.migration import (
    DROPPED_S,
    FAILS,
    FINISHES,
    NO_ROUTE_S,
    Course,
    Migration,
    Obstacle,
)
from simulation.settings import WorldSettings
from simulation.shared_storage import DARK, SharedWorld
from simulation.world import Guest
from simulation.world import notification_sender as post
from world.ports.errors import HypervisorError
from world.ports.libvirt import DomainState, Ending, Pause
from world.vm.domain_endings import GUEST_PANIC

# A stale slot is as old as this at the most.
REMEMBER_SLOTS_S = 120.0
AT_REST_S = 60.0
BRING_UP_LIMIT_S = 3600.0
DROP = "drop"
MOST_TURNS_AT_ONCE = 10_000


@dataclass(frozen=True)
class EngineProcess:
    """One qemu of the engine.

    executing  its guest runs (it is not paused)
    reached    its page, if it answers, does so to others than its own host
    """

    host: str
    pid: int
    executing: bool
    holds_lease: bool
    healthy: bool
    reached: bool = True


class Listener(Protocol):
    """Hears what happens; times are seconds of the world."""

    def transition(self, at_s: float, host: str, before: State, after: State, why: str) -> None:
        """An agent changed its state."""

    def fact(self, at_s: float, host: str, text: str) -> None:
        """Something else happened; `host` is empty when it concerns all."""


class SimCluster:
    """Hosts that are all switched on at second 0 of the world.

    `on_event` is called after everything that happens at one moment in one host.
    """

    def __init__(self, settings: WorldSettings) -> None:
        self.settings = settings
        self.shared = SharedWorld(settings)
        self.on_event: list[Callable[[], None]] = []
        self.listeners: list[Listener] = []
        self._start_s = self.shared.now_s
        self._directory = tempfile.TemporaryDirectory(prefix="hosted-engine-simulation-")
        self._numbers = itertools.count()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._old_slots: dict[int, bytes] = {}
        self.parted: dict[frozenset[str], str] = {}
        self._course = Course()
        self.hosts = {
            traits.name: SimHost(traits, self.shared, Path(self._directory.name))
            for traits in settings.hosts
        }
        for host in self.hosts.values():
            host.tell_transition = self._tell_transition
            host.tell = self._tell
            host.vm.begin_move = partial(self._begin_move, host)
            host.find_unreached_why = partial(self._unreached_why, host)
        self.shared.page_from = self._page_from
        for host in self.hosts.values():
            if not host.traits.copy_of:
                host.power_on()
        self._remember_slots()

    def close(self) -> None:
        """Remove the hosts' state directories."""
        self._directory.cleanup()

    # --- time -----------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        """Seconds since the hosts were switched on."""
        return self.shared.now_s - self._start_s

    def at(self, at_s: float, action: Callable[[], None]) -> None:
        """Do `action` at that second."""
        heapq.heappush(self._agenda, (at_s + self._start_s, next(self._numbers), action))

    def run_for(self, seconds: float) -> None:
        """Let so much time pass."""
        self.run_until(self.now_s + seconds)

    def run_until(self, until_s: float) -> None:
        """Let time pass until that second."""
        end_s = until_s + self._start_s
        clock, san = self.shared.clock, self.shared.san
        hosts = list(self.hosts.values())
        turns = 0
        while True:
            host = _first(hosts)
            agenda_s = self._agenda[0][0] if self._agenda else math.inf
            san_s = san.next_event_s()
            at_s = min(host.next_s, agenda_s, math.inf if san_s is None else san_s)
            if at_s > end_s:
                break
            if at_s > clock.now_s:
                clock.move_to(_on_the_grid(at_s))
                turns = 0
            turns += 1
            if turns > MOST_TURNS_AT_ONCE:
                raise SpinError(f"{host.name} finds something to do again and again")
            if agenda_s <= at_s:
                heapq.heappop(self._agenda)[2]()
            elif san_s is not None and san_s <= at_s:
                san.settle()
            else:
                host.run()
            for check in self.on_event:
                check()
        clock.move_to(max(_on_the_grid(end_s), clock.monotonic_s()))

    def bring_up(self) -> None:
        """Let the engine become healthy on some host and everything come to rest.

        Raises SimulationError when it does not.
        """
        while not self.is_at_rest():
            if self.now_s > BRING_UP_LIMIT_S:
                states = {name: host.state for name, host in self.hosts.items()}
                raise SimulationError(f"the engine did not come up: {states}")
            self.run_for(1.0)
        self.run_for(AT_REST_S)

    def is_at_rest(self) -> bool:
        """Is the engine healthy, and does every agent say so?"""
        engines = [engine for engine in self.running_engines() if engine.healthy]
        if len(engines) != 1:
            return False
        resting = {
            host.state
            for name, host in self.hosts.items()
            if name != engines[0].host and (host.power or not host.traits.copy_of)
        }
        up = self.hosts[engines[0].host].state is State.ENGINE_UP
        return up and resting <= {State.ENGINE_DOWN, State.LOCAL_MAINTENANCE}

    # --- facts ----------------------------------------------------------------------------

    def host(self, name: str) -> SimHost:
        """The host of that name; SimulationError when there is none."""
        if name not in self.hosts:
            raise SimulationError(f"no host {name}: there are {', '.join(self.hosts)}")
        return self.hosts[name]

    def running_engines(self) -> list[EngineProcess]:
        """Every qemu of the engine that exists now, whatever anybody knows of it."""
        return [
            EngineProcess(
                host=name,
                pid=domain.pid,
                executing=host.vm.executes,
                holds_lease=domain.pid in host.lockspace.holders,
                healthy=host.engine_is_healthy,
                reached=host.shows_engine,
            )
            for name, host in self.hosts.items()
            if (domain := host.vm.now).pid is not None
        ]

    # --- what may happen --------------------------------------------------------------------

    def gateway_down(self) -> None:
        """The gateway answers nobody."""
        self._set_gateway(False)

    def gateway_up(self) -> None:
        """The gateway answers again."""
        self._set_gateway(True)

    def part(self, one: str, other: str, state: str) -> None:
        """Let two hosts not reach each other, though all others do: there is no way ("cut"), or
        what they send is lost ("drop"). Or let them do so again ("heal")."""
        pair = frozenset({one, other})
        if len(pair) < 2:
            raise SimulationError(f"{one} is one host")
        self.parted.pop(pair, None)
        if state != "heal":
            self.parted[pair] = state

    def name_server_answers_in(self, seconds: float) -> None:
        """How long the name server takes to answer from now on."""
        for host in self.hosts.values():
            host.network.dns_takes_s = seconds

    def mail_hang(self) -> None:
        """Mail server and webhooks take connections and never answer."""
        self.shared.post_office.state = post.HANGS

    def mail_fail(self) -> None:
        """Mail server and webhooks refuse every connection."""
        self.shared.post_office.state = post.REFUSES

    def mail_heal(self) -> None:
        """Mail server and webhooks work as usual."""
        self.shared.post_office.state = post.WORKS

    def engine_kill(self) -> None:
        """qemu is killed."""
        self._engine_host().vm.crash()

    def engine_crash(self) -> None:
        """The guest panics."""
        self._engine_host().vm.end(Ending.CRASHED, GUEST_PANIC)

    def engine_hang(self) -> None:
        """The guest answers nothing any more."""
        self._guest().hangs = True

    def engine_stop_service(self) -> None:
        """The engine's service in the guest ends; the guest runs on."""
        self._guest().service_runs = False

    def engine_start_service(self) -> None:
        """The engine's service in the guest is started."""
        self._guest().service_runs = True

    def engine_shutdown(self) -> None:
        """Somebody powers the guest off from inside."""
        self._engine_host().vm.guest_shutdown()

    def engine_pause(self) -> None:
        """qemu pauses the guest because of an I/O error."""
        self._engine_host().vm.pause(Pause.IOERROR)

    def engine_boots_in(self, seconds: float) -> None:
        """How long a boot of the guest takes from now on."""
        for host in self.hosts.values():
            host.vm.boot_s = seconds

    def engine_never_shuts_down(self, never: bool) -> None:
        """From now on the guest does not heed a request to shut down, or does."""
        for host in self.hosts.values():
            host.vm.guest_obeys_after_s = None if never else self.settings.engine.shutdown_s

    def migrate(
        self, source: str, target: str, finishes: Union[bool, float] = True, end: str = ""
    ) -> None:
        """A person moves the VM alive from host to host, past the program.

        A number instead of `finishes` is for how long the lease is free between the two, and
        `end` what comes then (see `Migration`).
        """
        move = Migration(self, self.host(source), self.host(target))
        if isinstance(finishes, bool):
            move.begin(Course(FINISHES if finishes else FAILS, 0.0))
        else:
            move.begin(Course(end, finishes))

    def moves(self, end: str, gap_s: float = Course.gap_s, copy_s: float = Course.copy_s) -> None:
        """How migrations that agents order from now on go (see `Migration`)."""
        self._course = Course(end, gap_s, copy_s)

    def _begin_move(self, here: SimHost, address: str) -> Migration:
        """The agent on `here` has libvirt move the engine; raises HypervisorError."""
        there = self._host_at(address)
        what = f"move the domain to {address}"
        if there is None:
            raise HypervisorError(what, f"no connection to {address}: Name or service not known")
        if there is here:
            raise HypervisorError(what, f"{address} is this very host")
        found = self._obstacle(here, there, address)
        if found is not None and not found.takes_s:
            raise HypervisorError(what, found.why)
        move = Migration(self, here, there, by_agent=True)
        move.connect(self._course, partial(self._obstacle, here, there, address))
        return move

    def _host_at(self, address: str) -> Optional[SimHost]:
        name = urlsplit(address).hostname
        found = [one for one in self.hosts.values() if one.settings.reached_at.lower() == name]
        return found[0] if found else None

    def _unreached_why(self, here: SimHost, address: str) -> str:
        """As a broker says that has tried to connect to the port."""
        there = self._host_at(address)
        if there is None or there is here:
            return ""
        port = f"port 16514 of {there.name}"
        if not self.is_answered(here, there):
            self.shared.clock.spend(REACH_S)
            return f"{port}: no answer within {REACH_S:g} s"
        if there.vm.hangs:  # all use TLS here
            self.shared.clock.spend(REACH_S)
            return f"{port}: {there.name} accepts the connection, and is silent"
        return "" if there.vm.answers else f"{port}: Connection refused"

    def _obstacle(self, here: SimHost, there: SimHost, address: str) -> Optional[Obstacle]:
        if self._is_dropped(here, there):
            return Obstacle(f"no connection to {address}: Connection timed out", DROPPED_S)
        if not self.is_answered(here, there):
            return Obstacle(f"no connection to {address}: No route to host", NO_ROUTE_S)
        if there.vm.hangs:  # the kernel takes the connection, and libvirt waits for a word
            return Obstacle("", math.inf)
        if not there.vm.answers:
            return Obstacle(f"no connection to {address}: Connection refused")
        if there.vm.now.state != DomainState.ABSENT:
            return Obstacle("a domain HostedEngine runs there already")
        return None

    def _is_dropped(self, one: SimHost, other: SimHost) -> bool:
        """Is what one sends to the other lost on its way, past whoever would say so?"""
        pair = self.parted.get(frozenset({one.name, other.name}))
        return pair == DROP or one.network_drops or other.network_drops

    def is_answered(self, one: SimHost, other: SimHost) -> bool:
        """Is there a network between the two, and does the machine of the `other` run?"""
        parted = frozenset({one.name, other.name}) in self.parted
        reached = not parted and one.reaches_others and other.reaches_others
        return reached and other.suspended_at_s is None

    def slot(self, number: int, kind: str) -> None:
        """Put garbage, torn, stale, zero or too-new bytes into a slot of the metadata."""
        if kind not in _SPOILERS:
            raise SimulationError(f"no such content {shown(kind)}: {', '.join(_SPOILERS)}")
        address = slot_address(self.shared.parts, number)
        data = self.shared.get(address, SLOT_SIZE)
        if kind in ("torn", "too-new", "stale") and not other_versions.is_record(data):
            raise SimulationError(f"there is no record in slot {number}")
        spoilt = self._old_slots.get(number, data) if kind == "stale" else _SPOILERS[kind](data)
        self.shared.put(address, spoilt)

    def config(self, kind: str) -> None:
        """Both copies of the shared configuration are garbage, or nothing (cut and grown).

        With "backup" people put back what they have kept, where nothing whole stands.
        """
        if kind == "backup":
            self.shared.put_config_back()
            return
        byte = {"garbage": b"\xa5", "zero": b"\0"}[kind]
        self.shared.put(self.shared.parts.shared_config, byte * CONFIG_SIZE)

    def _remember_slots(self) -> None:
        """What stands in the slots now is what a later `stale` brings back."""
        for host in self.hosts.values():
            address = slot_address(self.shared.parts, host.host_id)
            self._old_slots[host.host_id] = self.shared.get(address, SLOT_SIZE)
        self.at(self.now_s + REMEMBER_SLOTS_S, self._remember_slots)

    # --- details ------------------------------------------------------------------------------

    def _page_from(self, name: str) -> tuple[bool, str]:
        """The engine's page from a host that does not run it."""
        for engine in self.running_engines():
            if engine.executing and self.reaches_engine(name, engine.host):
                return self.hosts[engine.host].engine_page
        return DARK

    def reaches_engine(self, viewer: str, owner: str) -> bool:
        """Does what `viewer` sends arrive at an engine that runs on `owner`?"""
        if self.parted and frozenset({viewer, owner}) in self.parted:
            return False
        return self.hosts[viewer].reaches_others and self.hosts[owner].shows_engine

    def _set_gateway(self, up: bool) -> None:
        if self.shared.gateway_up == up:
            raise SimulationError(f"the gateway is {'up' if up else 'down'} already")
        self.shared.gateway_up = up
        for host in self.hosts.values():
            host.set_gateway()

    def _engine_host(self) -> SimHost:
        found = [one for one in self.running_engines() if self.hosts[one.host].is_awake]
        if not found:
            raise SimulationError("the engine's VM runs nowhere")
        return self.hosts[max(found, key=lambda engine: engine.executing).host]

    def _guest(self) -> Guest:
        guest = self._engine_host().vm.guest
        if guest is None:
            raise SimulationError("the engine's VM runs nowhere")
        return guest

    def _tell_transition(self, host: SimHost, before: State, after: State, why: str) -> None:
        for listener in self.listeners:
            listener.transition(self.now_s, host.name, before, after, why)

    def _tell(self, host: SimHost, text: str) -> None:
        for listener in self.listeners:
            listener.fact(self.now_s, host.name, text)


def _on_the_grid(at_s: float) -> float:
    """The next moment that every host's clock can show exactly, so that what is due is due."""
    return math.ceil((at_s + 1e-6) * 1024) / 1024


def _first(hosts: list[SimHost]) -> SimHost:
    """The host whose turn comes next; of several the first one."""
    first = hosts[0]
    for host in hosts:
        if host.next_s < first.next_s:
            first = host
    return first


def _garbage(data: bytes) -> bytes:
    """The same garbage each time, beginning with no NUL."""
    return b"\xa5" + random.Random(len(data)).randbytes(len(data) - 1)


def _torn(data: bytes) -> bytes:
    """Some bytes in the middle of the record are those of another one."""
    return data[:40] + bytes(value ^ 0x15 for value in data[40:80]) + data[80:]


_SPOILERS: dict[str, Callable[[bytes], bytes]] = {
    "garbage": _garbage,
    "torn": _torn,
    "stale": lambda data: data,
    "zero": lambda data: bytes(len(data)),
    "too-new": other_versions.too_new,
}
