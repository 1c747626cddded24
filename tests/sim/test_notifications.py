# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Whole hosts in virtual time: one host tells what all see, and it may die at any moment of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from hosted_engine.simulate.grammar import parse_command
from hosted_engine.simulate.verbs import carry_out
from metadata.settings.notifications import NotificationSettings, SmtpSettings
from metadata.settings.parse import ClusterSettings, Timing
from simulation.cluster import SimCluster
from simulation.errors import SimulationError
from simulation.settings import WorldSettings, counted_hosts

TOLD = NotificationSettings(
    smtp=SmtpSettings("mail", "ha@example.com", ("a@example.com",), subject="{text}")
)
CLUSTER = ClusterSettings(timing=Timing(io_timeout_s=2), notifications=TOLD)
# h1 is lost for sanlock after 8 x io_timeout, for its record after alive_s; then hold_s.
LOST_AFTER_S = 94.0


@contextmanager
def running(hosts: int) -> Iterator[SimCluster]:
    cluster = SimCluster(WorldSettings(hosts=counted_hosts(hosts), cluster=CLUSTER))
    try:
        cluster.bring_up()
        cluster.run_for(60)  # the engine's own start is told by now
        cluster.shared.post_office.delivered.clear()
        yield cluster
    finally:
        cluster.close()


def texts(cluster: SimCluster) -> list[str]:
    return [message.text for message in cluster.shared.post_office.delivered]


def do(cluster: SimCluster, words: str) -> None:
    carry_out(parse_command(words, list(cluster.hosts)), cluster)


@pytest.mark.parametrize("delay_s", [-20, -5, -1, 0, 0.5, 1, 2, 5, 10, 30])
def test_the_teller_dies_around_the_moment_of_telling(delay_s: float) -> None:
    """The engine runs on h1; h4 dies, which h1 is to tell; h1 dies right before or after that."""
    with running(4) as cluster:
        do(cluster, "power-off h4")
        cluster.run_for(LOST_AFTER_S + delay_s)
        do(cluster, "power-off h1")
        cluster.run_for(400)
        told = texts(cluster)
    assert 1 <= told.count("h4 is lost") <= 2
    assert told.count("h1 is lost") == 1
    assert [text for text in told if "taken over" in text] in (
        ["the engine has been taken over by h2"],
        ["the engine has been taken over by h3"],
    )


def test_all_lose_their_power_and_one_tells_where_the_engine_is_now() -> None:
    with running(3) as cluster:
        for name in ("h1", "h2", "h3"):
            do(cluster, f"power-off {name}")
        cluster.run_for(300)
        do(cluster, "power-on h2")
        do(cluster, "power-on h3")
        cluster.run_for(400)
        told = texts(cluster)
    assert told == ["the engine has been taken over by h2"]


def test_nothing_is_told_when_all_services_are_restarted_at_once() -> None:
    with running(3) as cluster:
        for name in cluster.hosts:
            do(cluster, f"on {name} systemctl kill --signal=SIGKILL ha-agent ha-broker")
        cluster.run_for(300)
        for name in cluster.hosts:
            do(cluster, f"on {name} systemctl restart ha-agent ha-broker")
        cluster.run_for(300)
        assert texts(cluster) == []


FAULTS = (
    "power-off {host}",
    "power-on {host}",
    "power-on {host}",
    "storage {host} hang",
    "storage {host} heal",
    "on {host} systemctl kill --signal=SIGKILL ha-broker",
    "on {host} systemctl restart ha-agent ha-broker",
    "engine kill",
    "engine stop-service",
    "engine start-service",
)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_what_was_told_last_is_true(seed: int) -> None:
    """And losses and returns of a host take turns; a dying teller may double one of them."""
    rng = random.Random(seed)
    with running(3) as cluster:
        for _ in range(12):
            words = rng.choice(FAULTS).format(host=rng.choice(["h1", "h2", "h3"]))
            try:
                do(cluster, words)
            except SimulationError:
                continue  # not possible now
            cluster.run_for(rng.choice([5.0, 40.0, 150.0]))
        heal(cluster)
        told = texts(cluster)
        (engine,) = cluster.running_engines()
    about_engine = [text for text in told if text.startswith("the engine ")]
    assert not about_engine or engine.host in about_engine[-1]
    assert not about_engine or "not healthy" not in about_engine[-1]
    for name in ("h1", "h2", "h3"):
        own = [text for text in told if text in (f"{name} is lost", f"{name} is back")]
        assert not own or own[-1] == f"{name} is back"
        runs = [own[i : i + 3] for i in range(len(own) - 2)]
        assert all(len(set(run)) == 2 for run in runs), own


def heal(cluster: SimCluster) -> None:
    for name, host in cluster.hosts.items():
        do(cluster, f"storage {name} heal")
        if not host.power:
            do(cluster, f"power-on {name}")
    for guest in (host.vm.guest for host in cluster.hosts.values()):
        if guest is not None:
            guest.service_runs = True
    cluster.run_for(1500)
    assert cluster.is_at_rest()


def test_settings_of_these_tests_are_the_usual_ones() -> None:
    assert replace(TOLD, smtp=None) == NotificationSettings()
