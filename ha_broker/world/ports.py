"""The protocols through which both daemons reach the world.

Every method here may block for as long as the world likes (storage hangs, daemons
freeze). The cores therefore never call a blocking method themselves: they hand a closure
to `Runner.submit` and look at `Runner.poll` in a later cycle.

What they raise stands in `ha_broker.world.errors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Callable, Generic, Optional, Protocol, TypeVar

from ha_broker.world.errors import (
    HypervisorError as HypervisorError,
)
from ha_broker.world.errors import (
    HypervisorGoneError as HypervisorGoneError,
)
from ha_broker.world.errors import (
    LeaseHeldError as LeaseHeldError,
)
from ha_broker.world.errors import (
    LockspaceBusyError as LockspaceBusyError,
)
from ha_broker.world.errors import (
    LockspaceError as LockspaceError,
)
from ha_broker.world.errors import (
    LockspaceGoneError as LockspaceGoneError,
)
from ha_broker.world.errors import (
    StorageError as StorageError,
)
from ha_broker.world.errors import (
    WorldError as WorldError,
)
from metadata.host_notes import MachineIdentity
from metadata.notification_settings import SmtpSettings, WebhookSettings
from metadata.records import VolumeAddress

T = TypeVar("T")


# --- time -----------------------------------------------------------------------------


class Clock(Protocol):
    """Time. Only `monotonic_s` ever decides; `wall_s` is for people."""

    def monotonic_s(self) -> float:
        """Seconds of CLOCK_MONOTONIC, which stands still while the machine is suspended."""

    def boottime_s(self) -> float:
        """Seconds of CLOCK_BOOTTIME: as monotonic, but it counts a suspend too.

        How far the two are apart tells how long the machine has slept; nothing else is
        reckoned with it.
        """

    def wall_s(self) -> float:
        """Seconds since the epoch."""


# --- work that may hang ---------------------------------------------------------------


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """How a submitted job ended: a value, or the error that it raised."""

    key: str
    value: Optional[T]
    error: Optional[Exception]
    started_at_s: float
    finished_at_s: float


class Runner(Protocol):
    """Runs blocking jobs apart from the cycle, at most one per key at a time.

    A job that hangs occupies its own key only. A finished job calls the runner's wake
    callback, so that the cycle need not wait for its next tick.
    """

    def submit(self, key: str, job: Callable[[], object]) -> bool:
        """Start `job` under `key`; False when that key is still busy."""

    def busy_since_s(self, key: str) -> Optional[float]:
        """Monotonic second at which the running job of `key` began; None when idle."""

    def poll(self) -> list[Outcome[object]]:
        """The jobs that ended since the last call, in the order in which they ended."""


# --- processes ------------------------------------------------------------------------


@dataclass(frozen=True)
class ProcessStart:
    """One process: `identity` differs from that of any other of this boot of the machine.

    `began_s` is when it began, in seconds of CLOCK_MONOTONIC.
    """

    identity: str
    began_s: float


class Processes(Protocol):
    """The processes of this machine."""

    def started(self, pid: int) -> Optional[ProcessStart]:
        """The process that has `pid` now; None: not known. Never blocks, never raises."""


# --- shared storage -------------------------------------------------------------------


class BlockStore(Protocol):
    """Direct, aligned, synchronous I/O on the shared storage.

    `offset` and sizes are multiples of 4096 bytes.
    """

    def read(self, address: VolumeAddress, size: int) -> bytes:
        """Read `size` bytes; raises StorageError, also when the volume is too short."""

    def write(self, address: VolumeAddress, data: bytes) -> None:
        """Write `data` durably; raises StorageError."""

    def size(self, path: str) -> int:
        """Size in bytes of a file or block device, found by seeking."""


# --- sanlock --------------------------------------------------------------------------


class Liveness(str, Enum):
    """sanlock's word on a host of the lockspace."""

    UNKNOWN = "unknown"
    FREE = "free"
    LIVE = "live"
    FAIL = "fail"
    DEAD = "dead"


@dataclass(frozen=True)
class LockspaceHost:
    """One host as sanlock's `get_hosts` shows it."""

    host_id: int
    generation: int
    timestamp: int
    liveness: Liveness


@dataclass(frozen=True)
class Renewal:
    """One successful renewal of this host's id, as sanlock's daemon remembers it.

    `timestamp` is its second of this machine's monotonic clock. `read_s` and `write_s` are what
    reading and writing took, in steps of a millisecond (both 0 in the one that was the join).
    `timeouts` and `errors` are how many attempts after it, before the next one, ended so.
    """

    timestamp: int
    read_s: float
    write_s: float
    timeouts: int = 0
    errors: int = 0


@dataclass(frozen=True)
class LeaseOwner:
    """The owner of the engine's lease as it stands on the storage (alive or not)."""

    host_id: int
    generation: int


@dataclass(frozen=True)
class HostPlace:
    """A host id's place in the lockspace as it stands on the storage; timestamp 0: it is free.

    `owner_name` is the name under which a daemon joined with that id.
    """

    owner_name: str
    generation: int
    timestamp: int


class Membership(str, Enum):
    """This host's place in the lockspace."""

    JOINED = "joined"
    JOINING = "joining"
    OUT = "out"


class Lockspace(Protocol):
    """The sanlock lockspace and the engine's lease."""

    def join(self, host_id: int, io_timeout_s: int) -> None:
        """Join and wait until it is done (about 2.5 x io_timeout); joined already is fine.

        Raises LockspaceError (EINVAL: this host is joined with another id).
        """

    def leave_if_unused(self, host_id: int) -> bool:
        """Leave; False (and still joined) while any process here holds a lease of it."""

    def membership(self, host_id: int) -> Membership:
        """Asked of the local daemon, without I/O on the storage."""

    def hosts(self) -> list[LockspaceHost]:
        """All hosts sanlock knows of, without I/O on the storage."""

    def lease_owner(self) -> Optional[LeaseOwner]:
        """Read the lease's owner from storage; None: nobody owns it."""

    def process_holds_lease(self, pid: int) -> bool:
        """Does the local process `pid` hold the engine's lease, at its place? Without I/O.

        Raises LockspaceBusyError where sanlock had no time for the question for a second.
        """

    def process_is_registered(self, pid: int) -> bool:
        """Is the local process `pid` a client of sanlock, with or without leases?

        Raises as `process_holds_lease`.
        """

    def fire_timeout_s(self) -> int:
        """The daemon's watchdog_fire_timeout: so long after its last good moment the watchdog
        resets a host that sanlock has given up. Without I/O on the storage; not cheap."""

    def place(self, host_id: int) -> Optional[HostPlace]:
        """Read from the storage what stands in a host id's place of the lockspace; None:
        nothing of sanlock's."""

    def held_version(self, pid: int) -> Optional[int]:
        """The version of the engine's lease that `pid` holds; None: it holds none. Without I/O.

        The version rises by one each time that anybody takes the lease.
        """

    def lease_version(self) -> int:
        """The same as it stands on the storage, held or free."""

    def renewals(self) -> list[Renewal]:
        """This host's latest renewals, the oldest first; without I/O on the storage.

        Raises LockspaceError (ENOENT: not joined).
        """


@dataclass(frozen=True)
class LockspaceOnStorage:
    """A formatted lockspace as it stands on the storage."""

    name: str
    io_timeout_s: int


@dataclass(frozen=True)
class LeaseOnStorage:
    """A formatted lease as it stands on the storage."""

    lockspace: str
    name: str


class WriterLock(Protocol):
    """The lock of who writes the shared configuration: a second lease of the lockspace.

    Every call may block or raise LockspaceError: LeaseHeldError (a live host has it), -223 (the
    cluster was made without it), ENOSPC (this host has not joined the lockspace).
    """

    def take_config_lease(self) -> None:
        """Take it for this process; it is let go with the process at the latest.

        Blocks while its holder's host has fallen silent and is not surely dead (up to
        8 x io_timeout + fire_timeout_s).
        """

    def drop_config_lease(self) -> None:
        """Let it go; fine when this process has not got it."""

    def config_lease_owner(self) -> Optional[LeaseOwner]:
        """Read its owner, alive or not, from the storage; None: nobody has it."""

    def has_config_lease(self) -> bool:
        """Is there such a lease on the storage?"""

    def format_config_lease(self) -> None:
        """Make it, free; refused (EEXIST) where there is one.

        Two that make it at the same time can both take it afterwards: who does so must be the
        only one.
        """


class LockspaceAdmin(Lockspace, WriterLock, Protocol):
    """What deploying needs beyond `Lockspace`. Every call may block or raise LockspaceError."""

    def format_lockspace(self, io_timeout_s: int) -> None:
        """Write an empty lockspace; every membership and every lease in it is lost.

        Refused (EBUSY) only while this host's own daemon has joined it: sanlock itself formats
        a lockspace in use without a word.
        """

    def format_lease(self) -> None:
        """Write a free lease; refused (EBUSY) while this host's daemon has joined."""

    def read_lockspace(self) -> Optional[LockspaceOnStorage]:
        """The lockspace on the storage; None: there is none."""

    def read_lease(self) -> Optional[LeaseOnStorage]:
        """The lease on the storage; None: there is none."""

    def daemon_host_name(self) -> str:
        """The name that sanlock's daemon gives this host (``our_host_name``, else random)."""

    def holders(self) -> list[int]:
        """Pids of the local processes that hold the engine's lease."""


# --- libvirt --------------------------------------------------------------------------


class DomainState(str, Enum):
    """The engine's domain on this host."""

    RUNNING = "running"
    PAUSED = "paused"
    ABSENT = "absent"
    UNKNOWN = "unknown"


class Ending(str, Enum):
    """Why the engine's domain is not running any more, as far as libvirt's events told."""

    NONE = "none"  # it has not run here since this process started
    CRASHED = "crashed"  # qemu was killed or died, or the guest panicked
    GUEST_SHUTDOWN = "guest-shutdown"  # powered off from inside
    STOPPED = "stopped"  # shut down or destroyed through libvirt
    MIGRATED = "migrated"  # left by live migration
    MISSING = "missing"  # gone, and no event said why


@dataclass(frozen=True)
class Domain:
    """What libvirt says of the engine's domain here.

    `pid` is qemu's process id while it runs or is paused; `detail` is libvirt's reason in
    words ("user", "ioerror", ...). `leaving`: it runs, and a live migration is taking it away.
    """

    state: DomainState
    ending: Ending = Ending.NONE
    pid: Optional[int] = None
    detail: str = ""
    leaving: bool = False


@dataclass(frozen=True)
class EngineCpu:
    """CPU seconds that the domain of process `pid` has used here; None: libvirt can't say."""

    pid: Optional[int]
    used_s: Optional[float]


class Hypervisor(Protocol):
    """libvirt, reduced to the engine's domain. Every call may block or raise HypervisorError."""

    def domain(self) -> Domain:
        """The engine's domain now; raises HypervisorGoneError when libvirt can't say."""

    def start(
        self, domain_xml: str, before_run: Callable[[Optional[int]], None] = lambda _pid: None
    ) -> Domain:
        """Clean up a stale inactive domain, create a transient one, and return it running.

        qemu is created paused; `before_run` gets its process id (None: not to be found) before
        the guest's first instruction. Whatever it raises is passed on, and the domain is
        switched off without ever having run. Raises LeaseHeldError when another host holds
        the lease, else HypervisorError.
        """

    def shutdown(self) -> None:
        """Ask the guest to power off (ACPI)."""

    def resume_after_migration(self) -> None:
        """Let the VM go on that a migration from here has left paused, with its lease.

        Raises LeaseHeldError when another host has the lease, HypervisorError when the VM is in
        any other condition, or libvirt is still at the migration.
        """

    def destroy(self) -> None:
        """Switch the domain off at once; fine when there is none."""

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` from any thread when the domain's state may have changed."""


class MeasuredHypervisor(Hypervisor, Protocol):
    """libvirt with what only the broker asks of it."""

    def cpu_time(self) -> Optional[EngineCpu]:
        """CPU time the engine's domain has used here; None: it is not here. Raises
        HypervisorError."""

    def ping_guest(self, timeout_s: float) -> bool:
        """Does the guest agent answer? Raises HypervisorError when it can't be asked at all."""


class AdministeredHypervisor(Hypervisor, Protocol):
    """libvirt with what only the administrator's command asks of it."""

    def start_paused(
        self, domain_xml: str, before_run: Callable[[Optional[int]], None] = lambda _pid: None
    ) -> Domain:
        """As `start`, but the guest does not run yet, and so qemu does not hold the lease yet:
        libvirt takes it when somebody resumes the domain. Raises HypervisorError."""

    def live_xml(self) -> str:
        """The domain as it is here now, in libvirt's words; raises HypervisorError."""

    def update_device(self, device_xml: str) -> None:
        """Change a device of the domain that is here, until it ends; raises HypervisorError."""


# --- engine health and network --------------------------------------------------------


@dataclass(frozen=True)
class HealthReading:
    """One look at the engine's health page.

    Not `known`: no look could be made (the page's name can't be resolved, the address is
    none, its certificate does not verify), which says nothing about the engine. `answered`:
    it is not good, but in reach: something else than it should be was said, or a refusal.
    """

    good: bool
    detail: str
    known: bool = True
    answered: bool = False


class HealthPage(Protocol):
    """The engine's health page."""

    def check(
        self, url: str, expected_text: str, timeout_s: float, ca_file: str = ""
    ) -> HealthReading:
        """Fetch the page; never raises: what went wrong is in `detail`.

        With `ca_file` the certificate of an HTTPS page, and the name in it, are verified.
        """


class NetworkProbe(Protocol):
    """Tries whether the network works, once for each call.

    Each says whether there was an answer in time, and raises WorldError when nothing could be
    tried (no right to, no such name): that says nothing about the network.
    """

    def ping(self, address: str, timeout_s: float) -> bool:
        """Does `address` answer an ICMP echo?"""

    def tcp(self, host: str, port: int, timeout_s: float) -> bool:
        """Does `host` accept a connection to `port`?"""

    def dns(self, server: str, timeout_s: float) -> bool:
        """Does the name server answer a question over TCP, whatever it answers?

        Empty: the first one of this host's resolv.conf.
        """


# --- this host ------------------------------------------------------------------------


@dataclass(frozen=True)
class CpuTimes:
    """The host's CPUs since its boot: seconds of all of them together, busy and altogether."""

    busy_s: float
    total_s: float
    cpus: int


@dataclass(frozen=True)
class MemoryFree:
    """What a new process could get: ordinary memory, and free huge pages by their size.

    `usual_huge_page` is the size in bytes of those that are meant where none is named; None:
    this kernel has no huge pages.
    """

    available_bytes: int
    huge_free_bytes: tuple[tuple[int, int], ...] = ()  # (page size, free bytes of that size)
    usual_huge_page: Optional[int] = None


@dataclass(frozen=True)
class BridgeLook:
    """A network bridge: can it carry traffic, and in words what was seen."""

    up: bool
    detail: str


@dataclass(frozen=True)
class SpaceLook:
    """Room on the file system that holds a path."""

    free_bytes: int
    total_bytes: int


class HostVitals(Protocol):
    """This host's own condition, from its kernel. Each raises WorldError when it can't be had."""

    def cpu_times(self) -> CpuTimes:
        """The CPUs' times until now."""

    def memory(self) -> MemoryFree:
        """Free memory now."""

    def bridge(self, name: str) -> BridgeLook:
        """The bridge `name`; one that is not there is not up."""

    def identity(self) -> MachineIdentity:
        """Which machine this is; never raises: what can't be had is empty."""

    def space(self, path: str) -> Optional[SpaceLook]:
        """Room where `path` lies; None: on no file system, it is a block device."""


# --- notifications --------------------------------------------------------------------


class DeliveryError(WorldError):
    """A message was not delivered; `final`: the other side refused this very message."""

    def __init__(self, what: str, why: str, final: bool = False) -> None:
        super().__init__(what, why)
        self.final = final


@dataclass(frozen=True)
class Letter:
    """A mail: its envelope, and its whole text with headers."""

    sender: str
    to: tuple[str, ...]
    content: bytes


@dataclass(frozen=True)
class RefusedRecipient:
    """One who does not get the mail that others got; not `final`: may be tried again."""

    address: str
    why: str
    final: bool


@dataclass(frozen=True)
class Receipt:
    """What the other side said when it took a message, and who was refused."""

    words: str
    refused: tuple[RefusedRecipient, ...] = ()


class Courier(Protocol):
    """Takes messages out of the house. Each call may block; none longer than its time-out,
    but for the time that resolving a name takes."""

    def mail(self, server: SmtpSettings, letter: Letter) -> Receipt:
        """Hand it to the mail server; raises DeliveryError when nobody gets it."""

    def post(self, webhook: WebhookSettings, body: bytes) -> Receipt:
        """POST the JSON `body`, signed; raises DeliveryError."""


# --- plug-ins -------------------------------------------------------------------------

PLUGIN_START_S = 10.0  # what a plug-in may take to start, beside the time of its measurement


@dataclass(frozen=True)
class PluginWord:
    """One measurement of a plug-in: `share` (0..1) of its points is lost; None: not known."""

    share: Optional[float]
    detail: str


class Plugin(Protocol):
    """A further monitor, which somebody else wrote."""

    def measure(self, timeout_s: float) -> PluginWord:
        """Ask it once; raises WorldError when there is no measurement."""

    def close(self) -> None:
        """End it; quick, and from any thread."""


PluginMaker = Callable[[str, Mapping[str, str]], Plugin]


# --- service manager ------------------------------------------------------------------


class ServiceManager(Protocol):
    """systemd's notification socket; silently nothing when there is none."""

    def ready(self) -> None:
        """READY=1."""

    def status(self, text: str) -> None:
        """STATUS=text."""

    def alive(self) -> None:
        """WATCHDOG=1."""

    def stopping(self) -> None:
        """STOPPING=1."""
