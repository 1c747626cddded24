# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Plug-ins in the broker's cycle: made, shown and ended as the cluster's settings say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Optional

import pytest
import yaml

from ha_broker.api.monitors import MonitorView, Unit
from metadata.settings.monitors import MonitorSettings, PluginSettings
from metadata.settings.parse import parse_cluster_settings
from metadata.shared_config import SharedConfig
from tests.unit.broker_host import CONFIG, JOIN_S, SETTINGS, Cluster, Host
from world.ports.errors import WorldError
from world.ports.plugins import PluginWord

RAID = PluginSettings("raid", points=200, interval_s=20, timeout_s=3, options=(("array", "md0"),))


class FakePlugin:
    def __init__(self, name: str, options: Mapping[str, str]) -> None:
        self.name = name
        self.options = options
        self.asked: list[float] = []
        self.closed = False
        self.word = PluginWord(0.5, "one disk of two")
        self.error: Optional[WorldError] = None

    def measure(self, timeout_s: float) -> PluginWord:
        self.asked.append(timeout_s)
        if self.error is not None:
            raise self.error
        return self.word

    def close(self) -> None:
        self.closed = True


class Bench:
    """A broker whose plug-ins are fakes; `made` has them in the order of their making."""

    def __init__(self, tmp_path: Path, *plugins: PluginSettings) -> None:
        self.made: list[FakePlugin] = []
        self.cluster = Cluster(config=config(*plugins))
        self.host: Host = self.cluster.host(1, tmp_path)
        self.failing: Optional[WorldError] = None
        self.host.plugins = self._make
        self.host.start()
        self.cluster.run(JOIN_S + 3)

    def _make(self, name: str, options: Mapping[str, str]) -> FakePlugin:
        self.made.append(FakePlugin(name, options))
        self.made[-1].error = self.failing
        return self.made[-1]

    def use(self, *plugins: PluginSettings) -> None:
        self.host.broker._settings.use(config(*plugins))
        self.cluster.run(6)

    def shown(self) -> list[MonitorView]:
        views = self.host.snapshot.monitors
        return [view for view in views if view.name.startswith("plugin:")]


def config(*plugins: PluginSettings) -> SharedConfig:
    settings = replace(SETTINGS, monitors=MonitorSettings(plugins=plugins))
    return replace(CONFIG, settings=settings)


def test_what_is_measured_is_shown(tmp_path: Path) -> None:
    bench = Bench(tmp_path, RAID)
    (view,) = bench.shown()
    assert (view.name, view.unit, view.value) == ("plugin:raid", Unit.FRACTION, 0.5)
    assert (view.detail, view.points, view.trouble) == ("one disk of two", 200, "")
    (plugin,) = bench.made
    assert (plugin.name, plugin.options) == ("raid", {"array": "md0"})
    assert set(plugin.asked) == {3}


def test_it_is_asked_as_often_as_the_settings_say(tmp_path: Path) -> None:
    bench = Bench(tmp_path, RAID)
    before = len(bench.made[0].asked)
    bench.cluster.run(100)
    assert len(bench.made[0].asked) - before == 5


def test_nothing_is_made_where_none_is_named(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert (bench.made, bench.shown()) == ([], [])


def test_one_that_was_never_measured_says_why(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    why = "no such plug-in is installed; installed: none"
    bench.failing = WorldError("measure by plug-in raid", why)
    bench.use(RAID)
    (view,) = bench.shown()
    assert (view.value, view.detail) == (None, f"can't measure by plug-in raid: {why}")


def test_a_world_without_plugins_says_so(tmp_path: Path) -> None:
    cluster = Cluster(config=config(RAID))
    host = cluster.host(1, tmp_path)
    cluster.run(JOIN_S + 3)
    view = host.monitor("plugin:raid")
    assert (view.value, view.detail) == (
        None,
        "can't measure by plug-in raid: there are no plug-ins here",
    )


def test_a_failure_leaves_the_last_value_for_a_while(tmp_path: Path) -> None:
    bench = Bench(tmp_path, RAID)
    bench.made[0].error = WorldError("measure by plug-in raid", "no answer within 3 s")
    bench.cluster.run(21)
    (view,) = bench.shown()
    assert (view.value, view.trouble) == (
        0.5,
        "can't measure by plug-in raid: no answer within 3 s",
    )
    bench.cluster.run(80)
    (view,) = bench.shown()
    assert (view.value, view.detail) == (
        None,
        "can't measure by plug-in raid: no answer within 3 s",
    )


def test_one_that_hangs_delays_nobody(tmp_path: Path) -> None:
    bench = Bench(tmp_path, RAID, PluginSettings("zfs", interval_s=5))
    bench.host.runner.hang("monitor:plugin:raid")
    asked = len(bench.made[1].asked)
    bench.cluster.run(60)
    assert len(bench.made[1].asked) - asked == 12
    raid = bench.host.monitor("plugin:raid")
    assert "no result since" in raid.trouble


def test_settings_that_change_make_it_anew(tmp_path: Path) -> None:
    bench = Bench(tmp_path, RAID, PluginSettings("zfs"))
    bench.use(replace(RAID, options=(("array", "md1"),)), PluginSettings("zfs"))
    assert [(plugin.name, plugin.closed) for plugin in bench.made] == [
        ("raid", True),
        ("zfs", False),
        ("raid", False),
    ]
    assert bench.made[2].options == {"array": "md1"}


def test_one_that_is_not_wanted_any_more_is_ended(tmp_path: Path) -> None:
    bench = Bench(tmp_path, RAID)
    bench.use()
    assert bench.made[0].closed
    assert bench.shown() == []


def test_a_late_word_of_the_one_before_does_not_count(tmp_path: Path) -> None:
    bench = Bench(tmp_path, RAID)
    bench.host.runner.hang("monitor:plugin:raid")
    bench.cluster.run(21)  # a measurement is under way
    bench.use(replace(RAID, points=100))
    bench.made[0].word = PluginWord(1, "from before")
    bench.made[1].error = WorldError("measure by plug-in raid", "it fails")
    bench.host.runner.release("monitor:plugin:raid")
    bench.host.settle()
    assert [view.value for view in bench.shown()] == [None]


def test_a_stop_of_the_broker_ends_them(tmp_path: Path) -> None:
    bench = Bench(tmp_path, RAID)
    bench.host.broker.begin_stop()
    asked = len(bench.made[0].asked)
    bench.cluster.run(30)
    assert bench.made[0].closed
    assert len(bench.made) == 1
    assert len(bench.made[0].asked) == asked


@pytest.mark.parametrize("share", [0, 1, None])
def test_a_share_is_handed_on_as_it_is(tmp_path: Path, share: Optional[float]) -> None:
    bench = Bench(tmp_path, RAID)
    bench.made[0].word = PluginWord(share, "so")
    bench.cluster.run(20)
    (view,) = bench.shown()
    assert (view.value, view.detail) == (share, "so")


def test_the_settings_of_the_manual_are_taken() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs/plugins.md").read_text(encoding="utf-8")
    (snippet,) = [part.partition("```")[0] for part in text.split("```yaml\n")[1:]]
    settings = parse_cluster_settings(yaml.safe_load(snippet), "docs/plugins.md")
    (plugin,) = settings.monitors.plugins
    assert plugin == PluginSettings("mdraid", 400, 60, 10, (("array", "md0"),))
    usual = PluginSettings("x")
    for row in (f"| {usual.points} |", f"| {usual.interval_s:g} |", f"| {usual.timeout_s:g} |"):
        assert row in text
