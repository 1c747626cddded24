# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the checks of ``--deploy`` look at on this host, beside storage, sanlock and libvirt."""

from __future__ import annotations

import ipaddress
import os
import pwd
import re
import socket
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Protocol

from hosted_engine.errors import CommandError
from hosted_engine.host.libvirt_unit import libvirt_unit
from hosted_engine.host.mounts import mount_above
from hosted_engine.host.tools import run_tool
from metadata.error_words import reason
from world.host.accounts import group_id, is_member, user_id
from world.host.host_vitals import KernelVitals
from world.network.certificate_files import PemCertificates
from world.network.health_page import HttpHealthPage
from world.network.network_probe import SocketNetworkProbe
from world.ports.certificates import Certificates
from world.ports.errors import WorldError
from world.ports.host import BridgeLook, MemoryFree
from world.ports.network import HealthPage, NetworkProbe
from world.service_user import GROUPS, USER

LIBVIRT_CONF_DIR = Path("/etc/libvirt")
QEMU_SANLOCK_CONF = LIBVIRT_CONF_DIR / "qemu-sanlock.conf"
_SANLOCK_RUN_DIR = "/run/sanlock"
WATCHDOG_DEVICE = Path("/sys/class/watchdog/watchdog0")
_WATCHDOG_SOCKET = "/run/wdmd/wdmd.sock"
_DD_TIMEOUT_S = 15.0
_SYSTEMCTL_TIMEOUT_S = 5.0
_SLEEP_TARGETS = (
    "sleep.target", "suspend.target", "hibernate.target", "hybrid-sleep.target",
)  # fmt: skip
RAM_DISK = "ram disk"
"""In the place of a file system's type: a block device that is memory."""
_RAM_DEVICE = re.compile(r"z?ram\d+")
_STARTABLE = ("static", "enabled", "enabled-runtime", "disabled", "indirect", "generated")


@dataclass(frozen=True)
class DeviceLimits:
    """The seconds to which a watchdog's device can be set; `longest_s` 0: it does not say."""

    name: str
    shortest_s: int
    longest_s: int

    def allows(self, seconds: int) -> bool:
        """Can it be set to so many?"""
        return self.shortest_s <= seconds and (not self.longest_s or seconds <= self.longest_s)

    def text(self) -> str:
        """``iTCO_wdt: 2 to 613 s``."""
        return f"{self.name}: {self.shortest_s} to {self.longest_s or 'any number of'} s"


class Probes(Protocol):
    """This host; each look may hang as long as what it looks at."""

    def network(self) -> NetworkProbe:
        """Probes into the network."""

    def health_page(self) -> HealthPage:
        """Looks at the engine's page."""

    def resolve(self, name: str) -> None:
        """Raise WorldError unless `name` has an address."""

    def bridges(self) -> list[str]:
        """The names of this host's bridges."""

    def bridge(self, name: str) -> Optional[BridgeLook]:
        """Its state; None: there is no such network device."""

    def memory(self) -> MemoryFree:
        """Memory that a new VM could get; raises WorldError."""

    def file_system(self, path: str) -> str:
        """The type of the file system that holds the file `path`, or would hold it.

        Of a block device: that of the file which it is made of, or `RAM_DISK`. Empty: not known.
        """

    def is_missing(self, path: str) -> bool:
        """Is there surely nothing at `path`? What may not be looked at may be there."""

    def sanlock_settings(self) -> Mapping[str, str]:
        """What sanlock's daemon runs with; raises WorldError."""

    def sanlock_can_not_open(self, path: str) -> str:
        """Why sanlock's own user can't open `path` for writing; empty: it can."""

    def service_can_not_open(self, path: str) -> str:
        """Why the daemons' user can't open `path` for writing; empty: it can, or there is none."""

    def service_can_not_read(self, path: str) -> str:
        """Why the daemons' user can't read the file `path`; empty: it can, or there is none."""

    def service_user_lacks(self) -> Optional[tuple[str, ...]]:
        """The groups that the daemons' user is not in and should be; None: there is no such user.

        Raises WorldError.
        """

    def watchdog_runs(self) -> bool:
        """Does wdmd, sanlock's way to the watchdog, answer?"""

    def watchdog_limits(self) -> Optional[DeviceLimits]:
        """How the watchdog's device can be set; None: there is none, or it does not tell."""

    def sleep_targets(self) -> list[str]:
        """systemd's targets by which this host may be put to sleep: those that are not masked."""

    def libvirt_unit(self) -> str:
        """Which of libvirt's services works here; empty: neither is installed."""

    def lock_manager_settings(self) -> Optional[Mapping[str, str]]:
        """libvirt's ``qemu-sanlock.conf``; None: there is none."""

    def libvirt_settings(self, name: str) -> Mapping[str, str]:
        """The file ``name.conf`` of libvirt's; empty: there is none."""

    def certificates(self) -> Certificates:
        """Looks at certificates in this host's files."""


class HostProbes:
    """The `Probes` of the real world."""

    def __init__(self) -> None:
        self._vitals = KernelVitals()

    def network(self) -> NetworkProbe:
        """See `Probes`."""
        return SocketNetworkProbe()

    def health_page(self) -> HealthPage:
        """See `Probes`."""
        return HttpHealthPage()

    def resolve(self, name: str) -> None:
        """See `Probes`."""
        try:
            socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise WorldError(f"resolve {name}", reason(error)) from error

    def bridges(self) -> list[str]:
        """See `Probes`; those of Open vSwitch are not told apart from other devices."""
        return sorted(folder.parent.name for folder in Path("/sys/class/net").glob("*/bridge"))

    def bridge(self, name: str) -> Optional[BridgeLook]:
        """See `Probes`."""
        return self._vitals.bridge(name) if Path("/sys/class/net", name).exists() else None

    def memory(self) -> MemoryFree:
        """See `Probes`."""
        return self._vitals.memory()

    def file_system(self, path: str) -> str:
        """See `Probes`."""
        real = os.path.realpath(path)
        try:
            status = Path(real).stat() if os.path.lexists(real) else None
            if status is not None and stat.S_ISBLK(status.st_mode):
                return self.device_medium(_device_folder(status.st_rdev).resolve())
            mount = mount_above(real)
        except OSError:
            return ""
        return mount.kind if mount else ""

    def device_medium(self, device: Path) -> str:
        """What `file_system` says of the device with this folder in /sys.

        By the kernel's name of it, which udev's links don't change.
        """
        if _RAM_DEVICE.fullmatch(device.name):
            return RAM_DISK
        backing = device / "loop/backing_file"
        return self.file_system(backing.read_text().rstrip("\n")) if backing.exists() else ""

    def is_missing(self, path: str) -> bool:
        """See `Probes`."""
        try:
            Path(path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return True
        except (OSError, ValueError):
            return False
        return False

    def sanlock_settings(self) -> Mapping[str, str]:
        """See `Probes`."""
        from world.storage.sanlock_lockspace import daemon_settings

        return daemon_settings()

    def sanlock_can_not_open(self, path: str) -> str:
        """See `Probes`; tried by a process of that user, which writes nothing.

        Root may be refused by the storage (NFS) where sanlock is not, and the other way round.
        """
        user = _sanlock_user()
        if user is None or os.geteuid() != 0:
            return ""
        return _open_as(user, path)

    def service_can_not_open(self, path: str) -> str:
        """See `Probes`; tried as `sanlock_can_not_open`, in the groups that the unit gives."""
        user = _service_user()
        if user is None or os.geteuid() != 0:
            return ""
        return _open_as(user, path)

    def service_can_not_read(self, path: str) -> str:
        """See `Probes`."""
        user = _service_user()
        if user is None or os.geteuid() != 0:
            return ""
        return _dd_as(user, f"if={path}", "of=/dev/null", "count=0")

    def service_user_lacks(self) -> Optional[tuple[str, ...]]:
        """See `Probes`."""
        if user_id(USER) is None:
            return None
        known = {name: group_id(name) for name in GROUPS}
        return tuple(name for name, gid in known.items() if gid is None or not is_member(USER, gid))

    def watchdog_runs(self) -> bool:
        """See `Probes`."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(5.0)
            try:
                sock.connect(_WATCHDOG_SOCKET)
            except OSError:
                return False
        return True

    def watchdog_limits(self) -> Optional[DeviceLimits]:
        """See `Probes`; from /sys/class/watchdog, of the first device, which wdmd uses."""
        device = WATCHDOG_DEVICE
        try:
            shortest_s, longest_s = (
                int((device / name).read_text(encoding="ascii"))
                for name in ("min_timeout", "max_timeout")
            )
            name = (device / "identity").read_text(encoding="ascii", errors="replace").strip()
        except (OSError, ValueError):
            return None
        return DeviceLimits(name, shortest_s, longest_s)

    def sleep_targets(self) -> list[str]:
        """See `Probes`; a target that systemd does not know can't be begun."""
        return [name for name in _SLEEP_TARGETS if _unit_file_state(name) in _STARTABLE]

    def libvirt_unit(self) -> str:
        """See `Probes`."""
        return libvirt_unit()

    def lock_manager_settings(self) -> Optional[Mapping[str, str]]:
        """See `Probes`."""
        return _libvirt_conf(QEMU_SANLOCK_CONF)

    def libvirt_settings(self, name: str) -> Mapping[str, str]:
        """See `Probes`."""
        return _libvirt_conf(LIBVIRT_CONF_DIR / f"{name}.conf") or {}

    def certificates(self) -> Certificates:
        """See `Probes`."""
        return PemCertificates()


def _libvirt_conf(file: Path) -> Optional[Mapping[str, str]]:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return parse_libvirt_conf(text)


def _unit_file_state(unit: str) -> str:
    """In systemd's words; empty: it can't be told."""
    try:
        return run_tool(("systemctl", "is-enabled", unit), _SYSTEMCTL_TIMEOUT_S).output.strip()
    except CommandError:
        return ""


def parse_libvirt_conf(text: str) -> dict[str, str]:
    """``name = value`` of libvirt's own files, quotation marks and comments taken away."""
    pattern = re.compile(r"^\s*(\w+)\s*=\s*(\"[^\"]*\"|'[^']*'|[^#\s]+)", re.MULTILINE)
    return {name: value.strip("\"'") for name, value in pattern.findall(text)}


@dataclass(frozen=True)
class _User:
    uid: int
    gid: int
    groups: tuple[int, ...]


def _sanlock_user() -> Optional[_User]:
    """As whom the daemon runs now; None: that can't be told."""
    folder = os.environ.get("SANLOCK_RUN_DIR") or _SANLOCK_RUN_DIR
    try:
        pid = int(Path(folder, "sanlock.pid").read_text(encoding="ascii"))
        return parse_user(Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace"))
    except (OSError, ValueError):
        return None


def _service_user() -> Optional[_User]:
    """The daemons' own, in the groups that their units give; None: there is no such user."""
    uid = user_id(USER)
    if uid is None:
        return None
    own = pwd.getpwuid(uid).pw_gid
    further = [gid for name in GROUPS if (gid := group_id(name)) is not None]
    return _User(uid, own, (*os.getgrouplist(USER, own), *further))


def parse_user(status: str) -> _User:
    """The effective ids in the text of ``/proc/PID/status``; raises ValueError."""
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    try:
        uid, gid = (int(fields[name].split()[1]) for name in ("Uid", "Gid"))
        return _User(uid, gid, tuple(int(word) for word in fields["Groups"].split()))
    except (KeyError, IndexError) as error:
        raise ValueError("no status of a process") from error


def _open_as(user: _User, path: str) -> str:
    """dd with nothing to copy opens as sanlock does, directly and for writing, and ends."""
    words = ("if=/dev/null", f"of={path}", "conv=notrunc,nocreat", "oflag=direct", "count=0")
    return _dd_as(user, *words)


def _dd_as(user: _User, *words: str) -> str:
    """What dd complains about as that user; empty: nothing."""
    try:
        done = subprocess.run(
            ["dd", *words, "status=none"],
            user=user.uid, group=user.gid, extra_groups=user.groups, cwd="/",
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True, text=True, timeout=_DD_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"dd has not opened it within {_DD_TIMEOUT_S:g} s"
    except OSError as error:
        return f"dd can't be run: {reason(error)}"
    return done.stderr.strip().rpartition(": ")[2] if done.returncode else ""


def _device_folder(number: int) -> Path:
    return Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")


def block_sector_size(path: str) -> int:
    """Logical sector size of a block device; 512 for files and where it can't be told."""
    try:
        status = Path(path).stat()
        if not stat.S_ISBLK(status.st_mode):
            return 512
        device = _device_folder(status.st_rdev)
        # A partition has no queue of its own; its disk is one folder up.
        queues = [device / "queue", device.resolve().parent / "queue"]
        texts = [(queue / "logical_block_size").read_text() for queue in queues if queue.is_dir()]
        return int(texts[0]) if texts else 512
    except (OSError, ValueError):
        return 512


ROUTES, ROUTES_6 = Path("/proc/net/route"), Path("/proc/net/ipv6_route")
_GATEWAY_FLAGS, _REJECTED = 0x0003, 0x0200  # RTF_UP and RTF_GATEWAY; RTF_REJECT (route.h)


def default_gateway(routes: str, routes_6: str = "") -> str:
    """The default gateway, the IPv4 one before the IPv6 one, in the text of ``/proc/net/route``
    and ``/proc/net/ipv6_route``; empty: there is none."""
    return _default_gateway_4(routes) or _default_gateway_6(routes_6)


def _default_gateway_4(routes: str) -> str:
    for line in routes.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[1] == fields[7] == "00000000" and fields[2] != "00000000":
            return socket.inet_ntoa(bytes.fromhex(fields[2])[::-1])  # little-endian there
    return ""


def _default_gateway_6(routes_6: str) -> str:
    """Of several the one with the least metric; a link-local one with its device behind it."""
    found = [_gateway_6(line.split()) for line in routes_6.splitlines()]
    return min((each for each in found if each[1]), default=(0, ""))[1]


def _gateway_6(fields: list[str]) -> tuple[int, str]:
    """Metric and address of the gateway in a line of ``/proc/net/ipv6_route``, if it has one."""
    if len(fields) < 10 or fields[:2] != ["0" * 32, "00"]:
        return 0, ""
    flags = int(fields[8], 16)
    if flags & _GATEWAY_FLAGS != _GATEWAY_FLAGS or flags & _REJECTED:
        return 0, ""
    address = ipaddress.IPv6Address(bytes.fromhex(fields[4]))
    device = f"%{fields[9]}" if address.is_link_local else ""
    return int(fields[5], 16), f"{address}{device}"


def gateway_of_this_host() -> str:
    """By the kernel's tables of routes; empty: there is no default route."""
    return default_gateway(_text_of(ROUTES), _text_of(ROUTES_6))


def _text_of(path: Path) -> str:
    """Empty where there is no such file: this host does not know that family."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
