"""The group whose members may ask the broker: from its name in host.yaml to its number.

Names of groups may come from a directory service that is not up yet, or hangs. So the look is
done on a thread of its own, and until it has found the group the socket is root's alone: the
broker watches the engine whoever may ask it.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Callable, Optional

from metadata.settings.schema import shown
from world.ports.errors import WorldError

LOOK_INTERVAL_S = 60.0

Lookup = Callable[[str], Optional[int]]
"""A group's number by its name; None: there is no such group. Raises WorldError."""

log = logging.getLogger(__name__)


class SocketGroup:
    """The group that the setting `socket_group` names; empty: none.

    `gid` is its number once it is known. What keeps it from being known is logged, once for each
    reason; `settings` (a file's name) stands before it.
    """

    def __init__(
        self,
        name: str,
        lookup: Lookup,
        settings: str = "host.yaml",
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.gid: Optional[int] = None
        self._name = name
        self._lookup = lookup
        self._settings = settings
        self._monotonic_s = monotonic_s
        self._looked_at_s = -LOOK_INTERVAL_S
        self._thread: Optional[threading.Thread] = None
        self._trouble = ""

    def look(self) -> None:
        """To be called now and then: looks again while the group is not known. Never waits."""
        if not self._name or self.gid is not None or self._looks():
            return
        now_s = self._monotonic_s()
        if now_s - self._looked_at_s >= LOOK_INTERVAL_S:
            self._looked_at_s = now_s
            self._thread = threading.Thread(target=self._look, name="socket-group", daemon=True)
            self._thread.start()

    def wait(self, timeout_s: float) -> None:
        """For the look that is going on."""
        if self._thread is None:
            return
        self._thread.join(timeout_s)
        if self._looks():
            self._tell(f"looking for group {shown(self._name)} takes long")

    def _looks(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _look(self) -> None:
        try:
            found = self._lookup(self._name)
        except WorldError as error:
            self._tell(f"{error} (tried again)")
            return
        if found is None:
            self._tell(
                f"{shown(self._name)} is refused; allowed: the name of a group that this host "
                f"has (getent group NAME), or nothing"
            )
            return
        self.gid = found

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.error(
                "%s: socket_group: %s; until then root alone may ask the broker",
                self._settings,
                trouble,
            )
        self._trouble = trouble
