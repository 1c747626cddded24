# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Notifications of a broker in virtual time: queue, retries, the daily limit, restarts, rules."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, Optional

import pytest

from ha_broker.api.snapshot import NotificationCounts, TransitionView
from ha_broker.api.trial import TrialResult
from ha_broker.events.transitions import StateChange, TransitionMemory, changes
from ha_broker.notifications import daily_limit, delivery, queue
from ha_broker.notifications.message import Notice, letter, payload
from ha_broker.notifications.queue import Queue, QueuedMessage, queue_from_lines
from ha_broker.notifications.state_files import MEMORY_FILE, QUEUE_FILE
from ha_broker.notifications.targets import MAIL_SLOT
from ha_broker.server.mailbox import Refusal, TrialTicket
from metadata.settings.notifications import NotificationSettings, SmtpSettings, WebhookSettings
from simulation.world.notification_sender import HANGS, REFUSES, WORKS, SimNotificationSender
from tests.unit.broker_host import CONFIG, JOIN_S, PUBLICATION, SETTINGS, TICK_S, Cluster, Host
from world.ports.notifications import DeliveryError, Receipt, RefusedRecipient

SMTP = SmtpSettings("mail", "ha@example.com", ("a@example.com", "b@example.com"))
HOOK = WebhookSettings("http://hook/1")
DAY_S = 1200.0  # as long as a day has to be here


def cluster_with(**fields: Any) -> Cluster:
    """Events count at once; only mails unless said otherwise."""
    told = NotificationSettings(**{"smtp": SMTP, "hold_s": 0.0, **fields})
    config = replace(CONFIG, settings=replace(SETTINGS, notifications=told))
    return Cluster(config)


def lone_host(path: Path, **fields: Any) -> Host:
    cluster = cluster_with(**fields)
    host = cluster.host(1, path)
    cluster.run(JOIN_S + 3 * TICK_S)
    assert host.snapshot.config.sequence == CONFIG.sequence
    assert texts(host) == []
    return host


def switch(host: Host, on: bool) -> None:
    """An event that can be had at any time: this host's maintenance."""
    host.ask("local", on)
    host.cluster.run(TICK_S)


def texts(host: Host) -> list[str]:
    return [message.text for message in host.cluster.post_office.delivered]


def counts(host: Host) -> NotificationCounts:
    return host.snapshot.notifications


ON, OFF = "[HostedEngine] h1 is in maintenance", "[HostedEngine] the maintenance of h1 is over"


@pytest.fixture(autouse=True)
def short_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daily_limit, "DAY_S", DAY_S)
    monkeypatch.setattr(delivery, "GIVE_UP_AFTER_S", DAY_S)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return lone_host(tmp_path)


# --- the way out ---------------------------------------------------------------------------------


def test_each_event_is_told_once(host: Host) -> None:
    switch(host, True)
    switch(host, False)
    host.cluster.run(100)
    assert texts(host) == [ON, OFF]
    assert [event.number for event in host.snapshot.events] == [1, 2]
    assert counts(host) == NotificationCounts(sent=2)


def test_every_target_gets_it(tmp_path: Path) -> None:
    host = lone_host(tmp_path, webhooks=(HOOK, WebhookSettings("https://hook/2")))
    switch(host, True)
    delivered = host.cluster.post_office.delivered
    assert [message.to for message in delivered] == [
        SMTP.to,
        ("http://hook/1",),
        ("https://hook/2",),
    ]
    assert {message.kind for message in delivered} == {"maintenance-on"}


def test_only_what_the_rules_want(tmp_path: Path) -> None:
    host = lone_host(tmp_path, rules=("stopped",))
    switch(host, True)
    assert [event.kind.value for event in host.snapshot.events] == ["maintenance-on"]
    assert texts(host) == []


def test_without_targets_events_are_seen_and_nothing_is_kept(tmp_path: Path) -> None:
    host = lone_host(tmp_path, smtp=None)
    switch(host, True)
    assert len(host.snapshot.events) == 1
    assert counts(host) == NotificationCounts()
    assert not (tmp_path / MEMORY_FILE).exists()


def test_the_latest_twenty_events_are_shown(tmp_path: Path) -> None:
    host = lone_host(tmp_path, smtp=None)
    for number in range(25):
        switch(host, number % 2 == 0)
    assert [event.number for event in host.snapshot.events] == list(range(6, 26))


# --- a target that does not take it --------------------------------------------------------------


def test_a_refusing_server_is_asked_less_and_less_often(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "LONGEST_PAUSE_S", 160.0)
    host.cluster.post_office.state = REFUSES
    begun = host.runner.submitted.count(MAIL_SLOT)
    switch(host, True)
    host.cluster.run(700)
    # After 0, 10, 30, 70, 150 s, then each 160 s.
    assert host.runner.submitted.count(MAIL_SLOT) - begun == 8
    assert counts(host) == NotificationCounts(queued=1, failed=8)
    host.cluster.post_office.state = WORKS
    host.cluster.run(160)
    assert texts(host) == [ON]
    assert counts(host) == NotificationCounts(sent=1, failed=8)


def test_what_waits_arrives_in_its_order(host: Host) -> None:
    host.cluster.post_office.state = HANGS
    for on in (True, False, True):
        switch(host, on)
    host.cluster.run(120)
    assert texts(host) == []
    host.cluster.post_office.state = WORKS
    host.cluster.run(400)
    assert texts(host) == [ON, OFF, ON]


def test_a_hanging_server_holds_up_neither_webhooks_nor_records(tmp_path: Path) -> None:
    host = lone_host(tmp_path, webhooks=(HOOK,))
    host.runner.hang(MAIL_SLOT)
    switch(host, True)
    assert [message.way for message in host.cluster.post_office.delivered] == ["webhook"]
    for score in (1000, 2000):
        host.publish(replace(PUBLICATION, score=score))
        host.cluster.run(TICK_S)
        assert host.cluster.stored(1).score == score
    host.runner.release(MAIL_SLOT)
    host.cluster.run(TICK_S)
    assert ON in texts(host)


def test_given_up_after_a_day(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    host.cluster.post_office.state = REFUSES
    switch(host, True)
    host.cluster.run(DAY_S - 60)
    assert counts(host).queued == 1
    with caplog.at_level(logging.ERROR):
        host.cluster.run(120)
    assert (counts(host).queued, counts(host).dropped) == (0, 1)
    assert "is given up (not delivered within 1200 s): h1 is in maintenance" in caplog.text


def test_the_oldest_goes_when_there_is_no_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    host = lone_host(tmp_path, queue_size=2)
    host.cluster.post_office.state = REFUSES
    for on in (True, False, True):
        switch(host, on)
    assert (counts(host).queued, counts(host).dropped) == (2, 1)
    assert "is given up (more than 2 wait): h1 is in maintenance" in caplog.text
    host.cluster.post_office.state = WORKS
    host.cluster.run(400)
    assert texts(host) == [OFF, ON]


def test_one_log_line_for_a_server_that_stays_away(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    host.cluster.post_office.state = REFUSES
    switch(host, True)
    host.cluster.run(600)
    told = [item for item in caplog.messages if "Connection refused" in item]
    assert told == ["mail to a@example.com, b@example.com through mail:587: Connection refused"]


class Picky(SimNotificationSender):
    """Refuses what it is told to refuse."""

    refused: tuple[RefusedRecipient, ...] = ()
    final_for: str = ""

    def mail(self, server: SmtpSettings, mail: Any) -> Receipt:
        text = message_from_bytes(mail.content, policy=policy.default)["Subject"]
        if self.final_for and self.final_for in text:
            raise DeliveryError("mail", "554 we don't want this", final=True)
        refused = tuple(item for item in self.refused if item.address in mail.to)
        taken = super().mail(server, mail)
        return replace(taken, refused=refused)


def picky_host(path: Path) -> tuple[Host, Picky]:
    host = lone_host(path)
    notification_sender = Picky(host.cluster.clock, host.cluster.post_office)
    host.notification_sender = notification_sender
    host.start()
    host.cluster.run(JOIN_S)
    return host, notification_sender


def test_one_refused_message_does_not_hold_up_the_next(tmp_path: Path) -> None:
    host, notification_sender = picky_host(tmp_path)
    notification_sender.final_for = "is in maintenance"
    switch(host, True)
    switch(host, False)
    host.cluster.run(300)
    assert texts(host) == [OFF]
    assert counts(host).queued == 1
    notification_sender.final_for = ""
    host.cluster.run(400)
    assert texts(host) == [OFF, ON]


def test_recipients_refused_for_now_are_tried_again_alone(tmp_path: Path) -> None:
    host, notification_sender = picky_host(tmp_path)
    notification_sender.refused = (
        RefusedRecipient("a@example.com", "450 later", final=False),
        RefusedRecipient("b@example.com", "550 unknown", final=True),
    )
    switch(host, True)
    notification_sender.refused = ()
    host.cluster.run(60)
    assert [message.to for message in host.cluster.post_office.delivered] == [
        ("a@example.com", "b@example.com"),
        ("a@example.com",),
    ]


# --- restarts ------------------------------------------------------------------------------------


def test_a_restart_tells_nothing_again_and_sends_what_waits(host: Host) -> None:
    switch(host, True)
    host.cluster.post_office.state = REFUSES
    switch(host, False)
    host.start()
    host.cluster.post_office.state = WORKS
    host.cluster.run(60)
    assert texts(host) == [ON, OFF]
    host.start()
    host.cluster.run(100)
    assert texts(host) == [ON, OFF]


def test_what_waits_keeps_its_age_over_restarts(host: Host) -> None:
    host.cluster.post_office.state = REFUSES
    switch(host, True)
    host.cluster.run(DAY_S / 2)
    switch(host, False)  # so that the files are written again
    host.start()
    host.cluster.run(DAY_S / 2 + 60)
    assert (counts(host).queued, counts(host).dropped) == (1, 1)


HUGE = b"9" * 400
DAMAGED = [
    *(b"", b"{", b"\xff\xfe", b'{"events": 1}', b"[[[[", b"null"),
    b'{"events": {}, "day": {"age_s": %s}}' % HUGE,
    b'{"events": {}, "day": {"told": -%s}}' % HUGE,
    b'{"events": {"engine_host": %s}, "day": {}}' % HUGE,
    b'{"events": {}, "day": {}, "of a newer program": 1e999}',
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_memory_is_told_and_begun_anew(
    host: Host, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    switch(host, True)
    (host.state_dir / MEMORY_FILE).write_bytes(content)
    host.start()
    assert f"{MEMORY_FILE} is damaged and begun anew" in caplog.text
    host.cluster.run(600)
    switch(host, False)
    assert texts(host) == [ON, OFF]


def test_a_damaged_line_of_the_queue_costs_that_line_only(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    host.cluster.post_office.state = REFUSES
    switch(host, True)
    switch(host, False)
    file = host.state_dir / QUEUE_FILE
    lines = file.read_text().splitlines()
    assert len(lines) == 2
    huge = lines[0].replace('"wall_s": ', f'"wall_s": {"9" * 400}')
    assert huge != lines[0]
    file.write_text("\n".join([lines[0][:40], lines[1], huge]))
    host.cluster.post_office.state = WORKS
    host.start()
    host.cluster.run(60)
    assert texts(host) == [OFF]
    assert "left out: line 1" in caplog.text
    assert "left out: line 3" in caplog.text


def test_a_state_directory_that_can_not_be_written_is_told(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    (host.state_dir / f"{QUEUE_FILE}.new").mkdir()
    switch(host, True)
    host.cluster.run(120)
    assert texts(host) == [ON]
    assert (
        len(
            [
                line
                for line in caplog.messages
                if line.startswith("notifications' files: can't be written:")
            ]
        )
        == 1
    )
    (host.state_dir / f"{QUEUE_FILE}.new").rmdir()
    host.cluster.run(60)
    assert (host.state_dir / MEMORY_FILE).exists()


def test_the_files_are_only_written_when_something_changed(host: Host) -> None:
    switch(host, True)
    writes = host.runner.submitted.count("notify:store")
    host.cluster.run(600)
    assert host.runner.submitted.count("notify:store") == writes


# --- the daily limit -----------------------------------------------------------------------------


def test_the_last_one_says_that_it_is_and_the_next_day_how_many_were_dropped(
    tmp_path: Path,
) -> None:
    host = lone_host(tmp_path, daily_limit=2)
    for number in range(5):
        switch(host, number % 2 == 0)
    delivered = host.cluster.post_office.delivered
    assert texts(host) == [ON, f"{OFF} (the last one for now: daily limit of 2)"]
    assert "the daily limit of 2 is reached" not in delivered[0].body
    last = " ".join(delivered[1].body.split())
    assert "the daily limit of 2 is reached. It tells more in 20 minutes." in last
    assert counts(host).dropped == 3
    host.cluster.run(DAY_S)
    assert texts(host)[2:] == [
        "[HostedEngine] 3 notifications of this host were not sent in the last 24 hours"
    ]
    switch(host, False)
    assert texts(host)[3:] == [f"{OFF} (the last one for now: daily limit of 2)"]


def test_the_limit_survives_a_restart(tmp_path: Path) -> None:
    host = lone_host(tmp_path, daily_limit=1)
    switch(host, True)
    host.start()
    host.cluster.run(60)
    switch(host, False)
    assert len(texts(host)) == 1
    host.cluster.run(DAY_S)
    assert "1 notifications of this host were not sent" in texts(host)[1]


def test_a_quiet_day_ends_without_a_word(host: Host) -> None:
    switch(host, True)
    host.cluster.run(2 * DAY_S)
    assert texts(host) == [ON]


# --- one message per cluster ---------------------------------------------------------------------


def three_hosts(path: Path) -> list[Host]:
    cluster = cluster_with()
    hosts = []
    for host_id in (1, 2, 3):
        (path / f"h{host_id}").mkdir()
        hosts.append(cluster.host(host_id, path / f"h{host_id}"))
    live(hosts, 120)
    assert texts(hosts[0]) == []
    return hosts


def live(hosts: list[Host], seconds: float) -> None:
    """Agents on these hosts publish each tick."""
    for _ in range(int(seconds / TICK_S)):
        for host in hosts:
            host.publish()
        hosts[0].cluster.run(TICK_S)


def test_one_host_tells_what_all_see(tmp_path: Path) -> None:
    hosts = three_hosts(tmp_path)
    hosts[1].ask("global", True)
    live(hosts, 60)
    assert [len(host.snapshot.events) for host in hosts] == [1, 1, 1]
    assert [counts(host).sent for host in hosts] == [1, 0, 0]


def test_another_one_tells_it_when_the_reporter_dies_with_it(tmp_path: Path) -> None:
    hosts = three_hosts(tmp_path)
    cluster = hosts[0].cluster
    hosts[1].ask("global", True)
    cluster.hosts = hosts[1:]  # the first one stands still before it looks
    hosts[0].lockspace.power_off()
    live(hosts[1:], 2 * SETTINGS.timing.alive_s)
    maintenance = [text for text in texts(hosts[1]) if "maintenance" in text]
    assert len(maintenance) == 1
    assert [counts(host).sent for host in hosts[1:]] != [0, 0]


def test_it_is_not_told_again_when_the_reporter_stops_later(tmp_path: Path) -> None:
    hosts = three_hosts(tmp_path)
    hosts[1].ask("global", True)
    live(hosts, 60)
    hosts[0].publish(replace(PUBLICATION, state="AgentStopped", stopped=True))
    live(hosts[1:], 300)
    assert [text for text in texts(hosts[1]) if "maintenance" in text] == [
        "[HostedEngine] the cluster is in maintenance: the engine is left alone"
    ]


# --- the agent's changes -------------------------------------------------------------------------


def transition(number: int, before: str, after: str) -> TransitionView:
    return TransitionView(number, 0.0, before, after, "why")


def lived(life_at_s: float, *states: str) -> Any:
    views = tuple(
        transition(number, *pair) for number, pair in enumerate(zip(states, states[1:]), 1)
    )
    return replace(PUBLICATION, life_at_s=life_at_s, transitions=views)


def names(*publications: Any, memory: Optional[TransitionMemory] = None) -> list[str]:
    found: list[StateChange] = []
    memory = memory or TransitionMemory()
    for publication in publications:
        memory, new = changes(memory, publication)
        found += new
    return [change.name for change in found]


BEGIN = ("StartState", "ReinitializeFSM")


def test_changes_count_once_however_often_they_are_published() -> None:
    first = lived(1.0, *BEGIN, "EngineDown", "EngineStart")
    assert names(first, first) == ["EngineDown-EngineStart"]
    more = lived(1.0, *BEGIN, "EngineDown", "EngineStart", "EngineStarting", "EngineUp")
    assert names(first, more) == [
        "EngineDown-EngineStart",
        "EngineStart-EngineStarting",
        "EngineStarting-EngineUp",
    ]


def test_a_restarted_agent_that_ends_where_it_was_has_not_changed() -> None:
    before = lived(1.0, *BEGIN, "EngineUp", "AgentStopped")
    assert names(before, lived(2.0, *BEGIN, "EngineUp")) == []
    assert names(before, lived(2.0, *BEGIN, "EngineStarting", "EngineUp")) == []
    assert names(before, lived(2.0, *BEGIN, "EngineDown")) == ["EngineUp-EngineDown"]


def test_a_broker_that_knows_nothing_of_changes_tells_none() -> None:
    assert names(None, PUBLICATION) == []


def test_wanted_changes_of_this_host_are_told_and_not_again_after_restarts(tmp_path: Path) -> None:
    host = lone_host(tmp_path, rules=("state_transition=up|maintenance",))
    states = (*BEGIN, "EngineDown", "EngineStart", "EngineStarting", "EngineUp")
    host.publish(lived(1.0, *states))
    host.cluster.run(TICK_S)
    assert texts(host) == ["[HostedEngine] h1: EngineStarting-EngineUp"]
    host.start()
    host.cluster.run(60)
    host.publish(lived(1.0, *states))
    host.publish(lived(2.0, *BEGIN, "EngineStarting", "EngineUp"))
    host.cluster.run(60)
    assert len(texts(host)) == 1


# --- tests by the administrator ------------------------------------------------------------------


def ask_trial(host: Host) -> TrialTicket:
    ticket = host.broker.mailbox.ask_trial()
    host.settle()
    return ticket


def test_a_test_goes_to_every_target_at_once(tmp_path: Path) -> None:
    host = lone_host(tmp_path, webhooks=(HOOK,))
    ticket = ask_trial(host)
    assert ticket.is_done()
    assert ticket.results == (
        TrialResult("mail to a@example.com, b@example.com through mail:587", True, "250 taken"),
        TrialResult("webhook http://hook", True, "HTTP status 200 OK"),
    )
    assert texts(host) == [
        "[HostedEngine] h1 sends a test of its notifications",
        "h1 sends a test of its notifications",
    ]


def test_a_test_says_what_the_other_side_said(host: Host) -> None:
    host.cluster.post_office.state = REFUSES
    (result,) = ask_trial(host).results
    assert (result.delivered, result.words) == (False, "Connection refused")


def test_a_test_ends_in_time_whatever_hangs(host: Host) -> None:
    host.runner.hang(f"trial-{MAIL_SLOT}")
    ticket = ask_trial(host)
    assert not ticket.is_done()
    with pytest.raises(Refusal, match="another test notification is under way"):
        ask_trial(host).is_done()
    host.cluster.run(SMTP.timeout_s + 15)
    assert ticket.is_done()
    assert ticket.results[0].words == "no answer in time"
    assert ask_trial(host).results[0].words == "the test before has not ended there yet"


def test_a_test_without_targets_is_refused(tmp_path: Path) -> None:
    ticket = ask_trial(lone_host(tmp_path, smtp=None))
    with pytest.raises(Refusal, match="no mail server and no webhook is configured"):
        ticket.is_done()


def test_a_test_is_no_part_of_the_daily_limit(tmp_path: Path) -> None:
    host = lone_host(tmp_path, daily_limit=1)
    ask_trial(host)
    switch(host, True)
    assert texts(host)[1:] == [f"{ON} (the last one for now: daily limit of 1)"]


# --- what it looks like --------------------------------------------------------------------------

NOTICE = Notice(
    id="18b.1",
    kind="taken-over",
    text="the engine has been taken over by h2",
    detail="it ran on h1 before — für 163 s",
    host="h2",
    engine="engine.example.com",
    sender="h2",
    wall_s=1_700_000_000.0,
    host_id=2,
    outage_s=163.04,
)


def test_the_mail_has_what_mails_need() -> None:
    sent = letter(NOTICE, SMTP, ("a@example.com",), 1_700_000_060.0)
    assert (sent.sender, sent.to) == (SMTP.sender, ("a@example.com",))
    assert max(sent.content) < 128  # any server takes it
    mail = message_from_bytes(sent.content, policy=policy.default)
    assert mail["Subject"].strip() == "[engine.example.com] the engine has been taken over by h2"
    assert (mail["From"], mail["To"]) == ("ha@example.com", "a@example.com, b@example.com")
    assert mail["Date"] == "Tue, 14 Nov 2023 22:14:20 -0000"
    assert mail["Message-ID"] == "<18b.1.h2@hosted-engine-ha.invalid>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert (mail["X-Hosted-Engine-Event"], mail["X-Hosted-Engine-Id"]) == ("taken-over", "18b.1")
    assert mail["MIME-Version"] == "1.0"
    assert mail.get_content_type() == "text/plain"
    body = mail.get_content()
    assert "it ran on h1 before — für 163 s" in body
    assert "when: 2023-11-14 22:13:20 UTC" in body


def test_templates_are_filled_in() -> None:
    server = replace(SMTP, subject="{kind}: {host} {outage}", body="{{{text}}} {id} {sender}")
    mail = message_from_bytes(letter(NOTICE, server, server.to, 0.0).content, policy=policy.default)
    assert mail["Subject"] == "taken-over: h2 2 min 43 s"
    assert mail.get_content().strip() == "{the engine has been taken over by h2} 18b.1 h2"


def test_the_subject_is_one_line_whatever_it_is_about() -> None:
    odd = replace(NOTICE, text="h1\r\nBcc: everybody@example.com")
    mail = message_from_bytes(letter(odd, SMTP, SMTP.to, 0.0).content, policy=policy.default)
    assert mail["Bcc"] is None
    assert "h1 Bcc: everybody@example.com" in mail["Subject"]


def test_the_webhook_gets_plain_json() -> None:
    assert json.loads(payload(NOTICE)) == {
        "id": "18b.1",
        "kind": "taken-over",
        "text": "the engine has been taken over by h2",
        "detail": "it ran on h1 before — für 163 s",
        "host": "h2",
        "host_id": 2,
        "engine": "engine.example.com",
        "outage_s": 163.0,
        "time": "2023-11-14 22:13:20 UTC",
        "sender": "h2",
    }


def test_the_queue_survives_as_lines() -> None:
    waiting = Queue()
    waiting.add(QueuedMessage(NOTICE, "mail", 100.0, ("a@example.com",)), 10, ())
    back, problems = queue_from_lines(waiting.to_lines(now_s=160.0), now_s=1000.0)
    assert problems == []
    assert back.entries == (QueuedMessage(NOTICE, "mail", 940.0, ("a@example.com",)),)


def test_what_is_on_its_way_is_not_what_has_to_go() -> None:
    waiting = Queue()
    first, second = (
        QueuedMessage(NOTICE, "mail", 1.0),
        QueuedMessage(replace(NOTICE, id="2"), "mail", 2.0),
    )
    waiting.add(first, 2, ())
    waiting.add(second, 2, ())
    assert (
        waiting.add(QueuedMessage(replace(NOTICE, id="3"), "mail", 3.0), 2, {first.key}) == second
    )
