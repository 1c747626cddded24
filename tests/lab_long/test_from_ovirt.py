# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The run book of docs/from-ovirt.md on real hosts, beside volumes in oVirt's own format.

The hosts leave our cluster first and are oVirt's then: its metadata and lockspace lie on the SAN, a
host is in its lockspace, and libvirt runs the engine with the lease of its storage domain. What
oVirt's agents do is not played; where a step names their services there are none.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_from_ovirt import record_of
from tests.lab.verbs import LabVerbs, scaled
from tests.unit.test_metadata_former_writers import TEXTS, padded_by_bytes

MIB = 1 << 20
SAN = Path(os.environ.get("HE_LAB_STATE") or "/var/lib/hosted-engine-lab") / "run" / "san"
VOLUMES = ("ovirt-metadata", "ovirt-lockspace", "ovirt-domain")
SPACE = "hosted-engine:{host_id}:/srv/ovirt-lockspace/volume:0"
DOMAIN_SPACE = "domain:1:/srv/ovirt-domain/volume:0"
LEASE = """<lease><lockspace>domain</lockspace><key>engine-disk</key>
<target path='/srv/ovirt-domain/volume' offset='1048576'/></lease>"""
CONF = """fqdn=engine
host_id=1
bridge=ovirtmgmt
gateway=198.51.100.1
network_test=ping
storage=filer.example.org:/export/he
domainType=nfs
vm_disk_id=6c4b4fe0-c1f8-4f76-b9f8-757c15d8d046
vm_disk_vol_id=71d3095b-2eae-489d-9836-7522309b0003
sdUUID=ffc2409e-680b-4d4a-be0b-9c2b381887cc
"""
# What is the lab's own, as an administrator adds what only he knows.
MORE = r"""
import yaml
data = yaml.safe_load(open("/root/from-ovirt-answers.yaml"))
data.setdefault("host", {})["metrics"] = {"listen": "0.0.0.0:9177"}
data["storage"] = {"path": "/srv/san/leases"}
data["sanlock"] = {"io_timeout_s": 2}
data["migration"] = {"uri": "qemu+tcp://{address}/system"}
data["score"] = {"cpu_load": 0}
open("/root/from-ovirt-answers.yaml", "w").write(yaml.safe_dump(data))
"""
IMPORT = (
    *("hosted-engine", "--import-ovirt", "--storage-path=/srv/san/leases"),
    *("--domain-xml=/root/engine-now.xml", "--hosted-engine-conf=/root/hosted-engine.conf"),
    *("--write-answers=/root/from-ovirt-answers.yaml", "--write-xml=/root/from-ovirt.xml"),
)
DEPLOY = ("hosted-engine", "--deploy", "--config-append=/root/from-ovirt-answers.yaml")


def put(lab: LabVerbs, host: str, path: str, text: str) -> None:
    lab.on(host, "sh", "-c", f"cat > {path} <<'END'\n{text}\nEND\n")


def leave_ours(lab: LabVerbs) -> None:
    """No engine, no cluster and no trace of one on the volume any more."""
    hosts = list(lab.status()["hosts"])
    where = lab.engine_host()
    lab.on(where, "hosted-engine", "--set-maintenance", "--mode=global", "--wait")
    lab.on(where, "hosted-engine", "--vm-shutdown", "--wait")
    for host in hosts:
        lab.on(host, "hosted-engine", "--set-maintenance", "--mode=local")
        lab.on(host, "hosted-engine-cleanup", "-q")
    blank = ("dd", "if=/dev/zero", "of=/srv/san/leases", "bs=1M", "count=32", "conv=notrunc,fsync")
    lab.on(hosts[0], *blank)


def make_ovirts_volumes(lab: LabVerbs, *hosts: str) -> None:
    for name in VOLUMES:
        (SAN / name).write_bytes(bytes(16 * MIB))
    with (SAN / VOLUMES[0]).open("r+b") as file:
        file.write(b"maintenance=True\n")
        for host_id in (1, 2):
            file.seek(4096 * host_id)
            file.write(padded_by_bytes(record_of(host_id), TEXTS[12]))
    for host in hosts:
        group = lab.on(host, "getent", "group", "sanlock").split(":")[2]
        for name in VOLUMES:
            lab.on(host, "mkdir", "-p", f"/srv/{name}")
            lab.on(
                host,
                *("systemd-run", f"--unit={name}", "nbdfuse", "-o", "allow_other"),
                *("-o", f"gid={group}", "-o", "umask=007"),
                *(f"/srv/{name}/volume", f"nbd+unix:///{name}?socket=/srv/fabric/san.sock"),
            )
            seen = ("test", "-s", f"/srv/{name}/volume")
            lab.wait_until(
                name,
                lambda seen=seen, host=host: lab.attempt("on", host, *seen).returncode == 0,  # type: ignore[misc]
                scaled(20),
            )


def join_ovirts(lab: LabVerbs, first: str, second: str) -> None:
    """Two of its hosts in its lockspace, and the engine on the first one, with its disk's lease."""
    lab.on(first, "sanlock", "direct", "init", "-s", SPACE.format(host_id=0))
    lab.on(first, "sanlock", "direct", "init", "-s", DOMAIN_SPACE.replace(":1:", ":0:"))
    resource = "domain:engine-disk:/srv/ovirt-domain/volume:1048576"
    lab.on(first, "sanlock", "direct", "init", "-r", resource)
    for host, space in (
        *((first, SPACE.format(host_id=1)), (second, SPACE.format(host_id=2))),
        (first, DOMAIN_SPACE),
    ):
        lab.on(host, "sanlock", "client", "add_lockspace", "-s", space, "-o", "2")
    xml = lab.on(first, "cat", "/root/engine.xml")
    put(lab, first, "/root/ovirt.xml", re.sub(r"<lease>.*?</lease>", LEASE, xml, flags=re.DOTALL))
    lab.on(first, "virsh", "-q", "create", "/root/ovirt.xml")


@pytest.fixture
def ovirts(lab: LabVerbs) -> Iterator[tuple[str, str, str]]:
    """Its first host, with the engine, another one, and one that is nobody's."""
    first, second, third = sorted(lab.status()["hosts"])
    if lab.engine_host() != first:
        lab.on(lab.engine_host(), "hosted-engine", "--vm-migrate", f"--to={first}", "--wait")
    leave_ours(lab)
    make_ovirts_volumes(lab, first, second)
    join_ovirts(lab, first, second)
    yield first, second, third
    for host in (first, second):
        lab.attempt("on", host, "systemctl", "stop", *(f"{name}.service" for name in VOLUMES))
    for name in VOLUMES:
        (SAN / name).unlink()
    lab.wait_settled()


def runs_engine(lab: LabVerbs, host: str) -> bool:
    return "HostedEngine" in lab.on(host, "virsh", "-r", "list", "--name")


def test_the_run_book_on_real_hosts(lab: LabVerbs, ovirts: tuple[str, str, str]) -> None:
    first, second, third = ovirts
    lab.wait_healthy(120)
    its_engine = lab.engine_identity()

    # Steps 1 and 2, while all goes on.
    put(lab, first, "/root/engine-now.xml", lab.on(first, "virsh", "-r", "dumpxml", "HostedEngine"))
    put(lab, first, "/root/hosted-engine.conf", CONF)
    told = lab.on(first, *IMPORT, "--check")
    assert "[changed]" in told and "[dropped]" in told
    lab.on(first, *IMPORT, "--force")
    put(lab, first, "/root/more.py", MORE)
    lab.on(first, "/usr/bin/python3", "/root/more.py")

    # Too early: refused, with --force too, on the blank volume and on oVirt's.
    for options in ((), ("--force",)):
        early = lab.attempt("on", first, *DEPLOY, *options)
        assert early.returncode == 1, early.stdout + early.stderr
    assert lab.engine_identity() == its_engine
    records = (SAN / VOLUMES[0]).read_bytes()

    # Steps 3 to 5: shut down from inside, seen to be down, no lockspace of that name any more.
    lab("engine", "shutdown")
    lab.wait_until("oVirt's engine is down", lambda: not runs_engine(lab, first), scaled(60))
    for host in (first, second, third):
        assert not runs_engine(lab, host)
    for host, host_id in ((first, 1), (second, 2)):
        space = SPACE.format(host_id=host_id)
        assert space in lab.on(host, "sanlock", "client", "status")
        lab.on(host, "sanlock", "client", "rem_lockspace", "-s", space)
        assert "s hosted-engine:" not in lab.on(host, "sanlock", "client", "status")

    # Steps 6 and 7.
    lab.on(first, *DEPLOY, "--check")
    lab.on(first, *DEPLOY)
    lab.wait_healthy(120, "--on", first)
    answers = lab.on(first, "cat", "/etc/hosted-engine-ha/answers.yaml")
    for host in (second, third):
        put(lab, host, "/root/from-ovirt-answers.yaml", answers)
        lab.on(host, *DEPLOY)
    lab.wait_settled()
    assert lab.engine_host() == first
    # The way back is open, and two engines have never run (the fixture `lab` asks the report).
    assert (SAN / VOLUMES[0]).read_bytes() == records
