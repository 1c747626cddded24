# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Notifications leave the house: to a real SMTP server, real HTTP receivers, and rude ones."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest

from ha_broker.api.client import BrokerRefusedError
from metadata.records import HostRecord
from metadata.settings.notifications import NotificationSettings, SmtpSettings, WebhookSettings
from tests.contract.places import direct_io_directory
from tests.integration.broker_process import FACTOR, PUBLICATION, ROOT, SETTINGS, Site, wait_for
from tests.integration.receivers import (
    HOST,
    PASSWORD,
    USER,
    Authority,
    Hook,
    Mailbox,
    chattering,
    free_port,
    http_server,
    make_authority,
    rude_server,
    silent,
    smtp_server,
    trickling,
)
from world.network.notification_sender import NetNotificationSender
from world.ports.libvirt import DomainState
from world.ports.notifications import DeliveryError, Message, Receipt

LETTER = Message(
    "ha@example.com", ("a@example.com", "b@example.com"), b"Subject: x\r\n\r\n.hidden\r\n"
)
SECRET = b"s3cret"
SECRETS_BELOW = "/"  # where tests have their files

# The library knows no login over TLS from the first byte but by this setting.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority") / "a")


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    return secret_file(tmp_path / "password", PASSWORD.encode() + b"\n")


def secret_file(path: Path, secret: bytes) -> str:
    path.touch(mode=0o600)
    path.write_bytes(secret)
    return str(path)


def smtp(port: int, **fields: Any) -> SmtpSettings:
    plain: dict[str, Any] = {"security": "none", "timeout_s": 10.0, **fields}
    return SmtpSettings(HOST, "ha@example.com", LETTER.to, port=port, **plain)


def why_not(send: Callable[[], Receipt]) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        send()
    assert "\n" not in str(caught.value)
    return caught.value


# --- mail ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_encrypted_and_logged_in(authority: Authority, password_file: str, security: str) -> None:
    box = Mailbox()
    with smtp_server(box, authority, tls=security == "tls") as port:
        login = {"user": USER, "password_file": password_file, "ca_file": str(authority.ca_file)}
        receipt = NetNotificationSender(SECRETS_BELOW).mail(
            smtp(port, security=security, **login), LETTER
        )
    assert receipt == Receipt("250 taken as number 1")
    assert (box.recipients, box.logins) == ([["a@example.com", "b@example.com"]], [True])
    assert box.mails[0].get_content().strip() == ".hidden"


def test_logged_in_where_the_server_does_not_know_plain(
    authority: Authority, tmp_path: Path
) -> None:
    box = Mailbox(password="plain words")
    password = secret_file(tmp_path / "password", b"plain words\n")
    with smtp_server(box, authority, without=("PLAIN",)) as port:
        login = {"user": USER, "password_file": password, "ca_file": str(authority.ca_file)}
        NetNotificationSender(SECRETS_BELOW).mail(smtp(port, security="starttls", **login), LETTER)
    assert box.logins == [True]


def test_plain_to_a_relay_without_login() -> None:
    box = Mailbox()
    with smtp_server(box) as port:
        NetNotificationSender(SECRETS_BELOW).mail(smtp(port), LETTER)
    assert box.subjects == ["x"]


def test_a_wrong_password_is_told_in_the_servers_words(
    authority: Authority, tmp_path: Path
) -> None:
    wrong = secret_file(tmp_path / "wrong", b"wrong")
    with smtp_server(Mailbox(), authority) as port:
        server = smtp(
            port, security="starttls", user=USER, password_file=wrong,
            ca_file=str(authority.ca_file),
        )  # fmt: skip
        error = why_not(lambda: NetNotificationSender(SECRETS_BELOW).mail(server, LETTER))
    assert "535" in error.why
    assert not error.final


def test_no_password_file(authority: Authority) -> None:
    with smtp_server(Mailbox(), authority) as port:
        server = smtp(
            port, security="starttls", user=USER, password_file="/nowhere/password",
            ca_file=str(authority.ca_file),
        )  # fmt: skip
        error = why_not(lambda: NetNotificationSender(SECRETS_BELOW).mail(server, LETTER))
    assert error.why == "/nowhere/password: No such file or directory"


def test_a_certificate_of_somebody_else(authority: Authority) -> None:
    with smtp_server(Mailbox(), authority) as port:
        error = why_not(
            lambda: NetNotificationSender(SECRETS_BELOW).mail(
                smtp(port, security="starttls"), LETTER
            )
        )
    assert "its certificate is not accepted: " in error.why


def test_a_certificate_for_another_name(tmp_path: Path) -> None:
    other = make_authority(tmp_path / "other", "DNS:mail.example.com")
    with smtp_server(Mailbox(), other, tls=True) as port:
        server = smtp(port, security="tls", ca_file=str(other.ca_file))
        error = why_not(lambda: NetNotificationSender(SECRETS_BELOW).mail(server, LETTER))
    assert "its certificate is not accepted: IP address mismatch" in error.why


def test_a_server_without_starttls_gets_no_password(password_file: str) -> None:
    with smtp_server(Mailbox()) as port:
        server = smtp(port, security="starttls", user=USER, password_file=password_file)
        error = why_not(lambda: NetNotificationSender(SECRETS_BELOW).mail(server, LETTER))
    assert "STARTTLS" in error.why


def test_some_recipients_are_refused() -> None:
    box = Mailbox(refused={"b@example.com": "550 no such user"})
    with smtp_server(box) as port:
        receipt = NetNotificationSender(SECRETS_BELOW).mail(smtp(port), LETTER)
    (refused,) = receipt.refused
    assert (refused.address, refused.why, refused.final) == (
        "b@example.com", "550 no such user (look at notifications.smtp.to)", True,
    )  # fmt: skip
    assert box.recipients == [["a@example.com"]]


def test_all_recipients_are_refused() -> None:
    box = Mailbox(refused=dict.fromkeys(LETTER.to, "450 come back later"))
    with smtp_server(box) as port:
        error = why_not(lambda: NetNotificationSender(SECRETS_BELOW).mail(smtp(port), LETTER))
    assert error.why.startswith("a@example.com: 450 come back later; b@example.com: 450")
    assert not error.final
    assert box.mails == []


def test_nobody_listens() -> None:
    error = why_not(lambda: NetNotificationSender(SECRETS_BELOW).mail(smtp(free_port()), LETTER))
    assert error.why == "127.0.0.1: Connection refused"


@pytest.mark.parametrize("manner", [silent, trickling, chattering])
@pytest.mark.parametrize("security", ["none", "tls"])
def test_rude_mail_servers_cost_the_time_out_and_no_more(manner: Any, security: str) -> None:
    with rude_server(manner) as port:
        began_s = time.monotonic()
        error = why_not(
            lambda: NetNotificationSender(SECRETS_BELOW).mail(
                smtp(port, security=security, timeout_s=1.0), LETTER
            )
        )
        took_s = time.monotonic() - began_s
    assert took_s < 3 * FACTOR
    if security == "none":
        assert error.why == "not done within 1 s"


# --- webhooks ------------------------------------------------------------------------------------


def test_signed_so_that_the_receiver_can_check_it(tmp_path: Path) -> None:
    hook = Hook()
    secret = secret_file(tmp_path / "secret", SECRET + b"\n")
    with http_server(hook) as port:
        webhook = WebhookSettings(f"http://{HOST}:{port}/in?x=1", secret_file=secret)
        receipt = NetNotificationSender(SECRETS_BELOW).post(webhook, b'{"text": "\xc3\xa4"}')
    assert receipt == Receipt("HTTP status 200 OK")
    (headers,), (body,) = hook.headers, hook.bodies
    assert (hook.paths, body) == (["/in?x=1"], b'{"text": "\xc3\xa4"}')
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    stamp = headers["X-Hosted-Engine-Timestamp"]
    assert abs(int(stamp) - time.time()) < 60
    assert headers["X-Hosted-Engine-Signature-256"] == signature(stamp.encode() + b"." + body)
    assert headers["X-Hub-Signature-256"] == signature(body)


def signature(data: bytes) -> str:
    return "sha256=" + hmac.new(SECRET, data, hashlib.sha256).hexdigest()


def test_unsigned_without_a_secret() -> None:
    hook = Hook()
    with http_server(hook) as port:
        NetNotificationSender(SECRETS_BELOW).post(WebhookSettings(f"http://{HOST}:{port}"), b"{}")
    assert hook.paths == ["/"]
    assert not [name for name in hook.headers[0] if "Signature" in name]


def test_over_https(authority: Authority) -> None:
    hook = Hook()
    with http_server(hook, authority) as port:
        url = f"https://localhost:{port}/x"
        NetNotificationSender(SECRETS_BELOW).post(
            WebhookSettings(url, ca_file=str(authority.ca_file)), b"{}"
        )
        error = why_not(
            lambda: NetNotificationSender(SECRETS_BELOW).post(WebhookSettings(url), b"{}")
        )
    assert hook.paths == ["/x"]
    assert "its certificate is not accepted: " in error.why


@pytest.mark.parametrize(
    ("status", "final"), [(400, True), (404, True), (429, False), (500, False), (503, False)]
)
def test_a_refusal_is_told_with_its_status(status: int, final: bool) -> None:
    hook = Hook(status)
    with http_server(hook) as port:
        webhook = WebhookSettings(f"http://{HOST}:{port}/")
        error = why_not(lambda: NetNotificationSender(SECRETS_BELOW).post(webhook, b"{}"))
    assert error.why.startswith(f"HTTP status {status} ")
    assert error.final is final


def test_redirects_are_not_followed() -> None:
    hook = Hook(307)
    with http_server(hook) as port:
        webhook = WebhookSettings(f"http://{HOST}:{port}/")
        error = why_not(lambda: NetNotificationSender(SECRETS_BELOW).post(webhook, b"{}"))
    assert error.why == "HTTP status 307 Temporary Redirect: redirects are not followed"
    assert hook.paths == ["/"]


@pytest.mark.parametrize("manner", [silent, trickling])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_rude_receivers_cost_the_time_out_and_no_more(manner: Any, scheme: str) -> None:
    with rude_server(manner) as port:
        webhook = WebhookSettings(f"{scheme}://{HOST}:{port}/", timeout_s=1.0)
        began_s = time.monotonic()
        why_not(lambda: NetNotificationSender(SECRETS_BELOW).post(webhook, b"{}"))
        took_s = time.monotonic() - began_s
    assert took_s < 3 * FACTOR


def test_a_secret_that_others_can_read_goes_nowhere(tmp_path: Path) -> None:
    path = secret_file(tmp_path / "open", SECRET)
    Path(path).chmod(0o644)
    hook = Hook()
    with http_server(hook) as port:
        webhook = WebhookSettings(f"http://{HOST}:{port}/", secret_file=path)
        error = why_not(lambda: NetNotificationSender(SECRETS_BELOW).post(webhook, b"{}"))
    assert "others than its owner may use it (mode 0644)" in error.why
    assert hook.bodies == []


# --- the broker's process ------------------------------------------------------------------------


@pytest.fixture
def site() -> Iterator[Site]:
    """A host without sanlock, whose own maintenance is the event that can be had at any time."""
    with direct_io_directory() as directory:
        site = Site(directory)
        try:
            yield site
            assert "Traceback" not in site.log_text(), site.log_text()
        finally:
            site.close()


def deploy(site: Site, **told: Any) -> None:
    notifications = NotificationSettings(**{"hold_s": 0.0, **told})
    site.make_volume(replace(SETTINGS, notifications=notifications))
    site.deploy()


def ready(site: Site) -> Any:
    client = site.serving()
    wait_for("the configuration", lambda: client.status().config.sequence == 1)
    # Maintenance is refused before it is known that no VM runs here.
    absent = DomainState.ABSENT
    wait_for("libvirt's first word", lambda: client.status().engine.domain == absent)
    return client


ON = "[HostedEngine] h1 is in maintenance"
OFF = "[HostedEngine] the maintenance of h1 is over"


def test_from_the_event_to_the_mail_and_the_webhook(site: Site, authority: Authority) -> None:
    box, hook = Mailbox(), Hook()
    folder = site.settings_file.parent
    secret = secret_file(folder / "hook.secret", SECRET)
    password_file = secret_file(folder / "mail.password", PASSWORD.encode())
    with smtp_server(box, authority) as mail_port, http_server(hook) as hook_port:
        login = {"user": USER, "password_file": password_file, "ca_file": str(authority.ca_file)}
        deploy(
            site,
            smtp=smtp(mail_port, security="starttls", **login),
            webhooks=(WebhookSettings(f"http://{HOST}:{hook_port}/in", secret_file=secret),),
        )
        site.start()
        client = ready(site)
        client.set_local_maintenance(True)
        wait_for("the mail", lambda: box.subjects == [ON])
        wait_for("the webhook", lambda: len(hook.bodies) == 1)
        wait_for("the count", lambda: client.status().notifications.sent == 2)
    assert json.loads(hook.bodies[0])["kind"] == "maintenance-on"
    assert hook.headers[0]["X-Hub-Signature-256"] == signature(hook.bodies[0])
    assert json.loads(hook.bodies[0])["id"] == box.mails[0]["X-Hosted-Engine-Id"]


def test_what_waits_survives_a_kill_and_nothing_is_told_again(site: Site) -> None:
    port = free_port()
    deploy(site, smtp=smtp(port))
    process = site.start()
    client = ready(site)
    client.set_local_maintenance(True)
    wait_for("a failed attempt", lambda: client.status().notifications.failed)
    wait_for("both files", lambda: _is_stored(site))
    process.kill()
    process.wait()
    box = Mailbox()
    with smtp_server(box, port=port):
        site.forget()
        again = site.start()
        wait_for("the mail", lambda: box.subjects == [ON])
        wait_for("the count", lambda: ready(site).status().notifications.queued == 0)
        again.send_signal(signal.SIGTERM)
        again.wait(20 * FACTOR)
        site.forget()
        site.start()
        client = ready(site)
        client.set_local_maintenance(False)
        wait_for("the next mail", lambda: OFF in box.subjects)
    assert box.subjects == [ON, OFF]


def _is_stored(site: Site) -> bool:
    """What was told is written behind the queue: a kill between the two tells it twice."""
    queue, told = site.state_dir / "notifications.jsonl", site.state_dir / "told.json"
    if not queue.exists() or not told.exists():
        return False
    return told.stat().st_mtime_ns >= queue.stat().st_mtime_ns


def test_a_mail_server_that_hangs_delays_no_record(site: Site) -> None:
    with rude_server(silent) as port:
        deploy(site, smtp=smtp(port, timeout_s=20.0))
        site.start()
        client = ready(site)
        client.set_local_maintenance(True)
        wait_for("the mail is under way", lambda: client.status().notifications.queued == 1)
        for score in (100, 200, 300):
            began_s = time.monotonic()
            client.publish(replace(PUBLICATION, score=score))
            wait_for("the record", lambda wanted=score: _score(site) == wanted)
            assert time.monotonic() - began_s < 5 * FACTOR
        assert client.status().notifications.queued == 1


def _score(site: Site) -> object:
    seen = site.slot(1)
    return seen.score if isinstance(seen, HostRecord) else None


def command(site: Site) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "HE_BROKER_SOCKET": str(site.socket),
        "HE_SETTINGS": str(site.settings_file),
    }
    return subprocess.run(
        [sys.executable, "-m", "hosted_engine.main", "--test-notification"],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=False,
        timeout=60 * FACTOR,
    )  # fmt: skip


def test_the_command_shows_what_each_target_says(site: Site) -> None:
    box = Mailbox()
    closed = free_port()
    with smtp_server(box) as port, rude_server(trickling) as rude:
        hooks = (
            WebhookSettings(f"http://{HOST}:{closed}/"),
            WebhookSettings(f"http://{HOST}:{rude}/", timeout_s=1.0),
        )
        deploy(site, smtp=smtp(port), webhooks=hooks)
        site.start()
        ready(site)
        done = command(site)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        f"delivered: mail to a@example.com, b@example.com through {HOST}:{port}: "
        "250 taken as number 1",
        f"FAILED: webhook http://{HOST}:{closed}: {HOST}: Connection refused",
        f"FAILED: webhook http://{HOST}:{rude}: not done within 1 s",
    ]
    assert box.subjects == ["[HostedEngine] h1 sends a test of its notifications"]


def test_the_command_is_content_when_all_take_it(site: Site) -> None:
    with smtp_server(Mailbox()) as port:
        deploy(site, smtp=smtp(port))
        site.start()
        ready(site)
        assert command(site).returncode == 0


def test_the_command_without_any_target(site: Site) -> None:
    deploy(site)
    site.start()
    client = ready(site)
    with pytest.raises(BrokerRefusedError) as caught:
        client.test_notification()
    assert caught.value.status == 409
    done = command(site)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "hosted-engine: can't send a test notification: no mail server and no webhook is "
        "configured\n"
    )
