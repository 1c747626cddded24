# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the lab needs on a fresh machine: packages, the guest's kernel.

Installing starts nothing on the machine and enables nothing at its next boot.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from lab import cgroups, guest
from lab.errors import LabError
from lab.processes import run, run_to_the_end
from lab.settings import Places

PACKAGES = (
    *("sanlock", "python3-sanlock", "libvirt-daemon-system", "libvirt-daemon-driver-qemu"),
    *("libvirt-clients", "libvirt-sanlock", "python3-libvirt", "qemu-system-x86", "qemu-utils"),
    *("systemd-container", "dbus", "nbdkit", "libnbd-bin", "fuse3", "busybox-static"),
    *("iproute2", "iputils-ping", "util-linux", "ca-certificates"),
    # The product's package is built here, and its hosts are overlays of this machine.
    *("git", "dpkg-dev", "debhelper", "dh-python"),
    *("python3-transitions", "python3-prometheus-client", "python3-sdnotify", "python3-yaml"),
)
KERNEL_META_PACKAGE = "linux-image-cloud-amd64"
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_ASIDE = Path("/usr/sbin/policy-rc.d.hosted-engine-lab")
NO_STARTS = "#!/bin/sh\n# Of the hosted-engine lab, during its package installation.\nexit 101\n"
UNIT_LINKS = Path("/etc/systemd/system")


def prepare(places: Places) -> None:
    """Have everything in place that the machine itself brings to a lab."""
    places.cache.mkdir(parents=True, exist_ok=True)
    restore_policy()
    install_packages(places)
    build_guest(places)


def install_packages(places: Places, more: Sequence[str] = ()) -> None:
    """Install the packages that are not there yet: the lab's, and `more`."""
    wanted = (*PACKAGES, *more)
    lacking = _missing_packages(wanted)
    if not lacking:
        return
    print(f"installing {len(lacking)} packages: {' '.join(lacking)}", flush=True)
    log = places.cache / "packages.log"
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *lacking]
    with _nothing_started(), _nothing_enabled():
        try:
            run_to_the_end(install, _apt_environment(), log)
        except LabError:
            # A fresh machine may not know the packages yet.
            run_to_the_end(["apt-get", "update"], _apt_environment(), log)
            run_to_the_end(install, _apt_environment(), log)
    if _missing_packages(wanted):
        raise LabError(f"not installed: {' '.join(_missing_packages(wanted))} (see {log})")


def restore_policy() -> None:
    """Put the machine's own policy-rc.d back, also after an installation that was killed."""
    if POLICY_ASIDE.exists():
        POLICY_ASIDE.replace(POLICY)
    elif POLICY.exists() and POLICY.read_text(errors="replace") == NO_STARTS:
        POLICY.unlink()


def build_guest(places: Places) -> None:
    """Build kernel and initramfs of the guest; the kernel package is only unpacked."""
    target = kernel_root(places)
    if not (target / "boot").is_dir():
        _download_kernel(places, target)
    guest.build(places, target)


def kernel_root(places: Places) -> Path:
    """Where the guest's kernel package is unpacked."""
    return places.cache / "kernel"


def _missing_packages(wanted: Sequence[str]) -> list[str]:
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package}\n", *wanted]
    # It fails when a package is unknown, and lists the others all the same.
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    lines = [line.split() for line in done.stdout.splitlines()]
    present = {words[1] for words in lines if words[0] == "installed"}
    return [name for name in wanted if name not in present]


def _apt_environment() -> dict[str, str]:
    return {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "APT_LISTCHANGES_FRONTEND": "none"}


@contextlib.contextmanager
def _nothing_started() -> Iterator[None]:
    """Let package scripts start no service; the machine's own policy comes back at the end."""
    if POLICY.exists():
        POLICY.replace(POLICY_ASIDE)
    try:
        POLICY.write_text(NO_STARTS)
        POLICY.chmod(0o755)
        yield
    finally:
        POLICY.unlink(missing_ok=True)
        restore_policy()


@contextlib.contextmanager
def _nothing_enabled() -> Iterator[None]:
    """Take back what package scripts enabled for the machine's next boot."""
    before = _enabled_links()
    try:
        yield
    finally:
        if shutil.which("systemctl"):
            for link in _enabled_links() - before:
                link.unlink(missing_ok=True)
        if cgroups.machine_has_systemd():
            run(["systemctl", "daemon-reload"])


def _enabled_links() -> set[Path]:
    return {path for path in UNIT_LINKS.glob("*.wants/*") if path.is_symlink()}


def _download_kernel(places: Places, target: Path) -> None:
    print("fetching the guest's kernel", flush=True)
    log = places.cache / "packages.log"
    folder = places.cache / "download"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    package = _kernel_package()
    if package is None:
        run_to_the_end(["apt-get", "update"], _apt_environment(), log)
        package = _kernel_package()
    if package is None:
        raise LabError(f"{KERNEL_META_PACKAGE}: apt knows no such package")
    _apt_download(package, folder, log)
    unpacked = places.cache / "kernel.new"
    shutil.rmtree(unpacked, ignore_errors=True)
    run(["dpkg-deb", "--extract", str(next(folder.glob("*.deb"))), str(unpacked)], timeout_s=300)
    shutil.rmtree(target, ignore_errors=True)
    unpacked.replace(target)
    shutil.rmtree(folder)


def _apt_download(package: str, folder: Path, log: Path) -> None:
    download = ["sh", "-c", 'cd "$1" && exec apt-get download "$2"', "sh", str(folder), package]
    try:
        run_to_the_end(download, _apt_environment(), log)
    except LabError:
        # What apt knew may be too old to be fetched still.
        run_to_the_end(["apt-get", "update"], _apt_environment(), log)
        run_to_the_end(download, _apt_environment(), log)


def _kernel_package() -> str | None:
    """The package that the meta package stands for now."""
    try:
        shown = run(["apt-cache", "depends", "--important", KERNEL_META_PACKAGE])
    except LabError:
        return None
    for line in shown.splitlines():
        kind, _, name = line.strip().partition(": ")
        if kind == "Depends" and name.startswith("linux-image-"):
            return name
    return None
