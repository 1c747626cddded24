# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""`--export-status` on whole hosts: real settings, a real broker, libvirt that hangs."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metadata.domain_xml import lease_element
from metadata.settings.metrics import MetricsSettings
from metadata.settings.notifications import NotificationSettings, SmtpSettings, WebhookSettings
from metadata.settings.parse import EngineSettings
from metadata.shared_config import SharedConfig, copy_offset, encode_copy
from tests.contract.places import direct_io_directory
from tests.integration.broker_process import FACTOR, SETTINGS, Site, wait_for
from tests.integration.hosted_engine import Done, hosted_engine
from tests.integration.receivers import free_port

# One for each place in which a secret may stand.
PLANTED = {
    "mail": "Mondschein-1",
    "hook": "Abendrot-2",
    "metrics": "Nebelhorn-3",
    "console": "Silbermond-4",
    "address": "T000-B000-Sternenstaub-5",
    "log": "Regenbogen-6",
}


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with direct_io_directory() as directory:
        site = Site(directory)
        fake = directory / "bin"
        fake.mkdir()
        monkeypatch.setenv("PATH", f"{fake}:/usr/bin:/bin")
        program(site, "virsh", "exec sleep 300")
        program(site, "journalctl", f"echo 'smtp_password={PLANTED['log']} for {PLANTED['mail']}'")
        try:
            yield site
        finally:
            site.close()


def program(site: Site, name: str, script: str) -> None:
    """In the place of this machine's."""
    path = site.settings_file.parent / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def secret(site: Site, name: str) -> str:
    """The path of its file."""
    path = site.settings_file.parent / f"{name}.secret"
    path.write_text(f"{PLANTED[name]}\n")
    path.chmod(0o600)
    return str(path)


def plant(site: Site) -> None:
    """Settings on the storage and on the host with a secret wherever there may be one."""
    url = f"https://hooks.example.com/services/{PLANTED['address']}"
    notifications = NotificationSettings(
        smtp=SmtpSettings(
            "mail.example.com", "ha@example.com", ("ops@example.com",), user="ha",
            password_file=secret(site, "mail"),
        ),
        webhooks=(WebhookSettings(url, secret_file=secret(site, "hook")),),
    )  # fmt: skip
    engine = EngineSettings(domain_name="TheEngine")
    settings = replace(SETTINGS, notifications=notifications, engine=engine)
    graphics = f"<graphics type='vnc' passwd='{PLANTED['console']}'/>"
    xml = f"<domain><name>TheEngine</name>{lease_element(site.parts)}{graphics}</domain>"
    site.make_volume(settings)
    encoded = encode_copy(SharedConfig(2, settings, xml))
    site.write(site.parts.shared_config.offset + copy_offset(2), encoded)
    metrics = MetricsSettings(
        f"127.0.0.1:{free_port()}", user="prometheus", password_file=secret(site, "metrics")
    )
    site.host = replace(site.host, metrics=metrics)
    site.deploy()


def export(site: Site, *words: str) -> tuple[Done, dict[str, bytes]]:
    target = site.settings_file.parent / "a.tar.gz"
    done = hosted_engine(site, "--export-status", str(target), "--force", *words)
    assert done.code == 0, done.err
    with tarfile.open(target) as archive:
        files = {}
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is not None
            files[member.name.partition("/")[2]] = file.read()
    return done, files


def told(files: dict[str, bytes]) -> dict[str, str]:
    """Of each piece why it could not be had."""
    manifest: dict[str, Any] = json.loads(files["manifest.json"])
    return {one["name"]: one["why"] for one in manifest["pieces"]}


def test_no_planted_secret_is_in_the_archive_and_no_hang_stops_it(site: Site) -> None:
    plant(site)
    site.start()
    client = site.serving()
    wait_for("the broker's configuration", lambda: client.status().config.sequence == 2)
    done, files = export(site, "--timeout", str(9 * FACTOR))
    assert done.took_s < 14 * FACTOR
    texts = b"\n".join(files.values())
    assert [name for name, one in PLANTED.items() if one.encode() in texts] == []
    why = told(files)
    assert why["libvirt/list.txt"].startswith("has not ended within")
    for name in ("settings/host.yaml", "settings/shared-config.json", "status/broker.json"):
        assert why[name] == "", why
    settings = json.loads(files["settings/shared-config.json"])
    assert settings["settings"]["notifications"]["smtp"]["server"] == "mail.example.com"
    assert "passwd='***'" in settings["domain_xml"]
    assert json.loads(files["status/broker.json"])["host_name"] == "h1"
    assert files["logs/journal-ha-agent.txt"] == b"smtp_password=*** for ***\n"
    manifest = json.loads(files["manifest.json"])["pieces"]
    (xml,) = [one["from"] for one in manifest if one["name"] == "libvirt/domain.xml"]
    assert xml.endswith("dumpxml -- TheEngine")


def test_a_host_without_daemons_and_without_a_deployment_has_what_there_is(site: Site) -> None:
    program(site, "virsh", "echo 2>&1 no libvirtd; exit 1")
    done, files = export(site)
    why = told(files)
    assert why["settings/host.yaml"] == "there is no such file"
    assert why["status/vm-status.txt"] == "ended with exit code 1"
    assert b"You must run deploy first" in files["status/vm-status.txt"]
    assert files["libvirt/list.txt"] == b"no libvirtd\n"
    assert why["versions/kernel.txt"] == why["machine/mounts.txt"] == ""
    assert "status/vm-status-from-storage.txt" not in why
    assert done.out.count("\n") == 1


def test_it_runs_nothing_of_the_directory_in_which_one_stands(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "hosted_engine"
    trap.mkdir()
    (trap / "__init__.py").write_text("raise SystemExit('trapped')")
    program(site, "virsh", "exit 1")
    monkeypatch.setattr("tests.integration.hosted_engine.ROOT", tmp_path)
    command = ("bash", "-c", 'exec "$0" -I -m hosted_engine.main "$@"')
    python = hosted_engine.__globals__["COMMAND"][0]
    monkeypatch.setattr("tests.integration.hosted_engine.COMMAND", (*command, python))
    _, files = export(site)
    assert b"trapped" not in b"".join(files.values())


def test_it_can_be_read_from_a_pipe_of_bytes(site: Site) -> None:
    """As `tar tzf` does it: no seeking, one directory, no path that leads out of it."""
    program(site, "virsh", "exit 1")
    target = site.settings_file.parent / "b.tgz"
    assert hosted_engine(site, "--export-status", str(target)).code == 0
    with tarfile.open(fileobj=io.BytesIO(target.read_bytes()), mode="r|gz") as archive:
        names = [member.name for member in archive]
    assert all(name.startswith("hosted-engine-") and ".." not in name for name in names)
