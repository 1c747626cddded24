# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the daemons load for good, and that without options they take what their parsers would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from ha_agent import main as agent_main
from ha_broker import main as broker_main
from world.host.daemon import options_in

ROOT = Path(__file__).resolve().parents[2]
# Each is a megabyte or more, or brings such.
NEVER = (
    *("argparse", "email", "http.client", "http.server", "importlib.metadata"),
    *("prometheus_client", "random", "ssl", "tempfile", "urllib.request"),
)
BROKER = (
    *("ha_broker.main", "ha_broker.running", "world.host.systemd", "world.host.clock"),
    *("world.host.host_vitals", "world.host.plugin_supervisor", "world.host.thread_runner"),
    *("world.network.health_page", "world.network.network_probe", "world.storage.config_restore"),
    *("world.storage.direct_store", "world.storage.sanlock_lockspace"),
)
AGENT = ("ha_agent.main", "ha_agent.adapters", "world.storage.sanlock_lockspace")


@pytest.mark.parametrize("modules", [BROKER, AGENT])
def test_what_a_daemon_never_loads_until_it_is_needed(modules: tuple[str, ...]) -> None:
    code = f"import sys, {', '.join(modules)}; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; before = set(sys.modules); {code}; print(*before)"],
        capture_output=True, text=True, timeout=60, check=True, cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    loaded, before = (set(line.split()) for line in done.stdout.splitlines())
    assert set(NEVER) & loaded <= before


@pytest.mark.parametrize("parse", [broker_main._arguments, agent_main._arguments])
def test_without_options_the_defaults_are_those_of_the_parser(
    parse: Callable[[list[str]], Any],
) -> None:
    assert vars(parse([])) == vars(parse(["--log-level", "info"]))


def test_no_options_at_all_are_those_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ha-broker"])
    found = options_in(None, broker_main._parser, "/x", socket="/s")
    assert vars(found) == {"settings": "/x", "log_level": "info", "socket": "/s"}
    monkeypatch.setattr(sys, "argv", ["ha-broker", "--log-level", "debug"])
    assert options_in(None, broker_main._parser, "/x").log_level == "debug"
