# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What libvirt, its sanlock lock manager and qemu really do; run inside libvirt_box.sh.

Not collected by itself: `test_hypervisor` starts it where these daemons are private.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Callable, Optional

import pytest

from hosted_engine.errors import CommandError
from hosted_engine.vm.console_password import displays_here, set_password
from hosted_engine.vm.engine_access import EngineAccess
from metadata.layout import storage_parts
from tests.contract.domain_xml_cases import BY_ANY_DRIVER, BY_QEMU, TAKEN
from tests.contract.places import TIME_FACTOR
from tests.contract.sanlock_hosts import SanlockHost
from tests.contract.viewers import spice_lets_in, vnc_lets_in
from tests.processes import is_running
from world.ports.errors import HypervisorError, HypervisorGoneError, LeaseHeldError, WorldError
from world.ports.libvirt import Domain, DomainState, Ending, Pause
from world.storage.sanlock_lockspace import SanlockLockspace
from world.vm.domain_endings import GUEST_PANIC
from world.vm.domain_states import paused
from world.vm.libvirt_hypervisor import LibvirtHypervisor, uses_sanlock

BOX = Path(os.environ["HE_LIBVIRT_BOX"])
PARTS = storage_parts(str(BOX / "volume"))
LIMIT_S = 20 * TIME_FACTOR
VALID_S = 3 * TIME_FACTOR
# Longer than any keepalive that a client could ask for: 45 s took clients down, 4 of 4.
FROZEN_S = 45.0
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
LIBVIRTD_PID = Path("/run/libvirtd.pid")

XML = f"""<domain type='qemu'><name>HostedEngine</name>
<uuid>b5a4b0d8-0000-4000-8000-000000000001</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
<on_crash>destroy</on_crash>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<lease><lockspace>hosted-engine</lockspace><key>engine</key>
<target path='{PARTS.lease.path}' offset='{PARTS.lease.offset}'/></lease>
<panic model='isa'/></devices></domain>"""


def start_libvirtd() -> None:
    with (BOX / "libvirtd.log").open("ab") as log:
        subprocess.Popen(["libvirtd"], stdout=log, stderr=log)


def kill_libvirtd() -> None:
    pid = int(LIBVIRTD_PID.read_text())
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid))


def wait_until(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def joined_lockspace() -> SanlockLockspace:
    """On a new volume, with the engine's lease."""
    (BOX / "volume").write_bytes(bytes(16 * 1024 * 1024))
    wait_until(Path("/run/sanlock/sanlock.sock").exists)
    lockspace = SanlockLockspace(PARTS)
    lockspace.format_lockspace(1)
    lockspace.format_lease()
    lockspace.join(1, 1)
    return lockspace


@pytest.fixture(scope="module")
def lockspace() -> SanlockLockspace:
    lockspace = joined_lockspace()
    start_libvirtd()
    return lockspace


@pytest.fixture
def hypervisor(lockspace: SanlockLockspace) -> Iterator[LibvirtHypervisor]:
    hypervisor = LibvirtHypervisor("qemu:///system", "HostedEngine")
    wait_until(lambda: answers(hypervisor))
    yield hypervisor
    hypervisor.destroy()
    hypervisor.close()


def answers(hypervisor: LibvirtHypervisor) -> bool:
    try:
        hypervisor.domain()
    except HypervisorGoneError:
        return False
    return True


def running(hypervisor: LibvirtHypervisor) -> int:
    """Start the engine; returns qemu's pid. sanlock may still be releasing the latest lease."""
    domains: list[Domain] = []

    def started() -> bool:
        with contextlib.suppress(LeaseHeldError):
            domains.append(hypervisor.start(XML))
        return bool(domains)

    wait_until(started)
    (domain,) = domains
    assert domain.state == DomainState.RUNNING
    assert domain.pid is not None
    return domain.pid


def ended(hypervisor: LibvirtHypervisor) -> Domain:
    wait_until(lambda: hypervisor.domain().state == DomainState.ABSENT)
    return hypervisor.domain()


def monitor(command: str) -> None:
    virsh = ["virsh", "-q", "qemu-monitor-command", "HostedEngine", "--hmp", command]
    subprocess.run(virsh, check=False, capture_output=True)


def test_the_lock_manager_is_found() -> None:
    assert uses_sanlock()


def test_qemu_holds_the_lease_while_it_runs(
    hypervisor: LibvirtHypervisor, lockspace: SanlockLockspace
) -> None:
    pid = running(hypervisor)
    assert lockspace.process_holds_lease(pid)
    assert lockspace.holders() == [pid]
    assert b"qemu-system" in Path(f"/proc/{pid}/cmdline").read_bytes()
    with pytest.raises(HypervisorError, match="already and running"):
        hypervisor.start(XML)
    hypervisor.destroy()
    assert hypervisor.domain() == Domain(DomainState.ABSENT, Ending.STOPPED)
    assert lockspace.lease_owner() is None


def test_qemu_is_known_to_sanlock_before_its_guest_runs(
    hypervisor: LibvirtHypervisor, lockspace: SanlockLockspace
) -> None:
    seen: list[tuple[bool, bool, DomainState]] = []

    def look(pid: Optional[int]) -> None:
        assert pid is not None
        known = lockspace.process_is_registered(pid)
        seen.append((known, lockspace.process_holds_lease(pid), hypervisor.domain().state))

    hypervisor.start(XML, look)
    assert seen == [(True, False, DomainState.PAUSED)]
    assert not lockspace.process_is_registered(os.getpid())


def test_a_start_that_is_refused_leaves_nothing(
    hypervisor: LibvirtHypervisor, lockspace: SanlockLockspace
) -> None:
    def refuse(_pid: Optional[int]) -> None:
        raise HypervisorError("start", "not to be")

    with pytest.raises(HypervisorError, match="not to be"):
        hypervisor.start(XML, refuse)
    assert hypervisor.domain().state == DomainState.ABSENT
    assert lockspace.lease_owner() is None


def test_cpu_time_is_that_of_the_whole_process(hypervisor: LibvirtHypervisor) -> None:
    assert hypervisor.cpu_time() is None
    for _life in range(2):
        pid = running(hypervisor)
        wait_until(partial(uses_cpu, pid))
        before_s = kernel_cpu_s(pid)
        seen = hypervisor.cpu_time()
        after_s = kernel_cpu_s(pid)
        assert seen is not None
        assert seen.pid == pid
        assert seen.used_s is not None
        assert before_s - TICK_S <= seen.used_s <= after_s + TICK_S
        hypervisor.destroy()
        assert hypervisor.cpu_time() is None


def uses_cpu(pid: int) -> bool:
    return kernel_cpu_s(pid) > 0.2


def kernel_cpu_s(pid: int) -> float:
    """User and system time of all threads of a process (proc(5))."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) * TICK_S


def test_never_run_is_no_ending(hypervisor: LibvirtHypervisor) -> None:
    assert hypervisor.domain() == Domain(DomainState.ABSENT, Ending.NONE)


@pytest.mark.parametrize(
    ("number", "detail"),
    [(signal.SIGKILL, "qemu died"), (signal.SIGTERM, "qemu was ended by a signal")],
)
def test_a_killed_qemu_crashed(
    hypervisor: LibvirtHypervisor, number: signal.Signals, detail: str
) -> None:
    changed = threading.Event()
    pid = running(hypervisor)
    hypervisor.on_change(changed.set)
    os.kill(pid, number)
    assert changed.wait(LIMIT_S)
    assert ended(hypervisor) == Domain(DomainState.ABSENT, Ending.CRASHED, detail=detail)


def test_a_panicked_guest_crashed(hypervisor: LibvirtHypervisor) -> None:
    running(hypervisor)
    deadline_s = time.monotonic() + LIMIT_S
    while hypervisor.domain().state != DomainState.ABSENT and time.monotonic() < deadline_s:
        monitor("o /b 0x505 1")
    panicked = Domain(DomainState.ABSENT, Ending.CRASHED, detail=GUEST_PANIC)
    assert ended(hypervisor) == panicked


def test_a_panicked_guest_that_is_kept_for_a_look_crashed(hypervisor: LibvirtHypervisor) -> None:
    """Its qemu is there, and will never run the guest again: the next start removes it."""
    hypervisor.start(XML.replace("<on_crash>destroy", "<on_crash>preserve"))
    while hypervisor.domain().state != DomainState.ABSENT:
        monitor("o /b 0x505 1")
    panicked = Domain(DomainState.ABSENT, Ending.CRASHED, detail=GUEST_PANIC)
    assert hypervisor.domain() == panicked
    running(hypervisor)


def test_a_guest_that_powers_itself_off(hypervisor: LibvirtHypervisor) -> None:
    """ACPI's sleep state for "off" is what the guest's kernel writes there."""
    running(hypervisor)
    deadline_s = time.monotonic() + LIMIT_S
    while hypervisor.domain().state != DomainState.ABSENT and time.monotonic() < deadline_s:
        monitor("o /w 0x604 0x2000")
    assert ended(hypervisor) == Domain(
        DomainState.ABSENT, Ending.GUEST_SHUTDOWN, detail="powered off from inside"
    )


def test_pausing_lets_the_lease_go(
    hypervisor: LibvirtHypervisor, lockspace: SanlockLockspace
) -> None:
    pid = running(hypervisor)
    subprocess.run(["virsh", "-q", "suspend", "HostedEngine"], check=True)
    assert hypervisor.domain() == paused(Pause.USER, pid)
    assert lockspace.lease_owner() is None
    with pytest.raises(HypervisorError, match=r"already and paused \(somebody paused it"):
        hypervisor.start(XML)


def test_only_what_a_migration_left_paused_is_resumed(
    hypervisor: LibvirtHypervisor, lockspace: SanlockLockspace
) -> None:
    running(hypervisor)
    with pytest.raises(HypervisorError, match="it is running"):
        hypervisor.resume_after_migration()
    subprocess.run(["virsh", "-q", "suspend", "HostedEngine"], check=True)
    with pytest.raises(HypervisorError, match=r"it is paused \(somebody paused it"):
        hypervisor.resume_after_migration()


def test_a_paused_start_takes_the_lease_when_it_is_resumed(
    hypervisor: LibvirtHypervisor, lockspace: SanlockLockspace
) -> None:
    started = hypervisor.start_paused(XML)
    assert started == hypervisor.domain() == paused(Pause.USER, started.pid)
    assert started.pid is not None
    assert lockspace.process_is_registered(started.pid)
    assert lockspace.lease_owner() is None
    subprocess.run(["virsh", "-q", "resume", "HostedEngine"], check=True)
    assert hypervisor.domain().state == DomainState.RUNNING
    assert lockspace.process_holds_lease(started.pid)


def test_a_strict_start_refuses_what_libvirt_would_pass_over(lockspace: SanlockLockspace) -> None:
    misspelt = XML.replace("<panic model='isa'/>", "<panick model='isa'/>")
    strict = LibvirtHypervisor("qemu:///system", "HostedEngine", strict=True)
    try:
        wait_until(lambda: answers(strict))
        with pytest.raises(HypervisorError, match="schema"):
            strict.start(misspelt)
        assert strict.domain().state == DomainState.ABSENT
        strict.start(XML)
        strict.destroy()
    finally:
        strict.close()


DISPLAY = """<graphics type='{kind}' port='-1' autoport='yes' {password}/>"""
NO_PASSWORD_YET = "passwd='*' passwdValidTo='1970-01-01T00:00:01'"


def started_with_display(
    hypervisor: LibvirtHypervisor, lockspace: SanlockLockspace, kind: str, password: str
) -> EngineAccess:
    display = DISPLAY.format(kind=kind, password=password)
    hypervisor.start(XML.replace("</devices>", f"{display}</devices>"))
    return EngineAccess(hypervisor, lockspace, PARTS, XML, host_id=1)


@pytest.mark.parametrize(("kind", "lets_in"), [("vnc", vnc_lets_in), ("spice", spice_lets_in)])
def test_a_displays_password_lets_in_until_it_expires(
    hypervisor: LibvirtHypervisor,
    lockspace: SanlockLockspace,
    kind: str,
    lets_in: Callable[[int, str], bool],
) -> None:
    engine = started_with_display(hypervisor, lockspace, kind, NO_PASSWORD_YET)
    (display,) = displays_here(engine)
    assert (display.kind, display.address) == (kind, "127.0.0.1")
    assert display.port is not None
    assert not lets_in(display.port, "*")
    set_password(engine, "secret12", VALID_S)
    assert lets_in(display.port, "secret12")
    assert not lets_in(display.port, "secret13")
    wait_until(lambda: not lets_in(display.port or 0, "secret12"))
    assert "secret12" not in hypervisor.live_xml()


@pytest.mark.parametrize("kind", ["vnc", "spice"])
def test_a_display_that_asks_for_no_password_can_get_none(
    hypervisor: LibvirtHypervisor, lockspace: SanlockLockspace, kind: str
) -> None:
    engine = started_with_display(hypervisor, lockspace, kind, "")
    with pytest.raises(CommandError, match=r"only if its <graphics> had one at the VM's start"):
        set_password(engine, "secret12", VALID_S)


def test_an_xml_is_looked_at_and_nothing_comes_of_it(hypervisor: LibvirtHypervisor) -> None:
    hypervisor.check_xml(XML)
    assert hypervisor.domain() == Domain(DomainState.ABSENT, Ending.NONE)
    pid = running(hypervisor)
    hypervisor.check_xml(XML)
    for name, wrong in {**BY_ANY_DRIVER, **BY_QEMU}.items():
        with pytest.raises(HypervisorError):
            hypervisor.check_xml(wrong)
            pytest.fail(name)
    for taken in TAKEN.values():
        hypervisor.check_xml(taken)
    assert hypervisor.domain().pid == pid


def test_networks_and_filters_that_a_domain_may_name(hypervisor: LibvirtHypervisor) -> None:
    """One that is only defined is of no use; none is begun here, for it would be the machine's."""
    define("net-define", "<network><name>he-off</name></network>")
    define("nwfilter-define", "<filter name='he-filter'/>")
    assert not hypervisor.has_network("he-off")
    assert not hypervisor.has_network("vdsm-ovirtmgmt")
    assert hypervisor.has_network_filter("he-filter")
    assert not hypervisor.has_network_filter("vdsm-no-mac-spoofing")


def define(command: str, xml: str) -> None:
    file = BOX / f"{command}.xml"
    file.write_text(xml)
    subprocess.run(["virsh", "-q", command, str(file)], check=True)


def test_a_stale_definition_is_cleared_away(hypervisor: LibvirtHypervisor) -> None:
    stale = BOX / "stale.xml"
    stale.write_text(XML.replace("0001</uuid>", "0009</uuid>"))
    subprocess.run(["virsh", "-q", "define", str(stale)], check=True)
    running(hypervisor)


def test_a_lease_held_elsewhere(hypervisor: LibvirtHypervisor, lockspace: SanlockLockspace) -> None:
    other = SanlockHost(BOX / "other", "h2", PARTS)
    try:
        other.call("join", 2, 1)
        holder = other.acquire()
        with pytest.raises(LeaseHeldError):
            hypervisor.start(XML)
        # It was created, paused, and removed again: its guest has not run.
        assert hypervisor.domain() == Domain(DomainState.ABSENT, Ending.STOPPED)
        other.release(holder)
        wait_until(lambda: lockspace.lease_owner() is None)
    finally:
        other.close()


def test_a_running_engine_survives_a_killed_libvirtd(
    hypervisor: LibvirtHypervisor, lockspace: SanlockLockspace
) -> None:
    pid = running(hypervisor)
    kill_libvirtd()
    with pytest.raises(HypervisorGoneError):
        hypervisor.domain()
    with pytest.raises(WorldError):
        hypervisor.destroy()
    start_libvirtd()
    wait_until(lambda: answers(hypervisor))
    assert hypervisor.domain() == Domain(DomainState.RUNNING, pid=pid)
    assert lockspace.process_holds_lease(pid)
    os.kill(pid, signal.SIGKILL)
    assert ended(hypervisor).ending == Ending.CRASHED


@pytest.fixture
def client(hypervisor: LibvirtHypervisor) -> Iterator[Client]:
    running(hypervisor)
    client = Client()
    try:
        yield client
    finally:
        client.close()


class Client:
    """A process that asks libvirt on three threads, and what it told of the answers."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.libvirt_client"],
            stdout=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.told.extend(self.process.stdout)

    def hears(self, *words: str) -> None:
        """Wait until it has told each of them after this moment."""
        self.told.clear()
        wait_until(lambda: self.died() or all(self._told(word) for word in words))
        assert not self.died()

    def _told(self, word: str) -> bool:
        return any(line.startswith(word) for line in list(self.told))

    def died(self) -> bool:
        return self.process.poll() is not None

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.mark.parametrize(("frozen_s", "then"), [(FROZEN_S, signal.SIGCONT), (3.0, signal.SIGKILL)])
def test_a_frozen_libvirtd_takes_nobody_down(
    client: Client, frozen_s: float, then: signal.Signals
) -> None:
    """Calls of several threads wait for it on one connection; it wakes up, or dies so."""
    client.hears("domain answered", "cpu answered")
    pid = int(LIBVIRTD_PID.read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        end_s = time.monotonic() + frozen_s
        wait_until(lambda: client.died() or time.monotonic() > end_s, LIMIT_S + frozen_s)
    finally:
        os.kill(pid, then)
    if then == signal.SIGKILL:
        wait_until(lambda: not is_running(pid))
        start_libvirtd()
    client.hears("domain answered", "cpu answered")


def test_an_end_that_nobody_saw_is_missing(hypervisor: LibvirtHypervisor) -> None:
    pid = running(hypervisor)
    kill_libvirtd()
    os.kill(pid, signal.SIGKILL)
    start_libvirtd()
    wait_until(lambda: answers(hypervisor))
    assert ended(hypervisor).ending == Ending.MISSING


def test_sanlock_ending_qemu_counts_as_a_crash(
    hypervisor: LibvirtHypervisor, lockspace: SanlockLockspace
) -> None:
    """Last: the host's id is taken away, so sanlock gives the lockspace up."""
    running(hypervisor)
    twin = SanlockHost(BOX / "twin", "h1", PARTS)
    try:
        twin.call("join", 1, 1)
        assert ended(hypervisor).ending == Ending.CRASHED
    finally:
        twin.close()
