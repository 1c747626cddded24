# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Hosts of Debian 12 and 13 in one cluster: sanlock 3.8 beside 3.9, libvirt 9 beside 11.

The engine moves alive in both directions, and is taken over in both directions after a power cut.
"""

from collections.abc import Iterator

import pytest

from lab.debian_roots import RELEASES
from tests.lab.own_lab import own_lab
from tests.lab.test_moves import COMMAND, LONGEST_GAP_S
from tests.lab.verbs import LabVerbs, scaled
from tests.lab.watching import watched_while

HOSTS = ("h1", "h2")
TAKEOVER_S = 240.0


@pytest.fixture(scope="module")
def mixed() -> Iterator[LabVerbs]:
    with own_lab("--hosts", "2", "--release", ",".join(RELEASES)) as lab:
        yield lab


@pytest.fixture
def settled(mixed: LabVerbs) -> Iterator[LabVerbs]:
    with mixed.at_rest():
        yield mixed


def test_each_host_is_of_its_own_release(settled: LabVerbs) -> None:
    for host, release in zip(HOSTS, RELEASES):
        assert f"VERSION_CODENAME={release}\n" in settled.on(host, "cat", "/etc/os-release")
    versions = [settled.on(host, "sanlock", "version").split(".")[:2] for host in HOSTS]
    assert versions == [["3", "8"], ["3", "9"]]


@pytest.mark.parametrize("way", ["there", "back"])
def test_the_engine_moves_alive_between_the_releases(settled: LabVerbs, way: str) -> None:
    lab = settled
    host, _, boot = lab.engine_identity()
    (target,) = {*HOSTS} - {host}
    order = (COMMAND, "--vm-migrate", f"--to={target}", "--wait", "--timeout=60")
    gap_s = watched_while(lab, lab.on, host, *order)
    print(f"{host} => {target}: longest gap {gap_s:.2f} s")
    moved_to, _, boot_after = lab.engine_identity()
    assert (moved_to, boot_after) == (target, boot)
    assert gap_s <= scaled(LONGEST_GAP_S)


@pytest.mark.parametrize("way", ["there", "back"])
def test_the_lease_is_taken_over_between_the_releases(settled: LabVerbs, way: str) -> None:
    lab = settled
    host, _, boot = lab.engine_identity()
    (target,) = {*HOSTS} - {host}
    lab("power-off", host)
    took_s = lab.wait_healthy(TAKEOVER_S, "--on", target)
    print(f"{host} => {target}: {took_s:.1f} s after the power cut")
    assert lab.engine_identity()[2] != boot
    lab("power-on", host)
