# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""--vm-start, --vm-start-paused, --vm-shutdown and --vm-poweroff in a simulated world."""

from __future__ import annotations

import argparse
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from ha_broker.api.snapshot import EngineView, Snapshot
from hosted_engine.cli.wait import EndedError, follow, wait_s
from hosted_engine.cluster.lease_holder import OtherOwner, other_owner
from hosted_engine.errors import CommandError, NotReachedError, UsageError
from hosted_engine.host.patient_lockspace import PatientLockspace
from hosted_engine.vm import start as engine_start
from hosted_engine.vm import stop as engine_stop
from hosted_engine.vm.engine_access import EngineAccess
from hosted_engine.vm.start import xml_for_one_start
from metadata.domain_xml import lease_element
from metadata.layout import storage_parts
from metadata.liveness import Liveness
from metadata.records import Health
from metadata.settings.parse import ClusterSettings, EngineSettings
from simulation.world import SimHypervisor, SimLockspace, SimSan, VirtualClock
from tests.unit.command_broker import snapshot
from world.ports.errors import HypervisorError, HypervisorGoneError, LockspaceError
from world.ports.libvirt import Domain, DomainState, Ending, Pause
from world.ports.sanlock import LeaseOwner, Lockspace, LockspaceHost
from world.vm.domain_states import paused

PARTS = storage_parts("/shared/leases")
XML = f"<domain><name>HostedEngine</name><devices>{lease_element(PARTS)}</devices></domain>"
WITH_PAGE = ClusterSettings(engine=EngineSettings(health_url="http://engine/health"))
LONG_AFTER_S = 1e12


class Hosts:
    """Two hosts in virtual time, joined; the engine of the first."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        san = SimSan(self.clock)
        self.lockspaces = [SimLockspace(san, name) for name in ("h1", "h2")]
        self.vms = [SimHypervisor(lockspace) for lockspace in self.lockspaces]
        for host_id, lockspace in enumerate(self.lockspaces, start=1):
            lockspace.join(host_id, 10)
            self.clock.advance(60)

    def engine(self, index: int, **fields: Any) -> EngineAccess:
        return EngineAccess(
            hypervisor=self.vms[index],
            lockspace=self.lockspaces[index],
            parts=PARTS,
            domain_xml=XML,
            host_id=index + 1,
            libvirt_uri="qemu:///system",
            settings=WITH_PAGE,
            ask_broker=lambda: snapshot(**fields),
        )


@pytest.fixture
def hosts() -> Hosts:
    return Hosts()


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hosted_engine.cli.wait.LOOK_EVERY_S", 0.01)


def shutdown(engine: EngineAccess, timeout_s: Optional[float] = None) -> int:
    return engine_stop.stop(engine, graceful=True, timeout_s=timeout_s)


def poweroff(engine: EngineAccess, timeout_s: Optional[float] = None) -> int:
    return engine_stop.stop(engine, graceful=False, timeout_s=timeout_s)


# --- starting ---------------------------------------------------------------------------------


def test_start_takes_the_lease(hosts: Hosts, capsys: pytest.CaptureFixture[str]) -> None:
    pid = engine_start.start(hosts.engine(0)).pid
    assert hosts.vms[0].domain() == Domain(DomainState.RUNNING, pid=pid)
    assert hosts.lockspaces[0].holders == {pid}
    assert str(pid) in capsys.readouterr().out


def test_second_start_here_is_refused_and_harms_nothing(hosts: Hosts) -> None:
    engine_start.start(hosts.engine(0))
    before = hosts.vms[0].domain()
    with pytest.raises(CommandError, match="running on this host already and holds"):
        engine_start.start(hosts.engine(0))
    assert hosts.vms[0].domain() == before
    assert hosts.vms[0].calls == ["start"]


def test_second_start_elsewhere_names_the_owner_and_does_not_touch_libvirt(hosts: Hosts) -> None:
    engine_start.start(hosts.engine(0))
    before = hosts.vms[0].domain()
    with pytest.raises(CommandError, match=r"held by host h1 \(id 1\)"):
        engine_start.start(hosts.engine(1))
    assert hosts.vms[0].domain() == before
    assert hosts.vms[1].calls == []


def test_lease_that_is_taken_after_the_look_is_refused_by_sanlock(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine_start.start(hosts.engine(0))
    monkeypatch.setattr(engine_start, "other_owner", lambda _lockspace, _own_id: None)
    with pytest.raises(CommandError, match=r"held by host h1 \(id 1\)"):
        engine_start.start(hosts.engine(1))
    assert hosts.vms[1].calls == ["start"]
    assert hosts.vms[1].domain().state is DomainState.ABSENT


def test_start_that_fails_while_another_host_runs_it_names_the_owner(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine_start.start(hosts.engine(0))
    monkeypatch.setattr(engine_start, "other_owner", lambda _lockspace, _own_id: None)
    hosts.vms[1].start_error = HypervisorError("start", "removed while paused")
    with pytest.raises(CommandError, match=r"while paused; its lease belongs to host h1 \(id 1\)"):
        engine_start.start(hosts.engine(1))


def test_start_that_libvirt_refuses_says_why(hosts: Hosts) -> None:
    hosts.vms[0].start_error = HypervisorError("create the domain", "no such machine")
    with pytest.raises(CommandError, match="create the domain: no such machine"):
        engine_start.start(hosts.engine(0))


def test_start_that_does_not_end_is_given_up_and_may_still_come_about(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    forever = threading.Event()
    monkeypatch.setattr(hosts.vms[0], "start", lambda *_: forever.wait())
    monkeypatch.setattr(engine_start, "START_LIMIT_S", -engine_start._floor_s(hosts.engine(0)))
    with pytest.raises(NotReachedError, match=r"libvirt .* may still do what it was told"):
        engine_start.start(hosts.engine(0))
    forever.set()


def test_silent_owner_is_named_before_the_wait(
    hosts: Hosts, capsys: pytest.CaptureFixture[str]
) -> None:
    engine_start.start(hosts.engine(0))
    hosts.lockspaces[0].power_off()
    hosts.clock.advance(110)  # sanlock says so up to a renewal late
    engine_start._refuse_while_other_owns(hosts.engine(1))
    told = capsys.readouterr().out
    assert "host h1 (id 1), which is silent: the start waits" in told
    assert "at most 140 s" in told
    hosts.clock.advance(90)
    engine_start._refuse_while_other_owns(hosts.engine(1))
    assert capsys.readouterr().out == "", "a dead one's lease is free"


@pytest.mark.parametrize("local", [False, True])
def test_start_on_a_host_in_local_maintenance_is_warned_of(
    hosts: Hosts,
    local: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        engine_start, "engine_here", lambda: hosts.engine(0, local_maintenance=local)
    )
    asked = argparse.Namespace(wait=False, timeout=None, vm_conf=None)
    assert engine_start.run_start_command(asked) == 0
    assert ("is in local maintenance" in capsys.readouterr().out) is local


# --- who else may have the lease ----------------------------------------------------------------


def test_the_lease_of_a_dead_host_or_of_an_earlier_life_stops_nobody(hosts: Hosts) -> None:
    mine, other = hosts.lockspaces[1], hosts.lockspaces[0]
    assert other_owner(mine, 2) is None
    hosts.vms[0].start(XML)
    assert other_owner(mine, 2) == OtherOwner(1, lives=True)
    assert other_owner(other, 1) is None, "its own"
    other.power_off()
    hosts.clock.advance(110)
    assert other_owner(mine, 2) == OtherOwner(1, lives=None)
    hosts.clock.advance(90)
    assert other_owner(mine, 2) == OtherOwner(1, lives=False)


@pytest.mark.parametrize(
    ("generation", "lives"), [(6, None), (7, True), (8, False)], ids=["unseen", "same", "joined"]
)
def test_it_is_the_owners_life_that_counts(
    hosts: Hosts, generation: int, lives: Optional[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = hosts.lockspaces[1]
    seen = [LockspaceHost(1, generation, 1, Liveness.LIVE)]
    monkeypatch.setattr(mine, "lease_owner", lambda: LeaseOwner(1, 7))
    monkeypatch.setattr(mine, "hosts", lambda: seen)
    assert other_owner(mine, 2) == OtherOwner(1, lives)
    seen.clear()
    assert other_owner(mine, 2) == OtherOwner(1, None)


def test_a_lease_that_cant_be_read_is_left_to_the_start(hosts: Hosts) -> None:
    hosts.lockspaces[1].kill_daemon()
    assert other_owner(hosts.lockspaces[1], 2) is None


# --- from another XML ---------------------------------------------------------------------------


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "other.xml"
    path.write_text(XML)
    return path


def test_vm_conf_is_what_is_started(hosts: Hosts, conf: Path) -> None:
    engine = replace(
        hosts.engine(0), domain_xml=xml_for_one_start(str(conf), "HostedEngine", PARTS)
    )
    engine_start.start(engine)
    assert hosts.vms[0].started_xml == [XML]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the domain XML can't be read"),
        (b"\xff", "can't be read"),
        (b"<network/>", "must begin with <domain>"),
        (XML.replace("HostedEngine", "Other").encode(), "'Other', must be 'HostedEngine'"),
        (b"<domain><name>HostedEngine</name></domain>", "add to its <devices>: <lease>"),
        (XML.replace("1048576", "0").encode(), "must lie at path '/shared/leases' offset 1048576"),
    ],
)
def test_vm_conf_that_breaks_a_rule_is_refused_with_the_files_name(
    conf: Path, content: bytes, expected: str
) -> None:
    conf.write_bytes(content)
    with pytest.raises(CommandError) as caught:
        xml_for_one_start(str(conf), "HostedEngine", PARTS)
    assert caught.value.message.startswith(f"{conf}: ")
    assert expected in caught.value.message


def test_vm_conf_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"none\.xml: can't be read: .*No such file"):
        xml_for_one_start(str(tmp_path / "none.xml"), "HostedEngine", PARTS)


# --- paused -------------------------------------------------------------------------------------


def test_paused_start_runs_nothing_and_says_how_to_go_on(
    hosts: Hosts, capsys: pytest.CaptureFixture[str]
) -> None:
    domain = engine_start.start_paused(hosts.engine(0, global_maintenance=True))
    assert domain == hosts.vms[0].domain()
    assert hosts.vms[0].domain().state is DomainState.PAUSED
    assert hosts.lockspaces[0].lease_owner() is None
    told = capsys.readouterr().out
    assert "holds no lease as long as it is paused" in told
    assert "virsh -c qemu:///system resume HostedEngine" in told


def test_paused_start_is_followed_until_it_was_resumed(
    hosts: Hosts,
) -> None:
    engine = hosts.engine(0, global_maintenance=True)
    with pytest.raises(NotReachedError, match=r"the VM is paused"):
        engine_start.follow_start(engine, engine_start.start_paused(engine), 0.05)


@pytest.mark.parametrize("known", [False, None])
def test_paused_start_outside_global_maintenance_is_refused(
    hosts: Hosts, known: Optional[bool]
) -> None:
    with pytest.raises(CommandError, match="--set-maintenance --mode=global --wait"):
        engine_start.start_paused(hosts.engine(0, global_maintenance=known))
    silent = replace(hosts.engine(0), ask_broker=lambda: None)
    with pytest.raises(CommandError, match="switches off"):
        engine_start.start_paused(silent)
    assert hosts.vms[0].calls == []


def test_paused_start_beside_a_running_engine_is_refused(hosts: Hosts) -> None:
    engine_start.start(hosts.engine(0))
    with pytest.raises(CommandError, match=r"held by host h1 \(id 1\)"):
        engine_start.start_paused(hosts.engine(1, global_maintenance=True))
    assert hosts.vms[1].calls == []


def test_paused_engine_is_not_started_over(hosts: Hosts) -> None:
    hosts.vms[0].set_domain(paused(Pause.IOERROR, 4))
    with pytest.raises(
        CommandError, match=r"paused on this host already \(its disk .*\(I/O error\)\).* resume"
    ):
        engine_start.start(hosts.engine(0))
    assert hosts.vms[0].calls == []


# --- following a start --------------------------------------------------------------------------


def healthy(health: Health, seen_at_s: float = LONG_AFTER_S) -> Snapshot:
    return snapshot(engine=EngineView(DomainState.RUNNING, health, "as told", seen_at_s))


class Broker:
    """Answers that come one after the other; the last one stays."""

    def __init__(self, *answers: Optional[Snapshot]) -> None:
        self._answers: Iterator[Optional[Snapshot]] = iter(answers[:-1])
        self._last = answers[-1]

    def __call__(self) -> Optional[Snapshot]:
        return next(self._answers, self._last)


def test_start_is_followed_until_the_engine_is_healthy(
    hosts: Hosts, capsys: pytest.CaptureFixture[str]
) -> None:
    domain = engine_start.start(hosts.engine(0))
    answers = Broker(None, healthy(Health.GOOD, 0), healthy(Health.BAD), healthy(Health.GOOD))
    engine_start.follow_start(replace(hosts.engine(0), ask_broker=answers), domain, 60)
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line[9:] for line in lines[:-1]] == [
        "the VM runs; this host's broker does not answer (see 'systemctl status ha-broker')",
        "the VM runs; its health was not checked yet",
        "the VM runs; its health is bad (as told)",
    ]
    assert lines[-1] == "Reached: the engine is healthy on this host."


def test_start_that_does_not_become_healthy_in_time_says_so(hosts: Hosts) -> None:
    domain = engine_start.start(hosts.engine(0))
    engine = replace(hosts.engine(0), ask_broker=lambda: healthy(Health.BAD))
    with pytest.raises(NotReachedError, match=r"within 0\.05 s: .*; .* health is bad") as caught:
        engine_start.follow_start(engine, domain, 0.05)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("again", [False, True])
def test_vm_that_ends_while_it_is_followed_is_not_waited_for(hosts: Hosts, again: bool) -> None:
    domain = engine_start.start(hosts.engine(0))
    hosts.vms[0].end(Ending.CRASHED, "qemu died")
    if again:
        hosts.vms[0].start(XML)
    with pytest.raises(EndedError, match="has ended again") as caught:
        engine_start.follow_start(hosts.engine(0), domain, 60)
    assert caught.value.exit_code == 1


def test_start_without_a_health_page_is_not_followed(
    hosts: Hosts, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = replace(hosts.engine(0), settings=ClusterSettings())
    engine_start.follow_start(engine, engine_start.start(engine), 60)
    assert "names no health page" in capsys.readouterr().out


# --- stopping -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("order", "call"), [(shutdown, "shutdown"), (poweroff, "destroy")])
def test_stop_says_that_the_hosts_will_start_it_again(
    order: Callable[[EngineAccess], int],
    call: str,
    hosts: Hosts,
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine_start.start(hosts.engine(0))
    assert order(hosts.engine(0)) == 0
    assert hosts.vms[0].calls == ["start", call]
    assert engine_stop.STARTED_AGAIN in capsys.readouterr().out


def test_stop_in_global_maintenance_needs_no_warning(
    hosts: Hosts, capsys: pytest.CaptureFixture[str]
) -> None:
    engine_start.start(hosts.engine(0))
    shutdown(hosts.engine(0, global_maintenance=True))
    assert "again" not in capsys.readouterr().out


def test_stop_where_it_does_not_run_names_the_host_that_runs_it(hosts: Hosts) -> None:
    engine_start.start(hosts.engine(0))
    with pytest.raises(CommandError, match=r"does not run on this host; .* h1 \(id 1\)"):
        poweroff(hosts.engine(1))
    assert hosts.vms[1].calls == []


def test_stop_says_first_that_the_vm_is_not_here_when_the_lease_cant_be_read(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang() -> None:
        raise CommandError("the storage has not answered for 20 s")

    monkeypatch.setattr(hosts.lockspaces[0], "lease_owner", hang)
    with pytest.raises(CommandError, match=r"not run on this host; whose .*: the storage has not"):
        poweroff(hosts.engine(0))


def test_paused_vm_is_not_asked_to_shut_down_but_can_be_switched_off(hosts: Hosts) -> None:
    engine_start.start(hosts.engine(0))
    hosts.vms[0].pause(Pause.IOERROR)
    with pytest.raises(
        CommandError, match=r"paused \(its disk can't be read or written .*--vm-poweroff"
    ):
        shutdown(hosts.engine(0))
    assert poweroff(hosts.engine(0)) == 0
    assert hosts.vms[0].calls == ["start", "destroy"]


def test_stop_is_followed_until_the_vm_is_gone(
    hosts: Hosts, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts.vms[0].guest_obeys_after_s = 5
    engine_start.start(hosts.engine(0))
    monkeypatch.setattr("hosted_engine.cli.wait.time.sleep", lambda _s: hosts.clock.advance(1))
    assert shutdown(hosts.engine(0), 60) == 0
    assert hosts.vms[0].domain().state is DomainState.ABSENT
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].endswith("the VM is running still")
    assert lines[-1] == "Reached: the engine's VM has ended on this host."


def test_stop_has_ended_when_the_hosts_have_started_it_again_meanwhile(hosts: Hosts) -> None:
    hosts.vms[0].guest_obeys_after_s = None
    domain = engine_start.start(hosts.engine(0))
    hosts.vms[0].end(Ending.STOPPED)
    hosts.vms[0].start(XML)
    engine_stop.follow_stop(hosts.engine(0), domain, graceful=True, timeout_s=0)


def test_guest_that_does_not_obey_is_exit_code_3_with_what_to_do(hosts: Hosts) -> None:
    hosts.vms[0].guest_obeys_after_s = None
    engine_start.start(hosts.engine(0))
    with pytest.raises(NotReachedError, match=r"--vm-poweroff switches it off.*running still"):
        shutdown(hosts.engine(0), 0.05)


# --- what hangs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("act", [engine_start.start, shutdown, poweroff])
def test_libvirt_that_is_frozen_is_given_up_and_nothing_is_done(
    hosts: Hosts, act: Callable[[EngineAccess], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    forever = threading.Event()
    monkeypatch.setattr(hosts.vms[0], "domain", forever.wait)
    monkeypatch.setattr("hosted_engine.host.deadline.LIBVIRT_DEADLINE_S", 0.05)
    with pytest.raises(CommandError, match=r"libvirt .* has not answered"):
        act(hosts.engine(0))
    forever.set()
    assert hosts.vms[0].calls == []


def test_sanlock_that_is_frozen_is_given_up_and_nothing_is_done(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    forever = threading.Event()
    monkeypatch.setattr(hosts.lockspaces[0], "lease_owner", forever.wait)
    monkeypatch.setattr("hosted_engine.vm.engine_access.SANLOCK_DEADLINE_S", 0.05)
    with pytest.raises(CommandError, match=r"sanlock .* has not answered"):
        engine_start.start(hosts.engine(0))
    forever.set()
    assert hosts.vms[0].calls == []


def test_lease_on_a_storage_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hosted_engine.host.storage_deadline.STORAGE_DEADLINE_S", 0.5)
    os.mkfifo(tmp_path / "leases")  # whoever opens it for reading waits for a writer
    with pytest.raises(CommandError, match=r"the storage .*has not answered"):
        PatientLockspace(storage_parts(str(tmp_path / "leases"))).lease_owner()


BINDING = """
import os

class SanlockException(Exception):
    errno = property(lambda self: self.args[0])

def read_resource_owners(*_positional, **_named):
    {answer}
"""


@pytest.fixture
def reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Lockspace]:
    """A lockspace for whose owner a binding of sanlock is asked that answers so."""
    volume = tmp_path / "leases"
    with volume.open("wb") as file:
        file.truncate(4 << 20)
    (tmp_path / "binding").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "binding"))

    def answered_by(answer: str) -> Lockspace:
        (tmp_path / "binding" / "sanlock.py").write_text(BINDING.format(answer=answer))
        return PatientLockspace(storage_parts(str(volume)))

    return answered_by


def test_lease_is_read_apart(reading: Callable[[str], Lockspace]) -> None:
    owner = reading('return [{"host_id": 7, "generation": os.getpid()}]').lease_owner()
    assert owner is not None
    assert owner.host_id == 7
    assert owner.generation != os.getpid()
    assert reading("return []").lease_owner() is None


def test_refusal_of_the_lease_comes_back_as_what_it_is(
    reading: Callable[[str], Lockspace],
) -> None:
    with pytest.raises(LockspaceError, match="there is none") as caught:
        reading('raise SanlockException(-223, "failure", "there is none")').lease_owner()
    assert (type(caught.value), caught.value.errno) == (LockspaceError, -223)


# --- waiting ------------------------------------------------------------------------------------


def options(*, wait: bool, timeout: Optional[float]) -> argparse.Namespace:
    return argparse.Namespace(wait=wait, timeout=timeout)


def test_time_to_wait() -> None:
    assert wait_s(options(wait=False, timeout=None), 120) is None
    assert wait_s(options(wait=True, timeout=None), 120) == 120
    assert wait_s(options(wait=True, timeout=0), 120) == 0
    with pytest.raises(UsageError, match="--timeout goes with --wait"):
        wait_s(options(wait=False, timeout=0), 120)


def test_what_cant_be_known_for_a_while_is_waited_out(capsys: pytest.CaptureFixture[str]) -> None:
    looks = iter([CommandError("libvirt is away"), CommandError("libvirt is away"), None])

    def look(_allowed_s: float) -> str:
        error = next(looks)
        if error:
            raise error
        return ""

    follow(look, "all is well", 60)
    assert capsys.readouterr().out.splitlines() == ["    0 s  libvirt is away"]


def test_a_look_gets_the_time_that_is_left() -> None:
    allowed: list[float] = []

    def look(allowed_s: float) -> str:
        allowed.append(allowed_s)
        return "" if len(allowed) > 1 else "not yet"

    follow(look, "all is well", 60)
    assert 60 >= allowed[0] > allowed[1] > 55


def test_progress_is_told_again_after_a_while(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [0.0]
    monkeypatch.setattr("hosted_engine.cli.wait.time.monotonic", lambda: now_s[0])

    def sleep(seconds: float) -> None:
        now_s[0] += seconds

    monkeypatch.setattr("hosted_engine.cli.wait.time.sleep", sleep)
    monkeypatch.setattr("hosted_engine.cli.wait.LOOK_EVERY_S", 1.0)
    with pytest.raises(NotReachedError, match="not reached within 70 s: well; waiting"):
        follow(lambda _allowed_s: "waiting", "well", 70)
    assert capsys.readouterr().out.splitlines() == [
        "    0 s  waiting",
        "   30 s  waiting",
        "   60 s  waiting",
    ]


def test_libvirt_that_is_gone_for_a_while_is_waited_out(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = engine_start.start(hosts.engine(0))
    hosts.vms[0].disappear()

    def sleep(_seconds: float) -> None:
        hosts.vms[0].reappear()
        hosts.vms[0].end(Ending.STOPPED)

    with pytest.raises(HypervisorGoneError):
        hosts.vms[0].domain()
    monkeypatch.setattr("hosted_engine.cli.wait.time.sleep", sleep)
    engine_stop.follow_stop(hosts.engine(0), domain, graceful=False, timeout_s=60)
