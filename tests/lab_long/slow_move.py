# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A move of the engine that takes long enough for something to happen in its middle."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.lab.real_story import DOMAIN
from tests.lab.test_moves import COMMAND
from tests.lab.verbs import LabVerbs, scaled

# In MiB/s: slow enough that something can happen in the middle, in a minute. At 1 MiB/s the
# emulated guest may write as fast as that, and no pass over its memory is the last one.
BANDWIDTH = "migration.bandwidth_mib_s"
SLOWLY, AS_FAST_AS_IT_GOES = "2", "0"
BEGUN_S = 40.0


@dataclass(frozen=True)
class Move:
    """A move that has begun, and is in the middle."""

    source: str
    target: str
    boot: str


@pytest.fixture
def slow(lab: LabVerbs) -> Iterator[LabVerbs]:
    lab.set_shared(BANDWIDTH, SLOWLY)
    yield lab
    for host, found in lab.status()["hosts"].items():
        if found["power"] != "on":
            lab("power-on", host)
    lab.wait_settled()
    lab.set_shared(BANDWIDTH, AS_FAST_AS_IT_GOES)


@pytest.fixture
def move(slow: LabVerbs) -> Move:
    """libvirt copies the VM's memory."""
    source, _, boot = slow.engine_identity()
    target = next(name for name in slow.status()["hosts"] if name != source)
    slow.on(source, COMMAND, "--vm-migrate", f"--to={target}")

    def copies() -> bool:
        shown = slow.attempt("on", source, "virsh", "domjobinfo", DOMAIN)
        return "Memory processed" in shown.stdout

    slow.wait_until("the middle of a move", copies, scaled(BEGUN_S))
    return Move(source, target, str(boot))
