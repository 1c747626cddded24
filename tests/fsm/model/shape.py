# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The abstract world: small immutable tuples, so that a million of them can be compared."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, Optional

from fsm.observation import HostStop, MoveOutcome, StartOutcome, VmEnding
from metadata.states import State


class Agent(IntEnum):
    KILLED = 0
    RUNS = 1
    STOPPING = 2
    STOPPED = 3  # in order: its record says so


class Dom(IntEnum):
    ABSENT = 0
    CREATED = 1  # paused by the start, before the guest's first instruction
    PAUSED = 2
    LEAVING = 3  # paused by libvirt, migrates out
    ARRIVING = 4
    BOOTS = 5
    GOOD = 6
    SICK = 7
    HELD = 8  # as LEAVING, but nothing comes of the migration any more
    STUCK = 9  # as HELD, but its process has the lease still, so that nothing can let it go on
    STRANDED = 10  # ... for so long that its agent can find that out


class Hold(IntEnum):
    """What a running VM's process has of the lease."""

    NO = 0
    YES = 1
    LOST = 2  # it had it, and its sanlock was restarted
    SLEPT = 3  # its sanlock lists it still, but its host slept until others could take it


class Life(IntEnum):
    """The host's place in the lockspace, as the others are to see it."""

    LIVE = 0
    GONE = 1  # its sanlock daemon died, a moment ago
    LAPSED = 2  # ... for 8 x io_timeout
    EXPIRED = 3  # no renewal for 8 x io_timeout: its lease holders are killed
    DEAD = 4  # its leases are free
    JOINS = 5


class Job(IntEnum):
    NONE = 0
    CREATE = 1
    ACQUIRE = 2


class Left(IntEnum):
    """How the lease's owner has it."""

    HELD = 0
    LEFT = 1  # the VM has ended, sanlock is about to write the release
    STUCK = 2  # sanlock could not write it


RUNNING = frozenset({Dom.BOOTS, Dom.GOOD, Dom.SICK})

# Codes of a peer's record, beside its score (0 and up).
UNDECIDED, GONE, IN_MAINTENANCE, STOPPED, SILENT, MOVING, MOVING_OUT = -1, -2, -3, -4, -5, -6, -7
# Of these the engine is leaving; the second one is in local maintenance.
LEAVING_IT = (MOVING, MOVING_OUT)
# Added to the score of a host that gave the engine away lately.
GAVE = 10_000
# With fewer points a host has lost its network.
HAS_NETWORK = 1_900
LEASE_UNKNOWN, LEASE_FREE = -1, 0


class For(IntEnum):
    """What the engine is moved for."""

    NOTHING = 0
    MAINTENANCE = 1
    PERSON = 2
    SHUTDOWN = 3
    CUT_OFF = 4
    DARK = 5
    BETTER = 6


# What a host wants moved by itself: the first two are for an engine out of reach.
REACH_MOVES = frozenset({For.CUT_OFF, For.DARK})
OWN_MOVES = REACH_MOVES | {For.BETTER}


class Mem(NamedTuple):
    """`fsm.memory.Memory` with classes of age for its moments; see `concrete`."""

    state: State = State.START_STATE
    age: int = 0  # how many thresholds of the state are behind
    due: bool = False  # the latest action may be repeated
    failed: int = 0
    crashed: bool = False
    free: int = 0  # turns for which the lease has been free
    left: int = 0  # 1: the lease has been left over here for a turn
    held: bool = False
    settled: bool = False
    owner: int = 0
    # Looks at the storage that deny the lease of the VM here. 0: none; 1: one, the latest;
    # 2: one, and there may be another; 3: two.
    denied: int = 0
    waited: bool = False  # a moving engine was waited for long enough
    between: bool = False  # for a while nobody has had the lease of the VM that is leaving here
    # 1: cut off, 2: for isolated_s, 3: ... and so long that no time is left for a move
    cut: int = 0
    # 1: dark for all, 2: no old news any more, 3: for bad_health_s, 4: no time for a move is left
    dark: int = 0
    gave: int = 0  # 1: gave the engine away as it was cut off, 2: ... behind a good network
    leaving: bool = False  # ... by the stop that is under way
    reached: bool = False  # somebody reached it here since; kept while it was moved lately
    broke: Optional[State] = None  # what a moment of not knowing broke off
    broke_age: int = 0  # how many thresholds of that state were behind
    move: For = For.NOTHING
    target: int = 0
    ordered: bool = False
    refused: frozenset[int] = frozenset()
    over: bool = False  # nothing more is tried for that
    better_id: int = 0  # a host that is much better and takes the engine
    better: int = 0  # 1: it is, 2: for better_s
    day: bool = False  # the engine has been moved for that within a day


class View(NamedTuple):
    """What a broker says of the cluster. `peers` has this host's own place, unused."""

    lease: int
    maintenance: Optional[bool]
    peers: tuple[int, ...]


class Host(NamedTuple):
    on: bool = True
    agent: Agent = Agent.RUNS
    mem: Optional[Mem] = Mem()
    dom: Dom = Dom.ABSENT
    hold: Hold = Hold.NO
    ending: VmEnding = VmEnding.NONE
    libvirt: bool = True
    broker: bool = True
    looked: bool = False  # this agent has had a first look of the broker
    storage: bool = True
    reads: bool = True  # sanlock can read the lease
    slot0: bool = True  # the broker can read whether there is global maintenance
    life: Life = Life.LIVE
    local: bool = False
    poor: bool = False
    unseen: bool = False  # no other host reaches an engine that runs here
    job: Job = Job.NONE
    start: StartOutcome = StartOutcome.NONE
    kill: bool = False
    asked: bool = False
    wake: bool = False  # libvirt is to resume the VM
    stops: Optional[HostStop] = None  # the host is being shut down
    told: bool = False  # its record on the storage says that the engine is moving
    ends: bool = False  # its broker is to take local maintenance back
    request: bool = False  # a person wants the engine moved, as its broker says
    to: int = 0  # libvirt has been told to move the VM there, and has not begun
    moved: MoveOutcome = MoveOutcome.NONE
    slow: bool = False
    asleep: bool = False
    keeps: bool = False  # its agent's memory outlives the agent
    kept: Optional[Mem] = None  # what of it an agent that ended has left
    page: bool = True  # the engine has a health page
    own: bool = False  # its agent moves the engine by itself
    view: Optional[View] = None  # an old one that it still believes; None: the present one

    @property
    def runs(self) -> bool:
        return self.dom in RUNNING

    @property
    def agent_lives(self) -> bool:
        return self.agent in (Agent.RUNS, Agent.STOPPING)


class Lease(NamedTuple):
    owner: int = 0
    left: Left = Left.HELD


FREE = Lease()


class World(NamedTuple):
    lease: Lease
    maintenance: bool
    hosts: tuple[Host, ...]
