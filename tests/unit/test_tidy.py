# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The arrows between the packages, what the pure ones keep out, and where names are spelled.

Every import statement counts, also one inside a function or under TYPE_CHECKING.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from ha_broker.api.monitors import BUILT_IN
from metadata.penalties import PenaltyName
from metadata.states import State

ROOT = Path(__file__).resolve().parents[2]
# From the bottom to the top: arrows point down. `fsm` and `world` stand beside each other.
PACKAGES = ("metadata", "world", "fsm", "ha_broker", "ha_agent", "simulation", "hosted_engine")
PURE = ("metadata", "fsm", "ha_broker.events")

# What the modules under a name may import of ours; the longest name that fits counts. The cores
# know ports alone; adapters are built where a process begins (`main`, `adapters`, `leave`).
ARROWS = {
    "metadata": ("metadata",),
    "world": ("world", "metadata"),
    "world.ports": ("world.ports", "metadata"),
    "fsm": ("fsm", "metadata"),
    "ha_broker": ("ha_broker", "world.ports", "metadata"),
    "ha_broker.main": ("ha_broker", "world", "metadata"),
    "ha_broker.running": ("ha_broker", "world", "metadata"),
    "ha_broker.adapters": ("ha_broker", "world", "metadata"),
    "ha_broker.lockspace.leave": ("ha_broker", "world", "metadata"),
    "ha_broker.api": ("ha_broker.api", "world.ports", "metadata"),
    "ha_broker.api.client": ("ha_broker.api", "world.way_in", "metadata"),
    "ha_broker.api.http_connection": ("world.network.deadline_socket",),
    "ha_broker.events": ("ha_broker.events", "ha_broker.api", "world.ports", "metadata"),
    # Those who hold sockets and files of their own.
    "ha_broker.server": (
        "ha_broker",
        "world.ports",
        "world.network.deadline_socket",
        "world.group_access",
        "metadata",
    ),
    "ha_broker.metrics": (
        "ha_broker",
        "world.ports",
        "world.network.deadline_socket",
        "world.secret_file",
        "metadata",
    ),
    "ha_broker.notifications.state_files": (
        "ha_broker",
        "world.durable",
        "world.regular_file",
        "metadata",
    ),
    "ha_broker.storage.local_maintenance": (
        *("ha_broker", "world.ports", "world.durable", "metadata"),
    ),
    "ha_agent": ("ha_agent", "fsm", "ha_broker.api", "world.ports", "metadata"),
    "ha_agent.main": ("ha_agent", "fsm", "ha_broker.api", "world", "metadata"),
    "ha_agent.adapters": ("ha_agent", "fsm", "ha_broker.api", "world", "metadata"),
    "ha_agent.history.store": ("ha_agent", "world.durable", "world.regular_file", "metadata"),
    "ha_agent.memory_file": ("ha_agent", "world.durable", "world.regular_file", "metadata"),
    # Runs whole hosts, so it needs both daemons; neither of them knows of it.
    "simulation": ("simulation", "ha_agent", "ha_broker", "fsm", "world", "metadata"),
    "hosted_engine": ("hosted_engine", "ha_agent", "ha_broker.api", "fsm", "world", "metadata"),
    "hosted_engine.simulate": (
        *("hosted_engine", "simulation", "ha_agent", "ha_broker", "fsm", "world", "metadata"),
    ),
}

# One file (or package) each knows these libraries; everything else goes through it.
ONLY_IN = {
    "prometheus_client": "ha_broker/metrics/",
    # The status command would start a fifth slower with it (ADR 40).
    "rich": "tests/sim/__main__.py",
    "sanlock": "world/storage/sanlock_lockspace.py",
    "world.storage.libsanlock": "world/storage/sanlock_lockspace.py",
    "libvirt": "world/vm/libvirt_hypervisor.py",
    "libvirt_qemu": "world/vm/libvirt_hypervisor.py",
    "libvirtmod": "world/vm/libvirt_hypervisor.py",
    "sdnotify": "world/host/systemd.py",
    "transitions": "fsm/machine.py",
}

# The same input must give the same result, whenever and wherever it is asked.
IMPURE_MODULES = frozenset(
    [
        "argparse",
        "asyncio",
        "concurrent",
        "datetime",
        "fcntl",
        "http",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "random",
        "secrets",
        "select",
        "shutil",
        "signal",
        "socket",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "urllib",
        "uuid",
    ]
)
IMPURE_CALLS = frozenset({"open", "print", "input", "exec", "eval", "breakpoint"})
EXCEPTIONS = {
    # its main() writes the diagram to a file or to the standard output
    "fsm/diagram.py": frozenset({"argparse", "sys", "pathlib", "print"}),
    # turns the library's own log down; logs nothing
    "fsm/machine.py": frozenset({"logging"}),
}

# The agent's states stand in records, metrics and mails. They are spelled in one file, so that no
# other knows one that the table has not: one that is gone, or that there never was.
STATES_FILE = "metadata/states.py"
STATES = frozenset(state.value for state in State)
STATE_SHAPE = re.compile(r"(Engine|LocalMaintenance|GlobalMaintenance)[A-Z][A-Za-z]+")
# These are names of classes.
SHAPED_LIKE_STATES = {
    "metadata/records.py": frozenset({"EngineStatus", "EngineVm"}),
    "metadata/settings/parse.py": frozenset({"EngineSettings"}),
}

# So are monitors and penalties, in the rooms that a measured value passes on its way to a score and
# to people (elsewhere `network` or `memory` are sections of settings and names of checks).
MONITORS_FILE, PENALTIES_FILE = "ha_broker/api/monitors.py", "metadata/penalties.py"
MEASURED = frozenset(kind.name for kind in BUILT_IN) | frozenset(name.value for name in PenaltyName)
WAY_OF_A_VALUE = (
    *("ha_broker", "fsm", "ha_agent", "simulation"),
    *("hosted_engine.cluster", "hosted_engine.explain", "hosted_engine.status"),
)
# Other things of the same name.
NOT_MEASURED = {
    "ha_agent/agent.py": frozenset({"memory"}),  # the topic of a log line
    "ha_agent/kept_memory.py": frozenset({"memory"}),  # the key of a job
    "ha_agent/observation/config_cache.py": frozenset({"config"}),  # so are these
    "ha_broker/storage/config_reader.py": frozenset({"config"}),
    "ha_broker/storage/local_maintenance.py": frozenset({"local-maintenance"}),  # a file
    "simulation/world/domain_reader.py": frozenset({"memory"}),  # an element of XML
    "simulation/world/host_vitals.py": frozenset({"memory", "bridge"}),  # calls of a port
}


def problems(path: str, source: str) -> list[str]:
    """What a file (`path` relative to the repository) does that it must not."""
    tree = ast.parse(source, path)
    found = [text for name in imports(path, tree) for text in import_problems(path, name)]
    return found + call_problems(path, tree) + spelling_problems(path, tree)


def imports(path: str, tree: ast.AST) -> list[str]:
    """Dotted names of all that is imported, objects included (`a.b` for `from a import b`)."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = absolute_base(path, node)
            names += [f"{base}.{alias.name}" for alias in node.names]
    return names


def absolute_base(path: str, node: ast.ImportFrom) -> str:
    """The package or module that `from ... import` names, relative forms made absolute."""
    if not node.level:
        return node.module or ""
    package = path.split("/")[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def import_problems(path: str, name: str) -> list[str]:
    top = name.partition(".")[0]
    found = []
    if top in PACKAGES and not any(under(name, allowed) for allowed in allowed_for(path)):
        found.append(f"{path} imports {name}; allowed: {', '.join(allowed_for(path))}")
    found += [
        f"{path} imports {library}; only {place} does"
        for library, place in ONLY_IN.items()
        if under(name, library) and not is_in(path, place)
    ]
    if is_pure(path) and top in IMPURE_MODULES - EXCEPTIONS.get(path, frozenset()):
        found.append(f"{path} imports {top}, but its package is pure")
    return found


def is_in(path: str, place: str) -> bool:
    return path.startswith(place) if place.endswith("/") else path == place


def call_problems(path: str, tree: ast.AST) -> list[str]:
    if not is_pure(path):
        return []
    banned = IMPURE_CALLS - EXCEPTIONS.get(path, frozenset())
    return [
        f"{path}:{node.lineno} calls {node.func.id}, but its package is pure"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in banned
    ]


def spelling_problems(path: str, tree: ast.AST) -> list[str]:
    """Names that are spelled where they are not at home."""
    words = [(node.lineno, node.value) for node in ast.walk(tree) if is_word(node)]
    found = [
        f"{path}:{line} spells {name}; states are spelled in {STATES_FILE} alone"
        for line, word in words
        for name in states_in(word)
        if path != STATES_FILE and name not in SHAPED_LIKE_STATES.get(path, ())
    ]
    if path in (MONITORS_FILE, PENALTIES_FILE) or not is_on_the_way(path):
        return found
    return found + [
        f"{path}:{line} spells {word}; see {MONITORS_FILE} and {PENALTIES_FILE}"
        for line, word in words
        if word in MEASURED - NOT_MEASURED.get(path, frozenset())
    ]


def is_word(node: ast.AST) -> bool:
    """A text constant without a space: a sentence may name a thing, for people."""
    text = node.value if isinstance(node, ast.Constant) else None
    return isinstance(text, str) and len(text.split()) == 1


def states_in(word: str) -> list[str]:
    """Also in two that are joined, as rules for mails name a change (`A-B`)."""
    names = re.findall("[A-Za-z]+", word)
    return [name for name in names if name in STATES or STATE_SHAPE.fullmatch(name)]


def is_on_the_way(path: str) -> bool:
    return any(under(module(path), room) for room in WAY_OF_A_VALUE)


def allowed_for(path: str) -> tuple[str, ...]:
    return ARROWS[max((name for name in ARROWS if under(module(path), name)), key=len)]


def module(path: str) -> str:
    return path[: -len(".py")].replace("/", ".").removesuffix(".__init__")


def under(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def is_pure(path: str) -> bool:
    return any(under(module(path), name) for name in PURE)


def sources() -> list[str]:
    return sorted(
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    )


# --- the repository -------------------------------------------------------------------


def test_every_package_is_looked_at():
    assert {path.split("/")[0] for path in sources()} == set(PACKAGES)


@pytest.mark.parametrize("path", sources())
def test_file_is_tidy(path):
    assert problems(path, (ROOT / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", sorted(set(EXCEPTIONS)))
def test_every_exception_is_still_needed(path):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    used = {name.split(".")[0] for name in imports(path, tree)}
    used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert EXCEPTIONS[path] <= used


@pytest.mark.parametrize(("path", "names"), [*SHAPED_LIKE_STATES.items(), *NOT_MEASURED.items()])
def test_every_exception_of_spelling_is_still_needed(path, names):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert names <= {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}


# --- the check itself -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("metadata/wire.py", "import fsm.step"),
        ("metadata/wire.py", "from ha_broker.api import client"),
        ("metadata/wire.py", "from ..fsm import step"),
        ("fsm/step.py", "from ha_agent.agent import Agent"),
        ("fsm/step.py", "def f():\n    import ha_broker"),
        ("ha_broker/broker.py", "from fsm import step"),
        ("ha_broker/broker.py", "import ha_agent"),
        ("world/host/clock.py", "from ha_broker.broker import Broker"),
        ("world/host/clock.py", "from ...fsm import step"),
        ("world/ports/jobs.py", "from world.host.clock import RealClock"),
        ("ha_broker/broker.py", "from world.host.clock import RealClock"),
        ("ha_broker/api/client.py", "from ha_broker.server import mailbox"),
        ("ha_agent/agent.py", "from ha_broker.broker import Broker"),
        ("ha_agent/agent.py", "from ha_broker import broker"),
        ("hosted_engine/main.py", "import ha_broker"),
        ("ha_agent/agent.py", "from simulation.host import SimHost"),
        ("hosted_engine/main.py", "from simulation import cluster"),
        ("simulation/host.py", "from hosted_engine.simulate import verbs"),
        ("ha_agent/agent.py", "import sanlock"),
        ("ha_broker/adapters.py", "from world.storage import libsanlock"),
        ("hosted_engine/host/environment.py", "from world.storage.libsanlock import inquire"),
        ("world/storage/sanlock_lockspace.py", "import libvirt"),
        ("ha_broker/monitors/guest_agent.py", "import libvirt_qemu"),
        ("ha_broker/broker.py", "from sdnotify import SystemdNotifier"),
        ("ha_broker/main.py", "from prometheus_client import Counter"),
        ("hosted_engine/status/table.py", "from rich.table import Table"),
        ("fsm/table.py", "from transitions import Machine"),
        ("fsm/step.py", "import time"),
        ("ha_broker/events/detector.py", "import time"),
        ("ha_broker/events/detector.py", "from ha_broker.broker import Broker"),
        ("fsm/step.py", "from os import environ"),
        ("fsm/step.py", "import os.path"),
        ("metadata/settings/parse.py", "import logging"),
        ("metadata/settings/parse.py", "open('x')"),
        ("fsm/diagram.py", "import time"),
        ("fsm/table.py", "import sys"),
        ("ha_broker/events/transitions.py", "STOPPED = 'AgentStopped'"),
        ("hosted_engine/cli/wording.py", "rule = 'EngineStart-x'"),
        ("hosted_engine/cli/wording.py", "GONE = 'LocalMaintenanceMigrateVm'"),
        ("ha_agent/observation/collect.py", "views.get('mem-free')"),
        ("ha_broker/api/snapshot.py", "views.get('network')"),
        ("fsm/score.py", "Penalty('failed-starts', 50)"),
        ("hosted_engine/explain/advice.py", "REMEDIES = {'config': 'look'}"),
    ],
)
def test_what_is_not_allowed_is_found(path, source):
    (found,) = problems(path, source)
    assert found.startswith(path)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("metadata/wire.py", "from metadata import layout\nimport json\nfrom . import records"),
        ("fsm/step.py", "from metadata.records import Health"),
        ("fsm/diagram.py", "import argparse, sys\nfrom pathlib import Path\nprint(1)"),
        ("fsm/machine.py", "from transitions import Machine"),
        ("world/storage/sanlock_lockspace.py", "import sanlock"),
        ("world/storage/sanlock_lockspace.py", "from world.storage import libsanlock"),
        ("ha_broker/metrics/counters.py", "from prometheus_client import Counter"),
        ("ha_broker/broker.py", "import time, os\nfrom world.ports import jobs"),
        ("ha_agent/agent.py", "from ha_broker.api import client, snapshot\nfrom fsm import step"),
        ("hosted_engine/main.py", "from world.host.clock import Clock\nprint(1)"),
        ("simulation/host.py", "from ha_broker.broker import Broker"),
        ("hosted_engine/simulate/command.py", "from simulation import cluster"),
        ("metadata/states.py", "UP = 'EngineUp'"),
        ("hosted_engine/cli/wording.py", "'the host is in EngineUp now'"),
        ("ha_broker/api/monitors.py", "NETWORK = 'network'"),
        ("metadata/penalties.py", "NETWORK = 'network'"),
        ("hosted_engine/deploy/checks.py", "Check('memory')"),
    ],
)
def test_what_is_allowed_passes(path, source):
    assert problems(path, source) == []
