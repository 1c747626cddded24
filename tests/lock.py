# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Pins what the tests need of the Python index, by version and hash: ``python -m tests.lock``.

Writes tests/requirements.txt, anew and with the newest versions that pyproject.toml allows. One
file for all interpreters, from 3.9 on and PyPy: its lines say which of them they are for. What
builds the few that have no wheel goes first, so it stands in tests/build-requirements.txt, too.
`uv` resolves it, in an environment that is thrown away; nothing else needs it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "tests/requirements.txt"
BUILD_REQUIREMENTS = ROOT / "tests/build-requirements.txt"
OLDEST_PYTHON = "3.9"
UV = "uv==0.13.9"
# Comes with a package of the system, where it fits the system's library.
FROM_THE_SYSTEM = "libvirt-python"
BUILDER = "setuptools"
HEADER = """\
# What the tests need of the Python index. Made by: python -m tests.lock
# tests/run installs it with pip's --require-hashes, so that nothing else than this is run.
"""


def main() -> int:
    """Write the file; returns the exit code."""
    argparse.ArgumentParser(prog="python -m tests.lock", description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="hosted-engine-lock-") as folder:
        text = _resolved(Path(folder))
    REQUIREMENTS.write_text(HEADER + text, encoding="utf-8")
    BUILD_REQUIREMENTS.write_text(HEADER + "".join(pins(text, BUILDER)), encoding="utf-8")
    print(REQUIREMENTS, BUILD_REQUIREMENTS, sep="\n")
    return 0


def pins(text: str, name: str) -> list[str]:
    """What `text` has of one package: for each kind of interpreter the version with its hashes."""
    return re.findall(rf"^{name}==.*\n(?:    .*\n)+", text, re.MULTILINE)


def wanted(project: Path = ROOT / "pyproject.toml") -> list[str]:
    """What the sources and their tests ask for, as pyproject.toml has it."""
    import tomllib  # not there before Python 3.11, nor needed to run the tests

    table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    names: list[str] = table["dependencies"] + table["optional-dependencies"]["test"]
    return [name for name in names if not name.startswith(FROM_THE_SYSTEM)]


def _resolved(folder: Path) -> str:
    python = str(folder / "bin/python")
    _run([sys.executable, "-m", "venv", str(folder)])
    _run([python, "-m", "pip", "install", "--quiet", UV])
    command = [python, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--no-header"]
    command += ["--python-version", OLDEST_PYTHON, "--generate-hashes", "--no-annotate", "-"]
    return _run(command, "\n".join(wanted()))


def _run(command: list[str], given: str = "") -> str:
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
