# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""From which version of the shared configuration the VM here was started, as far as it is known.

A domain XML holds from the engine's next start. So after an edit or a rollback the VM goes on with
what it was started from, and only who started it knows which version that was. A VM that
somebody else started, or that came by migration, is not known.
"""

from __future__ import annotations

import zlib
from typing import Optional

from metadata.value_class import value_class
from world.ports.libvirt import Domain


@value_class(frozen=True)
class StartedFrom:
    """The process `vm_id` was started from version `version`, whose XML has this checksum."""

    vm_id: str
    version: int
    xml_crc: int


def checksum(domain_xml: str) -> int:
    """Tells one XML from another; an agent has no need of a library for digests."""
    return zlib.crc32(domain_xml.encode("utf-8", "surrogatepass"))


class StartWatch:
    """Remembers what a start was made from until the process that came out of it is seen.

    `known` is what is worth keeping; None: nothing is known of a VM here.
    """

    def __init__(self, known: Optional[StartedFrom] = None) -> None:
        self.known = known
        self._ordered: Optional[tuple[int, int]] = None
        self._pid: Optional[int] = None

    def ordered(self, version: Optional[int], domain_xml: str) -> None:
        """A start from this version begins."""
        self._ordered = None if version is None else (version, checksum(domain_xml))
        self._pid = None

    def ended(self, domain: Optional[Domain]) -> None:
        """The start ended, with this domain if it succeeded."""
        self._pid = domain.pid if domain is not None else None

    def look(self, domain: Domain, vm_id: str) -> None:
        """`vm_id` says which process `domain` is; empty: that is not known now."""
        if not vm_id:
            return
        if self._ordered is not None and self._pid is not None and domain.pid == self._pid:
            self.known, self._ordered = StartedFrom(vm_id, *self._ordered), None
        elif self.known is not None and self.known.vm_id != vm_id:
            self.known = None

    def older_version(self, vm_id: str, domain_xml: str) -> Optional[int]:
        """The version that the VM runs from, where its XML is not the one in use; else None."""
        known = self.known
        if known is None or not vm_id or known.vm_id != vm_id or not domain_xml:
            return None
        return known.version if known.xml_crc != checksum(domain_xml) else None
