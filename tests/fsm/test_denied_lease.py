# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A VM that runs here on a lease that is another host's by the storage: a host that slept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fsm import Action, Memory, State
from fsm.observation import Lease, Observation, Vm
from fsm.step import step
from metadata.records import Health
from metadata.settings.parse import ClusterSettings

CONFIG = ClusterSettings()
AT_S = 1000.0
IN_MAINTENANCE = {
    State.LOCAL_MAINTENANCE: {"local_maintenance": True},
    State.GLOBAL_MAINTENANCE: {"global_maintenance": True},
}
STATES = (State.ENGINE_STARTING, State.ENGINE_UP, State.ENGINE_UP_BAD_HEALTH, *IN_MAINTENANCE)


class Host:
    """Its VM runs since 1000 and its sanlock lists the lease; each `look` is of the storage."""

    def __init__(self, state: State = State.ENGINE_UP, **fields: Any) -> None:
        self.memory = Memory(state=state, since_s=AT_S, started_at_s=AT_S)
        self.actions: list[Action] = []
        self.seen = Observation(
            now_s=AT_S,
            host_id=1,
            complete=True,
            vm=Vm.RUNNING,
            health=Health.GOOD,
            vm_holds_lease=True,
            lease=Lease.OURS,
            lease_owner_id=1,
            global_maintenance=False,
            vm_running_since_s=AT_S,
        )
        self.seen = replace(self.seen, **{**IN_MAINTENANCE.get(state, {}), **fields})

    def look(self, lease: Lease, after_s: float = 1.0, **fields: Any) -> State:
        """A new look at the storage, and libvirt asked after it, unless `fields` say else."""
        now_s = self.seen.now_s + after_s
        new = {"lease_seen_at_s": now_s, "vm_seen_at_s": now_s, **fields}
        owner = {Lease.OURS: 1, Lease.THEIRS: 2}.get(lease)
        self.seen = replace(self.seen, now_s=now_s, lease=lease, lease_owner_id=owner, **new)
        return self.again()

    def again(self, **fields: Any) -> State:
        """Decide until the state stays."""
        self.seen = replace(self.seen, **fields)
        while True:
            decision = step(self.memory, self.seen, CONFIG)
            self.memory = decision.memory
            self.actions += decision.actions
            if not decision.changed:
                return self.memory.state


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("lease", [Lease.THEIRS, Lease.FREE])
def test_two_looks_at_the_storage_switch_it_off_in_every_state(state: State, lease: Lease) -> None:
    host = Host(state)
    stays = State.ENGINE_UP if state is not State.ENGINE_UP and state in STATES[:3] else state
    assert host.look(lease) is stays
    assert host.actions == []
    assert host.look(lease) is State.ENGINE_FORCE_STOP
    assert host.actions == [Action.DESTROY_VM]


def test_why_says_who_has_it() -> None:
    host = Host()
    host.look(Lease.THEIRS, lease_owner="h2")
    seen = replace(host.seen, now_s=1010.0, lease_seen_at_s=1010.0, vm_seen_at_s=1010.0)
    assert step(host.memory, seen, CONFIG).why == (
        "the VM runs here without the engine's lease: on the storage it belongs to h2"
    )


def test_the_same_look_twice_is_one() -> None:
    host = Host()
    host.look(Lease.THEIRS)
    assert host.again(now_s=1100.0, vm_seen_at_s=1100.0) is State.ENGINE_UP


def test_a_look_that_finds_it_ours_begins_the_count_anew() -> None:
    host = Host()
    for lease in (Lease.THEIRS, Lease.OURS, Lease.FREE):
        assert host.look(lease) is State.ENGINE_UP
    assert host.look(Lease.FREE) is State.ENGINE_FORCE_STOP


def test_what_is_not_known_neither_counts_nor_clears() -> None:
    host = Host()
    for lease in (Lease.THEIRS, Lease.UNKNOWN, Lease.UNKNOWN):
        assert host.look(lease) is State.ENGINE_UP
    assert host.look(Lease.THEIRS) is State.ENGINE_FORCE_STOP


def test_a_vm_in_transit_moves_nothing() -> None:
    host = Host(vm=Vm.IN_TRANSIT, vm_holds_lease=None, vm_running_since_s=None)
    for _ in range(5):
        assert host.look(Lease.THEIRS) is State.ENGINE_UP
    # It has arrived: what was seen before does not count, nor a look from before it ran.
    host.seen = replace(host.seen, vm=Vm.RUNNING, vm_running_since_s=host.seen.now_s + 1)
    assert host.look(Lease.THEIRS, lease_seen_at_s=host.seen.now_s) is State.ENGINE_UP
    assert host.look(Lease.THEIRS) is State.ENGINE_UP
    assert host.look(Lease.THEIRS) is State.ENGINE_FORCE_STOP


def test_a_vm_that_ran_anew_between_two_looks_starts_the_count_anew() -> None:
    host = Host()
    host.look(Lease.THEIRS)
    assert host.look(Lease.THEIRS, vm_running_since_s=1001.5) is State.ENGINE_UP


def test_libvirt_must_show_it_running_after_the_second_look() -> None:
    host = Host()
    host.look(Lease.THEIRS)
    before_s = host.seen.now_s
    assert host.look(Lease.THEIRS, vm_seen_at_s=before_s) is State.ENGINE_UP
    assert host.look(Lease.THEIRS, vm_seen_at_s=before_s) is State.ENGINE_UP
    # It need not be asked after each further look: a slow libvirt is always behind the latest.
    assert host.again(vm_seen_at_s=before_s + 1) is State.ENGINE_FORCE_STOP


def test_a_silent_libvirt_forgets_nothing_and_does_nothing() -> None:
    host = Host()
    host.look(Lease.THEIRS)
    assert host.look(Lease.THEIRS, vm=Vm.UNKNOWN) is State.UNKNOWN_LOCAL_VM_STATE
    assert host.actions == []
    assert host.look(Lease.THEIRS, vm=Vm.RUNNING) is State.ENGINE_FORCE_STOP


def test_an_observation_without_moments_is_of_now() -> None:
    host = Host(vm_running_since_s=None)
    moments = {"lease_seen_at_s": None, "vm_seen_at_s": None}
    assert host.look(Lease.THEIRS, **moments) is State.ENGINE_UP
    assert host.look(Lease.THEIRS, **moments) is State.ENGINE_FORCE_STOP
