# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Watches a simulated cluster and says when a rule is broken.

The oracle looks at facts only: which qemu executes where and whether it holds its lease, what
stands on the storage, which host has power, who gave libvirt an order. What agents and brokers
believe does not count, so that a mistake in their view is not shared.

The rules are in `SENTENCES`; `Oracle.violations` has what broke one.

Two things are counted (`Oracle.beyond`) and not judged, for no program on these hosts could do
better: sanlock dead on a host without a watchdog while the agent or libvirt there does not work
either (nobody is left to switch the engine off), and an order of an agent that was frozen after
it had decided.

One thing is allowed, for a program that slept can't act: the VM of a host that was suspended for
longer than its lease lasts goes on with its host. Two looks at the storage, `LOOKS_AFTER_WAKING`
ticks, and qemu's own time to end are all that it gets, counted from when its daemons, its libvirt,
its sanlock and its storage work and its lease is another host's there (longer than that since both
the waking and the loss: counted too). A VM that such a host starts before its sanlock has renewed
its place counts as one that slept: the others take the host for dead until then, and a pause from
below leaves nothing that tells it. Where the lease is still that host's on the storage, its
sanlock has the time that it would have had without the sleep, by its own clock: it renews then, or
ends the VM (counted, since others could have taken the lease meanwhile).

A healthy engine may be asked to shut down while its host is being shut down, for as long as
`migration.shutdown_s` says, unless the settings or global maintenance leave it alone.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass
from typing import Callable, Optional

from metadata.layout import slot_address
from metadata.settings.timing import KILL_S, lease_floor_s, sanlock_silence_s
from metadata.states import State
from simulation.cluster import SimCluster
from simulation.host import SimHost

ONE_ENGINE = "one-engine"
LEASE = "lease"
GLOBAL_START = "global-start"
LOCAL_START = "local-start"
HEALTHY_STOPPED = "healthy-stopped"
FORCED_STOP = "forced-stop"
LOST_LOCKSPACE = "lost-lockspace"
UNASKED_MOVE = "unasked-move"
TOO_MANY_MOVES = "too-many-moves"
AT_REST = "at-rest"

SENTENCES = {
    ONE_ENGINE: "At most one engine executes, but for two looks after its host has slept.",
    LEASE: "An engine executes only while nobody else can take its lease.",
    GLOBAL_START: "No agent starts the engine in global maintenance.",
    LOCAL_START: "No agent starts the engine on a host in local maintenance.",
    HEALTHY_STOPPED: "No agent stops an engine that is healthy, in reach, and holds its lease.",
    FORCED_STOP: "An agent switches off only what did not shut down, is paused or has no lease.",
    LOST_LOCKSPACE: "sanlock ends an engine only when its host can't reach the storage.",
    UNASKED_MOVE: "An agent moves the engine only for maintenance, a shutdown, as asked, out of a "
    "place where nobody reaches it, or to a host that has been much better for long.",
    TOO_MANY_MOVES: "An agent moves the engine to a better host only so often in a day.",
    AT_REST: "A healthy engine stays where it is while nothing happens.",
}

START, SHUTDOWN, DESTROY, MOVE = "start", "shutdown", "destroy", "move"
_CALLS = {
    "start the domain": START,
    "shut the domain down": SHUTDOWN,
    "destroy the domain": DESTROY,
}
_MOVE_TO = "move the domain to "
_IN_GLOBAL_MAINTENANCE = b"maintenance=1"
TAIL_LINES = 12
DAY_S = 86400.0
# An agent that is killed at that very moment has not written it down.
LOST_COUNTS = 1
JUST_THAWED_S = 2.0
LOOKS_AFTER_WAKING = 2
# An order that comes later than this after it was decided is not carried out.
ORDER_TICKS = 3
# What a host may still go through when all is well: time-outs that end, and what follows them.
CALM_CHANGES = 4
# sanlock's SIGKILL comes 40 s after its SIGTERM, and it looks each second.
KILLED_WITHIN_S = 42.0


@dataclass(frozen=True)
class Violation:
    """What broke `rule` at `at_s`, with the latest lines of the log."""

    at_s: float
    rule: str
    text: str
    tail: tuple[str, ...] = ()

    def report(self) -> str:
        """For people."""
        lines = [f"{self.at_s:.2f} {self.rule}: {self.text}", f"  {SENTENCES[self.rule]}"]
        return "\n".join([*lines, *(f"  | {line}" for line in self.tail)])


@dataclass
class _Engine:
    """One qemu as far as it was watched."""

    host: SimHost
    pid: int
    healthy_since_s: Optional[float] = None
    no_storage_at_s: float = -math.inf  # when its host was last seen without storage
    sanlock_died: bool = False
    loose_since_s: Optional[float] = None  # it executes while others can take its lease
    helpless_s: float = 0.0  # for so long nobody could switch it off
    shutdown_at_s: Optional[float] = None
    destroyed: bool = False
    slept: bool = False
    asleep: bool = False  # when it was looked at last
    awake_s: float = 0.0  # since its host woke up
    looking_s: float = 0.0  # ... without a break in which nobody there could look
    dark_from_s: float = math.inf  # no other host reached its page from then on, but for moments
    dark_until_s: float = -math.inf  # ... until then
    cut_off_since_s: Optional[float] = None  # its host's own network fails since then

    @property
    def executing(self) -> bool:
        return self.host.vm.executes


@dataclass(frozen=True)
class _Order:
    """`decided_at_s`: when the agent gave it; it may have hung or been frozen since."""

    host: SimHost
    what: str
    at_s: float
    decided_at_s: float


class Oracle:
    """Attach it to a cluster; `violations` and the counters are what it has seen.

    orders    how often an agent gave which order
    engines   how many qemus began to execute, `moves` how many on another host than before
    double_life_s   the longest that two engines executed after a host had slept
    """

    def __init__(self, cluster: SimCluster) -> None:
        self.violations: list[Violation] = []
        self.beyond: Counter[str] = Counter()
        self.orders: Counter[str] = Counter()
        self.engines = 0
        self.moves = 0
        self.double_life_s = 0.0
        self._cluster = cluster
        self._timing = cluster.settings.cluster.timing
        self._health_timeout_s = cluster.settings.cluster.engine.health_timeout_s
        self._hosts = list(cluster.hosts.values())
        # Whoever has the shortest takes a lease first.
        self._fire_timeout_s = min(host.lockspace.fire_timeout for host in self._hosts)
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._watched: dict[int, _Engine] = {}
        self._last_host = ""
        self._looked_at_s = cluster.now_s
        self._open: dict[tuple[str, str], float] = {}
        self._frozen: dict[str, tuple[float, float]] = {}
        self._woke_at_s: dict[str, float] = {}
        self._sleeps: dict[str, list[tuple[float, float]]] = {}  # from when to when
        self._global_since_s: Optional[float] = None
        self._local_since_s: dict[str, float] = {}
        self._asked_at_s: dict[str, float] = {}  # when a person's order to move was seen last
        self._in_local_at_s: dict[str, float] = {}  # when a host was seen in maintenance last
        self._better: dict[str, tuple[float, float]] = {}  # from when to when another host was
        self._better_moves_s: dict[str, list[float]] = {}
        self._kills_seen = len(cluster.shared.san.history)
        self._resting = False
        self._changes: Counter[str] = Counter()
        self._excused: set[tuple[str, tuple[int, ...]]] = set()
        self._slot_0 = slot_address(cluster.shared.parts, 0)
        self._volume_changes = -1
        self._floor_s = lease_floor_s(self._timing.io_timeout_s, self._fire_timeout_s)
        cluster.on_event.append(self.look)
        cluster.listeners.append(self)
        for host in self._hosts:
            host.vm.before_call = self._note_call(host, host.vm.before_call)

    # --- what happens -----------------------------------------------------------------------

    def transition(self, at_s: float, host: str, before: State, after: State, why: str) -> None:
        """As a listener of the cluster."""
        self._tail.append(f"{at_s:.2f} {host}: {before.value} => {after.value}: {why}")
        if self._resting:
            self._changes[host] += 1
            if before is State.ENGINE_UP or self._changes[host] > CALM_CHANGES:
                self._break(AT_REST, f"the agent of {host} left {before.value}: {why}")

    def fact(self, at_s: float, host: str, text: str) -> None:
        """As a listener of the cluster; tells also what an administrator's command did."""
        self._tail.append(f"{at_s:.2f} {host}: {text}")
        if text == "local maintenance on: done":
            self._local_since_s[host] = at_s

    def rest(self, resting: bool) -> None:
        """From now on nothing happens from outside, and all is well; or that is over."""
        self._resting = resting
        self._changes.clear()

    # --- after every event --------------------------------------------------------------------

    def look(self) -> None:
        """Compare the facts with the rules; called after every event."""
        now_s = self._cluster.now_s
        passed_s, self._looked_at_s = now_s - self._looked_at_s, now_s
        self._note_maintenance(now_s)
        if len(self._cluster.shared.san.history) != self._kills_seen:
            self._check_kills(now_s)
        found = self._find_engines(now_s)
        for engine in found:
            self._watch(engine, now_s, passed_s)
        if len(found) > 1:
            self._check_one(found)
        for host in self._hosts:
            self._note_wishes(host, now_s)
            if host.suspended_at_s is not None:
                self._note_suspended(host, host.suspended_at_s)
            if host.agent_process.frozen:
                began_s = self._frozen.get(host.name, (now_s, now_s))[0]
                self._frozen[host.name] = (began_s, now_s)

    def _note_suspended(self, host: SimHost, began_s: float) -> None:
        until_s = self._woke_at_s[host.name] = self._cluster.shared.now_s  # at the earliest
        sleeps = self._sleeps.setdefault(host.name, [])
        if sleeps and sleeps[-1][0] == began_s:
            sleeps.pop()
        sleeps.append((began_s, until_s))

    def _note_wishes(self, host: SimHost, now_s: float) -> None:
        """For what an agent may move the engine, at that host."""
        broker = host.broker
        if broker is not None and broker.mailbox.snapshot().move_order is not None:
            self._asked_at_s[host.name] = now_s
        if not host.power:
            self._better_moves_s.pop(host.name, None)  # it is counted for one boot
        if host.vm.now.pid is None:
            return
        if host.in_local_maintenance:
            self._in_local_at_s[host.name] = now_s
        self._note_better(host, now_s)

    def _note_better(self, host: SimHost, now_s: float) -> None:
        """By the records that its broker shows; a moment in which it was not so ends nothing."""
        least, snapshot = self._cluster.settings.cluster.migration.better_points, host.snapshot
        if not least or snapshot is None:
            return
        scores = {view.host_id: view.record.score for view in snapshot.hosts if view.record}
        own = scores.pop(host.host_id, 0)
        if max(scores.values(), default=0) >= own + least:
            from_s, until_s = self._better.get(host.name, (now_s, now_s))
            from_s = now_s if now_s - until_s > self._late_s else from_s
            self._better[host.name] = from_s, now_s

    def _find_engines(self, now_s: float) -> list[_Engine]:
        """What is there now; what is new or gone is noted."""
        found = []
        for host in self._hosts:
            pid = host.vm.now.pid
            if pid is not None:
                found.append(self._watched.get(pid) or self._begin(host, pid, now_s))
        if len(found) != len(self._watched):
            self._forget({engine.pid for engine in found}, now_s)
        return found

    def _begin(self, host: SimHost, pid: int, now_s: float) -> _Engine:
        engine = self._watched[pid] = _Engine(host, pid, slept=self._is_taken_for_dead(host))
        self.engines += 1
        self.moves += bool(self._last_host) and self._last_host != host.name
        self._last_host = host.name
        self._tail.append(f"{now_s:.2f} {host.name}: qemu {pid} is there")
        if self._resting:
            self._break(AT_REST, f"qemu {pid} began on {host.name}")
        return engine

    def _is_taken_for_dead(self, host: SimHost) -> bool:
        """Has it slept, and sanlock there not renewed its place since?"""
        woke_at_s = self._woke_at_s.get(host.name)
        slot = self._cluster.shared.san.slots.get(host.host_id)
        return woke_at_s is not None and slot is not None and slot.timestamp < woke_at_s

    def _forget(self, left: set[int], now_s: float) -> None:
        for pid in set(self._watched) - left:
            host = self._watched.pop(pid).host.name
            self._tail.append(f"{now_s:.2f} {host}: qemu {pid} is gone")
            if self._resting:
                self._break(AT_REST, f"qemu {pid} ended on {host}")

    def _watch(self, engine: _Engine, now_s: float, passed_s: float) -> None:
        host = engine.host
        if not host.engine_is_healthy:
            engine.healthy_since_s = None
        elif engine.healthy_since_s is None:
            engine.healthy_since_s, engine.shutdown_at_s = now_s, None
        self._watch_reach(engine, now_s)
        if host.network.answers:
            engine.cut_off_since_s = None
        elif engine.cut_off_since_s is None:
            engine.cut_off_since_s = now_s
        if not host.store.is_healthy:
            engine.no_storage_at_s = now_s
        engine.sanlock_died = engine.sanlock_died or not host.lockspace.daemon_runs
        if engine.sanlock_died and not _can_switch_off(host):
            engine.helpless_s += passed_s
        owns_lease = self._owns_lease(host)
        _note_sleep(engine, passed_s, owns_lease)
        if not engine.executing or (owns_lease and not self._is_loose(host)):
            engine.loose_since_s = None
        elif engine.loose_since_s is None:
            engine.loose_since_s = now_s
        elif now_s - engine.loose_since_s > 3 * self._timing.tick_s + KILL_S:
            self._break_lease(engine)

    def _watch_reach(self, engine: _Engine, now_s: float) -> None:
        if self._is_reached(engine.host):
            return
        if now_s - engine.dark_until_s > self._old_news_s():
            engine.dark_from_s = now_s
        engine.dark_until_s = now_s

    def _is_reached(self, host: SimHost) -> bool:
        """Does what any other host sends arrive at an engine there?"""
        for other in self._hosts:
            if other is not host and self._cluster.reaches_engine(other.name, host.name):
                return True
        return False

    def _old_news_s(self) -> float:
        """So old may a look be on which an agent counts.

        The record that tells it may be as old as alive_s, and the look behind it older still.
        """
        timing = self._timing
        return timing.alive_s + 3 * timing.tick_s + 2 * self._health_timeout_s

    def _is_loose(self, host: SimHost) -> bool:
        """Could another host take the lease of the qemu that runs here, which its host owns?"""
        san = self._cluster.shared.san
        slot = san.slots.get(host.host_id)
        newer = slot is not None and slot.generation > host.lockspace.generation
        if slot is None or slot.timestamp == 0 or newer:
            return True
        silent_s = self._cluster.shared.now_s - slot.timestamp
        return silent_s > self._floor_s + 1

    def _owns_lease(self, host: SimHost) -> bool:
        """By the storage; not when another machine has taken it that has the same host id."""
        lease = self._cluster.shared.san.lease
        return (
            lease is not None
            and lease.host_id == host.host_id
            and lease.generation == host.lockspace.generation
        )

    # --- the rules ------------------------------------------------------------------------------

    def _check_one(self, found: list[_Engine]) -> None:
        executing = [engine for engine in found if engine.executing]
        if len(executing) < 2:
            return
        if any(self._is_beyond(engine) for engine in executing):
            self._excuse(executing, "two engines: sanlock is dead and nobody can switch it off")
            return
        sleepers = [engine for engine in executing if self._has_slept_too_long(engine)]
        if len(executing) - len(sleepers) < 2 and all(map(self._is_waking, sleepers)):
            self._note_waking(sleepers)
            return
        names = " and ".join(f"{engine.host.name} (qemu {engine.pid})" for engine in executing)
        self._break(ONE_ENGINE, f"the engine executes on {names}")

    def _break_lease(self, engine: _Engine) -> None:
        if self._is_beyond(engine):
            self._excuse([engine], "no lease: sanlock is dead and nobody can switch it off")
            return
        if self._has_slept_too_long(engine) and self._is_waking(engine):
            return
        if self._is_late_for_its_sanlock(engine.host):
            self._excuse([engine], "no lease: its host slept, and its sanlock can't renew it")
            return
        why = f"qemu {engine.pid} on {engine.host.name} executes since {engine.loose_since_s:.2f}"
        self._break(LEASE, f"{why} while its lease can be taken")

    def _is_late_for_its_sanlock(self, host: SimHost) -> bool:
        """Has only the sleep made its lease free, so far?

        Its sanlock's clock stood still: it has as long to renew as if the host had been awake.
        """
        silent_s, slept_s = self._silence(host)
        awake_s = silent_s - slept_s
        return self._owns_lease(host) and slept_s > 0 and awake_s <= self._floor_s + KILL_S

    def _has_outslept_its_sanlock(self, host: SimHost) -> bool:
        """Would its sanlock have ended the engine by now, had the host been awake?"""
        silent_s, slept_s = self._silence(host)
        patience_s = sanlock_silence_s(self._timing, host.lockspace.fire_timeout)
        return slept_s > 0 and silent_s > patience_s

    def _silence(self, host: SimHost) -> tuple[float, float]:
        """Seconds since the host renewed its place, and how many of them it slept."""
        slot = self._cluster.shared.san.slots.get(host.host_id)
        if slot is None or slot.timestamp == 0:
            return 0.0, 0.0
        since_s = slot.timestamp
        sleeps = self._sleeps.get(host.name, ())
        slept_s = sum(end_s - begin_s for begin_s, end_s in sleeps if begin_s >= since_s)
        return self._cluster.shared.now_s - since_s, slept_s

    def _excuse(self, engines: list[_Engine], why: str) -> None:
        """Once for the same qemus."""
        key = why, tuple(engine.pid for engine in engines)
        if key not in self._excused:
            self._excused.add(key)
            self.beyond[why] += 1

    def _is_beyond(self, engine: _Engine) -> bool:
        unguarded = engine.sanlock_died and not engine.host.traits.watchdog
        return unguarded and engine.helpless_s > self._timing.tick_s

    def _has_slept_too_long(self, engine: _Engine) -> bool:
        """Has it lost its lease while its host was suspended?"""
        return engine.slept and not self._owns_lease(engine.host)

    def _is_waking(self, engine: _Engine) -> bool:
        return engine.looking_s <= self._waking_s(engine)

    def _waking_s(self, engine: _Engine) -> float:
        return LOOKS_AFTER_WAKING * self._timing.tick_s + engine.host.vm.kill_takes_s

    def _note_waking(self, sleepers: list[_Engine]) -> None:
        for engine in sleepers:
            self.double_life_s = max(self.double_life_s, engine.awake_s)
            if engine.awake_s > self._waking_s(engine):
                self._excuse([engine], "two engines: its host slept, and nobody there can look")

    def _check_kills(self, now_s: float) -> None:
        history = self._cluster.shared.san.history
        killed = {name for _, what, name in history[self._kills_seen :] if what == "kill"}
        self._kills_seen = len(history)
        for engine in [each for each in self._watched.values() if each.host.name in killed]:
            host = engine.host
            silent = now_s - engine.no_storage_at_s <= KILLED_WITHIN_S
            if host.store.is_healthy and not silent and not self._shares_id(host):
                self._break(LOST_LOCKSPACE, f"sanlock killed the engine on {host.name}")

    def _shares_id(self, host: SimHost) -> bool:
        return sum(other.host_id == host.host_id for other in self._hosts) > 1

    def _judge(self, order: _Order) -> None:
        self.orders[order.what] += 1
        pid = order.host.vm.now.pid
        engine = None if pid is None else self._watched.get(pid)
        if self._resting:
            self._break(AT_REST, f"the agent of {order.host.name} gave the order {order.what}")
        if order.what == START:
            self._judge_start(order)
        elif order.what == MOVE:
            self._judge_move(order)
        elif engine is not None:
            self._judge_stop(order, engine)

    def _judge_start(self, order: _Order) -> None:
        timing, host = self._timing, order.host
        for rule, since_s, grace_s in (
            (GLOBAL_START, self._global_since_s, self._late_s),
            (LOCAL_START, self._in_local_since_s(host), timing.tick_s),
        ):
            if since_s is not None and order.at_s - since_s > grace_s:
                if order.decided_at_s - since_s > grace_s:
                    text = f"the agent of {host.name} starts the engine; maintenance since"
                    self._break(rule, f"{text} {since_s:.2f}")
                else:
                    self.beyond["start: decided before the maintenance, carried out later"] += 1

    def _judge_move(self, order: _Order) -> None:
        """Whoever wanted it may have changed his mind a moment ago."""
        name, grace_s = order.host.name, ORDER_TICKS * self._timing.tick_s
        if order.decided_at_s - self._asked_at_s.get(name, -math.inf) <= self._late_s:
            return
        since_s = self._global_since_s
        by_itself = since_s is None or order.decided_at_s - since_s <= self._late_s
        in_local_s = order.decided_at_s - self._in_local_at_s.get(name, -math.inf)
        wanted = in_local_s <= grace_s or order.host.shutdown_since_s is not None
        wanted = wanted or self._is_dark(order) or self._is_for_better(order)
        if not (by_itself and wanted):
            why = (
                "and nobody wants it" if by_itself else f"in global maintenance since {since_s:.2f}"
            )
            self._break(UNASKED_MOVE, f"the agent of {name} moves the engine, {why}")

    def _is_dark(self, order: _Order) -> bool:
        engine = self._watched.get(order.host.vm.now.pid or 0)
        settings = self._cluster.settings.cluster.migration
        return (
            bool(settings.out_of_reach_s) and engine is not None and self._was_dark(order, engine)
        )

    def _is_for_better(self, order: _Order) -> bool:
        """Has another host been better for long? Then the move counts, and there is a limit."""
        migration, name = self._cluster.settings.cluster.migration, order.host.name
        found = self._better.get(name)
        if not migration.better_points or found is None:
            return False
        from_s, until_s = found
        recent = order.decided_at_s - until_s <= self._late_s
        if not recent or order.decided_at_s - from_s < migration.better_s - self._late_s:
            return False
        made_s = self._better_moves_s.setdefault(name, [])
        made_s.append(order.decided_at_s)
        lately = [at_s for at_s in made_s if order.decided_at_s - at_s < DAY_S]
        if len(lately) > migration.better_per_day + LOST_COUNTS:
            self._break(TOO_MANY_MOVES, f"the agent of {name} moves it {len(lately)} times a day")
        return True

    @property
    def _late_s(self) -> float:
        """A record may be read up to alive_s late before what it says is heeded."""
        return self._timing.alive_s + 3 * self._timing.tick_s

    def _in_local_since_s(self, host: SimHost) -> Optional[float]:
        return self._local_since_s.get(host.name) if host.in_local_maintenance else None

    def _judge_stop(self, order: _Order, engine: _Engine) -> None:
        if order.what == SHUTDOWN and engine.shutdown_at_s is None:
            engine.shutdown_at_s = order.at_s
        if engine.executing and self._has_lease(engine):
            self._judge_health(order, engine)
            if order.what == DESTROY and not self._was_asked(order, engine):
                text = f"the agent of {order.host.name} switches qemu {engine.pid} off"
                self._break(FORCED_STOP, text)
        engine.destroyed = engine.destroyed or order.what == DESTROY

    def _judge_health(self, order: _Order, engine: _Engine) -> None:
        since_s = engine.healthy_since_s
        # What the agent knows of the engine's health may be as old as this.
        grace_s = 3 * self._timing.tick_s + self._health_timeout_s + 1
        if since_s is None or order.at_s - since_s <= grace_s or engine.destroyed:
            return
        if self._was_dark(order, engine) or self._goes_down(order):
            return
        if self._is_cut_off_unseen(order, engine):
            return
        late_s = order.at_s - since_s - grace_s
        if order.decided_at_s - since_s <= grace_s and late_s <= ORDER_TICKS * self._timing.tick_s:
            self.beyond["stop: decided before the engine got well, carried out later"] += 1
            return
        text = f"the agent of {order.host.name} gives the order {order.what} to qemu {engine.pid}"
        self._break(HEALTHY_STOPPED, f"{text}, healthy since {since_s:.2f}")

    def _was_dark(self, order: _Order, engine: _Engine) -> bool:
        """Could no other host reach the engine for as long as the settings ask for?"""
        told_s = order.decided_at_s - engine.dark_from_s
        recent = order.decided_at_s - engine.dark_until_s <= self._old_news_s()
        return recent and told_s >= min(self._timing.isolated_s, self._timing.bad_health_s)

    def _is_cut_off_unseen(self, order: _Order, engine: _Engine) -> bool:
        """Has its host's network failed for long, and tells no other host what it sees?

        Older programs don't, and nobody can read what too new ones say. A much better host is
        enough then (ADR 28).
        """
        since_s = engine.cut_off_since_s
        long = since_s is not None and order.decided_at_s - since_s >= self._timing.isolated_s
        others = [host for host in self._hosts if host is not order.host and host.power]
        return long and all(host.traits.version in ("older", "too-new") for host in others)

    def _goes_down(self, order: _Order) -> bool:
        """Was its host being shut down, in a cluster that lets its agents see to the engine?

        That no host could have taken the engine alive is not looked at: what the agent knows of
        them may be old, and the stop costs a boot and no engine.
        """
        since_s, host = order.host.shutdown_since_s, order.host
        migration = self._cluster.settings.cluster.migration
        if since_s is None or migration.at_shutdown == "leave":
            return False
        if self._global_since_s is not None and order.at_s - self._global_since_s > self._late_s:
            return False
        # An order that was decided within the time may come a few ticks later.
        most_s = migration.shutdown_s + ORDER_TICKS * self._timing.tick_s
        return host.shared.now_s - since_s <= most_s

    def _was_asked(self, order: _Order, engine: _Engine) -> bool:
        """Was it asked to shut down, long enough ago (or a first destroy was right already)?"""
        if engine.destroyed:
            return True
        asked_s = engine.shutdown_at_s
        patience_s = self._timing.stop_s - self._timing.tick_s
        return asked_s is not None and order.at_s - asked_s >= patience_s

    def _has_lease(self, engine: _Engine) -> bool:
        lockspace = engine.host.lockspace
        listed = lockspace.daemon_runs and engine.pid in lockspace.holders
        certain = listed and not self._has_outslept_its_sanlock(engine.host)
        return certain and self._owns_lease(engine.host)

    def _break(self, rule: str, text: str) -> None:
        self.violations.append(Violation(self._cluster.now_s, rule, text, tuple(self._tail)))

    # --- orders and maintenance -----------------------------------------------------------------

    def _note_call(
        self, host: SimHost, before_call: Callable[[str], None]
    ) -> Callable[[str], None]:
        def note(call: str) -> None:
            before_call(call)
            what = MOVE if call.startswith(_MOVE_TO) else _CALLS.get(call)
            if what is not None and host.agent_acts:
                self._note_order(host, what)

        return note

    def _note_order(self, host: SimHost, what: str) -> None:
        """A job that hangs calls again and again: its first call and its last one count."""
        now_s = self._cluster.now_s
        if host.vm.hangs:
            self._open.setdefault((host.name, what), now_s)
            return
        if (what == START and host.vm.is_starting) or (what == MOVE and host.vm.is_moving):
            return
        decided_at_s = self._open.pop((host.name, what), now_s)
        began_s, ended_s = self._frozen.get(host.name, (now_s, now_s - 2 * JUST_THAWED_S))
        if now_s - ended_s <= JUST_THAWED_S:
            decided_at_s = min(decided_at_s, began_s)
        else:
            self._frozen.pop(host.name, None)
        self._note_maintenance(now_s)  # it may have ended at this very moment
        self._tail.append(f"{now_s:.2f} {host.name}: the agent's order: {what}")
        self._judge(_Order(host, what, now_s, decided_at_s))

    def _note_maintenance(self, now_s: float) -> None:
        volume = self._cluster.shared.volumes[self._slot_0.path]
        if volume.changes == self._volume_changes:
            return
        self._volume_changes = volume.changes
        begin = self._slot_0.offset
        if volume[begin : begin + len(_IN_GLOBAL_MAINTENANCE)] != _IN_GLOBAL_MAINTENANCE:
            self._global_since_s = None
        elif self._global_since_s is None:
            self._global_since_s = now_s


def _note_sleep(engine: _Engine, passed_s: float, owns_lease: bool) -> None:
    """No look can show a lost lease before somebody else has taken it."""
    host = engine.host
    asleep = host.suspended_at_s is not None
    if asleep or engine.asleep or (engine.slept and owns_lease):
        engine.slept, engine.awake_s, engine.looking_s = True, 0.0, 0.0
        engine.asleep = asleep
    elif engine.slept:
        engine.awake_s += passed_s
        engine.looking_s = engine.looking_s + passed_s if _can_look(host) else 0.0


def _can_look(host: SimHost) -> bool:
    reads = host.broker_process.running and host.store.is_healthy and host.lockspace.daemon_runs
    return reads and _can_switch_off(host)


def _can_switch_off(host: SimHost) -> bool:
    return host.agent_process.running and host.vm.answers
