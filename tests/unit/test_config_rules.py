# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What may be changed in the shared configuration while hosts run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hosted_engine.config.change_rules import Situation, checks_page, refusals
from metadata.settings.parse import ClusterSettings, Timing, check_timing
from metadata.shared_config import SharedConfig
from tests.unit.config_bench import CONFIG, PARTS, domain_xml

AT_WORK = Situation(global_maintenance=False, engine_held_by="host h1 (id 1)")
MAINTENANCE = Situation(global_maintenance=True, engine_held_by="host h1 (id 1)")
AT_REST = Situation(global_maintenance=True, engine_held_by="")


def with_times(**times: float) -> SharedConfig:
    timing = replace(CONFIG.settings.timing, **times)  # type: ignore[arg-type]
    assert check_timing(timing) == []
    return replace(CONFIG, settings=replace(CONFIG.settings, timing=timing))


def with_engine(**values: Any) -> ClusterSettings:
    return replace(CONFIG.settings, engine=replace(CONFIG.settings.engine, **values))


def named(name: str) -> SharedConfig:
    return replace(CONFIG, settings=with_engine(domain_name=name), domain_xml=domain_xml(name))


def why(after: SharedConfig, now: Situation, before: SharedConfig = CONFIG) -> str:
    return "; ".join(refusals(before, after, PARTS, now))


@pytest.mark.parametrize("now", [AT_WORK, MAINTENANCE, AT_REST, Situation()])
def test_the_io_timeout_is_never_changed(now):
    text = why(with_times(io_timeout_s=10), now)
    assert text.startswith("timing.io_timeout_s: 10 is refused, the cluster was made with 2: ")
    assert "second engine" in text
    assert "--deploy --force" in text


@pytest.mark.parametrize(
    "times",
    [
        {"tick_s": 1.0},
        {"tick_s": 8.0},
        {"alive_s": 20.0},
        {"alive_s": 70.0},
        {"turn_s": 60.0},
        {"start_s": 20.0},
        {"away_s": 300.0},
        {"unexpected_down_s": 100.0},
        {"bad_health_s": 60.0, "starting_s": 60.0, "stop_s": 20.0, "retry_window_s": 3600.0},
    ],
)
def test_one_time_alone_may_change_at_work(times):
    """Each was held against what the other hosts keep anyway."""
    assert why(with_times(**times), AT_WORK) == ""
    assert why(CONFIG, AT_WORK, before=with_times(**times)) == ""


@pytest.mark.parametrize(
    ("before", "after", "named_key"),
    [
        ({"tick_s": 2.0, "alive_s": 10.0}, {"tick_s": 8.0, "alive_s": 60.0}, "alive_s"),
        ({"tick_s": 2.0, "turn_s": 8.0}, {"tick_s": 10.0, "turn_s": 40.0}, "turn_s"),
        ({"tick_s": 2.0, "away_s": 10.0}, {"tick_s": 8.0, "away_s": 60.0}, "away_s"),
        (
            {"turn_s": 20.0, "unexpected_down_s": 90.0},
            {"turn_s": 100.0, "unexpected_down_s": 560.0},
            "unexpected_down_s",
        ),
    ],
)
def test_times_that_fit_only_together_change_in_global_maintenance(before, after, named_key):
    old, new = with_times(**before), with_times(**after)
    for now in (AT_WORK, Situation()):
        assert named_key in why(new, now, before=old)
        assert "set global maintenance first" in why(new, now, before=old)
        assert named_key in why(old, now, before=new)  # and back
    assert why(new, MAINTENANCE, before=old) == ""


def test_times_of_a_host_alone_are_no_mixture():
    old = with_times(stop_s=20.0, starting_s=20.0, bad_health_s=30.0)
    assert why(with_times(tick_s=8.0, bad_health_s=300.0), AT_WORK, before=old) == ""


def test_a_name_changes_only_with_the_engine_down_in_global_maintenance():
    new = named("Other")
    assert "set global maintenance first" in why(new, replace(AT_REST, global_maintenance=False))
    assert "set global maintenance first" in why(new, replace(AT_REST, global_maintenance=None))
    assert "held by host h1 (id 1): shut the engine down first" in why(new, MAINTENANCE)
    assert "can't be told" in why(new, replace(AT_REST, engine_held_by=None))
    assert why(new, AT_REST) == ""


def test_a_name_in_one_place_only_is_refused_whatever_else():
    only_settings = replace(CONFIG, settings=with_engine(domain_name="Other"))
    assert "both change together with --edit-vm-conf" in why(only_settings, AT_REST)
    only_xml = replace(CONFIG, domain_xml=domain_xml("Other"))
    assert "<name> is 'Other'" in why(only_xml, AT_REST)


@pytest.mark.parametrize(
    ("xml", "text"),
    [
        (domain_xml().replace("<lease>", "<!--").replace("</lease>", "-->"), "has no lease"),
        (domain_xml().replace("1048576", "0"), "must lie at"),
        ("<domain", "can't be read"),
        (domain_xml().replace("<name>HostedEngine</name>", ""), "exactly one <name>"),
    ],
)
def test_an_xml_that_no_host_would_start_from_is_refused(xml, text):
    assert text in why(replace(CONFIG, domain_xml=xml), MAINTENANCE)


def test_another_xml_may_come_at_any_time():
    assert why(replace(CONFIG, domain_xml=domain_xml(memory_mib=8192)), AT_WORK) == ""


def test_the_health_page_is_looked_at_when_it_will_be_another():
    page = with_engine(health_url="http://engine/page")
    assert checks_page(CONFIG.settings, page)
    assert not checks_page(page, page)
    assert not checks_page(page, replace(page, score=replace(page.score, base=3000)))
    assert not checks_page(page, CONFIG.settings)  # nobody will look any more
    text = replace(page, engine=replace(page.engine, health_text="Fine"))
    assert checks_page(page, text)


def test_mixtures_are_made_of_all_times_between_hosts():
    """A new time must be put on one of the two lists."""
    from hosted_engine.config import change_rules as config_rules

    listed = {*config_rules._BETWEEN_HOSTS, *config_rules._OWN, "io_timeout_s"}
    assert listed == set(vars(Timing()))
