# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A connection to whichever address of a name answers first.

A name may stand for several addresses, of which some swallow packets or can't be reached from
here. They are tried side by side: the next one begins as soon as the one before has failed, or has
been silent for a moment (as in RFC 8305), and each goes on until the deadline of all. So an address
that says nothing costs a moment, never the connection.
"""

from __future__ import annotations

import errno as errno_module
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, Callable, Generic, Optional, TypeVar, cast

from metadata.error_words import reason
from metadata.value_class import value_class
from world.network.deadline import Deadline

# RFC 8305 5 recommends 250 ms.
STAGGER_S = 0.25
# More would cost a socket each; what is in a name's answer is a stranger's choice.
MOST_ADDRESSES = 16
_MOST_NAMED = 4

MakeSocket = Callable[[socket.AddressFamily, socket.SocketKind], socket.socket]


@value_class(frozen=True)
class ResolvedAddress:
    """One address of a name, as the system's resolver gives it."""

    family: socket.AddressFamily
    address: Any

    @property
    def text(self) -> str:
        """The address itself, without the port."""
        return str(self.address[0])


class UnresolvedError(OSError):
    """A name has no address, or none in time: nothing can be said of whoever has the name."""


class NoConnectionError(OSError):
    """No address took the connection; the text names each with its reason.

    `refused`: one of them refused it, so somebody is there.
    """

    def __init__(self, reasons: Sequence[tuple[str, str]], refused: bool = False) -> None:
        super().__init__(by_reason(reasons))
        self.refused = refused


def by_reason(reasons: Sequence[tuple[str, str]]) -> str:
    """Pairs of address and reason as one text: ``192.0.2.1, 192.0.2.2: Connection refused``."""
    grouped: dict[str, list[str]] = {}
    for address, why in reasons:
        grouped.setdefault(why, []).append(address)
    return "; ".join(f"{_named(addresses)}: {why}" for why, addresses in grouped.items())


def _named(addresses: list[str]) -> str:
    more = len(addresses) - _MOST_NAMED
    return ", ".join(addresses[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def late(timeout_s: float) -> str:
    """Why an address that says nothing has failed."""
    return f"no answer within {timeout_s:g} s"


def resolve(
    host: str, port: Optional[int], deadline: Deadline, kind: int = socket.SOCK_STREAM
) -> list[ResolvedAddress]:
    """The addresses of `host`, the families by turns; raises UnresolvedError.

    By turns, so that no family is left out where there are more addresses than are tried.
    """
    # As bytes: for text the library loads a third of a megabyte of tables, also where it is ASCII.
    name = host.encode("ascii") if host.isascii() else host
    try:
        found = socket.getaddrinfo(name, port, type=kind)
    except (OSError, ValueError) as error:  # a UnicodeError is a ValueError
        raise UnresolvedError(f"{host} can't be resolved: {reason(error)}") from error
    if deadline.is_over():
        raise UnresolvedError(f"{host} could not be resolved within {deadline.timeout_s:g} s")
    families: dict[socket.AddressFamily, list[ResolvedAddress]] = {}
    for target in dict.fromkeys(
        ResolvedAddress(family, address) for family, _, _, _, address in found
    ):
        families.setdefault(target.family, []).append(target)
    turns = [target for turn in zip_longest(*families.values()) for target in turn if target]
    if not turns:
        raise UnresolvedError(f"{host} has no address")
    return turns[:MOST_ADDRESSES]


def connect(
    host: str, port: int, deadline: Deadline, make: MakeSocket = socket.socket
) -> socket.socket:
    """A connection to the first address that accepts one; raises UnresolvedError and
    NoConnectionError. The socket is made by `make`."""
    return connect_any(resolve(host, port, deadline), deadline, make)


def connect_any(
    targets: Sequence[ResolvedAddress], deadline: Deadline, make: MakeSocket = socket.socket
) -> socket.socket:
    """The same to one of `targets`; raises NoConnectionError."""
    won = race(targets, deadline, lambda target: Attempt(target, make))
    # Whoever talks on it sets what is left before each read and write; this is only a bound.
    won.sock.settimeout(deadline.timeout_s)
    return won.sock


class Attempt:
    """One connection on its way; never blocks. A subclass may go on from there."""

    # What `step` waits for next.
    events: int = selectors.EVENT_WRITE

    def __init__(self, target: ResolvedAddress, make: MakeSocket = socket.socket) -> None:
        """Begin it; raises OSError, also where this host does not know the family."""
        self.target = target
        self.sock = make(target.family, socket.SOCK_STREAM)
        try:
            self.sock.setblocking(False)
            number = self.sock.connect_ex(target.address)
            if number not in (0, errno_module.EINPROGRESS):
                raise OSError(number, os.strerror(number))
        except BaseException:
            self.sock.close()
            raise

    def step(self) -> bool:
        """Go on after one of `events`; True: done. Raises OSError when it has failed."""
        number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))
        return True


_Attempt = TypeVar("_Attempt", bound=Attempt)


def race(
    targets: Sequence[ResolvedAddress],
    deadline: Deadline,
    begin: Callable[[ResolvedAddress], _Attempt],
) -> _Attempt:
    """Attempts side by side, and the first that is done; raises NoConnectionError."""
    running = _Race(targets, deadline, begin)
    try:
        return running.run()
    finally:
        running.close()


def peer(sock: socket.socket) -> str:
    """The address at the other end; empty where the connection has gone already."""
    try:
        return str(sock.getpeername()[0])
    except OSError:
        return ""


class _Race(Generic[_Attempt]):
    def __init__(
        self,
        targets: Sequence[ResolvedAddress],
        deadline: Deadline,
        begin: Callable[[ResolvedAddress], _Attempt],
    ) -> None:
        self._targets = targets
        self._waiting = deque(targets)
        self._deadline = deadline
        self._begin = begin
        # All of them have begun when half of the time is over.
        self._stagger_s = min(STAGGER_S, deadline.timeout_s / (2 * max(1, len(targets))))
        self._next_at_s = time.monotonic()
        self._selector = selectors.PollSelector()
        self._running: list[_Attempt] = []
        self._failures: dict[ResolvedAddress, OSError] = {}

    def run(self) -> _Attempt:
        """The winner."""
        while (self._waiting or self._running) and not self._deadline.is_over():
            if self._begins_now():
                self._begin_next()
                continue
            winner = self._wait()
            if winner is not None:
                return winner
        refused = any(isinstance(each, ConnectionRefusedError) for each in self._failures.values())
        raise NoConnectionError(list(self._reasons()), refused)

    def close(self) -> None:
        """Give up whatever is still trying."""
        for attempt in self._running:
            attempt.sock.close()
        self._selector.close()

    def _begins_now(self) -> bool:
        if not self._waiting:
            return False
        return not self._running or time.monotonic() >= self._next_at_s

    def _begin_next(self) -> None:
        target = self._waiting.popleft()
        self._next_at_s = time.monotonic() + self._stagger_s
        try:
            attempt = self._begin(target)
        except OSError as error:
            self._failures[target] = error
            return
        self._selector.register(attempt.sock, attempt.events, attempt)
        self._running.append(attempt)

    def _wait(self) -> Optional[_Attempt]:
        """Until an attempt goes on, another one is to begin, or the time is over."""
        until_s = self._deadline.left_or_none_s()
        if self._waiting:
            until_s = min(until_s, max(0.0, self._next_at_s - time.monotonic()))
        for key, _ in self._selector.select(until_s):
            if self._is_done(key.data):
                return cast("_Attempt", key.data)
        return None

    def _is_done(self, attempt: _Attempt) -> bool:
        try:
            done = attempt.step()
        except OSError as error:
            self._failures[attempt.target] = error
            self._leave(attempt)
            attempt.sock.close()
            return False
        if done:
            self._leave(attempt)
        else:
            self._selector.modify(attempt.sock, attempt.events, attempt)
        return done

    def _leave(self, attempt: _Attempt) -> None:
        self._selector.unregister(attempt.sock)
        self._running.remove(attempt)

    def _reasons(self) -> Iterator[tuple[str, str]]:
        for target in self._targets:
            error = self._failures.get(target)
            late_text = late(self._deadline.timeout_s)
            yield target.text, late_text if error is None else reason(error)
