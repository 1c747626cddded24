# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""How a host introduces itself to a mail server, and what a server's refusal is told as."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Callable, Optional

import pytest

from metadata.settings.notifications import SmtpSettings
from world.network import own_name
from world.network.notification_sender import NetNotificationSender
from world.ports.notifications import DeliveryError, Message, Receipt

LONG_S = 10 * float(os.environ.get("HE_TIME_FACTOR", "1"))
LETTER = Message("ha@example.com", ("a@example.com", "b@example.com"), b"Subject: x\r\n\r\nx\r\n")


class MailServer:
    """Answers by the beginning of each line with what `replies` say, else with 250."""

    def __init__(self, replies: dict[str, str], address: str = "127.0.0.1") -> None:
        self.lines: list[str] = []
        self._replies = replies
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, 0), family=family)
        self.address, self.port = address, int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.settimeout(LONG_S)
                with client, suppress(OSError):
                    self._answer(client)

    def _answer(self, client: socket.socket) -> None:
        client.sendall(b"220 mail\r\n")
        stream = client.makefile("rb")
        for line in stream:
            self.lines.append(line.decode("ascii").rstrip())
            command = self.lines[-1]
            if command == "data":
                client.sendall(b"354 go on\r\n")
                while stream.readline() not in (b".\r\n", b""):
                    continue
                command = "."
            client.sendall(self._reply(command).encode() + b"\r\n")

    def _reply(self, line: str) -> str:
        found = [reply for begin, reply in self._replies.items() if line.lower().startswith(begin)]
        return found[0] if found else "250 fine"


@pytest.fixture
def serve() -> Iterator[Callable[..., MailServer]]:
    servers: list[MailServer] = []

    def start(replies: Optional[dict[str, str]] = None, address: str = "127.0.0.1") -> MailServer:
        servers.append(MailServer(replies or {}, address))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def send(server: MailServer, **fields: Any) -> Receipt:
    settings = SmtpSettings(
        server.address, LETTER.sender, LETTER.to, port=server.port, security="none",
        timeout_s=LONG_S, **fields,
    )  # fmt: skip
    return NetNotificationSender().mail(settings, LETTER)


def hello(server: MailServer, **fields: Any) -> str:
    send(server, **fields)
    return server.lines[0]


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """This host's name, and the full one that the resolver finds for it (None: none)."""
    resolve = socket.getaddrinfo

    def name(own: str, canonical: Optional[str] = None) -> None:
        def found(host: Any, *more: Any, **kind: Any) -> Any:
            if host != own:
                return resolve(host, *more, **kind)
            if canonical is None:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return [(socket.AF_INET, 1, 6, canonical, ("127.0.0.1", 0))]

        monkeypatch.setattr(socket, "gethostname", lambda: own)
        monkeypatch.setattr(socket, "getaddrinfo", found)

    return name


# --- the name -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "canonical", "told"),
    [
        ("h1.example.org", None, "h1.example.org"),
        ("h1.corp.local", None, "h1.corp.local"),
        ("h1.example.org.", None, "h1.example.org"),
        ("h1", "h1.example.org", "h1.example.org"),
        ("h1", None, "[127.0.0.1]"),
        ("h1", "h1", "[127.0.0.1]"),
        ("localhost", "localhost.localdomain", "[127.0.0.1]"),
        ("localhost.localdomain", None, "[127.0.0.1]"),
        ("kvm_1.example.org", None, "[127.0.0.1]"),
        ("h1.4", None, "[127.0.0.1]"),
        ("höst.example.org", None, "xn--hst-sna.example.org"),
        ("höst", "höst.bücher.example", "xn--hst-sna.xn--bcher-kva.example"),
        ("höst", None, "[127.0.0.1]"),
        ("\udcff\udcfe.example.org", None, "[127.0.0.1]"),
        ("a" * 64 + ".example.org", None, "[127.0.0.1]"),
        ("", None, "[127.0.0.1]"),
    ],
)
def test_a_host_introduces_itself_by_a_full_name_or_its_address(
    serve: Callable[..., MailServer],
    named: Callable[..., None],
    own: str,
    canonical: Optional[str],
    told: str,
) -> None:
    server = serve()
    named(own, canonical)
    assert hello(server) == f"ehlo {told}"


@pytest.mark.parametrize(
    ("chosen", "told"),
    [("ha.example.org", "ha.example.org"), ("ha.bücher.example", "ha.xn--bcher-kva.example")],
)
def test_the_chosen_name_goes_before_it(
    serve: Callable[..., MailServer], named: Callable[..., None], chosen: str, told: str
) -> None:
    server = serve()
    named("h1.example.org")
    assert hello(server, helo=chosen) == f"ehlo {told}"


def test_an_address_of_ipv6_has_its_own_form(
    serve: Callable[..., MailServer], named: Callable[..., None]
) -> None:
    try:
        server = serve(address="::1")
    except OSError as error:
        pytest.skip(f"no IPv6 on the loopback device: {error}")
    named("h1")
    assert hello(server) == "ehlo [IPv6:::1]"


def test_a_full_name_is_one_that_others_may_know() -> None:
    assert own_name.is_full_name("h1.example.org")
    for name in ("h1", "h1.", "-h1.example.org", "h1..org", "192.0.2.1", "h 1.example.org"):
        assert not own_name.is_full_name(name), name


# --- refusals -------------------------------------------------------------------------------------

HELO, FROM, TO = (f"notifications.smtp.{key}" for key in ("helo", "from", "to"))
USER, SECURITY = "notifications.smtp.user", "notifications.smtp.security"
NEEDS_FULL_NAME = "504 5.5.2 <h1>: Helo command rejected: need fully-qualified hostname"


@pytest.mark.parametrize(
    ("command", "reply", "setting", "final"),
    [
        ("mail", NEEDS_FULL_NAME, HELO, False),
        ("rcpt", NEEDS_FULL_NAME, HELO, False),
        ("rcpt", "550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)", HELO, False),
        ("rcpt", "504 we need more than that", HELO, False),
        ("mail", "550 5.7.1 Sender address rejected", FROM, False),
        ("mail", "553 5.1.8 no such domain", FROM, False),
        ("mail", "530 5.7.0 Must issue a STARTTLS command first", SECURITY, False),
        ("mail", "530 5.7.0 Authentication required", USER, False),
        ("rcpt", "550 5.1.1 no such user", TO, True),
        ("rcpt", "550 no such user", TO, True),
        ("rcpt", "554 5.7.1 <a@example.com>: Relay access denied", USER, False),
        ("rcpt", "550 relaying denied", USER, False),
        ("rcpt", "550 Sender verify failed", FROM, False),
        ("rcpt", "550 5.7.1 blocked for its reputation", TO, False),
        (".", "554 5.6.0 we don't want this", FROM, True),
    ],
)
def test_a_refusal_names_the_setting_to_change(
    serve: Callable[..., MailServer], command: str, reply: str, setting: str, final: bool
) -> None:
    with pytest.raises(DeliveryError) as caught:
        send(serve({command: reply}))
    assert f"{reply} (" in caught.value.why
    assert setting in caught.value.why
    assert caught.value.final is final


@pytest.mark.parametrize("code", ["501", "504", "550"])
def test_a_refusal_of_the_introduction_itself(serve: Callable[..., MailServer], code: str) -> None:
    with pytest.raises(DeliveryError) as caught:
        send(serve({"ehlo": f"{code} no", "helo": f"{code} no"}))
    assert caught.value.why.startswith(f"{code} no (set {HELO} to a full name")
    assert not caught.value.final


@pytest.mark.parametrize("reply", ["450 later", "421 too busy", "451 4.7.1 greylisted"])
def test_a_server_that_wants_time_gets_it(serve: Callable[..., MailServer], reply: str) -> None:
    with pytest.raises(DeliveryError) as caught:
        send(serve({"rcpt": reply}))
    assert "notifications." not in caught.value.why
    assert not caught.value.final


@pytest.mark.parametrize(
    ("reply", "final"),
    [
        ("550 5.1.1 no such user", True),
        ("550 5.7.1 relaying denied", False),
        (NEEDS_FULL_NAME, False),
        ("450 later", False),
    ],
)
def test_one_recipient_is_given_up_only_for_its_own_address(
    serve: Callable[..., MailServer], reply: str, final: bool
) -> None:
    receipt = send(serve({"rcpt to:<b@": reply}))
    (refused,) = receipt.refused
    assert (refused.address, refused.final) == ("b@example.com", final)
    assert refused.why.startswith(reply)
