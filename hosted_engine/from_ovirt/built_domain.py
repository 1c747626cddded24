# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A domain XML from a vm.conf that has devices only, where nothing has to be guessed. Pure.

vdsm made the XML itself then, of these lines and of rules of its own. What its rules are known to
make of a line is made here, too, with the guest's own PCI addresses; any other line is refused,
and the running domain's XML is asked for: an engine that finds its disk or network card at
another place does not boot.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Callable, Optional, TypeVar
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from hosted_engine.errors import CommandError
from hosted_engine.from_ovirt.vm_conf import NEED_XML, Device, VmConf
from metadata.error_words import shown

T = TypeVar("T")

_NIC_MODELS = {"pv": "virtio", "virtio": "virtio", "e1000": "e1000", "rtl8139": "rtl8139"}
_FORMATS = {"raw": "raw", "cow": "qcow2"}
_VIDEO = ("cirrus", "qxl", "vga", "virtio")
_BUSES = {"virtio": ("virtio", "vd"), "scsi": ("scsi", "sd"), "virtio_scsi": ("scsi", "sd")}
_RANDOM = {"urandom": "/dev/urandom", "random": "/dev/random"}
_MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
_ID = re.compile(r"[0-9A-Fa-f-]{8,36}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_MACHINE = re.compile(r"(?:pc|q35|rhel[0-9])[A-Za-z0-9._-]*")
_CPU = re.compile(r"[A-Za-z0-9._-]+")
_PCI = ("domain", "bus", "slot", "function")
_DRIVE = ("controller", "bus", "target", "unit")
_HEX = re.compile(r"0x[0-9A-Fa-f]{1,4}|[0-9]{1,5}")
# libvirt adds these by itself, at the same addresses.
_PASSED_OVER = frozenset({("controller", "usb"), ("controller", "ide")})


def built_domain(conf: VmConf) -> str:
    """The XML; raises CommandError naming the line from which nothing certain can be made."""
    root = Element("domain", type="kvm")
    _text(root, "name", _checked(conf.values, "vmName", _NAME))
    _text(root, "uuid", _checked(conf.values, "vmId", _ID))
    _text(root, "memory", str(_number(conf.values, "memSize")), unit="MiB")
    _cpus(root, conf.values)
    machine = SubElement(root, "os")
    emulated = _checked(conf.values, "emulatedMachine", _MACHINE)
    _text(machine, "type", "hvm", arch="x86_64", machine=emulated)
    SubElement(SubElement(root, "features"), "acpi")
    _text(root, "clock", None, offset="utc")
    devices = SubElement(root, "devices")
    for device in conf.devices:
        _add(devices, device)
    if devices.find("disk[@device='disk']") is None:
        raise CommandError(f"vm.conf has no disk; {NEED_XML}")
    # vdsm gave every guest this channel.
    channel = SubElement(devices, "channel", type="unix")
    _text(channel, "target", None, type="virtio", name="org.qemu.guest_agent.0")
    _text(devices, "memballoon", None, model="none")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _cpus(root: Element, values: Mapping[str, str]) -> None:
    count = _number(values, "smp")
    most = max(count, _number(values, "maxVCpus")) if values.get("maxVCpus") else count
    _text(root, "vcpu", str(most), **({"current": str(count)} if most > count else {}))
    if values.get("cpuType"):
        cpu = SubElement(root, "cpu", match="exact")
        _text(cpu, "model", _checked(values, "cpuType", _CPU))
        _text(cpu, "topology", None, sockets=str(most), cores="1", threads="1")


def _add(devices: Element, device: Device) -> None:
    kind, name = _said(device, "type"), _said(device, "device")
    if (kind, name) in _PASSED_OVER:
        return
    makers: dict[str, Callable[[Element, Device], None]] = {
        "disk": _cdrom if name == "cdrom" else _disk,
        "interface": _nic,
        "controller": _controller,
        "video": _video,
        "graphics": _graphics,
        "rng": _rng,
        "console": _console,
    }
    if kind not in makers:
        raise _uncertain(device, f"a device of the type {shown(kind)}")
    makers[kind](devices, device)


def _disk(devices: Element, device: Device) -> None:
    bus, prefix = _choice(device, "iface", _BUSES)
    parts = [_said(device, key) for key in ("domainID", "imageID", "volumeID")]
    if not all(_ID.fullmatch(part) for part in parts):
        raise _uncertain(device, "a disk without domainID, imageID and volumeID")
    disk = SubElement(devices, "disk", type="file", device="disk", snapshot="no")
    form = _choice(device, "format", _FORMATS)
    driver = {"type": form, "cache": "none", "error_policy": "stop", "io": "threads"}
    _text(disk, "driver", None, name="qemu", **driver)
    _text(disk, "source", None, file=f"/var/run/vdsm/storage/{'/'.join(parts)}")
    taken = [target.get("dev", "") for target in devices.findall("disk/target")]
    free = next(one for one in "abcdefghijklmnop" if prefix + one not in taken)
    _text(disk, "target", None, dev=f"{prefix}{free}", bus=bus)
    _text(disk, "serial", parts[1])
    order = _said(device, "bootOrder")
    if order:
        if not (order.isascii() and order.isdigit() and len(order) < 5):
            raise _uncertain(device, f"the number {shown(order)}")
        _text(disk, "boot", None, order=str(int(order)))
    _address(disk, device)


def _cdrom(devices: Element, device: Device) -> None:
    """An empty drive is not needed to boot, and its bus depends on the machine."""
    if _said(device, "path"):
        raise _uncertain(device, "a CD in the drive")


def _nic(devices: Element, device: Device) -> None:
    mac, network = _said(device, "macAddr"), _said(device, "network")
    if not _MAC.fullmatch(mac) or not network:
        raise _uncertain(device, "a network card without macAddr and network")
    nic = SubElement(devices, "interface", type="bridge")
    _text(nic, "mac", None, address=mac)
    _text(nic, "source", None, bridge=network)
    _text(nic, "model", None, type=_choice(device, "nicModel", _NIC_MODELS))
    _text(nic, "link", None, state="down" if _said(device, "linkActive") == "false" else "up")
    _address(nic, device)


def _controller(devices: Element, device: Device) -> None:
    name = _said(device, "device")
    if name not in ("scsi", "virtio-serial"):
        raise _uncertain(device, f"a controller {shown(name)}")
    controller = SubElement(devices, "controller", type=name, index="0")
    if name == "scsi":
        controller.set("model", "virtio-scsi")
    _address(controller, device)


def _video(devices: Element, device: Device) -> None:
    name = _said(device, "device")
    if name not in _VIDEO:
        raise _uncertain(device, f"a video card {shown(name)}")
    video = SubElement(devices, "video")
    _text(video, "model", None, type=name, heads="1")
    _address(video, device)


def _graphics(devices: Element, device: Device) -> None:
    name = _said(device, "device")
    if name not in ("vnc", "spice"):
        raise _uncertain(device, f"a display {shown(name)}")
    graphics = SubElement(devices, "graphics", type=name, port="-1", autoport="yes")
    _text(graphics, "listen", None, type="address", address="127.0.0.1")


def _console(devices: Element, _device: Device) -> None:
    console = SubElement(devices, "console", type="pty")
    _text(console, "target", None, type="virtio", port="0")


def _rng(devices: Element, device: Device) -> None:
    params = device.get("specParams")
    source = params.get("source", "urandom") if isinstance(params, Mapping) else "urandom"
    if source not in _RANDOM:
        raise _uncertain(device, f"random numbers from {shown(source)}")
    rng = SubElement(devices, "rng", model="virtio")
    _text(rng, "backend", _RANDOM[str(source)], model="random")
    _address(rng, device)


# --- parts ----------------------------------------------------------------------------------


def _address(element: Element, device: Device) -> None:
    """Without one libvirt chooses."""
    given = device.get("address")
    if not given or given == "None":
        return
    kind = given.get("type") if isinstance(given, Mapping) else None
    keys = {"pci": _PCI, "drive": _DRIVE}.get(str(kind))
    if keys is None or not isinstance(given, Mapping) or set(given) - {*keys, "type"}:
        raise _uncertain(device, "an address of an unknown kind")
    values = {key: str(given[key]) for key in keys if key in given}
    if not all(_HEX.fullmatch(value) for value in values.values()):
        raise _uncertain(device, "an address of an unknown kind")
    _text(element, "address", None, type=str(kind), **values)


def _text(parent: Element, tag: str, text: Optional[str], **attributes: str) -> None:
    SubElement(parent, tag, attributes).text = text


def _said(device: Device, key: str) -> str:
    value = device.get(key, "")
    return value if isinstance(value, str) and value != "None" else ""


def _choice(device: Device, key: str, known: Mapping[str, T]) -> T:
    value = _said(device, key)
    if value not in known:
        raise _uncertain(device, f"{key}:{value}")
    return known[value]


def _number(values: Mapping[str, str], key: str) -> int:
    text = values.get(key, "")
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise CommandError(
            f"vm.conf: {key}={shown(text)} is refused; allowed: a whole number above 0"
        )
    return int(text)


def _checked(values: Mapping[str, str], key: str, pattern: re.Pattern[str]) -> str:
    text = values.get(key, "")
    if not pattern.fullmatch(text):
        raise CommandError(
            f"vm.conf: nothing certain can be made of {key}={shown(text)}; {NEED_XML}"
        )
    return text


def _uncertain(device: Device, what: str) -> CommandError:
    named = _said(device, "deviceId") or _said(device, "macAddr") or _said(device, "type")
    return CommandError(f"vm.conf: nothing certain can be made of {what} ({named}); {NEED_XML}")
