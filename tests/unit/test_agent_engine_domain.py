# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The domain's name comes from the shared configuration; before that nothing is known."""

from __future__ import annotations

import pytest

from ha_agent.observation.engine_domain import EngineDomain
from simulation.world import SimHypervisor, SimLockspace, SimSan, VirtualClock
from world.ports.errors import HypervisorError, HypervisorGoneError
from world.ports.libvirt import DomainState


class Bench:
    def __init__(self) -> None:
        self.made: dict[str, SimHypervisor] = {}
        self.changes = 0
        self.domain = EngineDomain(self._make)
        self.domain.on_change(self._changed)

    def _make(self, name: str) -> SimHypervisor:
        lockspace = SimLockspace(SimSan(VirtualClock()), "h1")
        lockspace.join(1, 10)
        self.made[name] = SimHypervisor(lockspace)
        return self.made[name]

    def _changed(self) -> None:
        self.changes += 1


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_nothing_is_known_without_a_name(bench: Bench) -> None:
    with pytest.raises(HypervisorGoneError, match="the engine VM's name is in the"):
        bench.domain.domain()
    for order in (bench.domain.shutdown, bench.domain.destroy, lambda: bench.domain.start("<x/>")):
        with pytest.raises(HypervisorError, match="the engine VM's name is in the"):
            order()


def test_the_name_is_used_and_told(bench: Bench) -> None:
    bench.domain.set_name("Engine")
    assert list(bench.made) == ["Engine"]
    assert bench.changes == 1
    bench.domain.start("<x/>")
    assert bench.domain.domain().state is DomainState.RUNNING
    bench.domain.shutdown()
    bench.domain.destroy()
    assert bench.made["Engine"].calls == ["start", "shutdown", "destroy"]


def test_the_same_name_is_nothing_new(bench: Bench) -> None:
    bench.domain.set_name("Engine")
    bench.domain.set_name("Engine")
    assert bench.changes == 1


def test_changes_are_heard_under_every_name(bench: Bench) -> None:
    bench.domain.set_name("Engine")
    bench.domain.set_name("Other")
    before = bench.changes
    bench.made["Other"].disappear()
    assert bench.changes == before + 1
    later = []
    bench.domain.on_change(lambda: later.append(1))
    bench.made["Other"].reappear()
    assert later == [1]
