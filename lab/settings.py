# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Names, addresses and places of the lab, and the factor that stretches its time-outs."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

BRIDGE = "helab0"
NETWORK = "198.51.100.0/24"
PREFIX_LENGTH = 24
MANAGEMENT_BRIDGE = "ovirtmgmt"  # in each host
GATEWAY_ADDRESS = "198.51.100.1"
ENGINE_ADDRESS = "198.51.100.10"
# The lab looks at the engine from an address of its own, so that a gateway that is down
# does not blind the lab.
LAB_ADDRESS = "198.51.100.254"
FIRST_HOST_ADDRESS = 11
METRICS_PORT = 9177

MAX_HOSTS = 20
MAX_IO_TIMEOUT_S = 60
DEFAULT_HOSTS = 3
DEFAULT_IO_TIMEOUT_S = 2
# sanlock's watchdog_fire_timeout where its settings do not name another one; the shortest that its
# manual knows is 10.
USUAL_FIRE_TIMEOUT_S = 60
LEAST_FIRE_TIMEOUT_S = 10
# Of the engine's guest.
USUAL_MEMORY_MIB = 128
LEAST_MEMORY_MIB, MOST_MEMORY_MIB = 96, 4096

ENGINE_NAME = "HostedEngine"
HEALTH_PATH = "/ovirt-engine/services/health"
HEALTH_TEXT = "DB Up"
HEALTH_URL = f"http://{ENGINE_ADDRESS}{HEALTH_PATH}"
CONTROL_PORT = 8080

LOCKSPACE = "hosted-engine"
RESOURCE = "engine"
# Where the engine's lease lies in the volume of the leases.
LEASE_OFFSET = 1 << 20
LEASES_SIZE_BYTES = 32 << 20

# Paths inside the hosts.
HOST_LEASES = "/srv/san/leases"
HOST_FABRIC = "/srv/fabric"
HOST_GUEST_FILES = "/srv/engine"

CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Places:
    """Where the lab keeps its things on this machine."""

    state: Path

    @property
    def cache(self) -> Path:
        """What the next run can use again: kernel, product."""
        return self.state / "cache"

    @property
    def packages(self) -> Path:
        """The product's packages, built from this checkout."""
        return self.cache / "product"

    def release_root(self, release: str) -> Path:
        """A fresh root of a Debian release."""
        return self.cache / "roots" / release

    @property
    def lock(self) -> Path:
        """Held while the lab is built or removed."""
        return self.state / "lock"

    @property
    def run(self) -> Path:
        """A tmpfs with everything that belongs to one lab; gone when the lab is down."""
        return self.state / "run"

    @property
    def san(self) -> Path:
        """The shared volumes."""
        return self.run / "san"

    @property
    def leases(self) -> Path:
        """The volume with sanlock's leases and the product's metadata."""
        return self.san / "leases"

    @property
    def engine_disk(self) -> Path:
        """The engine VM's disk."""
        return self.san / "engine.img"

    def host(self, name: str) -> Path:
        """One host's folder."""
        return self.run / "hosts" / name

    def are_seen_by(self, pid: int) -> bool:
        """Whether the lab's folder is, to another process, this same folder.

        In a container a folder of that name is another lab's; its processes are visible here.
        """
        try:
            return Path(f"/proc/{pid}/root{self.state}").samefile(self.state)
        except OSError:
            return False


def places() -> Places:
    """The lab's places; the environment variable HE_LAB_STATE moves them."""
    path = Path(os.environ.get("HE_LAB_STATE") or "/var/lib/hosted-engine-lab")
    if not path.is_absolute():
        raise LabError(f"HE_LAB_STATE={path}: must be an absolute path")
    # A unix socket's name has at most 107 bytes, and the longest one of ours needs 45 of them.
    if len(str(path)) > 60:
        raise LabError(f"HE_LAB_STATE={path}: too long, at most 60 characters")
    return Places(path)


def time_factor() -> float:
    """How much slower than the reference machine this one is (HE_TIME_FACTOR, default 1)."""
    text = os.environ.get("HE_TIME_FACTOR") or "1"
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 0.1 <= factor <= 1000:
        raise LabError(f"HE_TIME_FACTOR={text}: must be a number from 0.1 to 1000")
    return factor


def scaled(seconds: float) -> float:
    """A time-out on this machine."""
    return seconds * time_factor()


def host_names(count: int) -> list[str]:
    """The names of the first ``count`` hosts."""
    return [f"h{number}" for number in range(1, count + 1)]


def host_address(name: str) -> str:
    """The LAN address of a host."""
    last = FIRST_HOST_ADDRESS + int(name[1:]) - 1
    return GATEWAY_ADDRESS.rpartition(".")[0] + f".{last}"


def metrics_url(name: str) -> str:
    """Where a host serves its metrics on the LAN."""
    return f"http://{host_address(name)}:{METRICS_PORT}/metrics"
