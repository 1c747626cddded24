# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Three hosts get the next version of the program one by one, as docs/upgrade.md says.

The next version is this program's package with another number. The one before it is this program's;
or, with HE_LAB_OLDER, that of an earlier state that knows moves: a folder with its sources, which
build their own package.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.packages import NEXT, next_package, package_of
from tests.lab.test_moves import COMMAND, LONGEST_GAP_S
from tests.lab.verbs import LabVerbs, scaled
from tests.lab.watching import watched_while

OLDER_SOURCES = os.environ.get("HE_LAB_OLDER", "")
SEEN_S = 40.0


class Hosts:
    """The hosts and what is installed on them."""

    def __init__(self, lab: LabVerbs) -> None:
        self._lab = lab

    def take_back(self) -> None:
        """This checkout's package everywhere, as in the beginning."""
        for name in self._lab.status()["hosts"]:
            self._lab("install", name)
            self._lab.on(name, COMMAND, "--set-maintenance", "--mode=none")

    def versions(self, viewer: str) -> dict[str, str]:
        """What each host's record says, as one of them has read it."""
        views = [view["record"] for view in self._lab.snapshot(viewer)["hosts"]]
        return {one["hostname"]: dict(one["notes"]).get("program", "") for one in views if one}


@pytest.fixture
def hosts(lab: LabVerbs) -> Iterator[Hosts]:
    hosts = Hosts(lab)
    yield hosts
    hosts.take_back()
    lab.wait_settled()


def may_be_upgraded(lab: LabVerbs, host: str) -> "tuple[bool, str]":
    asked = lab.attempt("on", host, COMMAND, "--upgrade-check")
    assert asked.returncode in (0, 1), asked.stderr
    return asked.returncode == 0, asked.stdout + asked.stderr


def wait_until_it_may(lab: LabVerbs, host: str) -> None:
    """Its picture of the others may be a tick old."""
    lab.wait_until(f"{host} may be upgraded", lambda: may_be_upgraded(lab, host)[0], scaled(SEEN_S))


def upgrade(lab: LabVerbs, host: str, package: str) -> None:
    """The five lines of the page."""
    wait_until_it_may(lab, host)
    lab.on(host, COMMAND, "--set-maintenance", "--mode=local", "--wait", "--timeout=60")
    lab("install", host, package)
    lab.on(host, COMMAND, "--set-maintenance", "--mode=none", "--wait", "--timeout=60")
    lab.wait_settled()


def test_three_hosts_are_upgraded_one_by_one_and_the_engine_is_never_down(
    lab: LabVerbs, hosts: Hosts, tmp_path: Path
) -> None:
    names = list(lab.status()["hosts"])
    package = next_package(tmp_path)
    if OLDER_SOURCES:
        older = package_of(OLDER_SOURCES, tmp_path / "older")
        for name in names:
            lab("install", name, older)
    lab.wait_settled()
    engine_host, _, boot = lab.engine_identity()
    ran_on = [engine_host]
    order = [*(name for name in names if name != engine_host), engine_host]
    for host in order:
        if host != engine_host:
            may, told = may_be_upgraded(lab, engine_host)
            assert not may, told
        gap_s = watched_while(lab, upgrade, lab, host, package)
        where, _, boot_after = lab.engine_identity()
        print(f"{host} upgraded: the engine is on {where}, longest gap {gap_s:.2f} s")
        assert boot_after == boot
        assert gap_s <= scaled(LONGEST_GAP_S)
        ran_on += [where] if where != ran_on[-1] else []
    assert len(ran_on) == 2, "it has moved once, away from its own host, and that one went last"
    lab.wait_until(
        "the new version in all records",
        lambda: hosts.versions(names[0]) == dict.fromkeys(names, NEXT),
        scaled(SEEN_S),
    )
    told = lab.on(names[0], COMMAND, "--version")
    assert NEXT in told
