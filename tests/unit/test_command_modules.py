# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the commands that monitoring calls all the time load: little, and nothing by accident.

Each runs in an interpreter without site-packages, so what is there was loaded by the command.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metadata.program import VERSION
from tests.unit.command_broker import HOST_YAML, FakeBroker

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from hosted_engine.main import main
code = main()
sys.stderr.write(repr((code, sorted(sys.modules))))
"""
# Each brings dozens more, or is slow by itself, or belongs to another part of the program.
NEVER = {
    "argparse", "asyncio", "concurrent", "ctypes", "decimal", "email", "gettext", "http", "logging",
    "multiprocessing", "pathlib", "shutil", "ssl", "subprocess", "tempfile", "textwrap", "urllib",
    "yaml", "libvirt", "sanlock", "prometheus_client", "transitions",
    "importlib.metadata", "importlib.resources",
    "fsm", "ha_agent", "simulation", "world.storage", "world.vm", "world.host",
    "ha_broker.server", "ha_broker.broker", "metadata.shared_config",
    "metadata.settings", "metadata.wire", "metadata.own_notes", "metadata.former_writers",
}  # fmt: skip
NOT_FOR_THE_VERSION = {
    "ha_broker", "world", "metadata.records",
    "dataclasses", "inspect", "json", "socket", "threading",
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "host.yaml").write_text(HOST_YAML)
    return tmp_path


@pytest.fixture
def broker(place: Path) -> Any:
    broker = FakeBroker(str(place / "broker.sock"))
    broker.tell()
    yield broker
    broker.stop()


def run(place: Path, *arguments: str) -> tuple[str, int, set[str]]:
    """Output and exit code of the command, and the modules that it has loaded."""
    paths = {
        "HE_SETTINGS": str(place / "host.yaml"),
        "HE_BROKER_SOCKET": str(place / "broker.sock"),
    }
    done = subprocess.run(
        [sys.executable, "-S", "-c", CODE, str(ROOT), *arguments],
        env={**os.environ, **paths, "PYTHONPATH": ""},
        capture_output=True, text=True, timeout=60, check=True, cwd=place,
    )  # fmt: skip
    code, modules = ast.literal_eval(done.stderr.splitlines()[-1])
    return done.stdout, code, set(modules)


def loaded(modules: set[str], unwanted: set[str]) -> set[str]:
    """Those of `unwanted` that are there, whole packages by their first name."""
    return {name for name in unwanted if any(f"{one}.".startswith(f"{name}.") for one in modules)}


def test_the_version_loads_nearly_nothing(place: Path) -> None:
    output, code, modules = run(place, "--version")
    assert (output, code) == (f"hosted-engine {VERSION}\n", 0)
    assert not loaded(modules, NEVER | NOT_FOR_THE_VERSION)


@pytest.mark.parametrize(
    "arguments", [["--vm-status"], ["--vm-status", "--json"], ["--json", "--vm-status"]]
)
def test_the_status_loads_little(place: Path, broker: FakeBroker, arguments: list[str]) -> None:
    output, code, modules = run(place, *arguments)
    assert code == 0 and "h1" in output
    assert not loaded(modules, NEVER)


def test_a_broker_that_is_gone_costs_no_more(place: Path) -> None:
    output, code, modules = run(place, "--vm-status", "--json")
    assert code == 1 and "there is no broker" in json.loads(output)["error"]
    assert not loaded(modules, NEVER)


def test_what_is_never_loaded_would_be_seen(place: Path) -> None:
    _, code, modules = run(place, "--vm-status", "--timeout=1")
    assert code == 1
    assert {"argparse", "gettext"} <= loaded(modules, NEVER)


def test_the_version_is_that_of_the_package() -> None:
    (found,) = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert found == VERSION
