# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``storage.connection`` in host.yaml: what is accepted, what is refused, and the way back."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from metadata.settings.parse import SettingsError, host_settings_to_data, parse_host_settings
from metadata.settings.storage_connection import (
    FcConnection,
    GlusterConnection,
    IscsiConnection,
    NfsConnection,
    PosixConnection,
)

NFS = {"type": "nfs", "server": "filer", "export": "/export/he", "mount_point": "/srv/he"}
ISCSI = {"type": "iscsi", "portal": "192.0.2.7:3260", "target": "iqn.2020-01.org.example:he"}
KINDS = [
    (NFS, NfsConnection("nfs", "filer", "/export/he", "/srv/he")),
    (
        {**NFS, "type": "nfs4", "server": "[2001:db8::1]", "options": "vers=4.2,soft"},
        NfsConnection("nfs4", "[2001:db8::1]", "/export/he", "/srv/he", "vers=4.2,soft"),
    ),
    (
        {"type": "glusterfs", "server": "g1", "volume": "he/sub", "mount_point": "/srv/he"},
        GlusterConnection("g1", "he/sub", "/srv/he"),
    ),
    (
        {"type": "posix", "device": "mon:/", "vfs_type": "ceph", "mount_point": "/srv"},
        PosixConnection("mon:/", "ceph", "/srv"),
    ),
    (ISCSI, IscsiConnection(("192.0.2.7:3260",), "iqn.2020-01.org.example:he")),
    (
        {**ISCSI, "lun": 0, "user": "he", "password_file": "/etc/he.pw"},
        IscsiConnection(("192.0.2.7:3260",), "iqn.2020-01.org.example:he", 0, "he", "/etc/he.pw"),
    ),
    (
        {**ISCSI, "portal": ["192.0.2.7", "[fd00::7]:3260", "san.example.org:3261"]},
        IscsiConnection(
            ("192.0.2.7", "[fd00::7]:3260", "san.example.org:3261"), "iqn.2020-01.org.example:he"
        ),
    ),
    (
        {**NFS, "server": "[fe80::1%eth0]", "export": "/"},
        NfsConnection("nfs", "[fe80::1%eth0]", "/", "/srv/he"),
    ),
    ({"type": "fc", "device": "/dev/mapper/he"}, FcConnection("/dev/mapper/he")),
]


def host(connection: object, path: str = "/srv/he/leases") -> dict[str, Any]:
    storage = {"path": path, "connection": connection}
    return {"host_id": 1, "host_name": "h1", "storage": storage}


def problems(connection: object, path: str = "/srv/he/leases") -> str:
    with pytest.raises(SettingsError) as caught:
        parse_host_settings(host(connection, path), "host.yaml")
    return "\n".join(caught.value.problems)


@pytest.mark.parametrize(("data", "expected"), KINDS)
def test_every_kind_is_read_and_written_back(data: dict[str, Any], expected: object) -> None:
    settings = parse_host_settings(host(data), "host.yaml")
    assert settings.connection == expected
    text = yaml.safe_dump(host_settings_to_data(settings))
    assert yaml.safe_load(text)["storage"]["connection"] == data
    assert parse_host_settings(yaml.safe_load(text), "again") == settings


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ({**NFS, "server": "fd00:0::1"}, {**NFS, "server": "[fd00::1]"}),
        ({**NFS, "server": "[FD00::0:1]"}, {**NFS, "server": "[fd00::1]"}),
        ({**NFS, "export": "/export//he/"}, NFS),
        ({**NFS, "export": "///"}, {**NFS, "export": "/"}),
        ({**NFS, "mount_point": "/srv//he//"}, NFS),
        ({**ISCSI, "portal": ["192.0.2.7:3260"]}, ISCSI),
        ({**ISCSI, "portal": ["192.0.2.7:3260", "192.0.2.7"]}, ISCSI),
        ({**ISCSI, "portal": "[FD00:0::7]"}, {**ISCSI, "portal": "[fd00::7]"}),
        (
            {**ISCSI, "portal": ["192.0.2.8", "[fd00:0::7]", "192.0.2.8:3260", "[fd00::7]:3260"]},
            {**ISCSI, "portal": ["192.0.2.8", "[fd00::7]"]},
        ),
    ],
)
def test_each_place_is_kept_in_one_form(typed: dict[str, Any], kept: dict[str, Any]) -> None:
    settings = parse_host_settings(host(typed), "host.yaml")
    assert host_settings_to_data(settings)["storage"]["connection"] == kept


def test_the_storage_s_path_may_have_slashes_more_than_it_needs() -> None:
    assert parse_host_settings(host(NFS, "/srv//he/leases"), "host.yaml").connection is not None


def test_storage_without_a_connection_has_none_in_both_ways() -> None:
    data = {"host_id": 1, "host_name": "h1", "storage": {"path": "/leases"}}
    settings = parse_host_settings(data, "host.yaml")
    assert settings.connection is None
    assert "connection" not in host_settings_to_data(settings)["storage"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([], "storage.connection: [] is refused; allowed: a mapping"),
        ({}, "storage.connection.type: is missing; allowed: nfs, nfs4, glusterfs, posix"),
        ({"type": "smb"}, "storage.connection.type: 'smb' is refused; allowed: nfs"),
        ({"type": ["nfs"]}, "storage.connection.type: ['nfs'] is refused"),
        ({"type": "nfs"}, "storage.connection.server: is missing; allowed: a host name"),
        ({**NFS, "target": "x"}, "storage.connection.target: unknown key"),
        ({**NFS, "server": "-oProxy"}, "storage.connection.server: '-oProxy' is refused"),
        ({**NFS, "server": "a:b"}, "storage.connection.server: 'a:b' is refused"),
        ({**NFS, "export": "he"}, "storage.connection.export: 'he' is refused"),
        ({**NFS, "options": "a b"}, "storage.connection.options: 'a b' is refused"),
        ({**NFS, "options": "-v"}, "storage.connection.options: '-v' is refused"),
        ({**NFS, "mount_point": "/"}, "storage.connection.mount_point: '/' is refused"),
        ({**NFS, "mount_point": "//"}, "mount_point: '//' is refused; allowed: an absolute path "),
        ({**NFS, "server": "filer:/he"}, "server: 'filer:/he' is refused; allowed: a host name"),
        ({**NFS, "server": "[fd00::1]:/he"}, "server: '[fd00::1]:/he' is refused"),
        ({**NFS, "server": "[fd00::1"}, "server: '[fd00::1' is refused"),
        ({**NFS, "server": "[::::]"}, "server: '[::::]' is refused; allowed: a host name or"),
        ({**NFS, "server": "fd00::g"}, "server: 'fd00::g' is refused"),
        ({**NFS, "server": "[192.0.2.1]"}, "server: '[192.0.2.1]' is refused"),
        ({**NFS, "server": "[fe80::1%a b]"}, "server: '[fe80::1%a b]' is refused"),
        ({**NFS, "server": ""}, "server: '' is refused"),
        ({**NFS, "export": ""}, "export: '' is refused; allowed: an absolute path, or /"),
        ({**NFS, "export": "filer:/he"}, "export: 'filer:/he' is refused"),
        ({**ISCSI, "portal": []}, "portal: [] is refused; allowed: an address (IPv6: [2001:db8::7"),
        ({**ISCSI, "portal": "fd00::7"}, "portal: 'fd00::7' is refused; allowed: an address (IPv"),
        ({**ISCSI, "portal": "192.0.2.7,192.0.2.8"}, "portal: '192.0.2.7,192.0.2.8' is refused"),
        ({**ISCSI, "portal": "[fd00::7]:0"}, "portal: '[fd00::7]:0' is refused"),
        ({**ISCSI, "portal": "[fd00::7::1]"}, "portal: '[fd00::7::1]' is refused"),
        ({**ISCSI, "portal": ["192.0.2.7", 3260]}, "portal: ['192.0.2.7', 3260] is refused"),
        ({**ISCSI, "portal": [f"192.0.2.{n}" for n in range(9)]}, "or a list of at most 8 of them"),
        ({**ISCSI, "portal": ["a", "-p"]}, "portal: ['a', '-p'] is refused"),
        ({**NFS, "mount_point": "/srv/h"}, "mount_point: '/srv/h' is refused; allowed: a folder"),
        ({**ISCSI, "target": "disk"}, "storage.connection.target: 'disk' is refused"),
        ({**ISCSI, "portal": "a:70000"}, "storage.connection.portal: 'a:70000' is refused"),
        ({**ISCSI, "lun": "1"}, "storage.connection.lun: '1' is refused; allowed: an integer"),
        ({**ISCSI, "user": "he"}, "user and password_file belong together"),
        ({**ISCSI, "password_file": "/x"}, "user and password_file belong together"),
        ({**ISCSI, "password": "x"}, "storage.connection.password: unknown key"),
        ({"type": "fc", "device": "sda"}, "storage.connection.device: 'sda' is refused"),
    ],
)
def test_what_can_not_be_is_refused_by_key_and_value(data: object, expected: str) -> None:
    assert expected in problems(data)


def test_problems_of_the_whole_file_are_told_at_once() -> None:
    data = {**host({**NFS, "server": "-x"}), "bridge": "a b"}
    with pytest.raises(SettingsError) as caught:
        parse_host_settings(data, "host.yaml")
    assert len(caught.value.problems) == 2
