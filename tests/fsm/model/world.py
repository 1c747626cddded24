"""All hosts together: which worlds may follow a world.

Hosts and leases are numbered, and a world is a small tuple of numbers, so that comparing two
of them is cheap; whatever depends on a part of the world is worked out once for that part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple, Optional

from fsm.observation import VmEnding
from fsm.states import State
from fsm.table import TABLE, Row
from tests.fsm.model import shape
from tests.fsm.model.concrete import can_ask
from tests.fsm.model.moves import Kind, Move, Waits, ended, moves_of
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

    `only`: no other faults than these. `alike`: worlds that differ by an exchange of hosts
    count as one (exact but for the ties that the host id decides).
    """

    hosts: int
    faults: int
    only: Optional[frozenset[str]] = None
    alike: bool = False

    def __str__(self) -> str:
        some = ", VM faults only" if self.only else ""
        alike = ", hosts alike" if self.alike else ""
        return f"{self.hosts} hosts, {self.faults} faults{some}{alike}"


# What happens to the VM itself, and an agent that comes late to it.
VM_FAULTS = frozenset(
    {"qemu crashes", "qemu vanishes", "guest powers off", "engine falls ill", "VM paused",
     "VM started by hand", "VM created paused by hand", "a person migrates the VM", "falls behind"}
)  # fmt: skip


class Edge(NamedTuple):
    host_id: int  # 0: the cluster's or a person's doing
    name: str
    kind: Kind
    key: Key


class Worlds:
    """The graph of worlds, by one table."""

    def __init__(self, size: Size, table: Sequence[Row] = TABLE) -> None:
        self.size = size
        self.reactor = Reactor(size.hosts, table)
        self.hosts: list[Host] = []
        self._recorded: Optional[list[tuple[int, Turn]]] = None
        self.broken: list[str] = []  # what the agents broke on the way to the latest edges
        self._ids = range(size.hosts)
        self._numbers: dict[Host, int] = {}
        self._moves: dict[tuple[int, int, int, Waits], list[tuple[str, Kind, int, int]]] = {}
        self._exchange = Exchange(self)
        self._turns: dict[tuple[int, Key], int] = {}
        self._breaches: dict[tuple[int, Key], tuple[str, ...]] = {}
        self._waits: dict[tuple[int, Key], Waits] = {}
        # By a host's number, what is asked of it all the time:
        self._codes: list[int] = []
        self._reacts: list[bool] = []
        self._views: list[Optional[Key]] = []
        self._down: list[bool] = []

    # --- numbers ----------------------------------------------------------------------

    def first(self) -> Key:
        """All hosts are on, all agents new, and the engine runs nowhere."""
        fresh = self.number(Host())
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
        self._reacts.append(host.on and host.agent_lives and not host.slow)
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
            if kind is not Kind.FAULT or only is None or name in only
        ]

    def same(self, key: Key) -> Key:
        """The one world that stands for all that an exchange of hosts makes of `key`."""
        return self._exchange.same(key) if self.size.alike else key

    def turns(self, key: Key, host_id: int, name: str) -> list[tuple[int, Turn]]:
        """The turns that the agents take after this move, in their order."""
        self._recorded = []
        if name == ACTS_LATE:
            host = self.hosts[key[HOSTS + host_id - 1]]
            view = _view_of(self._seen(key, host_id - 1))
            self._recorded.append((host_id, self.reactor.one_step(host, host_id, view)))
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
            host = self.hosts[key[HOSTS + index]]
            if host.on and host.agent_lives:
                if host.slow:
                    self._catching_up(key, index, host, found)
                if faults:
                    self._with_broker(key, index, host, found)
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

    def _with_broker(self, key: Key, index: int, host: Host, found: list[Edge]) -> None:
        if host.broker:
            view = host.view or (self._view(key, index) if host.looked else None)
            gone = self.number(host._replace(broker=False, view=view))
            self._add(found, index, "broker dies", Kind.FAULT, _with(key, index, gone))
        if not host.slow:
            view = host.view or self._view(key, index)
            slow = self.number(host._replace(slow=True, view=view))
            self._add(found, index, "falls behind", Kind.FAULT, _with(key, index, slow))

    def _catching_up(self, key: Key, index: int, host: Host, found: list[Edge]) -> None:
        view = None if host.broker else host.view
        awake = self.number(host._replace(slow=False, view=view))
        self._add(found, index, "catches up", Kind.FAIR, _with(key, index, awake))
        turn = self.reactor.one_step(host, index + 1, _view_of(self._seen(key, index)))
        for fired in turn.fired:
            self.broken += fired.broken
        if turn.host != host:
            acted = _with(key, index, self.number(turn.host))
            self._add(found, index, ACTS_LATE, Kind.EITHER, acted)
        if host.broker:
            newer = self.number(host._replace(view=self._view(key, index)))
            self._add(found, index, "looks, acts later", Kind.LAG, _with(key, index, newer))

    def _add(self, found: list[Edge], index: int, name: str, kind: Kind, key: Key) -> None:
        found.append(Edge(index + 1, name, kind, key))

    # --- what concerns several --------------------------------------------------------

    def _common_edges(self, key: Key, found: list[Edge], faults: bool) -> None:
        other = (key[0], 1 - key[1], *key[HOSTS:])
        if key[1]:
            self._add(found, -1, "global maintenance off", Kind.HEAL, other)
        elif faults:
            self._add(found, -1, "global maintenance on", Kind.FAULT, other)
        doms = [self.hosts[number].dom for number in key[HOSTS:]]
        if Dom.LEAVING in doms or Dom.ARRIVING in doms:
            self._add(found, -1, "migration ends", Kind.FAIR, self._migrated(key, doms))
        elif faults and _OWNERS[key[0]]:
            self._migrations(key, _OWNERS[key[0]] - 1, found)

    def _migrations(self, key: Key, source: int, found: list[Edge]) -> None:
        for target in self._ids:
            if self._can_migrate(key, source, target):
                moved = self._migrating(key, source, target)
                self._add(found, -1, "a person migrates the VM", Kind.FAULT, moved)

    def _can_migrate(self, key: Key, source: int, target: int) -> bool:
        leaving, arriving = self.hosts[key[HOSTS + source]], self.hosts[key[HOSTS + target]]
        ready = leaving.runs and leaving.hold is Hold.YES and leaving.libvirt
        room = arriving.dom is Dom.ABSENT and not arriving.job and arriving.libvirt
        joined = leaving.life is arriving.life is Life.LIVE and leaving.storage
        return source != target and ready and arriving.on and room and joined

    def _migrating(self, key: Key, source: int, target: int) -> Key:
        leaving, arriving = self.hosts[key[HOSTS + source]], self.hosts[key[HOSTS + target]]
        # libvirt releases the lease when it pauses the source, and only then.
        moved = (_lease_number(FREE), *key[1:])
        gone = leaving._replace(dom=Dom.LEAVING, hold=Hold.NO, asked=False)
        here = arriving._replace(dom=Dom.ARRIVING, ending=VmEnding.NONE)
        return _with(_with(moved, source, self.number(gone)), target, self.number(here))

    def _migrated(self, key: Key, doms: list[Dom]) -> Key:
        """Over to the target if it gets the lease, else back; a side may have died meanwhile."""
        source = doms.index(Dom.LEAVING) if Dom.LEAVING in doms else None
        target = doms.index(Dom.ARRIVING) if Dom.ARRIVING in doms else None
        free = _LEASES[key[0]] == FREE
        over = free and source is not None and self._can_run(key, target)
        if target is not None:
            key = self._put(key, target, _arrived(self._host(key, target), over))
        if source is not None:
            back = free and not over and self._can_run(key, source)
            key = self._put(key, source, _left(self._host(key, source), source + 1, over, back))
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
        broken = tuple(why for fired in turn.fired for why in fired.broken)
        if broken:
            self._breaches[cached] = broken
        return self.number(turn.host)

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
        if not host.on or not host.storage or host.life in cut_off:
            return shape.GONE
        if host.agent is Agent.STOPPED:
            return shape.STOPPED
        if host.mem is None or not host.broker:
            return shape.UNDECIDED
        if host.local:
            return shape.IN_MAINTENANCE
        if host.mem.state is State.UNKNOWN_LOCAL_VM_STATE:
            return shape.SILENT
        return self.reactor.points(host)


class Exchange:
    """Gives hosts each other's ids."""

    def __init__(self, worlds: Worlds) -> None:
        self._worlds = worlds
        self._ids = range(worlds.size.hosts)
        self._renamed: dict[tuple[int, ...], dict[int, int]] = {}
        self._ranks: dict[int, int] = {}
        self._rank_numbers: dict[Host, int] = {}

    def same(self, key: Key) -> Key:
        owner = _OWNERS[key[0]] - 1
        ranks = [(index != owner, self._rank(key[HOSTS + index])) for index in self._ids]
        order = sorted(self._ids, key=ranks.__getitem__)
        alike = [ranks[index] for index in order]
        if len(set(alike)) == len(alike):
            return self._ordered(key, tuple(order))
        return min(self._ordered(key, other) for other in _equal_orders(order, ranks))

    def _ordered(self, key: Key, order: tuple[int, ...]) -> Key:
        """The hosts in this order, each with the id of its new place."""
        if order == tuple(self._ids):
            return key
        new_ids = (0, *(order.index(index) + 1 for index in self._ids))
        renamed = self._renamed.setdefault(order, {})
        lease = _LEASES[key[0]]
        hosts = []
        for index in order:
            number = key[HOSTS + index]
            if number not in renamed:
                host = _with_ids(self._worlds.hosts[number], order, new_ids)
                renamed[number] = self._worlds.number(host)
            hosts.append(renamed[number])
        return (_lease_number(lease._replace(owner=new_ids[lease.owner])), key[1], *hosts)

    def _rank(self, number: int) -> int:
        """Equal for hosts that differ only in what they know of others' ids."""
        found = self._ranks.get(number)
        if found is None:
            host = self._worlds.hosts[number]
            mem = host.mem and host.mem._replace(owner=0)
            plain = host._replace(mem=mem, view=None)
            found = self._rank_numbers.setdefault(plain, len(self._rank_numbers))
            self._ranks[number] = found
        return found


def _equal_orders(
    order: Sequence[int], ranks: Sequence[tuple[bool, int]]
) -> Iterator[tuple[int, ...]]:
    wanted = [ranks[index] for index in order]
    for other in permutations(order):
        if [ranks[index] for index in other] == wanted:
            yield other


def _with_ids(host: Host, order: tuple[int, ...], new_ids: tuple[int, ...]) -> Host:
    mem, view = host.mem, host.view
    if mem is not None:
        mem = mem._replace(owner=new_ids[mem.owner])
    if view is not None:
        lease = new_ids[view.lease] if view.lease > 0 else view.lease
        view = View(lease, view.maintenance, tuple(view.peers[index] for index in order))
    return host._replace(mem=mem, view=view)


def broken_in(world: World) -> Iterator[str]:
    """The rules that a world itself breaks."""
    running = [index for index, host in enumerate(world.hosts, start=1)
               if host.runs and host.hold is not Hold.NO]  # fmt: skip
    if len(running) > 1:
        yield "at most one running engine"
    for host_id in running:
        if world.lease != Lease(host_id, Left.HELD):
            yield "an engine runs though its lease can be taken"


def _with(key: Key, index: int, number: int) -> Key:
    place = HOSTS + index
    return (*key[:place], number, *key[place + 1 :])


def _view_of(seen: tuple[int, ...]) -> View:
    return View(seen[0], bool(seen[1]), seen[2:])


def _waits(host: Host, index: int, seen: tuple[int, ...]) -> Waits:
    mem = host.mem
    if mem is None or not host.broker or not can_ask(host):
        return _NO_WAITS
    codes = [code for other, code in enumerate(seen[2:]) if other != index]
    turns = sum(code > 0 for code in codes) if seen[0] == 0 else 0
    left_over = seen[0] == index + 1 and host.dom is Dom.ABSENT
    return Waits(turns, left_over, shape.UNDECIDED in codes)


def _left(host: Host, host_id: int, arrives: bool, back: bool) -> Host:
    if arrives:
        return ended(host, host_id, FREE, VmEnding.MIGRATED)[0]
    return host._replace(dom=Dom.GOOD if back else Dom.PAUSED, hold=Hold(back))


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
