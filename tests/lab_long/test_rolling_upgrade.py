"""Three hosts get the next version of the program one by one, as docs/upgrade.md says.

The next version is this program with another number. The one before it is this program; or, with
HE_LAB_OLDER, an earlier state that knows moves: a folder with its sources, which the hosts see.
"""

import os
from collections.abc import Iterator

import pytest

from metadata.program import VERSION
from tests.lab.test_moves import COMMAND, LONGEST_GAP_S
from tests.lab.verbs import LabVerbs, scaled
from tests.lab_long.watching import watched_while

NEXT = VERSION + ".1"
OLDER_SOURCES = os.environ.get("HE_LAB_OLDER", "")
PREFIX = "/usr/lib/hosted-engine-ha"
PACKAGES = ("fsm", "ha_agent", "ha_broker", "hosted_engine", "metadata", "simulation", "world")
# Another build beside the one that is there. Its programs name their own interpreter, and its
# compiled modules are not those of the text that is changed.
BUILD = """set -e
target=$1 version=$2 built=$(readlink -f "$3") sources=$4
shift 4
rm -rf "$target"
cp -a "$built" "$target"
grep -lI "^#!$built" "$target"/bin/* | xargs sed -i "1s|$built|$target|"
cd "$target"/lib/python3*/site-packages
if [ -n "$sources" ]; then
    rm -rf "$@"
    for package; do cp -r "$sources/$package" .; done
fi
sed -i "s/^VERSION = .*/VERSION = \\"$version\\"/" metadata/program.py
rm -rf metadata/__pycache__
"""
# What a package does with it: exchange the files, restart both daemons.
INSTALL = """set -e
ln -sfn "$1" "$2"
systemctl daemon-reload
systemctl restart ha-broker ha-agent
"""
SEEN_S = 40.0


class Hosts:
    """The hosts' programs: `before` what they begin with, `after` what they get."""

    def __init__(self, lab: LabVerbs) -> None:
        self._lab = lab
        self._began_with = {name: self._path(name) for name in lab.status()["hosts"]}

    def build(self, name: str, target: str, version: str, sources: str = "") -> None:
        given = (target, version, PREFIX, sources, *PACKAGES)
        self._lab.on(name, "sh", "-c", BUILD, "sh", *given)

    def install(self, name: str, target: str) -> None:
        self._lab.on(name, "sh", "-c", INSTALL, "sh", target, PREFIX)

    def take_back(self) -> None:
        for name, path in self._began_with.items():
            if self._path(name) != path:
                self.install(name, path)
            self._lab.on(name, COMMAND, "--set-maintenance", "--mode=none")

    def versions(self, viewer: str) -> dict[str, str]:
        """What each host's record says, as one of them has read it."""
        views = [view["record"] for view in self._lab.snapshot(viewer)["hosts"]]
        return {one["hostname"]: dict(one["notes"]).get("program", "") for one in views if one}

    def _path(self, name: str) -> str:
        return self._lab.on(name, "readlink", PREFIX).strip()


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


def upgrade(lab: LabVerbs, hosts: Hosts, host: str, target: str) -> None:
    """The five lines of the page."""
    wait_until_it_may(lab, host)
    lab.on(host, COMMAND, "--set-maintenance", "--mode=local", "--wait", "--timeout=60")
    hosts.install(host, target)
    lab.on(host, COMMAND, "--set-maintenance", "--mode=none", "--wait", "--timeout=60")
    lab.wait_settled()


def test_three_hosts_are_upgraded_one_by_one_and_the_engine_is_never_down(
    lab: LabVerbs, hosts: Hosts
) -> None:
    names = list(lab.status()["hosts"])
    target = f"{PREFIX}-{NEXT}"
    for name in names:
        hosts.build(name, target, NEXT)
        if OLDER_SOURCES:
            hosts.build(name, f"{PREFIX}-older", VERSION, OLDER_SOURCES)
            hosts.install(name, f"{PREFIX}-older")
    lab.wait_settled()
    engine_host, _, boot = lab.engine_identity()
    ran_on = [engine_host]
    order = [*(name for name in names if name != engine_host), engine_host]
    for host in order:
        if host != engine_host:
            may, told = may_be_upgraded(lab, engine_host)
            assert not may, told
        gap_s = watched_while(upgrade, lab, hosts, host, target)
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
