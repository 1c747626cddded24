# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Our modules in new interpreters, from a folder that Python does not know by itself."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("metadata", "world", "fsm", "ha_broker", "ha_agent", "simulation", "hosted_engine")
INTERPRETER = "world/host/interpreter.py"
# It hands on its whole path, to the same end.
ANOTHER_WAY = "hosted_engine/host/anew.py"
# Nor is one that takes the paths of this very process along.
WITH_OWN_PATHS = "hosted_engine/host/own_command.py"
SHOW = "import sys, world.host.interpreter as found; print(found.__file__)\nprint(sys.argv[1:])\n"


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A folder with our module and one that shows itself, as a package would have it."""
    folder = tmp_path / "private"
    (folder / "world/host").mkdir(parents=True)
    for package in ("world", "world/host"):
        (folder / package / "__init__.py").touch()
    shutil.copy(ROOT / INTERPRETER, folder / INTERPRETER)
    (folder / "world/host/shown.py").write_text(SHOW)
    (folder / "world/host/raises.py").write_text("raise SystemExit(7)\n")
    return folder


def run(private: Path, words: str, **more: object) -> subprocess.CompletedProcess[str]:
    """A command of ours, with the folder on its path as its launcher puts it there."""
    program = (
        f"import subprocess, sys; sys.path.insert(0, {str(private)!r}); "
        "from world.host.interpreter import module_command; "
        f"sys.exit(subprocess.run({words}).returncode)"
    )
    command = [sys.executable, "-I", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("isolated", [False, True])
def test_it_finds_the_module_where_its_parent_did(
    private: Path, tmp_path: Path, isolated: bool
) -> None:
    words = f"module_command('world.host.shown', 'a b', '-I', isolated={isolated})"
    done = run(private, words, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"})
    assert done.stderr == ""
    assert done.stdout.splitlines() == [str(private / INTERPRETER), "['a b', '-I']"]


def test_a_package_of_the_same_name_elsewhere_is_not_taken_for_ours(
    private: Path, tmp_path: Path
) -> None:
    (tmp_path / "world").mkdir()
    (tmp_path / "world/__init__.py").write_text("raise SystemExit('theirs')\n")
    done = run(private, "module_command('world.host.shown')", cwd=tmp_path,
               env={"PYTHONPATH": str(tmp_path)})  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_its_exit_code_is_the_modules(private: Path) -> None:
    assert run(private, "module_command('world.host.raises')").returncode == 7


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_way_is_taken(package: str) -> None:
    """`python -m` would find nothing of ours where a distribution has installed us."""
    found = [
        str(path.relative_to(ROOT))
        for path in (ROOT / package).rglob("*.py")
        if re.search(r'sys\.executable,\s*(\*|"-[a-zA-Z]*[mc])|\("-m"', path.read_text())
    ]
    assert set(found) <= {INTERPRETER, ANOTHER_WAY, WITH_OWN_PATHS}
