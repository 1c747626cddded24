# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The engine's health page, fetched over HTTP or HTTPS within one deadline.

The deadline holds for the whole check, so a server that sends one byte a second gains
nothing. Only resolving a name can take longer (the resolver has its own time-outs). A name that
can't be resolved in time says nothing about the engine, which a failing DNS server must not
stop; give the page's address by number, or by a name in /etc/hosts, to see more. Neither does a
certificate that does not verify: an engine is not restarted because its certificate has expired.
Nor does an answer that is none to the question (`other_answers`): somebody lives there.
Proxies named in the environment are not used: the page is asked of the engine itself.
"""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import SplitResult, urlsplit

from metadata.error_words import reason, shown
from world.network import dial
from world.network.deadline import Deadline, TooMuchError
from world.network.other_answers import (
    MOST_REDIRECTS,
    Answer,
    OtherAnswerError,
    check_place,
    check_status,
    is_redirect,
    next_url,
    same_page,
    too_many_redirects,
)
from world.network.usual_answer import usual_head
from world.ports.network import HealthReading
from world.regular_file import stable_name

if TYPE_CHECKING:
    from ssl import SSLContext

_MAX_PAGE_SIZE = 64 * 1024
_DEFAULT_PORTS = {"http": 80, "https": 443}


class HttpHealthPage:
    """The `HealthPage` of the real world; keeps nothing between checks."""

    def check(
        self, url: str, expected_text: str, timeout_s: float, ca_file: str = ""
    ) -> HealthReading:
        """Fetch the page; good: status 200 and the text in its first 64 KiB. Never raises."""
        look = _Look(Deadline(timeout_s), ca_file)
        try:
            answer = look.fetch(url)
        except OtherAnswerError as error:
            return HealthReading(False, look.named(str(error)), known=False, answered=True)
        except _CheckError as error:
            return HealthReading(False, str(error), known=False)
        except (_NoHttpError, OSError, ValueError) as error:
            return _failed(look, error, timeout_s)
        return _judge(look, answer, expected_text)


class _CheckError(Exception):
    """The check can't be made; the text says why."""


class _NoHttpError(Exception):
    """What came is no HTTP; `name` is the library's for what is wrong, and `other_protocol` says
    that it did not even begin as HTTP does."""

    def __init__(self, name: str, other_protocol: bool) -> None:
        super().__init__(name)
        self.name = name
        self.other_protocol = other_protocol


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket; every single read gets only what is left of the time."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._deadline.left_s())
        return self._deadline.heard(self._sock.recv_into(buffer))


class _StreamSocket:
    """The part of a socket that `http.client` needs to read an answer."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def makefile(self, _mode: str) -> Any:
        """Named and called by `http.client.HTTPResponse`."""
        return self._stream


class _Look:
    """One check; knows which of the host's addresses it talks to."""

    def __init__(self, deadline: Deadline, ca_file: str) -> None:
        self._deadline = deadline
        self._ca_file = ca_file
        self._address = ""
        self._first_url: Optional[str] = None

    def named(self, what: str) -> str:
        """What came of it, with the address that it came from."""
        return f"{self._address}: {what}" if self._address else what

    def fetch(self, url: str) -> Answer:
        """The page, wherever on the same host it is; raises OtherAnswerError when it is not."""
        answer = self._fetch_one(url)
        for _ in range(MOST_REDIRECTS):
            if not is_redirect(answer):
                return answer
            answer = self._fetch_one(next_url(answer))
        if is_redirect(answer):
            raise too_many_redirects(answer)
        return answer

    def _fetch_one(self, url: str) -> Answer:
        parts = _split(url)
        with closing(_connect(parts, self._deadline)) as plain:
            self._address = dial.peer(plain)
            with _secured(parts, plain, self._deadline, self._ca_file) as sock:
                status, location, body = self._ask(parts, sock)
        came_far = self._first_url is not None and not same_page(self._first_url, url)
        self._first_url = self._first_url or url
        return Answer(url, status, location, body, came_far)

    def _ask(self, parts: SplitResult, sock: socket.socket) -> tuple[int, str, bytes]:
        deadline = self._deadline
        sock.settimeout(deadline.left_s())
        sock.sendall(_request(parts))
        with closing(io.BufferedReader(_DeadlineReader(sock, deadline))) as stream:
            head = usual_head(stream.peek())
            if head is None:
                return _read_by_library(stream)
            stream.read(head.size)
            size = _MAX_PAGE_SIZE if head.length is None else min(head.length, _MAX_PAGE_SIZE)
            return head.status, head.location, stream.read(size)


def _read_by_library(stream: Any) -> tuple[int, str, bytes]:
    import http.client  # noqa: PLC0415  # some megabytes that most engines' answers do not need

    # typeshed asks for a whole socket; http.client uses `makefile` alone
    response = http.client.HTTPResponse(_StreamSocket(stream))  # type: ignore[arg-type]
    try:
        with closing(response):
            response.begin()
            location = response.getheader("Location") or ""
            return response.status, location, response.read(_MAX_PAGE_SIZE)
    except http.client.HTTPException as error:
        is_other = type(error) is http.client.BadStatusLine
        raise _NoHttpError(type(error).__name__, is_other) from error


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _DEFAULT_PORTS and parts.hostname and parts.port != 0
    except ValueError as error:  # a port that is no number, an open bracket
        raise _CheckError(f"health_url: {shown(url)} is refused: {error}") from error
    if not usable:
        raise _CheckError(f"health_url: {shown(url)} is refused; allowed: http://… or https://…")
    return parts


def _connect(parts: SplitResult, deadline: Deadline) -> socket.socket:
    """A connection to the first address of the host that accepts one."""
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    try:
        return dial.connect(str(parts.hostname), port, deadline)
    except dial.UnresolvedError as error:
        raise _CheckError(str(error)) from error


@contextmanager
def _secured(
    parts: SplitResult, sock: socket.socket, deadline: Deadline, ca_file: str
) -> Iterator[socket.socket]:
    """The socket itself, or TLS over it."""
    if parts.scheme == "http":
        yield sock
        return
    import ssl  # noqa: PLC0415 - see `_tls_context`

    context = _tls_context(ca_file)
    sock.settimeout(deadline.left_s())
    name = str(parts.hostname).partition("%")[0]  # without an address's device
    try:
        with closing(_handshake(context, sock, name)) as secured:
            yield secured
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        raise  # whoever is there has ended, which an engine that is ill does, too
    except ssl.SSLError as error:
        why = f"no TLS with it ({error.reason or reason(error)})"
        raise OtherAnswerError(why, "is that the port for https?") from error


def _tls_context(ca_file: str) -> SSLContext:
    """Trusts `ca_file` alone. Without one nothing is verified.

    The page says nothing but whether the engine lives, and the engine's certificate comes from
    its own authority, which hosts need not know.
    """
    import ssl  # noqa: PLC0415 - some megabytes that plain HTTP does not need

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not ca_file:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        with stable_name(ca_file) as name:
            context.load_verify_locations(name)
    except OSError as error:  # ssl.SSLError is one
        raise _CheckError(f"health_ca_file: {ca_file}: {reason(error)}") from error
    return context


def _handshake(context: SSLContext, sock: socket.socket, name: str) -> socket.socket:
    import ssl  # noqa: PLC0415

    try:
        return context.wrap_socket(sock, server_hostname=name)
    except ssl.SSLCertVerificationError as error:
        why = f"the certificate of {name} does not verify: {error.verify_message}"
        raise _CheckError(why) from error


def _request(parts: SplitResult) -> bytes:
    path = parts.path or "/"
    target = f"{path}?{parts.query}" if parts.query else path
    # The device behind a link-local address (RFC 6874) is this host's own affair.
    host = re.sub(r"%[^\]]*\]", "]", parts.netloc.rpartition("@")[2])
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", "Accept: */*", "Connection: close"]
    if any(ord(character) <= 0x20 for character in target + host):
        raise _CheckError(f"health_url: {shown(parts.geturl())} is refused; it has a blank in it")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def _judge(look: _Look, answer: Answer, expected_text: str) -> HealthReading:
    seen = look.named(answer.shown())
    try:
        check_status(answer)
        if answer.status != HTTPStatus.OK:
            why = f"HTTP status {answer.status}"
        elif expected_text.encode("utf-8") in answer.body:
            return HealthReading(True, "", seen=seen)
        else:
            why = f"the page does not say {shown(expected_text)}"
            check_place(answer, why)
    except OtherAnswerError as error:
        return HealthReading(False, look.named(str(error)), known=False, answered=True, seen=seen)
    return HealthReading(False, look.named(why), answered=True, seen=seen)


def _failed(look: _Look, error: Exception, timeout_s: float) -> HealthReading:
    """Nobody answered, or not as an HTTP server does."""
    if isinstance(error, dial.NoConnectionError):
        return HealthReading(False, str(error), answered=error.refused)
    if isinstance(error, (TimeoutError, socket.timeout)):
        return HealthReading(False, look.named(dial.late(timeout_s)))
    if isinstance(error, _NoHttpError):
        return _judge_no_http(look, error)
    heard = isinstance(error, TooMuchError)
    return HealthReading(False, look.named(reason(error)), answered=heard)


def _judge_no_http(look: _Look, error: _NoHttpError) -> HealthReading:
    """An end without a word, or a broken one, may be an ill engine's; another protocol is not."""
    why = f"not an HTTP answer ({error.name})"
    if error.other_protocol:
        other = OtherAnswerError(why, "is that the port for http?")
        return HealthReading(False, look.named(str(other)), known=False, answered=True)
    return HealthReading(False, look.named(why), answered=True)
