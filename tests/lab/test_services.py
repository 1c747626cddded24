# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The daemons as a user of their own, and the storage that a unit of ours connects at boot."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.verbs import LabVerbs, scaled

DAEMONS = ("ha-broker.service", "ha-agent.service")
STORAGE = "hosted-engine-storage.service"
USER = "hosted-engine-ha"
PLUGINS = Path(__file__).resolve().parents[2] / "docs" / "plugins.md"
DROP_INS = "/etc/systemd/system/ha-broker.service.d"
FOLDERS = ("/run/hosted-engine-ha", "/var/lib/hosted-engine-ha")
HOST_YAML = "/etc/hosted-engine-ha/host.yaml"
KEPT = "/root/host.yaml.kept"
LATER, MOUNTED = "/srv/later", "/mnt/engine-storage"
CONNECTION = f"""  path: {MOUNTED}/leases
  connection:
    type: posix
    device: {LATER}
    vfs_type: none
    options: bind
    mount_point: {MOUNTED}
"""


def bystander(lab: LabVerbs) -> str:
    found = lab.status()
    return str(next(name for name in found["hosts"] if name != found["engine"]["host"]))


def main_pid(lab: LabVerbs, host: str, unit: str) -> str:
    return lab.on(host, "systemctl", "show", "--property=MainPID", "--value", unit).strip()


def test_the_shipped_units_run_a_user_without_rights(lab: LabVerbs) -> None:
    for host in lab.status()["hosts"]:
        uid = lab.on(host, "id", "-u", USER).strip()
        for unit, capabilities in zip(DAEMONS, ("2000", "0")):
            assert lab.on(host, "systemctl", "show", "--property=DropInPaths", unit) == (
                "DropInPaths=\n"
            )
            status = lab.on(host, "cat", f"/proc/{main_pid(lab, host, unit)}/status")
            assert re.search(rf"^Uid:\s+{uid}\s+{uid}\s", status, re.MULTILINE)
            for kind in ("CapEff", "CapPrm", "CapAmb", "CapBnd"):
                assert re.search(rf"^{kind}:\s+0*{capabilities}$", status, re.MULTILINE), status
            assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE)


def test_what_ran_as_root_before_is_taken_over_and_the_engine_stays(lab: LabVerbs) -> None:
    """Of an older version: its files are root's, those without a right for others, too."""
    host, before = lab.engine_host(), lab.engine_identity()
    lab.on(host, "systemctl", "stop", *reversed(DAEMONS))
    lab.on(host, "chown", "--recursive", "root:root", *FOLDERS)
    lab.on(host, "systemctl", "start", *DAEMONS)
    lab.wait_settled()
    assert lab.engine_identity() == before
    strangers = lab.on(host, "find", *FOLDERS, "!", "-user", USER)
    assert strangers == ""


def test_the_drop_in_that_is_told_for_plug_ins_works(lab: LabVerbs) -> None:
    host = bystander(lab)
    blocks = re.findall(
        r"^```\n(.*?)^```$", PLUGINS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    (example,) = [block for block in blocks if "disk-health.conf" in block]
    lab.on(host, "mkdir", "-p", DROP_INS)
    lab.on(host, "sh", "-ec", example)
    try:
        groups = lab.on(host, "cat", f"/proc/{main_pid(lab, host, DAEMONS[0])}/status")
        disk = lab.on(host, "getent", "group", "disk").split(":")[2]
        assert disk in re.findall(r"^Groups:(.*)$", groups, re.MULTILINE)[0].split()
        owner = lab.on(host, "stat", "--format=%U", "/var/cache/hosted-engine-ha")
        assert owner.strip() == USER
        assert lab.snapshot(host)["host_name"] == host
    finally:
        lab.on(host, "rm", "-r", DROP_INS)
        lab.on(host, "systemctl", "daemon-reload")
        lab.on(host, "systemctl", "restart", DAEMONS[0])
        lab.wait_settled()


@pytest.fixture
def connected_later(lab: LabVerbs) -> Iterator[str]:
    """A host whose storage is mounted by a unit of ours, from a place that is not there yet."""
    host = bystander(lab)
    lab.on(host, "cp", HOST_YAML, KEPT)
    text = lab.on(host, "cat", HOST_YAML)
    changed = text.replace("  path: /srv/san/leases\n", CONNECTION)
    assert changed != text
    lab.on(host, "systemctl", "stop", "ha-agent", "ha-broker", "ha-lockspace")
    lab.on(host, "sh", "-c", f"cat > {HOST_YAML} <<'END'\n{changed}END\n")
    lab.on(host, "systemctl", "enable", STORAGE)
    lab("shutdown", host)
    lab("power-on", host)
    yield host
    lab.on(host, "systemctl", "stop", "ha-agent", "ha-broker", "ha-lockspace")
    lab.on(host, "cp", KEPT, HOST_YAML)
    lab.on(host, "systemctl", "disable", "--now", STORAGE)
    lab.attempt("on", host, "umount", MOUNTED)
    lab.attempt("on", host, "rm", LATER)
    lab.on(host, "systemctl", "start", *DAEMONS)
    lab.wait_settled()


def lines_with(journal: str, text: str) -> list[int]:
    found = [number for number, line in enumerate(journal.splitlines()) if text in line]
    assert found, f"{text} is not in:\n{journal}"
    return found


def joined(lab: LabVerbs, host: str) -> bool:
    """Behind the lockspace sanlock says where a join is still under way."""
    status = lab.attempt("on", host, "sanlock", "client", "status").stdout
    return (
        re.search(rf"^s hosted-engine:\d+:{MOUNTED}/leases:0 *$", status, re.MULTILINE) is not None
    )


def test_storage_is_connected_at_boot_as_soon_as_it_is_there_and_goes_last(
    lab: LabVerbs, connected_later: str
) -> None:
    host = connected_later
    assert lab.attempt("on", host, "systemctl", "is-active", *DAEMONS).returncode == 0
    assert not joined(lab, host)
    lab.on(host, "ln", "-s", "/srv/san", LATER)
    lab.wait_until("the storage is connected", lambda: joined(lab, host), scaled(60))
    lab("shutdown", host)
    lab("power-on", host)
    lab.wait_until("the host has joined", lambda: joined(lab, host), scaled(60))
    boot = lab.on(host, "journalctl", "--boot", "--no-pager")
    at_boot = [
        lines_with(boot, "Reached target network-online.target")[0],
        lines_with(boot, f"Finished {STORAGE}")[0],
        lines_with(boot, "Starting sanlock.service")[0],
        lines_with(boot, "Starting ha-broker.service")[0],
        lines_with(boot, "Starting ha-agent.service")[0],
    ]
    assert at_boot == sorted(at_boot)
    before = lab.on(host, "journalctl", "--boot=-1", "--no-pager")
    at_shutdown = [
        lines_with(before, text)[-1]
        for text in (
            *("Stopped ha-agent.service", "Stopped ha-broker.service"),
            *("is not in the lockspace any more", "Stopped sanlock.service"),
            *(f"Stopped {STORAGE}", "Unmounting mnt-engine\\x2dstorage.mount"),
        )
    ]
    assert at_shutdown == sorted(at_shutdown)
