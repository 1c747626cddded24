# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The engine's domain XML of an oVirt host, made fit for hosts without vdsm. Pure.

Changed is what surely can't work there, or would be vdsm's. All else stays as it is: what the
guest sees (machine, CPU, addresses, disks, network cards) above all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from hosted_engine.errors import CommandError
from hosted_engine.from_ovirt.items import Item, changed, dropped, kept, to_do
from metadata.domain_needs import is_made_by_vdsm
from metadata.domain_xml import domain_name, is_engine_lease, lease_element, parse_domain
from metadata.errors import DomainXmlError
from metadata.plain_text import one_line
from metadata.storage_parts import StorageParts

_OVIRT = "{http://ovirt.org/"
_QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
# Where vdsm has the volumes of an image, by way of the storage domain and of the run folder.
_IMAGE = re.compile(
    r"/(?:rhev/data-center/.+?|(?:var/)?run/vdsm/storage)/"
    r"(?P<domain>[0-9a-fA-F-]{8,36})/(?:images/)?(?P<image>[0-9a-fA-F-]{8,36})"
    r"/(?P<volume>[0-9a-fA-F-]{8,36})"
)
_OF_CONSOLE = ("/var/run/ovirt-vmconsole-console/", "/run/ovirt-vmconsole-console/")
_OF_CHANNEL = "/var/lib/libvirt/qemu/channels/"
# vdsm puts the host's own values in their place when it starts the VM.
_PLACEHOLDERS = ("OS-NAME:", "OS-VERSION:", "HOST-SERIAL:")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Storage:
    """Where oVirt's storage is once vdsm does not bring it.

    uuid         of the storage domain in which the engine's disk lies, empty: not known
    mount_point  the folder on which a mounted one is to be; None: not known
    is_block     do its volumes lie in a volume group?
    """

    uuid: str = ""
    mount_point: Optional[str] = None
    is_block: bool = False


def domain_of(xml: str, parts: StorageParts, storage: Storage) -> tuple[str, list[Item]]:
    """The XML with our lease, and what became of its parts; raises CommandError."""
    try:
        root = parse_domain(xml)
        name = domain_name(xml)
    except DomainXmlError as error:
        raise CommandError(error.why) from error
    if len(root.findall("devices")) != 1:
        raise CommandError("the domain XML must have exactly one <devices>")
    items = [kept(f"<name> {name}", "engine.domain_name")]
    for change in (_notes, _identity, _placeholders, _emulator, _labels):
        items += change(root)
    items += _disks(root, storage)
    for change in (_cards, _sockets, _displays):
        items += change(root)
    items += _leases(root, parts)
    ElementTree.register_namespace("qemu", _QEMU)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n", items


# --- the machine ----------------------------------------------------------------------------


def _notes(root: Element) -> Iterator[Item]:
    for metadata in root.findall("metadata"):
        ours = [note for note in metadata if note.tag.startswith(_OVIRT)]
        for note in ours:
            metadata.remove(note)
        if not len(metadata):
            root.remove(metadata)
        if ours:
            yield dropped("<metadata>, oVirt's notes", "a vdsm would call the VM its own")


def _identity(root: Element) -> Iterator[Item]:
    """What a running domain has and another one gets anew."""
    if root.attrib.pop("id", None) is not None:
        yield dropped("<domain id=…>", "it is that of one run")
    machine = root.find("os/type")
    if machine is not None and "rhel" in machine.get("machine", ""):
        name = one_line(machine.get("machine", ""))
        why = "EL has it; elsewhere name one of 'virsh domcapabilities', as like it as there is"
        yield kept(f"machine {name}", why)


def _placeholders(root: Element) -> Iterator[Item]:
    for parent in root.findall("sysinfo/*"):
        for entry in parent.findall("entry"):
            if (entry.text or "").strip() in _PLACEHOLDERS:
                parent.remove(entry)
                name = one_line(entry.get("name", ""))
                yield dropped(f"sysinfo {name}", "vdsm alone knows what belongs there")


def _emulator(root: Element) -> Iterator[Item]:
    for devices in root.findall("devices"):
        for emulator in devices.findall("emulator"):
            devices.remove(emulator)
            name = one_line(emulator.text or "")
            yield dropped(f"<emulator> {name}", "libvirt takes each host's own")


def _labels(root: Element) -> Iterator[Item]:
    for label in root.findall("seclabel"):
        if label.get("type") == "dynamic":
            root.remove(label)
            yield dropped(
                f"<seclabel> of {one_line(label.get('model', ''))}", "libvirt adds its own"
            )


# --- disks ----------------------------------------------------------------------------------


def _disks(root: Element, storage: Storage) -> Iterator[Item]:
    for disk in root.findall("devices/disk"):
        target = disk.find("target")
        name = "disk" if target is None else f"disk {one_line(target.get('dev', ''))}"
        for source in disk.findall("source"):
            for key in ("file", "dev"):
                if is_made_by_vdsm(source.get(key, "")):
                    yield _moved(name, source, key, storage)
            if source.find("seclabel[@relabel='no']") is not None:
                why = "libvirt leaves its owner alone: qemu's user must be able to write to it"
                yield kept(f"{name}, relabel='no'", why)


def _moved(name: str, source: Element, key: str, storage: Storage) -> Item:
    """A volume by a path that is there without vdsm, where that is certain."""
    path = source.get(key, "")
    what = f"{name} {one_line(path)}"
    match = _IMAGE.fullmatch(path)
    if match is None or match["domain"] != storage.uuid:
        return to_do(what, "vdsm makes this path: name one that is there without it")
    if storage.is_block and key == "dev":
        source.set(key, f"/dev/{match['domain']}/{match['volume']}")
        why = f"it is {source.get(key)}, once 'lvchange -ay {match['domain']}/{match['volume']}'"
        return changed(what, f"{why} was done, on every host and at each boot")
    if storage.mount_point is None or storage.is_block:
        return to_do(what, "vdsm makes this path: mount the storage and name the path there")
    images = f"{match['domain']}/images/{match['image']}/{match['volume']}"
    source.set(key, f"{storage.mount_point}/{images}")
    return changed(what, f"it is {source.get(key)}")


# --- ways out of the guest --------------------------------------------------------------------


def _cards(root: Element) -> Iterator[Item]:
    for card in root.findall("devices/interface"):
        mac = card.find("mac")
        name = "card" if mac is None else f"network card {one_line(mac.get('address', ''))}"
        yield from (kept(name, "the guest knows it by that") for _ in card.findall("mac"))
        for one in card.findall("filterref"):
            if one.get("filter", "").startswith("vdsm-"):
                card.remove(one)
                yield dropped(f"{name}, filter {one_line(one.get('filter', ''))}", "it is vdsm's")


def _sockets(root: Element) -> Iterator[Item]:
    for tag in ("serial", "console", "channel"):
        for device in root.findall(f"devices/{tag}"):
            for source in device.findall("source"):
                path = source.get("path", "")
                what = f"<{device.tag}> at {one_line(path)}"
                if path.startswith(_OF_CONSOLE):
                    device.remove(source)
                    device.set("type", "pty")
                    why = "a terminal of libvirt's (pty), for 'hosted-engine --console'"
                    yield changed(what, why)
                elif path.startswith(_OF_CHANNEL):
                    device.remove(source)
                    yield changed(what, "libvirt chooses a place")


def _displays(root: Element) -> Iterator[Item]:
    for display in root.findall("devices/graphics"):
        kind = one_line(display.get("type", ""))
        yield from _encryption(display, kind)
        listens = display.findall("listen")
        address = display.attrib.pop("listen", None)
        if not any(map(_is_elsewhere, listens)) and address in (None, *_LOOPBACK):
            continue
        for listen in listens:
            display.remove(listen)
        ElementTree.SubElement(display, "listen", {"type": "address", "address": "127.0.0.1"})
        why = "it listens on 127.0.0.1: vdsm's network is not here, nor is its password in the XML"
        yield changed(f"{kind} display", why)


def _is_elsewhere(listen: Element) -> bool:
    if listen.get("type") == "network":
        return True
    return listen.get("type") == "address" and listen.get("address") not in (None, *_LOOPBACK)


def _encryption(display: Element, kind: str) -> Iterator[Item]:
    gone = [key for key in ("tlsPort", "defaultMode") if display.attrib.pop(key, None) is not None]
    for channel in display.findall("channel"):
        if channel.get("mode") == "secure":
            display.remove(channel)
            gone.append(f"channel {channel.get('name', '')}")
    if gone:
        why = f"vdsm gave libvirt the certificates; with your own {kind}_tls = 1 in qemu.conf"
        yield dropped(f"{kind} display: {one_line(', '.join(gone))}", why)


# --- leases -----------------------------------------------------------------------------------


def _leases(root: Element, parts: StorageParts) -> Iterator[Item]:
    (devices,) = root.findall("devices")
    for lease in devices.findall("lease"):
        devices.remove(lease)
        if not is_engine_lease(lease):
            key, space = lease.findtext("key", ""), lease.findtext("lockspace", "")
            what = f"<lease> {one_line(key)} of lockspace {one_line(space)}"
            yield changed(what, "ours stands in its place: the engine's own, on storage.path")
    devices.append(ElementTree.fromstring(lease_element(parts)))
    place = f"{parts.lease.path} offset {parts.lease.offset}"
    yield changed("<lease>", f"engine of lockspace hosted-engine, at {place}")
