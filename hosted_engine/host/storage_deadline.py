# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Deadlines for what ``--deploy`` asks of storage and sanlock, and a sign of life meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, TypeVar, cast

from hosted_engine.host.anew import within_deadline_anew
from hosted_engine.host.deadline import within_deadline

T = TypeVar("T")

STORAGE_DEADLINE_S = 20.0
SANLOCK_DEADLINE_S = 30.0
PROGRESS_EVERY_S = 10.0


def with_storage(job: Callable[[], T]) -> T:
    """The result of `job`, which touches the storage; done by a process of its own, see `anew`.

    Raises what the job raises of WorldError, and CommandError when the storage does not answer.
    """
    whom = "the storage (see whether this host still reaches it)"
    return within_deadline_anew(job, whom, STORAGE_DEADLINE_S)


def bounded(thing: T, whom: str, deadline_s: float, but: tuple[str, ...] = ()) -> T:
    """`thing`, none of whose methods lasts longer than `deadline_s`.

    They raise CommandError naming `whom` then. The methods named in `but` are left as they are.
    """
    return cast(T, _Bounded(thing, whom, deadline_s, but))


class _Bounded:
    def __init__(self, thing: Any, whom: str, deadline_s: float, but: tuple[str, ...]) -> None:
        self._thing = thing
        self._whom = whom
        self._deadline_s = deadline_s
        self._but = but

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._thing, name)
        if name in self._but:
            return method

        def call(*values: Any, **named: Any) -> Any:
            return within_deadline(lambda: method(*values, **named), self._whom, self._deadline_s)

        return call


@contextmanager
def progress(tell: Callable[[float], None], every_s: float = PROGRESS_EVERY_S) -> Iterator[None]:
    """While the block runs, `tell` hears every now and then for how many seconds it has."""
    done = threading.Event()
    began_s = time.monotonic()

    def talk() -> None:
        while not done.wait(every_s):
            tell(time.monotonic() - began_s)

    talker = threading.Thread(target=talk, name="progress", daemon=True)
    talker.start()
    try:
        yield
    finally:
        done.set()
        talker.join()
