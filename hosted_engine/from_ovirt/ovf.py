# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The OVF in which oVirt's portal keeps a VM, and the OVF_STORE with those of all its VMs. Pure.

OVF_STORE is a volume with a tar: one ``UUID.ovf`` for each VM. In an OVF of oVirt's the elements
``Content``, ``Section`` and ``Item`` have no name space, the items' values have one.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from hosted_engine.errors import CommandError
from metadata.error_words import reason, shown
from metadata.plain_text import one_line

MOST_BYTES = 256 * 1024 * 1024
"""Of an OVF_STORE; oVirt makes volumes of 128 MiB."""

MOST_OVF_BYTES = 4 * 1024 * 1024
_TAR_MAGIC = slice(257, 262)
_SPACES = ("http://schemas.dmtf.org/ovf/envelope/1", "http://schemas.dmtf.org/ovf/envelope/1/")
_CPU, _MEMORY, _NETWORK, _DISK = "3", "4", "10", "17"
_MEBIBYTES = ("megabytes", "mb", "byte * 2^20", "byte*2^20")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")
_NIC_MODELS = {"1": "rtl8139", "2": "e1000", "3": "virtio"}


@dataclass(frozen=True)
class OvfNic:
    """A network card; `model` is libvirt's, None for one that oVirt alone has."""

    uuid: str
    mac: str
    network: str
    model: Optional[str]
    linked: bool = True
    plugged: bool = True


@dataclass(frozen=True)
class OvfVm:
    """A VM as the portal has it. `others` names what the OVF says beside."""

    uuid: str
    name: str
    memory_mib: int
    sockets: int
    cores: int
    threads: int
    max_memory_mib: Optional[int] = None
    max_vcpus: Optional[int] = None
    nics: tuple[OvfNic, ...] = ()
    disks: tuple[str, ...] = ()
    cpu_model: str = ""
    machine: str = ""
    others: tuple[str, ...] = ()

    @property
    def vcpus(self) -> int:
        """CPUs that the guest has from its start."""
        return self.sockets * self.cores * self.threads


def read_ovf(data: bytes, uuid: str, name: str) -> OvfVm:
    """That of the VM with this `uuid`, or, where that is empty, this `name`, in an OVF or a tar.

    Raises CommandError: no such VM, more than one, or nothing that can be read.
    """
    if data[_TAR_MAGIC] == b"ustar":
        return _of_store(data, uuid, name)
    vm = parse_ovf(data)
    if _is_wanted(vm, uuid, name):
        return vm
    raise CommandError(
        f"the OVF is that of {_vm_text(vm)}; the engine is {_wanted_text(uuid, name)}"
    )


def _is_wanted(vm: OvfVm, uuid: str, name: str) -> bool:
    return vm.uuid.lower() == uuid.lower() if uuid else vm.name == name


def _vm_text(vm: OvfVm) -> str:
    return f"{one_line(vm.name)} ({one_line(vm.uuid)})"


def _wanted_text(uuid: str, name: str) -> str:
    return f"{name} ({uuid or 'its domain XML has no <uuid>'})"


# --- the tar ----------------------------------------------------------------------------------


def _of_store(data: bytes, uuid: str, name: str) -> OvfVm:
    texts = _ovf_texts(data)
    if uuid:
        text = texts.get(f"{uuid.lower()}.ovf")
        found = [] if text is None else [parse_ovf(text)]
    else:
        found = [vm for vm in _readable(texts) if vm.name == name]
    if len(found) == 1 and _is_wanted(found[0], uuid, name):
        return found[0]
    held = ", ".join(_vm_text(vm) for vm in found or list(_readable(texts))[:5])
    what = "more than one VM of this name" if len(found) > 1 else "no such VM"
    raise CommandError(
        f"the OVF_STORE has {what}: {_wanted_text(uuid, name)}; it has {len(texts)} OVFs"
        + (f", {held}" if held else "")
    )


def _ovf_texts(data: bytes) -> dict[str, bytes]:
    """By file name in small letters; of a name that is there twice the last counts, as in tar."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2].lower()
                if member.isreg() and name.endswith(".ovf") and member.size <= MOST_OVF_BYTES:
                    file = archive.extractfile(member)
                    found[name] = b"" if file is None else file.read()
    except (tarfile.TarError, OSError, ValueError) as error:
        raise CommandError(f"the OVF_STORE's tar can't be read: {reason(error)}") from error
    return found


def _readable(texts: dict[str, bytes]) -> Iterator[OvfVm]:
    """Another VM's OVF that can't be read is none of our business."""
    for text in texts.values():
        try:
            yield parse_ovf(text)
        except CommandError:
            continue


# --- one OVF ----------------------------------------------------------------------------------


class _RefusingBuilder(ElementTree.TreeBuilder):
    def doctype(self, name: str, _pubid: Optional[str], _system: Optional[str]) -> None:
        raise CommandError(f"the OVF has a document type ({shown(name)}): it is refused")


def parse_ovf(data: bytes) -> OvfVm:
    """The VM in one OVF; raises CommandError."""
    content = _content(data)
    items = [item for item in content.iter() if _local(item) == "Item"]
    cpu, memory = _item(items, _CPU, "CPUs"), _item(items, _MEMORY, "memory")
    unit = _value(memory, "AllocationUnits") or "MegaBytes"
    if unit.lower() not in _MEBIBYTES:
        raise CommandError(f"the OVF's memory is in {shown(unit)}; allowed: MegaBytes")
    return OvfVm(
        uuid=_uuid(content),
        name=_value(content, "Name"),
        memory_mib=_number(memory, "VirtualQuantity", 1 << 24),
        sockets=_number(cpu, "num_of_sockets", 4096),
        cores=_number(cpu, "cpu_per_socket", 4096),
        threads=_number(cpu, "threads_per_cpu", 4096) if _value(cpu, "threads_per_cpu") else 1,
        max_memory_mib=_optional(content, "MaxMemorySizeMb", 1 << 26),
        max_vcpus=_optional(cpu, "max_num_of_vcpus", 4096),
        nics=tuple(_nic(item) for item in items if _value(item, "ResourceType") == _NETWORK),
        disks=tuple(_disk(item) for item in items if _value(item, "ResourceType") == _DISK),
        cpu_model=_value(content, "CustomCpuName"),
        machine=_value(content, "CustomEmulatedMachine"),
        others=_others(content),
    )


_TAKEN = frozenset({"Name", "MaxMemorySizeMb", "CustomCpuName", "CustomEmulatedMachine", "Section"})


def _content(data: bytes) -> Element:
    parser = ElementTree.XMLParser(target=_RefusingBuilder())
    try:
        parser.feed(data)
        root: Element = parser.close()
    except (ElementTree.ParseError, ValueError) as error:
        raise CommandError(f"this is neither an OVF nor a tar of them: {error}") from error
    space, _, tag = root.tag.rpartition("}")
    content = next((child for child in root if _local(child) == "Content"), None)
    if tag != "Envelope" or space[1:] not in _SPACES or content is None:
        raise CommandError(
            f"the document begins with <{one_line(tag)}>; allowed: an OVF as oVirt writes it, "
            "<Envelope> with <Content>"
        )
    return content


def _uuid(content: Element) -> str:
    for section in content:
        kind = [value for key, value in section.attrib.items() if key.endswith("}type")]
        if _local(section) == "Section" and kind == ["ovf:OperatingSystemSection_Type"]:
            found = [section.get(f"{{{space}}}id", "") for space in _SPACES]
            return "".join(found)
    return ""


def _item(items: list[Element], kind: str, what: str) -> Element:
    found = [item for item in items if _value(item, "ResourceType") == kind]
    if len(found) != 1:
        raise CommandError(f"the OVF has {len(found)} items of its {what}, must have exactly one")
    return found[0]


def _nic(item: Element) -> OvfNic:
    mac = _value(item, "MACAddress")
    if not _MAC.fullmatch(mac):
        raise CommandError(
            f"the OVF's network card {shown(_value(item, 'Name'))} has the MAC address "
            f"{shown(mac)}; allowed: six pairs of hexadecimal digits with colons"
        )
    return OvfNic(
        uuid=_value(item, "InstanceId"),
        mac=mac.lower(),
        network=_value(item, "Connection"),
        model=_NIC_MODELS.get(_value(item, "ResourceSubType")),
        linked=_value(item, "Linked").lower() != "false",
        plugged=_value(item, "IsPlugged").lower() != "false",
    )


def _disk(item: Element) -> str:
    return _value(item, "HostResource").partition("/")[0] or _value(item, "InstanceId")


def _others(content: Element) -> tuple[str, ...]:
    """Names of settings with a value."""
    names = [_local(child) for child in content if (child.text or "").strip()]
    return tuple(dict.fromkeys(name for name in names if name not in _TAKEN))


def _optional(parent: Element, name: str, most: int) -> Optional[int]:
    return _number(parent, name, most) if _value(parent, name) else None


def _number(parent: Element, name: str, most: int) -> int:
    text = _value(parent, name)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise CommandError(f"the OVF's {name} is {shown(text)}; allowed: 1 to {most}")
    return int(text)


def _value(parent: Element, name: str) -> str:
    for child in parent:
        if _local(child) == name:
            return (child.text or "").strip()
    return ""


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
