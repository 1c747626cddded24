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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

from ha_broker.server.bounded_handler import HEAD_ALLOWED_S, BoundedHandler
from ha_broker.server.bounded_server import BoundedServer
from ha_broker.server.mailbox import Refusal
from metadata.error_words import reason, shown
from metadata.plain_text import printable_text
from world.group_access import let_group_in

log = logging.getLogger(__name__)

Answer = Callable[[str, str, bytes, "Caller"], Any]

MAX_BODY_SIZE = 64 * 1024
MAX_CONNECTIONS = 32
MOST_OF_ONE_USER = 24  # of those that are neither root nor our own
READ_ALLOWED_S = 75.0  # until a request begins; longer than a long poll's client pauses
BODY_ALLOWED_S = 10.0
WRITE_ALLOWED_S = 10.0
CLOSED_MODE, GROUP_MODE = 0o600, 0o660
_MOST_DIGITS = 20
_LONGEST_NAME = 64
_CREDENTIALS = struct.Struct("3i")
MAX_PATH_LENGTH = 100  # sun_path has 108 bytes; a temporary name is a little longer


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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
        super().__init__(f"{path}.{os.getpid()}", _Handler)

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


class _Handler(BoundedHandler):
    """One connection."""

    # What is not possible for a resource is refused by its route.
    methods = ("GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "OPTIONS")
    server: ApiServer

    def idle_allowed_s(self) -> float:
        return self.server.read_allowed_s

    def head_allowed_s(self) -> float:
        return min(HEAD_ALLOWED_S, self.server.read_allowed_s)

    def serve(self) -> None:
        try:
            caller = caller_of(self.connection)
            data = self.server.answer(self.command, self.path, self._body(), caller)
            status = 200
        except Refusal as refusal:
            data, status = {"error": refusal.why}, refusal.status
        except socket.timeout:
            raise
        except Exception:
            log.exception("answering %s %s failed", self.command, self.path)
            data, status = {"error": "the broker failed to answer; see its log"}, 500
        self._send(status, data)

    def _body(self) -> bytes:
        if "Transfer-Encoding" in self.headers:
            raise self._broken(411, "Transfer-Encoding is not possible, send a Content-Length")
        lengths = self.headers.get_all("Content-Length", ["0"])
        if len(lengths) > 1:
            raise self._broken(400, f"{len(lengths)} headers Content-Length, at most one is taken")
        (text,) = lengths
        if not (text.isascii() and text.isdigit()):
            raise self._broken(400, f"Content-Length: {shown(text)} is no size")
        size = int(text) if len(text) < _MOST_DIGITS else MAX_BODY_SIZE + 1
        if size > MAX_BODY_SIZE:
            size_text = text if len(text) < _MOST_DIGITS else f"{text[:_MOST_DIGITS]}..."
            raise self._broken(413, f"body of {size_text} bytes, at most {MAX_BODY_SIZE} are taken")
        self.connection.allow(min(BODY_ALLOWED_S, self.server.read_allowed_s))
        body = self.rfile.read(size)
        if len(body) < size:
            raise self._broken(400, f"body: {len(body)} bytes came, {size} were announced")
        return body

    def _broken(self, status: int, why: str) -> Refusal:
        """A refusal after which the rest of the stream has no meaning."""
        self.close_connection = self._refused = True
        return Refusal(status, why)

    def _send(self, status: int, data: Any) -> None:
        text = data if isinstance(data, TextAnswer) else _as_json(data)
        self.connection.allow(WRITE_ALLOWED_S)
        self.send_response(status)
        self.send_header("Content-Type", text.content_type)
        self.send_header("Content-Length", str(len(text.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.body)

    def send_error(
        self, code: int, message: Optional[str] = None, explain: Optional[str] = None
    ) -> None:
        """What http.server itself refuses: as JSON, and then the connection is closed."""
        self.close_connection = True
        self.command = getattr(self, "command", None) or "?"
        self._send(code, {"error": message or "bad request"})

    def version_string(self) -> str:
        return "ha-broker"

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)


def _give_to_group(file: Path, gid: int) -> None:
    """The group first: no other one ever has the right. Who is not root, and not in the group
    either, lets it in by the file's list of access."""
    try:
        os.chown(file, -1, gid, follow_symlinks=False)
    except PermissionError:
        let_group_in(str(file), gid)
        return
    file.chmod(GROUP_MODE)


def _as_json(data: Any) -> TextAnswer:
    return TextAnswer((json.dumps(data) + "\n").encode(), "application/json")


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
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
