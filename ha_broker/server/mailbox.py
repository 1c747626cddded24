# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Where the API's threads and the broker's cycle meet: requests go in, snapshots come out.

The cycle never waits here, and a request never sees the cycle's inner state: it reads the
latest immutable snapshot, or leaves a `Ticket` and waits for that, with a bound.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Callable, Optional, Union

from ha_broker.api.snapshot import MoveOrder, Publication, Snapshot
from ha_broker.api.trial import TrialResult
from ha_broker.cycle.host_changes import HostVersions
from metadata.error_words import shown
from metadata.value_class import value_class

if TYPE_CHECKING:
    from metadata.shared_config import SharedConfig, StoredConfig

MAX_WAITING_REQUESTS = 16


class Refusal(Exception):  # noqa: N818  # an answer, not a failure
    """The broker says no; `status` is the HTTP status that fits, `why` is for people."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Ticket:
    """What was asked for (a change of maintenance), and what became of it.

    `before` is what was so when it was changed, not what anybody remembered; None: not known.
    """

    def __init__(self, scope: str, on: bool) -> None:
        self.scope = scope
        self.on = on
        self.before: Optional[bool] = None
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._begun = False
        self._given_up = False
        self._refusal: Optional[Refusal] = None

    def begin(self) -> bool:
        """The cycle starts with it now; False when nobody waits for it any more."""
        with self._lock:
            self._begun = not self._given_up
            return self._begun

    def resolve(self, refusal: Optional[Refusal] = None) -> None:
        """It is done, or refused."""
        self._refusal = refusal
        self._done.set()

    def wait(self, timeout_s: float) -> None:
        """Return when it is done; raises Refusal (504 when it takes longer)."""
        if not self._done.wait(timeout_s):
            raise Refusal(504, self._give_up(timeout_s))
        self.is_done()

    def is_done(self) -> bool:
        """Without waiting; raises Refusal when it was refused."""
        if self._refusal is not None:
            raise self._refusal
        return self._done.is_set()

    @property
    def what(self) -> str:
        """What was asked for."""
        return f"{self.scope} maintenance {'on' if self.on else 'off'}"

    def _give_up(self, timeout_s: float) -> str:
        with self._lock:
            self._given_up = True
            begun = self._begun
        what = self.what
        if begun:
            return f"{what} was not confirmed within {timeout_s:g} s; it may still take effect"
        return f"{what} could not be begun within {timeout_s:g} s and was dropped"


class TrialTicket(Ticket):
    """A test notification that was asked for; `results` are there when it is done."""

    def __init__(self) -> None:
        super().__init__("trial", True)
        self.results: tuple[TrialResult, ...] = ()

    @property
    def what(self) -> str:
        """What was asked for."""
        return "the test notification"


class MoveTicket(Ticket):
    """An order to move the engine alive, to the host `to` (name or id; None: to the best).

    `order` is there when it is taken up.
    """

    def __init__(self, to: Union[int, str, None]) -> None:
        super().__init__("move", True)
        self.to = to
        self.order: Optional[MoveOrder] = None

    @property
    def what(self) -> str:
        """What was asked for."""
        if self.to is None:
            return "the order to move the engine"
        return f"the order to move the engine to {host_words(self.to)}"


def host_words(to: Union[int, str]) -> str:
    """A host as somebody has named it."""
    return f"host {to}" if isinstance(to, int) else shown(to)


@value_class(frozen=True)
class Requests:
    """What came in since the last cycle."""

    publication: Optional[Publication] = None
    tickets: tuple[Ticket, ...] = ()
    reread: bool = False


NO_REQUESTS = Requests()


class Mailbox:
    """Thread-safe; `wake` is called whenever the cycle has something to do."""

    def __init__(
        self,
        first: Snapshot,
        wake: Callable[[], None] = lambda: None,
        versions: Optional[HostVersions] = None,
    ) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        # Whoever waits for the next look is not woken with those who wait for news.
        self._looked = threading.Condition(self._lock)
        self._looks = 0
        self._snapshot = first
        self._versions = versions
        self._config: Optional[SharedConfig] = None
        self._stored: Optional[StoredConfig] = None
        self._publication: Optional[Publication] = None
        self._tickets: deque[Ticket] = deque()
        self._reread = False
        self._closed = False

    # --- the API's side -------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The latest; never waits."""
        return self._snapshot

    def wait_for_change(self, since: int, wait_s: float) -> Snapshot:
        """The latest, as soon as its sequence differs from `since` or `wait_s` are over."""
        return self.wait_for_news(since, wait_s)[0]

    def wait_for_news(self, since: int, wait_s: float) -> tuple[Snapshot, Optional[HostVersions]]:
        """As `wait_for_change`, with the versions of the hosts in that very snapshot."""
        with self._lock:
            self._changed.wait_for(lambda: self._closed or self._snapshot.sequence != since, wait_s)
            return self._snapshot, self._versions

    def config(self) -> Optional[SharedConfig]:
        """The shared configuration last read without an error."""
        return self._config

    def stored_config(self) -> Optional[StoredConfig]:
        """The same as it stood on the storage, for who writes it back."""
        return self._stored

    def publish(self, publication: Publication) -> int:
        """Have it written; a newer one replaces an older one that was not begun.

        How often something was shown by then, for `wait_for_look`.
        """
        with self._lock:
            self._publication = publication
            looks = self._looks
        self._wake()
        return looks

    def wait_for_look(self, looks: int, wait_s: float) -> None:
        """Until something was shown once more than `looks` times; `wait_s` at most."""
        with self._lock:
            self._looked.wait_for(lambda: self._closed or self._looks > looks, wait_s)

    def ask_maintenance(self, scope: str, on: bool) -> Ticket:
        """Ask for "global" or "local" maintenance; raises Refusal (503) when too many wait."""
        ticket = Ticket(scope, on)
        self._leave(ticket)
        return ticket

    def _leave(self, ticket: Ticket) -> None:
        with self._lock:
            if len(self._tickets) >= MAX_WAITING_REQUESTS:
                raise Refusal(503, f"{len(self._tickets)} requests are waiting already")
            self._tickets.append(ticket)
        self._wake()

    def ask_trial(self) -> TrialTicket:
        """Ask for a test notification; raises Refusal (503) when too many requests wait."""
        ticket = TrialTicket()
        self._leave(ticket)
        return ticket

    def ask_move(self, to: Union[int, str, None]) -> MoveTicket:
        """Order a move to a host (name or id; None: the best); raises Refusal (503) when too many
        requests wait."""
        ticket = MoveTicket(to)
        self._leave(ticket)
        return ticket

    def ask_reread(self) -> None:
        """Have the shared configuration and the whole metadata area read again."""
        with self._lock:
            self._reread = True
        self._wake()

    # --- the cycle's side -----------------------------------------------------------------

    def take(self) -> Requests:
        """All that came in; it is the cycle's from now on."""
        with self._lock:
            if not (self._publication or self._tickets or self._reread):
                return NO_REQUESTS
            requests = Requests(self._publication, tuple(self._tickets), self._reread)
            self._publication, self._reread = None, False
            self._tickets.clear()
        return requests

    def show(
        self,
        snapshot: Snapshot,
        config: Optional[SharedConfig],
        stored: Optional[StoredConfig] = None,
        versions: Optional[HostVersions] = None,
    ) -> None:
        """Everybody sees this from now on; long polls end when its sequence is new.

        `versions`: of the snapshot's hosts; None: not known, so all of them count as changed.
        """
        with self._lock:
            news = snapshot.sequence != self._snapshot.sequence
            self._snapshot = snapshot
            self._config, self._stored = config, stored
            self._versions = versions
            self._note_look()
            if news:
                self._changed.notify_all()

    def show_times(self, snapshot: Snapshot) -> None:
        """As the one before, but for when things were done: no news for anybody."""
        with self._lock:
            self._snapshot = snapshot
            self._note_look()

    def _note_look(self) -> None:
        self._looks += 1
        self._looked.notify_all()

    def close(self) -> None:
        """Let all long polls go: the broker is stopping."""
        with self._lock:
            self._closed = True
            self._changed.notify_all()
            self._looked.notify_all()
