# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a domain XML names that a host must have, and what oVirt has left in it. Pure.

libvirt looks at a domain's files, bridges and networks only when it starts the VM. An XML that was
taken from another host, oVirt's above all, names what is not here; each such thing is told
before the engine is given to this host.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Optional
from xml.etree import ElementTree

from metadata.domain_xml import is_engine_lease, parse_domain
from metadata.plain_text import one_line
from metadata.value_class import value_class


class NeedKind(str, Enum):
    """What a host must have."""

    PATH = "path"  # the file, folder or device itself
    FOLDER = "folder"  # in which something is made at the VM's start
    BRIDGE = "bridge"
    DEVICE = "network device"
    NETWORK = "libvirt network"
    FILTER = "libvirt network filter"


@value_class(frozen=True)
class Need:
    """`name` of this kind, for the part `whose` of the domain; `mend`: what to do without it."""

    kind: NeedKind
    name: str
    whose: str
    mend: str


@value_class(frozen=True)
class Mark:
    """A part that may trouble although nothing of it is missing, and what to do with it."""

    what: str
    mend: str


# vdsm makes these, for as long as it prepares an image or runs a VM.
_OF_VDSM = ("/rhev/", "/var/run/vdsm/", "/run/vdsm/")
# libvirt makes these itself.
_OF_LIBVIRT = ("/run/libvirt/", "/var/run/libvirt/", "/var/lib/libvirt/qemu/channel/")
_LABEL_FOLDERS = {"selinux": "/sys/fs/selinux", "apparmor": "/sys/kernel/security/apparmor"}
_OVIRT = "{http://ovirt.org/"

_NAME_IT = "bring it to this host, or name where it is"
_VDSMS = "vdsm makes this path and nobody else does: name one that is there without it"
_CONNECT = "connect its storage under this path, on all hosts, or name where it is"
_SOCKET = "take its <source> out: libvirt chooses a place"
_NO_LISTEN = "give an address: <listen type='address' address='127.0.0.1'/>"


def host_needs(xml: str) -> list[Need]:
    """Each thing that a host must have to start the domain; raises DomainXmlError."""
    root = parse_domain(xml)
    found = [*_of_the_machine(root), *_of_disks(root), *_of_leases(root), *_of_networks(root)]
    found += [*_of_sockets(root), *_of_displays(root), *_of_labels(root)]
    return list(dict.fromkeys(found))


def foreign_marks(xml: str) -> list[Mark]:
    """What oVirt puts into its domains and hosts without it do not know; raises DomainXmlError."""
    root = parse_domain(xml)
    return [*_notes_of_ovirt(root), *_foreign_leases(root), *_secure_displays(root)]


def is_made_by_vdsm(path: str) -> bool:
    """Is it there only while a vdsm prepares an image or runs a VM?"""
    return path.startswith(_OF_VDSM)


def without_emulator(xml: str) -> str:
    """The same with libvirt's own choice of an emulator; raises DomainXmlError."""
    root = parse_domain(xml)
    for devices in root.findall("devices"):
        for emulator in devices.findall("emulator"):
            devices.remove(emulator)
    return ElementTree.tostring(root, encoding="unicode")


# --- what must be there -----------------------------------------------------------------------


def _of_the_machine(root: ElementTree.Element) -> Iterator[Need]:
    mend = "take <emulator> out, and libvirt takes this host's own"
    yield from _path(root.findtext("devices/emulator"), "the emulator", mend)
    for tag in ("loader", "kernel", "initrd", "dtb"):
        yield from _path(root.findtext(f"os/{tag}"), f"the guest's {tag}")
    for nvram in root.findall("os/nvram"):
        yield from _path(nvram.get("template"), "the template of the guest's nvram")
    for backend in root.findall("devices/rng/backend[@model='random']"):
        yield from _path(backend.text, "the source of random numbers", "name /dev/urandom")


def _of_disks(root: ElementTree.Element) -> Iterator[Need]:
    for disk in root.findall("devices/disk"):
        target = disk.find("target")
        name = "" if target is None else f" {target.get('dev', '')}"
        for source in disk.findall("source"):
            if source.get("startupPolicy") == "optional":
                continue
            for key in ("file", "dev", "dir"):
                yield from _path(source.get(key), f"the disk{name}", _CONNECT)
    for source in root.findall("devices/filesystem/source"):
        yield from _path(source.get("dir"), "a file system")


def _of_leases(root: ElementTree.Element) -> Iterator[Need]:
    for lease in _others_leases(root):
        for target in lease.findall("target"):
            yield from _path(target.get("path"), _lease_text(lease), "take this <lease> out")


def _of_networks(root: ElementTree.Element) -> Iterator[Need]:
    kinds = {
        "bridge": ("bridge", NeedKind.BRIDGE),
        "direct": ("dev", NeedKind.DEVICE),
        "network": ("network", NeedKind.NETWORK),
    }
    for interface in root.findall("devices/interface"):
        key, kind = kinds.get(interface.get("type", ""), ("", NeedKind.BRIDGE))
        mac = interface.find("mac")
        whose = "a network card" if mac is None else f"the network card {mac.get('address', '')}"
        for source in interface.findall("source"):
            yield from _named(kind, source.get(key), whose, f"make it, or name another {key}")
        for one in interface.findall("filterref"):
            yield from _named(NeedKind.FILTER, one.get("filter"), whose, "take <filterref> out")


def _of_sockets(root: ElementTree.Element) -> Iterator[Need]:
    """Ways out of the guest that have a place on the host."""
    for tag in ("serial", "parallel", "console", "channel"):
        for device in root.findall(f"devices/{tag}"):
            for source in device.findall("source"):
                yield from _of_socket(device, source.get("path"), source.get("mode"))


def _of_socket(
    device: ElementTree.Element, path: Optional[str], mode: Optional[str]
) -> Iterator[Need]:
    """A socket to which qemu connects must be there; one that it makes needs a folder."""
    kind, whose = device.get("type"), f"the guest's {device.tag}"
    if kind == "file" or (kind == "unix" and mode != "connect"):
        yield from _folder(path, whose, _SOCKET)
    elif kind in ("unix", "dev", "pipe"):
        yield from _path(path, whose, _SOCKET)


def _of_displays(root: ElementTree.Element) -> Iterator[Need]:
    for display in root.findall("devices/graphics"):
        whose = f"the {display.get('type', '')} display"
        yield from _folder(display.get("socket"), whose, _NO_LISTEN)
        for listen in display.findall("listen"):
            yield from _named(NeedKind.NETWORK, listen.get("network"), whose, _NO_LISTEN)
            yield from _folder(listen.get("socket"), whose, _NO_LISTEN)


def _of_labels(root: ElementTree.Element) -> Iterator[Need]:
    """libvirt has a security driver only for what the kernel has."""
    for label in root.findall("seclabel"):
        model = label.get("model", "")
        if model in _LABEL_FOLDERS and label.get("type") != "none":
            mend = "take <seclabel> out: libvirt adds its own"
            yield from _path(_LABEL_FOLDERS[model], f"the security label of {model}", mend)


def _path(path: Optional[str], whose: str, mend: str = _NAME_IT) -> Iterator[Need]:
    return _place(NeedKind.PATH, path, whose, mend)


def _folder(path: Optional[str], whose: str, mend: str) -> Iterator[Need]:
    """That in which `path` lies."""
    if (path or "").strip().startswith(_OF_LIBVIRT):
        return iter(())
    return _place(NeedKind.FOLDER, (path or "").strip().rpartition("/")[0], whose, mend)


def _place(kind: NeedKind, path: Optional[str], whose: str, mend: str) -> Iterator[Need]:
    """Only whole paths are places that one can look at."""
    place = (path or "").strip()
    if place.startswith("/") and not place.startswith(_OF_LIBVIRT):
        of_vdsm = mend == _CONNECT and is_made_by_vdsm(place)
        yield from _named(kind, place, whose, _VDSMS if of_vdsm else mend)


def _named(kind: NeedKind, name: Optional[str], whose: str, mend: str) -> Iterator[Need]:
    if name and name.strip():
        yield Need(kind, name.strip(), one_line(whose), mend)


# --- what oVirt has left ----------------------------------------------------------------------


def _notes_of_ovirt(root: ElementTree.Element) -> Iterator[Mark]:
    notes = [note for note in root.findall("metadata/*") if note.tag.startswith(_OVIRT)]
    if notes:
        yield Mark(
            "it has oVirt's own notes (<metadata>, ovirt-vm)",
            "oVirt's notes: take them out: a vdsm on one of the hosts would call the VM its own",
        )


def _foreign_leases(root: ElementTree.Element) -> Iterator[Mark]:
    for lease in _others_leases(root):
        yield Mark(
            f"it has {_lease_text(lease)}, in which sanlock has to be on each host",
            f"{_lease_text(lease)}: take it out, unless all hosts are in that lockspace anyway",
        )


def _secure_displays(root: ElementTree.Element) -> Iterator[Mark]:
    for display in root.findall("devices/graphics"):
        modes = [channel.get("mode") for channel in display.findall("channel")]
        secure = "secure" in [*modes, display.get("defaultMode")]
        if secure or display.get("tlsPort") is not None:
            kind = one_line(display.get("type", ""))
            yield Mark(
                f"its {kind} display asks for TLS",
                f"the {kind} display: take tlsPort, defaultMode and the secure <channel> out, or "
                f"give libvirt certificates and {kind}_tls = 1 in /etc/libvirt/qemu.conf",
            )


def _others_leases(root: ElementTree.Element) -> list[ElementTree.Element]:
    return [lease for lease in root.findall("devices/lease") if not is_engine_lease(lease)]


def _lease_text(lease: ElementTree.Element) -> str:
    lockspace, key = lease.findtext("lockspace", ""), lease.findtext("key", "")
    return f"the lease {one_line(key)} of the lockspace {one_line(lockspace)}"
