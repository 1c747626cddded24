# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Has this host what a domain XML names, and does its libvirt take the rest?

The XML may come from another kind of host, oVirt's above all. libvirt looks at files, bridges and
networks only when it starts the VM, and stops at the first thing that is wrong; so what can
be looked at is looked at here, all of it, and libvirt judges the XML itself (`check_xml`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Optional

from hosted_engine.errors import CommandError
from hosted_engine.host.probes import Probes
from metadata.domain_needs import Need, NeedKind, foreign_marks, host_needs, without_emulator
from world.ports.errors import HypervisorError, HypervisorGoneError
from world.ports.libvirt import AdministeredHypervisor

CHANGE_XML = (
    "libvirt: change in the domain XML what it refuses (what this host offers: virsh "
    "domcapabilities)"
)

Ask = Callable[[Callable[[], Any]], Any]
"""How a question to libvirt is asked, and kept in its time; raises CommandError beyond it."""


@dataclass(frozen=True)
class DomainLook:
    """What was found, in words for people.

    missing  parts of the XML that this host has not
    refusal  why libvirt makes no VM of the XML; empty: it does, or does not answer
    marks    what may trouble although nothing of it is missing
    doubts   what libvirt has not told; `is_unjudged`: it was silent on the XML as a whole
    mends    what to do about all of it
    has_emulator  false: the emulator is among what is missing, and libvirt judged without it
    """

    missing: tuple[str, ...] = ()
    refusal: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    mends: tuple[str, ...] = ()
    has_emulator: bool = True
    is_unjudged: bool = False

    @property
    def problems(self) -> tuple[str, ...]:
        """Why this host could not start the engine from it."""
        return (*self.missing, *self.refusal)


def look_at_xml(
    xml: str, probes: Probes, hypervisor: AdministeredHypervisor, ask: Ask
) -> DomainLook:
    """Every part of the domain XML that this host has not; raises DomainXmlError."""
    needs, marks = host_needs(xml), foreign_marks(xml)
    libvirt = _Libvirt(hypervisor, ask)
    missing = [need for need in needs if _is_missing(need, probes, libvirt)]
    has_emulator = not any(need.whose == "the emulator" for need in missing)
    # libvirt stops at an emulator that is not here; it is told already, the rest is not.
    refusal = libvirt.refusal(xml if has_emulator else without_emulator(xml))
    mends = [f"{need.whose}: {need.mend}" for need in missing] + [mark.mend for mark in marks]
    mends += [CHANGE_XML] if refusal else []
    return DomainLook(
        tuple(f"no {need.kind.value} {need.name} ({need.whose})" for need in missing),
        tuple(refusal),
        tuple(mark.what for mark in marks),
        tuple(libvirt.doubts),
        tuple(dict.fromkeys(mends)),
        has_emulator,
        libvirt.is_silent,
    )


def _is_missing(need: Need, probes: Probes, libvirt: _Libvirt) -> bool:
    """Is it surely not here?"""
    if need.kind in (NeedKind.PATH, NeedKind.FOLDER):
        return probes.is_missing(need.name)
    if need.kind in (NeedKind.BRIDGE, NeedKind.DEVICE):
        return probes.bridge(need.name) is None
    return libvirt.lacks(need)


class _Libvirt:
    """This host's libvirt, as far as it answers; `doubts` is what it does not tell, in words."""

    def __init__(self, hypervisor: AdministeredHypervisor, ask: Ask) -> None:
        self._hypervisor = hypervisor
        self._ask = ask
        self.doubts: list[str] = []
        self.is_silent = False

    def lacks(self, need: Need) -> bool:
        """Has it surely no network, or filter, of this name?"""
        look = self._hypervisor.has_network
        if need.kind is NeedKind.FILTER:
            look = self._hypervisor.has_network_filter
        try:
            return self._answer(partial(look, need.name)) is False
        except HypervisorError as error:  # a libvirt without that part of it
            self.doubts.append(f"{need.kind.value} {need.name}: {error.why}")
        return False

    def refusal(self, xml: str) -> list[str]:
        """Why it can't make a VM of this XML; empty: it can, or does not answer."""
        try:
            self._answer(partial(self._hypervisor.check_xml, xml))
        except HypervisorError as error:
            return [f"libvirt refuses the XML: {error.why}"]
        return []

    def _answer(self, question: Callable[[], Any]) -> Optional[Any]:
        """None as soon as it has been silent once: each question may take all the time.

        Raises HypervisorError for what it says no to.
        """
        if self.is_silent:
            return None
        try:
            return self._ask(question)
        except (CommandError, HypervisorGoneError) as error:
            self.doubts.append(f"libvirt has not looked at it: {error}")
            self.is_silent = True
        return None
