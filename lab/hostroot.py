# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A host's root file system: an overlay of this machine's, or of a release's own.

Its upper layer is on the lab's tmpfs and outlives power cuts: the host's disk, with its settings.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

from lab.mounts import disk_mount_points, opaque_folder, overlay, whiteout
from lab.settings import (
    ENGINE_ADDRESS,
    GATEWAY_ADDRESS,
    HOST_FABRIC,
    HOST_LEASES,
    PREFIX_LENGTH,
    USUAL_FIRE_TIMEOUT_S,
    Places,
    host_address,
)
from lab.state import Lab
from lab.templates import render

SYSTEMD = Path("etc/systemd/system")
# What is this machine's own business and must not be seen, or would act, in a host.
HIDDEN = (
    *("root", "home", "media", "mnt", "opt", "srv", "var/log", "var/lib/systemd", "var/spool/cron"),
    *("etc/systemd", "etc/libvirt/qemu", "var/lib/libvirt/qemu", "etc/sanlock"),
    *("etc/ssh", "etc/network", "etc/netplan"),
)
# Must not even be there: a bare host has none of ours, and its packages may start what they like.
ABSENT = ("etc/hosted-engine-ha", "var/lib/hosted-engine-ha", "usr/sbin/policy-rc.d")
# The folders in which a distribution enables its own units: a host starts the lab's alone.
HIDDEN_UNIT_LINKS = ("sysinit", "basic", "multi-user", "sockets", "timers", "getty", "local-fs")
UNIT_LINKS = {
    "sysinit": (
        *("systemd-journald.service", "systemd-journal-flush.service"),
        "systemd-tmpfiles-setup.service",
    ),
    "sockets": (
        *("systemd-journald.socket", "systemd-journald-dev-log.socket", "dbus.socket"),
        *("virtlogd.socket", "virtlockd.socket"),
        *("libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket"),
        "libvirtd-tcp.socket",
    ),
    "multi-user": ("dbus.service", "sanlock.service", "libvirtd.service", "libvirt-guests.service"),
}
MASKED = (
    *("wdmd.service", "systemd-remount-fs.service"),
    # As on every host with an engine: one that sleeps wakes up beside the next engine.
    *("sleep.target", "suspend.target", "hibernate.target", "hybrid-sleep.target"),
)
APT_SETTINGS = """\
APT::Get::Assume-Yes "true";
APT::Install-Recommends "false";
Dpkg::Use-Pty "0";
"""
LAB_UNITS = ("lab-leases.service", "lab-network.service")
OVERLAID_BELOW = ("/usr", "/var", "/etc", "/opt")


def root(places: Places, host: str) -> Path:
    """Where a host's root file system is mounted."""
    return places.host(host) / "root"


def build(places: Places, lab: Lab, host: str) -> None:
    """Make the disk of a host without the product, and mount its root file system."""
    upper = places.host(host) / "upper"
    for folder in HIDDEN:
        opaque_folder(upper / folder)
    (upper / "root").chmod(0o700)
    for name in ABSENT:
        whiteout(upper / name)
    _write_identity(upper, lab, host)
    base = _base(places, lab.release_of(host))
    _write_units(upper, host, *_sanlock_user(base))
    _write_virtualization(upper, lab, host)
    _write_package_tools(upper)
    _mount_root(places, host, base)


def bases(places: Places, releases: Sequence[str]) -> list[Path]:
    """The roots of which hosts are overlays; without a release it is this machine's."""
    return [_base(places, release) for release in sorted(set(releases))] or [_base(places, None)]


def _base(places: Places, release: str | None) -> Path:
    return places.release_root(release) if release else Path("/")


def _sanlock_user(base: Path) -> tuple[int, int]:
    """User and group of sanlock in there, as numbers."""
    lines = (base / "etc/passwd").read_text(encoding="utf-8").splitlines()
    fields = next(line.split(":") for line in lines if line.startswith("sanlock:"))
    return int(fields[2]), int(fields[3])


def _mount_root(places: Places, host: str, base: Path) -> None:
    """Mount a host's root: of this machine, one overlay for each of its own system folders."""
    target = root(places, host)
    upper = places.host(host) / "upper"
    work = places.host(host) / "work"
    overlay([base], upper, work / "root", target)
    points = _system_mount_points() if base == Path("/") else []
    for number, point in enumerate(points):
        inner = upper / point.lstrip("/")
        overlay([Path(point)], inner, work / str(number), target / point.lstrip("/"))


def _system_mount_points() -> list[str]:
    """System folders that are file systems of their own: an overlay does not look into them."""
    return [
        point
        for point in disk_mount_points()
        if any(point == top or point.startswith(top + "/") for top in OVERLAID_BELOW)
    ]


def _write(upper: Path, name: str, text: str, mode: int = 0o644) -> None:
    path = upper / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def _link(upper: Path, name: str, target: str) -> None:
    path = upper / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def _write_identity(upper: Path, lab: Lab, host: str) -> None:
    lines = ["127.0.0.1 localhost", f"{GATEWAY_ADDRESS} gateway", f"{ENGINE_ADDRESS} engine"]
    lines += [f"{host_address(name)} {name}" for name in lab.hosts]
    _write(upper, "etc/hostname", f"{host}\n")
    _write(upper, "etc/hosts", "\n".join(lines) + "\n")
    _write(upper, "etc/machine-id", f"{uuid.uuid4().hex}\n")
    _write(upper, "etc/fstab", "")
    _write(upper, "etc/resolv.conf", "")
    (upper / "var/log/journal").mkdir()


def _write_units(upper: Path, host: str, sanlock_uid: int, sanlock_gid: int) -> None:
    for target in HIDDEN_UNIT_LINKS:
        opaque_folder(upper / f"usr/lib/systemd/system/{target}.target.wants")
    for target, units in UNIT_LINKS.items():
        for unit in units:
            _link(upper, f"{SYSTEMD}/{target}.target.wants/{unit}", f"/lib/systemd/system/{unit}")
    for unit in MASKED:
        _link(upper, f"{SYSTEMD}/{unit}", "/dev/null")
    values = {
        "LEASES": HOST_LEASES,
        "SANLOCK_UID": sanlock_uid,
        "SANLOCK_GID": sanlock_gid,
        "LEASES_FOLDER": Path(HOST_LEASES).parent,
        "FABRIC": HOST_FABRIC,
        "ADDRESS": host_address(host),
        "PREFIX_LENGTH": PREFIX_LENGTH,
        "MAC": f"52:54:00:00:01:{int(host[1:]):02x}",
    }
    for unit in LAB_UNITS:
        _write(upper, f"{SYSTEMD}/{unit}", render(f"host_files/{unit}", values))
        _link(upper, f"{SYSTEMD}/multi-user.target.wants/{unit}", f"/{SYSTEMD}/{unit}")
    _write(upper, "etc/systemd/system.conf.d/lab.conf", "[Manager]\nDefaultTimeoutStopSec=20s\n")
    journal = "[Journal]\nStorage=persistent\nSystemMaxUse=32M\n"
    _write(upper, "etc/systemd/journald.conf.d/lab.conf", journal)
    (upper / "srv/san").mkdir()


def _write_virtualization(upper: Path, lab: Lab, host: str) -> None:
    drop_in = render("host_files/sanlock-drop-in.conf", {})
    _write(upper, f"{SYSTEMD}/sanlock.service.d/lab.conf", drop_in)
    # The same name after each start: sanlock then takes its own old leases over at once.
    sanlock = f"our_host_name = {host}\nuse_watchdog = 0\n"
    if lab.fire_timeout_s != USUAL_FIRE_TIMEOUT_S:
        sanlock += f"watchdog_fire_timeout = {lab.fire_timeout_s}\n"
    _write(upper, "etc/sanlock/sanlock.conf", sanlock)
    _write(upper, "etc/default/libvirtd", 'LIBVIRTD_ARGS=""\n')
    guests = "ON_BOOT=ignore\nON_SHUTDOWN=shutdown\nSHUTDOWN_TIMEOUT=15\n"
    _write(upper, "etc/default/libvirt-guests", guests)
    # Whoever is in the lab's LAN may migrate the engine: there are only these hosts in it.
    daemon = f'host_uuid = "{uuid.uuid4()}"\nauth_tcp = "none"\n'
    _write(upper, "etc/libvirt/libvirtd.conf", daemon)
    for name in ("qemu.conf", "qemu-sanlock.conf"):
        _write(upper, f"etc/libvirt/{name}", render(f"host_files/{name}", {}))


def _write_package_tools(upper: Path) -> None:
    """apt-get asks nothing and fetches nothing: all that a package needs is there."""
    _write(upper, "etc/apt/apt.conf.d/99lab", APT_SETTINGS)
    # Waiting for the disk of a host that will be thrown away.
    _write(upper, "etc/dpkg/dpkg.cfg.d/lab", "force-unsafe-io\n")
