# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""No engine without its lease: what the domain XML must carry."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metadata.domain_xml import (
    MemoryNeed,
    domain_name,
    lease_element,
    lease_problems,
    memory_need,
)
from metadata.errors import DomainXmlError
from metadata.layout import storage_parts

PARTS = storage_parts("/run/leases")
LEASE = (
    "<lease><lockspace>hosted-engine</lockspace><key>engine</key>"
    '<target path="/run/leases" offset="1048576" /></lease>'
)


def domain(devices: str) -> str:
    return f"<domain type='kvm'><name>Engine</name><devices>{devices}</devices></domain>"


def test_the_element_to_add():
    assert lease_element(PARTS) == LEASE


def test_the_element_to_add_is_escaped():
    parts = storage_parts('/a&"<b')
    assert lease_problems(domain(lease_element(parts)), parts) == []


def test_a_domain_with_its_lease_is_fine():
    assert lease_problems(domain("<disk/>" + LEASE), PARTS) == []
    spaced = LEASE.replace(">engine<", ">\n  engine\n<")
    declared = "<?xml version='1.0' encoding='ISO-8859-1'?>" + domain(spaced)
    assert lease_problems(declared, PARTS) == []


def test_leases_of_others_are_left_alone():
    other = LEASE.replace(">engine<", ">disk<") + LEASE.replace(">hosted-engine<", ">else<")
    assert lease_problems(domain(other + LEASE), PARTS) == []
    (problem,) = lease_problems(domain(other), PARTS)
    assert "has no lease" in problem


@pytest.mark.parametrize(
    "xml",
    [
        domain(""),
        "<domain><name>Engine</name></domain>",
        f"<domain><name>Engine</name>{LEASE}</domain>",  # libvirt looks in <devices> only
        domain(f"<disk>{LEASE}</disk>"),
        domain(f"<!-- {LEASE} -->"),
        domain("<lease><key>engine</key><target path='/run/leases' offset='1048576'/></lease>"),
    ],
)
def test_a_domain_without_its_lease_says_what_to_add(xml):
    (problem,) = lease_problems(xml, PARTS)
    assert problem.startswith("the domain XML has no lease 'engine' of lockspace 'hosted-engine'")
    assert problem.endswith(f"add to its <devices>: {LEASE}")


def test_two_engine_leases_are_refused():
    (problem,) = lease_problems(domain(LEASE + LEASE), PARTS)
    assert "has 2 leases" in problem
    assert LEASE in problem


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ("<target path='/other' offset='1048576'/>", "path '/other' offset 1048576"),
        ("<target path='/run/leases' offset='0'/>", "path '/run/leases' offset 0"),
        ("<target path='/run/leases'/>", "path '/run/leases' offset 0"),
        ("<target path='/run/leases' offset='1M'/>", "path '/run/leases' offset '1M'"),
        ("<target path='/run/leases' offset='-1'/>", "offset '-1'"),
        ("<target offset='1048576'/>", "at no path offset 1048576"),
        ("", "no target"),
        ("<target path='/a' offset='1'/><target path='/b' offset='2'/>", "path '/b' offset 2"),
    ],
)
def test_a_lease_elsewhere_is_refused(target, named):
    lease = f"<lease><lockspace>hosted-engine</lockspace><key>engine</key>{target}</lease>"
    (problem,) = lease_problems(domain(lease), PARTS)
    assert named in problem
    assert "must lie at path '/run/leases' offset 1048576" in problem
    assert problem.endswith(LEASE)


def test_a_target_at_offset_0_needs_no_offset():
    elsewhere = storage_parts("/run/leases")
    parts = type(elsewhere)(
        lockspace=elsewhere.lease,
        lease=elsewhere.lockspace,
        metadata=elsewhere.metadata,
        shared_config=elsewhere.shared_config,
    )
    xml = domain(LEASE.replace(' offset="1048576"', ""))
    assert lease_problems(xml, parts) == []


@pytest.mark.parametrize(
    ("xml", "named"),
    [
        ("", "can't be read"),
        ("no xml", "can't be read"),
        ("<domain>", "can't be read"),
        ("<domain>\0</domain>", "can't be read"),
        ("<domain>\ud800</domain>", "can't be read"),
        ("<domain>&unknown;</domain>", "can't be read"),
        ("<network/>", "begins with <network>, must begin with <domain>"),
        (f"<domains>{domain(LEASE)}</domains>", "begins with <domains>"),
    ],
)
def test_what_is_no_domain_xml_is_refused(xml, named):
    (problem,) = lease_problems(xml, PARTS)
    assert named in problem
    with pytest.raises(DomainXmlError, match="domain XML"):
        domain_name(xml)


@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE domain>",
        "<!DOCTYPE domain SYSTEM 'file:///etc/passwd'>",
        "<!DOCTYPE domain [<!ENTITY a 'x'><!ENTITY b '&a;&a;'>]>",
        "<!DOCTYPE domain [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>",
    ],
)
def test_a_document_type_is_refused(doctype):
    (problem,) = lease_problems(doctype + domain(LEASE), PARTS)
    assert problem == "the domain XML has a document type ('domain'): remove it"


def test_the_domains_name():
    assert domain_name(domain("")) == "Engine"


@pytest.mark.parametrize("names", ["", "<name/>", "<name> </name>", "<name>a</name><name>b</name>"])
def test_a_domain_without_one_name(names):
    with pytest.raises(DomainXmlError, match="exactly one <name>"):
        domain_name(f"<domain>{names}<devices><name>x</name></devices></domain>")


@settings(deadline=None, max_examples=200)
@given(st.one_of(st.text(st.characters()), st.text("<>/domainlease&;![]'\"= ", max_size=60)))
def test_any_text_gives_problems_in_words(xml):
    assert all(isinstance(problem, str) for problem in lease_problems(xml, PARTS))
    assert lease_problems(xml, PARTS)


# --- memory -------------------------------------------------------------------------------------


def domain_with(memory: str) -> str:
    return f"<domain><name>engine</name>{memory}</domain>"


@pytest.mark.parametrize(
    ("unit", "size_bytes"),
    [
        ("", 3 * 1024),
        (" unit='b'", 3),
        (" unit='bytes'", 3),
        (" unit='KB'", 3000),
        (" unit='k'", 3 * 1024),
        (" unit='KiB'", 3 * 1024),
        (" unit='MB'", 3 * 10**6),
        (" unit='M'", 3 << 20),
        (" unit='MiB'", 3 << 20),
        (" unit='GB'", 3 * 10**9),
        (" unit='GiB'", 3 << 30),
        (" unit='g'", 3 << 30),
        (" unit='TB'", 3 * 10**12),
        (" unit='TiB'", 3 << 40),
        (" unit='PiB'", 3 << 50),
        (" unit='EB'", 3 * 10**18),
    ],
)
def test_memory_in_every_unit_of_libvirt(unit, size_bytes):
    xml = domain_with(f"<memory{unit}> 3 </memory><currentMemory>1</currentMemory>")
    assert memory_need(xml) == MemoryNeed(size_bytes)


@pytest.mark.parametrize(
    ("hugepages", "page_sizes"),
    [
        ("<hugepages/>", ()),
        ("<hugepages><page size='2048'/></hugepages>", (2 << 20,)),
        ("<hugepages><page size='1' unit='G' nodeset='0'/></hugepages>", (1 << 30,)),
        (
            "<hugepages><page size='1' unit='GiB'/><page size='2' unit='MiB'/>"
            "<page size='2048' unit='KiB'/></hugepages>",
            (2 << 20, 1 << 30),
        ),
    ],
)
def test_memory_from_huge_pages(hugepages, page_sizes):
    xml = domain_with(f"<memory unit='GiB'>4</memory><memoryBacking>{hugepages}</memoryBacking>")
    assert memory_need(xml) == MemoryNeed(4 << 30, True, page_sizes)


def test_other_memory_backing_is_ordinary_memory():
    xml = domain_with("<memory>8</memory><memoryBacking><source type='memfd'/></memoryBacking>")
    assert memory_need(xml) == MemoryNeed(8192)


@pytest.mark.parametrize(
    ("memory", "why"),
    [
        ("", "the domain XML has 0 <memory>, must have exactly one"),
        ("<memory>1</memory><memory>2</memory>", "has 2 <memory>, must have exactly one"),
        ("<memory>much</memory>", "<memory> says 'much'; allowed: a whole number above 0"),
        ("<memory>0</memory>", "<memory> says '0'; allowed: a whole number above 0"),
        ("<memory>-1</memory>", "<memory> says '-1'; allowed: a whole number above 0"),
        ("<memory>1.5</memory>", "<memory> says '1.5'; allowed"),
        ("<memory>\u0663</memory>", "allowed: a whole number above 0"),
        ("<memory/>", "<memory> says ''; allowed"),
        ("<memory unit='MiBs'>1</memory>", "has the unit 'MiBs'; allowed: b, bytes, KB, KiB"),
        ("<memory unit='X'>1</memory>", "has the unit 'X'; allowed"),
        ("<memory unit=''>1</memory>", "has the unit ''; allowed"),
        (
            "<memory>1</memory><memoryBacking><hugepages><page/></hugepages></memoryBacking>",
            "<page> says ''; allowed",
        ),
    ],
)
def test_memory_that_can_not_be_understood(memory, why):
    with pytest.raises(DomainXmlError) as caught:
        memory_need(domain_with(memory))
    assert why in caught.value.why
