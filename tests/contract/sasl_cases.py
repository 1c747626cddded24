# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A libvirtd that asks for a name and a password, as oVirt has it; run inside libvirt_box.sh."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.hypervisor_cases import (
    BOX,
    LIMIT_S,
    XML,
    answers,
    joined_lockspace,
    start_libvirtd,
    wait_until,
)
from world.ports.errors import HypervisorGoneError
from world.ports.libvirt import DomainState
from world.storage.sanlock_lockspace import SanlockLockspace
from world.vm.libvirt_hypervisor import LibvirtHypervisor
from world.vm.libvirt_login import NAME_A_FILE, NOT_IN_FILE

LOGIN = BOX / "libvirt-auth.conf"
DATABASE = BOX / "passwd.db"
NAME, REALM, PASSWORD = b"vdsm", b"ovirt", b"correct horse"
DAEMON = """\
auth_unix_rw = "sasl"
auth_unix_ro = "none"
unix_sock_group = "root"
host_uuid = "11111111-2222-3333-4444-555555555555"
"""
SASL = f"mech_list: scram-sha-256\nsasldb_path: {DATABASE}\n"
# As docs/install.md has it.
FILE = """\
[credentials-engine]
authname=vdsm@ovirt
password=correct horse

[auth-libvirt-localhost]
credentials=engine
"""


def set_password() -> None:
    """What ``saslpasswd2 -a libvirt NAME@REALM`` does, by the library that it calls."""
    library = ctypes.CDLL("libsasl2.so.2")
    connection = ctypes.c_void_p()
    place = (b"libvirt", REALM, REALM, None, None, None, 0, ctypes.byref(connection))
    assert library.sasl_server_init(None, b"libvirt") == 0
    assert library.sasl_server_new(*place) == 0
    words = (connection, NAME, PASSWORD, len(PASSWORD), None, 0, 1)
    assert library.sasl_setpass(*words) == 0
    assert DATABASE.stat().st_size > 0


@pytest.fixture(scope="module")
def lockspace() -> SanlockLockspace:
    """Joined, beside a libvirtd that asks."""
    Path("/etc/libvirt/libvirtd.conf").write_text(DAEMON)
    Path("/etc/sasl2").mkdir(exist_ok=True)
    Path("/etc/sasl2/libvirt.conf").write_text(SASL)
    set_password()
    lockspace = joined_lockspace()
    start_libvirtd()
    wait_until(Path("/run/libvirt/libvirt-sock").exists, LIMIT_S)
    return lockspace


def login(text: str = FILE, mode: int = 0o600) -> str:
    """The address of a libvirt whose name and password stand in a file of this text."""
    LOGIN.write_text(text)
    LOGIN.chmod(mode)
    return f"qemu:///system?authfile={LOGIN}"


@pytest.fixture
def engine(lockspace: SanlockLockspace) -> Iterator[LibvirtHypervisor]:
    hypervisor = LibvirtHypervisor(login(), "HostedEngine")
    wait_until(lambda: answers(hypervisor))
    yield hypervisor
    hypervisor.destroy()
    hypervisor.close()


def refused(uri: str) -> str:
    """Why there is no connection."""
    hypervisor = LibvirtHypervisor(uri, "HostedEngine")
    with pytest.raises(HypervisorGoneError) as caught:
        hypervisor.domain()
    hypervisor.close()
    return str(caught.value.why)


def test_who_has_the_password_starts_the_engine_with_its_lease(
    engine: LibvirtHypervisor, lockspace: SanlockLockspace
) -> None:
    assert engine.domain().state is DomainState.ABSENT
    found = engine.start(XML)
    assert found.state is DomainState.RUNNING and found.pid is not None
    assert lockspace.process_holds_lease(found.pid)


def test_who_names_no_file_is_told_to(engine: LibvirtHypervisor) -> None:
    assert refused("qemu:///system") == f"no connection to qemu:///system: {NAME_A_FILE}"


def test_a_wrong_password_is_one(engine: LibvirtHypervisor) -> None:
    said = refused(login(FILE.replace("correct", "wrong")))
    assert "authentication failed" in said


def test_a_file_for_another_server_is_told(engine: LibvirtHypervisor) -> None:
    said = refused(login(FILE.replace("localhost", "elsewhere")))
    assert NOT_IN_FILE.format(path=LOGIN) in said


def test_a_file_that_others_may_read_is_refused(engine: LibvirtHypervisor) -> None:
    said = refused(login(mode=0o644))
    assert f"{LOGIN}: others than its owner may use it (mode 0644)" in said
    assert f"chgrp hosted-engine-ha {LOGIN} && chmod 640 {LOGIN}" in said
