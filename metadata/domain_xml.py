# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The rule on the engine's domain XML, that it carries the engine's lease exactly once; and
what memory it asks for.

The lease makes libvirt's lock manager take the engine's sanlock resource for the qemu
process before the guest runs; without it two engines could run. Only the standard parser
is used; a document type (and with it every entity) is refused.
"""

from __future__ import annotations

import re
from typing import Optional, Union
from xml.etree import ElementTree

from metadata.error_words import shown
from metadata.errors import DomainXmlError
from metadata.layout import LEASE_NAME, LOCKSPACE_NAME
from metadata.older_files import older_file
from metadata.plain_text import one_line, steers
from metadata.storage_parts import StorageParts
from metadata.value_class import value_class

_BINARY = {"k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}
_DECIMAL = {"k": 3, "m": 6, "g": 9, "t": 12, "p": 15, "e": 18}
_UNITS = "b, bytes, KB, KiB, MB, MiB, GB, GiB, TB, TiB, PB, PiB, EB, EiB"


@value_class(frozen=True)
class MemoryNeed:
    """What qemu takes for the guest's memory.

    With `huge_pages` it comes from the pools of huge pages whose sizes in bytes are
    `page_sizes`; none named: from those of the host's usual size.
    """

    size_bytes: int
    huge_pages: bool = False
    page_sizes: tuple[int, ...] = ()


def lease_element(parts: StorageParts) -> str:
    """The element, in one line, that the XML must have in its ``<devices>``."""
    lease = ElementTree.Element("lease")
    ElementTree.SubElement(lease, "lockspace").text = LOCKSPACE_NAME
    ElementTree.SubElement(lease, "key").text = LEASE_NAME
    address = {"path": parts.lease.path, "offset": str(parts.lease.offset)}
    ElementTree.SubElement(lease, "target", address)
    return ElementTree.tostring(lease, encoding="unicode")


def domain_name(xml: str) -> str:
    """The domain's name; raises DomainXmlError when the XML has no single one."""
    names = parse_domain(xml).findall("name")
    name = (names[0].text or "").strip() if len(names) == 1 else ""
    if not name:
        raise DomainXmlError("the domain XML must have exactly one <name> with a text in it")
    if steers(name, allowed=""):
        raise DomainXmlError(
            f"the domain XML's <name> {shown(name)} is refused; allowed: one line of printable "
            "characters"
        )
    return name


def lease_problems(xml: str, parts: StorageParts) -> list[str]:
    """Why the engine may not be started from `xml`, in sentences; empty: it may.

    Leases of other lockspaces or with other keys are left alone.
    """
    try:
        leases = _engine_leases(xml)
    except DomainXmlError as error:
        return [error.why]
    if len(leases) == 1:
        return _target_problems(leases[0], parts)
    if leases:
        return [
            f"the domain XML has {len(leases)} leases {shown(LEASE_NAME)} of lockspace "
            f"{shown(LOCKSPACE_NAME)}; keep one only: {lease_element(parts)}"
        ]
    return [
        f"the domain XML has no lease {shown(LEASE_NAME)} of lockspace {shown(LOCKSPACE_NAME)}; "
        f"add to its <devices>: {lease_element(parts)}"
    ]


def names_lease(xml: str) -> bool:
    """Does it name the engine's lease, if not at the right place? What can't be read does not."""
    try:
        return len(_engine_leases(xml)) == 1
    except DomainXmlError:
        return False


def _engine_leases(xml: str) -> list[ElementTree.Element]:
    found = parse_domain(xml).findall("devices/lease")
    return [lease for lease in found if is_engine_lease(lease)]


def memory_need(xml: str) -> MemoryNeed:
    """The memory that the domain needs to start; raises DomainXmlError.

    That is its ``<memory>``, not the ``<currentMemory>`` that a balloon leaves it later. Pages
    of several sizes (one for each NUMA node of the guest) are not told apart: together they
    must do.
    """
    root = parse_domain(xml)
    sizes = root.findall("memory")
    if len(sizes) != 1:
        raise DomainXmlError(f"the domain XML has {len(sizes)} <memory>, must have exactly one")
    huge = root.find("memoryBacking/hugepages")
    pages = [] if huge is None else huge.findall("page")
    return MemoryNeed(
        size_bytes=_scaled(sizes[0], (sizes[0].text or "").strip()),
        huge_pages=huge is not None,
        page_sizes=tuple(sorted({_scaled(page, page.get("size", "")) for page in pages})),
    )


class _DomainBuilder(ElementTree.TreeBuilder):
    """Refuses a document type as soon as it begins, before any entity is read."""

    def doctype(self, name: str, _pubid: Optional[str], _system: Optional[str]) -> None:
        raise DomainXmlError(f"the domain XML has a document type ({shown(name)}): remove it")


def parse_domain(xml: str) -> ElementTree.Element:
    """The document's root, a ``<domain>``; raises DomainXmlError."""
    parser = ElementTree.XMLParser(target=_DomainBuilder())
    try:
        parser.feed(xml)
        root: ElementTree.Element = parser.close()
    except DomainXmlError:
        raise
    except (ElementTree.ParseError, ValueError) as error:  # ValueError: a lone surrogate
        why = older_file(xml) or f"the domain XML can't be read: {error}"
        raise DomainXmlError(why) from error
    if root.tag != "domain":
        raise DomainXmlError(
            f"the domain XML begins with <{one_line(root.tag)}>, must begin with <domain>"
        )
    return root


def is_engine_lease(lease: ElementTree.Element) -> bool:
    """Has this ``<lease>`` the names of the engine's, wherever it lies?"""
    return (_text(lease, "lockspace"), _text(lease, "key")) == (LOCKSPACE_NAME, LEASE_NAME)


def _text(element: ElementTree.Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()


def _target_problems(lease: ElementTree.Element, parts: StorageParts) -> list[str]:
    targets = lease.findall("target")
    found = [(target.get("path"), _offset(target)) for target in targets]
    if found == [(parts.lease.path, parts.lease.offset)]:
        return []
    places = ", ".join(
        f"{f'path {shown(path)}' if path else 'no path'} offset {shown(offset)}"
        for path, offset in found
    )
    return [
        f"the lease of the domain XML lies at {places or 'no target'}, must lie at "
        f"path {shown(parts.lease.path)} offset {parts.lease.offset}; "
        f"replace it with: {lease_element(parts)}"
    ]


def _offset(target: ElementTree.Element) -> Union[int, str]:
    """libvirt takes a missing offset for 0."""
    text = target.get("offset", "0").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else text


def _scaled(element: ElementTree.Element, number: str) -> int:
    return memory_bytes(element.tag, number, element.get("unit", "KiB"))


def memory_bytes(tag: str, number: str, unit: str = "KiB") -> int:
    """Bytes, of the size in an element as libvirt takes it (a missing unit is KiB).

    Raises DomainXmlError, which names the element's tag.
    """
    factor = _unit_bytes(unit)
    if factor is None:
        raise DomainXmlError(
            f"the domain XML's <{tag}> has the unit {shown(unit)}; allowed: {_UNITS}"
        )
    if not re.fullmatch(r"[0-9]{1,18}", number) or int(number) == 0:
        raise DomainXmlError(
            f"the domain XML's <{tag}> says {shown(number)}; allowed: a whole number above 0"
        )
    return int(number) * factor


def _unit_bytes(unit: str) -> Optional[int]:
    """As in libvirt: a prefix alone, or one with "iB", counts in 1024s; with "B" in 1000s."""
    word = unit.lower()
    if word in ("b", "byte", "bytes"):
        return 1
    prefix, rest = word[:1], word[1:]
    if prefix not in _BINARY or rest not in ("", "ib", "b"):
        return None
    return int(10 ** _DECIMAL[prefix]) if rest == "b" else 1 << _BINARY[prefix]
