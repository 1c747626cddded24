# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The agent's client of the broker: it publishes in each tick, and mostly nothing is new.

Its record is answered with what the broker has seen, so a quiet tick is one exchange; a record that
says what the one before has said is only named. The long poll waits for news alone then.
"""

from __future__ import annotations

import re
import threading
from typing import Any, Optional

from ha_broker.api.client import (
    PUBLISH,
    BrokerClient,
    BrokerError,
    BrokerRefusedError,
)
from ha_broker.api.host_news import HeldHosts
from ha_broker.api.json_codec import DataError
from ha_broker.api.snapshot import Publication, Snapshot
from metadata.error_words import shown

_BAD_REQUEST, _NOT_FOUND, _CONFLICT = 400, 404, 409
_PLAIN_MARK = re.compile(r"[0-9A-Za-z.]*")
LONGEST_WAIT_S = 60.0
"""Of a poll that only waits for news: the longest that a broker allows."""


class LeanClient(BrokerClient):
    """A client that is told only the news, as `ha_broker.api.host_news` says.

    One thread polls, another one publishes. After any error all hosts are asked for again; a broker
    that does not know a parameter is asked as any other client does, for as long as its connection
    lasts.
    """

    def __init__(self, socket_path: Optional[str] = None, timeout_s: float = 5.0) -> None:
        super().__init__(socket_path, timeout_s)
        self._hosts = HeldHosts()
        # What is held, and its marks, are those of one answer; both threads bring answers.
        self._holding = threading.Lock()
        self._refused_on: Optional[int] = None
        self._said: Optional[tuple[Publication, str]] = None
        self._plain_on: Optional[int] = None
        self.told_by_records = False
        """Was the latest record answered with all that is known? Then polls need not bring it."""

    # --- the record ---------------------------------------------------------------------------

    def publish(self, publication: Publication) -> Optional[Snapshot]:
        """As that of `BrokerClient`. What the broker knows then, as `wait_for_change` gives it.

        None: a broker of another version does not say.
        """
        try:
            with self._holding:
                snapshot = self._publish(publication)
        except BrokerError:
            self._said, self.told_by_records = None, False
            raise
        self.told_by_records = snapshot is not None
        return snapshot

    def _publish(self, publication: Publication) -> Optional[Snapshot]:
        said, self._said = self._said, None
        data = None
        if said is not None and said[0] == publication and self._knows_marks:
            data = self._say_again(said[1])
        if data is None:
            data = self._say(publication)
        mark = data.get("record_as_of") if isinstance(data, dict) else None
        if not isinstance(mark, str):
            return None  # it gives no marks
        self._said = publication, mark
        return self._take(data) if "hosts_as_of" in data else None

    @property
    def _knows_marks(self) -> bool:
        """Has the broker not refused them, as long as this connection lasts?"""
        return self._plain_on != self._calls.connections

    def _say_again(self, mark: str) -> Any:
        """None: the broker does not know the record, and wants it whole."""
        target = f"/v1/record?same_as={_quoted(mark)}&{self._marks}"
        try:
            return self._calls.call(PUBLISH, "PUT", target, b"", self._timeout_s)
        except BrokerRefusedError as error:
            if error.status not in (_BAD_REQUEST, _CONFLICT):
                raise
        return None

    def _say(self, publication: Publication) -> Any:
        if self._knows_marks:
            try:
                return self._put_record(publication, f"?{self._marks}")
            except BrokerRefusedError as error:
                if error.status != _BAD_REQUEST:
                    raise
        answer = self._put_record(publication)
        self._plain_on = self._calls.connections
        return answer

    # --- the long poll ------------------------------------------------------------------------

    def wait_for_change(self, sequence: int, wait_s: float) -> Snapshot:
        """As that of `BrokerClient`; the views of hosts without news are the same objects.

        `agent`, `events` and `notifications` are empty. While records are answered with all that is
        known, it waits for news up to `LONGEST_WAIT_S`; what it gives may be as old as that.
        """
        if self._refused_on == self._polls.connections:
            return super().wait_for_change(sequence, wait_s)
        try:
            if self.told_by_records:
                return self._wait_for_sequence(sequence)
            return self._wait_for_news(sequence, wait_s)
        except BrokerRefusedError as error:
            self._forget()
            if error.status not in (_BAD_REQUEST, _NOT_FOUND):
                raise
        except BrokerError:
            self._forget()
            raise
        self._refused_on = self._polls.connections
        return super().wait_for_change(sequence, wait_s)

    def _wait_for_sequence(self, sequence: int) -> Snapshot:
        what, wait_s = "wait for a change", LONGEST_WAIT_S
        target = f"/v1/sequence?since={sequence}&wait_s={wait_s:g}"
        data = self._polls.call(what, "GET", target, None, wait_s + self._timeout_s)
        news = _sequence(data)
        with self._holding:
            held = self._hosts.held
            if held is not None and held.sequence == news:
                return held
            target = f"/v1/changes?since=-1&wait_s=0&{self._marks}"
            return self._take(self._polls.call(what, "GET", target, None, self._timeout_s))

    def _wait_for_news(self, sequence: int, wait_s: float) -> Snapshot:
        marks = self._marks
        allowed_s = wait_s + self._timeout_s
        target = f"/v1/changes?since={sequence}&wait_s={wait_s:g}&{marks}"
        data = self._polls.call("wait for a change", "GET", target, None, allowed_s)
        with self._holding:
            held = self._hosts.held
            # A record was answered meanwhile: this is told to somebody who knew less.
            if marks != self._marks and held is not None:
                return held
            return self._take(data)

    @property
    def _marks(self) -> str:
        marks = f"hosts_since={_quoted(self._hosts.mark)}"
        if self._hosts.parts_mark is not None:
            marks += f"&parts_since={_quoted(self._hosts.parts_mark)}"
        return marks

    def _take(self, data: object) -> Snapshot:
        try:
            return self._hosts.snapshot(data)
        except DataError as error:
            raise BrokerError("read the status", f"unexpected answer: {error}") from None

    def _forget(self) -> None:
        with self._holding:
            self._hosts.forget()


def _sequence(data: Any) -> int:
    sequence = data.get("sequence") if isinstance(data, dict) else None
    if type(sequence) is not int:
        why = f"unexpected answer: sequence: expected an integer, got {shown(sequence)}"
        raise BrokerError("wait for a change", why)
    return sequence


def _quoted(mark: str) -> str:
    """For a query; our broker's marks need nothing."""
    if _PLAIN_MARK.fullmatch(mark):
        return mark
    from urllib.parse import quote  # noqa: PLC0415  # some hundred KiB, for a stranger's mark

    return quote(mark)
