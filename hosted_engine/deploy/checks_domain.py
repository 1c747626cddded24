"""`--deploy`'s check of the engine's domain XML: has this host all that it names?"""

from __future__ import annotations

from typing import Any, Callable

from hosted_engine.deploy.check_input import Subject
from hosted_engine.deploy.findings import Finding, fail, ok, warn
from hosted_engine.host.deadline import LIBVIRT_DEADLINE_S, within_deadline
from hosted_engine.host.domain_look import look_at_xml
from hosted_engine.host.libvirt_unit import libvirt_hint
from metadata.errors import DomainXmlError

_NO_DOMAIN = ""  # libvirt itself is asked, not a domain of it


def check_domain(subject: Subject) -> Finding:
    """Every part of the domain XML that this host has not, each with what to do.

    A deployed host goes on with what it has: there it is a warning.
    """
    hypervisor = subject.world.hypervisor(subject.libvirt_uri, _NO_DOMAIN)
    try:
        look = look_at_xml(
            subject.given_domain_xml(), subject.world.probes, hypervisor, _in_its_time
        )
    except DomainXmlError:
        return warn("not looked at: the domain XML can't be read (see engine)")
    told = "; ".join([*look.problems, *look.marks, *look.doubts])
    if not told:
        return ok("all that it names is here, and libvirt takes it")
    if look.problems and subject.deployed is None:
        return fail(f"the engine could not be started on this host: {told}", *look.mends)
    return warn(told, *look.mends)


def _in_its_time(question: Callable[[], Any]) -> Any:
    return within_deadline(question, libvirt_hint(), LIBVIRT_DEADLINE_S)
