# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What ``--export-status`` collects: commands to run and files to copy. Pure."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from ha_agent.history.store import PAST, PRESENT
from ha_broker.api import paths
from hosted_engine.explain.command import place_text
from metadata.settings.parse import HostSettings
from world.host.interpreter import module_command

MIB = 1 << 20
# When libvirt hangs, all these hang one behind the other.
LIBVIRT_S = 8.0
SHARED_CONFIG = "settings/shared-config.json"
HOST_SETTINGS = "settings/host.yaml"

_PART = "hosted_engine.support_archive.subprocess_main"
_JOURNAL = ("journalctl", "--no-pager", "-o", "short-iso-precise", "-n", "5000")
_UNITS = {
    "ha-agent": ("ha-agent",),
    "ha-broker": ("ha-broker",),
    "sanlock": ("sanlock", "wdmd"),
    "libvirt": ("libvirtd", "virtqemud", "virtlogd", "virtlockd", "libvirt-guests"),
}


@dataclass(frozen=True)
class Source:
    """A file of the archive: what `command` says, or else the end of the file `path`."""

    name: str
    command: tuple[str, ...] = ()
    path: str = ""
    most_bytes: int = MIB
    deadline_s: float = 15.0

    @property
    def origin(self) -> str:
        """Where it comes from, as one would type it."""
        return " ".join(self.command) or self.path


def shared_config_source() -> Source:
    """The cluster's settings and the domain XML; more is asked by the names in it."""
    return Source(SHARED_CONFIG, _own(_PART, "shared-config"), most_bytes=4 * MIB)


def other_sources(host: Optional[HostSettings], domain: str) -> list[Source]:
    """All the others; `host` None: not deployed, or the settings can't be read."""
    return [
        *_status(host),
        *_files(domain),
        *_logs(),
        *_sanlock(),
        *_machine(),
        *_libvirt((host or HostSettings).libvirt_uri, domain),
    ]


def _own(module: str, *arguments: str) -> tuple[str, ...]:
    """With nothing of the directory that the administrator happens to stand in."""
    return module_command(module, *arguments, isolated=True)


def _status(host: Optional[HostSettings]) -> Iterator[Source]:
    own = _own("hosted_engine.main")
    yield Source("status/vm-status.txt", (*own, "--vm-status"))
    yield Source("status/vm-status.json", (*own, "--vm-status", "--json"))
    yield Source("status/explain.txt", (*own, "--explain"))
    yield Source("status/history.txt", (*own, "--history", "--last", "2000"))
    yield Source("status/broker.json", _own(_PART, "broker"), most_bytes=4 * MIB)
    if host is not None:
        place = place_text(host.storage.metadata)
        command = (*own, "--vm-status", "--metadata", place, "--timeout", "6")
        yield Source("status/vm-status-from-storage.txt", command)
    yield Source("versions/hosted-engine.txt", (*own, "--version"))


def _files(domain: str) -> Iterator[Source]:
    for name in (PAST, PRESENT):
        path = f"{paths.history_dir()}/{name}"
        yield Source(f"history/{name}", path=path, most_bytes=8 * MIB)
    yield Source(HOST_SETTINGS, path=paths.host_settings_file())
    yield Source("logs/sanlock.log", path="/var/log/sanlock.log", most_bytes=2 * MIB)
    yield Source("logs/qemu.log", path=f"/var/log/libvirt/qemu/{domain}.log")
    yield Source("settings/sanlock.conf", path="/etc/sanlock/sanlock.conf")
    yield Source("settings/qemu-sanlock.conf", path="/etc/libvirt/qemu-sanlock.conf")
    yield Source("machine/os-release.txt", path="/etc/os-release")
    yield Source("machine/mounts.txt", path="/proc/self/mounts")
    yield Source("machine/meminfo.txt", path="/proc/meminfo")


def _logs() -> Iterator[Source]:
    for name, units in _UNITS.items():
        chosen = [word for unit in units for word in ("-u", unit)]
        yield Source(f"logs/journal-{name}.txt", (*_JOURNAL, *chosen), most_bytes=4 * MIB)
    yield Source("logs/journal-kernel.txt", (*_JOURNAL, "-k"), most_bytes=2 * MIB)
    units = ("ha-agent", "ha-broker", "sanlock", "wdmd", "libvirtd", "virtqemud")
    command = ("systemctl", "--no-pager", "--full", "--lines=0", "status", *units)
    yield Source("machine/units.txt", command)


def _sanlock() -> Iterator[Source]:
    for name, words in (
        ("status", ("status", "-D")),
        ("host-status", ("host_status", "-D")),
        ("log-dump", ("log_dump",)),
    ):
        yield Source(f"sanlock/{name}.txt", ("sanlock", "client", *words), most_bytes=2 * MIB)
    yield Source("versions/sanlock.txt", ("sanlock", "version"))


def _libvirt(uri: str, domain: str) -> Iterator[Source]:
    """Read-only, so that libvirt itself leaves passwords out."""
    virsh = ("virsh", "-r", "-c", uri)
    for name, words in (
        ("libvirt/list.txt", ("list", "--all")),
        ("libvirt/domain.xml", ("dumpxml", "--", domain)),
        ("libvirt/state.txt", ("domstate", "--reason", "--", domain)),
        ("libvirt/stats.txt", ("domstats", "--", domain)),
        ("libvirt/jobs.txt", ("domjobinfo", "--", domain)),
        ("libvirt/pools.txt", ("pool-list", "--all")),
        ("versions/libvirt.txt", ("version", "--daemon")),
    ):
        yield Source(name, (*virsh, *words), deadline_s=LIBVIRT_S)


def _machine() -> Iterator[Source]:
    for name, command in (
        ("versions/python", (sys.executable, "-VV")),
        ("versions/kernel", ("uname", "-a")),
        ("versions/qemu", ("qemu-system-x86_64", "--version")),
        ("versions/qemu-kvm", ("/usr/libexec/qemu-kvm", "--version")),
        (
            "versions/packages-rpm",
            ("rpm", "-qa", "sanlock*", "libvirt*", "qemu*", "*hosted-engine*"),
        ),
        (
            "versions/packages-deb",
            ("dpkg-query", "-W", "*sanlock*", "libvirt*", "qemu*", "*hosted*"),
        ),
        ("machine/addresses", ("ip", "-d", "address")),
        ("machine/routes", ("ip", "route", "show", "table", "all")),
        ("machine/bridges", ("bridge", "link")),
        ("machine/space", ("df", "-h", "--local")),
        ("machine/disks", ("lsblk", "-o", "NAME,TYPE,SIZE,MOUNTPOINT,STATE")),
        ("machine/multipath", ("multipath", "-ll")),
        ("machine/iscsi", ("iscsiadm", "-m", "session")),
        ("machine/clock", ("timedatectl", "status")),
        ("machine/uptime", ("uptime",)),
        ("machine/processes", ("ps", "-eo", "pid,ppid,stat,wchan:24,etime,rss,comm")),
    ):
        yield Source(f"{name}.txt", command)
