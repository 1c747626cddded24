# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The command lines that connect the shared storage and disconnect it, word by word."""

from __future__ import annotations

import pytest

from hosted_engine.host.tools import shown
from hosted_engine.storage.connection_plan import (
    ConnectStep,
    PasswordStep,
    Step,
    connect_steps,
    connected_portals,
    disconnect_steps,
)
from metadata.settings.storage_connection import (
    FcConnection,
    GlusterConnection,
    IscsiConnection,
    NfsConnection,
    PosixConnection,
    StorageConnection,
)

PATH = "/srv/he/leases"
TARGET = "iqn.2020-01.org.example:he"
NODE = f"iscsiadm -m node -T {TARGET} -p 192.0.2.7:3260"
NODE_6 = f"iscsiadm -m node -T {TARGET} -p '[fd00::7]:3261'"
SETTLE = f"udevadm settle --timeout=30 --exit-if-exists={PATH}"
ISCSI = IscsiConnection(("192.0.2.7:3260",), TARGET)


def lines(steps: tuple[ConnectStep, ...]) -> list[str]:
    assert not any(isinstance(step, PasswordStep) for step in steps)
    return [shown(step.command) for step in steps if isinstance(step, Step)]


@pytest.mark.parametrize(
    ("connection", "connect", "disconnect"),
    [
        (
            NfsConnection("nfs", "filer", "/export/he", "/srv/he"),
            ["mount -t nfs filer:/export/he /srv/he"],
            ["umount /srv/he"],
        ),
        (
            NfsConnection("nfs4", "[2001:db8::1]", "/he", "/srv/he", "vers=4.2,soft"),
            ["mount -t nfs4 -o vers=4.2,soft '[2001:db8::1]:/he' /srv/he"],
            ["umount /srv/he"],
        ),
        (
            GlusterConnection("g1", "he", "/srv/he", "backup-volfile-servers=g2:g3"),
            ["mount -t glusterfs -o backup-volfile-servers=g2:g3 g1:/he /srv/he"],
            ["umount /srv/he"],
        ),
        (
            PosixConnection("/dev/vg/he", "ext4", "/srv/he"),
            ["mount -t ext4 /dev/vg/he /srv/he"],
            ["umount /srv/he"],
        ),
        (
            ISCSI,
            [
                f"{NODE} -o new",
                f"{NODE} -o update -n node.startup -v manual",
                f"{NODE} --login",
                SETTLE,
            ],
            [f"{NODE} --logout", f"{NODE} -o delete"],
        ),
        (
            NfsConnection("nfs4", "[fd00::1]", "/", "/srv/he"),
            ["mount -t nfs4 '[fd00::1]:/' /srv/he"],
            ["umount /srv/he"],
        ),
        (
            NfsConnection("nfs", "[fe80::1%eth0]", "/he", "/srv/he"),
            ["mount -t nfs '[fe80::1%eth0]:/he' /srv/he"],
            ["umount /srv/he"],
        ),
        (
            GlusterConnection("[fd00::1]", "he", "/srv/he"),
            ["mount -t glusterfs fd00::1:/he /srv/he"],
            ["umount /srv/he"],
        ),
        (
            IscsiConnection(("192.0.2.7:3260", "[fd00::7]:3261"), TARGET),
            [
                f"{NODE} -o new",
                f"{NODE} -o update -n node.startup -v manual",
                f"{NODE} --login",
                f"{NODE_6} -o new",
                f"{NODE_6} -o update -n node.startup -v manual",
                f"{NODE_6} --login",
                SETTLE,
            ],
            [
                f"{NODE} --logout",
                f"{NODE} -o delete",
                f"{NODE_6} --logout",
                f"{NODE_6} -o delete",
            ],
        ),
        (FcConnection("/dev/disk/by-id/wwn-1"), [SETTLE], []),
        (FcConnection("/dev/mapper/he"), ["multipath -v1", SETTLE], []),
    ],
)
def test_each_kind_has_its_own_command_lines(
    connection: StorageConnection, connect: list[str], disconnect: list[str]
) -> None:
    assert lines(connect_steps(connection, PATH, 30)) == connect
    assert lines(disconnect_steps(connection)) == disconnect


def test_the_password_stands_in_no_command_line() -> None:
    connection = IscsiConnection(ISCSI.portals, TARGET, None, "he", "/etc/he.pw")
    steps = connect_steps(connection, PATH, 30)
    assert lines(steps[1:3]) == [
        f"{NODE} -o update -n node.session.auth.authmethod -v CHAP",
        f"{NODE} -o update -n node.session.auth.username -v he",
    ]
    assert steps[3] == PasswordStep(connection, "192.0.2.7:3260")
    assert lines(steps[4:]) == lines(connect_steps(ISCSI, PATH, 30)[1:])


SESSIONS = f"""\
tcp: [1] 192.0.2.7:3260,1 {TARGET} (non-flash)
tcp: [2] [2001:db8::1]:3260,1 {TARGET} (non-flash)
"""


@pytest.mark.parametrize(
    ("portal", "target", "expected"),
    [
        ("192.0.2.7:3260", TARGET, True),
        ("192.0.2.7", TARGET, True),
        ("192.0.2.7:3261", TARGET, False),
        ("192.0.2.8", TARGET, False),
        ("[2001:db8::1]", TARGET, True),
        ("[2001:db8::1]:3260", TARGET, True),
        ("[2001:db8::2]", TARGET, False),
        ("san.example.org", TARGET, True),
        ("192.0.2.7", f"{TARGET}2", False),
        ("san.example.org", TARGET[:-1], False),
    ],
)
def test_a_session_is_known_by_its_portal_and_target(
    portal: str, target: str, expected: bool
) -> None:
    found = connected_portals(SESSIONS, IscsiConnection((portal,), target))
    assert found == ((portal,) if expected else ())


@pytest.mark.parametrize(
    ("portals", "expected"),
    [
        (["192.0.2.7", "[2001:db8::1]:3260"], [0, 1]),
        (["192.0.2.7", "192.0.2.8"], [0]),
        (["192.0.2.8", "[2001:db8::2]"], []),
        (["san.example.org", "192.0.2.7"], [0, 1]),
        (["san1", "san2"], [0, 1]),
        (["san1", "san2", "san3"], [0, 1]),
        (["san1", "192.0.2.7", "[2001:db8::1]"], [1, 2]),  # no session is left for the name
        (["san1:3261", "192.0.2.9"], [0]),
    ],
)
def test_of_several_portals_those_with_a_session(portals: list[str], expected: list[int]) -> None:
    found = connected_portals(SESSIONS, IscsiConnection(tuple(portals), TARGET))
    assert found == tuple(portals[place] for place in expected)


def test_sessions_are_known_however_the_address_is_spelled() -> None:
    sessions = f"tcp: [1] [2001:DB8:0::1]:3260,1 {TARGET} (non-flash)\n"
    portals = ("[2001:db8::1]",)
    assert connected_portals(sessions, IscsiConnection(portals, TARGET)) == portals
