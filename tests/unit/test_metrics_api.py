# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The metrics on the unix socket, and what counts the calls there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ha_broker.api.snapshot import Snapshot
from ha_broker.metrics.counters import Counters
from ha_broker.metrics.exporter import SHORTEST_PAUSE_S, Exporter
from ha_broker.server.http_server import ApiServer
from ha_broker.server.mailbox import Mailbox, Refusal
from ha_broker.server.routes import Api
from metadata.settings.notifications import NotificationSettings, SmtpSettings
from simulation.world import VirtualClock
from tests.unit.broker_host import CONFIG, JOIN_S, PUBLICATION, Cluster
from tests.unit.metrics_text import Scrape

FIRST = Snapshot(1, 0.0, 1, "h1", 0.0)


class Place:
    """An API with metrics, without a broker."""

    def __init__(self) -> None:
        self.clock = VirtualClock(start_s=100.0)
        self.counters = Counters()
        self.mailbox = Mailbox(FIRST)
        self.exporter = Exporter(self.mailbox, self.counters, dict, self.clock.monotonic_s)
        self.api = Api(
            self.mailbox, self.clock.monotonic_s, self.exporter.answer, self.counters.call_answered
        )

    def scrape(self) -> Scrape:
        return Scrape(self.api.answer("GET", "/metrics", b"").body)


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def server(place: Place, tmp_path: Path) -> Iterator[ApiServer]:
    server = ApiServer(str(tmp_path / "s"), place.api.answer)
    server.start()
    yield server
    server.stop()


def test_on_the_socket_they_are_a_text(place: Place, server: ApiServer):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(server.path)
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nContent-Type: text/plain; version=" in head
    assert Scrape(body).value("host_info", host="h1") == 1


def test_without_an_exporter_there_are_none():
    with pytest.raises(Refusal, match="there are none") as caught:
        Api(Mailbox(FIRST), VirtualClock().monotonic_s).answer("GET", "/metrics", b"")
    assert caught.value.status == 404


def test_calls_are_counted_by_a_few_names(place: Place):
    place.api.answer("GET", "/v1/status", b"")
    for target in ("/v1/config", "/nowhere", "/elsewhere"):
        with pytest.raises(Refusal):
            place.api.answer("GET", target, b"")
    seen = place.scrape()
    assert seen.value("api_requests_total", resource="/v1/status", status="200") == 1
    assert seen.value("api_requests_total", resource="/v1/config", status="503") == 1
    assert seen.value("api_requests_total", resource="other", status="404") == 2


def test_a_call_that_fails_counts(place: Place):
    place.mailbox.snapshot = None  # type: ignore[method-assign,assignment]
    with pytest.raises(TypeError):
        place.api.answer("GET", "/v1/status", b"")
    del place.mailbox.snapshot
    assert place.scrape().value("api_requests_total", resource="/v1/status", status="500") == 1


def test_who_asks_in_a_row_gets_the_same_again(place: Place):
    first = place.scrape()
    place.clock.advance(SHORTEST_PAUSE_S - 0.01)
    assert place.scrape().samples == first.samples
    place.clock.advance(0.02)
    assert place.scrape().value("snapshot_age_seconds") != first.value("snapshot_age_seconds")


def test_a_broker_that_lives_is_counted(tmp_path: Path):
    cluster = Cluster()
    counters = Counters()
    host = cluster.host(1, tmp_path, observer=counters)
    peer = cluster.peer(2)
    cluster.run(JOIN_S + 30)
    host.publish()
    cluster.run(10)
    broker = host.broker
    exporter = Exporter(
        broker.mailbox, counters, lambda: broker.renewed_at_s, cluster.clock.monotonic_s
    )
    seen = Scrape(exporter.answer().body)
    assert seen.value("storage_io_duration_seconds_count", operation="write") == 1
    assert (seen.value("storage_io_duration_seconds_count", operation="read") or 0) > 5
    assert seen.value("agent_state", state="EngineDown") == 1
    age_s = seen.value("host_renewal_age_seconds", host_id="2")
    assert age_s is not None and age_s < 30
    peer.kill_daemon()
    cluster.run(100)
    dead = Scrape(exporter.answer().body)
    assert (dead.value("host_renewal_age_seconds", host_id="2") or 0) > 90
    assert (dead.value("host_renewal_age_seconds", host_id="1") or 0) < 30


def test_events_and_notifications_of_a_broker_that_lives(tmp_path: Path):
    told = NotificationSettings(
        SmtpSettings("mail", "ha@example.com", ("a@example.com",)), hold_s=0.0
    )
    settings = replace(CONFIG.settings, notifications=told)
    cluster = Cluster(replace(CONFIG, settings=settings))
    counters = Counters()
    host = cluster.host(1, tmp_path, observer=counters)
    cluster.run(JOIN_S + 30)
    host.ask("local", True)
    cluster.run(20)
    mailbox = host.broker.mailbox
    seen = Scrape(Exporter(mailbox, counters, dict, cluster.clock.monotonic_s).answer().body)
    assert seen.value("events_total", kind="maintenance-on") == 1
    assert seen.value("notifications_sent_total") == 1
    host.observer = again = Counters()
    host.start()
    cluster.run(JOIN_S + 30)
    assert host.snapshot.local_maintenance
    reborn = Scrape(
        Exporter(host.broker.mailbox, again, dict, cluster.clock.monotonic_s).answer().body
    )
    assert reborn.value("events_total", kind="maintenance-on") == 0


def test_trouble_with_the_metrics_is_in_the_status(tmp_path: Path):
    cluster = Cluster()
    host = cluster.host(1, tmp_path)
    host.broker.note_metrics("not served at 192.0.2.1:9177: in use")
    cluster.run(5)
    assert host.snapshot.metrics_error == "not served at 192.0.2.1:9177: in use"
    assert "; metrics: not served at 192.0.2.1:9177: in use" in host.services.status_text


@pytest.mark.parametrize("score", [2**64, -(2**64)])
def test_the_largest_score_of_a_request_can_be_scraped(tmp_path: Path, score: int):
    cluster = Cluster(CONFIG)
    host = cluster.host(1, tmp_path)
    cluster.run(JOIN_S + 30)
    host.publish(replace(PUBLICATION, score=score, vm_conf_refresh_s=score))
    cluster.run(30)
    own = host.snapshot.own
    assert own is not None
    assert own.record is not None
    assert abs(own.record.score) == 10**18
    exporter = Exporter(host.broker.mailbox, Counters(), dict, cluster.clock.monotonic_s)
    assert exporter.answer().body
