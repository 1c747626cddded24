# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The libvirt adapter against a real libvirtd, sanlock and qemu, all of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab import install, settings
from tests.contract.places import TIME_FACTOR, direct_io_directory
from tests.contract.sanlock_hosts import need_sanlock

HERE = Path(__file__).parent
LOCK_DRIVERS = "libvirt/lock-driver/sanlock.so"


def need_libvirt() -> None:
    pytest.importorskip("libvirt", reason="no Python binding: install python3-libvirt")
    for command in ("libvirtd", "virsh", "qemu-system-x86_64", "unshare"):
        if shutil.which(command) is None:
            pytest.skip(f"no command {command}")
    places = [*Path("/usr/lib").glob(f"*/{LOCK_DRIVERS}"), Path("/usr/lib64") / LOCK_DRIVERS]
    if not any(place.exists() for place in places):
        pytest.skip("libvirt has no sanlock lock manager: install libvirt-sanlock")


def test_with_a_libvirtd_of_its_own() -> None:
    need_sanlock()
    need_libvirt()
    run_in_box("hypervisor_cases.py")


def test_with_a_libvirtd_that_asks_for_a_password() -> None:
    need_sanlock()
    need_libvirt()
    if not [
        *Path("/usr/lib").glob("*/sasl2/libscram.so*"),
        *Path("/usr/lib64/sasl2").glob("*scram*"),
    ]:
        pytest.skip("SASL has no SCRAM: install libsasl2-modules")
    run_in_box("sasl_cases.py")


def test_migration_between_two_libvirtds() -> None:
    need_sanlock()
    need_libvirt()
    run_in_box("migration_cases.py", limit_s=480)


def test_guest_agent_of_a_real_guest() -> None:
    need_sanlock()
    need_libvirt()
    if not guest_kernel().is_dir():
        pytest.skip(f"{guest_kernel()}: no guest's kernel; tests/run contract fetches it")
    run_in_box("guest_agent_cases.py")


def test_only_hosts_with_the_right_certificates_reach_each_other() -> None:
    need_sanlock()
    need_libvirt()
    for command in ("openssl", "ip"):
        if shutil.which(command) is None:
            pytest.skip(f"no command {command}")
    run_in_box("transport_cases.py", "--net")


def guest_kernel() -> Path:
    """The unpacked kernel package of the lab's guests."""
    return install.kernel_root(settings.places())


def run_in_box(cases: str, *more_namespaces: str, limit_s: float = 180) -> None:
    with direct_io_directory() as directory:
        done = subprocess.run(
            [
                *("unshare", "--pid", "--mount", "--uts", "--ipc", "--fork", "--kill-child"),
                *more_namespaces,
                str(HERE / "libvirt_box.sh"),
                str(directory),
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                str(HERE / cases),
            ],
            cwd=HERE.parent.parent,
            env={key: value for key, value in os.environ.items() if key != "HE_TEST_LEVEL"},
            capture_output=True,
            text=True,
            timeout=limit_s * TIME_FACTOR,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert " passed" in done.stdout
        assert "skipped" not in done.stdout
