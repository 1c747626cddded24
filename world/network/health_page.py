"""The engine's health page, fetched over HTTP or HTTPS within one deadline.

The deadline holds for the whole check, so a server that sends one byte a second gains
nothing. Only resolving a name can take longer (the resolver has its own time-outs). A name that
can't be resolved in time says nothing about the engine, which a failing DNS server must not
stop; give the page's address by number, or by a name in /etc/hosts, to see more. Neither does a
certificate that does not verify: an engine is not restarted because its certificate has expired.
Proxies named in the environment are not used: the page is asked of the engine itself.
"""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from metadata.plain_text import one_line
from world.network.deadline import Deadline
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
        deadline = Deadline(timeout_s)
        try:
            status, body = _fetch(url, deadline, ca_file)
        except _CheckError as error:
            return HealthReading(False, str(error), known=False)
        except (TimeoutError, socket.timeout):
            return HealthReading(False, f"no answer within {timeout_s:g} s")
        except http.client.HTTPException as error:
            return HealthReading(
                False, f"not an HTTP answer ({type(error).__name__})", answered=True
            )
        except ConnectionRefusedError as error:
            return HealthReading(False, _reason(error), answered=True)
        except (OSError, ValueError) as error:
            return HealthReading(False, _reason(error))
        return _judge(status, body, expected_text)


class _CheckError(Exception):
    """The check can't be made; the text says why."""


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket; every single read gets only what is left of the time."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._deadline.left_s())
        return self._sock.recv_into(buffer)


class _DeadlineSocket:
    """The part of a socket that `http.client` needs to read an answer."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._reader: io.BufferedIOBase = io.BufferedReader(_DeadlineReader(sock, deadline))

    def makefile(self, _mode: str) -> io.BufferedIOBase:
        """Named and called by `http.client.HTTPResponse`."""
        return self._reader


def _fetch(url: str, deadline: Deadline, ca_file: str) -> tuple[int, bytes]:
    parts = _split(url)
    with (
        closing(_connect(parts, deadline)) as plain,
        _secured(parts, plain, deadline, ca_file) as sock,
    ):
        sock.settimeout(deadline.left_s())
        sock.sendall(_request(parts))
        # typeshed asks for a whole socket; http.client uses `makefile` alone
        response = http.client.HTTPResponse(_DeadlineSocket(sock, deadline))  # type: ignore[arg-type]
        with closing(response):
            response.begin()
            return response.status, response.read(_MAX_PAGE_SIZE)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _DEFAULT_PORTS and parts.hostname and parts.port != 0
    except ValueError as error:  # a port that is no number, an open bracket
        raise _CheckError(f"health_url: {url!r} is refused: {error}") from error
    if not usable:
        raise _CheckError(f"health_url: {url!r} is refused; allowed: http://… or https://…")
    return parts


def _resolve(parts: SplitResult, deadline: Deadline) -> list[Any]:
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise _CheckError(f"{parts.hostname} can't be resolved: {_reason(error)}") from error
    if deadline.is_over():
        why = f"could not be resolved within {deadline.timeout_s:g} s"
        raise _CheckError(f"{parts.hostname} {why}")
    return found


def _connect(parts: SplitResult, deadline: Deadline) -> socket.socket:
    """A connection to the first address of the host that accepts one."""
    found = _resolve(parts, deadline)
    failure: OSError = OSError(f"{parts.hostname} has no address")
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(deadline.left_s())
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            failure = error
    raise failure


@contextmanager
def _secured(
    parts: SplitResult, sock: socket.socket, deadline: Deadline, ca_file: str
) -> Iterator[socket.socket]:
    """The socket itself, or TLS over it."""
    if parts.scheme == "http":
        yield sock
        return
    context = _tls_context(ca_file)
    sock.settimeout(deadline.left_s())
    with closing(_handshake(context, sock, str(parts.hostname))) as secured:
        yield secured


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
        raise _CheckError(f"health_ca_file: {ca_file}: {_reason(error)}") from error
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
    host = parts.netloc.rpartition("@")[2]
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", "Accept: */*", "Connection: close"]
    if any(ord(character) <= 0x20 for character in target + host):
        raise _CheckError(f"health_url: {parts.geturl()!r} is refused; it has a blank in it")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def _judge(status: int, body: bytes, expected_text: str) -> HealthReading:
    if status != http.HTTPStatus.OK:
        return HealthReading(False, f"HTTP status {status}", answered=True)
    if expected_text.encode("utf-8") not in body:
        why = f"the page does not say {expected_text!r}"
        return HealthReading(False, why, answered=True)
    return HealthReading(True, "")


def _reason(error: Exception) -> str:
    """The system's own words, without the numbers around them."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return one_line(str(text))
