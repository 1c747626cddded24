# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Work that storage may hold up for ever, in a new interpreter: for who has threads.

What `apart` says of the child holds for this one, too. It holds nothing at all of this process
but what it is given: the job, in memory that has no name, and a pipe for the result. Neither the
folder that the command was called in nor the environment (PYTHONPATH and its like) adds to what it
imports: it looks where this process does, and nowhere else.

It costs what its imports cost, so jobs are best made of what lies in small modules. Measured in CPU
time, against an interpreter that imports nothing: a read by `DirectStore` 5 times as much (a copy:
a quarter), the lease's owner 8 times, a survey of the storage 14 times (a copy: 6 times).
"""

from __future__ import annotations

import os
import pickle
import select
import sys
from functools import partial
from typing import Any, Callable, NoReturn, TypeVar, cast

from hosted_engine.errors import CommandError
from hosted_engine.host.apart import Child, Worker, finished, work

T = TypeVar("T")

_ROOT = __file__.rpartition("/hosted_engine/")[0]
TRUST_NOBODY = ("-I", "-S", "-B")
"""By itself an interpreter would look into folders and variables that others may have a hand in,
and write what it has compiled."""

_BEGIN = "import sys; sys.path[:] = sys.argv[1:]; from hosted_engine.host.anew import main; main()"
_STDOUT = 1
_BEGUN = b"+"
# Some tenths of a second are usual. It is no deadline for what the job asks: of that a busy host's
# slow interpreter would tell something untrue.
BEGIN_DEADLINE_S = 30.0


def within_deadline_anew(job: Callable[[], T], whom: str, deadline_s: float) -> T:
    """The result of `job`, done by a new interpreter; its error is raised here.

    As `within_deadline_apart`, its deadline counted from when the job begins; but the job must be
    a value that pickle takes, too: a function of a module, a method of an object that pickle
    takes, or a `partial` of one of them.
    """
    return cast(T, finished(Anew(job), whom, deadline_s))


class Anew(Worker):
    """A job that a new interpreter has begun to do."""

    def __init__(self, job: Callable[[], object]) -> None:
        reading, writing = os.pipe()
        try:
            self._process = _started(pickle.dumps(job), writing)
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        super().__init__(self._process.pid, reading)

    def wait_until_begun(self, whom: str) -> None:
        """See `Worker.wait_until_begun`; its interpreter starts and imports before that."""
        if not select.select([self._reading], [], [], BEGIN_DEADLINE_S)[0]:
            raise CommandError(
                f"{whom} could not be asked: on this host a process did not even begin "
                f"within {BEGIN_DEADLINE_S:.0f} s"
            )
        os.read(self._reading, len(_BEGUN))  # a child that was killed is seen with its result

    def end(self) -> None:
        """See `Worker.end`."""
        super().end()
        self._process.poll()  # it may have been waited for already: `Popen` has to know


def _started(packed: bytes, writing: int) -> Any:
    """A job's own child stays in the job's process group, and is ended with it."""
    import subprocess  # the commands that need no worker stay light

    with os.fdopen(os.memfd_create("job"), "wb") as memory:  # unlike a pipe, it takes all at once
        memory.write(packed)
        memory.seek(0)
        return subprocess.Popen(
            [sys.executable, *TRUST_NOBODY, "-c", _BEGIN, *import_paths()],
            stdin=memory,
            stdout=writing,
            stderr=subprocess.DEVNULL,
            start_new_session=not Child.is_one,
        )


def import_paths() -> list[str]:
    """Where a new interpreter is to look for modules: where this process does.

    An installation for developers lies in none of them: a hook of its own leads to it.
    """
    return sys.path if _ROOT in sys.path else [*sys.path, _ROOT]


def main() -> NoReturn:
    """The new interpreter's life: a job comes on its input, the result goes to its output."""
    Child.is_one = True
    writing = os.dup(_STDOUT)
    work(partial(_done, sys.stdin.buffer.read(), writing), writing)


def _done(packed: bytes, writing: int) -> object:
    try:
        job = pickle.loads(packed)  # imports what the job is made of
    finally:
        os.write(writing, _BEGUN)  # in any case, before any result
    return job()
