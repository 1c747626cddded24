# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""oVirt's vm.conf: the domain XML that is in it, or its devices. Pure.

The file has one ``devices={…}`` line for each device and, since oVirt 4.2, the whole domain XML
under ``xmlBase64``. vdsm starts the VM from the XML where there is one; the other lines mean
nothing then.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Union

from hosted_engine.errors import CommandError
from hosted_engine.from_ovirt.items import Item, dropped
from hosted_engine.from_ovirt.name_value import assignments, last_values
from metadata.error_words import reason, shown

NEED_XML = (
    "the running domain's XML is needed: on the engine's host 'virsh -r dumpxml HostedEngine > "
    "engine-now.xml', then --domain-xml=engine-now.xml"
)
_DEVICES, _XML = "devices", "xmlBase64"
_DEEPEST = 4

Device = Mapping[str, Union[str, "Device"]]
"""What stands in the braces; the values of some names have braces of their own."""


@dataclass(frozen=True)
class VmConf:
    """`values` by name, `devices` as they stand there, `xml` the domain XML, empty without one."""

    values: Mapping[str, str]
    devices: tuple[Device, ...]
    xml: str = ""


def read_vm_conf(text: str) -> VmConf:
    """The file's content; raises CommandError."""
    found = assignments(text)
    values = last_values([one for one in found if one.name != _DEVICES])
    encoded = values.pop(_XML, "")
    if encoded:
        return VmConf(values, (), _decoded(encoded))
    devices = tuple(_device(one.value) for one in found if one.name == _DEVICES)
    return VmConf(values, devices)


def beside_xml(conf: VmConf) -> list[Item]:
    """Of a file with the XML in it: what it says beside."""
    names = ", ".join(conf.values)
    return [dropped(f"vm.conf: {names}", "the domain XML says it, too, and goes first")]


def _decoded(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise CommandError(f"{_XML} can't be read: {reason(error)}; {NEED_XML}") from error


def _device(text: str) -> Device:
    """``{device:disk,address:{bus:0x00, type:pci},path:}``; raises CommandError."""
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        raise CommandError(f"devices={shown(text)} is refused; allowed: {{name:value,…}}")
    return _mapping(text, _DEEPEST)


def _mapping(text: str, deepest: int) -> Device:
    found: dict[str, Union[str, Device]] = {}
    for part in _parts(text[1:-1]):
        name, colon, value = (piece.strip() for piece in part.partition(":"))
        if not colon or not name or name in found:
            raise CommandError(
                f"devices={shown(text)} is refused: {shown(part)} in it is no name:value"
            )
        nested = value.startswith("{") and value.endswith("}") and deepest
        found[name] = _mapping(value, deepest - 1) if nested else value
    return found


def _parts(text: str) -> list[str]:
    """Split at the commas that are in no inner braces."""
    parts, depth = [""], 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth:
        raise CommandError(f"devices={shown('{' + text + '}')} is refused: its braces do not match")
    return [part for part in parts if part.strip()]
