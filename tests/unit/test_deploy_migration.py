# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The check of --deploy whether the engine could be moved alive to this host."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import pytest

from hosted_engine.deploy.check_input import Subject, look_at_storage
from hosted_engine.deploy.checks_migration import CLIENT, SERVER, check_migration
from hosted_engine.deploy.findings import Level
from hosted_engine.host import probes
from metadata.settings.parse import HostSettings
from tests.unit.deploy_scene import Scene, put_record
from tests.unit.test_command_deploy import (
    CREATING,
    JOINING,
    PARTS,
    answers,
    cluster_store,
    store,
)
from world.ports.certificates import CertificateFiles, Use
from world.ports.errors import HypervisorGoneError

REFUSED = "Connection refused"


def scene_of(folder: Path, unreached_why: str = "", *others: int) -> Scene:
    """A cluster with host h1 and those of the ids `others`, who may not reach libvirt here."""
    volume = cluster_store()
    for host_id in others:
        put_record(volume, host_id, f"h{host_id}")
    scene = Scene(folder, volume)
    scene.libvirt.unreached_why = unreached_why
    return scene


def subject(scene: Scene, data: object = JOINING, own_id: Optional[int] = None) -> Subject:
    world, given = scene.world(), answers(data)
    deployed = None if own_id is None else HostSettings(own_id, f"h{own_id}", PARTS)
    lockspace: Any = scene.lockspace
    return Subject(world, given, look_at_storage(world, given), lockspace, deployed)


def with_host(**host: str) -> dict[str, Any]:
    return {**JOINING, "host": host}


def test_all_is_well(tmp_path: Path) -> None:
    scene = scene_of(tmp_path)
    found = check_migration(subject(scene))
    assert scene.libvirt.looked_for_at == ["qemu+tls://h9/system"]
    assert (found.level, found.detail) == (
        Level.OK,
        "qemu+tls://h9/system answers; its certificate is good until Nov 28 20:00:00 2027 GMT; "
        "the engine's memory goes over the network in clear (migration.encrypt is false)",
    )


@pytest.mark.parametrize(
    ("host", "name", "address"),
    [
        ({"host_name": "h7"}, "h7", "qemu+tls://h7/system"),
        ({"migration_address": "192.0.2.7"}, "192.0.2.7", "qemu+tls://192.0.2.7/system"),
        ({"migration_address": "2001:db8::7"}, "2001:db8::7", "qemu+tls://[2001:db8::7]/system"),
        ({"host_name": "h7", "migration_address": "m7"}, "m7", "qemu+tls://m7/system"),
    ],
)
def test_it_is_asked_as_others_will(
    tmp_path: Path, host: dict[str, str], name: str, address: str
) -> None:
    scene = scene_of(tmp_path)
    check_migration(subject(scene, with_host(**host)))
    assert scene.libvirt.looked_for_at == [address]
    looks = scene.probes.certificate_files.looks
    assert looks[:2] == [(SERVER, Use.SERVER, name), (CLIENT, Use.CLIENT, "")]


@pytest.mark.parametrize("files", [SERVER, CLIENT])
def test_a_certificate_that_is_not_good_is_told_by_its_file(
    tmp_path: Path, files: CertificateFiles
) -> None:
    scene = scene_of(tmp_path)
    problem = f"{files.certificate} can't be read: No such file or directory"
    scene.probes.certificate_files.problems[files.certificate] = problem
    found = check_migration(subject(scene))
    assert found.level is Level.WARN
    assert found.detail == f"{problem}: the engine can't be moved here alive"
    assert "docs/migration.md" in found.mend[0]
    assert scene.libvirt.looked_for_at == []


@pytest.mark.parametrize(
    ("service", "daemon"), [("", "libvirtd"), ("libvirtd", "libvirtd"), ("virtqemud", "virtproxyd")]
)
def test_a_libvirt_that_is_not_reached(tmp_path: Path, service: str, daemon: str) -> None:
    scene = scene_of(tmp_path, REFUSED)
    scene.probes.libvirt_service = service
    found = check_migration(subject(scene))
    assert (found.level, found.detail) == (
        Level.WARN,
        f"{REFUSED}: the engine can't be moved here alive",
    )
    assert f"systemctl enable --now {daemon}-tls.socket" in found.mend[0]
    assert "h9 must be this host's, in the DNS or /etc/hosts" in found.mend[1]


def test_the_daemon_s_own_places_count(tmp_path: Path) -> None:
    scene = scene_of(tmp_path)
    own = CertificateFiles("/own/cert", "/own/key", "/own/ca")
    scene.probes.libvirt_conf["libvirtd"] = {
        "cert_file": own.certificate,
        "key_file": own.key,
        "ca_file": own.authority,
    }
    check_migration(subject(scene))
    assert scene.probes.certificate_files.looks[0] == (own, Use.SERVER, "h9")


def test_a_libvirt_that_asks_nobody_for_a_certificate(tmp_path: Path) -> None:
    scene = scene_of(tmp_path)
    scene.probes.libvirt_service = "virtqemud"
    scene.probes.libvirt_conf["virtproxyd"] = {"tls_no_verify_certificate": "1"}
    found = check_migration(subject(scene))
    assert found.level is Level.WARN
    assert "/etc/libvirt/virtproxyd.conf has tls_no_verify_certificate" in found.detail


@pytest.mark.parametrize("fault", ["certificate", "libvirt"])
def test_a_host_alone_is_only_warned(tmp_path: Path, fault: str) -> None:
    scene = scene_of(tmp_path, REFUSED if fault == "libvirt" else "")
    if fault == "certificate":
        scene.probes.certificate_files.problems[SERVER.certificate] = "it is bad"
    found = check_migration(subject(scene, own_id=1))
    assert found.level is Level.WARN
    assert found.detail.endswith(", which matters once there is another host")


def test_a_new_cluster_is_one_of_a_single_host(tmp_path: Path) -> None:
    scene = Scene(tmp_path, store())
    scene.libvirt.unreached_why = REFUSED
    assert check_migration(subject(scene, CREATING)).level is Level.WARN


def test_a_deployed_host_goes_on_with_a_warning(tmp_path: Path) -> None:
    """--deploy starts its services again; an ended certificate must not keep it from that."""
    scene = scene_of(tmp_path, REFUSED, 4, 5)
    found = check_migration(subject(scene, own_id=4))
    assert (found.level, found.detail) == (
        Level.WARN,
        f"{REFUSED}: the engine can't be moved here alive",
    )


def creating(tmp_path: Path, **migration: Any) -> tuple[Scene, Subject]:
    scene = Scene(tmp_path, store())
    return scene, subject(scene, {**CREATING, "migration": migration})


def test_plain_tcp_is_for_a_lab(tmp_path: Path) -> None:
    scene, tcp = creating(tmp_path, uri="qemu+tcp://{address}/system")
    found = check_migration(tcp)
    assert found.level is Level.WARN
    assert "is open to whoever reaches its port, who is root here" in found.detail
    assert scene.probes.certificate_files.looks == []


def test_with_ssh_there_is_no_certificate_to_look_at(tmp_path: Path) -> None:
    scene, ssh = creating(tmp_path, uri="qemu+ssh://{address}/system")
    assert check_migration(ssh).level is Level.OK
    assert scene.probes.certificate_files.looks == []


@pytest.mark.parametrize(
    ("conf", "folder"),
    [
        (None, "/etc/pki/libvirt-migrate"),
        ({}, "/etc/pki/qemu"),
        ({"default_tls_x509_cert_dir": "/d"}, "/d"),
        ({"default_tls_x509_cert_dir": "/d", "migrate_tls_x509_cert_dir": "/m"}, "/m"),
    ],
)
@pytest.mark.parametrize("use", list(Use))
def test_qemu_s_own_count_where_the_memory_is_to_be_encrypted(
    tmp_path: Path, conf: Optional[dict[str, str]], folder: str, use: Use
) -> None:
    scene, encrypted = creating(tmp_path, encrypt=True)
    if conf is not None:
        scene.probes.missing.add("/etc/pki/libvirt-migrate")
    scene.probes.libvirt_conf["qemu"] = conf or {}
    assert "in clear" not in check_migration(encrypted).detail
    scene.probes.certificate_files.problems[f"{folder}/{use.value}-cert.pem"] = "it is bad"
    assert check_migration(encrypted).detail.startswith("migration.encrypt: it is bad")


def test_the_name_to_which_the_memory_goes_counts(tmp_path: Path) -> None:
    scene, encrypted = creating(tmp_path, encrypt=True)
    scene.probes.libvirt_conf["qemu"] = {"migration_host": "m9"}
    check_migration(encrypted)
    looks = scene.probes.certificate_files.looks
    assert [(use, name) for files, use, name in looks if "libvirt-migrate" in files.key] == [
        (Use.SERVER, "m9"),
        (Use.CLIENT, ""),
    ]


def test_libvirt_s_files_are_read_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "LIBVIRT_CONF_DIR", tmp_path)
    text = '#ca_file = "/a"\ntls_allowed_dn_list = ["CN=h1", "CN=h2"]\ncert_file = "/c"  # ours\n'
    (tmp_path / "libvirtd.conf").write_text(text)
    found = probes.HostProbes().libvirt_settings("libvirtd")
    assert (found.get("ca_file"), found["cert_file"]) == (None, "/c")
    assert probes.HostProbes().libvirt_settings("virtproxyd") == {}


def test_a_silent_libvirt_is_the_check_s_failure(tmp_path: Path) -> None:
    scene = scene_of(tmp_path)
    scene.libvirt.disappear()
    with pytest.raises(HypervisorGoneError):
        check_migration(subject(scene))
