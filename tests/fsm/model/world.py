# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""All hosts together: which worlds may follow a world.

Hosts and leases are numbered, and a world is a small tuple of numbers, so that comparing two
of them is cheap; whatever depends on a part of the world is worked out once for that part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Optional

from fsm.observation import VmEnding
from fsm.table import TABLE, Row
from metadata.states import State
from tests.fsm.model import shape
from tests.fsm.model.concrete import can_ask
from tests.fsm.model.moves import Kind, Move, Waits, ended, moves_of, over_move
from tests.fsm.model.react import Reactor, Turn
from tests.fsm.model.shape import (
    FREE,
    Agent,
    Dom,
    Hold,
    Host,
    Lease,
    Left,
    Life,
    Mem,
    View,
    World,
)

# (lease, maintenance, host 1, host 2, ...), hosts and leases by their numbers
Key = tuple[int, ...]
HOSTS = 2  # where the hosts begin in a key
LONGEST_CASCADE = 25
ACTS_LATE = "acts late"


@dataclass(frozen=True)
class Size:
    """How many hosts, and how many faults may happen one after another on any way.

    `only`: no other faults than these. `keeps`: what the agents have learnt outlives them, and
    they end any number of times. `page`: the engine has a health page. `own`: the agents move the
    engine by themselves, to a better host and where nobody reaches it.
    """

    hosts: int
    faults: int
    only: Optional[frozenset[str]] = None
    keeps: bool = False
    page: bool = True
    own: bool = False

    def __str__(self) -> str:
        kinds = "" if self.only is None else f" of {len(self.only)} kinds"
        keeps = ", agents that end again and again" if self.keeps else ""
        page = "" if self.page else ", no health page"
        own = ", moves by the hosts themselves" if self.own else ""
        return f"{self.hosts} hosts, {self.faults} faults{kinds}{keeps}{page}{own}"


# What happens to the VM itself, and an agent that comes late to it.
VM_FAULTS = frozenset(
    {"qemu crashes", "qemu vanishes", "guest powers off", "engine falls ill", "VM paused",
     "VM started by hand", "VM created paused by hand", "a person migrates the VM", "falls behind",
     "a migration leaves the VM between"}
)  # fmt: skip
# What may meet a host that slept.
SLEEP_FAULTS = frozenset(
    {"host is suspended", "agent killed", "libvirt falls silent", "broker dies", "falls behind",
     "global maintenance on", "local maintenance on", "lease can't be read", "qemu crashes",
     "a person migrates the VM", "VM paused", "sanlock dies"}
)  # fmt: skip
# By which one host falls behind the others.
HOST_FAULTS = frozenset(
    {"power cut", "storage breaks", "agent killed", "qemu crashes", "start fails",
     "a person migrates the VM", "gateway lost"}
)  # fmt: skip

# What may become of a migration.
MOVE_FAULTS = frozenset(
    {"a person migrates the VM", "a migration leaves the VM between", "libvirt falls silent",
     "agent killed", "VM paused"}
)  # fmt: skip


# What may meet an engine that its host moves by itself, and the surroundings in which it wants to.
OWN_FAULTS = frozenset(
    {"uplink broken", "cut off the network", "gateway lost", "migration given up",
     "the last step of the migration takes long"}
)  # fmt: skip
# Whether others reach the engine: explored apart, for it matters to a few rows only.
REACH_FAULTS = frozenset(
    {"uplink broken", "cut off the network", "gateway lost", "engine falls ill", "sanlock dies"}
)
APART = frozenset(
    {"uplink broken", "cut off the network", "the host is shut down (migrate)",
     "the host is shut down (stop)"}
)  # fmt: skip
# What people want moved, or shut down, and what may come in between.
WANTED = frozenset({"local maintenance on", "a person wants the engine moved"})
MOVED_FAULTS = WANTED | frozenset(
    {"migration given up", "libvirt says that the VM has moved, and it has not",
     "a migration leaves the VM between", "host is suspended", "storage breaks",
     "the last step of the migration takes long"}
)  # fmt: skip
# An engine that is to move, and has crashed before, or that somebody else has left half-way.
STRANDED = WANTED | frozenset(
    {"a person migrates the VM", "a migration leaves the VM between", "qemu crashes"}
)
# A VM that a migration has left paused with its lease, and what may come to it.
LEASE_KEPT = frozenset(
    {"a migration leaves the VM paused with its lease", "global maintenance on",
     "local maintenance on", "agent killed", "libvirt falls silent", "broker dies", "sanlock dies",
     "storage breaks", "lease can't be read", "sanlock is too busy to say who has the lease"}
)  # fmt: skip
# An agent that comes late to what happened.
LATE = frozenset({"falls behind", "VM paused", "libvirt falls silent", "agent told to stop"})
SHUTDOWN_FAULTS = frozenset(
    {"the host is shut down (migrate)", "the host is shut down (stop)", "local maintenance on",
     "engine falls ill", "qemu crashes", "broker dies"}
)  # fmt: skip


# What an agent finds when it comes back, and what it broke off.
RESTART_FAULTS = frozenset(
    {"qemu crashes", "qemu vanishes", "guest powers off", "engine falls ill", "VM paused",
     "libvirt falls silent", "broker dies", "start fails"}
)  # fmt: skip
# All that may befall an engine whose health nobody sees, but its illness.
UNSEEN_FAULTS = frozenset({"qemu crashes", "VM paused", "agent killed", "libvirt falls silent"})


# The few of them by which two hosts differ.
PAIR_FAULTS = frozenset({"qemu crashes", "engine falls ill", "libvirt falls silent"})


class Edge(NamedTuple):
    host_id: int  # 0: the cluster's or a person's doing
    name: str
    kind: Kind
    key: Key


class Worlds:
    """The graph of worlds, by one table."""

    def __init__(self, size: Size, table: Sequence[Row] = TABLE) -> None:
        self.size = size
        self.reactor = Reactor(size.hosts, table, size.page, size.own)
        self.hosts: list[Host] = []
        self._recorded: Optional[list[tuple[int, Turn]]] = None
        self.broken: list[str] = []  # what the agents broke on the way to the latest edges
        self._ids = range(size.hosts)
        self._numbers: dict[Host, int] = {}
        self._moves: dict[tuple[int, int, int, Waits], list[tuple[str, Kind, int, int]]] = {}
        self._turns: dict[tuple[int, Key], int] = {}
        self._breaches: dict[tuple[int, Key], tuple[str, ...]] = {}
        self._looks: dict[tuple[int, Key], list[tuple[str, Kind, int]]] = {}
        self._waits: dict[tuple[int, Key], Waits] = {}
        # By a host's number, what is asked of it all the time:
        self._codes: list[int] = []
        self._agents: list[bool] = []
        self._reacts: list[bool] = []
        self._views: list[Optional[Key]] = []
        self._down: list[bool] = []

    # --- numbers ----------------------------------------------------------------------

    def first(self) -> Key:
        """All hosts are on, all agents new, and the engine runs nowhere."""
        fresh = self.number(Host(keeps=self.size.keeps, page=self.size.page, own=self.size.own))
        return self._settled((_lease_number(FREE), 0, *[fresh] * self.size.hosts))

    def number(self, host: Host) -> int:
        found = self._numbers.get(host)
        if found is None:
            found = self._numbers[host] = len(self.hosts)
            self._append(host)
        return found

    def world(self, key: Key) -> World:
        """`key` in full."""
        hosts = tuple(self.hosts[number] for number in key[HOSTS:])
        return World(_LEASES[key[0]], bool(key[1]), hosts)

    def _append(self, host: Host) -> None:
        mem, view = host.mem, host.view
        self.hosts.append(host)
        self._codes.append(self._code(host))
        awake = host.on and not host.asleep
        self._agents.append(awake and host.agent_lives)
        self._reacts.append(awake and host.agent_lives and not host.slow)
        self._views.append(view and (view.lease, int(bool(view.maintenance)), *view.peers))
        self._down.append(mem is not None and mem.state is State.ENGINE_DOWN)

    # --- what follows -----------------------------------------------------------------

    def edges(self, key: Key, faults: bool = True) -> list[Edge]:
        """Every world that may follow. `broken` says which rules the agents broke on the way."""
        self.broken = []
        only = self.size.only
        return [
            Edge(host_id, name, kind, self._settled(moved))
            for host_id, name, kind, moved in self._moved(key, faults)
            if kind is not Kind.FAULT or (name not in APART if only is None else name in only)
        ]

    def turns(self, key: Key, host_id: int, name: str) -> list[tuple[int, Turn]]:
        """The turns that the agents take after this move, in their order."""
        self._recorded = []
        if name == ACTS_LATE:
            host = self.hosts[key[HOSTS + host_id - 1]]
            self._recorded.append((host_id, self.late_step(host, host_id)))
        edge = next(edge for edge in self._moved(key) if edge[:2] == (host_id, name))
        self._settled(edge.key)
        recorded, self._recorded = self._recorded, None
        return recorded

    def _moved(self, key: Key, faults: bool = True) -> list[Edge]:
        """The moves themselves, before any agent has reacted."""
        found: list[Edge] = []
        for index in self._ids:
            for name, kind, after, lease in self._moves_of(key, index):
                if faults or kind is not Kind.FAULT:
                    moved = _with((lease, *key[1:]), index, after)
                    found.append(Edge(index + 1, name, kind, moved))
            if self._agents[key[HOSTS + index]]:
                for name, kind, after in self._views_of(key, index):
                    if faults or kind is not Kind.FAULT:
                        found.append(Edge(index + 1, name, kind, _with(key, index, after)))
        self._common_edges(key, found, faults)
        return found

    def _moves_of(self, key: Key, index: int) -> list[tuple[str, Kind, int, int]]:
        number = key[HOSTS + index]
        waits = self._waits_of(key, number, index) if self._down[number] else _NO_WAITS
        cached = (number, index, key[0], waits)
        found = self._moves.get(cached)
        if found is None:
            moves = moves_of(self.hosts[number], index + 1, _LEASES[key[0]], waits)
            found = self._moves[cached] = [self._numbered(move) for move in moves]
        return found

    def _numbered(self, move: Move) -> tuple[str, Kind, int, int]:
        return move.name, move.kind, self.number(move.host), _lease_number(move.lease)

    def _waits_of(self, key: Key, number: int, index: int) -> Waits:
        seen = self._seen(key, index)
        found = self._waits.get((number, seen))
        if found is None:
            found = self._waits[number, seen] = _waits(self.hosts[number], index, seen)
        return found

    # --- agents that lag behind, brokers that die -------------------------------------

    def _views_of(self, key: Key, index: int) -> list[tuple[str, Kind, int]]:
        """The moves about what this host's agent knows of the world."""
        number = key[HOSTS + index]
        cached = (number * 16 + 8 + index, self._present(key, index))
        found = self._looks.get(cached)
        if found is None:
            host = self.hosts[number]
            moves = self._looking(host, index + 1, _view_of(cached[1]))
            found = [(name, kind, self.number(after)) for name, kind, after in moves]
            self._looks[cached] = found
            if host.slow:
                self._note(cached, self.late_step(host, index + 1))
        if cached in self._breaches:
            self.broken += self._breaches[cached]
        return found

    def _looking(self, host: Host, host_id: int, present: View) -> Iterator[tuple[str, Kind, Host]]:
        if host.broker:
            last = host.view or (present if host.looked else None)
            yield "broker dies", Kind.FAULT, host._replace(broker=False, view=last)
        if not host.slow:
            slow = host._replace(slow=True, view=host.view or present)
            yield "falls behind", Kind.FAULT, slow
            return
        awake = host._replace(slow=False, view=None if host.broker else host.view)
        yield "catches up", Kind.FAIR, awake
        acted = self.late_step(host, host_id).host
        if acted != host:
            yield ACTS_LATE, Kind.EITHER, acted
        if host.broker and host.view != present:
            yield "looks, acts later", Kind.LAG, host._replace(view=present)

    def late_step(self, host: Host, host_id: int) -> Turn:
        """A single step on the view that it still has: between two anything may happen."""
        assert host.view is not None
        return self.reactor.one_step(host, host_id, host.view)

    # --- what concerns several --------------------------------------------------------

    def _common_edges(self, key: Key, found: list[Edge], faults: bool) -> None:
        other = (key[0], 1 - key[1], *key[HOSTS:])
        if key[1]:
            found.append(Edge(0, "global maintenance off", Kind.HEAL, other))
        elif faults:
            found.append(Edge(0, "global maintenance on", Kind.FAULT, other))
        doms = [self.hosts[number].dom for number in key[HOSTS:]]
        if Dom.LEAVING in doms or Dom.ARRIVING in doms:
            found.append(Edge(0, "migration ends", Kind.FAIR, self._migrated(key, doms)))
            if Dom.LEAVING in doms and self._host(key, doms.index(Dom.LEAVING)).wake:
                back = self._migrated(key, doms, broken_off=True)
                found.append(Edge(0, "the migration is broken off as asked", Kind.FAIR, back))
            if faults and Dom.LEAVING in doms:
                left = self._left_between(key, doms)
                found.append(Edge(0, "a migration leaves the VM between", Kind.FAULT, left))
        else:
            self._ordered(key, found)
        if Dom.LEAVING not in doms and Dom.ARRIVING not in doms and faults and _OWNERS[key[0]]:
            self._migrations(key, _OWNERS[key[0]] - 1, found)

    def _ordered(self, key: Key, found: list[Edge]) -> None:
        """The migrations that agents have ordered; libvirt begins them, or they are refused."""
        for source in self._ids:
            host = self._host(key, source)
            if host.to and self._can_migrate(key, source, host.to - 1):
                moved = self._migrating(key, source, host.to - 1)
                found.append(Edge(source + 1, "the VM begins to migrate", Kind.FAIR, moved))

    def _migrations(self, key: Key, source: int, found: list[Edge]) -> None:
        for target in self._ids:
            if self._can_migrate(key, source, target):
                moved = self._migrating(key, source, target)
                found.append(Edge(0, "a person migrates the VM", Kind.FAULT, moved))

    def _can_migrate(self, key: Key, source: int, target: int) -> bool:
        leaving, arriving = self.hosts[key[HOSTS + source]], self.hosts[key[HOSTS + target]]
        ready = leaving.runs and leaving.hold is Hold.YES and leaving.libvirt
        room = arriving.dom is Dom.ABSENT and not arriving.job and arriving.libvirt
        joined = leaving.life is arriving.life is Life.LIVE and leaving.storage
        awake = arriving.on and not leaving.asleep and not arriving.asleep
        return source != target and ready and awake and room and joined

    def _migrating(self, key: Key, source: int, target: int) -> Key:
        leaving, arriving = self.hosts[key[HOSTS + source]], self.hosts[key[HOSTS + target]]
        # libvirt releases the lease when it pauses the source, and only then.
        moved = (_lease_number(FREE), *key[1:])
        gone = leaving._replace(dom=Dom.LEAVING, hold=Hold.NO, asked=False, to=0)
        here = arriving._replace(dom=Dom.ARRIVING, ending=VmEnding.NONE)
        return _with(_with(moved, source, self.number(gone)), target, self.number(here))

    def _migrated(self, key: Key, doms: list[Dom], broken_off: bool = False) -> Key:
        """Over to the target if it gets the lease, else back; a side may have died meanwhile."""
        source = doms.index(Dom.LEAVING) if Dom.LEAVING in doms else None
        target = doms.index(Dom.ARRIVING) if Dom.ARRIVING in doms else None
        free = _LEASES[key[0]] == FREE
        over = free and source is not None and self._can_run(key, target) and not broken_off
        if target is not None:
            key = self._put(key, target, _arrived(self._host(key, target), over))
        if source is not None:
            back = free and not over and self._can_run(key, source)
            key = self._put(key, source, _left(self._host(key, source), source + 1, over, back))
        return key

    def _left_between(self, key: Key, doms: list[Dom]) -> Key:
        """The target is gone, and the source's libvirt does not find back."""
        for index in self._ids:
            host = self._host(key, index)
            if doms[index] is Dom.LEAVING:
                held = host._replace(dom=Dom.HELD, moved=over_move(host.moved, False))
                key = _with(key, index, self.number(held))
            elif doms[index] is Dom.ARRIVING:
                key = _with(key, index, self.number(_arrived(host, False)))
        return key

    def _can_run(self, key: Key, index: Optional[int]) -> bool:
        if index is None:
            return False
        host = self._host(key, index)
        return host.storage and host.life is Life.LIVE

    def _host(self, key: Key, index: int) -> Host:
        return self.hosts[key[HOSTS + index]]

    def _put(self, key: Key, index: int, host: Host) -> Key:
        """`host` in its place, with the lease if it has just taken it."""
        lease = _lease_number(Lease(index + 1)) if host.runs else key[0]
        return _with((lease, *key[1:]), index, self.number(host))

    # --- agents that keep pace --------------------------------------------------------

    def _settled(self, key: Key) -> Key:
        """The agents that keep pace have acted on what they see."""
        for _ in range(LONGEST_CASCADE):
            before = key
            for index in self._ids:
                number = key[HOSTS + index]
                if self._reacts[number]:
                    after = self._turned(key, index)
                    if after != number:
                        key = _with(key, index, after)
            if key is before:
                return key
        self.broken.append("the agents never come to rest")
        return key

    def _turned(self, key: Key, index: int) -> int:
        cached = (key[HOSTS + index] * 16 + index, self._seen(key, index))
        after = self._turns.get(cached)
        if after is None:
            after = self._turns[cached] = self._turn(key, index, cached)
        if cached in self._breaches:
            self.broken += self._breaches[cached]
        if self._recorded is not None:
            self._recorded.append((index + 1, self.turn(key, index)))
        return after

    def _turn(self, key: Key, index: int, cached: tuple[int, Key]) -> int:
        turn = self.turn(key, index)
        self._note(cached, turn)
        return self.number(turn.host)

    def _note(self, cached: tuple[int, Key], turn: Turn) -> None:
        broken = tuple(why for fired in turn.fired for why in fired.broken)
        if broken:
            self._breaches[cached] = broken

    def turn(self, key: Key, index: int) -> Turn:
        """What this host's agent does in this world."""
        host = self.hosts[key[HOSTS + index]]
        return self.reactor.turn(host, index + 1, _view_of(self._seen(key, index)))

    def _seen(self, key: Key, index: int) -> Key:
        """What the host's broker says: (lease's owner, maintenance, the records' codes)."""
        return self._views[key[HOSTS + index]] or self._present(key, index)

    def _present(self, key: Key, index: int) -> Key:
        codes = self._codes
        seen = [codes[number] for number in key]
        seen[0], seen[1], seen[HOSTS + index] = _OWNERS[key[0]], key[1], 0
        return tuple(seen)

    def _view(self, key: Key, index: int) -> View:
        return _view_of(self._present(key, index))

    def _code(self, host: Host) -> int:
        """The host's record and sanlock's word on it, as others read them."""
        cut_off = (Life.GONE, Life.LAPSED, Life.EXPIRED, Life.DEAD)
        if not host.on or host.asleep or not host.storage or host.life in cut_off:
            return shape.GONE
        if host.agent is Agent.STOPPED:
            return shape.STOPPED
        if host.stops is not None and host.mem is not None and not _code_of_vm(host, host.mem):
            return shape.STOPPED  # it says that it can neither take nor start the engine
        if host.mem is None or not host.broker:
            return shape.UNDECIDED
        code = _code_of_vm(host, host.mem)
        if host.local and code != shape.MOVING_OUT:
            return shape.IN_MAINTENANCE
        return code or self.reactor.points(host) + (shape.GAVE if host.mem.gave else 0)


def broken_in(world: World) -> Iterator[str]:
    """The rules that a world itself breaks."""
    running = [index for index, host in enumerate(world.hosts, start=1)
               if host.runs and host.hold is not Hold.NO and not _sleeps(host)]  # fmt: skip
    if len(running) > 1:
        yield "at most one running engine"
    for host_id in running:
        if world.lease != Lease(host_id, Left.HELD):
            yield "an engine runs though its lease can be taken"


def _sleeps(host: Host) -> bool:
    """Asleep, or awake again and about to learn that others could take its lease.

    Two looks at the storage tell it, and then its VM must be on its way off. Nobody can, or
    may, look where agent, libvirt, broker or storage do not work.
    """
    if host.asleep or host.hold is not Hold.SLEPT:
        return host.asleep
    able = host.agent is Agent.RUNS and host.libvirt and host.broker and can_ask(host)
    if not able or host.mem is None or host.slow:
        return True
    return host.mem.denied < 3 or host.mem.state is State.ENGINE_FORCE_STOP


def _with(key: Key, index: int, number: int) -> Key:
    place = HOSTS + index
    return (*key[:place], number, *key[place + 1 :])


def _view_of(seen: tuple[int, ...]) -> View:
    return View(seen[0], bool(seen[1]), seen[2:])


def _code_of_vm(host: Host, mem: Mem) -> int:
    """What its record says of the VM, if others go by that; else 0."""
    if mem.state is State.UNKNOWN_LOCAL_VM_STATE:
        return shape.SILENT
    leaving = host.dom in (Dom.LEAVING, Dom.HELD, Dom.STUCK)
    moving = leaving or mem.state is State.ENGINE_MIGRATING_AWAY
    if not moving:
        return 0
    return shape.MOVING_OUT if host.local else shape.MOVING


def _waits(host: Host, index: int, seen: tuple[int, ...]) -> Waits:
    mem = host.mem
    if mem is None or not host.broker or not can_ask(host):
        return _NO_WAITS
    codes = [code for other, code in enumerate(seen[2:]) if other != index]
    turns = sum(code > 0 or code == shape.MOVING for code in codes) if seen[0] == 0 else 0
    left_over = seen[0] == index + 1 and host.dom is Dom.ABSENT
    moving = any(code in shape.LEAVING_IT for code in codes)
    return Waits(turns, left_over, shape.UNDECIDED in codes, seen[0] == 0 and moving)


def _left(host: Host, host_id: int, arrives: bool, back: bool) -> Host:
    moved = over_move(host.moved, arrives)
    if arrives:
        return ended(host._replace(moved=moved), host_id, FREE, VmEnding.MIGRATED)[0]
    return host._replace(
        dom=Dom.GOOD if back else Dom.PAUSED, hold=Hold(back), moved=moved, wake=False
    )


def _arrived(host: Host, takes: bool) -> Host:
    if takes:
        return host._replace(dom=Dom.GOOD, hold=Hold.YES)
    return host._replace(dom=Dom.ABSENT, hold=Hold.NO)


_LEASES = [FREE] + [Lease(owner, left) for owner in range(1, 10) for left in Left]
_OWNERS = [lease.owner for lease in _LEASES]
_NO_WAITS = Waits()
_LEASE_NUMBERS = {lease: number for number, lease in enumerate(_LEASES)}


def _lease_number(lease: Lease) -> int:
    return _LEASE_NUMBERS[lease]
