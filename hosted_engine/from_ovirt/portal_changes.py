# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What was changed in oVirt's portal, brought into the engine's domain XML. Pure.

Taken is what the XML has a place for and what can't make another VM of it: memory, CPUs, and of
its network cards the address, the model and the link. All else is told, and left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hosted_engine.errors import CommandError
from hosted_engine.from_ovirt.ovf import OvfNic, OvfVm
from metadata.domain_xml import domain_name, memory_bytes, parse_domain
from metadata.error_words import shown
from metadata.errors import DomainXmlError
from metadata.plain_text import one_line
from metadata.xml_edit import Span, XmlText

_MIB = 1024 * 1024
_BY_HAND = "hosted-engine --edit-vm-conf"


@dataclass(frozen=True)
class Portal:
    """The XML with what was taken; `changes` and `left` say in lines what was, and what was not."""

    xml: str
    changes: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def identity(xml: str) -> tuple[str, str]:
    """The domain's UUID (empty: it has none) and its name; raises CommandError."""
    try:
        root, name = parse_domain(xml), domain_name(xml)
    except DomainXmlError as error:
        raise CommandError(error.why) from error
    return (root.findtext("uuid") or "").strip(), name


def with_portal(xml: str, vm: OvfVm) -> Portal:
    """Bring the VM's values into the XML; raises CommandError."""
    try:
        editor = _Editor(XmlText(xml))
        for part in (_memory, _cpus, _nics, _others):
            part(editor, vm)
        changed = editor.text.changed()
        parse_domain(changed)
    except DomainXmlError as error:
        raise CommandError(error.why) from error
    return Portal(changed, editor.changes, editor.left)


@dataclass
class _Editor:
    """The text under change, and what is to be told."""

    text: XmlText
    changes: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def root(self) -> Span:
        return self.text.root

    def put(self, span: Span, value: str, what: str) -> None:
        """Another text in the element, told where it is another one."""
        before = self.text.text_of(span).strip()
        if before != value:
            self.text.set_text(span, value)
            self.changes.append(f"{what}: {one_line(before)} -> {value}")

    def put_attribute(self, span: Span, name: str, value: str, what: str) -> None:
        """Another value of the attribute, told where it is another one."""
        before = span.attributes.get(name)
        if before != value:
            self.text.set_attribute(span, name, value)
            self.changes.append(f"{what}: {one_line(before or 'not said')} -> {value}")

    def put_size(self, span: Span, mib: int, what: str, attribute: str = "") -> None:
        """A size in the unit that stands there where that goes in whole numbers, else in KiB."""
        number = span.attributes[attribute] if attribute else self.text.text_of(span).strip()
        unit = span.attributes.get("unit", "KiB")
        before, one = memory_bytes(span.tag, number, unit), memory_bytes(span.tag, "1", unit)
        wanted = mib * _MIB
        if before == wanted:
            return
        if wanted % one:
            self.text.set_attribute(span, "unit", "KiB")
            one = 1024
        if attribute:
            self.text.set_attribute(span, attribute, str(wanted // one))
        else:
            self.text.set_text(span, str(wanted // one))
        self.changes.append(f"{what}: {before / _MIB:g} MiB -> {mib} MiB")


# --- memory -----------------------------------------------------------------------------------


def _memory(editor: _Editor, vm: OvfVm) -> None:
    root = editor.root
    memory, cells = root.only("memory"), root.all("cpu/numa/cell")
    if memory is None:
        raise DomainXmlError("the domain XML must have exactly one <memory>")
    what = f"memory ({vm.memory_mib} MiB)"
    if len(cells) > 1:
        editor.left.append(
            f"{what}: the XML divides it between {len(cells)} NUMA cells: {_BY_HAND}"
        )
        return
    if root.all("devices/memory"):
        editor.left.append(f"{what}: the XML has memory modules beside it: {_BY_HAND}")
        return
    _max_memory(editor, vm)
    editor.put_size(memory, vm.memory_mib, "<memory>")
    for current in root.all("currentMemory"):
        editor.put_size(current, vm.memory_mib, "<currentMemory>")
    for cell in cells:
        if "memory" in cell.attributes:
            editor.put_size(cell, vm.memory_mib, "the NUMA cell's memory", "memory")


def _max_memory(editor: _Editor, vm: OvfVm) -> None:
    """The engine keeps it above the memory itself."""
    if vm.max_memory_mib is None:
        return
    for most in editor.root.all("maxMemory"):
        editor.put_size(most, vm.max_memory_mib, "<maxMemory>")
        return
    what = f"max memory ({vm.max_memory_mib} MiB)"
    editor.left.append(f"{what}: the XML has no <maxMemory>, so none is added while it runs")


# --- CPUs -------------------------------------------------------------------------------------


def _cpus(editor: _Editor, vm: OvfVm) -> None:
    root = editor.root
    vcpu, topology = root.only("vcpu"), root.only("cpu/topology")
    what = f"{vm.vcpus} CPUs ({vm.sockets} sockets, {vm.cores} cores, {vm.threads} threads)"
    obstacle = _cpu_obstacle(root)
    if vcpu is None or obstacle:
        editor.left.append(f"{what}: {obstacle or 'the XML has no single <vcpu>'}: {_BY_HAND}")
        return
    before = _most(editor, vcpu)
    most = _most_vcpus(vm, before) if "current" in vcpu.attributes else vm.vcpus
    if topology is None and (vm.cores > 1 or vm.threads > 1):
        _add_topology(editor, vm, most)
    elif topology is not None:
        values = (("sockets", most // (vm.cores * vm.threads)),)
        for name, number in (*values, ("cores", vm.cores), ("threads", vm.threads)):
            editor.put_attribute(topology, name, str(number), f"<topology> {name}")
    editor.put(vcpu, str(most), "<vcpu>")
    if "current" in vcpu.attributes:
        editor.put_attribute(vcpu, "current", str(vm.vcpus), "<vcpu> current")
    for cell in root.all("cpu/numa/cell"):
        if "cpus" in cell.attributes and most != before:
            cpus = f"0-{most - 1}" if most > 1 else "0"
            editor.put_attribute(cell, "cpus", cpus, "the NUMA cell's cpus")


def _cpu_obstacle(root: Span) -> str:
    """Why the number can't be changed without knowing what else shall change; empty: nothing."""
    if root.all("vcpus"):
        return "the XML lists its CPUs one by one (<vcpus>)"
    if len(root.all("cpu/numa/cell")) > 1:
        return "the XML divides them between NUMA cells"
    if root.all("cputune/vcpupin"):
        return "the XML pins them to the host's (<vcpupin>)"
    topology = root.only("cpu/topology")
    if topology is not None and int(topology.attributes.get("dies", "1") or "1") > 1:
        return "the XML's <topology> has dies"
    return ""


def _most(editor: _Editor, vcpu: Span) -> int:
    text = editor.text.text_of(vcpu).strip()
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise DomainXmlError(f"the domain XML's <vcpu> says {shown(text)}, no whole number")
    return int(text)


def _most_vcpus(vm: OvfVm, before: int) -> int:
    """CPUs that there may be while it runs: whole sockets, and never fewer than it has."""
    of_socket = vm.cores * vm.threads
    most = vm.max_vcpus if vm.max_vcpus is not None else before
    return max(most - most % of_socket, vm.vcpus)


def _add_topology(editor: _Editor, vm: OvfVm, most: int) -> None:
    """Without one each CPU is a socket of its own."""
    cpu = editor.root.only("cpu")
    sockets = most // (vm.cores * vm.threads)
    text = f"<topology sockets='{sockets}' cores='{vm.cores}' threads='{vm.threads}'/>"
    if cpu is None or editor.text.text_of(cpu) == "":
        editor.left.append(f"{text}: the XML has no <cpu> with content: {_BY_HAND}")
        return
    editor.text.add_first(cpu, f"    {text}")
    editor.changes.append(f"added to <cpu>: {text}")


# --- network cards ----------------------------------------------------------------------------


def _nics(editor: _Editor, vm: OvfVm) -> None:
    cards = editor.root.all("devices/interface")
    pairs = dict(_pairs(cards, vm.nics))
    for nic in vm.nics:
        card = pairs.get(nic)
        if card is None:
            editor.left.append(f"a network card {nic.mac} on {one_line(nic.network)}: {_BY_HAND}")
        else:
            _nic(editor, card, nic)
    paired = [id(card) for card in pairs.values()]
    for card in cards:
        if id(card) not in paired:
            editor.left.append(f"the OVF has no network card {_mac(card)}: it stays ({_BY_HAND})")


def _pairs(cards: list[Span], nics: tuple[OvfNic, ...]) -> Iterator[tuple[OvfNic, Span]]:
    """By the name that oVirt gives it in the XML, by its address; one that is left with one."""
    open_cards, open_nics = list(cards), list(nics)
    for same in (_has_alias, lambda card, nic: _mac(card) == nic.mac):
        for nic in list(open_nics):
            found = [card for card in open_cards if same(card, nic)]
            if len(found) == 1:
                yield nic, found[0]
                open_cards.remove(found[0])
                open_nics.remove(nic)
    if len(open_cards) == len(open_nics) == 1:
        yield open_nics[0], open_cards[0]


def _has_alias(card: Span, nic: OvfNic) -> bool:
    names = [alias.attributes.get("name") for alias in card.all("alias")]
    return bool(nic.uuid) and names == [f"ua-{nic.uuid}"]


def _mac(card: Span) -> str:
    return "".join(mac.attributes.get("address", "").lower() for mac in card.all("mac"))


def _nic(editor: _Editor, card: Span, nic: OvfNic) -> None:
    name = f"network card {_mac(card) or nic.mac}"
    mac, model, link = card.only("mac"), card.only("model"), card.only("link")
    if mac is None:
        editor.left.append(f"{name}: the XML gives it no <mac>: {_BY_HAND}")
    elif _mac(card) != nic.mac:
        editor.put_attribute(mac, "address", nic.mac, f"{name}, address")
    if model is not None and nic.model is not None:
        editor.put_attribute(model, "type", nic.model, f"{name}, model")
    state = "up" if nic.linked else "down"
    if link is not None:
        editor.put_attribute(link, "state", state, f"{name}, link")
    elif state == "down":
        editor.text.add_first(card, "      <link state='down'/>")
        editor.changes.append(f"{name}, link: up -> down")
    if not nic.plugged:
        editor.left.append(f"{name} is unplugged there; it stays: {_BY_HAND}")
    source = card.only("source")
    bridge = None if source is None else source.attributes.get("bridge")
    if bridge and nic.network and bridge != nic.network:
        editor.left.append(
            f"{name} is on the network {one_line(nic.network)} there, on the bridge "
            f"{one_line(bridge)} here: {_BY_HAND}, where that is another one"
        )


# --- the rest -----------------------------------------------------------------------------------


def _others(editor: _Editor, vm: OvfVm) -> None:
    root, left = editor.root, editor.left
    for path, value, what in (
        ("name", vm.name, "name"),
        ("cpu/model", vm.cpu_model, "CPU model"),
    ):
        span = root.only(path)
        here = None if span is None else editor.text.text_of(span).strip()
        if here is not None and value and value != here:
            left.append(f"{what} {one_line(value)} (here {one_line(here)}): {_BY_HAND}")
    machine = root.only("os/type")
    here = None if machine is None else machine.attributes.get("machine")
    if here and vm.machine and vm.machine != here:
        left.append(f"machine {one_line(vm.machine)} (here {one_line(here)}): {_BY_HAND}")
    disks = [disk for disk in root.all("devices/disk") if disk.attributes.get("device") != "cdrom"]
    if len(disks) != len(vm.disks):
        there = ", ".join(map(one_line, vm.disks)) or "none"
        left.append(
            f"disks ({there}; here {len(disks)}): connect them on all hosts, then {_BY_HAND}"
        )
    if vm.others:
        left.append(f"not looked at: {', '.join(map(one_line, vm.others))}")
