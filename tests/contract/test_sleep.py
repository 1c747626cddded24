# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A host that slept for longer than its lease lasts, simulated and with real sanlock daemons."""

from __future__ import annotations

from typing import Optional

import pytest

from simulation.world import SimLockspace
from tests.contract.clusters import fake_cluster
from tests.contract.real_story import RealStory
from tests.contract.sanlock_hosts import Binding
from tests.contract.sleep_story import tell
from world.ports.sanlock import LeaseOwner


def test_a_host_that_slept_in_virtual_time() -> None:
    with fake_cluster() as cluster:
        tell(cluster)


@pytest.mark.parametrize("binding", Binding, ids=lambda one: one.name.lower())
def test_a_host_that_slept_with_real_daemons(
    real_sleep: dict[Binding, RealStory], binding: Binding
) -> None:
    real_sleep[binding].finish()


# --- other worlds, in which the story cannot be told ------------------------------------------


class Believing(SimLockspace):
    """The lease is whose the local daemon remembers it to be."""

    def lease_owner(self) -> Optional[LeaseOwner]:
        if self._space is None or not self.holders:
            return super().lease_owner()
        return LeaseOwner(self._space.host_id, self._space.generation)


class Noticing(SimLockspace):
    """The daemon knows on waking that it slept, and ends its holders."""

    def resume(self) -> None:
        now_s = self.san.clock.monotonic_s()
        super().resume()
        self._lose(now_s)


class Forgetting(SimLockspace):
    """It knows only the version that stands on the storage."""

    def held_version(self, pid: int) -> Optional[int]:
        return self.lease_version()


class LettingGo(SimLockspace):
    """The end of the sleeper's process frees the lease, whoever has it."""

    def release(self, pid: int) -> None:
        super().release(pid)
        self.san.lease = None


@pytest.mark.parametrize(
    ("other_world", "denied_by"),
    [
        (Believing, "_check_storage"),
        (Noticing, "_check_memory"),
        (Forgetting, "_check_memory"),
        (LettingGo, "_check_storage"),
    ],
)
def test_the_story_denies_another_world(
    monkeypatch: pytest.MonkeyPatch, other_world: type[SimLockspace], denied_by: str
) -> None:
    monkeypatch.setattr("tests.contract.clusters.SimLockspace", other_world)
    with fake_cluster() as cluster, pytest.raises(AssertionError) as caught:
        tell(cluster)
    assert caught.traceback[-1].name == denied_by
