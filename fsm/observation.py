# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the agent knows when it decides: plain values, made by `ha_agent.observation.collect`.

`None` means "not known (yet)", never zero and never false.
"""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from typing import Optional

from metadata.liveness import Liveness
from metadata.reach import Testimony
from metadata.records import Health
from metadata.value_class import value_class


class Vm(str, Enum):
    """The engine's domain on this host."""

    RUNNING = "running"
    PAUSED = "paused"  # by its user, an I/O error, a crash: it does not go on by itself
    IN_TRANSIT = "in-transit"  # paused by libvirt itself: it migrates, saves or takes a snapshot
    ABSENT = "absent"
    UNKNOWN = "unknown"


class VmEnding(str, Enum):
    """Why the domain is absent, as far as libvirt told; NONE: it has not run here."""

    NONE = "none"
    CRASHED = "crashed"
    GUEST_SHUTDOWN = "guest-shutdown"
    STOPPED = "stopped"
    MIGRATED = "migrated"
    MISSING = "missing"


class Lease(str, Enum):
    """The engine's lease, seen from this host."""

    UNKNOWN = "unknown"  # nor to the broker, or seen longer ago than `alive_s`
    FREE = "free"  # a try to take it can succeed; sanlock decides
    OURS = "ours"  # a process of this host holds it
    THEIRS = "theirs"  # a living (or not yet surely dead) other host holds it


class StartOutcome(str, Enum):
    """What became of the latest start that this agent asked for."""

    NONE = "none"
    RUNNING = "running"  # libvirt has not answered yet
    OK = "ok"  # the VM runs and sanlock lists its lease
    LEASE_HELD = "lease-held"  # another host was faster: no error
    FAILED = "failed"


class MoveOutcome(str, Enum):
    """What became of the latest live migration that this agent asked for."""

    NONE = "none"
    RUNNING = "running"  # libvirt has not answered yet
    DONE = "done"  # libvirt says that the VM runs on the target
    FAILED = "failed"  # the VM has stayed here, as far as libvirt can say


class HostStop(str, Enum):
    """What becomes of the engine when its host is shut down."""

    MIGRATE = "migrate"  # it moves alive; where no host can take it, it is shut down
    STOP = "stop"  # it is shut down in order, and the other hosts start it


@value_class(frozen=True)
class MoveRequest:
    """A person's order to move the engine; `to_id` None: to the best host."""

    request_id: str
    to_id: Optional[int] = None


@value_class(frozen=True)
class Peer:
    """Another host.

    fresh      its record changed within the alive window, on our clock
    testimony  what it sees of the engine's page; None: it is not one of those that look
    gave_away  it stopped the engine lately because nobody reached it there
    moving_limit_s, moving_to   it says that the engine leaves it by live migration: for how long
                                it asks the others to wait, and where to
    told_at_s                   when its record changed last, while it says so
    cannot_start   why it says that it can't start the engine now; empty: nothing is in the way
    takes_at       the address at which its libvirt takes the engine by live migration; empty: it
                   can't be, or its program does not say
    takes_not      why it says that it can't take the engine by live migration now
    better_moves   how often it says that it moved the engine to a better host within a day
    tries          how often it says that it tried in vain (`Memory.tries`)
    """

    host_id: int
    name: str = ""
    liveness: Liveness = Liveness.UNKNOWN
    fresh: bool = False
    score: int = 0
    maintenance: bool = False
    stopped: bool = False
    engine_up: bool = False
    engine_healthy: bool = False
    state: str = ""
    moving_limit_s: Optional[float] = None
    moving_to: str = ""
    told_at_s: Optional[float] = None
    cannot_start: str = ""
    takes_at: str = ""
    takes_not: str = ""
    better_moves: int = 0
    tries: int = 0
    testimony: Optional[Testimony] = None
    gave_away: bool = False

    @property
    def may_live(self) -> bool:
        """Does sanlock call it alive, or not know it yet? Just after joining it knows nobody."""
        return self.liveness in (Liveness.LIVE, Liveness.UNKNOWN)


@value_class(frozen=True)
class PluginCost:
    """What a plug-in says of this host: `share` (0..1) of its `points` is lost."""

    name: str
    points: int
    share: float
    detail: str = ""


@value_class(frozen=True)
class HostCondition:
    """What the score is made of; None: the monitor has no value, hence no penalty.

    The bytes and texts say why, for people; they cost nothing by themselves.
    """

    network_failed_fraction: Optional[float] = None
    cpu_load_without_engine: Optional[float] = None
    memory_sufficient: Optional[bool] = None
    bridge_up: Optional[bool] = None
    config_current: Optional[bool] = None
    memory_free_bytes: Optional[float] = None
    memory_needed_bytes: Optional[float] = None
    bridge_detail: str = ""
    plugins: tuple[PluginCost, ...] = ()


@value_class(frozen=True)
class Observation:
    """One look at everything.

    now_s                 monotonic seconds
    complete              the broker has had its first look at storage and lockspace
    blocked_why           why nothing can be started now (storage silent, lockspace not joined,
                          no configuration, broker gone ...); empty when nothing stands against it
    cannot_start_why      the same where it lasts until somebody mends it (a refused domain, two
                          hosts with one id): other hosts don't wait for this one
    global_maintenance    None: slot 0 has not been readable yet
    vm_leaving            a live migration takes the VM away: it runs while its memory is copied,
                          or is IN_TRANSIT after it had run here
    vm_stranded           it is paused, and nothing can let it go on: a live migration has failed,
                          and its process still holds the lease
    moving_limit_s        how long the others shall leave the lease alone for that
    vm_id, vm_began_s     which process the VM here is, and when it began; empty, None: not known
    vm_holds_lease        False: the VM is here, and sanlock does not list its lease for qemu's
                          process, or sanlock has been gone too long to be sure, or this host has
                          slept too long; None: not known
    vm_lease_why          for people, why it is False, where there is more to say
    lease_owner           the name (or id) of the lease's owner, for people
    lease_owner_id        its host id, while the lease is OURS or THEIRS
    lease_seen_at_s       when the storage was looked at for `lease` (None: now)
    vm_seen_at_s          when libvirt was asked for `vm` (None: now)
    vm_running_since_s    since when libvirt has shown this very process running, each time
                          (None: for as long as anybody looked)
    start, start_why      the latest start's outcome and its reason
    move_request          a person's order to move the engine away from here
    move_outcome, move_why   the latest migration that this agent asked for, and why it failed
    move_announced        this host's record on the storage says that the engine is moving
    host_stops            this host is being shut down, and the engine is not to go down with it
    host_stop_told        the other hosts have had the time to read that it is being shut down
    stop_requested        the agent was told to stop
    testimony             what this host sees of the page of an engine that runs elsewhere
    """

    now_s: float
    host_id: int
    complete: bool = False
    blocked_why: str = ""
    cannot_start_why: str = ""
    vm: Vm = Vm.UNKNOWN
    vm_ending: VmEnding = VmEnding.NONE
    vm_detail: str = ""
    vm_leaving: bool = False
    vm_stranded: bool = False
    moving_limit_s: float = 0.0
    vm_id: str = ""
    vm_began_s: Optional[float] = None
    health: Health = Health.UNKNOWN
    health_detail: str = ""
    lease: Lease = Lease.UNKNOWN
    lease_owner: str = ""
    lease_owner_id: Optional[int] = None
    lease_seen_at_s: Optional[float] = None
    vm_seen_at_s: Optional[float] = None
    vm_running_since_s: Optional[float] = None
    vm_holds_lease: Optional[bool] = None
    vm_lease_why: str = ""
    global_maintenance: Optional[bool] = None
    local_maintenance: bool = False
    start: StartOutcome = StartOutcome.NONE
    start_why: str = ""
    move_request: Optional[MoveRequest] = None
    move_outcome: MoveOutcome = MoveOutcome.NONE
    move_why: str = ""
    move_announced: bool = False
    host_stops: Optional[HostStop] = None
    host_stop_told: bool = True
    stop_requested: bool = False
    condition: HostCondition = field(default_factory=HostCondition)
    peers: tuple[Peer, ...] = ()
    testimony: Optional[Testimony] = None
