# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The units of systemd beside libvirt's, and what keeps needrestart from it all."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hosted_engine.host.units import WRITABLE
from world.service_user import GROUPS, USER

ROOT = Path(__file__).resolve().parents[2]
OURS = ("ha-agent", "ha-broker", "ha-lockspace", "hosted-engine-storage")
LIBVIRT = {f"{name}.{kind}" for name in ("libvirtd", "virtqemud") for kind in ("service", "socket")}
EXCLUSIVE = re.compile(r"(libvirtd|virt\w+d)(-ro|-admin|-tcp|-tls)?\.(service|socket|target)")
PULL_IN = ("Wants", "Requires", "Requisite", "BindsTo", "PartOf", "Upholds", "Conflicts")


def read_unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    text = (ROOT / "systemd" / f"{name}.service").read_text()
    parser.read_string(text.replace("\\\n", " "))
    return parser


@pytest.mark.parametrize("name", OURS)
def test_neither_of_libvirts_daemons_is_started_nor_stopped_by_ours(name: str) -> None:
    """They exclude each other: to want one stops the other one."""
    section = read_unit(name)["Unit"]
    wanted = " ".join(section.get(word, "") for word in PULL_IN).split()
    assert not [one for one in wanted if EXCLUSIVE.fullmatch(one)]


@pytest.mark.parametrize("name", ["ha-agent", "ha-broker"])
def test_they_start_behind_whichever_of_libvirts_daemons_is_there(name: str) -> None:
    assert set(read_unit(name)["Unit"]["After"].split()) >= LIBVIRT


def test_the_lockspace_is_left_behind_whichever_daemon_it_is() -> None:
    """Their sockets are no matter of order: they are there before any service is."""
    before = set(read_unit("ha-lockspace")["Unit"]["Before"].split())
    assert {"libvirtd.service", "virtqemud.service"} <= before
    assert not {one for one in before if one.endswith(".socket")}


def test_a_plug_in_that_is_killed_for_its_memory_takes_nothing_along() -> None:
    assert read_unit("ha-broker")["Service"]["OOMPolicy"] == "continue"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
@pytest.mark.parametrize("modular", [False, True])
def test_systemd_has_nothing_against_the_units(tmp_path: Path, modular: bool) -> None:
    for name in OURS:
        text = (ROOT / "systemd" / f"{name}.service").read_text()
        text = re.sub(r"^(ExecSt\w+)=.*", r"\1=/bin/true", text, flags=re.MULTILINE)
        (tmp_path / f"{name}.service").write_text(text)
    if modular:
        unit = "[Unit]\nConflicts=libvirtd.service\nAfter=libvirtd.service\n"
        service = "[Service]\nType=oneshot\nExecStart=/bin/true\n"
        (tmp_path / "virtqemud.service").write_text(unit + service)
    done = subprocess.run(
        ("systemd-analyze", "verify", "--man=no", *(f"{name}.service" for name in OURS)),
        env={"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "ha-" in line]
    assert said == []


# --- needrestart --------------------------------------------------------------------------


NEEDRESTART = ROOT / "docs" / "examples" / "needrestart" / "hosted-engine-ha.conf"
ASK = """
our %nrconf = (override_rc => {});
do $ARGV[0]; die $@ if $@;
my $re = $nrconf{override_rc};
while (my $name = <STDIN>) {
    chomp $name;
    my ($found) = grep { $name =~ /$_/ } keys %$re;
    print "$name ", defined $found ? $re->{$found} : "as usual", "\n";
}
"""


@pytest.mark.skipif(shutil.which("perl") is None, reason="needrestart is Perl")
def test_needrestart_leaves_what_the_engine_stands_on_alone() -> None:
    left_alone = [
        "sanlock",
        "wdmd",
        "libvirtd",
        "virtqemud",
        "virtlogd",
        "virtlockd",
        "ha-lockspace",
    ]
    restarted = ["ha-agent", "ha-broker", "sshd", "sanlk-resetd", "virtual-disk"]
    names = "".join(f"{name}.service\n" for name in (*left_alone, *restarted))
    done = subprocess.run(
        ("perl", "-e", ASK, str(NEEDRESTART)),
        input=names,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        *(f"{name}.service 0" for name in left_alone),
        *(f"{name}.service as usual" for name in restarted),
    ]


def test_whoever_may_ask_the_broker_gets_to_its_socket() -> None:
    """Its directory lets everybody pass; what lies in it has a mode of its own."""
    service = read_unit("ha-broker")["Service"]
    assert (service["RuntimeDirectory"], service["RuntimeDirectoryMode"]) == (
        "hosted-engine-ha",
        "0755",
    )


# --- the user, and what is taken from it ---------------------------------------------------------

DAEMONS = ("ha-agent", "ha-broker")
SYSUSERS = ROOT / "systemd/hosted-engine-ha.sysusers.conf"


def offline_bounds() -> bool:
    """Can systemd-analyze judge a unit's file? Before version 250 it judges running units alone."""
    if shutil.which("systemd-analyze") is None:
        return False
    words = ("systemd-analyze", "security", "--help")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return "--offline" in done.stdout


def exposure(unit: Path) -> float:
    """The overall figure of ``systemd-analyze security``: 0 is least, 10 most."""
    words = ("systemd-analyze", "security", "--offline=true", "--no-pager", str(unit))
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    return float(found[1])


@pytest.mark.skipif(not offline_bounds(), reason="no systemd-analyze that has --offline")
@pytest.mark.parametrize(("name", "most"), [("ha-broker", 2.0), ("ha-agent", 1.0)])
def test_a_daemon_that_is_taken_over_reaches_little(name: str, most: float, tmp_path: Path) -> None:
    assert exposure(ROOT / "systemd" / f"{name}.service") <= most
    # The measure itself: without the user it is worse.
    text = (ROOT / "systemd" / f"{name}.service").read_text()
    other = tmp_path / f"{name}.service"
    other.write_text(re.sub(r"^(User|Group)=.*\n", "", text, flags=re.MULTILINE))
    assert exposure(other) > most


def test_units_and_sysusers_name_the_user_and_the_groups_that_the_code_names() -> None:
    lines = [line.split() for line in SYSUSERS.read_text().splitlines() if line[:1] in "um"]
    assert {(kind, *rest[:1]) for kind, _name, *rest in lines if kind == "m"} == {
        ("m", group) for group in GROUPS
    }
    assert {name for _kind, name, *_rest in lines} == {USER}
    for unit in (*DAEMONS, "ha-lockspace"):
        service = read_unit(unit)["Service"]
        assert (service["User"], service["Group"]) == (USER, USER)
    for unit in DAEMONS:
        assert tuple(read_unit(unit)["Service"]["SupplementaryGroups"].split()) == GROUPS


def test_of_capabilities_there_is_none_but_the_one_to_ping() -> None:
    for unit, capabilities in (("ha-agent", ""), ("ha-broker", "CAP_NET_RAW")):
        service = read_unit(unit)["Service"]
        assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == capabilities
        assert service["NoNewPrivileges"] == "yes"


def test_the_code_knows_where_the_unit_lets_the_broker_write() -> None:
    service = read_unit("ha-broker")["Service"]
    assert service["ProtectSystem"] == "strict"
    assert [f"-{folder}" for folder in WRITABLE if folder != "/dev"] == service[
        "ReadWritePaths"
    ].split()


@pytest.mark.parametrize("name", DAEMONS)
def test_each_has_the_names_that_people_know(name: str) -> None:
    assert read_unit(name)["Install"]["Alias"] == f"ovirt-{name}.service"


def test_the_storage_is_connected_before_anybody_uses_it_and_goes_on_trying() -> None:
    unit = read_unit("hosted-engine-storage")
    users = {"sanlock.service", "ha-lockspace.service", *(f"{name}.service" for name in DAEMONS)}
    assert set(unit["Unit"]["Before"].split()) == users
    assert "network-online.target" in unit["Unit"]["After"].split()
    assert "network-online.target" in unit["Unit"]["Wants"].split()
    assert (unit["Service"]["Restart"], unit["Unit"]["StartLimitIntervalSec"]) == (
        "on-failure",
        "0",
    )
    for name in DAEMONS:
        assert "hosted-engine-storage.service" in read_unit(name)["Unit"]["After"].split()


def test_what_root_has_left_is_given_to_the_user() -> None:
    lines = (ROOT / "systemd/hosted-engine-ha.tmpfiles.conf").read_text().splitlines()
    for folder in ("/run", "/var/lib"):
        assert f"d {folder}/hosted-engine-ha 0755 {USER} {USER} -" in lines
        assert f"Z {folder}/hosted-engine-ha - {USER} {USER} -" in lines
