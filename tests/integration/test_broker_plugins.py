# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A real broker with plug-ins that do their worst: it goes on, and none of them outlives it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Optional

import pytest

from ha_broker.api.client import BrokerClient
from ha_broker.api.monitors import MonitorView
from metadata.settings.monitors import MonitorSettings, PluginSettings
from tests.contract.places import direct_io_directory
from tests.integration.broker_process import FACTOR, SETTINGS, Site, wait_for
from tests.processes import is_running
from tests.unit.plugin_bench import install

HANGS = "ctypes.PyDLL(None).sleep(3600)"  # with the interpreter's lock


def does(name: str, code: str) -> PluginSettings:
    return PluginSettings(name, 100, 1.0, 1.0 * FACTOR, (("code", code),))


PLUGINS = (
    PluginSettings("absent", interval_s=1.0, timeout_s=1.0),
    does("does", HANGS),
    PluginSettings("fine", 200, 1.0, 5.0 * FACTOR, (("share", "0.75"),)),
    PluginSettings("function", interval_s=1.0, timeout_s=5.0 * FACTOR),
)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with direct_io_directory() as directory:
        plugins = directory / "plugins"
        plugins.mkdir()
        install(plugins)
        monkeypatch.setenv("PYTHONPATH", str(plugins))
        site = Site(directory)
        site.make_volume(replace(SETTINGS, monitors=MonitorSettings(plugins=PLUGINS)))
        site.deploy()
        try:
            yield site
            assert "Traceback" not in site.log_text(), site.log_text()
        finally:
            site.close()


def plugin(client: BrokerClient, name: str) -> Optional[MonitorView]:
    views = client.status().monitors
    return next((view for view in views if view.name == f"plugin:{name}"), None)


def children(pid: int) -> set[int]:
    """Processes of plug-ins that the process has started and that have not ended."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue
        state, parent = rest.split()[:2]
        if int(parent) == pid and state not in "ZX":
            found.add(int(stat.parent.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_broker_goes_on_and_they_end_with_it(site: Site, number: signal.Signals) -> None:
    process = site.start()
    client = site.serving()

    def all_told() -> bool:
        fine, hangs, absent = (plugin(client, name) for name in ("fine", "does", "absent"))
        told = fine and fine.value == 0.75 and hangs and "no answer within" in hangs.trouble
        return bool(told and absent and "no_such_module_for_tests" in absent.detail)

    wait_for("each plug-in's word", all_told)
    fine = plugin(client, "fine")
    assert fine is not None
    assert fine.points == 200
    begun_s = time.monotonic()
    client.status()
    assert time.monotonic() - begun_s < 1 * FACTOR
    started = children(process.pid)
    assert len(started) >= 2
    process.send_signal(number)
    process.wait(20 * FACTOR)
    wait_for("the end of every plug-in", lambda: not any(map(is_running, started)))
