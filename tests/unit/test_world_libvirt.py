# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The libvirt adapter, with libvirt's own test driver inside this process."""

from __future__ import annotations

import builtins
import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import pytest

from world.ports.errors import HypervisorError, HypervisorGoneError, LeaseHeldError
from world.ports.libvirt import Domain, DomainState, Ending, MigrationOptions, Pause
from world.vm import libvirt_migration
from world.vm.domain_states import paused
from world.vm.libvirt_hypervisor import LibvirtHypervisor, uses_sanlock

LIMIT_S = 10 * float(os.environ.get("HE_TIME_FACTOR", "1"))
ABSENT = Domain(DomainState.ABSENT)

XML = """<domain type='test'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<uuid>{uuid}</uuid><os><type>hvm</type></os></domain>"""
UUIDS = {
    "HostedEngine": "b5a4b0d8-0000-4000-8000-000000000001",
    "Other": "b5a4b0d8-0000-4000-8000-000000000002",
}


def xml(name: str = "HostedEngine") -> str:
    return XML.format(name=name, uuid=UUIDS[name])


class TestDriverHypervisor(LibvirtHypervisor):
    """libvirt's test driver can't create a domain paused, but it can pause one; and its domains are
    those of one connection."""

    __test__ = False

    @contextlib.contextmanager
    def _order(self, what: str) -> Iterator[Any]:
        yield self._line.connection(what)

    def _create_paused(self, connection: Any, domain_xml: str) -> Any:
        created = connection.createXML(domain_xml, 0)
        created.suspend()
        return created


@pytest.fixture
def hypervisor(tmp_path: Path) -> Iterator[LibvirtHypervisor]:
    """On a hypervisor of its own, that ends with its connection."""
    pytest.importorskip("libvirt", reason="no Python binding: install python3-libvirt")
    node = tmp_path / "node.xml"
    node.write_text("<node><cpu><mhz>1000</mhz></cpu><memory>4096000</memory></node>")
    hypervisor = TestDriverHypervisor(f"test://{node}", "HostedEngine", tmp_path)
    yield hypervisor
    hypervisor.close()


def behind(hypervisor: LibvirtHypervisor) -> Any:
    """The libvirt connection, to do what other tools do."""
    return hypervisor._line.connection("look behind")


def test_what_is_refused_before_it_runs_never_runs(hypervisor: LibvirtHypervisor) -> None:
    seen: list[DomainState] = []

    def refuse(_pid: Optional[int]) -> None:
        seen.append(hypervisor.domain().state)
        raise HypervisorError("start", "sanlock does not know it")

    with pytest.raises(HypervisorError, match="sanlock does not know it"):
        hypervisor.start(xml(), refuse)
    assert seen == [DomainState.PAUSED]
    assert hypervisor.domain().state == DomainState.ABSENT
    assert hypervisor.start(xml()).state == DomainState.RUNNING


def test_one_that_is_removed_before_it_runs_is_said_to_be(hypervisor: LibvirtHypervisor) -> None:
    with pytest.raises(HypervisorError, match="removed while it was still paused"):
        hypervisor.start(xml(), lambda _pid: hypervisor.destroy())
    assert hypervisor.start(xml()).state == DomainState.RUNNING


def test_a_life_from_start_to_destroy(hypervisor: LibvirtHypervisor) -> None:
    assert hypervisor.domain() == ABSENT
    assert hypervisor.start(xml()).state == DomainState.RUNNING
    assert hypervisor.domain().state == DomainState.RUNNING
    hypervisor.destroy()
    assert hypervisor.domain() == Domain(DomainState.ABSENT, Ending.STOPPED)
    hypervisor.destroy()
    assert hypervisor.start(xml()).state == DomainState.RUNNING


def test_a_domain_in_use_is_not_started_over(hypervisor: LibvirtHypervisor) -> None:
    hypervisor.start(xml())
    with pytest.raises(HypervisorError, match="already and running"):
        hypervisor.start(xml())
    behind(hypervisor).lookupByName("HostedEngine").suspend()
    assert hypervisor.domain() == paused(Pause.USER)
    with pytest.raises(HypervisorError, match=r"already and paused \(somebody paused it"):
        hypervisor.start(xml())


def test_a_stale_definition_is_cleared_away(hypervisor: LibvirtHypervisor) -> None:
    stale = behind(hypervisor).defineXML(xml().replace("0001</uuid>", "0009</uuid>"))
    assert hypervisor.domain().state == DomainState.ABSENT
    assert hypervisor.start(xml()).state == DomainState.RUNNING
    (domain,) = behind(hypervisor).listAllDomains()
    assert domain.UUIDString() == UUIDS["HostedEngine"] != stale.UUIDString()
    assert not domain.isPersistent()


def test_a_domain_of_another_name_is_not_ours(hypervisor: LibvirtHypervisor) -> None:
    behind(hypervisor).createXML(xml("Other"), 0)
    assert hypervisor.domain() == ABSENT
    behind(hypervisor).lookupByName("Other").destroy()
    assert hypervisor.domain() == ABSENT


def test_refusals_say_why(hypervisor: LibvirtHypervisor) -> None:
    with pytest.raises(HypervisorError) as caught:
        hypervisor.start("<domain")
    assert caught.value.what == "start domain HostedEngine"
    assert caught.value.errno != 0
    with pytest.raises(HypervisorError):
        hypervisor.shutdown()


def test_a_paused_start_runs_no_guest(hypervisor: LibvirtHypervisor) -> None:
    seen: list[DomainState] = []
    started = hypervisor.start_paused(xml(), lambda _pid: seen.append(hypervisor.domain().state))
    assert seen == [DomainState.PAUSED]
    assert started == hypervisor.domain() == paused(Pause.USER)


def test_a_paused_start_that_is_refused_leaves_nothing(hypervisor: LibvirtHypervisor) -> None:
    def refuse(_pid: Optional[int]) -> None:
        raise HypervisorError("start", "sanlock does not know it")

    with pytest.raises(HypervisorError, match="sanlock does not know it"):
        hypervisor.start_paused(xml(), refuse)
    assert hypervisor.domain().state == DomainState.ABSENT


def test_devices_are_those_of_the_domain_that_is_here(hypervisor: LibvirtHypervisor) -> None:
    with pytest.raises(HypervisorError, match="look at the devices of domain HostedEngine"):
        hypervisor.live_xml()
    with pytest.raises(HypervisorError, match="change a device of domain HostedEngine"):
        hypervisor.update_device("<graphics type='vnc'/>")
    hypervisor.start(xml())
    assert f"<uuid>{UUIDS['HostedEngine']}</uuid>" in hypervisor.live_xml()


def test_changes_are_told(hypervisor: LibvirtHypervisor) -> None:
    changed = threading.Event()
    hypervisor.on_change(changed.set)
    hypervisor.domain()
    hypervisor.start(xml())
    assert changed.wait(LIMIT_S)
    changed.clear()
    behind(hypervisor).createXML(xml("Other"), 0)
    hypervisor.destroy()
    assert changed.wait(LIMIT_S)


def test_a_shutdown_that_was_asked_for(hypervisor: LibvirtHypervisor) -> None:
    hypervisor.start(xml())
    hypervisor.shutdown()
    assert hypervisor.domain() == Domain(DomainState.ABSENT, Ending.STOPPED)


def test_the_pid_is_believed_only_with_the_uuid(
    hypervisor: LibvirtHypervisor, tmp_path: Path
) -> None:
    hypervisor.start(xml())
    pid_file = tmp_path / "HostedEngine.pid"
    assert hypervisor.domain().pid is None
    for text in ("", "no number", "999999999", str(os.getpid())):
        pid_file.write_text(text)
        assert hypervisor.domain().pid is None
    with _process_with(UUIDS["HostedEngine"]) as pid:
        pid_file.write_text(f"{pid}\n")
        assert hypervisor.domain().pid == pid


def test_a_restarted_libvirt_counts_its_domains_anew_and_the_pid_is_looked_up_anew(
    hypervisor: LibvirtHypervisor, tmp_path: Path
) -> None:
    pid_file = tmp_path / "HostedEngine.pid"
    ids: list[int] = []
    for _ in range(2):
        with _process_with(UUIDS["HostedEngine"]) as pid:
            pid_file.write_text(f"{pid}\n")
            assert hypervisor.start(xml()).pid == pid
        ids.append(behind(hypervisor).lookupByName("HostedEngine").ID())
        hypervisor.close()
    assert ids[0] == ids[1], "the test is about an id that comes again"


def _process_with(argument: str) -> Any:
    import subprocess
    from contextlib import contextmanager

    @contextmanager
    def run() -> Iterator[int]:
        # Its answer shows that it is itself by now, and no longer a copy of this process.
        process = subprocess.Popen(
            ["sh", "-c", "echo; read line", argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.communicate()

    return run()


def test_no_connection_is_not_absence() -> None:
    pytest.importorskip("libvirt")
    hypervisor = LibvirtHypervisor("test:///no/such/file.xml", "HostedEngine")
    for _ in range(3):
        with pytest.raises(HypervisorGoneError, match=r"no connection to test:///no/such"):
            hypervisor.domain()
    with pytest.raises(HypervisorGoneError):
        hypervisor.destroy()


def test_a_missing_binding_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "libvirt":
            raise ImportError("No module named 'libvirt'")
        return real_import(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(HypervisorGoneError, match="python3-libvirt"):
        LibvirtHypervisor("test:///default", "HostedEngine").domain()


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ('lock_manager = "sanlock"\n', True),
        ("user = 'x'\n  lock_manager='sanlock'  # yes\n", True),
        ('#lock_manager = "sanlock"\n', False),
        ('lock_manager = "lockd"\n', False),
        ('lock_manager = "sanlock"\nlock_manager = "lockd"\n', False),
        ('my_lock_manager = "sanlock"\n', False),
        ("lock_manager\n", False),
        ("", False),
    ],
)
def test_the_lock_manager_in_qemu_conf(tmp_path: Path, text: str, used: bool) -> None:
    (tmp_path / "qemu.conf").write_text(text)
    assert uses_sanlock(tmp_path / "qemu.conf") is used


def test_no_qemu_conf_is_no_lock_manager(tmp_path: Path) -> None:
    assert uses_sanlock(tmp_path / "missing") is False


def test_a_driver_without_guest_agents_can_not_be_asked(hypervisor: LibvirtHypervisor) -> None:
    hypervisor.start(xml())
    with pytest.raises(HypervisorError, match="ask the guest agent of domain HostedEngine"):
        hypervisor.ping_guest(1)


# --- errors of a start ------------------------------------------------------------------


class RefusedStart:
    """What libvirt raises when its lock manager can't get the lease."""

    def __init__(self, domain: int, code: int, number: int) -> None:
        self.get_error_domain = lambda: domain
        self.get_error_code = lambda: code
        self.get_int1 = lambda: number
        self.get_error_message = lambda: "Failed to acquire lock"


@pytest.mark.parametrize(
    ("code", "number", "held"),
    [
        ("VIR_ERR_RESOURCE_BUSY", 0, True),
        ("VIR_ERR_SYSTEM_ERROR", errno.EAGAIN, True),
        ("VIR_ERR_SYSTEM_ERROR", errno.EEXIST, False),
        ("VIR_ERR_INTERNAL_ERROR", errno.EAGAIN, False),
    ],
)
def test_a_lease_that_is_held_or_just_let_go_is_told_from_other_failures(
    hypervisor: LibvirtHypervisor, code: str, number: int, held: bool
) -> None:
    import libvirt

    connection = behind(hypervisor)
    refused = RefusedStart(libvirt.VIR_FROM_LOCKING, getattr(libvirt, code), number)
    assert isinstance(hypervisor._start_error("start", refused, connection), LeaseHeldError) is held
    other = RefusedStart(libvirt.VIR_FROM_QEMU, getattr(libvirt, code), number)
    assert not isinstance(hypervisor._start_error("start", other, connection), LeaseHeldError)


# --- moving it ------------------------------------------------------------------------------------


def flags(options: MigrationOptions) -> int:
    libvirt = pytest.importorskip("libvirt", reason="no Python binding: install python3-libvirt")
    return libvirt_migration._flags(libvirt, options)


def test_the_memory_is_encrypted_only_where_the_settings_want_it() -> None:
    libvirt = pytest.importorskip("libvirt", reason="no Python binding: install python3-libvirt")
    plain, encrypted = flags(MigrationOptions()), flags(MigrationOptions(encrypt=True))
    assert encrypted ^ plain == libvirt.VIR_MIGRATE_TLS
    assert not plain & libvirt.VIR_MIGRATE_TLS


def test_a_libvirt_is_reached_by_its_own_address_only(
    hypervisor: LibvirtHypervisor,
) -> None:
    why = hypervisor.not_reached_why("test:///missing.xml")
    assert why.startswith("no connection to test:///missing.xml: ")
