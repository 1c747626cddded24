"""A deadline for work that may hang, such as reading storage."""

from __future__ import annotations

import threading
from typing import Callable, TypeVar

from ha_agent.command.errors import CommandError

T = TypeVar("T")


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
