"""What the broker knows at one moment: the value that travels to the agent and the command.

Times are seconds of this machine's CLOCK_MONOTONIC (the same for all its processes), so a
reader computes ages itself, and an old snapshot can't look young. `None` means "not yet" or
"not known", never zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from ha_broker.world.ports import DomainState, Liveness, Membership
from metadata.records import EngineStatus, Health, HostRecord


@dataclass(frozen=True)
class StorageView:
    """How the broker's own I/O is doing."""

    last_read_at_s: Optional[float] = None
    last_write_at_s: Optional[float] = None  # own slot, confirmed by read-back
    busy_since_s: Optional[float] = None  # an I/O that has not ended yet
    latency_s: Optional[float] = None
    error: str = ""


@dataclass(frozen=True)
class LockspaceView:
    """This host's membership in the sanlock lockspace."""

    membership: Membership = Membership.OUT
    error: str = ""


class LeaseState:
    """Whether the engine's lease can be taken (plain strings, as they stand in the JSON)."""

    UNKNOWN = "unknown"
    FREE = "free"
    HELD = "held"


@dataclass(frozen=True)
class LeaseView:
    """The engine's lease: `owner_id` is kept for people even when that owner is dead."""

    state: str = LeaseState.UNKNOWN
    owner_id: Optional[int] = None
    seen_at_s: Optional[float] = None
    why: str = ""


@dataclass(frozen=True)
class EngineView:
    """The broker's own look at the engine's domain and health page on this host."""

    domain: DomainState = DomainState.UNKNOWN
    health: Health = Health.UNKNOWN
    detail: str = ""
    seen_at_s: Optional[float] = None


@dataclass(frozen=True)
class NetworkView:
    """Fraction (0..1) of the latest probes that failed; None before the first result."""

    failed_fraction: Optional[float] = None
    seen_at_s: Optional[float] = None


@dataclass(frozen=True)
class HostView:
    """One host of the cluster as this broker sees it, itself included.

    `record` is the last good record (kept, with its age, while the slot is damaged);
    `error` says what is wrong with the slot now. `fresh` means that the record's timestamp
    changed within the alive window, on our clock; it changed last at `changed_at_s`.
    """

    host_id: int
    liveness: Liveness = Liveness.UNKNOWN
    generation: int = 0
    record: Optional[HostRecord] = None
    error: str = ""
    fresh: bool = False
    changed_at_s: Optional[float] = None


@dataclass(frozen=True)
class ConfigView:
    """The shared configuration as last read: its sequence number, or what is wrong with it."""

    sequence: Optional[int] = None
    error: str = ""


@dataclass(frozen=True)
class Snapshot:
    """All that the broker knows. `sequence` rises with every change an agent may act on."""

    sequence: int
    taken_at_s: float
    host_id: int
    host_name: str
    started_at_s: float
    storage: StorageView = field(default_factory=StorageView)
    lockspace: LockspaceView = field(default_factory=LockspaceView)
    lease: LeaseView = field(default_factory=LeaseView)
    engine: EngineView = field(default_factory=EngineView)
    network: NetworkView = field(default_factory=NetworkView)
    config: ConfigView = field(default_factory=ConfigView)
    hosts: tuple[HostView, ...] = ()
    global_maintenance: Optional[bool] = None
    global_error: str = ""
    local_maintenance: bool = False
    agent_published_at_s: Optional[float] = None


@dataclass(frozen=True)
class Publication:
    """What the agent hands to the broker for this host's own slot.

    The broker adds host id, host name, timestamp, wall time and local maintenance, and writes
    it at once. `notes` are further lines of the record's text part.
    """

    score: int
    engine_status: EngineStatus
    state: str
    stopped: bool = False
    timeout_wall_time: str = ""
    notes: tuple[tuple[str, str], ...] = ()
    conf_on_shared_storage: bool = True
    vm_conf_refresh_s: int = 0
