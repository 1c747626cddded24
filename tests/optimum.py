# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""How long the engine was away, and how long the story itself made it stay away.

`Stopwatch` looks at a simulated cluster's facts, as the oracle does, and knows at each moment
whether anything could bring the engine back sooner. A second without a healthy engine is *excused*
while

- global maintenance is on, or no host could run the engine (power, boot, storage, daemons,
  maintenance, a libvirt that refuses);
- nobody could take the lease: its owner's host is dead, and the floor is not over;
- the guest boots, on the way to being healthy;
- a VM is there that does not get well, within the configured patience (`starting_s`, on a host
  whose turns came to nothing a multiple of it, or `bad_health_s`, then the guest's shutdown or
  `stop_s`; `migration_s`, `save_s`; `away_s` for one that an agent moves);
- every host that could is out by the configured rules for one that failed (`retry_window_s`,
  `unexpected_down_s`, the pause after a failed start);
- every host that could gives its turn (`turn_s`) to one that was seen alive a moment ago and can't
  start it now: it may be about to join, and nobody could tell (ADR 25).

The optimum is all of that and two ticks for each absence: one to see it, one to act.

Who waits for the whole cluster to be calm, and not for the engine alone, waits for one thing more:
`held_s` are the seconds in which the engine was well while libvirt held another VM of it elsewhere,
paused and without the lease, for no longer than `migration_s` or `save_s` allow. What people asked
libvirt for, a dump perhaps, is not broken off before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Optional

from fsm.guards import boot_time_s
from metadata.layout import slot_address
from metadata.settings.timing import KILL_S, lease_floor_s
from metadata.states import State
from simulation.cluster import SimCluster
from simulation.host import SimHost
from simulation.migration import COPY_S, Migration
from world.ports.libvirt import DomainState, Pause
from world.ports.sanlock import Membership

LOOKS = 2
MOST = 2.0  # so many times the optimum, and no more

MAINTENANCE = "global maintenance"
UNABLE = "no host can run it"
FLOOR = "the lease of a dead host"

BOOT = "the guest boots"
PATIENCE = "an ill VM, within the configured patience"
RULED_OUT = "the hosts have failed, within the configured windows"
TURN = "the turn of a host that was alive a moment ago"
HELD = "libvirt holds a VM beside the engine, within the configured limit"

_HELD_FOR = {
    Pause.MIGRATION: "migration_s",
    Pause.SAVE: "save_s",
    Pause.DUMP: "save_s",
    Pause.SNAPSHOT: "save_s",
}


@dataclass
class Absence:
    """One span without a healthy engine. `excused_s` by reason; `ended_at_s` None: to the end."""

    began_at_s: float
    ended_at_s: Optional[float] = None
    excused_s: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Recovery:
    """What all absences took together, and what was the least."""

    lasted_s: float
    excused_s: float
    absences: int
    tick_s: float

    @property
    def optimum_s(self) -> float:
        return self.excused_s + LOOKS * self.tick_s * self.absences

    @property
    def ratio(self) -> float:
        return self.lasted_s / self.optimum_s if self.absences else 1.0

    def text(self) -> str:
        return f"{self.lasted_s:.0f} s of {self.optimum_s:.0f} s at the least: {self.ratio:.2f}"


class Stopwatch:
    """Attach it to a cluster; `absences` and `held_s` are what it has seen."""

    def __init__(self, cluster: SimCluster) -> None:
        self.absences: list[Absence] = []
        self.held_s = 0.0
        self.began_at_s = cluster.now_s
        self._cluster = cluster
        self._hosts = list(cluster.hosts.values())
        self._timing = cluster.settings.cluster.timing
        self._open: Optional[Absence] = None
        self._looked_at_s = cluster.now_s
        self._excuse = ""
        self._ill_since_s: dict[int, float] = {}  # by qemu
        self._was_well = _known_well(self._hosts)
        # By qemu and libvirt's reason.
        self._held_since_s: dict[tuple[int, Optional[Pause]], float] = {}
        self._held_beside = False
        self._alive_at_s: dict[int, float] = {}  # by host: its agent ran then
        self._slot_0 = slot_address(cluster.shared.parts, 0)
        cluster.on_event.append(self.look)
        self.look()

    def recovery(self, since_s: float = 0.0) -> Recovery:
        """All absences that began or went on after `since_s`, to this moment."""
        self.look()
        found = [one for one in self.absences if self._end_s(one) > since_s]
        lasted_s = sum(self._end_s(one) - one.began_at_s for one in found)
        excused_s = sum(sum(one.excused_s.values()) for one in found)
        return Recovery(lasted_s, excused_s, len(found), self._timing.tick_s)

    def begin(self) -> None:
        """From now on; what was is forgotten."""
        self.absences.clear()
        self._open = None
        self.look()

    def _end_s(self, one: Absence) -> float:
        return self._cluster.now_s if one.ended_at_s is None else one.ended_at_s

    def look(self) -> None:
        """What was seen the last time has lasted until now."""
        now_s = self._cluster.now_s
        passed_s, self._looked_at_s = now_s - self._looked_at_s, now_s
        if self._open is not None and self._excuse:
            self._open.excused_s[self._excuse] += passed_s
        if self._held_beside:
            self.held_s += passed_s
        self._note_vms(now_s)
        self._note_agents(now_s)
        self._held_beside = self._is_held_beside(now_s)
        if any(_is_well(host) for host in self._hosts):
            if self._open is not None:
                self._open.ended_at_s = now_s
            self._open, self._excuse = None, ""
            return
        if self._open is None:
            self._open = Absence(now_s)
            self.absences.append(self._open)
        self._excuse = self._excuse_now(now_s)

    def _note_vms(self, now_s: float) -> None:
        present = {host.vm.now.pid: host for host in self._hosts if host.vm.now.pid is not None}
        for pid in set(self._ill_since_s) - set(present):
            del self._ill_since_s[pid]
        for pid, host in present.items():
            if _is_well(host):
                self._was_well.add(pid)
                self._ill_since_s.pop(pid, None)
            else:
                self._ill_since_s.setdefault(pid, now_s)
        held = {(pid, _held_by(host)) for pid, host in present.items() if _held_by(host)}
        self._held_since_s = {one: self._held_since_s.get(one, now_s) for one in held}

    def _note_agents(self, now_s: float) -> None:
        for host in self._hosts:
            agent = host.agent
            if agent is None or not host.is_awake or not host.agent_process.running:
                continue
            if agent.memory.state in (State.AGENT_STOPPED, State.LOCAL_MAINTENANCE):
                self._alive_at_s.pop(host.host_id, None)  # it says so: nobody waits for it
            else:
                self._alive_at_s[host.host_id] = now_s

    def _is_held_beside(self, now_s: float) -> bool:
        """Is the engine well on a host while libvirt holds another VM of it, and in time?"""
        limits_s = (
            (since_s, getattr(self._timing, _HELD_FOR[reason]))
            for (_, reason), since_s in self._held_since_s.items()
        )
        in_time = any(now_s - since_s <= limit_s for since_s, limit_s in limits_s)
        return in_time and any(_is_well(host) for host in self._hosts)

    # --- excuses ----------------------------------------------------------------------------

    def _excuse_now(self, now_s: float) -> str:
        if self._in_global_maintenance():
            return MAINTENANCE
        vm = self._vm_excuse(now_s)
        if vm:
            return vm
        able = [host for host in self._hosts if _is_able(host)]
        if not able:
            return UNABLE
        if self._lease_is_stuck():
            return FLOOR
        return self._excuse_of_the_able(able, now_s)

    def _excuse_of_the_able(self, able: list[SimHost], now_s: float) -> str:
        ready = [host for host in able if not self._is_ruled_out(host)]
        if not ready:
            return RULED_OUT
        turns_s = self._turns_of_others_s(able, now_s)
        return TURN if all(_waits_for_its_turn(host, turns_s) for host in ready) else ""

    def _turns_of_others_s(self, able: list[SimHost], now_s: float) -> float:
        """One for each host that was alive within `alive_s` and can't start it now."""
        alive_s, ids = self._timing.alive_s, {host.host_id for host in able}
        others = [
            host_id
            for host_id, at_s in self._alive_at_s.items()
            if host_id not in ids and now_s - at_s <= alive_s
        ]
        return len(others) * self._timing.turn_s

    def _in_global_maintenance(self) -> bool:
        data = self._cluster.shared.get(self._slot_0, 4096)
        return data[:1] != b"\0" and not data.startswith(b"maintenance=0\0")

    def _vm_excuse(self, now_s: float) -> str:
        """Of the VM that would be the engine again, or is being given up."""
        for host in self._hosts:
            pid = host.vm.now.pid
            if pid is None:
                continue
            guest, ill_s = host.vm.guest, now_s - self._ill_since_s[pid]
            runs = host.vm.now.state == DomainState.RUNNING
            boots = runs and guest is not None and not guest.has_booted(self._cluster.shared.now_s)
            if boots and ill_s <= self._boot_limit_s(host):
                return BOOT
            if ill_s <= self._patience_s(host, pid):
                return PATIENCE
        return ""

    def _patience_s(self, host: SimHost, pid: int) -> float:
        timing = self._timing
        if host.vm.now.state == DomainState.PAUSED:
            if pid in self._moved_by_agents():
                return COPY_S + timing.away_s
            held_s = max(timing.migration_s, timing.save_s) if _held_by(host) else 0.0
            return held_s + timing.bad_health_s
        first_s = timing.bad_health_s if pid in self._was_well else self._boot_limit_s(host)
        obeys_s = host.vm.guest_obeys_after_s
        hangs = host.vm.guest is not None and host.vm.guest.hangs
        stop_s = timing.stop_s if obeys_s is None or hangs else min(obeys_s, timing.stop_s)
        return first_s + stop_s + min(KILL_S, host.vm.kill_takes_s)

    def _moved_by_agents(self) -> set[Optional[int]]:
        """The VMs on both sides of what agents have ordered: nobody waits for those any longer than
        the source asks for."""
        moves = [host.vm.move for host in self._hosts]
        ours = [move for move in moves if isinstance(move, Migration) and move.by_agent]
        return {pid for move in ours for pid in move.pids}

    def _boot_limit_s(self, host: SimHost) -> float:
        cluster = self._cluster.settings.cluster
        if host.agent is None:
            return cluster.timing.starting_s
        return boot_time_s(host.agent.memory, cluster)

    def _lease_is_stuck(self) -> bool:
        """Is it a dead host's, so that not even the best program could take it?"""
        san = self._cluster.shared.san
        if san.lease is None:
            return False
        slot = san.slots.get(san.lease.host_id)
        if slot is None or slot.timestamp == 0 or slot.generation > san.lease.generation:
            return False
        if any(host.host_id == san.lease.host_id and _is_able(host) for host in self._hosts):
            return False  # it is no dead host's: who holds it could end its VM
        silent_s = self._cluster.shared.now_s - slot.timestamp
        fire_timeout_s = min(host.lockspace.fire_timeout for host in self._hosts)
        return silent_s <= lease_floor_s(self._timing.io_timeout_s, fire_timeout_s)

    def _is_ruled_out(self, host: SimHost) -> bool:
        assert host.agent is not None
        memory = host.agent.memory
        if memory.state is State.ENGINE_UNEXPECTEDLY_DOWN:
            return True
        held_until_s = memory.held_off_until_s
        held = held_until_s is not None and host.clock.monotonic_s() < held_until_s
        failed = len(memory.failed_starts_s)
        return held or failed >= self._cluster.settings.cluster.score.failed_starts_to_zero


def _waits_for_its_turn(host: SimHost, turns_s: float) -> bool:
    """Has it seen the lease free for less than that?"""
    assert host.agent is not None
    memory = host.agent.memory
    free_since_s = memory.lease_free_since_s
    if memory.state is not State.ENGINE_DOWN or free_since_s is None:
        return False
    return host.clock.monotonic_s() - free_since_s < turns_s


def _known_well(hosts: Iterable[SimHost]) -> set[int]:
    """The VMs that have been well before anybody watched: their agents say that they are up."""
    up = (State.ENGINE_UP, State.ENGINE_UP_BAD_HEALTH)
    return {host.vm.now.pid for host in hosts if host.vm.now.pid is not None and host.state in up}


def _held_by(host: SimHost) -> Optional[Pause]:
    """For what libvirt holds the VM, paused; None: it does not."""
    vm = host.vm.now
    return vm.pause if vm.state == DomainState.PAUSED and vm.pause in _HELD_FOR else None


def _is_well(host: SimHost) -> bool:
    return host.vm.now.pid is not None and host.engine_is_healthy


def _is_able(host: SimHost) -> bool:
    """Could it start the engine at this moment, whatever it believes?"""
    if not host.is_awake or host.broker is None or host.agent is None or not host.vm.answers:
        return False
    works = host.store.is_healthy and host.lockspace.daemon_runs and host.vm.start_error is None
    running = host.broker_process.running and host.agent_process.running
    return works and running and _is_member(host) and not host.in_local_maintenance


def _is_member(host: SimHost) -> bool:
    return host.lockspace.membership(host.host_id) == Membership.JOINED
