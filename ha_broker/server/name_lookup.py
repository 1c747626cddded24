# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Names of a group and of users in host.yaml: from the name to its number.

Names may come from a directory service that is not up yet, or hangs. So each look is done on a
thread of its own, and until it has found the number the name gives no right: the broker watches
the engine whoever may ask it.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Callable, Optional

from metadata.error_words import shown
from metadata.value_class import value_class
from world.ports.errors import WorldError

LOOK_INTERVAL_S = 60.0

Lookup = Callable[[str], Optional[int]]
"""A group's or user's number by its name; None: there is none of that name. Raises WorldError."""

log = logging.getLogger(__name__)


@value_class(frozen=True)
class NameKind:
    """What a name is the name of, in words for messages.

    `setting` is the key in host.yaml, `until` what holds while the name is not found.
    """

    setting: str
    noun: str
    allowed: str
    until: str


GROUP = NameKind(
    setting="socket_group",
    noun="group",
    allowed="the name of a group that this host has (getent group NAME), or nothing",
    until="root alone may ask the broker",
)
USER = NameKind(
    setting="command_users",
    noun="user",
    allowed="names of users that this host has (getent passwd NAME), or none",
    until="this user may command nothing",
)


class NameLookup:
    """One name that a setting gives; empty: none.

    `number` is known once it was found, and kept from then on. What keeps it from being known is
    logged, once for each reason; `settings` (a file's name) stands before it.
    """

    def __init__(
        self,
        kind: NameKind,
        name: str,
        lookup: Lookup,
        settings: str = "host.yaml",
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.number: Optional[int] = None
        self._kind = kind
        self._name = name
        self._lookup = lookup
        self._where = f"{settings}: {kind.setting}"
        self._monotonic_s = monotonic_s
        self._looked_at_s = -LOOK_INTERVAL_S
        self._thread: Optional[threading.Thread] = None
        self._trouble = ""

    def look(self) -> None:
        """To be called now and then: looks again while the number is not known. Never waits."""
        if not self._name or self.number is not None or self._looks():
            return
        now_s = self._monotonic_s()
        if now_s - self._looked_at_s >= LOOK_INTERVAL_S:
            self._looked_at_s = now_s
            name = f"look-for-{self._kind.noun}"
            self._thread = threading.Thread(target=self._look, name=name, daemon=True)
            self._thread.start()

    def wait(self, timeout_s: float) -> None:
        """For the look that is going on."""
        if self._thread is None:
            return
        self._thread.join(timeout_s)
        if self._looks():
            self._tell(f"looking for {self._kind.noun} {shown(self._name)} takes long")

    def _looks(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _look(self) -> None:
        try:
            found = self._lookup(self._name)
        except WorldError as error:
            self._tell(f"{error} (tried again)")
            return
        if found is None:
            self._tell(f"{shown(self._name)} is refused; allowed: {self._kind.allowed}")
            return
        noun, name = self._kind.noun, shown(self._name)
        log.info("%s: %s %s has the number %d", self._where, noun, name, found)
        self.number = found

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.error("%s: %s; until then %s", self._where, trouble, self._kind.until)
        self._trouble = trouble
