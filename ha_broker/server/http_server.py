# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""HTTP/1.1 over a unix socket, for few and possibly rude clients.

One thread per connection, a bounded number of them (`bounded_server`); every head, body and
answer has a deadline for the whole of it, so a client that trickles or never reads costs one
thread for a while.
"""

from __future__ import annotations

import contextlib
import errno as errno_module
import json
import logging
import os
import socket
import socketserver
import stat
import struct
import threading
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

from ha_broker.server.bounded_server import BoundedServer
from ha_broker.server.mailbox import Refusal
from ha_broker.server.usual_request import usual_request
from metadata.error_words import reason
from metadata.plain_text import printable_text
from metadata.value_class import value_class
from world.group_access import let_group_in
from world.network.deadline_socket import DeadlineSocket

log = logging.getLogger(__name__)

Answer = Callable[[str, str, bytes, "Caller"], Any]

MAX_BODY_SIZE = 64 * 1024
MAX_CONNECTIONS = 32
MOST_OF_ONE_USER = 24  # of those that are neither root nor our own
READ_ALLOWED_S = 75.0  # until a request begins; longer than a long poll's client pauses
BODY_ALLOWED_S = 10.0
WRITE_ALLOWED_S = 10.0
CLOSED_MODE, GROUP_MODE = 0o600, 0o660
_LONGEST_NAME = 64
_CREDENTIALS = struct.Struct("3i")
MAX_PATH_LENGTH = 100  # sun_path has 108 bytes; a temporary name is a little longer


@value_class(frozen=True)
class Caller:
    """Who is at the other end of a connection, as the kernel says.

    It is who connected that counts: one who hands a connection on answers for what is asked.
    """

    pid: int
    uid: int

    def __str__(self) -> str:
        return f"uid {self.uid}, pid {self.pid}{self._program()}"

    def _program(self) -> str:
        """The process may be gone, and names itself as it likes."""
        try:
            name = Path(f"/proc/{self.pid}/comm").read_bytes()[:_LONGEST_NAME]
        except OSError:
            return ""
        return f" ({printable_text(name.decode('utf-8', 'replace').rstrip())})"


def caller_of(connection: socket.socket) -> Caller:
    """The process that made a connection to a unix socket."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _gid = _CREDENTIALS.unpack(found)
    return Caller(pid, uid)


@value_class(frozen=True)
class TextAnswer:
    """An answer that is no JSON: `body` goes out as it is."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"


class SocketError(Exception):
    """The socket can't be listened on; the text says which and why."""


class ApiServer(BoundedServer, socketserver.UnixStreamServer):
    """Serves `answer(method, target, body, caller)` on the unix socket `path`.

    `answer` returns JSON-ready data or a `TextAnswer`, or raises `Refusal`. Beside root and this
    process's own user the members of the group `gid` may connect; None: nobody else.
    """

    request_queue_size = 64
    most_connections = MAX_CONNECTIONS
    most_of_one_peer = MOST_OF_ONE_USER

    def __init__(
        self,
        path: str,
        answer: Answer,
        read_allowed_s: float = READ_ALLOWED_S,
        gid: Optional[int] = None,
    ) -> None:
        self.path = path
        self.answer = answer
        self.read_allowed_s = read_allowed_s
        self.gid = gid
        self._identity: Optional[tuple[int, int]] = None
        self._thread: Optional[threading.Thread] = None
        _check_path(path)
        _refuse_live_socket(path)
        super().__init__(f"{path}.{os.getpid()}", _Connection)

    def server_bind(self) -> None:
        """Bind under another name and move it into place: no moment without its mode.

        The file is made closed to others whatever the umask says (the kernel takes the socket's
        own mode), and nobody can connect before `server_activate`.
        """
        temporary = Path(str(self.server_address))
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        try:
            os.fchmod(self.socket.fileno(), CLOSED_MODE)
            super().server_bind()
            temporary.chmod(CLOSED_MODE)
        except OSError as error:
            raise SocketError(f"can't listen on {self.path}: {reason(error)}") from None
        if self.gid is not None:
            self._admit(temporary, self.gid)

    def admit(self, gid: int) -> None:
        """Let the members of the group `gid` connect, too, from now on."""
        if gid != self.gid and self.is_in_place():
            self._admit(Path(self.path), gid)
        self.gid = gid

    def _admit(self, file: Path, gid: int) -> None:
        try:
            _give_to_group(file, gid)
        except OSError as error:
            log.error("%s can't be given to group %d: %s", self.path, gid, reason(error))

    def server_activate(self) -> None:
        """Listen, then take the place of a stale socket."""
        super().server_activate()
        temporary = Path(str(self.server_address))
        self._identity = _identity(str(temporary))
        temporary.rename(self.path)

    def start(self) -> None:
        """Serve on a thread."""
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 3600}, name="api", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Take no more connections and remove the socket, if it is still ours."""
        if self.is_in_place():
            Path(self.path).unlink()
        self.stop_serving(self._thread)
        self.server_close()

    def peer_of(self, request: socket.socket, client_address: Any) -> Hashable:
        """The user; root's commands and the agent, which is of our own user, are not counted."""
        uid = caller_of(request).uid
        return None if uid in (0, os.geteuid()) else uid

    def is_in_place(self) -> bool:
        """Does whoever connects to the path come here?"""
        return self._identity is not None and _identity(self.path) == self._identity

    def turned_away(self) -> bytes:
        """The answer for one connection too many."""
        body = json.dumps({"error": f"more than {MAX_CONNECTIONS} connections"}).encode()
        head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Length: {len(body)}\r\n"
        head += "Content-Type: application/json\r\nConnection: close\r\n\r\n"
        return head.encode() + body


class _Connection(socketserver.StreamRequestHandler):
    """One connection: our own client's requests, until another one comes."""

    connection: DeadlineSocket
    server: ApiServer

    def handle(self) -> None:
        """Named and called by `socketserver`."""
        self._caller = caller_of(self.connection)  # whoever has connected, for as long as it lasts
        with contextlib.suppress(ConnectionError, TimeoutError, socket.timeout):
            while self._serve_one():
                pass

    def _serve_one(self) -> bool:
        """False: the connection is over."""
        server, stream = self.server, self.rfile
        server.waits(self.connection)
        self.connection.allow(server.read_allowed_s)
        come = stream.peek(1)  # type: ignore[attr-defined]
        request = usual_request(come)
        if request is None or request.body_size > MAX_BODY_SIZE:
            if come:
                self._serve_strangers()
            return False
        server.answers()
        stream.read(request.head_size)
        body = b""
        if request.body_size:
            self.connection.allow(min(BODY_ALLOWED_S, server.read_allowed_s))
            body = stream.read(request.body_size)
            if len(body) < request.body_size:
                return False
        answer = answered(server, self._caller, request.method, request.target, body)
        self.connection.allow(WRITE_ALLOWED_S)
        self.connection.sendall(_head(answer) + answer.body)
        return True

    def _serve_strangers(self) -> None:
        from ha_broker.server.stranger import Stranger  # noqa: PLC0415  # much to load

        Stranger(self, self._caller).serve_all()


class Answered(NamedTuple):
    """What is sent back."""

    status: int
    body: bytes
    content_type: str


def answered(server: ApiServer, caller: Caller, method: str, target: str, body: bytes) -> Answered:
    """The answer to a request that was read, whatever comes of it."""
    try:
        data = server.answer(method, target, body, caller)
        status = 200
    except Refusal as refusal:
        data, status = {"error": refusal.why}, refusal.status
    except socket.timeout:
        raise
    except Exception:
        log.exception("answering %s %s failed", method, target)
        data, status = {"error": "the broker failed to answer; see its log"}, 500
    return in_bytes(status, data)


def in_bytes(status: int, data: Any) -> Answered:
    """`data` as it is sent: a `TextAnswer` as it is, everything else as JSON."""
    if isinstance(data, TextAnswer):
        return Answered(status, data.body, data.content_type)
    return Answered(status, (json.dumps(data) + "\n").encode(), "application/json")


def _head(answer: Answered) -> bytes:
    phrase = "OK" if answer.status == 200 else _phrase(answer.status)
    return (
        f"HTTP/1.1 {answer.status} {phrase}\r\nContent-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body)}\r\n\r\n"
    ).encode("ascii")


def _phrase(status: int) -> str:
    from http import HTTPStatus  # noqa: PLC0415  # a refusal is rare

    return HTTPStatus(status).phrase


def _give_to_group(file: Path, gid: int) -> None:
    """The group first: no other one ever has the right. Who is not root, and not in the group
    either, lets it in by the file's list of access."""
    try:
        os.chown(file, -1, gid, follow_symlinks=False)
    except PermissionError:
        let_group_in(str(file), gid)
        return
    file.chmod(GROUP_MODE)


def _check_path(path: str) -> None:
    if len(os.fsencode(path)) > MAX_PATH_LENGTH:
        raise SocketError(f"can't listen on {path}: at most {MAX_PATH_LENGTH} bytes are possible")


def _refuse_live_socket(path: str) -> None:
    """A socket that nobody serves may be replaced; anything else may not."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):  # noqa: PTH116
            raise SocketError(f"can't listen on {path}: it is there and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        code = probe.connect_ex(path)
    if code not in (errno_module.ECONNREFUSED, errno_module.ENOENT):
        raise SocketError(f"can't listen on {path}: another broker is serving there")


def _identity(path: str) -> Optional[tuple[int, int]]:
    try:
        status = os.stat(path)  # noqa: PTH116  # in each of the broker's cycles
    except OSError:
        return None
    return status.st_dev, status.st_ino
