# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a domain XML names that a host must have, and what oVirt has left in it."""

from __future__ import annotations

import pytest

from metadata.domain_needs import NeedKind, foreign_marks, host_needs, without_emulator
from metadata.domain_xml import lease_element, lease_problems
from metadata.errors import DomainXmlError
from metadata.layout import storage_parts
from tests.unit.older_samples import DOMAIN_XML

PARTS = storage_parts("/srv/leases")
ROOT = "<domain type='kvm'><name>x</name>{}</domain>"


def needs(xml: str) -> list[tuple[str, str]]:
    return [(need.kind.name, need.name) for need in host_needs(xml)]


def of_devices(devices: str) -> list[tuple[str, str]]:
    return needs(ROOT.format(f"<devices>{devices}</devices>"))


def test_a_domain_of_ovirt_names_all_this() -> None:
    lease = "/rhev/data-center/mnt/filer:_he/ffc2409e/images/6c4b4fe0/71d3095b.lease"
    assert needs(DOMAIN_XML) == [
        ("PATH", "/usr/libexec/qemu-kvm"),
        ("PATH", "/dev/urandom"),
        ("PATH", "/var/run/vdsm/storage/ffc2409e/6c4b4fe0/71d3095b"),
        ("PATH", lease),
        ("BRIDGE", "ovirtmgmt"),
        ("FILTER", "vdsm-no-mac-spoofing"),
        ("FOLDER", "/var/run/ovirt-vmconsole-console"),
        ("FOLDER", "/var/lib/libvirt/qemu/channels"),
        ("NETWORK", "vdsm-ovirtmgmt"),
    ]
    by_name = {need.name: need for need in host_needs(DOMAIN_XML)}
    assert by_name[lease].whose == (
        "the lease 71d3095b-2eae-489d-9836-7522309b0003 of the lockspace "
        "ffc2409e-680b-4d4a-be0b-9c2b381887cc"
    )
    assert by_name["ovirtmgmt"].whose == "the network card 00:16:3e:6a:7a:f9"
    disk = by_name["/var/run/vdsm/storage/ffc2409e/6c4b4fe0/71d3095b"]
    assert disk.whose == "the disk vda"
    assert disk.mend.startswith("vdsm makes this path and nobody else does")


def test_what_ovirt_has_left() -> None:
    notes, lease, display = foreign_marks(DOMAIN_XML)
    assert "ovirt-vm" in notes.what and "take them out" in notes.mend
    assert lease.mend.startswith("the lease 71d3095b")
    assert "71d3095b-2eae-489d-9836-7522309b0003" in lease.what
    assert display.what == "its spice display asks for TLS"
    assert "spice_tls = 1" in display.mend


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        ("<disk type='block'><source dev='/dev/vg/he'/></disk>", [("PATH", "/dev/vg/he")]),
        ("<disk type='dir'><source dir='/srv/x'/></disk>", [("PATH", "/srv/x")]),
        ("<disk type='file' device='cdrom'><source file=''/></disk>", []),
        ("<disk device='cdrom'><target dev='sda'/></disk>", []),
        ("<disk><source file='/x.iso' startupPolicy='optional'/></disk>", []),
        ("<disk><source file='/x.iso' startupPolicy='mandatory'/></disk>", [("PATH", "/x.iso")]),
        ("<disk type='network'><source protocol='nbd' name='x'/></disk>", []),
        ("<disk type='volume'><source pool='p' volume='v'/></disk>", []),
        ("<disk><source file='relative'/></disk>", []),
        ("<filesystem><source dir='/srv/share'/></filesystem>", [("PATH", "/srv/share")]),
        ("<interface type='direct'><source dev='eno1'/></interface>", [("DEVICE", "eno1")]),
        ("<interface type='network'><source network='n'/></interface>", [("NETWORK", "n")]),
        ("<interface type='bridge'><source bridge=''/></interface>", []),
        ("<interface type='user'/>", []),
        ("<interface type='ethernet'><source dev='x'/></interface>", []),
        ("<serial type='pty'><source path='/dev/pts/3'/></serial>", []),
        (
            "<serial type='file'><source path='/var/log/x.log'/></serial>",
            [("FOLDER", "/var/log")],
        ),
        ("<serial type='dev'><source path='/dev/ttyS0'/></serial>", [("PATH", "/dev/ttyS0")]),
        ("<parallel type='pipe'><source path='/x/p'/></parallel>", [("PATH", "/x/p")]),
        ("<channel type='unix'><source mode='connect' path='/x/s'/></channel>", [("PATH", "/x/s")]),
        ("<channel type='unix'><source mode='bind' path='/x/s'/></channel>", [("FOLDER", "/x")]),
        ("<channel type='unix'><source path='/x/s'/></channel>", [("FOLDER", "/x")]),
        ("<channel type='unix'><source path='/s'/></channel>", []),
        ("<channel type='unix'><target type='virtio'/></channel>", []),
        ("<channel type='unix'><source path='/run/libvirt/qemu/channel/1-x/o'/></channel>", []),
        (
            "<channel type='unix'><source path='/var/lib/libvirt/qemu/channel/x'/></channel>",
            [],
        ),
        (
            "<serial type='unix'><source path='/x/s'/></serial>"
            "<serial type='unix'><source path='/x/s'/></serial>",
            [("FOLDER", "/x")],
        ),
        ("<graphics type='vnc'><listen type='address' address='127.0.0.1'/></graphics>", []),
        ("<graphics type='vnc' socket='/x/vnc'/>", [("FOLDER", "/x")]),
        (
            "<graphics type='vnc'><listen type='socket' socket='/x/vnc'/></graphics>",
            [("FOLDER", "/x")],
        ),
        ("<rng><backend model='random'>/dev/hwrng</backend></rng>", [("PATH", "/dev/hwrng")]),
        ("<rng><backend model='builtin'/></rng>", []),
        (lease_element(PARTS), []),
        (
            "<lease><lockspace>hosted-engine</lockspace><key>other</key>"
            "<target path='/x/l'/></lease>",
            [("PATH", "/x/l")],
        ),
    ],
)
def test_of_each_device(devices: str, expected: list[tuple[str, str]]) -> None:
    assert of_devices(devices) == expected


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("<os><loader>/x/OVMF_CODE.fd</loader></os>", [("PATH", "/x/OVMF_CODE.fd")]),
        ("<os><nvram template='/x/VARS.fd'>/y/he_VARS.fd</nvram></os>", [("PATH", "/x/VARS.fd")]),
        (
            "<os><kernel>/boot/k</kernel><initrd>/i</initrd></os>",
            [("PATH", "/boot/k"), ("PATH", "/i")],
        ),
        ("<seclabel type='dynamic' model='selinux'/>", [("PATH", "/sys/fs/selinux")]),
        ("<seclabel model='apparmor'/>", [("PATH", "/sys/kernel/security/apparmor")]),
        ("<seclabel type='none' model='selinux'/><seclabel model='dac'/>", []),
    ],
)
def test_of_the_rest(part: str, expected: list[tuple[str, str]]) -> None:
    assert needs(ROOT.format(part)) == expected


@pytest.mark.parametrize(
    "devices",
    [
        "<graphics type='vnc' passwd='x'/>",
        "<graphics type='spice' defaultMode='insecure'/>",
        "<graphics type='spice'><channel name='main' mode='any'/></graphics>",
        lease_element(PARTS),
    ],
)
def test_what_is_usual_is_no_mark(devices: str) -> None:
    xml = ROOT.format(f"<metadata><a:b xmlns:a='urn:mine'/></metadata><devices>{devices}</devices>")
    assert foreign_marks(xml) == []


@pytest.mark.parametrize(
    "display",
    [
        "<graphics type='spice' tlsPort='5901'/>",
        "<graphics type='spice' defaultMode='secure'/>",
        "<graphics type='spice'><channel name='main' mode='secure'/></graphics>",
    ],
)
def test_each_way_to_ask_for_tls(display: str) -> None:
    (mark,) = foreign_marks(ROOT.format(f"<devices>{display}</devices>"))
    assert "asks for TLS" in mark.what


def test_names_that_steer_a_terminal_become_text() -> None:
    lease = "<lease><lockspace>a\u202eb</lockspace><key>k\n\nl</key><target path='/x'/></lease>"
    (need,) = host_needs(ROOT.format(f"<devices>{lease}</devices>"))
    assert need.whose == "the lease k l of the lockspace a?b"


def test_an_emulator_is_left_to_libvirt() -> None:
    xml = DOMAIN_XML.replace("<devices>", f"<devices>{lease_element(PARTS)}")
    without = without_emulator(xml)
    assert "qemu-kvm" not in without
    assert lease_problems(without, PARTS) == []
    assert [need for need in host_needs(xml) if need.whose != "the emulator"] == host_needs(without)


@pytest.mark.parametrize("xml", ["", "<domain", "<network/>", "vmId=1\nmemSize=2\n"])
def test_what_is_no_domain(xml: str) -> None:
    for question in (host_needs, foreign_marks, without_emulator):
        with pytest.raises(DomainXmlError):
            question(xml)


def test_every_kind_has_words() -> None:
    assert len({kind.value for kind in NeedKind}) == len(NeedKind)
