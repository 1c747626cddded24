"""Has this host what the engine's domain XML names, and does its libvirt take the rest?

The XML may come from another kind of host, oVirt's above all. libvirt looks at files, bridges and
networks only when it starts the VM, and stops at the first thing that is wrong; so what can
be looked at is looked at here, all of it, and libvirt judges the XML itself (`check_xml`).
"""

from __future__ import annotations

from functools import partial
from typing import Callable, Optional, TypeVar

from hosted_engine.deploy.check_input import Subject
from hosted_engine.deploy.findings import Finding, fail, ok, warn
from hosted_engine.errors import CommandError
from hosted_engine.host.deadline import LIBVIRT_DEADLINE_S, within_deadline
from hosted_engine.host.libvirt_unit import libvirt_hint
from hosted_engine.host.probes import Probes
from metadata.domain_needs import Need, NeedKind, foreign_marks, host_needs, without_emulator
from metadata.errors import DomainXmlError
from world.ports.errors import HypervisorError, HypervisorGoneError

T = TypeVar("T")

_CHANGE_XML = (
    "libvirt: change in the domain XML what it refuses (what this host offers: virsh "
    "domcapabilities)"
)
_NO_DOMAIN = ""  # libvirt itself is asked, not a domain of it


def check_domain(subject: Subject) -> Finding:
    """Every part of the domain XML that this host has not, each with what to do.

    A deployed host goes on with what it has: there it is a warning.
    """
    xml = subject.given_domain_xml()
    try:
        needs, marks = host_needs(xml), foreign_marks(xml)
    except DomainXmlError:
        return warn("not looked at: the domain XML can't be read (see engine)")
    libvirt = _Libvirt(subject)
    missing = [need for need in needs if _is_missing(need, subject.world.probes, libvirt)]
    refusal = libvirt.refusal(_for_libvirt(xml, missing))
    problems = [*(_text(need) for need in missing), *refusal]
    told = "; ".join([*problems, *(mark.what for mark in marks), *libvirt.doubts])
    if not told:
        return ok("all that it names is here, and libvirt takes it")
    mends = [f"{need.whose}: {need.mend}" for need in missing] + [mark.mend for mark in marks]
    mends += [_CHANGE_XML] if refusal else []
    if problems and subject.deployed is None:
        return fail(f"the engine could not be started on this host: {told}", *_once(mends))
    return warn(told, *_once(mends))


def _once(mends: list[str]) -> list[str]:
    return list(dict.fromkeys(mends))


def _text(need: Need) -> str:
    return f"no {need.kind.value} {need.name} ({need.whose})"


def _for_libvirt(xml: str, missing: list[Need]) -> str:
    """libvirt stops at an emulator that is not here; it is told already, the rest is not."""
    emulators = [need for need in missing if need.whose == "the emulator"]
    return without_emulator(xml) if emulators else xml


def _is_missing(need: Need, probes: Probes, libvirt: _Libvirt) -> bool:
    """Is it surely not here?"""
    if need.kind in (NeedKind.PATH, NeedKind.FOLDER):
        return probes.is_missing(need.name)
    if need.kind in (NeedKind.BRIDGE, NeedKind.DEVICE):
        return probes.bridge(need.name) is None
    return libvirt.lacks(need)


class _Libvirt:
    """This host's libvirt, as far as it answers; `doubts` is what it does not tell, in words."""

    def __init__(self, subject: Subject) -> None:
        self._hypervisor = subject.world.hypervisor(subject.libvirt_uri, _NO_DOMAIN)
        self.doubts: list[str] = []
        self._is_silent = False

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

    def _answer(self, question: Callable[[], T]) -> Optional[T]:
        """None as soon as it has been silent once: each question may take all the time.

        Raises HypervisorError for what it says no to.
        """
        if self._is_silent:
            return None
        try:
            return within_deadline(question, libvirt_hint(), LIBVIRT_DEADLINE_S)
        except (CommandError, HypervisorGoneError) as error:
            self.doubts.append(f"libvirt has not looked at it: {error}")
            self._is_silent = True
        return None
