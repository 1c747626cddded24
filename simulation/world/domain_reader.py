# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""How libvirt reads a domain XML, as far as people make mistakes in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

from world.ports.errors import HypervisorError

WHAT = "have libvirt look at the domain XML"


@dataclass
class SimDomainReader:
    """libvirt with these emulators, machines, networks and network filters.

    It passes over elements that it does not know, and does not look at what an XML names. Both
    stop at the first mistake. `refuses_why`, if given, is its word on every XML.
    """

    emulators: tuple[str, ...] = ("/usr/bin/qemu-system-x86_64",)
    machines: tuple[str, ...] = ("pc", "q35")
    networks: tuple[str, ...] = ("default",)
    filters: tuple[str, ...] = ("clean-traffic",)
    refuses_why: str = ""

    def check_xml(self, domain_xml: str) -> None:
        try:
            root = ElementTree.fromstring(domain_xml)
        except ElementTree.ParseError as error:
            raise HypervisorError(WHAT, f"(domain_definition): {error}") from error
        why = self.refuses_why or self._machine_problem(root) or _problem(root)
        if why:
            raise HypervisorError(WHAT, why)

    def has_network(self, name: str) -> bool:
        return name in self.networks

    def has_network_filter(self, name: str) -> bool:
        return name in self.filters

    def _machine_problem(self, root: ElementTree.Element) -> str:
        emulator = root.findtext("devices/emulator", self.emulators[0])
        kind = root.find("os/type")
        machine = self.machines[0] if kind is None else kind.get("machine", self.machines[0])
        if emulator not in self.emulators:
            return f"Cannot check QEMU binary {emulator}: No such file or directory"
        if machine not in self.machines:
            return f"Emulator '{emulator}' does not support machine type '{machine}'"
        return ""


def _problem(root: ElementTree.Element) -> str:
    if root.get("type") is None:
        return "missing domain type attribute"
    if not root.findtext("name"):
        return "missing name information"
    if root.find("os/type") is None:
        return "an os <type> must be specified"
    if not re.fullmatch(r"\s*[0-9]+\s*", root.findtext("memory", "")):
        return "Memory size must be specified via <memory> or in the <numa> configuration"
    if not re.fullmatch(r"\s*[0-9]+\s*", root.findtext("vcpu", "1")):
        return "maximum vcpus count must be an integer"
    return _device_problem(root)


def _device_problem(root: ElementTree.Element) -> str:
    if any(lease.find("target") is None for lease in root.findall("devices/lease")):
        return "Missing 'target' element for lease"
    bridges = root.findall("devices/interface[@type='bridge']")
    if any(interface.find("source") is None for interface in bridges):
        return "interface type='bridge' requires a 'source' element"
    if any(disk.find("target") is None for disk in root.findall("devices/disk")):
        return "missing target information for device"
    return ""
