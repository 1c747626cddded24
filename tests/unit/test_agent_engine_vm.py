# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The engine's VM never runs without its lease."""

from __future__ import annotations

import re
from typing import Callable, Optional

import pytest

from ha_agent.actions.start_engine import (
    QUESTIONS,
    EngineNotStartedError,
    resume_left_engine,
    start_engine,
    start_engine_paused,
)
from metadata.layout import storage_parts
from simulation.world import SimHypervisor, SimLockspace, SimSan, VirtualClock
from tests.unit.agent_host import PARTS, domain_xml
from world.ports.errors import HypervisorError, LeaseHeldError, LockspaceBusyError, LockspaceError
from world.ports.libvirt import Domain, DomainState, Pause
from world.vm.domain_states import paused


class Host:
    def __init__(self, san: SimSan, host_id: int = 1, has_lock_manager: bool = True) -> None:
        self.lockspace = SimLockspace(san, f"h{host_id}")
        self.lockspace.join(host_id, 10)
        self.vm = SimHypervisor(self.lockspace, has_lock_manager)

    def start(self, xml: str = "") -> Domain:
        return start_engine(self.vm, self.lockspace, xml or domain_xml(), PARTS)


@pytest.fixture
def san() -> SimSan:
    return SimSan(VirtualClock())


def unlocked(san: SimSan, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host whose sanlock knows qemu and lists no lease for it."""
    host = Host(san)
    monkeypatch.setattr(host.lockspace, "process_holds_lease", lambda _pid: False)
    return host


def test_started_with_its_lease(san: SimSan) -> None:
    host = Host(san)
    domain = host.start()
    assert domain.state is DomainState.RUNNING
    assert domain.pid in host.lockspace.holders
    assert host.vm.calls == ["start"]
    assert host.vm.started_xml == [domain_xml()]


def test_without_the_lock_manager_its_guest_never_runs(san: SimSan) -> None:
    host = Host(san, has_lock_manager=False)
    with pytest.raises(EngineNotStartedError, match=r"does not know qemu.*qemu\.conf"):
        host.start()
    assert host.vm.started_xml == []
    assert host.vm.domain().state is DomainState.ABSENT


def test_known_to_sanlock_but_without_its_lease_it_is_destroyed_at_once(
    san: SimSan, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = unlocked(san, monkeypatch)
    with pytest.raises(EngineNotStartedError, match=r"lists no engine lease") as caught:
        host.start()
    assert "it was switched off again" in caught.value.why
    assert host.vm.calls == ["start", "destroy"]
    assert host.vm.domain().state is DomainState.ABSENT


def test_what_sanlock_cannot_confirm_is_destroyed(
    san: SimSan, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(san)

    def gone(pid: int) -> bool:
        raise LockspaceError("ask", "the daemon does not answer", 2)

    monkeypatch.setattr(host.lockspace, "process_holds_lease", gone)
    with pytest.raises(EngineNotStartedError, match=r"can't confirm.*the daemon does not answer"):
        host.start()
    assert host.vm.calls == ["start", "destroy"]


@pytest.mark.parametrize("answers", [1, QUESTIONS - 1])
def test_a_busy_sanlock_is_asked_again(
    san: SimSan, monkeypatch: pytest.MonkeyPatch, answers: int
) -> None:
    host = Host(san)
    ask = host.lockspace.process_is_registered

    def then_busy(pid: int) -> bool:
        known = ask(pid)
        host.lockspace.busy_answers = answers
        return known

    monkeypatch.setattr(host.lockspace, "process_is_registered", then_busy)
    assert host.start().state is DomainState.RUNNING
    assert host.vm.calls == ["start"]


def test_a_sanlock_that_is_busy_before_the_guest_runs_is_asked_again(san: SimSan) -> None:
    host = Host(san)
    host.lockspace.busy_answers = QUESTIONS - 1
    assert host.start().state is DomainState.RUNNING


def test_a_sanlock_that_is_always_busy_confirms_nothing(
    san: SimSan, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(san)
    begun_s = san.clock.monotonic_s()

    def then_busy(pid: int) -> bool:
        host.lockspace.busy_answers = 100
        return True

    monkeypatch.setattr(host.lockspace, "process_is_registered", then_busy)
    with pytest.raises(EngineNotStartedError, match=r"can't confirm.*busy"):
        host.start()
    assert host.vm.calls == ["start", "destroy"]
    assert san.clock.monotonic_s() - begun_s < 10


@pytest.mark.parametrize("name", ["process_is_registered", "process_holds_lease"])
def test_a_busy_sanlock_is_asked_so_often_and_no_more(
    san: SimSan, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    host, asked = Host(san), []

    def busy(pid: int) -> bool:
        asked.append(pid)
        raise LockspaceBusyError("ask", "busy", 11)

    monkeypatch.setattr(host.lockspace, name, busy)
    with pytest.raises(EngineNotStartedError, match="busy"):
        host.start()
    assert len(asked) == QUESTIONS


def test_a_yes_is_asked_for_once(san: SimSan, monkeypatch: pytest.MonkeyPatch) -> None:
    host, asked = Host(san), []
    monkeypatch.setattr(host.lockspace, "process_holds_lease", lambda pid: not asked.append(pid))
    assert host.start().pid == asked[0]
    assert len(asked) == 1


def test_one_no_is_asked_again(san: SimSan, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(san)
    answers = iter([False, True])
    monkeypatch.setattr(host.lockspace, "process_holds_lease", lambda _pid: next(answers))
    assert host.start().state is DomainState.RUNNING
    assert host.vm.calls == ["start"]


def test_a_failing_destroy_is_told_too(san: SimSan, monkeypatch: pytest.MonkeyPatch) -> None:
    host = unlocked(san, monkeypatch)

    def broken() -> None:
        raise HypervisorError("destroy", "libvirt has gone")

    monkeypatch.setattr(host.vm, "destroy", broken)
    with pytest.raises(EngineNotStartedError, match=r"WITHOUT its lease.*libvirt has gone"):
        host.start()


def test_what_sanlock_cannot_be_asked_about_never_runs(
    san: SimSan, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(san)

    def gone(pid: int) -> bool:
        raise LockspaceError("ask", "the daemon does not answer", 2)

    monkeypatch.setattr(host.lockspace, "process_is_registered", gone)
    with pytest.raises(EngineNotStartedError, match=r"can't be asked.*does not answer"):
        host.start()
    assert host.vm.started_xml == []


def test_a_lease_that_is_missing_is_not_called_held(
    san: SimSan, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(san)

    def held(_xml: str, _before_run: object) -> Domain:
        raise LeaseHeldError("start", "Failed to acquire lock")

    monkeypatch.setattr(host.vm, "start", held)
    san.lease_formatted = False
    with pytest.raises(EngineNotStartedError, match="the lease can't be used"):
        host.start()


def test_a_lease_held_elsewhere_stays_its_own_error(san: SimSan) -> None:
    Host(san, 1).start()
    other = Host(san, 2)
    with pytest.raises(LeaseHeldError):
        other.start()
    assert other.vm.domain().state is DomainState.ABSENT


REFUSED = {
    "no lease": domain_xml(lease=""),
    "lease of another place": domain_xml().replace(str(PARTS.lease.offset), "0"),
    "torn": domain_xml().replace("</devices>", ""),
    "no XML": "engine",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_domain_xml_without_its_lease_is_never_started(san: SimSan, name: str) -> None:
    host = Host(san)
    with pytest.raises(EngineNotStartedError, match="the domain XML is refused"):
        host.start(REFUSED[name])
    assert host.vm.calls == []


def test_the_lease_of_other_storage_is_refused(san: SimSan) -> None:
    host = Host(san)
    with pytest.raises(EngineNotStartedError, match="/elsewhere"):
        start_engine(host.vm, host.lockspace, domain_xml(), storage_parts("/elsewhere"))


def test_a_vm_that_ended_at_once_was_not_started(
    san: SimSan, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(san)
    monkeypatch.setattr(host.vm, "start", lambda *_: Domain(DomainState.ABSENT))
    with pytest.raises(EngineNotStartedError, match="ended as soon as it was started"):
        host.start()


def test_a_process_that_libvirt_does_not_tell_is_destroyed(
    san: SimSan, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(san)
    monkeypatch.setattr(host.vm, "start", lambda *_: Domain(DomainState.RUNNING))
    with pytest.raises(EngineNotStartedError, match="does not tell qemu's process id"):
        host.start()
    assert host.vm.calls == ["destroy"]


def test_libvirts_own_refusal_comes_through(san: SimSan) -> None:
    host = Host(san)
    host.vm.start_error = HypervisorError("start the domain", "no memory")
    with pytest.raises(HypervisorError, match="no memory"):
        host.start()


def test_a_process_that_libvirt_does_not_tell_in_time_never_runs(
    san: SimSan, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(san)

    def start(_xml: str, before_run: Callable[[Optional[int]], None]) -> Domain:
        before_run(None)
        raise AssertionError("its guest runs")

    monkeypatch.setattr(host.vm, "start", start)
    with pytest.raises(EngineNotStartedError, match="so its lease can't be checked"):
        host.start()


def test_created_paused_it_is_known_to_sanlock(san: SimSan) -> None:
    host = Host(san)
    domain = start_engine_paused(host.vm, host.lockspace, domain_xml(), PARTS)
    assert domain.state is DomainState.PAUSED
    assert host.vm.domain().state is DomainState.PAUSED
    with pytest.raises(EngineNotStartedError, match="the domain XML is refused"):
        start_engine_paused(host.vm, host.lockspace, domain_xml(lease=""), PARTS)


def test_created_paused_without_the_lock_manager_it_is_removed(san: SimSan) -> None:
    host = Host(san, has_lock_manager=False)
    with pytest.raises(EngineNotStartedError, match=r"does not know qemu.*qemu\.conf"):
        start_engine_paused(host.vm, host.lockspace, domain_xml(), PARTS)
    assert host.vm.domain().state is DomainState.ABSENT


# --- after a migration --------------------------------------------------------------------


def left_between(san: SimSan) -> tuple[Host, Optional[int]]:
    """A VM that a migration has left paused, and the lease's version while it ran."""
    host = Host(san)
    pid = host.start().pid
    assert pid is not None
    version = host.lockspace.held_version(pid)
    host.vm.pause(Pause.MIGRATION)
    return host, version


def test_a_vm_left_between_two_hosts_goes_on_with_its_lease(san: SimSan) -> None:
    host, version = left_between(san)
    resume_left_engine(host.vm, host.lockspace, version)
    domain = host.vm.domain()
    assert domain.state is DomainState.RUNNING
    assert domain.pid in host.lockspace.holders


def test_one_that_has_run_elsewhere_since_never_goes_on(san: SimSan) -> None:
    """For a moment only, and its lease is free again: but its disk is newer than this memory."""
    host, version = left_between(san)
    other = Host(san, 2)
    other.start()
    other.vm.destroy()
    with pytest.raises(HypervisorError, match=r"version 2, not 1.*older than the engine's disk"):
        resume_left_engine(host.vm, host.lockspace, version)
    assert host.vm.domain().state is DomainState.PAUSED


def test_one_whose_lease_another_host_holds_does_not_go_on(san: SimSan) -> None:
    host, _version = left_between(san)
    Host(san, 2).start()
    with pytest.raises(LeaseHeldError):
        resume_left_engine(host.vm, host.lockspace, host.lockspace.lease_version())


def test_one_whose_version_nobody_knows_does_not_go_on(san: SimSan) -> None:
    host, _version = left_between(san)
    with pytest.raises(HypervisorError, match="not known with which version"):
        resume_left_engine(host.vm, host.lockspace, None)


@pytest.mark.parametrize("why", [Pause.USER, Pause.IOERROR, Pause.SAVE, Pause.POSTCOPY])
def test_what_else_is_paused_is_not_resumed(san: SimSan, why: Pause) -> None:
    host, version = left_between(san)
    host.vm.pause(why)
    with pytest.raises(HypervisorError, match=f"it is paused .{re.escape(paused(why).detail)}."):
        resume_left_engine(host.vm, host.lockspace, version)


def test_nothing_is_resumed_in_the_middle_of_a_migration(san: SimSan) -> None:
    host, version = left_between(san)
    host.vm.migrates = True
    with pytest.raises(HypervisorError, match="a migration is under way"):
        resume_left_engine(host.vm, host.lockspace, version)
