# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Keeps the broker's latest snapshot, whatever the broker does.

A thread long-polls the broker and wakes the agent's loop when something changed; the loop
itself never asks. Where the broker answers each record with what it has seen, that is what a tick
brings, and the poll brings news alone. A broker that is missing, restarting or hung costs a log
line when it goes and one when it is back, and an attempt every 0.2 to 2 s.
"""

from __future__ import annotations

import logging
import threading
from typing import Callable, Optional, Protocol

from ha_agent.ports import BrokerLook
from ha_broker.api.client import BrokerError, BrokerRefusedError
from ha_broker.api.reach import Reach
from ha_broker.api.snapshot import Publication, Snapshot
from metadata.error_words import reason
from metadata.shared_config import SharedConfig
from world.ports.jobs import Clock

log = logging.getLogger("ha_agent.broker")

FIRST_BACKOFF_S = 0.2
LONGEST_BACKOFF_S = 2.0
# TCP tries three times in that time.
REACH_S = 3.0
# How often and how long a stopping agent looks whether its last record is written.
LAST_WRITE_LOOKS = 50
LAST_WRITE_PAUSE_S = 0.1
# A sequence that no snapshot has: the answer comes at once.
_ANY_CHANGE = -1


class Client(Protocol):
    """What is used of `ha_broker.api.lean_client.LeanClient`; each call raises BrokerError."""

    def wait_for_change(self, sequence: int, wait_s: float) -> Snapshot:
        """Long poll."""

    def status(self) -> Snapshot:
        """What the broker knows now."""

    def publish(self, publication: Publication) -> Optional[Snapshot]:
        """Hand over the own record; what the broker knows then, where it says so."""

    @property
    def told_by_records(self) -> bool:
        """Does nothing but a record's answer bring what is no news?"""

    def shared_config(self) -> SharedConfig:
        """Fetch settings and domain XML."""

    def end_local_maintenance(self, why: str) -> None:
        """Switch it off, for that reason."""

    def reach(self, address: str, timeout_s: float) -> Reach:
        """Is another host's libvirt reached?"""

    def close(self) -> None:
        """End all calls."""


class BrokerWatch:
    """The agent's `BrokerPort`. `wake` is called from the watching thread.

    `poll_once()` is the thread's whole cycle, so that tests can drive it without the thread.
    """

    def __init__(
        self, client: Client, clock: Clock, wake: Callable[[], None], wait_s: float = 5.0
    ) -> None:
        self._client = client
        self._clock = clock
        self._wake = wake
        self._wait_s = wait_s
        self._look = BrokerLook()
        self._keeping = threading.Lock()
        self._backoff_s = 0.0
        self._stopping = threading.Event()
        self._thread: Optional[threading.Thread] = None

    # --- BrokerPort -------------------------------------------------------------------

    def latest_snapshot(self) -> BrokerLook:
        """From memory, at once."""
        return self._look

    def publish(self, publication: Publication) -> None:
        """Hand over the own record (blocks; BrokerError).

        The last record of a stopping agent is watched until it is written, since nothing
        else would show it before the long poll ends.
        """
        asked_at_s, told = self._clock.monotonic_s(), self._client.told_by_records
        try:
            snapshot = self._client.publish(publication)
        except BrokerError as error:
            if told and not isinstance(error, BrokerRefusedError):
                self._lost(error)
            raise
        if snapshot is not None:
            self._received(snapshot)
        if publication.stopped:
            self._watch_write(asked_at_s)

    def shared_config(self) -> SharedConfig:
        """Fetch settings and domain XML (blocks; BrokerError)."""
        return self._client.shared_config()

    def end_local_maintenance(self, why: str) -> None:
        """Switch it off, for that reason (blocks; BrokerError)."""
        self._client.end_local_maintenance(why)

    def not_reached_why(self, address: str) -> str:
        """See `BrokerPort.not_reached_why`."""
        try:
            reach = self._client.reach(address, REACH_S)
        except BrokerError as error:  # also one of a version that does not know the question
            log.debug("nobody says whether %s is reached: %s", address, error.why)
            return ""
        return reach.detail if reach.answered is False else ""

    # --- the thread -------------------------------------------------------------------

    def set_wait_s(self, wait_s: float) -> None:
        """How long one long poll lasts; the age of what is known stays below about that."""
        self._wait_s = wait_s

    def start(self) -> None:
        """Begin to watch."""
        self._thread = threading.Thread(target=self._run, name="broker-watch", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End the watch; a call on its way is cut off."""
        self._stopping.set()
        self._client.close()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def poll_once(self) -> float:
        """Ask once and keep the answer; returns the seconds to wait before the next time."""
        asked_at_s, known = self._clock.monotonic_s(), self._look.snapshot
        # After an error the broker may be another one, with sequences of its own.
        since = _ANY_CHANGE if known is None or self._look.error else known.sequence
        try:
            snapshot = self._client.wait_for_change(since, self._wait_s)
        except BrokerError as error:
            return self._lost(error)
        except Exception as error:  # a watch that died would look like a broker that is gone
            log.exception("unforeseen trouble while watching the broker")
            return self._lost(BrokerError("watch the broker", reason(error)))
        # What a record's answer has brought already is news for the poll that waited for it, too.
        if self._received(snapshot) or snapshot.sequence != since:
            return 0.0
        # A broker that is stopping lets all long polls go at once: don't ask it in circles.
        too_soon = self._clock.monotonic_s() - asked_at_s < self._wait_s / 2
        return FIRST_BACKOFF_S if too_soon else 0.0

    def _run(self) -> None:
        while not self._stopping.is_set():
            pause_s = self.poll_once()
            if pause_s:
                self._stopping.wait(pause_s)

    def _watch_write(self, since_s: float) -> None:
        for _ in range(LAST_WRITE_LOOKS):
            snapshot = self._client.status()
            self._look = BrokerLook(snapshot, self._clock.monotonic_s())
            written_at_s = snapshot.storage.last_write_at_s
            if written_at_s is not None and written_at_s >= since_s:
                return
            self._stopping.wait(LAST_WRITE_PAUSE_S)

    def _received(self, snapshot: Snapshot) -> bool:
        """Keep it; True when it says something new."""
        with self._keeping:
            before = self._look
            if not before.error and _is_older(snapshot, before.snapshot):
                return False
            after = self._look = BrokerLook(snapshot, self._clock.monotonic_s())
            self._backoff_s = 0.0
        if before.error:
            log.info("the broker answers again")
        news = before.word != after.word
        if news:
            self._wake()
        return news

    def _lost(self, error: BrokerError) -> float:
        with self._keeping:
            before = self._look
            self._look = BrokerLook(before.snapshot, before.received_at_s, error.why)
            self._backoff_s = min(2 * self._backoff_s or FIRST_BACKOFF_S, LONGEST_BACKOFF_S)
            backoff_s = self._backoff_s
        if not before.error and not self._stopping.is_set():
            log.warning("the broker does not answer: %s", error.why)
            self._wake()
        return backoff_s


def _is_older(snapshot: Snapshot, known: Optional[Snapshot]) -> bool:
    """Of two answers to two threads the older one may come last."""
    if known is None or snapshot.started_at_s != known.started_at_s:
        return False
    return (snapshot.sequence, snapshot.taken_at_s) < (known.sequence, known.taken_at_s)
