"""The units of systemd beside libvirt's, and what keeps needrestart from it all."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("ha-agent", "ha-broker", "ha-lockspace")
LIBVIRT = {f"{name}.{kind}" for name in ("libvirtd", "virtqemud") for kind in ("service", "socket")}
EXCLUSIVE = re.compile(r"(libvirtd|virt\w+d)(-ro|-admin|-tcp|-tls)?\.(service|socket|target)")
PULL_IN = ("Wants", "Requires", "Requisite", "BindsTo", "PartOf", "Upholds", "Conflicts")


def read_unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
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
    (tmpfiles,) = (ROOT / "systemd").glob("*.conf")
    assert "d /run/hosted-engine-ha 0755 root root -" in tmpfiles.read_text()
