# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The fake's word on a domain XML is libvirt's own, as far as its test driver knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simulation.world import SimDomainReader, SimHypervisor, SimLockspace, SimSan, VirtualClock
from tests.contract.domain_xml_cases import BASE, BY_ANY_DRIVER, BY_QEMU, TAKEN
from world.ports.errors import HypervisorError, HypervisorGoneError
from world.vm.libvirt_hypervisor import LibvirtHypervisor


@pytest.fixture
def driver(tmp_path: Path) -> Any:
    pytest.importorskip("libvirt", reason="no Python binding: install python3-libvirt")
    node = tmp_path / "node.xml"
    node.write_text("<node><cpu><mhz>1000</mhz></cpu><memory>4096000</memory></node>")
    hypervisor = LibvirtHypervisor(f"test://{node}", "", tmp_path)
    yield hypervisor
    hypervisor.close()


def reading(hypervisor: LibvirtHypervisor, xml: str) -> str:
    """What libvirt says of an XML that its test driver reads; empty: it takes it."""
    import libvirt

    connection = hypervisor._line.connection("read an XML")
    try:
        connection.defineXML(xml.replace("type='qemu'", "type='test'", 1)).undefine()
    except libvirt.libvirtError as error:
        return str(error.get_error_message())
    return ""


@pytest.mark.parametrize("name", TAKEN)
def test_both_take_it(driver: LibvirtHypervisor, name: str) -> None:
    SimDomainReader().check_xml(TAKEN[name])
    assert reading(driver, TAKEN[name]) == ""


@pytest.mark.parametrize("name", BY_ANY_DRIVER)
def test_both_refuse_it_for_the_same_reason(driver: LibvirtHypervisor, name: str) -> None:
    said = reading(driver, BY_ANY_DRIVER[name])
    with pytest.raises(HypervisorError) as caught:
        SimDomainReader().check_xml(BY_ANY_DRIVER[name])
    assert said
    assert name == "no XML" or caught.value.why in said


@pytest.mark.parametrize("name", BY_QEMU)
def test_the_fake_has_one_emulator_and_its_machines(name: str) -> None:
    with pytest.raises(HypervisorError):
        SimDomainReader().check_xml(BY_QEMU[name])
    reader = SimDomainReader(
        emulators=("/usr/libexec/qemu-kvm", "/usr/bin/qemu-system-x86_64"),
        machines=("pc", "pc-q35-rhel8.6.0"),
    )
    reader.check_xml(BY_QEMU[name])


def test_networks(driver: LibvirtHypervisor) -> None:
    import libvirt

    reader = SimDomainReader()
    assert not reader.has_network("vdsm-ovirtmgmt")
    assert reader.has_network("default")
    assert reader.has_network_filter("clean-traffic")
    assert not reader.has_network_filter("vdsm-no-mac-spoofing")
    assert not driver.has_network("vdsm-ovirtmgmt")
    connection = driver._line.connection("define a network")
    network = connection.networkDefineXML("<network><name>vdsm-ovirtmgmt</name></network>")
    assert not driver.has_network("vdsm-ovirtmgmt")  # it is not on
    network.create()
    assert driver.has_network("vdsm-ovirtmgmt")
    with pytest.raises(HypervisorError) as caught:  # the test driver has none at all
        driver.has_network_filter("clean-traffic")
    assert caught.value.errno == libvirt.VIR_ERR_NO_SUPPORT


def test_a_libvirt_that_is_gone_says_nothing() -> None:
    hypervisor = SimHypervisor(SimLockspace(SimSan(VirtualClock()), "h1"))
    hypervisor.check_xml(BASE)
    hypervisor.disappear()
    for question in (
        lambda: hypervisor.check_xml(BASE),
        lambda: hypervisor.has_network("default"),
        lambda: hypervisor.has_network_filter("clean-traffic"),
    ):
        with pytest.raises(HypervisorGoneError):
            question()
