# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Could the engine live here: its domain and what that names, memory, health page, network?"""

from __future__ import annotations

from typing import Any, Callable
from urllib.parse import urlsplit

from hosted_engine.deploy.check_input import Subject
from hosted_engine.deploy.findings import Finding, fail, ok, warn
from hosted_engine.host.deadline import LIBVIRT_DEADLINE_S, within_deadline
from hosted_engine.host.domain_look import look_at_xml
from hosted_engine.host.environment import Environment
from hosted_engine.host.libvirt_unit import libvirt_hint
from metadata.domain_xml import (
    MemoryNeed,
    domain_name,
    lease_problems,
    memory_need,
    names_lease,
)
from metadata.errors import DomainXmlError
from metadata.settings.network_target import host_and_port
from world.ports.errors import WorldError
from world.ports.host import MemoryFree
from world.ports.network import HealthReading, ProbeReading

_MIB = 1024 * 1024
_PROBES = 3
_PROBE_TIMEOUT_S = 1.0
_PAGE_TIMEOUT_S = 10.0
_NO_DOMAIN = ""  # libvirt itself is asked, not a domain of it

# --- the engine -----------------------------------------------------------------------------


def check_engine(subject: Subject) -> Finding:
    """Its domain has the lease, at this host's path."""
    xml = subject.domain_xml()
    problems = lease_problems(xml, subject.parts)
    if problems:
        why = f"the engine could not run on this host: {'; '.join(problems)}"
        # Where it is at another place only; what else is wrong says itself what is to be done.
        same_path = ("mount or link the storage to the same path on all hosts",)
        return fail(why, *(same_path if names_lease(xml) else ()))
    return ok(f"domain {domain_name(xml)}, with its lease")


def check_memory(subject: Subject) -> Finding:
    """Enough for the engine, as far as nothing runs here yet."""
    if subject.deployed is not None:
        return ok("not looked at on a host that is deployed: the engine may run here")
    try:
        need = memory_need(subject.domain_xml())
    except DomainXmlError as error:
        return warn(f"what the engine needs is not known: {error.why}")
    given_mib = subject.cluster.monitors.memory_needed_mib
    needed = given_mib * _MIB if given_mib else need.size_bytes
    free, kind = _free_memory(subject.world.probes.memory(), need)
    detail = f"{free // _MIB} MiB {kind}, the engine needs {needed // _MIB} MiB"
    if free >= needed:
        return ok(detail)
    more = "free memory here, or give the engine less (<memory> in its domain XML)"
    if subject.answers.creates:
        return fail(detail, more)
    return warn(f"{detail}: while that is so, it can't start on this host", more)


def _free_memory(memory: MemoryFree, need: MemoryNeed) -> tuple[int, str]:
    """Bytes that count, and what they are in words."""
    if not need.huge_pages:
        return memory.available_bytes, "available"
    usual = () if memory.usual_huge_page is None else (memory.usual_huge_page,)
    sizes = need.page_sizes or usual
    return sum(free for size, free in memory.huge_free_bytes if size in sizes), "in huge pages"


def check_page(subject: Subject) -> Finding:
    """Where the engine's health is asked for has an address, and answers what it should.

    Asked once: the engine of a new cluster need not run yet.
    """
    engine = subject.cluster.engine
    if not engine.page_url:
        return warn(
            "none: an engine whose service hangs is not seen, only one whose VM ends",
            "give engine.fqdn, or engine.health_url, in the answers of the first host",
        )
    name = urlsplit(engine.page_url).hostname or ""
    try:
        subject.world.probes.resolve(name)
    except WorldError as error:
        return warn(
            f"{engine.page_url}: {error}, so the engine's health can't be seen from this host",
            f"give {name} an address in the DNS, or in this host's /etc/hosts",
        )
    reading = subject.world.probes.health_page().check(
        engine.page_url,
        engine.health_text,
        min(engine.health_timeout_s, _PAGE_TIMEOUT_S),
        engine.health_ca_file,
    )
    return _page_finding(reading, engine.page_url, subject.answers.creates)


def _page_finding(reading: HealthReading, url: str, creates: bool) -> Finding:
    """What one look at the page says of the settings."""
    told = f"{url}: {reading.seen if reading.good else reading.detail}"
    if reading.good:
        return ok(told)
    if not reading.known:
        return warn(f"{told}; while that is so, the engine's health is not known on this host")
    if reading.seen:
        return warn(
            f"{told}; asked once, it answered: {reading.seen}",
            "fine while the engine starts; else the hosts would take it for ill and restart it: "
            "look at engine.health_url and engine.health_text",
        )
    if creates:
        return ok(f"{told}, as long as no engine runs")
    return warn(
        f"{told}: the engine does not run, or can't be reached from this host",
        "hosted-engine --vm-status on another host says which",
    )


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


# --- the network ----------------------------------------------------------------------------


def check_bridge(world: Environment, name: str) -> Finding:
    """The management bridge is there, and up."""
    if not name:
        return ok("none named, none watched")
    look = world.probes.bridge(name)
    if look is None:
        there = ", ".join(world.probes.bridges()) or "none"
        return fail(
            f"this host has no {name} (its bridges: {there})",
            f"make it: nmcli connection add type bridge ifname {name}, or (Debian, ifupdown) "
            "package bridge-utils and a stanza with bridge_ports in /etc/network/interfaces",
            "or give this host's own bridge in the answers: host.bridge",
        )
    if not look.up:
        return warn(f"{look.detail}: while that is so, this host's score is lower")
    return ok(look.detail)


def check_network(subject: Subject) -> Finding:
    """The test that the cluster's settings name succeeds, as it will have to all the time."""
    network, probe = subject.cluster.network, subject.world.probes.network()
    target = network.target or (subject.gateway if network.test == "ping" else "")
    if network.test == "none":
        return ok("not watched (network.test is none)")
    if network.test == "ping" and not target:
        return warn(
            "no gateway: the answers name none (host.gateway) and this host has no default route, "
            "so the network will not be watched",
            "give host.gateway in the answers",
        )

    def ask() -> ProbeReading:
        if network.test == "dns":
            return probe.dns(target, _PROBE_TIMEOUT_S)
        if network.test == "tcp":
            return probe.tcp(*host_and_port(target), _PROBE_TIMEOUT_S)
        return probe.ping(target, _PROBE_TIMEOUT_S)

    asked = "dns (over TCP, question '. NS')" if network.test == "dns" else network.test
    what = f"{asked} to {target or 'the name servers of resolv.conf'}"
    for _ in range(_PROBES):
        reading = ask()
        seen = f" ({reading.detail})" if reading.detail else ""
        if reading.answered:
            return ok(f"{what} is answered{seen}")
    weight = subject.cluster.score.network
    return warn(
        f"{what} is not answered{seen}: it would cost this host {weight} points of its score",
        "look at cables, addresses and routes; where it never answers, give network.test and "
        "network.target, or another host.gateway",
    )
