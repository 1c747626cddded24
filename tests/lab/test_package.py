# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The package's whole life on real hosts: from a bare one to the engine, upgraded, gone again."""

import json
import re
from pathlib import Path

from product_packages import snapshot
from product_packages.install_page import commands, section

from tests.lab.conftest import release_options
from tests.lab.own_lab import own_lab
from tests.lab.packages import NEXT, ROOT, next_package
from tests.lab.test_moves import LONGEST_GAP_S
from tests.lab.verbs import LabVerbs, scaled
from tests.lab.watching import watched_while

PAGE = (ROOT / "docs/install.md").read_text(encoding="utf-8")
DAEMONS = ("ha-broker", "ha-agent")
# What an upgrade must not touch.
OTHERS = ("ha-lockspace", "sanlock", "libvirtd")
# As a person's shell in /root.
HOME = "cd /root && "
ANSWERS = "/etc/hosted-engine-ha/answers.yaml"
# Where a package puts anything. The rest of a host is the machine's own, and changes with it.
HELPER = "var/lib/systemd/deb-systemd-helper"
PARTS = ("etc", "usr", "run", "var/lib/hosted-engine-ha", f"{HELPER}-enabled", f"{HELPER}-masked")
# Runs in the host, on its own Python.
SNAPSHOT = f"""
{Path(snapshot.__file__).read_text(encoding="utf-8")}
import json
print(json.dumps(snapshot(Path("/"), {PARTS})))
"""


def lines_of(heading: str) -> "list[str]":
    """What the lab runs of a part of docs/install.md."""
    found = [line.command for line in commands(section(PAGE, heading)) if "lab" in line.marks]
    assert found, heading
    return found


def type_in(lab: LabVerbs, host: str, lines: "list[str]") -> None:
    for line in lines:
        lab.on(host, "sh", "-ec", HOME + line)


def files_of(lab: LabVerbs, host: str) -> "dict[str, str]":
    found: dict[str, str] = json.loads(lab.on(host, "python3", "-c", SNAPSHOT))
    return found


def units_of(lab: LabVerbs, host: str) -> "dict[str, str]":
    """Another text for each time that one was started."""
    return {unit: lab.on(host, "systemctl", "show", "--property=InvocationID", "--value",
                         unit).strip() for unit in (*DAEMONS, *OTHERS)}  # fmt: skip


def lease_of(lab: LabVerbs, host: str) -> str:
    """Who holds the engine's lease, and how many owners it had so far."""
    told = lab.on(host, "sanlock", "client", "status", "-D")
    found = re.search(r"^r (hosted-engine:engine:\S+ p \d+)$.*?(lver=\d+)", told, re.DOTALL | re.M)
    assert found, told
    return " ".join(found.groups())


def test_a_bare_host_gets_the_package_and_runs_the_engine_and_another_one_gets_rid_of_it() -> None:
    with own_lab("--bare", "--hosts", "2", *release_options()) as lab:
        bare = {host: files_of(lab, host) for host in ("h1", "h2")}
        assert not any("hosted-engine" in path for path in bare["h2"])
        type_in(lab, "h1", lines_of("On every host"))
        for unit in DAEMONS:
            assert lab.attempt("on", "h1", "systemctl", "is-enabled", unit).stdout == "disabled\n"
        type_in(lab, "h1", lines_of("On the first host"))
        lab.wait_healthy(120, "--on", "h1")
        before = lab.engine_identity()
        join(lab, "h1", "h2")
        lab.wait_settled()
        assert any("hosted-engine" in path for path in files_of(lab, "h2"))
        leave(lab, "h2")
        assert snapshot.differences(bare["h2"], files_of(lab, "h2")) == []
        assert lab.engine_identity() == before


def join(lab: LabVerbs, first: str, host: str) -> None:
    """With the answers that the first host has written."""
    answers = lab.on(first, "cat", ANSWERS)
    lab.on(host, "sh", "-ec", f"cat > /root/answers.yaml <<'END'\n{answers}END\n")
    type_in(lab, host, lines_of("On every host"))
    type_in(lab, host, ["hosted-engine --deploy --config-append=answers.yaml"])


def leave(lab: LabVerbs, host: str) -> None:
    """The host first, then its package, and at last what a removed one leaves for its return."""
    lab.on(host, "hosted-engine", "--set-maintenance", "--mode=local", "--wait", "--timeout=60")
    lab.on(host, "hosted-engine-cleanup", "--yes")
    lab.on(host, "apt-get", "remove", "hosted-engine-ha")
    for unit in DAEMONS:
        assert lab.attempt("on", host, "systemctl", "is-active", unit).returncode != 0
    lab.on(host, "apt-get", "purge", "hosted-engine-ha")


def test_the_engine_and_its_lease_stay_while_its_own_host_is_upgraded_and_back(
    lab: LabVerbs, tmp_path: Path
) -> None:
    package = next_package(tmp_path)
    before = lab.engine_identity()
    host = before[0]
    lease, units = lease_of(lab, host), units_of(lab, host)
    try:
        gap_s = watched_while(lab, lab, "install", host, package)
        assert NEXT in lab.on(host, "hosted-engine", "--version")
        lab.wait_settled()
        assert (lab.engine_identity(), lease_of(lab, host)) == (before, lease)
    finally:
        gap_back_s = watched_while(lab, lab, "install", host)
    print(f"longest gap in the page: {gap_s:.2f} s, and {gap_back_s:.2f} s on the way back")
    lab.wait_settled()
    assert (lab.engine_identity(), lease_of(lab, host)) == (before, lease)
    after = units_of(lab, host)
    assert [unit for unit in units if units[unit] != after[unit]] == list(DAEMONS)
    assert max(gap_s, gap_back_s) <= scaled(LONGEST_GAP_S)
