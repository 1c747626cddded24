# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Leaving the cluster and coming back, and what administrators do to its storage meanwhile."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.verbs import LabVerbs, is_settled

ANSWERS = "/root/answers.yaml"
INVENTED = 9
PYTHON = ("env", "PYTHONPATH=/usr/share/hosted-engine-ha", "python3")
INVENT = f"""
from ha_broker.api.client import BrokerClient
from world.storage.direct_store import DirectStore
from metadata.layout import slot_address, storage_parts
from metadata.records import EngineStatus, HostRecord
from metadata.wire import encode_host

record = HostRecord({INVENTED}, 1, 0, EngineStatus(), "scrapped", stopped=True)
DirectStore().write(slot_address(storage_parts("/srv/san/leases"), {INVENTED}), encode_host(record))
BrokerClient().reread()
"""
# Beside the cluster's own: the same volume, reached by another path that has to be connected.
BESIDE = "/root/beside.yaml"
# A host's own /dev has no loop devices; the kernel makes the number, the node is made here.
LOOP_DEVICE = """
test -e /dev/loop-control || mknod /dev/loop-control c 10 237
number=$(python3 -c 'import fcntl; print(fcntl.ioctl(open("/dev/loop-control"), 0x4C82))')
test -e /dev/loop$number || mknod /dev/loop$number b 7 $number
losetup --read-only /dev/loop$number /srv/san/leases && echo /dev/loop$number
"""
BESIDE_YAML = """
host_id: {number}
host_name: {name}
storage: {{path: {path}, connection: {connection}}}
"""


@pytest.fixture
def bystander(lab: LabVerbs) -> Iterator[str]:
    """A host without the engine, which is one of the cluster again afterwards."""
    name = [host for host in lab.status()["hosts"] if host != lab.engine_host()][-1]
    yield name
    lab.on(name, "hosted-engine", "--deploy", f"--config-append={ANSWERS}")
    lab.wait_settled()


def shown_hosts(lab: LabVerbs, host: str) -> list[str]:
    found = json.loads(lab.on(host, "hosted-engine", "--vm-status", "--json"))
    return sorted(key for key in found if key.isdigit())


def refused(lab: LabVerbs, host: str, *command: str) -> str:
    done = lab.attempt("on", host, *command)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def test_a_scrapped_host_is_shown_no_more_and_a_living_one_is_left_alone(lab: LabVerbs) -> None:
    before = lab.engine_identity()
    lab.on("h1", *PYTHON, "-c", INVENT)
    lab.wait_for("the record is shown", lambda _: str(INVENTED) in shown_hosts(lab, "h1"), 20)
    lab.on("h1", "hosted-engine", "--clean-metadata", f"--host-id={INVENTED}")
    assert shown_hosts(lab, "h1") == ["1", "2", "3"]
    living = [host[1:] for host in lab.status()["hosts"] if host != before[0]][-1]
    why = refused(lab, "h1", "hosted-engine", "--clean-metadata", f"--host-id={living}")
    assert f"host id {living} lives: sanlock sees it alive" in why
    assert is_settled(lab.status())
    assert lab.engine_identity() == before


def test_a_host_leaves_connects_storage_beside_and_comes_back(
    lab: LabVerbs, bystander: str
) -> None:
    before = lab.engine_identity()
    leave = ("hosted-engine-cleanup", "--yes")
    assert "--set-maintenance --mode=local" in refused(lab, bystander, *leave)
    assert "holds the engine's lease" in refused(lab, before[0], *leave, "--force")
    lab.on(bystander, "hosted-engine", "--set-maintenance", "--mode=local")
    for _ in range(2):
        assert "Done:" in lab.on(bystander, *leave)
    others = sorted({"1", "2", "3"} - {bystander[1:]})
    lab.wait_for("it is gone", lambda _: shown_hosts(lab, before[0]) == others, 20)
    assert lab.attempt("on", bystander, "hosted-engine", "--check-deployed").returncode == 1
    connect_and_disconnect(lab, bystander)
    assert lab.engine_identity() == before


def connect_and_disconnect(lab: LabVerbs, host: str) -> None:
    """A path, and a block device."""
    mount = "{type: posix, device: /srv/san, vfs_type: none, options: bind, mount_point: /srv/new}"
    write_settings(lab, host, "/srv/new/leases", mount)
    assert "[ ok ] connected: /srv/san at /srv/new" in storage(lab, host, "connect")
    assert "connected already" in storage(lab, host, "connect")
    assert "[ ok ] disconnected" in storage(lab, host, "disconnect")
    assert "not connected" in storage(lab, host, "disconnect")
    with loop_device(lab, host) as device:
        write_settings(lab, host, device, f"{{type: fc, device: {device}}}")
        assert f"connected already: {device}" in storage(lab, host, "connect")
        volume = ("--metadata", f"{device}:2M", "--timeout=0")
        assert '"hostname": "h1"' in lab.on(host, "hosted-engine", "--vm-status", "--json", *volume)
        assert "[skip]" in storage(lab, host, "disconnect")
    lab.on(host, "rm", BESIDE)


@contextmanager
def loop_device(lab: LabVerbs, host: str) -> Iterator[str]:
    """The cluster's volume as a block device of that host."""
    device = lab.on(host, "sh", "-c", LOOP_DEVICE).strip()
    try:
        yield device
    finally:
        lab.on(host, "losetup", "--detach", device)


def write_settings(lab: LabVerbs, host: str, path: str, connection: str) -> None:
    text = BESIDE_YAML.format(number=host[1:], name=host, path=path, connection=connection)
    lab.on(host, "sh", "-c", f"cat > {BESIDE} <<'EOF'\n{text}EOF")


def storage(lab: LabVerbs, host: str, verb: str) -> str:
    return lab.on(host, "env", f"HE_SETTINGS={BESIDE}", "hosted-engine", f"--{verb}-storage")
