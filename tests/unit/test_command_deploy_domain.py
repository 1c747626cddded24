# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The check of the engine's domain XML: what of it this host has not, and what libvirt says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hosted_engine.deploy.checks_engine import check_domain
from hosted_engine.deploy.findings import Finding, Level, finding_lines
from metadata.domain_xml import lease_element
from metadata.layout import storage_parts
from metadata.settings.parse import HostSettings
from metadata.shared_config import SharedConfig
from simulation.world import SimDomainReader
from tests.unit.deploy_scene import Scene
from tests.unit.older_samples import DOMAIN_XML
from tests.unit.test_command_deploy import (
    CREATING,
    JOINING,
    PARTS,
    PATH,
    SETTINGS,
    cluster_store,
    store,
)
from tests.unit.test_command_deploy_checks import DOMAIN, expect, subject
from world.ports.errors import HypervisorError

EMULATOR = "/usr/libexec/qemu-kvm"


class OVirtHost(Scene):
    """A host with libvirt and without vdsm, given the XML of one with vdsm."""

    def __init__(self, folder: Path, xml: str) -> None:
        super().__init__(folder, store())
        self.xml = folder / "engine.xml"
        self.xml.write_text(xml)

    def found(self, deployed: Any = None) -> Finding:
        engine = {**CREATING["engine"], "domain_xml_file": str(self.xml)}
        return check_domain(subject(self, {**CREATING, "engine": engine}, deployed))


MISSING = {
    EMULATOR: "the emulator",
    "/var/run/vdsm/storage/ffc2409e/6c4b4fe0/71d3095b": "the disk vda",
    "/rhev/data-center/mnt/filer:_he/ffc2409e/images/6c4b4fe0/71d3095b.lease": "the lease 71d3",
    "/var/run/ovirt-vmconsole-console": "the guest's console",
    "/var/lib/libvirt/qemu/channels": "the guest's channel",
}


@pytest.fixture
def host(tmp_path: Path) -> OVirtHost:
    host = OVirtHost(tmp_path, DOMAIN_XML)
    host.probes.missing = set(MISSING)
    return host


def test_each_foreign_part_is_named_with_what_to_do(host: OVirtHost) -> None:
    host.probes.bridge_states = {"br0": True}
    found = host.found()
    for whose in MISSING.values():
        assert whose in found.detail
    expect(
        found,
        Level.FAIL,
        f"no path {EMULATOR} (the emulator)",
        "no bridge ovirtmgmt (the network card 00:16:3e:6a:7a:f9)",
        "no libvirt network vdsm-ovirtmgmt (the spice display)",
        "no libvirt network filter vdsm-no-mac-spoofing (the network card 00:16:3e:6a:7a:f9)",
        # libvirt's own word on what only libvirt knows, the emulator apart
        "libvirt refuses the XML: Emulator '/usr/bin/qemu-system-x86_64' does not support machine "
        "type 'pc-q35-rhel8.6.0'",
        "oVirt's own notes",
        "its spice display asks for TLS",
        "the emulator: take <emulator> out",
        "take <filterref> out",
        "the disk vda: vdsm makes this path and nobody else does",
    )
    assert len(found.mend) == len(set(found.mend))
    assert all("\n" not in line for line in finding_lines(replace(found, name="domain XML")))


def test_on_an_ovirt_host_marks_alone_are_left(host: OVirtHost) -> None:
    host.probes.missing = set()
    host.libvirt.reader = SimDomainReader(
        emulators=(EMULATOR,),
        machines=("pc-q35-rhel8.6.0",),
        networks=("vdsm-ovirtmgmt",),
        filters=("vdsm-no-mac-spoofing",),
    )
    found = host.found()
    expect(found, Level.WARN, "oVirt's own notes", "of the lockspace ffc2409e", "asks for TLS")
    assert "no path" not in found.detail and "refuses" not in found.detail


@pytest.mark.parametrize("part", MISSING)
def test_one_part_alone_is_enough(host: OVirtHost, part: str) -> None:
    host.probes.missing = {part}
    host.libvirt.reader = SimDomainReader(
        emulators=(EMULATOR, "/usr/bin/qemu-system-x86_64"),
        machines=("pc-q35-rhel8.6.0",),
        networks=("vdsm-ovirtmgmt",),
        filters=("vdsm-no-mac-spoofing",),
    )
    found = host.found()
    expect(found, Level.FAIL, f"{part} ({MISSING[part]}")
    assert [one for one in MISSING if f"{one} (" in found.detail] == [part]


def test_an_engine_of_ours_is_fine(tmp_path: Path) -> None:
    found = OVirtHost(tmp_path, DOMAIN).found()
    expect(found, Level.OK, "all that it names is here, and libvirt takes it")


def test_a_deployed_host_goes_on_with_what_it_has(host: OVirtHost) -> None:
    deployed = HostSettings(1, "h9", storage_parts(PATH))
    expect(host.found(deployed), Level.WARN, "(the disk vda)")


def test_a_joining_host_looks_at_the_cluster_s_xml(tmp_path: Path) -> None:
    xml = DOMAIN_XML.replace("<devices>", f"<devices>{lease_element(PARTS)}")
    scene = Scene(tmp_path, cluster_store(SharedConfig(1, SETTINGS, xml)))
    scene.probes.missing = {EMULATOR}
    expect(check_domain(subject(scene, JOINING)), Level.FAIL, "does not support machine type")


@pytest.mark.parametrize("xml", ["<domain", "", "vmId=1\nmemSize=2\n"])
def test_what_is_no_domain_is_told_by_another_check(tmp_path: Path, xml: str) -> None:
    expect(OVirtHost(tmp_path, xml).found(), Level.WARN, "can't be read (see engine)")


def test_a_silent_libvirt_hides_nothing_else(host: OVirtHost) -> None:
    host.libvirt.disappear()
    expect(
        host.found(),
        Level.FAIL,
        *MISSING.values(),
        "libvirt has not looked at it: can't look for libvirt's network filter "
        "vdsm-no-mac-spoofing: libvirt does not answer",
    )
    assert host.found().detail.count("libvirt does not answer") == 1
    host.xml.write_text(DOMAIN)
    expect(host.found(), Level.WARN, "libvirt has not looked at it: ", "libvirt does not answer")


def test_a_libvirt_without_networks_is_told_of_and_judges_the_rest(host: OVirtHost) -> None:
    class Part(SimDomainReader):
        def has_network(self, name: str) -> bool:
            raise HypervisorError(f"look for {name}", "virtnetworkd does not run")

    host.libvirt.reader = Part()
    expect(
        host.found(),
        Level.FAIL,
        *MISSING.values(),
        "libvirt network vdsm-ovirtmgmt: virtnetworkd does not run",
        "does not support machine type",
        "virsh domcapabilities",
    )


def test_what_may_not_be_looked_at_may_be_there(tmp_path: Path) -> None:
    from hosted_engine.host.probes import HostProbes

    probes = HostProbes()
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    missing = [
        name
        for name in ("file", "no", "dangling", "file/x", "loop")
        if probes.is_missing(str(tmp_path / name))
    ]
    assert missing == ["no", "dangling", "file/x"]
