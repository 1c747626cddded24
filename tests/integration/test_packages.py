# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The Debian packages, built for real: what is in them and what their scripts do.

Installing, upgrading and removing them is ``packaging/check``'s, in containers.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from product_packages.debian import build_deb
from product_packages.files import COMMANDS, LAYOUTS, MODULES, product_files
from product_packages.sources import read_sources

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By their names."""
    if missing := [name for name in ("dh", "dh_python3", "dpkg-buildpackage")
                   if shutil.which(name) is None]:  # fmt: skip
        pytest.skip(f"no {', '.join(missing)}: apt-get install dpkg-dev debhelper dh-python")
    work = tmp_path_factory.mktemp("deb")
    return {path.name.split("_")[0]: path for path in build_deb(read_sources(ROOT), work)}


def output(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def paths(package: Path) -> set[str]:
    """What is installed, folders left out."""
    listed = output("dpkg-deb", "--contents", str(package)).splitlines()
    return {
        line.split(None, 5)[5].split(" -> ")[0].lstrip("./")
        for line in listed
        if not line.startswith("d")
    }


def script(package: Path, name: str) -> str:
    return output("dpkg-deb", "--info", str(package), name)


def test_the_product_is_all_that_was_listed_and_debhelpers_own(packages: dict[str, Path]) -> None:
    version = output("dpkg-deb", "--field", str(packages["hosted-engine-ha"]), "Version").strip()
    listed = {file.path for file in product_files(ROOT, LAYOUTS["debian"], version)}
    listed = {re.sub(r"(/man8/.*)", r"\1.gz", path) for path in listed}
    # Debian 13's dh_python3 says who installed it.
    own = {f"{MODULES}/hosted_engine_ha-{version}.dist-info/INSTALLER"}
    assert paths(packages["hosted-engine-ha"]) - own == listed | {
        "usr/share/doc/hosted-engine-ha/changelog.gz",
        "usr/share/doc/hosted-engine-ha/copyright",
        "usr/share/python3/runtime.d/hosted-engine-ha.rtupdate",
    }
    assert f"{MODULES}/fsm/table.py" in listed
    assert len([path for path in listed if path.startswith("usr/bin/")]) == len(COMMANDS)


def test_compat_lies_where_python_looks(packages: dict[str, Path]) -> None:
    found = paths(packages["hosted-engine-ha-compat"])
    site = "usr/lib/python3/dist-packages"
    assert f"{site}/ovirt_hosted_engine_ha/client/client.py" in found
    assert not [path for path in found if not path.startswith((site, "usr/share/doc/"))]


def test_installing_starts_and_enables_nothing(packages: dict[str, Path]) -> None:
    postinst = script(packages["hosted-engine-ha"], "postinst")
    invoked = set(re.findall(r"deb-systemd-invoke (\S+.*?) >", postinst))
    assert invoked == {"try-restart 'ha-agent.service' 'ha-broker.service'"}
    enabling = [line for line in postinst.splitlines() if "deb-systemd-helper enable" in line]
    assert len(enabling) == postinst.count("--quiet was-enabled")
    assert "systemctl enable" not in postinst


def test_the_lockspace_is_never_left_but_by_a_removal(packages: dict[str, Path]) -> None:
    named = {
        name: "ha-lockspace" in script(packages["hosted-engine-ha"], name)
        for name in ("postinst", "prerm", "postrm")
    }
    assert named == {"postinst": False, "prerm": True, "postrm": False}
    prerm = script(packages["hosted-engine-ha"], "prerm")
    code = [line for line in prerm.splitlines() if not line.startswith("#")]
    at = next(number for number, line in enumerate(code) if "ha-lockspace" in line)
    assert code[at - 1].startswith('if [ "$1" = remove ] && ')


@pytest.mark.parametrize("name", ["hosted-engine-ha", "hosted-engine-ha-compat"])
def test_scripts_are_shell(packages: dict[str, Path], tmp_path: Path, name: str) -> None:
    subprocess.run(["dpkg-deb", "-e", str(packages[name]), str(tmp_path / "x")], check=True)
    for file in ("postinst", "prerm", "postrm"):
        if (tmp_path / "x" / file).exists():
            subprocess.run(["sh", "-n", str(tmp_path / "x" / file)], check=True)
