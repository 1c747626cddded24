"""All that ``--deploy`` reaches, in one place; `real_world` builds it."""

from __future__ import annotations

import os
import socket
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Protocol, TypeVar

from hosted_engine.host.probes import Probes
from hosted_engine.host.units import SystemdUnits, Units
from metadata.records import VolumeAddress
from metadata.settings.parse import StorageParts
from world.ports.jobs import Clock
from world.ports.libvirt import Hypervisor
from world.ports.sanlock import LockspaceAdmin
from world.ports.storage import BlockStore

T = TypeVar("T")


class FormatStore(BlockStore, Protocol):
    """Storage that can be prepared."""

    def zero(self, address: VolumeAddress, size: int) -> None:
        """Write zeros durably; raises StorageError."""

    def probe_direct_io(self, path: str) -> None:
        """Raise StorageError unless `path` takes direct I/O."""


@dataclass(frozen=True)
class DeployWorld:
    """The world of one deployment.

    `store` is touched by jobs for `with_storage` alone: they have a deadline, and are values that
    pickle takes. Of the `lockspace`, every method but `join` has one. `uses_sanlock`: is that
    libvirt's lock manager?
    """

    store: FormatStore
    storage_jobs: Callable[[Callable[[], Any]], Any]
    lockspace: Callable[[StorageParts], LockspaceAdmin]
    hypervisor: Callable[[str, str], Hypervisor]
    uses_sanlock: Callable[[], bool]
    units: Units
    probes: Probes
    clock: Clock
    sleep: Callable[[float], None]
    host_name: str
    gateway: str
    settings_file: str
    say: Callable[[str], None]

    def with_storage(self, job: Callable[[], T]) -> T:
        """The result of a job that touches `store`.

        Raises what the job raises of WorldError, and CommandError when it does not end in time.
        """
        result: T = self.storage_jobs(job)
        return result


def block_sector_size(path: str) -> int:
    """Logical sector size of a block device; 512 for files and where it can't be told."""
    try:
        status = Path(path).stat()
        if not stat.S_ISBLK(status.st_mode):
            return 512
        device = Path(f"/sys/dev/block/{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}")
        # A partition has no queue of its own; its disk is one folder up.
        queues = [device / "queue", device.resolve().parent / "queue"]
        texts = [(queue / "logical_block_size").read_text() for queue in queues if queue.is_dir()]
        return int(texts[0]) if texts else 512
    except (OSError, ValueError):
        return 512


def default_gateway(routes: str) -> str:
    """The IPv4 default gateway in the text of ``/proc/net/route``; empty: there is none."""
    for line in routes.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[1] == fields[7] == "00000000" and fields[2] != "00000000":
            return socket.inet_ntoa(bytes.fromhex(fields[2])[::-1])  # little-endian there
    return ""


def _routes() -> str:
    try:
        return Path("/proc/net/route").read_text(encoding="ascii")
    except OSError:
        return ""


def _lockspace(parts: StorageParts) -> LockspaceAdmin:
    """sanlock, none of whose answers but a join's is waited for long."""
    from hosted_engine.host import storage_deadline as deploy_deadline
    from world.storage.sanlock_lockspace import SanlockLockspace

    sanlock: LockspaceAdmin = SanlockLockspace(parts)
    whom = "sanlock (see 'sanlock client status')"
    return deploy_deadline.bounded(sanlock, whom, deploy_deadline.SANLOCK_DEADLINE_S, but=("join",))


def real_world() -> DeployWorld:
    """This machine."""
    from ha_broker.api import paths
    from hosted_engine.host import storage_deadline as deploy_deadline
    from hosted_engine.host.probes import HostProbes
    from world.host.clock import SystemClock
    from world.storage.direct_store import DirectStore
    from world.vm.libvirt_hypervisor import LibvirtHypervisor, uses_sanlock

    return DeployWorld(
        store=DirectStore(),
        storage_jobs=deploy_deadline.with_storage,
        lockspace=_lockspace,
        hypervisor=LibvirtHypervisor,
        uses_sanlock=uses_sanlock,
        units=SystemdUnits(),
        probes=HostProbes(),
        clock=SystemClock(),
        sleep=time.sleep,
        host_name=socket.gethostname(),
        gateway=default_gateway(_routes()),
        settings_file=paths.host_settings_file(),
        say=lambda line: print(line, flush=True),
    )
