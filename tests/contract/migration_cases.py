# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Moving a domain with its lease between two libvirtds; run inside libvirt_box.sh.

Not collected by itself: `test_hypervisor` starts it where these daemons are private. Both libvirtds
are clients of one sanlock, so the lease goes from qemu to qemu as between two hosts.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest

from simulation.migration import KEEPALIVE_S, LOST
from tests.contract import hypervisor_cases, moves_alike
from tests.contract.hypervisor_cases import (
    BOX,
    XML,
    answers,
    joined_lockspace,
    start_libvirtd,
    wait_until,
)
from tests.contract.moves_alike import Stage
from tests.contract.places import TIME_FACTOR
from world.ports.errors import HypervisorError, LeaseHeldError
from world.ports.libvirt import Domain, DomainState, Ending, MigrationOptions
from world.storage.sanlock_lockspace import SanlockLockspace
from world.vm import libvirt_migration
from world.vm.domain_endings import NOT_ARRIVED
from world.vm.libvirt_hypervisor import LibvirtHypervisor, _libvirt

SECOND = BOX / "second"
FIRST_SOCKETS = BOX / "first"
THERE = f"qemu+unix:///system?socket={SECOND}/run/libvirt-sock"
BACK = f"qemu+unix:///system?socket={FIRST_SOCKETS}/libvirt-sock"
HERE = Path(__file__).parent
# In a guest that does nothing only this has to be copied; all else is zero.
CONTENT_MIB = 24
SLOWLY = MigrationOptions(bandwidth_mib_s=1)
QEMU = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"


def xml_with_content() -> str:
    loader = f"loader,file={BOX}/content,addr=0x1000000,force-raw=on"
    line = f"<qemu:arg value='-device'/><qemu:arg value='{loader}'/>"
    return XML.replace("type='qemu'", f"type='qemu' {QEMU}", 1).replace(
        "</devices></domain>",
        f"</devices><qemu:commandline>{line}</qemu:commandline></domain>",
    )


@pytest.fixture(scope="module")
def lockspace() -> SanlockLockspace:
    """Both libvirtds run, and this host is a member."""
    (BOX / "content").write_bytes(os.urandom(CONTENT_MIB << 20))
    with Path("/etc/hosts").open("a") as hosts:
        hosts.write("127.0.0.1 he-libvirt-box\n127.0.0.2 he-libvirt-two\n")
    lockspace = joined_lockspace()
    start_libvirtd()
    for directory in (SECOND, FIRST_SOCKETS):
        directory.mkdir()
    subprocess.run(["mount", "--bind", "/run/libvirt", str(FIRST_SOCKETS)], check=True)
    with (BOX / "second.log").open("ab") as log:
        second = ["unshare", "--mount", "--uts", str(HERE / "second_libvirtd.sh"), str(SECOND)]
        subprocess.Popen(second, stdout=log, stderr=log)
    return lockspace


@pytest.fixture
def pair(lockspace: SanlockLockspace) -> Iterator[tuple[LibvirtHypervisor, LibvirtHypervisor]]:
    here = LibvirtHypervisor("qemu:///system", "HostedEngine")
    there = LibvirtHypervisor(THERE, "HostedEngine", SECOND / "state/qemu")
    for hypervisor in (here, there):
        wait_until(lambda hypervisor=hypervisor: answers(hypervisor))  # type: ignore[misc]
    yield here, there
    for hypervisor in (here, there):
        hypervisor.destroy()
        hypervisor.close()


Pair = tuple[LibvirtHypervisor, LibvirtHypervisor]


def started(hypervisor: LibvirtHypervisor) -> Domain:
    """The domain, running; sanlock may still be releasing the latest lease."""
    found: list[Domain] = []

    def starts() -> bool:
        try:
            found.append(hypervisor.start(xml_with_content()))
        except LeaseHeldError:
            return False
        return True

    wait_until(starts)
    return found[0]


def meanwhile(pair: Pair, then: Callable[[], object]) -> threading.Thread:
    """Do it once a fifth of the memory is copied."""

    def run() -> None:
        wait_until(lambda: (pair[0].domain().copied or 0) > 0.2)
        then()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def failed(pair: Pair, options: MigrationOptions = SLOWLY) -> str:
    with pytest.raises(HypervisorError) as caught:
        pair[0].migrate(THERE, options)
    return caught.value.why


def stayed(pair: Pair, before: Domain) -> bool:
    """It runs here as before, with its lease, and the other side has seen no crash."""
    there = pair[1].domain()
    unharmed = there.state == DomainState.ABSENT and there.ending != Ending.CRASHED
    return unharmed and pair[0].domain() == before


def test_there_and_back_with_its_lease(pair: Pair, lockspace: SanlockLockspace) -> None:
    here, there = pair
    started(here)
    begun_s = time.monotonic()
    result = here.migrate(THERE, MigrationOptions())
    assert 0 < result.took_s < time.monotonic() - begun_s
    assert result.downtime_ms is not None
    assert 0 <= result.downtime_ms < 1000 * result.took_s
    assert result.copied_bytes is not None
    assert CONTENT_MIB << 20 < result.copied_bytes < (CONTENT_MIB + 30) << 20
    assert (here.domain().state, here.domain().ending) == (DomainState.ABSENT, Ending.MIGRATED)
    arrived = there.domain()
    assert (arrived.state, arrived.leaving) == (DomainState.RUNNING, False)
    assert lockspace.holders() == [arrived.pid]
    there.migrate(BACK, MigrationOptions())
    assert there.domain().ending == Ending.MIGRATED
    assert lockspace.holders() == [here.domain().pid]


def test_how_much_is_copied_is_seen_and_a_limit_ends_it(pair: Pair) -> None:
    before = started(pair[0])
    seen: list[Domain] = []
    looks = meanwhile(pair, lambda: seen.append(pair[0].domain()))
    why = failed(pair, MigrationOptions(bandwidth_mib_s=1, limit_s=10.0))
    looks.join()
    assert why.startswith("it took longer than 10 s and was broken off: ")
    assert seen[0].leaving
    assert 0.2 < (seen[0].copied or 0) < 1
    assert stayed(pair, before)


def test_it_is_broken_off_while_it_is_copied(pair: Pair) -> None:
    before = started(pair[0])
    aborts = meanwhile(pair, pair[0].abort_migration)
    assert failed(pair).startswith("it was broken off from here: ")
    aborts.join()
    assert stayed(pair, before)


def test_it_is_broken_off_while_the_target_is_asked(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = started(pair[0])
    ask = libvirt_migration.refusal_why

    def asked(*arguments: object) -> str:
        pair[0].abort_migration()
        return ask(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(libvirt_migration, "refusal_why", asked)
    assert failed(pair) == "it was broken off before anything had moved"
    assert stayed(pair, before)


def test_a_qemu_that_dies_at_the_target_is_no_crash_there(pair: Pair) -> None:
    before = started(pair[0])

    def kill() -> None:
        pid = pair[1].domain().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    kills = meanwhile(pair, kill)
    assert failed(pair)
    kills.join()
    assert stayed(pair, before)
    assert pair[1].domain().ending == Ending.STOPPED
    assert pair[1].domain().detail == NOT_ARRIVED


def test_a_target_that_has_one_of_that_name_is_refused(pair: Pair) -> None:
    before = started(pair[0])
    pair[1].start_paused(xml_with_content())
    assert failed(pair) == "a domain HostedEngine runs there already"
    pair[1].destroy()
    other = pair[1]._line.connection("look").defineXML(XML.replace("0001</uuid>", "0009</uuid>"))
    try:
        assert failed(pair) == "another domain is defined as HostedEngine there"
    finally:
        other.undefine()
    assert pair[0].domain() == before


def asks_for(monkeypatch: pytest.MonkeyPatch, **fields: str) -> None:
    """As if the domain that runs here had these things, which the target has not."""
    found_in = libvirt_migration.Traveller.of

    def of(libvirt: object, domain: object) -> libvirt_migration.Traveller:
        return replace(found_in(libvirt, domain), **fields)

    monkeypatch.setattr(libvirt_migration.Traveller, "of", of)


CPU = '<cpu mode="custom" match="exact" check="full"><model>{model}</model></cpu>'


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (
            {"machine": "pc-q35-99.0"},
            "the target can't run a machine of type pc-q35-99.0 (qemu, ",
        ),
        (
            {"emulator": "/usr/bin/no-such-qemu"},
            "the target can't run a machine of type pc-",
        ),
        # No emulation has all of its features.
        (
            {"cpu_xml": CPU.format(model="Cascadelake-Server")},
            "the target's CPU is not enough for it: ",
        ),
        (
            {"cpu_xml": CPU.format(model="NoSuchModel")},
            "the target's CPU is not enough for it: ",
        ),
    ],
    ids=["machine", "emulator", "cpu", "unknown cpu"],
)
def test_a_target_that_has_not_what_the_domain_needs_is_refused(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str], why: str
) -> None:
    before = started(pair[0])
    asks_for(monkeypatch, **fields)
    assert failed(pair).startswith(why)
    assert stayed(pair, before)


@contextlib.contextmanager
def stopped(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def target_pid() -> int:
    return int((SECOND / "libvirtd.pid").read_text())


def test_a_target_that_is_frozen_costs_no_more_than_the_look(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libvirt_migration, "LOOK_S", 2.0)
    before = started(pair[0])
    begun_s = time.monotonic()
    with stopped(target_pid()):
        assert failed(pair) == f"the libvirt at {THERE} has not answered for 2 s"
        assert time.monotonic() - begun_s < 2 + hypervisor_cases.LIMIT_S
        assert pair[0].domain() == before


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """Who connects to it waits, as for a host that is gone: the queue of the port is full."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as server,
        contextlib.ExitStack() as held,
    ):
        port = int(server.getsockname()[1])
        with contextlib.suppress(TimeoutError):
            while True:
                held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=0.5))
        yield port


def test_a_source_is_seen_while_its_libvirt_waits_for_the_target(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for an agent that may not look at the target itself; no look waits for the move's call."""
    monkeypatch.setattr(libvirt_migration, "refusal_why", lambda *_: "")
    before = started(pair[0])
    why: list[str] = []

    def run(address: str) -> None:
        with pytest.raises(HypervisorError) as caught:
            pair[0].migrate(address, SLOWLY)
        why.append(caught.value.why)

    with contextlib.ExitStack() as deaf:
        port = deaf.enter_context(deaf_port())
        move = threading.Thread(target=run, args=(f"qemu+tcp://127.0.0.1:{port}/system",))
        heard = threading.Timer(3 * TIME_FACTOR, deaf.close)
        move.start()
        heard.start()
        longest_s, looks = 0.0, 0
        while move.is_alive():
            begun_s = time.monotonic()
            assert pair[0].domain() == before  # nothing leaves yet
            longest_s, looks = max(longest_s, time.monotonic() - begun_s), looks + 1
        heard.join()
    move.join()
    assert looks > 100
    assert longest_s < TIME_FACTOR
    assert why[0].startswith("unable to connect to server at '127.0.0.1:")
    assert stayed(pair, before)


@contextlib.contextmanager
def connecting(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """While libvirt connects to a frozen target, as for an agent that may not look at it itself;
    why the move has failed is there after the block."""
    monkeypatch.setattr(libvirt_migration, "refusal_why", lambda *_: "")
    why: list[str] = []
    move = threading.Thread(target=lambda: why.append(failed(pair, MigrationOptions())))
    with stopped(target_pid()):
        move.start()
        wait_until(lambda: has_job(pair[0]))
        yield why
        assert move.is_alive()
    move.join()


def test_breaking_it_off_while_libvirt_connects_holds_when_it_is_connected(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A promise, then: the call goes on until there is a connection, and nothing moves over it."""
    before = started(pair[0])
    with connecting(pair, monkeypatch) as why:
        assert pair[0].domain() == before
        pair[0].abort_migration()
        assert has_job(pair[0])
    assert why[0].startswith("it was broken off from here: ")
    assert stayed(pair, before)


def test_one_that_is_destroyed_while_libvirt_connects_is_gone_at_once(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For those two minutes that a target may take for nothing, nobody has to wait."""
    started(pair[0])
    with connecting(pair, monkeypatch) as why:
        pair[0].destroy()
        assert pair[0].domain().state is DomainState.ABSENT
    assert why[0]
    assert pair[1].domain().state is DomainState.ABSENT


@pytest.mark.parametrize("is_broken_off", [False, True])
def test_a_target_that_falls_silent_while_it_is_copied_is_given_up(
    pair: Pair, is_broken_off: bool
) -> None:
    """libvirt's own time for that, whoever breaks it off: it would tell the target, too."""
    before = started(pair[0])
    silent_s: list[float] = []
    held = contextlib.ExitStack()

    def freeze() -> None:
        pid = pair[1].domain().pid
        assert pid is not None
        held.enter_context(stopped(target_pid(), pid))
        silent_s.append(time.monotonic())
        if is_broken_off:
            pair[0].abort_migration()

    with held:
        freezes = meanwhile(pair, freeze)
        try:
            why = failed(pair)
            took_s = time.monotonic() - silent_s[0]
        finally:
            freezes.join()
    assert why.endswith(LOST)
    assert KEEPALIVE_S - 6 <= took_s <= KEEPALIVE_S + 6 * TIME_FACTOR
    assert pair[0].domain() == before


def has_job(hypervisor: LibvirtHypervisor) -> bool:
    domain = hypervisor._line.connection("look").lookupByName("HostedEngine")
    return libvirt_migration.is_leaving(_libvirt(), domain)


class RealStage:
    """libvirt of the box."""

    def __init__(self, hypervisor: LibvirtHypervisor) -> None:
        self.hypervisor = hypervisor

    def run(self) -> None:
        started(self.hypervisor)

    def pause(self) -> None:
        self.hypervisor._line.connection("pause").lookupByName("HostedEngine").suspend()


@pytest.mark.parametrize("case", moves_alike.CASES, ids=lambda case: str(case.__name__))
def test_what_can_not_be_moved(pair: Pair, case: Callable[[Stage], None]) -> None:
    case(RealStage(pair[0]))
