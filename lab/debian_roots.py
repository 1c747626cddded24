# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Fresh roots of Debian releases, made by mmdebstrap: for the lab's hosts, and for the containers
of tests/elsewhere.py.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from lab import install, mounts
from lab.errors import LabError
from lab.processes import run_to_the_end
from lab.settings import Places

RELEASES = ("bookworm", "trixie")
TOOLS = ("mmdebstrap", "debian-archive-keyring")
DEFAULT_MIRROR = "http://deb.debian.org/debian"
# What a host of the lab has; the product's package is installed later, without a network.
HOST_PACKAGES = (
    *("systemd-sysv", "dbus", "iproute2", "iputils-ping", "procps", "util-linux", "curl"),
    *("sanlock", "libvirt-daemon-system", "libvirt-daemon-driver-qemu", "libvirt-clients"),
    *("libvirt-sanlock", "qemu-system-x86", "libnbd-bin", "fuse3"),
    *("python3-sanlock", "python3-libvirt", "python3-yaml", "python3-transitions"),
    *("python3-prometheus-client", "python3-sdnotify"),
)


def make(release: str, target: Path, variant: str, packages: Sequence[str], log: Path) -> None:
    """Make a root; `target` is its folder, which must not be there, or a .tar.

    `variant` is mmdebstrap's word for what is in it beside `packages`. The environment's
    HE_DEBIAN_MIRROR says where the release is fetched from. Raises LabError.
    """
    partial = target.with_name(f"new-{target.name}")
    mirror = os.environ.get("HE_DEBIAN_MIRROR") or DEFAULT_MIRROR
    words = [f"--variant={variant}", f"--include={','.join(packages)}", release, str(partial)]
    source = f"deb {mirror} {release} main"
    _remove(partial)
    try:
        run_to_the_end(["mmdebstrap", *words, source], dict(os.environ), log)
    except LabError as error:
        _remove(partial)
        raise LabError(
            f"no root of {release}: {mirror} is not reached or lacks something; HE_DEBIAN_MIRROR "
            f"names another mirror (all that mmdebstrap says: {log})"
        ) from error
    partial.replace(target)


def prepare(places: Places, releases: Sequence[str]) -> None:
    """Have the root of each of these releases in the cache."""
    lacking = [release for release in sorted(set(releases)) if not _is_there(places, release)]
    if not lacking:
        return
    install.install_packages(places, TOOLS)
    for release in lacking:
        print(f"making a root of {release}", flush=True)
        target = places.release_root(release)
        target.parent.mkdir(exist_ok=True)
        _remove(target)
        _list(places, release).unlink(missing_ok=True)
        log = places.cache / f"{release}.log"
        make(release, target, "minbase", HOST_PACKAGES, log)
        _list(places, release).write_text(" ".join(HOST_PACKAGES), encoding="ascii")


def _is_there(places: Places, release: str) -> bool:
    """Complete, and with all packages that are wanted now."""
    try:
        return _list(places, release).read_text(encoding="ascii") == " ".join(HOST_PACKAGES)
    except FileNotFoundError:
        return False


def _list(places: Places, release: str) -> Path:
    return places.release_root(release).with_suffix(".packages")


def _remove(target: Path) -> None:
    if target.is_dir():
        # The whole tree is ours: nothing of another file system is mounted in it any more.
        mounts.unmount_below(target)
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)
