# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the daemons use of the module `sanlock`, for a lockspace in which every host lives.

Host 2 holds the engine's lease; with one host alone nobody does. Each host renews its place
every 20 s of `monotonic_s`. The answers are made once and handed out again: what sanlock's own
code costs is not measured here.
"""

from __future__ import annotations

import contextlib
import sys
import time
import types
from collections.abc import Iterator
from typing import Any, Callable, Optional

from metadata.layout import LOCKSPACE_NAME
from world.ports.sanlock import Renewal
from world.storage.sanlock_lockspace import SanlockLockspace

RENEWAL_S = 20
FIRE_TIMEOUT_S = 60
LEASE_OWNER_ID = 2


class SanlockException(Exception):  # noqa: N818  # the binding's own name
    """As the binding's."""

    errno = 0


class StubSanlock(types.ModuleType):
    """The module; `install` puts it where the adapter imports it from."""

    SanlockException = SanlockException
    HOST_FREE, HOST_LIVE, HOST_FAIL, HOST_DEAD, HOST_UNKNOWN = 2, 3, 4, 5, 1
    LSFLAG_ADD, LSFLAG_REM = 1, 2

    def __init__(self, hosts: int, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__("sanlock")
        self._count = hosts
        self._monotonic_s = monotonic_s
        self._joined_as: Optional[int] = None
        self._hosts: tuple[int, list[dict[str, Any]]] = (0, [])

    def install(self) -> None:
        """For the rest of this process."""
        sys.modules["sanlock"] = self

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """For a while."""
        former = sys.modules.pop("sanlock", None)
        self.install()
        try:
            yield
        finally:
            del sys.modules["sanlock"]
            if former is not None:
                sys.modules["sanlock"] = former

    def add_lockspace(self, name: bytes, host_id: int, path: str, offset: int, io_s: int) -> None:
        self._joined_as = host_id

    def get_lockspaces(self) -> list[dict[str, Any]]:
        if self._joined_as is None:
            return []
        return [{"lockspace": LOCKSPACE_NAME.encode(), "host_id": self._joined_as, "flags": 0}]

    def inq_lockspace(
        self, name: bytes, host_id: int, path: str, offset: int, wait: bool = False
    ) -> bool:
        return self._joined_as == host_id

    def get_hosts(self, name: bytes, host_id: int) -> list[dict[str, Any]]:
        renewed_at_s = int(self._monotonic_s()) // RENEWAL_S * RENEWAL_S
        if self._hosts[0] != renewed_at_s:
            self._hosts = (renewed_at_s, [_host(one, renewed_at_s) for one in self._ids()])
        return self._hosts[1]

    def _ids(self) -> range:
        return range(1, self._count + 1)

    def read_resource_owners(
        self, name: bytes, resource: bytes, disks: Any, align: int, sector: int
    ) -> list[dict[str, Any]]:
        return [{"host_id": LEASE_OWNER_ID, "generation": 1}] if self._count > 1 else []

    def inquire(self, pid: int) -> list[dict[str, Any]]:
        return []


def _host(host_id: int, renewed_at_s: int) -> dict[str, Any]:
    return {
        "host_id": host_id,
        "generation": 1,
        "timestamp": renewed_at_s,
        "io_timeout": RENEWAL_S // 2,
        "flags": StubSanlock.HOST_LIVE,
    }


class StubLockspace(SanlockLockspace):
    """The real adapter; what it asks the program `sanlock` for is known here."""

    def fire_timeout_s(self) -> int:
        return FIRE_TIMEOUT_S

    def renewals(self) -> list[Renewal]:
        now_s = int(time.monotonic())
        return [Renewal(now_s - RENEWAL_S, 0.001, 0.001), Renewal(now_s, 0.001, 0.001)]
