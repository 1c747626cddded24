# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``--edit-vm-conf --from-ovf``: what was changed in oVirt's portal reaches the domain XML."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import pytest

from hosted_engine.config.edit import take_ovf
from hosted_engine.errors import CommandError
from hosted_engine.from_ovirt.ovf import parse_ovf, read_ovf
from hosted_engine.from_ovirt.portal_changes import Portal, with_portal
from metadata.domain_xml import lease_element, parse_domain
from metadata.errors import DomainXmlError
from metadata.shared_config import SharedConfig
from metadata.xml_edit import XmlText
from tests.unit.config_bench import PARTS, SETTINGS, Cluster
from tests.unit.ovirt_samples import MAC, NIC, UUID, nic, ovf, store
from tests.unit.test_config_commands import PLAIN, own_files

__all__ = ["own_files"]

XML = f"""\
<!-- by hand -->
<domain type='kvm'>
  <name>HostedEngine</name>  <!-- its name -->
  <uuid>{UUID}</uuid>
  <maxMemory slots='16' unit='KiB'>67108864</maxMemory>
  <memory unit='KiB'>16777216</memory>
  <currentMemory unit="KiB">16777216</currentMemory>
  <vcpu placement='static' current='4'>64</vcpu>
  <os><type arch='x86_64' machine='pc-q35-rhel8.6.0'>hvm</type></os>
  <cpu mode='custom'><model>Cascadelake-Server-noTSX</model>
    <topology sockets='16' cores='4' threads='1'/>
    <numa><cell id='0' cpus='0-63' memory='16777216' unit='KiB'/></numa>
  </cpu>
  <devices>
    <disk type='file' device='disk'><source file='/srv/a&amp;b'/><target dev='vda'/></disk>
    <disk type='file' device='cdrom'><target dev='sda'/></disk>
    <interface type='bridge'>
      <mac address='{MAC}'/><source bridge='ovirtmgmt'/><model type='virtio'/>
    </interface>
    {lease_element(PARTS)}
  </devices>
</domain>
"""
SAME = {"sockets": "1", "cores": "4"}


def portal(xml: str = XML, **values: Any) -> Portal:
    return with_portal(xml, parse_ovf(ovf(**{**SAME, **values})))


def changed_lines(found: Portal, xml: str = XML) -> list[str]:
    lines = difflib.unified_diff(xml.splitlines(), found.xml.splitlines(), lineterm="", n=0)
    return [line[1:].strip() for line in list(lines)[2:] if line.startswith("+")]


# --- what is taken ----------------------------------------------------------------------------


def test_what_is_so_already_changes_nothing() -> None:
    found = portal()
    assert (found.xml, found.changes) == (XML, [])
    assert found.left == ["not looked at: Priority, TimeZone"]


def test_memory_with_all_that_belongs_to_it_and_nothing_else() -> None:
    found = portal(memory="8192", most_memory="32768")
    assert changed_lines(found) == [
        "<maxMemory slots='16' unit='KiB'>33554432</maxMemory>",
        "<memory unit='KiB'>8388608</memory>",
        '<currentMemory unit="KiB">8388608</currentMemory>',
        "<numa><cell id='0' cpus='0-63' memory='8388608' unit='KiB'/></numa>",
    ]
    assert found.changes == [
        "<maxMemory>: 65536 MiB -> 32768 MiB",
        "<memory>: 16384 MiB -> 8192 MiB",
        "<currentMemory>: 16384 MiB -> 8192 MiB",
        "the NUMA cell's memory: 16384 MiB -> 8192 MiB",
    ]
    again = portal(found.xml, memory="8192", most_memory="32768")
    assert (again.xml, again.changes) == (found.xml, [])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<memory unit='GiB'>16</memory>", "<memory unit='GiB'>8</memory>"),
        ("<memory unit='MiB'>16384</memory>", "<memory unit='MiB'>8192</memory>"),
        ("<memory>16777216</memory>", "<memory>8388608</memory>"),
        ("<memory unit='TiB'>1</memory>", "<memory unit='KiB'>8388608</memory>"),
        ("<memory unit='GB'>17</memory>", "<memory unit='KiB'>8388608</memory>"),
    ],
)
def test_memory_in_the_unit_that_stands_there(before: str, after: str) -> None:
    xml = XML.replace("<memory unit='KiB'>16777216</memory>", before)
    assert after in portal(xml, memory="8192").xml


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        ({"sockets": "2"}, ["<vcpu placement='static' current='8'>64</vcpu>"]),
        (
            {"sockets": "2", "cores": "2", "threads": "2"},
            [
                "<vcpu placement='static' current='8'>64</vcpu>",
                "<topology sockets='16' cores='2' threads='2'/>",
            ],
        ),
        (
            {"cores": "6"},  # whole sockets
            [
                "<vcpu placement='static' current='6'>60</vcpu>",
                "<topology sockets='10' cores='6' threads='1'/>",
                "<numa><cell id='0' cpus='0-59' memory='16777216' unit='KiB'/></numa>",
            ],
        ),
        (
            {"sockets": "16", "cores": "8"},  # never fewer than it has
            [
                "<vcpu placement='static' current='128'>128</vcpu>",
                "<topology sockets='16' cores='8' threads='1'/>",
                "<numa><cell id='0' cpus='0-127' memory='16777216' unit='KiB'/></numa>",
            ],
        ),
    ],
)
def test_cpus_are_whole_sockets(values: dict[str, str], lines: list[str]) -> None:
    assert changed_lines(portal(**values)) == lines


def test_cpus_of_a_plain_domain() -> None:
    plain = XML.replace(" current='4'>64<", ">4<")
    plain = plain.replace("    <topology sockets='16' cores='4' threads='1'/>\n", "")
    cell = "    <numa><cell id='0' cpus='0-63' memory='16777216' unit='KiB'/></numa>\n"
    plain = plain.replace(cell, "")
    found = portal(plain, sockets="8", cores="1")
    assert changed_lines(found, plain) == ["<vcpu placement='static'>8</vcpu>"]
    found = portal(plain, sockets="2", cores="2")
    assert found.changes == ["added to <cpu>: <topology sockets='2' cores='2' threads='1'/>"]
    topology = parse_domain(found.xml).find("cpu/topology")
    assert topology is not None and topology.attrib["cores"] == "2"
    assert portal(found.xml, sockets="2", cores="2").xml == found.xml


@pytest.mark.parametrize("mac", ["00:16:3e:00:00:0a", "00:16:3E:00:00:0A"])
def test_a_network_card_s_address(mac: str) -> None:
    found = portal(nics=nic(mac=mac))
    assert found.changes == [f"network card {MAC}, address: {MAC} -> 00:16:3e:00:00:0a"]
    assert "<mac address='00:16:3e:00:00:0a'/>" in found.xml


def test_a_network_card_s_model_and_link() -> None:
    found = portal(nics=nic(model="2", linked="false"))
    assert [line.partition(", ")[2] for line in found.changes] == [
        "model: virtio -> e1000",
        "link: up -> down",
    ]
    card = parse_domain(found.xml).find("devices/interface")
    assert card is not None
    assert {one.tag: one.attrib for one in card}["link"] == {"state": "down"}
    again = portal(found.xml, nics=nic(model="2"))
    assert again.changes == [f"network card {MAC}, link: down -> up"]


def test_of_two_cards_each_is_found() -> None:
    second = "<interface type='bridge'><mac address='00:16:3e:00:00:02'/></interface>"
    xml = XML.replace("</interface>", f"</interface>{second}")
    both = nic(mac="00:16:3e:00:00:02", uuid="b") + nic(mac="00:16:3e:00:00:09", uuid="a")
    assert portal(xml, nics=both).changes == [
        f"network card {MAC}, address: {MAC} -> 00:16:3e:00:00:09"
    ]
    xml = xml.replace("00:00:02'/>", f"00:00:02'/><alias name='ua-{NIC}'/>")
    swapped = nic(mac="00:16:3e:00:00:02", uuid="other") + nic(mac="00:16:3e:00:00:07", uuid=NIC)
    found = "; ".join(portal(xml, nics=swapped).changes)
    assert "address: 00:16:3e:00:00:02 -> 00:16:3e:00:00:07" in found
    assert f"address: {MAC} -> 00:16:3e:00:00:02" in found


# --- what is not ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "values", "told"),
    [
        ("<numa><cell id='0'", "<numa><cell id='1'/><cell id='0'", {"memory": "1"}, "2 NUMA cells"),
        ("<devices>", "<devices><memory model='dimm'/>", {"memory": "1"}, "memory modules"),
        ("maxMemory", "gone", {"most_memory": "9"}, "max memory (9 MiB): the XML has no"),
        ("<devices>", "<vcpus/><devices>", {"cores": "8"}, "one by one (<vcpus>)"),
        ("<devices>", "<cputune><vcpupin/></cputune><devices>", {"cores": "8"}, "<vcpupin>"),
        ("threads='1'/>", "threads='1' dies='2'/>", {"cores": "8"}, "has dies"),
        ("<x>", "", {"nics": nic() + nic(mac="00:16:3e:00:00:02")}, "a network card 00:16:3e:00"),
        ("<x>", "", {"nics": ""}, f"the OVF has no network card {MAC}: it stays"),
        ("<x>", "", {"nics": nic(plugged="false")}, "is unplugged there"),
        ("<x>", "", {"nics": nic(network="dmz")}, "on the network dmz there, on the bridge ovirt"),
        ("<x>", "", {"name": "New"}, "name New (here HostedEngine)"),
        ("<x>", "", {"content": "<CustomCpuName>Haswell</CustomCpuName>"}, "CPU model Haswell"),
        (
            "<x>",
            "",
            {"content": "<CustomEmulatedMachine>pc-q35-rhel9</CustomEmulatedMachine>"},
            "machine pc-q35-rhel9 (here pc-q35-rhel8.6.0)",
        ),
        ("type='file' device='disk'", "type='file' device='cdrom'", {}, "disks (6c4b4fe0; here 0)"),
    ],
)
def test_what_is_not_taken_is_named(
    before: str, after: str, values: dict[str, Any], told: str
) -> None:
    xml = XML.replace(before, after)
    found = portal(xml, **values)
    assert found.xml == xml and found.changes == []
    assert told in "\n".join(found.left)


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "neither an OVF nor a tar"),
        (b"\x00" * 1024, "neither an OVF nor a tar"),
        (b"memSize=4096", "neither an OVF nor a tar"),
        (b"<domain/>", "begins with <domain>; allowed: an OVF"),
        (b"<Envelope/>", "begins with <Envelope>; allowed: an OVF"),
        (ovf().replace(b"Content", b"VirtualSystem"), "<Envelope> with <Content>"),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]><x/>", "document type"),
        (ovf(memory="0"), "VirtualQuantity is '0'; allowed: 1 to 16777216"),
        (ovf(memory="4e3"), "VirtualQuantity is '4e3'"),
        (ovf(memory=""), "VirtualQuantity is ''"),
        (ovf(sockets="-1"), "num_of_sockets is '-1'; allowed: 1 to 4096"),
        (ovf(cores="5000"), "cpu_per_socket is '5000'"),
        (ovf(threads="x"), "threads_per_cpu is 'x'"),
        (ovf(most_vcpus="x"), "max_num_of_vcpus is 'x'"),
        (ovf(most_memory="1.5"), "MaxMemorySizeMb is '1.5'"),
        (ovf(unit="GigaBytes"), "memory is in 'GigaBytes'; allowed: MegaBytes"),
        (ovf(nics=nic(mac="00:16:3e")), "MAC address '00:16:3e'"),
        (ovf(nics="<Item><rasd:ResourceType>4</rasd:ResourceType></Item>"), "2 items of its mem"),
        (ovf().replace(b"ResourceType>3<", b"ResourceType>30<"), "0 items of its CPUs"),
        (ovf(uuid="0" * 8), "the OVF is that of HostedEngine (00000000); the engine is"),
        (store([("x.ovf", ovf())])[:700], "tar can't be read"),
        (store([]), "neither an OVF nor a tar"),
    ],
)
def test_an_ovf_that_can_not_be_used(data: bytes, told: str) -> None:
    with pytest.raises(CommandError) as caught:
        read_ovf(data, UUID, "HostedEngine")
    assert told in caught.value.message


@pytest.mark.parametrize("end", ["", "/"])
def test_both_spellings_of_the_name_space(end: str) -> None:
    assert parse_ovf(ovf(space=f"http://schemas.dmtf.org/ovf/envelope/1{end}")).uuid == UUID


def test_a_store_holds_many_and_the_engine_is_found() -> None:
    files = [
        ("metadata.json", b"{}"),
        ("1" * 8 + ".ovf", ovf(uuid="1" * 8, name="Other", memory="1")),
        (f"{UUID}.ovf", ovf(memory="1024")),
        ("broken.ovf", b"<"),
        (f"{UUID}.ovf", ovf(memory="2048")),
    ]
    assert read_ovf(store(files), UUID.upper(), "x").memory_mib == 2048
    assert read_ovf(store(files), "", "Other").memory_mib == 1


@pytest.mark.parametrize(
    ("files", "uuid", "told"),
    [
        ([("1.ovf", ovf(uuid="1", name="A"))], UUID, "no such VM: HostedEngine (3c1b8f6e"),
        ([("1.ovf", ovf(uuid="1", name="A"))], UUID, "it has 1 OVFs, A (1)"),
        ([("1.ovf", ovf(uuid="1")), ("2.ovf", ovf(uuid="2"))], "", "more than one VM of this name"),
        ([(f"{UUID}.ovf", b"<")], UUID, "neither an OVF"),
        ([(f"{UUID}.ovf", ovf(uuid="1"))], UUID, "no such VM"),
    ],
)
def test_a_store_without_the_engine(files: list[tuple[str, bytes]], uuid: str, told: str) -> None:
    with pytest.raises(CommandError) as caught:
        read_ovf(store(files), uuid, "HostedEngine")
    assert told in caught.value.message


# --- the write path of --edit-vm-conf ---------------------------------------------------------


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    name = "hosted_engine.host.given_file.within_deadline_anew"
    monkeypatch.setattr(name, lambda job, _whom, _deadline_s: job())
    cluster = Cluster(config=SharedConfig(1, SETTINGS, XML))
    cluster.libvirt.reader.machines = ("pc-q35-rhel8.6.0",)
    return cluster


def take(cluster: Cluster, path: Path, agrees: bool = True) -> int:
    return take_ovf(cluster.context(), lambda _question: agrees, PLAIN, str(path))


def test_the_changes_are_told_and_written(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "store"
    path.write_bytes(store([(f"{UUID}.ovf", ovf(**SAME, memory="8192"))]))
    assert take(cluster, path) == 0
    out = capsys.readouterr().out
    assert "[changed] <memory>: 16384 MiB -> 8192 MiB\n" in out
    assert "[not taken] not looked at: Priority, TimeZone\n" in out
    assert "\n+  <memory unit='KiB'>8388608</memory>\n" in out
    assert "Version 2 of the shared configuration is written" in out
    assert "<!-- its name -->" in cluster.stored().config.domain_xml
    assert take(cluster, path) == 0
    assert "unchanged; nothing was written" in capsys.readouterr().out
    assert cluster.stored().config.sequence == 2


def test_refused_by_people_libvirt_or_the_file(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "engine.ovf"
    path.write_bytes(ovf(**SAME, memory="8192"))
    with pytest.raises(CommandError, match="as you wish; nothing was written"):
        take(cluster, path, agrees=False)
    cluster.libvirt.reader.refuses_why = "memory does not fit"
    with pytest.raises(CommandError, match=r"memory does not fit; .*nothing was written"):
        take(cluster, path)
    cluster.libvirt.reader.refuses_why = ""
    path.write_bytes(ovf(uuid="1"))
    with pytest.raises(CommandError, match=r"engine.ovf: the OVF is that of .*; nothing was wr"):
        take(cluster, path)
    with pytest.raises(CommandError, match="No such file"):
        take(cluster, tmp_path / "nothing")
    assert cluster.stored().config.sequence == 1


# --- changing a text in place -----------------------------------------------------------------


def test_all_else_stays_as_it_is_written() -> None:
    text = (
        "<?xml version='1.0'?>\r\n<a b = \"x>y\" c='1'><!-- <d/> -->"
        "<d/><e>\u00e4</e><d f='/'></d></a>"
    )
    editor = XmlText(text)
    assert editor.changed() == text
    first, second = editor.root.all("d")
    editor.set_text(first, "1 < 2")
    editor.set_attribute(first, "g", "'&\"")
    editor.set_attribute(second, "f", "z")
    editor.set_attribute(editor.root, "b", "\u00fc")
    editor.set_text(editor.root.all("e")[0], "\u00f6")
    assert editor.changed() == (
        "<?xml version='1.0'?>\r\n<a b = \"\u00fc\" c='1'><!-- <d/> -->"
        "<d g='&apos;&amp;&quot;'>1 &lt; 2</d><e>\u00f6</e><d f='z'></d></a>"
    )


@pytest.mark.parametrize("text", ["", "<a>", "<a><b></a>", "<!DOCTYPE a><a/>", "<a b='1' b='2'/>"])
def test_a_text_that_is_no_document(text: str) -> None:
    with pytest.raises(DomainXmlError):
        XmlText(text)
