# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The agent's client of the broker: it long polls all day, and mostly there is no news."""

from __future__ import annotations

import re
from typing import Optional

from ha_broker.api.client import BrokerClient, BrokerError, BrokerRefusedError
from ha_broker.api.host_news import HeldHosts
from ha_broker.api.json_codec import DataError
from ha_broker.api.snapshot import Snapshot

_BAD_REQUEST = 400
_PLAIN_MARK = re.compile(r"[0-9A-Za-z.]*")


class LeanClient(BrokerClient):
    """A client whose long polls bring only the news, as `ha_broker.api.host_news` says.

    One thread polls. After any error all hosts are asked for again; a broker that does not know
    the parameter is asked as any other client does, for as long as its connection lasts.
    """

    def __init__(self, socket_path: Optional[str] = None, timeout_s: float = 5.0) -> None:
        super().__init__(socket_path, timeout_s)
        self._hosts = HeldHosts()
        self._refused_on: Optional[int] = None

    def wait_for_change(self, sequence: int, wait_s: float) -> Snapshot:
        """As that of `BrokerClient`; the views of hosts without news are the same objects.

        `agent`, `events` and `notifications` are empty.
        """
        if self._refused_on == self._polls.connections:
            return super().wait_for_change(sequence, wait_s)
        try:
            return self._wait_for_news(sequence, wait_s)
        except BrokerRefusedError as error:
            self._hosts.forget()
            if error.status != _BAD_REQUEST:
                raise
        except BrokerError:
            self._hosts.forget()
            raise
        self._refused_on = self._polls.connections
        return super().wait_for_change(sequence, wait_s)

    def _wait_for_news(self, sequence: int, wait_s: float) -> Snapshot:
        marks = f"hosts_since={_quoted(self._hosts.mark)}"
        if self._hosts.parts_mark is not None:
            marks += f"&parts_since={_quoted(self._hosts.parts_mark)}"
        allowed_s = wait_s + self._timeout_s
        target = f"/v1/changes?since={sequence}&wait_s={wait_s:g}&{marks}"
        data = self._polls.call("wait for a change", "GET", target, None, allowed_s)
        try:
            return self._hosts.snapshot(data)
        except DataError as error:
            raise BrokerError("read the status", f"unexpected answer: {error}") from None


def _quoted(mark: str) -> str:
    """For a query; our broker's marks need nothing."""
    if _PLAIN_MARK.fullmatch(mark):
        return mark
    from urllib.parse import quote  # noqa: PLC0415  # some hundred KiB, for a stranger's mark

    return quote(mark)
