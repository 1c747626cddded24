"""The libvirt adapter against a real libvirtd, sanlock and qemu, all of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
    with direct_io_directory() as directory:
        done = subprocess.run(
            [
                *("unshare", "--pid", "--mount", "--uts", "--ipc", "--fork", "--kill-child"),
                str(HERE / "libvirt_box.sh"),
                str(directory),
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                str(HERE / "hypervisor_cases.py"),
            ],
            cwd=HERE.parent.parent,
            env={key: value for key, value in os.environ.items() if key != "HE_TEST_LEVEL"},
            capture_output=True,
            text=True,
            timeout=180 * TIME_FACTOR,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert " passed" in done.stdout
        assert "skipped" not in done.stdout
