# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``--import-ovirt``: oVirt's files become answers and a domain XML, or a clear refusal."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from hosted_engine.deploy.answers import storage_parts
from hosted_engine.deploy.check_input import read_engine
from hosted_engine.errors import CommandError, UsageError
from hosted_engine.from_ovirt import command
from hosted_engine.from_ovirt.built_domain import built_domain
from hosted_engine.from_ovirt.command import ImportRequest, import_ovirt
from hosted_engine.from_ovirt.hosted_engine_conf import ImportPlaces, answers_of
from hosted_engine.from_ovirt.items import Fate
from hosted_engine.from_ovirt.vm_conf import read_vm_conf
from hosted_engine.main import main
from metadata.domain_needs import foreign_marks, host_needs
from metadata.domain_xml import lease_problems, memory_need, parse_domain
from metadata.layout import storage_parts as usual_parts
from tests.unit.older_samples import (
    AGENT_CONF,
    ANSWERS,
    BROKER_CONF,
    DOMAIN_XML,
    HOSTED_ENGINE_CONF,
    VM_CONF,
)
from tests.unit.test_command_deploy import read_answers
from world.plain_yaml import parse_yaml

DOMAIN, IMAGE, VOLUME = (
    "ffc2409e-680b-4d4a-be0b-9c2b381887cc",
    "6c4b4fe0-c1f8-4f76-b9f8-757c15d8d046",
    "71d3095b-2eae-489d-9836-7522309b0003",
)
PARTS = usual_parts("/srv/engine/leases")
XML = DOMAIN_XML.replace("ffc2409e/6c4b4fe0/71d3095b", f"{DOMAIN}/{IMAGE}/{VOLUME}")
CONF_VALUES = {"domainType": "nfs", "storage": "filer:/he"}
DEVICES = """\
vmId=3c1b8f6e-7a47-4f8e-a6c5-0f4b2f1d9a77
memSize=16384
display=vnc
devices={index:2,iface:ide,address:{ controller:0, target:0,unit:0, bus:1, type:drive},\
specParams:{},readonly:true,deviceId:8c3179ac-b322-4f5c-9449-c52e3665e0ae,path:,device:cdrom,shared:false,type:disk}
devices={index:0,iface:virtio,format:raw,poolID:00000000-0000-0000-0000-000000000000,\
volumeID:71d3095b-2eae-489d-9836-7522309b0003,imageID:6c4b4fe0-c1f8-4f76-b9f8-757c15d8d046,\
specParams:{},readonly:false,domainID:ffc2409e-680b-4d4a-be0b-9c2b381887cc,optional:false,\
deviceId:6c4b4fe0-c1f8-4f76-b9f8-757c15d8d046,address:{bus:0x00, slot:0x06, domain:0x0000, \
type:pci, function:0x0},device:disk,shared:exclusive,propagateErrors:off,type:disk,bootOrder:1}
devices={device:scsi,model:virtio-scsi,type:controller}
devices={nicModel:pv,macAddr:00:16:3e:6a:7a:f9,linkActive:true,network:ovirtmgmt,specParams:{},\
deviceId:0f1f2a3b-1111-4222-8333-944455566677,address:{bus:0x00, slot:0x03, domain:0x0000, \
type:pci, function:0x0},device:bridge,type:interface}
devices={device:console,specParams:{},type:console,deviceId:x,alias:console0}
devices={device:vga,alias:video0,type:video}
devices={device:vnc,type:graphics}
vmName=HostedEngine
smp=4
maxVCpus=16
cpuType=Haswell-noTSX
emulatedMachine=pc-i440fx-rhel7.3.0
devices={device:virtio,specParams:{source:urandom},model:virtio,type:rng}
"""


def with_xml(xml: str) -> str:
    return f"vmId=x\nmemSize=1\nxmlBase64={base64.b64encode(xml.encode()).decode()}\n"


class Host:
    """oVirt's files in a folder, and what was said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.put("he.conf", HOSTED_ENGINE_CONF)
        self.put("broker.conf", BROKER_CONF)
        self.put("vm.conf", with_xml(XML))
        self.answers, self.xml = folder / "answers.yaml", folder / "engine.xml"

    def put(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text)
        return str(self.folder / name)

    def run(self, **changes: Any) -> list[str]:
        given = {
            "storage_path": "/srv/engine/leases",
            "hosted_engine_conf": str(self.folder / "he.conf"),
            "broker_conf": str(self.folder / "broker.conf"),
            "vm_conf": str(self.folder / "vm.conf"),
            "answers_file": str(self.answers),
            "xml_file": str(self.xml),
        }
        assert import_ovirt(ImportRequest(**{**given, **changes}), self.said.append) == 0
        return self.said

    def refused(self, **changes: Any) -> str:
        before = self.names()
        with pytest.raises(CommandError) as caught:
            self.run(**changes)
        assert self.names() == before
        assert "changeme" not in caught.value.message
        return caught.value.message

    def names(self) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in self.folder.iterdir() if file.is_file()}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Files are read by this process: a new interpreter for each would take long."""
    for module in ("host.given_file", "from_ovirt.command", "deploy.check_input"):
        name = f"hosted_engine.{module}.within_deadline_anew"
        monkeypatch.setattr(name, lambda job, _whom, _deadline_s: job())
    return Host(tmp_path)


# --- the whole --------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["vm.conf", "running", "devices"])
def test_deploy_takes_what_was_made(host: Host, source: str) -> None:
    changes: dict[str, Any] = {"mount_point": "/srv/engine"}
    if source == "running":
        changes |= {"domain_xml": host.put("now.xml", XML), "vm_conf": None}
    if source == "devices":
        host.put("vm.conf", DEVICES)
    said = host.run(**changes)
    answers = read_answers(str(host.answers))
    parts = storage_parts(answers, 512)
    assert parts == PARTS
    engine = read_engine(answers, parts)
    assert engine.domain_name == "HostedEngine"
    assert foreign_marks(engine.domain_xml) == []
    needs = {need.name for need in host_needs(engine.domain_xml)} - {"/dev/urandom"}
    assert needs == {f"/srv/engine/{DOMAIN}/images/{IMAGE}/{VOLUME}", "ovirtmgmt"}
    assert memory_need(engine.domain_xml).size_bytes == 16 << 30
    assert not any(line.startswith("[to do]") for line in said)
    assert parse_yaml(host.answers.read_text())["storage"]["connection"] == {
        "type": "nfs",
        "server": "filer.example.org",
        "export": "/export/he",
        "mount_point": "/srv/engine",
    }


def test_each_thing_that_was_read_is_told(host: Host) -> None:
    text = "\n".join(host.run())
    keys = re.findall(r"^(\w+)=.", HOSTED_ENGINE_CONF, re.MULTILINE)
    assert len(keys) > 20
    assert [key for key in keys if not re.search(rf"\b{key}\b", text)] == []
    lines = [line for line in BROKER_CONF.splitlines() if "=" in line]
    assert [line for line in lines if line not in text] == []
    for part in ("<lease> 71d3095b", "<emulator>", "vdsm-no-mac-spoofing", "tlsPort", "<metadata>"):
        assert part in text
    fates = {line.partition("]")[0][1:] for line in host.said if line.startswith("[")}
    assert fates == {fate.value for fate in Fate}
    assert "[to do] disk vda /var/run/vdsm/storage/" in text  # nothing says where it will be


def test_check_tells_the_same_and_writes_nothing(host: Host) -> None:
    before = host.names()
    told = list(host.run(check=True))
    assert host.names() == before
    assert told[-1] == "--check: nothing was written."
    host.said.clear()
    assert host.run()[: len(told) - 1] == told[:-1]


def test_files_are_root_s_and_the_name_of_the_xml_is_whole(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(host.folder)
    host.run(answers_file="a.yaml", xml_file="e.xml")
    for name in ("a.yaml", "e.xml"):
        assert (host.folder / name).stat().st_mode & 0o777 == 0o600
    data = parse_yaml((host.folder / "a.yaml").read_text())
    assert data["engine"]["domain_xml_file"] == str(host.folder / "e.xml")


# --- never over a file ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["answers.yaml", "engine.xml"])
def test_a_file_that_is_there_stays_unless_forced(host: Host, name: str) -> None:
    host.put(name, "mine")
    told = host.refused()
    assert f"{name} is there already" in told and "--force" in told
    host.run(force=True)
    assert (host.folder / name).read_text() != "mine"


def test_a_link_that_leads_nowhere_is_a_file_that_is_there(host: Host) -> None:
    host.xml.symlink_to(host.folder / "elsewhere")
    assert "is there already" in host.refused()


def test_a_file_that_comes_meanwhile_stays(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    real = command.make

    def slow(request: ImportRequest) -> command.Made:
        host.put("answers.yaml", "of somebody else")
        return real(request)

    monkeypatch.setattr(command, "make", slow)
    with pytest.raises(CommandError, match=r"answers.yaml is there already.*engine.xml is written"):
        host.run()
    assert host.answers.read_text() == "of somebody else"


def test_places_that_can_not_be_written(host: Host) -> None:
    assert "there is no folder" in host.refused(xml_file=str(host.folder / "no" / "x.xml"))
    assert "it is a folder" in host.refused(answers_file=str(host.folder), force=True)
    with pytest.raises(UsageError, match="one file"):
        host.run(answers_file=str(host.xml))


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("he.conf", BROKER_CONF, "this is oVirt's broker.conf, must be oVirt's hosted-engine.conf"),
        ("he.conf", ANSWERS, "this is an answers file of oVirt's own set-up"),
        ("he.conf", "", "no line of the form name=value"),
        ("he.conf", "storage: /x\n", "no line of the form name=value"),
        ("he.conf", "domainType=nfs\nhost_id=0\n", "host_id='0' is refused; allowed: 1 to 2000"),
        ("he.conf", "domainType=nfs\nhost_id=2001\n", "host_id='2001' is refused"),
        ("he.conf", "domainType=nfs\nhost_id=1_0\n", "host_id='1_0' is refused"),
        ("he.conf", "host_id=1\nnetwork_test=icmp\n", "allowed: ping, dns, tcp, none"),
        ("he.conf", "gateway=192.0.2.1 and more\n", "gateway"),
        ("he.conf", "fqdn=one two\n", "engine.fqdn"),
        ("he.conf", "network_test=tcp\n", "network.target"),
        ("broker.conf", HOSTED_ENGINE_CONF, "this is oVirt's hosted-engine.conf, must be"),
        ("broker.conf", AGENT_CONF, "this is oVirt's agent.conf"),
        ("broker.conf", BROKER_CONF.replace("=25", "=x"), "smtp-port='x' is refused"),
        ("broker.conf", BROKER_CONF.replace("=25", "=70000"), "notifications.smtp.port"),
        ("vm.conf", BROKER_CONF, "this is oVirt's broker.conf, must be oVirt's vm.conf"),
        ("vm.conf", "vmId=x\nvmName=y\nxmlBase64=%%%\n", "xmlBase64 can't be read"),
        ("vm.conf", "vmId=x\nvmName=y\nxmlBase64=/w==\n", "xmlBase64 can't be read"),
        ("vm.conf", with_xml("<domain/>"), "exactly one <name>"),
        ("vm.conf", with_xml("<domain><name>x</name></domain>"), "exactly one <devices>"),
        ("vm.conf", with_xml("<!DOCTYPE x><domain/>"), "document type"),
        ("vm.conf", VM_CONF, "vm.conf has no disk"),
        ("vm.conf", "memSize=1\nvmName=x\ndevices={a\n", "devices='{a' is refused"),
        ("vm.conf", "memSize=1\nvmName=x\ndevices={a:{b}\n", "braces do not match"),
        ("vm.conf", "memSize=1\nvmName=x\ndevices={a:b,a:c}\n", "is no name:value"),
    ],
)
def test_a_file_that_can_not_be_used(host: Host, name: str, text: str, told: str) -> None:
    host.put(name, text)
    assert told in host.refused()


def test_files_that_are_not_there(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("hosted_engine_conf", "broker_conf", "vm_conf", "domain_xml"):
        told = host.refused(**{key: "/nowhere/x"})
        assert "/nowhere/x: can't be read: No such file or directory" in told
    monkeypatch.setattr(command, "USUAL_BROKER_CONF", "/nowhere/broker.conf")
    monkeypatch.setattr(command, "USUAL_VM_CONF", "/nowhere/vm.conf")
    assert "there is no /nowhere/vm.conf; the running domain's XML" in host.refused(vm_conf=None)
    assert "there is no /nowhere/broker.conf" in "\n".join(host.run(broker_conf=None))
    assert "notifications" not in parse_yaml(host.answers.read_text())


def test_no_file_but_a_fifo_or_one_without_end(host: Host) -> None:
    os.mkfifo(host.folder / "fifo")
    assert "a FIFO" in host.refused(domain_xml=str(host.folder / "fifo"))
    assert "a device is refused" in host.refused(domain_xml="/dev/zero")
    large = host.put("large", "x" * (command.MOST_BYTES + 1))
    assert "bytes are refused" in host.refused(hosted_engine_conf=large)


def test_vm_conf_given_as_the_domain_xml(host: Host) -> None:
    told = host.refused(domain_xml=str(host.folder / "vm.conf"))
    assert "this is oVirt's vm.conf, no domain XML; the running domain's XML is needed" in told


def test_the_storage_s_path_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--import-ovirt"]) == 2
    assert "--import-ovirt needs --storage-path=PATH" in capsys.readouterr().err


def test_a_mount_point_that_is_not_above_the_storage(host: Host) -> None:
    assert "mount_point" in host.refused(mount_point="/mnt")


# --- hosted-engine.conf -----------------------------------------------------------------------


def made(values: dict[str, str], path: str = "/m/l", point: Optional[str] = "/m") -> Any:
    data, items = answers_of(values, ImportPlaces(path, point, "/x"))
    return data, {item.what: item for item in items}


@pytest.mark.parametrize(
    ("values", "connection"),
    [
        ({}, {"type": "nfs", "server": "filer", "export": "/he"}),
        ({"nfs_version": "v4_1"}, {"options": "vers=4.1"}),
        ({"nfs_version": "auto", "mnt_options": "soft"}, {"options": "soft"}),
        ({"domainType": "nfs3", "mnt_options": "soft"}, {"type": "nfs", "options": "vers=3,soft"}),
        ({"domainType": "nfs4", "nfs_version": "v4"}, {"type": "nfs4"}),
        ({"storage": "[2001:db8::1]:/a/b"}, {"server": "[2001:db8::1]", "export": "/a/b"}),
        (
            {"domainType": "glusterfs", "storage": "g1:/engine", "mnt_options": "x=g2:g3"},
            {"type": "glusterfs", "server": "g1", "volume": "engine", "options": "x=g2:g3"},
        ),
        ({"domainType": "glusterfs", "storage": "g1:engine"}, {"volume": "engine"}),
    ],
)
def test_storage_that_is_mounted(values: dict[str, str], connection: dict[str, str]) -> None:
    data, _ = made({**CONF_VALUES, **values})
    found = data["storage"]["connection"]
    assert found["mount_point"] == "/m"
    assert {**found, **connection} == found


@pytest.mark.parametrize(
    ("values", "allowed"),
    [
        ({"storage": "filer"}, "SERVER:/EXPORT"),
        ({"storage": ""}, "SERVER:/EXPORT"),
        ({"storage": "filer:he"}, "SERVER:/EXPORT"),
        ({"domainType": "glusterfs", "storage": "g1:/"}, "SERVER:/VOLUME"),
        ({"nfs_version": "5"}, "auto, v3, v4, v4_0, v4_1, v4_2"),
        ({"domainType": "iscsi"}, "nfs, nfs3, nfs4, glusterfs"),
        ({"domainType": ""}, "nfs, nfs3, nfs4, glusterfs"),
    ],
)
def test_storage_that_can_not_be_mounted(values: dict[str, str], allowed: str) -> None:
    with pytest.raises(CommandError) as caught:
        made({**CONF_VALUES, **values})
    assert "is refused" in caught.value.message and allowed in caught.value.message


ISCSI = {
    "domainType": "iscsi",
    "storage": "192.0.2.7,2001:db8::7",
    "port": "3260,3261",
    "portal": "1",
    "iqn": "iqn.2020-01.org.example:engine",
    "user": "he",
    "password": "changeme",
}


def test_iscsi_with_its_portals_and_without_its_password() -> None:
    data, items = made(ISCSI, "/dev/mapper/leases", None)
    assert data["storage"]["connection"] == {
        "type": "iscsi",
        "target": "iqn.2020-01.org.example:engine",
        "portal": ["192.0.2.7:3260", "[2001:db8::7]:3261"],
        "user": "he",
        "password_file": "/etc/hosted-engine-ha/iscsi.password",
    }
    assert items["password"].fate is Fate.TO_DO
    assert "changeme" not in repr((data, items))


@pytest.mark.parametrize(
    ("values", "path", "fate"),
    [
        ({"iqn": "iqn.a:x,iqn.a:y"}, "/dev/mapper/leases", Fate.TO_DO),
        ({}, "/srv/leases", Fate.DROPPED),
    ],
)
def test_iscsi_that_is_not_connected_by_us(values: dict[str, str], path: str, fate: Fate) -> None:
    data, items = made({**ISCSI, **values}, path, None)
    assert "connection" not in data["storage"]
    assert fate in [item.fate for what, item in items.items() if "iqn" in what]
    assert "changeme" not in repr((data, items))


def test_tcp_and_what_belongs_to_it() -> None:
    values = {"network_test": "tcp", "tcp_t_address": "2001:db8::1", "tcp_t_port": "443"}
    assert made({**CONF_VALUES, **values})[0]["network"]["target"] == "[2001:db8::1]:443"
    data, items = made({**CONF_VALUES, **values, "network_test": "none"})
    assert data["network"] == {"test": "none"}
    assert items["tcp_t_port=443"].fate is Fate.DROPPED


def test_a_key_that_nobody_knows_and_one_that_stands_twice(host: Host) -> None:
    host.put("he.conf", HOSTED_ENGINE_CONF + "# host_id=9\nhost_id=7\nlater_key=1\n")
    assert "[dropped] later_key: nothing here knows this key" in host.run()
    assert parse_yaml(host.answers.read_text())["host"]["host_id"] == 7  # as there, the last


def test_a_pattern_that_no_rule_can_have(host: Host) -> None:
    host.put("broker.conf", BROKER_CONF.replace("maintenance|start", "(maintenance|start).*"))
    assert any("notifications.rules is all" in line for line in host.run())
    assert read_answers(str(host.answers)).cluster["notifications"]["rules"] == ["all"]


def test_a_broker_that_told_nobody(host: Host) -> None:
    host.put("broker.conf", BROKER_CONF.partition("[notify]")[0])
    assert any("nobody was told" in line for line in host.run())
    assert "notifications" not in parse_yaml(host.answers.read_text())


# --- the domain -------------------------------------------------------------------------------


def engine(host: Host, xml: str, **changes: Any) -> Any:
    host.run(domain_xml=host.put("now.xml", xml), force=True, **changes)
    text = host.xml.read_text()
    assert lease_problems(text, usual_parts(changes.get("storage_path", PARTS.lease.path))) == []
    return parse_domain(text)


def block_conf(kind: str) -> str:
    lines = HOSTED_ENGINE_CONF.replace("domainType=nfs", f"domainType={kind}")
    return lines + "storage=192.0.2.7\nport=3260\nportal=1\niqn=iqn.2020-01.org.example:he\n"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (f"/var/run/vdsm/storage/{DOMAIN}/{IMAGE}/{VOLUME}", True),
        (f"/run/vdsm/storage/{DOMAIN}/{IMAGE}/{VOLUME}", True),
        (f"/rhev/data-center/mnt/filer:_he/{DOMAIN}/images/{IMAGE}/{VOLUME}", True),
        (f"/rhev/data-center/mnt/glusterSD/g1:_he/{DOMAIN}/images/{IMAGE}/{VOLUME}", True),
        (f"/rhev/data-center/{IMAGE}/{DOMAIN}/images/{IMAGE}/{VOLUME}", True),
        (f"/rhev/data-center/mnt/filer:_other/{IMAGE}/images/{IMAGE}/{VOLUME}", False),
        (f"/run/vdsm/storage/{DOMAIN}/../{VOLUME}", False),
        ("/run/vdsm/storage/x", False),
        ("/srv/own/disk", None),
    ],
)
def test_where_the_disk_is_without_vdsm(host: Host, path: str, found: Optional[bool]) -> None:
    xml = XML.replace(f"/var/run/vdsm/storage/{DOMAIN}/{IMAGE}/{VOLUME}", path)
    root = engine(host, xml, mount_point="/srv/engine")
    new = f"/srv/engine/{DOMAIN}/images/{IMAGE}/{VOLUME}" if found else path
    assert root.find("devices/disk[@device='disk']/source").get("file") == new
    told = [line for line in host.said if line.startswith("[to do] disk vda")]
    assert bool(told) is (found is False)


@pytest.mark.parametrize("kind", ["iscsi", "fc"])
def test_a_disk_in_a_volume_group(host: Host, kind: str) -> None:
    host.put("he.conf", block_conf(kind))
    xml = XML.replace("source file='/var", "source dev='/var")
    root = engine(host, xml, storage_path="/dev/mapper/leases")
    assert root.find("devices/disk[@device='disk']/source").get("dev") == f"/dev/{DOMAIN}/{VOLUME}"
    assert any(f"lvchange -ay {DOMAIN}/{VOLUME}" in line for line in host.said)


def test_what_the_guest_sees_stays(host: Host) -> None:
    before, root = parse_domain(XML), engine(host, XML)
    for path in ("uuid", "memory", "maxMemory", "vcpu", "os/type", "cpu/model"):
        assert root.findtext(path) == before.findtext(path) is not None
    for path in ("os/type", "vcpu", "devices/interface/mac", "devices/disk/target"):
        found = [one.attrib for one in root.findall(path)]
        assert found == [one.attrib for one in before.findall(path)]


def test_what_vdsm_would_have_filled_in_and_what_was_of_one_run(host: Host) -> None:
    xml = (
        XML.replace("<domain ", "<domain id='7' ")
        .replace(">RHEL<", ">OS-NAME:<")
        .replace("<devices>", "<seclabel type='dynamic' model='selinux'/><devices>")
    )
    root = engine(host, xml)
    assert root.get("id") is None and root.find("seclabel") is None
    names = [entry.get("name") for entry in root.findall("sysinfo/system/entry")]
    assert names == ["manufacturer"]


@pytest.mark.parametrize(
    "listen",
    [
        "<listen type='network' network='vdsm-ovirtmgmt'/>",
        "<listen type='network' address='192.0.2.9' network='vdsm-ovirtmgmt'/>",
        "<listen type='address' address='192.0.2.9'/>",
        "<listen type='address' address='0.0.0.0'/>",
    ],
)
def test_a_display_without_password_is_the_host_s_own(host: Host, listen: str) -> None:
    xml = XML.replace("<listen type='network' network='vdsm-ovirtmgmt'/>", listen)
    (found,) = engine(host, xml).findall("devices/graphics/listen")
    assert found.attrib == {"type": "address", "address": "127.0.0.1"}


def test_a_lease_of_ours_from_elsewhere_and_several_of_oVirt(host: Host) -> None:  # noqa: N802
    ours = (
        "<lease><lockspace>hosted-engine</lockspace><key>engine</key>"
        "<target path='/old' offset='0'/></lease>"
    )
    again = XML[XML.index("<lease>") : XML.index("</lease>")] + "</lease>"
    root = engine(host, XML.replace("<lease>", f"{ours}{again}<lease>", 1))
    assert len(root.findall("devices/lease")) == 1


def test_commands_for_qemu_are_still_qemu_s(host: Host) -> None:
    line = "<qemu:commandline><qemu:arg value='-x'/></qemu:commandline></domain>"
    engine(host, XML.replace("</domain>", line))
    assert "<qemu:commandline>" in host.xml.read_text()


# --- vm.conf without XML ----------------------------------------------------------------------


def test_devices_become_what_vdsm_made_of_them() -> None:
    root = parse_domain(built_domain(read_vm_conf(DEVICES)))
    assert root.findtext("uuid") == "3c1b8f6e-7a47-4f8e-a6c5-0f4b2f1d9a77"
    vcpu = root.find("vcpu")
    assert vcpu is not None and (vcpu.text, vcpu.get("current")) == ("16", "4")
    machine = root.find("os/type")
    assert machine is not None and machine.get("machine") == "pc-i440fx-rhel7.3.0"
    (disk,) = root.findall("devices/disk")
    source, address = disk.find("source"), disk.find("address")
    assert source is not None and address is not None
    assert source.get("file") == f"/var/run/vdsm/storage/{DOMAIN}/{IMAGE}/{VOLUME}"
    assert (address.get("type"), address.get("slot")) == ("pci", "0x06")
    (card,) = root.findall("devices/interface")
    assert [one.attrib for one in card][:3] == [
        {"address": "00:16:3e:6a:7a:f9"},
        {"bridge": "ovirtmgmt"},
        {"type": "virtio"},
    ]


def without(line: str) -> Callable[[str], str]:
    return lambda text: re.sub(rf"(?m)^{line}.*\n", "", text)


@pytest.mark.parametrize(
    "change",
    [
        without("emulatedMachine"),
        without("vmName"),
        without("vmId"),
        lambda text: text.replace("pc-i440fx-rhel7.3.0", "pseries-rhel7"),
        lambda text: text.replace("iface:virtio,format", "iface:ide,format"),
        lambda text: text.replace("format:raw", "format:vmdk"),
        lambda text: text.replace("nicModel:pv", "nicModel:rtl8139_pv"),
        lambda text: text.replace("imageID:6c4b4fe0-c1f8-4f76-b9f8-757c15d8d046,", ""),
        lambda text: text.replace("type:video", "type:hostdev"),
        lambda text: text.replace("device:vga", "device:bochs"),
        lambda text: text.replace("type:pci, function", "type:ccw, function"),
        lambda text: text.replace("slot:0x06", "slot:six"),
        lambda text: text.replace("source:urandom", "source:hwrng"),
        lambda text: text.replace("path:,", "path:/iso/x.iso,"),
        lambda text: text.replace("cpuType=Haswell-noTSX", "cpuType=Haswell,+pcid"),
        lambda text: re.sub(r"(?m)^devices=\{index:0.*\n", "", text),
    ],
)
def test_what_is_not_certain_asks_for_the_running_domain(change: Callable[[str], str]) -> None:
    text = change(DEVICES)
    assert text != DEVICES
    with pytest.raises(CommandError, match=r"virsh -r dumpxml HostedEngine"):
        built_domain(read_vm_conf(text))


@pytest.mark.parametrize("value", ["", "0", "-4", "4.5", "many", "9" * 12])
@pytest.mark.parametrize("key", ["memSize", "smp"])
def test_numbers_that_are_none(key: str, value: str) -> None:
    text = re.sub(rf"(?m)^{key}=.*$", f"{key}={value}", DEVICES)
    with pytest.raises(CommandError, match=f"{key}=.* is refused; allowed: a whole number"):
        built_domain(read_vm_conf(text))


# --- as a command -----------------------------------------------------------------------------


def test_the_command_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = Host(tmp_path)
    words = [
        f"--hosted-engine-conf={tmp_path / 'he.conf'}",
        f"--broker-conf={tmp_path / 'broker.conf'}",
        f"--vm-conf={tmp_path / 'vm.conf'}",
        f"--write-answers={files.answers}",
        f"--write-xml={files.xml}",
        "--storage-path=/srv/engine/leases",
        "--mount-point=/srv//engine/",
    ]
    assert main(["--import-ovirt", *words]) == 0
    assert f"--config-append={files.answers}" in capsys.readouterr().out
    assert read_answers(str(files.answers)).creates
    assert main(["--import-ovirt", *words]) == 1
    assert "is there already" in capsys.readouterr().err
