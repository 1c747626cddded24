# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A deadline for work that may hang, such as reading storage or asking libvirt."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Callable, TypeVar

from hosted_engine.errors import CommandError
from hosted_engine.host.libvirt_unit import libvirt_hint

if TYPE_CHECKING:  # what only reads a volume stays light
    from world.ports.libvirt import Domain, Hypervisor

T = TypeVar("T")

LIBVIRT_DEADLINE_S = 15.0


def within_deadline(job: Callable[[], T], whom: str, deadline_s: float) -> T:
    """The result of `job`, run on a thread of its own; its error is raised here.

    Raises CommandError naming `whom` when it has not ended in time; the thread is given up.
    """
    results: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(job())
        except Exception as error:  # handed over to the caller below
            errors.append(error)

    worker = threading.Thread(target=run, name="deadline", daemon=True)
    worker.start()
    worker.join(deadline_s)
    for error in errors:
        raise error
    if not results:
        raise CommandError(f"{whom} has not answered for {deadline_s:.0f} s")
    return results[0]


def look_at_domain(hypervisor: Hypervisor, within_s: float = math.inf) -> Domain:
    """libvirt's word on the engine's domain; raises WorldError or CommandError.

    A frozen libvirtd takes the first connection and never answers, not even to Ctrl-C; once it
    has answered, libvirt's own keepalive ends what hangs.
    """
    limit_s = min(within_s, LIBVIRT_DEADLINE_S)
    return within_deadline(hypervisor.domain, libvirt_hint(), limit_s)
