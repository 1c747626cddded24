# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Mails over SMTP and webhooks over HTTP, each within one deadline.

Certificates and names in them are always verified. Proxies named in the environment are not used,
and redirects are not followed: a signed message goes where the settings say and nowhere else.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import smtplib
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, Optional
from urllib.parse import SplitResult, urlsplit

from metadata.error_words import reason_with_file
from metadata.plain_text import one_line
from metadata.secret_names import without_paths
from metadata.settings.notifications import STARTTLS, TLS, SmtpSettings, WebhookSettings
from world.network.deadline import Deadline, TooMuchError
from world.network.deadline_stream import connect, verifying_context
from world.network.mail_answers import Stage, advice, is_final
from world.network.own_name import hello_name
from world.ports.notifications import DeliveryError, Message, Receipt, RefusedRecipient
from world.secret_file import SHARED_SECRETS, read_secret

USER_AGENT = "hosted-engine-ha"
_HTTP_PORTS = {"http": 80, "https": 443}
_LOGGED_IN = 235
_MAX_ANSWER = 64 * 1024
_MAX_WORDS = 300


class NetNotificationSender:
    """The `NotificationSender` of the real world; keeps nothing between messages.

    The files with secrets that its settings name must lie below `secrets_below`.
    """

    def __init__(self, secrets_below: str = SHARED_SECRETS) -> None:
        self._secrets_below = secrets_below

    def mail(self, server: SmtpSettings, letter: Message) -> Receipt:
        """As `NotificationSender.mail`."""
        what = f"send mail through {server.server}:{server.usual_port}"
        with (
            _failures(what, server.timeout_s),
            _logged_in(server, self._secrets_below) as smtp,
        ):
            return _hand_over(smtp, letter)

    def post(self, webhook: WebhookSettings, body: bytes) -> Receipt:
        """As `NotificationSender.post`."""
        with _failures(f"post to {without_paths(webhook.url)}", webhook.timeout_s):
            headers = _headers(webhook, body, self._secrets_below)
            return _post(webhook, body, headers, Deadline(webhook.timeout_s))


class _RefusedMailError(Exception):
    """The other side said no, in its own words."""

    def __init__(self, words: str, final: bool) -> None:
        super().__init__(words)
        self.final = final


@contextmanager
def _failures(what: str, timeout_s: float) -> Iterator[None]:
    """Whatever goes wrong inside becomes a DeliveryError that says it in one line."""
    try:
        yield
    except _RefusedMailError as error:
        raise DeliveryError(what, str(error), error.final) from error
    except (TimeoutError, socket.timeout) as error:
        raise DeliveryError(what, f"not done within {timeout_s:g} s") from error
    except smtplib.SMTPServerDisconnected as error:
        # smtplib hides a read that took too long, or brought too much, behind this.
        hidden = error.__context__
        why = reason_with_file(hidden if isinstance(hidden, TooMuchError) else error)
        late = isinstance(hidden, socket.timeout)
        raise DeliveryError(what, f"not done within {timeout_s:g} s" if late else why) from error
    except smtplib.SMTPResponseException as error:
        raise DeliveryError(what, _reply(error.smtp_code, error.smtp_error)) from error
    except ssl.SSLCertVerificationError as error:
        why = f"its certificate is not accepted: {error.verify_message}"
        raise DeliveryError(what, why) from error
    except http.client.HTTPException as error:
        raise DeliveryError(what, f"not an HTTP answer ({type(error).__name__})") from error
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise DeliveryError(what, reason_with_file(error)) from error


def _one_line(text: str) -> str:
    return one_line(text)[:_MAX_WORDS]


def _secured(plain: socket.socket, ca_file: str, host: str) -> socket.socket:
    try:
        return verifying_context(ca_file).wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


# --- mail ---------------------------------------------------------------------------------


class _Smtp(smtplib.SMTP):
    """An SMTP client whose connection, TLS included, has one deadline."""

    def __init__(self, server: SmtpSettings, deadline: Deadline) -> None:
        self._server = server
        self._deadline = deadline
        # smtplib looks for a name itself where it is given none, and takes its time for it.
        super().__init__(server.server, server.usual_port, local_hostname="localhost")
        if self.sock is not None:
            self.local_hostname = hello_name(server.helo, self.sock)

    def _get_socket(self, host: Any, port: Any, timeout: Any) -> socket.socket:
        """Named and called by smtplib.SMTP."""
        plain = connect(str(host), int(port), self._deadline)
        if self._server.security != TLS:
            return plain
        return _secured(plain, self._server.ca_file, str(host))


@contextmanager
def _logged_in(server: SmtpSettings, secrets_below: str) -> Iterator[smtplib.SMTP]:
    """The password is read before anything is sent: one that is refused goes nowhere."""
    password = read_secret(server.password_file, secrets_below) if server.user else b""
    smtp = _Smtp(server, Deadline(server.timeout_s))
    try:
        _introduce(smtp)
        if server.security == STARTTLS:
            smtp.starttls(context=verifying_context(server.ca_file))
            smtp.ehlo()
        if server.user:
            _log_in(smtp, server.user, password)
        yield smtp
        with suppress(smtplib.SMTPException, OSError):  # it has the mail already
            smtp.quit()
    finally:
        smtp.close()


def _introduce(smtp: smtplib.SMTP) -> None:
    try:
        smtp.ehlo_or_helo_if_needed()
    except smtplib.SMTPHeloError as error:
        raise _refusal(Stage.HELLO, error.smtp_code, error.smtp_error) from error


def _log_in(smtp: smtplib.SMTP, user: str, password: bytes) -> None:
    """By PLAIN where the server has it: smtplib takes no password beyond ASCII."""
    if "PLAIN" not in smtp.esmtp_features.get("auth", "").upper().split():
        try:
            smtp.login(user, password.decode("utf-8"))
        except smtplib.SMTPAuthenticationError as error:
            raise _refusal(Stage.LOGIN, error.smtp_code, error.smtp_error) from error
        return
    credentials = b64encode(b"\0" + user.encode("utf-8") + b"\0" + password).decode("ascii")
    code, words = smtp.docmd("AUTH", f"PLAIN {credentials}")
    if code != _LOGGED_IN:
        raise _refusal(Stage.LOGIN, code, words)


def _hand_over(smtp: smtplib.SMTP, letter: Message) -> Receipt:
    _expect(Stage.SENDER, smtp.mail(letter.sender))
    refused = tuple(_refused(smtp, letter.to))
    if len(refused) == len(letter.to):
        words = "; ".join(f"{item.address}: {item.why}" for item in refused)
        raise _RefusedMailError(_one_line(words), all(item.final for item in refused))
    return Receipt(_expect(Stage.CONTENT, smtp.data(letter.content)), refused)


def _refused(smtp: smtplib.SMTP, to: tuple[str, ...]) -> Iterator[RefusedRecipient]:
    for address in to:
        code, words = smtp.rcpt(address)
        if not 200 <= code < 300:
            error = _refusal(Stage.RECIPIENT, code, words)
            yield RefusedRecipient(address, str(error), error.final)


def _expect(stage: Stage, answer: tuple[int, bytes]) -> str:
    code, words = answer
    if not 200 <= code < 300:
        raise _refusal(stage, code, words)
    return _reply(code, words)


def _refusal(stage: Stage, code: int, words: object) -> _RefusedMailError:
    """In the server's words, and what to change about it."""
    reply = _reply(code, words)
    mend = advice(stage, code, reply)
    return _RefusedMailError(f"{reply} ({mend})" if mend else reply, is_final(stage, code, reply))


def _reply(code: int, words: object) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)
    return _one_line(f"{code} {text}")


# --- webhooks -----------------------------------------------------------------------------


def signatures(secret: bytes, body: bytes, timestamp: str) -> dict[str, str]:
    """The headers that prove who sent `body` and when.

    The second one is for receivers that know that usual header only; it does not cover the time.
    """

    def signed(data: bytes) -> str:
        return "sha256=" + hmac.new(secret, data, hashlib.sha256).hexdigest()

    return {
        "X-Hosted-Engine-Signature-256": signed(timestamp.encode() + b"." + body),
        "X-Hub-Signature-256": signed(body),
    }


def _post(
    webhook: WebhookSettings, body: bytes, headers: dict[str, str], deadline: Deadline
) -> Receipt:
    parts = urlsplit(webhook.url)
    connection = _http_connection(parts, webhook, deadline)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, headers)
        with closing(connection.getresponse()) as response:
            response.read(_MAX_ANSWER)
            return _judge(response.status, response.reason)
    finally:
        connection.close()


def _headers(webhook: WebhookSettings, body: bytes, secrets_below: str) -> dict[str, str]:
    timestamp = str(int(time.time()))
    secret = read_secret(webhook.secret_file, secrets_below) if webhook.secret_file else None
    return {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": USER_AGENT,
        "Connection": "close",
        "X-Hosted-Engine-Timestamp": timestamp,
        **(signatures(secret, body, timestamp) if secret is not None else {}),
    }


def _http_connection(
    parts: SplitResult, webhook: WebhookSettings, deadline: Deadline
) -> http.client.HTTPConnection:
    """Connected already: http.client itself knows no deadline for the whole."""
    host, port = parts.hostname or "", parts.port or _HTTP_PORTS[parts.scheme]
    plain = connect(host, port, deadline)
    connection = http.client.HTTPConnection(host, port)
    connection.sock = _secured(plain, webhook.ca_file, host) if parts.scheme == "https" else plain
    return connection


def _judge(status: int, reason: Optional[str]) -> Receipt:
    words = _one_line(f"HTTP status {status} {reason or ''}")
    if 200 <= status < 300:
        return Receipt(words)
    if 300 <= status < 400:
        words += ": redirects are not followed"
    final = 400 <= status < 500 and status not in (408, 425, 429)
    raise _RefusedMailError(words, final)
