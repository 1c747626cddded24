# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The alerts and the dashboard ask for nothing that the exporter does not tell."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
import yaml

from metadata.settings.values import Timing
from tests.unit.monitoring_files import (
    DIRECTORY,
    OWN_METRICS,
    TARGET_LABELS,
    dashboard,
    dashboard_queries,
    full_scrape,
    rules,
    used,
)

TOLD = {**full_scrape().labels(), **OWN_METRICS}
README = (DIRECTORY / "README.md").read_text(encoding="utf-8")


def unknown(expr: str, further_labels: Iterable[str] = ()) -> list[str]:
    """The names and labels in a query that no scrape has."""
    asked = used(expr)
    assert asked.names, expr
    labels = TARGET_LABELS.union(*(TOLD.get(name, set()) for name in asked.names))
    return sorted((asked.names - TOLD.keys()) | ({*asked.labels, *further_labels} - labels))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_there_is(rule):
    texts = " ".join(rule["annotations"].values())
    assert unknown(rule["expr"], re.findall(r"\$labels\.(\w+)", texts)) == []


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_no_alert_is_told_for_what_a_broker_does_not_know_in_its_first_ticks(rule):
    """Of what is there now; what is counted over time begins at 0 with each broker."""
    if "increase(" in rule["expr"] and "for" not in rule:
        return
    number, unit = re.fullmatch(r"(\d+)([smh])", rule["for"]).groups()
    lasts_s = int(number) * {"s": 1, "m": 60, "h": 3600}[unit]
    assert lasts_s > 2 * Timing().tick_s


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do(rule):
    assert set(rule["annotations"]) == {"summary", "description"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert len(rule["annotations"]["summary"]) <= 80


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_command_that_an_alert_names_exists(rule):
    from hosted_engine.cli.catalogue import COMMANDS

    known = [command.name for command in COMMANDS]
    options = re.findall(r"hosted-engine (--[\w-]+)", rule["annotations"]["description"])
    assert [option for option in options if option not in known] == []


@pytest.mark.parametrize("alert", [rule["alert"] for rule in rules()])
def test_every_alert_has_a_case_that_fires_and_one_that_does_not(alert):
    text = (DIRECTORY / "alerts_test.yml").read_text(encoding="utf-8")
    cases = yaml.safe_load(text)["tests"]
    looks = [look for case in cases for look in case.get("promql_expr_test", ())]
    assert all(look["expr"] == 'sum by (alertname) (ALERTS{alertstate="firing"})' for look in looks)
    told = [any(f'"{alert}"' in one["labels"] for one in look["exp_samples"]) for look in looks]
    assert True in told
    assert False in told


@pytest.mark.parametrize(("expr", "legend"), dashboard_queries())
def test_a_panel_asks_for_what_there_is(expr, legend):
    assert unknown(expr, re.findall(r"\{\{(\w+)\}\}", legend)) == []


def test_every_panel_has_its_place_and_its_data_source():
    panels = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
    assert len({panel["title"] for panel in panels}) == len(panels) > 20
    for panel in panels:
        assert panel["targets"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_panels_do_not_overlap():
    cells = [
        (x, y)
        for panel in dashboard()["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))


def test_the_variables():
    variables = {one["name"]: one for one in dashboard()["templating"]["list"]}
    assert list(variables) == ["datasource", "cluster", "instance"]
    for name in ("cluster", "instance"):
        assert variables[name]["definition"].startswith("label_values(hosted_engine_host_info")
        assert variables[name]["allValue"] == ".*"  # a target without a cluster counts, too


def test_the_scrape_that_all_is_held_against_is_whole():
    assert full_scrape().without_samples == []


def test_the_manual_names_every_metric():
    own = {name for name in TOLD if name.startswith("hosted_engine_")}
    plain = {re.sub(r"_(bucket|sum|count)$", "", name) for name in own}
    named = set(re.findall(r"`(hosted_engine_\w+)", README))
    assert plain - named == set()
    assert named - plain == set()


@pytest.mark.parametrize(
    ("expr", "missing"),
    [
        ("hosted_engine_upp", ["hosted_engine_upp"]),
        ('hosted_engine_up{hots="h1"}', ["hots"]),
        ('max by (hots) (hosted_engine_up{job="a=b,c"})', ["hots"]),
        ("hosted_engine_up * on (cluster, penalty) hosted_engine_score", ["penalty"]),
        ('sum(rate(hosted_engine_events_total{kind=~"a|b"}[5m])) > 1', []),
    ],
)
def test_what_there_is_not_is_found(expr, missing):
    assert unknown(expr) == missing
