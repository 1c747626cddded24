# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the contract suite can't show of the fakes: virtual time, hanging, the hypervisor."""

from __future__ import annotations

import errno
from typing import Callable

import pytest

from metadata.records import VolumeAddress
from simulation.world import (
    CallHangs,
    InlineRunner,
    SimHypervisor,
    SimLockspace,
    SimSan,
    SimStore,
    SimVitals,
    VirtualClock,
)
from tests.contract import moves_alike
from world.ports.errors import HypervisorError, HypervisorGoneError, LeaseHeldError, StorageError
from world.ports.libvirt import DomainState, Ending, EngineCpu, Pause
from world.ports.sanlock import Membership

IO_TIMEOUT_S = 2


class Pair:
    """Two hosts that have joined and seen each other alive."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.san = SimSan(self.clock)
        self.runner = InlineRunner(self.clock)
        self.lockspaces = [SimLockspace(self.san, name) for name in ("h1", "h2")]
        self.vms = [SimHypervisor(lockspace) for lockspace in self.lockspaces]
        for host_id, lockspace in enumerate(self.lockspaces, start=1):
            lockspace.join(host_id, IO_TIMEOUT_S)
        self.clock.advance(10)


def test_a_job_that_spends_time_ends_later() -> None:
    clock = VirtualClock()
    runner, lockspace = InlineRunner(clock), SimLockspace(SimSan(clock), "h1")
    assert runner.submit("join", lambda: lockspace.join(1, 2))
    assert runner.submit("join", lambda: None) is False
    assert lockspace.membership(1) == Membership.JOINING
    clock.advance(4.9)
    assert runner.poll() == []
    assert runner.busy_since_s("join") == 1000
    clock.advance(0.1)
    (outcome,) = runner.poll()
    assert (outcome.started_at_s, outcome.finished_at_s) == (1000, 1005)
    assert lockspace.membership(1) == Membership.JOINED


def test_a_key_told_to_hang() -> None:
    runner, done = InlineRunner(VirtualClock()), []
    runner.hang("a")
    assert runner.submit("a", lambda: done.append(1))
    assert runner.submit("b", lambda: done.append(2))
    assert [outcome.key for outcome in runner.poll()] == ["b"]
    runner.release("a")
    assert [outcome.key for outcome in runner.poll()] == ["a"]
    assert done == [2, 1]


def test_a_job_on_a_hanging_store_goes_on_when_it_is_healed() -> None:
    runner, store = InlineRunner(VirtualClock()), SimStore()
    store.add("/v", 8192)
    store.hang()
    runner.submit("read", lambda: store.read(VolumeAddress("/v"), 4096))
    assert runner.poll() == []
    store.heal()
    (outcome,) = runner.poll()
    assert outcome.value == bytes(4096)


def test_a_failing_store() -> None:
    store = SimStore()
    store.add("/v", 8192)
    store.fail(errno.EIO)
    with pytest.raises(StorageError) as caught:
        store.read(VolumeAddress("/v"), 4096)
    assert caught.value.errno == errno.EIO


def test_a_start_waits_for_the_silent_owners_death() -> None:
    pair = Pair()
    pair.vms[0].start("<domain/>")
    with pytest.raises(LeaseHeldError):
        pair.vms[1].start("<domain/>")
    pair.lockspaces[0].power_off()
    died_at_s = pair.clock.monotonic_s()
    pair.clock.advance(12)
    pair.runner.submit("start", lambda: pair.vms[1].start("<domain/>"))
    assert pair.vms[1].now.state == DomainState.UNKNOWN
    with pytest.raises(CallHangs):
        pair.vms[1].domain()
    while not (outcomes := pair.runner.poll()):
        pair.clock.advance(1)
    assert outcomes[0].error is None
    with pytest.raises(CallHangs):
        pair.vms[1].domain()
    pair.clock.advance(0.1)
    assert 76 - 2 * IO_TIMEOUT_S <= pair.clock.monotonic_s() - died_at_s <= 76 + 2 * IO_TIMEOUT_S
    assert pair.vms[1].domain().state == DomainState.RUNNING
    assert pair.vms[1].calls == ["start", "start"]


def test_a_hung_storage_path_kills_the_engine() -> None:
    pair = Pair()
    pair.vms[0].start("<domain/>")
    pair.lockspaces[0].hang_storage()
    hung_at_s = pair.clock.monotonic_s()
    pair.clock.advance(8 * IO_TIMEOUT_S - 5)
    assert pair.vms[0].domain().state == DomainState.RUNNING
    pair.clock.advance(5)
    assert pair.vms[0].domain().ending == Ending.CRASHED
    assert pair.lockspaces[0].membership(1) == Membership.OUT
    pair.lockspaces[1].acquire(1)  # waits
    assert pair.clock.monotonic_s() - hung_at_s >= 76 - 2 * IO_TIMEOUT_S
    assert [what for _, what, _ in pair.san.history] == ["acquire", "kill", "acquire"]


def test_a_dead_daemon_kills_nobody_and_its_lease_is_taken_at_last() -> None:
    pair = Pair()
    pair.vms[0].start("<domain/>")
    pair.lockspaces[0].kill_daemon()
    pair.clock.advance(100)
    assert pair.vms[0].domain().state == DomainState.RUNNING
    pair.vms[1].start("<domain/>")
    assert pair.vms[1].domain().state == DomainState.RUNNING


def test_pausing_releases_and_resuming_wants_the_lease_back() -> None:
    pair = Pair()
    pair.vms[0].start("<domain/>")
    pair.vms[0].pause()
    pair.vms[1].start("<domain/>")
    with pytest.raises(LeaseHeldError):
        pair.vms[0].resume()


def test_without_a_lock_manager_there_is_no_lease() -> None:
    pair = Pair()
    careless = SimHypervisor(pair.lockspaces[0], has_lock_manager=False)
    pid = careless.start("<domain/>").pid
    assert pid is not None
    assert not pair.lockspaces[0].process_holds_lease(pid)


def test_a_guest_that_takes_its_time_to_power_off() -> None:
    pair = Pair()
    vm = pair.vms[0]
    changes: list[float] = []
    vm.on_change(lambda: changes.append(pair.clock.monotonic_s()))
    vm.guest_obeys_after_s = 3
    vm.start("<domain/>")
    vm.shutdown()
    pair.clock.advance(2)
    assert vm.domain().state == DomainState.RUNNING
    pair.clock.advance(1)
    assert vm.domain().ending == Ending.STOPPED
    assert len(changes) == 2
    assert pair.lockspaces[1].lease_owner() is None


def test_gone_is_not_absent() -> None:
    vm = Pair().vms[0]
    vm.disappear()
    with pytest.raises(HypervisorGoneError):
        vm.domain()
    vm.reappear()
    assert vm.domain().state == DomainState.ABSENT


# --- what the VM uses of the CPUs -----------------------------------------------------


def test_a_running_vm_uses_cpu_time_and_a_paused_one_does_not() -> None:
    clock, vm = running_vm()
    vm.cpus_used = 2.0
    clock.advance(10)
    assert vm.cpu_time() == EngineCpu(vm.now.pid, 20.0)
    vm.pause()
    clock.advance(10)
    assert vm.cpu_time() == EngineCpu(vm.now.pid, 20.0)
    vm.resume()
    clock.advance(1)
    assert vm.cpu_time() == EngineCpu(vm.now.pid, 22.0)


def test_each_vm_counts_from_zero_and_the_host_goes_on_counting() -> None:
    clock, vm = running_vm()
    vm.cpus_used = 1.0
    vitals = SimVitals(clock, cpus=4, engine_busy_s=lambda: vm.cpu_busy_s)
    first = vm.now.pid
    before = vitals.cpu_times()
    clock.advance(10)
    vm.crash()
    clock.advance(10)
    assert vm.cpu_time() is None
    vm.start("<domain/>")
    clock.advance(5)
    assert vm.now.pid != first
    assert vm.cpu_time() == EngineCpu(vm.now.pid, 5.0)
    after = vitals.cpu_times()
    assert after.busy_s - before.busy_s == 15
    assert after.total_s - before.total_s == 4 * 25


def test_libvirt_may_not_know_the_cpu_time_of_a_new_vm() -> None:
    clock, vm = running_vm()
    vm.cpu_unknown_s = 90
    clock.advance(89)
    assert vm.cpu_time() == EngineCpu(vm.now.pid, None)
    clock.advance(1)
    assert vm.cpu_time() == EngineCpu(vm.now.pid, 45.0)


def test_while_a_vm_is_made_nothing_is_said_of_it() -> None:
    clock = VirtualClock()
    lockspace = SimLockspace(SimSan(clock), "h1")
    lockspace.join(1, IO_TIMEOUT_S)
    vm, runner = SimHypervisor(lockspace), InlineRunner(clock)
    vm.create_takes_s = 3.0
    runner.submit("start", lambda: vm.start("<domain/>"))
    runner.submit("look", vm.domain)
    clock.advance(2.9)
    assert runner.poll() == []
    clock.advance(0.1)
    (started,) = runner.poll()
    assert started.key == "start" and started.error is None
    assert runner.poll() == [], "who has waited is answered later"
    clock.advance(0.1)
    (seen,) = runner.poll()
    assert seen.value == vm.now and vm.now.state is DomainState.RUNNING
    assert vm.calls == ["start"]


def running_vm() -> tuple[VirtualClock, SimHypervisor]:
    clock = VirtualClock()
    lockspace = SimLockspace(SimSan(clock), "h1")
    lockspace.join(1, 1)
    clock.advance(5)
    vm = SimHypervisor(lockspace)
    vm.start("<domain/>")
    return clock, vm


# --- renewals ---------------------------------------------------------------------------


def test_renewals_that_fail_are_counted_at_the_one_before() -> None:
    clock = VirtualClock()
    lockspace = SimLockspace(SimSan(clock), "h1")
    lockspace.join(1, 2)
    clock.advance(10)
    lockspace.hang_storage()
    clock.advance(8)
    lockspace.heal_storage()
    lockspace.fail_storage()
    clock.advance(3)
    lockspace.heal_storage()
    clock.advance(6)
    last_before, first_after = lockspace.renewals()[-3:-1]
    assert (last_before.timeouts, last_before.errors) == (3, 3)
    assert (first_after.timeouts, first_after.errors) == (0, 0)


def test_a_paused_start_holds_no_lease_until_it_is_resumed() -> None:
    pair = Pair()
    started = pair.vms[0].start_paused("<domain/>")
    assert started == pair.vms[0].domain()
    assert (started.state, started.pause) == (DomainState.PAUSED, Pause.USER)
    assert started.pid is not None
    assert pair.lockspaces[0].process_is_registered(started.pid)
    assert pair.lockspaces[0].lease_owner() is None
    pair.vms[0].resume()
    assert pair.lockspaces[0].process_holds_lease(started.pid)


def test_devices_are_those_of_the_domain_that_is_here() -> None:
    vm = Pair().vms[0]
    with pytest.raises(HypervisorError, match="there is no domain"):
        vm.live_xml()
    with pytest.raises(HypervisorError, match="there is no domain"):
        vm.update_device("<graphics/>")
    vm.start("<domain/>")
    vm.update_device("<graphics/>")
    assert (vm.live_xml(), vm.updates) == ("<domain/>", ["<graphics/>"])


class SimulatedStage:
    """A hypervisor that has nobody beside it."""

    def __init__(self) -> None:
        self.hypervisor = Pair().vms[0]

    def run(self) -> None:
        self.hypervisor.start("<domain/>")

    def pause(self) -> None:
        self.hypervisor.pause(Pause.USER)


@pytest.mark.parametrize("case", moves_alike.CASES, ids=lambda case: str(case.__name__))
def test_what_can_not_be_moved(case: Callable[[moves_alike.Stage], None]) -> None:
    case(SimulatedStage())
