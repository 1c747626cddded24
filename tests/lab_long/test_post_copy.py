# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The engine goes on at the target before all of its memory is there (`migration.post_copy`)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.lab.test_moves import COMMAND, LONGEST_GAP_S
from tests.lab.verbs import LabVerbs, scaled
from tests.lab.watching import watched_while

SETTING, BANDWIDTH = "migration.post_copy", "migration.bandwidth_mib_s"
# In MiB/s: the memory is copied once in half a minute, and what has changed meanwhile is fetched.
SLOWLY, AS_FAST_AS_IT_GOES = "4", "0"
MOVE_TIMEOUT_S = 90
EVENTS_S = 60
# qemu fetches memory by it. The hosts' qemu runs as root; elsewhere, the kernel's setting
# vm.unprivileged_userfaultfd or the device /dev/userfaultfd decides.
ASK_KERNEL = """
import ctypes, os, platform
number = {"x86_64": 323, "aarch64": 282}[platform.machine()]
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall(number, os.O_CLOEXEC | os.O_NONBLOCK) < 0:
    print(os.strerror(ctypes.get_errno()))
"""


@pytest.fixture
def post_copy(lab: LabVerbs) -> Iterator[LabVerbs]:
    why = lab.on(lab.engine_host(), "/usr/bin/python3", "-c", ASK_KERNEL).strip()
    if why:
        pytest.skip(f"this kernel opens no userfaultfd for qemu: {why}")
    lab.set_shared(SETTING, "true")
    lab.set_shared(BANDWIDTH, SLOWLY)
    yield lab
    lab.set_shared(SETTING, "false")
    lab.set_shared(BANDWIDTH, AS_FAST_AS_IT_GOES)


def test_the_rest_of_the_memory_comes_after_the_engine(post_copy: LabVerbs) -> None:
    lab = post_copy
    source, _, boot = lab.engine_identity()
    target = next(name for name in lab.status()["hosts"] if name != source)
    with ThreadPoolExecutor(max_workers=1) as pool:
        left = pool.submit(_events, lab, source)
        order = ("--vm-migrate", f"--to={target}", "--wait", f"--timeout={MOVE_TIMEOUT_S}")
        gap_s = watched_while(lab, lambda: print(lab.on(source, COMMAND, *order).splitlines()[-1]))
    print(f"{source} => {target}: longest gap {gap_s:.2f} s")
    # The target says so, too, but only if something is left to fetch when it is told to resume.
    assert "Suspended Post-copy" in left.result()
    assert lab.engine_identity()[::2] == (target, boot)
    assert gap_s <= scaled(LONGEST_GAP_S)
    lab.wait_settled()


def _events(lab: LabVerbs, host: str) -> str:
    """What libvirt tells of the engine meanwhile; virsh ends so with exit code 1 or 0."""
    watch = ("virsh", "event", "--event", "lifecycle", "--loop", "--timeout", str(EVENTS_S))
    return lab.attempt("on", host, *watch).stdout
