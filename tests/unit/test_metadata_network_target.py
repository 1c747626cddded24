# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which targets fit which test of the network."""

from __future__ import annotations

import pytest

from metadata.settings.network_target import host_and_port
from metadata.settings.parse import SettingsError, parse_cluster_settings


def problems(**network: object) -> list[str]:
    try:
        parse_cluster_settings({"network": network}, "x")
    except SettingsError as error:
        return list(error.problems)
    return []


@pytest.mark.parametrize(
    ("test", "target"),
    [
        ("ping", ""),
        ("ping", "192.0.2.1"),
        ("ping", "2001:db8::1"),
        ("ping", "gateway.example.org"),
        ("dns", ""),
        ("dns", "192.0.2.53"),
        ("dns", "2001:db8::53"),
        ("dns", "fe80::53%eth0"),
        ("tcp", "192.0.2.1:22"),
        ("tcp", "[2001:db8::1]:65535"),
        ("tcp", "storage.example.org:3260"),
        ("none", ""),
    ],
)
def test_what_fits(test: str, target: str) -> None:
    assert problems(test=test, target=target) == []


@pytest.mark.parametrize(
    ("test", "target", "allowed"),
    [
        ("tcp", "", "host:port"),
        ("tcp", "192.0.2.1", "host:port"),
        ("tcp", "192.0.2.1:", "host:port"),
        ("tcp", "192.0.2.1:0", "host:port"),
        ("tcp", "192.0.2.1:65536", "host:port"),
        ("tcp", "192.0.2.1:ssh", "host:port"),
        ("tcp", "2001:db8::1", "host:port"),
        ("tcp", "[]:22", "host:port"),
        ("dns", "ns.example.org", "a name server's IP address"),
        ("dns", "192.0.2.53:53", "a name server's IP address"),
        ("ping", "[2001:db8::1]", "an IP address or a host name"),
    ],
)
def test_what_does_not_fit_is_named(test: str, target: str, allowed: str) -> None:
    (problem,) = problems(test=test, target=target)
    assert problem.startswith(f"x: network.target: {target!r} is refused; allowed for the test")
    assert f"{test}: {allowed}" in problem


def test_a_test_that_does_not_exist_is_named() -> None:
    (problem,) = problems(test="udp")
    assert problem == "x: network.test: 'udp' is refused; allowed: ping, dns, tcp or none"


def test_the_parts_of_a_target() -> None:
    assert host_and_port("h.example.org:22") == ("h.example.org", 22)
    assert host_and_port("[2001:db8::1]:443") == ("2001:db8::1", 443)
