# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a migration that can't be is, for the real libvirt and the simulated one alike."""

from __future__ import annotations

from typing import Protocol

import pytest

from world.ports.errors import HypervisorError
from world.ports.libvirt import DomainState, Hypervisor, MigrationOptions

HERE = "qemu:///system"
# Nobody listens on that port.
NOBODY = "qemu+tcp://127.0.0.1:1/system"


class Stage(Protocol):
    """A hypervisor, and the domain of which these cases are."""

    hypervisor: Hypervisor

    def run(self) -> None:
        """Have the domain run."""

    def pause(self) -> None:
        """Have somebody pause it."""


def refused(stage: Stage, address: str, why: str) -> None:
    before = stage.hypervisor.domain()
    with pytest.raises(HypervisorError) as caught:
        stage.hypervisor.migrate(address, MigrationOptions())
    assert why in caught.value.why
    assert stage.hypervisor.domain() == before
    assert not before.leaving


def to_nobody(stage: Stage) -> None:
    stage.run()
    refused(stage, NOBODY, f"no connection to {NOBODY}: ")


def to_itself(stage: Stage) -> None:
    stage.run()
    refused(stage, HERE, f"{HERE} is this very host")


def one_that_is_not_here(stage: Stage) -> None:
    refused(stage, NOBODY, "it is not here")
    stage.hypervisor.abort_migration()
    assert stage.hypervisor.domain().state == DomainState.ABSENT


def one_that_does_not_run(stage: Stage) -> None:
    stage.run()
    stage.pause()
    refused(stage, NOBODY, "it is paused (somebody paused it, or its start was broken off)")


def nothing_to_break_off(stage: Stage) -> None:
    stage.run()
    before = stage.hypervisor.domain()
    stage.hypervisor.abort_migration()
    assert stage.hypervisor.domain() == before


CASES = (to_nobody, to_itself, one_that_is_not_here, one_that_does_not_run, nothing_to_break_off)
