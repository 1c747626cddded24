# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The broker's client for the agent and the command: standard library only.

Errors::

    BrokerError             `what` was asked for and `why` it failed
      BrokerGoneError       no socket, refused, or the connection broke (an OSError with errno)
        BrokerDeniedError   the caller may not ask; of the broker itself that says nothing
      BrokerTimeoutError    no whole answer within the deadline
      BrokerRefusedError    the broker answered with an error `status`
"""

from __future__ import annotations

import errno as errno_module
import json
import socket
import stat
import threading
import time
from typing import TYPE_CHECKING, Any, Optional, Union

from ha_broker.api import paths
from ha_broker.api.http_connection import HttpConnection, HttpError
from ha_broker.api.json_codec import from_data
from ha_broker.api.reach import Reach
from ha_broker.api.snapshot_json import (
    DataError,
    parse_json,
    publication_to_data,
    snapshot_from_data,
)
from metadata.error_words import cannot, reason
from world.way_in import way_in

if TYPE_CHECKING:
    from ha_broker.api.snapshot import MoveOrder, Publication, Snapshot
    from ha_broker.api.trial import TrialResult
    from metadata.shared_config import SharedConfig, StoredConfig


PUBLISH = "publish this host's record"


class BrokerError(Exception):
    """The broker could not be asked or did not do it."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(what, why)
        self.what = what
        self.why = why

    def __str__(self) -> str:
        return cannot(self.what, self.why)


class BrokerGoneError(BrokerError, OSError):
    """Nobody answers at the socket; `errno` is ENOENT, ECONNREFUSED or the connection's."""

    def __init__(self, what: str, why: str, errno: int) -> None:
        super().__init__(what, why)
        self.errno = errno


class BrokerDeniedError(BrokerGoneError):
    """The caller may not use the socket."""


class BrokerTimeoutError(BrokerError):
    """The broker did not answer in time (it may still do what was asked)."""


class BrokerRefusedError(BrokerError):
    """The broker said no; `status` is its HTTP status."""

    def __init__(self, what: str, status: int, why: str) -> None:
        super().__init__(what, why)
        self.status = status


# A broker that is frozen is no reason to wait much longer than for the other host.
REACH_MARGIN_S = 1.0


class BrokerClient:
    """A connection to the broker; safe to share between threads.

    The long poll has a connection of its own, so that it never keeps another call waiting.
    """

    def __init__(self, socket_path: Optional[str] = None, timeout_s: float = 5.0) -> None:
        path = socket_path or paths.broker_socket()
        self._timeout_s = timeout_s
        self._calls = _Channel(path)
        self._polls = _Channel(path)
        self._tries = _Channel(path)

    def status(self) -> Snapshot:
        """What the broker knows now; raises BrokerError."""
        return _snapshot(self._get("ask for the status", "/v1/status"))

    def wait_for_change(self, sequence: int, wait_s: float) -> Snapshot:
        """The snapshot once its sequence differs from `sequence`, or as it is after `wait_s`."""
        target = f"/v1/changes?since={sequence}&wait_s={wait_s:g}"
        allowed_s = wait_s + self._timeout_s
        return _snapshot(self._polls.call("wait for a change", "GET", target, None, allowed_s))

    def publish(self, publication: Publication) -> Optional[Snapshot]:
        """Hand over what this host's slot shall say; the broker writes it soon after.

        What the broker knows then, where it says so: here it does not.
        """
        self._put_record(publication)
        return None

    def _put_record(self, publication: Publication, query: str = "") -> Any:
        """The answer, as the broker's version gives it."""
        data = publication_to_data(publication)
        return self._put(PUBLISH, "/v1/record" + query, data, self._timeout_s)

    def set_global_maintenance(self, on: bool, timeout_s: float = 60.0) -> Optional[bool]:
        """Returns once it stands on the storage, read back; raises BrokerError otherwise.

        What stood there before; None: that is not known.
        """
        return self._set_maintenance("global", on, timeout_s)

    def set_local_maintenance(self, on: bool) -> Optional[bool]:
        """Whether it was on before; None: that is not known.

        Raises BrokerRefusedError (409) to switch it on while the engine's domain is here and no
        other host can take it.
        """
        return self._set_maintenance("local", on, self._timeout_s)

    def end_local_maintenance(self, why: str) -> None:
        """Switch it off for the reason `why`, which the broker logs; raises BrokerError."""
        self._set_maintenance("local", False, self._timeout_s, why)

    def order_move(self, to: Union[int, str, None]) -> MoveOrder:
        """Have the engine moved alive from here to a host (name or id; None: the best).

        Raises BrokerRefusedError (409) with the reason where that can't work.
        """
        from ha_broker.api.snapshot import MoveOrder  # noqa: PLC0415  # most callers never need it

        what = "move the engine"
        data = self._put(what, "/v1/move", {"to": to}, self._timeout_s)
        try:
            return from_data(MoveOrder, data)
        except DataError as error:
            raise BrokerError(what, f"unexpected answer: {error}") from None

    def shared_config(self) -> SharedConfig:
        """The shared configuration as the broker read it last (never waits for storage)."""
        from metadata.settings.parse import parse_cluster_settings  # noqa: PLC0415  # needs YAML
        from metadata.shared_config import SharedConfig  # noqa: PLC0415

        what = "ask for the shared configuration"
        data = self._get(what, "/v1/config")
        try:
            return SharedConfig(
                sequence=data["sequence"],
                settings=parse_cluster_settings(data["settings"], "shared configuration"),
                domain_xml=data["domain_xml"],
            )
        except (TypeError, KeyError, ValueError) as error:  # a broker of another version
            raise BrokerError(what, f"unexpected answer: {reason(error)}") from None

    def stored_config(self) -> StoredConfig:
        """The same as it stood on the storage: what can be written back there."""
        import base64  # noqa: PLC0415  # most callers never need it

        from metadata.shared_config import StoredConfig, decode_copy  # noqa: PLC0415  # needs YAML

        what = "ask for the shared configuration as it was stored"
        data = self._get(what, "/v1/config/copy")
        try:
            found = decode_copy(base64.b64decode(data["copy"]))
        except (TypeError, KeyError, ValueError) as error:  # a broker of another version
            raise BrokerError(what, f"unexpected answer: {reason(error)}") from None
        if not isinstance(found, StoredConfig):
            raise BrokerError(what, "unexpected answer: no configuration")
        return found

    def reach(self, address: str, timeout_s: float) -> Reach:
        """Whether another host's libvirt is reached from here; raises BrokerError.

        It has a connection of its own, so that it keeps no other call waiting.
        """
        what = f"try {address}"
        body = json.dumps({"address": address, "timeout_s": timeout_s}).encode()
        allowed_s = timeout_s + REACH_MARGIN_S
        data = self._tries.call(what, "PUT", "/v1/reach", body, allowed_s)
        try:
            return from_data(Reach, data)
        except DataError as error:
            raise BrokerError(what, f"unexpected answer: {error}") from None
        finally:
            self._tries.close()

    def reread(self) -> None:
        """Have the broker read the shared configuration and the whole metadata area again."""
        self._put("ask for a new look", "/v1/reread", {}, self._timeout_s)

    def test_notification(self, timeout_s: float = 150.0) -> tuple[TrialResult, ...]:
        """Send one to every target; raises BrokerRefusedError (409) when there is none."""
        from ha_broker.api.trial import TrialAnswer  # noqa: PLC0415  # most callers never need it

        what = "send a test notification"
        data = self._calls.call(what, "PUT", "/v1/test-notification", b"{}", timeout_s)
        try:
            return from_data(TrialAnswer, data).targets
        except DataError as error:
            raise BrokerError(what, f"unexpected answer: {error}") from None

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._calls.close()
        self._polls.close()
        self._tries.close()

    def _set_maintenance(
        self, scope: str, on: bool, timeout_s: float, why: str = ""
    ) -> Optional[bool]:
        what = f"set {scope} maintenance {'on' if on else 'off'}"
        body: dict[str, Any] = {"scope": scope, "on": on, "timeout_s": timeout_s}
        if why:
            body["why"] = why
        # The broker says after timeout_s why it could not; leave it a moment to say so.
        data = self._put(what, "/v1/maintenance", body, timeout_s + min(timeout_s, 2.0))
        before = data.get("before") if isinstance(data, dict) else None
        return before if isinstance(before, bool) else None

    def _get(self, what: str, target: str) -> Any:
        return self._calls.call(what, "GET", target, None, self._timeout_s)

    def _put(self, what: str, target: str, body: dict[str, Any], allowed_s: float) -> Any:
        return self._calls.call(what, "PUT", target, json.dumps(body).encode(), allowed_s)


class _Channel:
    """One keep-alive connection, used by one call at a time."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: Optional[HttpConnection] = None
        self.connections = 0  # made until now
        self._closing = False

    def call(
        self, what: str, method: str, target: str, body: Optional[bytes], allowed_s: float
    ) -> Any:
        deadline_s = time.monotonic() + allowed_s
        if not self._lock.acquire(timeout=allowed_s):
            raise BrokerTimeoutError(what, f"another call was busy for {allowed_s:g} s")
        try:
            status, text = self._exchange(what, method, target, body, deadline_s)
        except socket.timeout:
            self._drop()
            why = f"no answer within {allowed_s:g} s at {self._path}"
            raise BrokerTimeoutError(what, why) from None
        except (OSError, HttpError) as error:
            self._drop()
            raise _gone(what, error, self._path) from None
        finally:
            self._lock.release()
        return _answer(what, status, text)

    def close(self) -> None:
        """End a call that another thread is waiting in, too."""
        self._closing = True
        connection = self._connection
        if connection is not None:
            connection.interrupt()
        with self._lock:
            self._drop()
            self._closing = False

    def _exchange(
        self, what: str, method: str, target: str, body: Optional[bytes], deadline_s: float
    ) -> tuple[int, bytes]:
        """Every request may be sent twice, so a connection that went stale costs nothing."""
        reused = self._connection is not None
        try:
            return self._send(method, target, body, deadline_s)
        except socket.timeout:
            raise
        except (OSError, HttpError):
            self._drop()
            if self._closing or not reused:
                raise
        return self._send(method, target, body, deadline_s)

    def _send(
        self, method: str, target: str, body: Optional[bytes], deadline_s: float
    ) -> tuple[int, bytes]:
        connection = self._connection
        if connection is None:
            connection = self._connection = HttpConnection(self._path)
            self.connections += 1
        reply = connection.exchange(method, target, body, deadline_s - time.monotonic())
        if reply.is_last:
            self._drop()
        return reply.status, reply.body

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _gone(what: str, error: Exception, path: str) -> BrokerGoneError:
    number = getattr(error, "errno", None) or errno_module.ECONNRESET
    if number in (errno_module.EACCES, errno_module.EPERM):
        why = f"permission denied at {path}: {way_in(path, stat.S_IWGRP)}"
        return BrokerDeniedError(what, why, number)
    if number == errno_module.ENOENT:
        return BrokerGoneError(what, f"there is no broker at {path} (is it running?)", number)
    return BrokerGoneError(what, f"the broker at {path} does not answer: {reason(error)}", number)


def _answer(what: str, status: int, text: bytes) -> Any:
    try:
        data = parse_json(text)
    except DataError as error:
        raise BrokerError(what, f"the broker's answer is unreadable: {error}") from None
    if status >= 400:
        why = data.get("error") if isinstance(data, dict) else None
        raise BrokerRefusedError(what, status, str(why or f"HTTP status {status}"))
    return data


def _snapshot(data: object) -> Snapshot:
    try:
        return snapshot_from_data(data)
    except DataError as error:
        raise BrokerError("read the status", f"unexpected answer: {error}") from None
