# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Work that storage may hold up for ever, in a process of its own.

A thread that waits in the kernel for storage can't be ended, and no process can exit while it
has one: the command would say in time what hangs, and not return all the same. So a child does
the work. One that can't be killed is left behind; it holds nothing of ours, and ends by itself
once its storage answers.

There are two kinds of children, and who has threads decides which:

here    a copy of this process (fork), which takes any job and begins at once. Only for who
        surely has one thread, as the copy may hang on what another one held (`alone`): reading a
        volume (``--vm-status --metadata``), the shared configuration's own commands, which ask
        sanlock and libvirt in the copy alone, and the checks of ``--deploy``, many of them
        beside each other.
`anew`  a new interpreter, which takes a job that pickle takes, and some time to begin. For all
        others: libvirt's event loop is a thread, and sanlock, libvirt and the disk are asked on
        threads that may have to be given up.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import time
from contextlib import suppress
from typing import Any, Callable, NoReturn, Optional, TypeVar, Union, cast

from hosted_engine.errors import CommandError
from hosted_engine.host.alone import refuse_with_threads
from world.ports.errors import WorldError

T = TypeVar("T")

_STANDARD_STREAMS = (0, 1, 2)


def within_deadline_apart(job: Callable[[], T], whom: str, deadline_s: float) -> T:
    """The result of `job`, done by a copy of this process; its error is raised here.

    Raises CommandError naming `whom` when it has not ended in time. Result and errors must be
    values that pickle takes; what else the job changes is lost.
    """
    return cast(T, finished(Apart(job), whom, deadline_s))


class Worker:
    """A child process that does a job, and the pipe on which its result comes."""

    def __init__(self, child: int, reading: int) -> None:
        self._child = child
        self._reading = reading

    def wait_until_begun(self, whom: str) -> None:
        """Until the job itself is under way, from when on its deadline counts.

        Raises CommandError naming `whom` when that takes too long.
        """

    def result(self, whom: str, deadline_s: float, end_s: float) -> object:
        """What the job returned by `end_s` of the monotonic clock; raises what it raised.

        Raises CommandError naming `whom`, and `deadline_s`, when it has not ended by then.
        """
        data = _read_all(self._reading, end_s)
        if data is None:
            raise CommandError(f"{whom} has not answered for {deadline_s:.0f} s")
        if not data:
            raise CommandError(f"{whom} could not be asked: the process that did so was killed")
        done, value = cast("tuple[bool, Union[object, Exception]]", pickle.loads(data))
        if not done:
            raise cast(Exception, value)
        return value

    def end(self) -> None:
        """Never waits: a child that storage holds up does not even die."""
        os.close(self._reading)
        _end(self._child)


class Apart(Worker):
    """A job that a copy has begun to do; several can be done beside each other."""

    def __init__(self, job: Callable[[], object]) -> None:
        refuse_with_threads()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _work_as_copy(job, writing)
        os.close(writing)
        super().__init__(child, reading)


def finished(worker: Worker, whom: str, deadline_s: float) -> object:
    """Its result `deadline_s` after the job began, at the latest; it is ended in any case."""
    try:
        worker.wait_until_begun(whom)
        return worker.result(whom, deadline_s, time.monotonic() + deadline_s)
    finally:
        worker.end()


# --- in the child -----------------------------------------------------------------------------


def _work_as_copy(job: Callable[[], Any], writing: int) -> NoReturn:
    try:
        # One for the whole job: what a job does apart in its turn belongs to it.
        if not Child.is_one:
            os.setpgid(0, 0)
        Child.is_one = True
        work(job, writing)
    finally:
        os._exit(0)


def work(job: Callable[[], Any], writing: int) -> NoReturn:
    """The child's life; whatever happens in it, it never comes back into the caller's code."""
    try:
        # Whoever waits for the end of our output must not wait for this process.
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in _STANDARD_STREAMS:
            os.dup2(nothing, stream)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(_packed(job))
    finally:
        os._exit(0)


class Child:
    """Whether this process was made to do a job."""

    is_one = False


def _packed(job: Callable[[], Any]) -> bytes:
    try:
        return pickle.dumps((True, job()))
    except (CommandError, WorldError) as error:
        return pickle.dumps((False, error))
    except Exception as error:  # a bug, told as one by the caller
        return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))


# --- in the parent ----------------------------------------------------------------------------


def _read_all(reading: int, end_s: float) -> Optional[bytes]:
    """All until the other end closes; None when that takes too long."""
    parts: list[bytes] = []
    while True:
        ready, _, _ = select.select([reading], [], [], max(0.0, end_s - time.monotonic()))
        if not ready:
            return None
        part = os.read(reading, 65536)
        if not part:
            return b"".join(parts)
        parts.append(part)


def _end(child: int) -> None:
    """With all that it has begun itself, which is in its process group."""
    with suppress(ProcessLookupError):  # it has none when it has not run at all yet
        os.killpg(child, signal.SIGKILL)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, os.WNOHANG)
