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
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Callable, Optional, cast

from world.network.deadline import Deadline

# RFC 8305 5 recommends 250 ms.
STAGGER_S = 0.25
# More would cost a socket each; what is in a name's answer is a stranger's choice.
MOST_ADDRESSES = 16
_MOST_NAMED = 4

MakeSocket = Callable[[socket.AddressFamily, socket.SocketKind], socket.socket]


@dataclass(frozen=True)
class Target:
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
) -> list[Target]:
    """The addresses of `host`, the families by turns; raises UnresolvedError.

    By turns, so that no family is left out where there are more addresses than are tried.
    """
    try:
        found = socket.getaddrinfo(host, port, type=kind)
    except (OSError, ValueError) as error:  # a UnicodeError is a ValueError
        why = getattr(error, "strerror", None) or str(error)
        raise UnresolvedError(f"{host} can't be resolved: {why}") from error
    if deadline.is_over():
        raise UnresolvedError(f"{host} could not be resolved within {deadline.timeout_s:g} s")
    families: dict[socket.AddressFamily, list[Target]] = {}
    for target in dict.fromkeys(Target(family, address) for family, _, _, _, address in found):
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
    targets: Sequence[Target], deadline: Deadline, make: MakeSocket = socket.socket
) -> socket.socket:
    """The same to one of `targets`; raises NoConnectionError."""
    race = _Race(targets, deadline, make)
    try:
        winner = race.run()
    finally:
        race.close()
    # Whoever talks on it sets what is left before each read and write; this is only a bound.
    winner.settimeout(deadline.timeout_s)
    return winner


def peer(sock: socket.socket) -> str:
    """The address at the other end; empty where the connection has gone already."""
    try:
        return str(sock.getpeername()[0])
    except OSError:
        return ""


class _Race:
    """Attempts side by side, of which the first that succeeds is taken."""

    def __init__(self, targets: Sequence[Target], deadline: Deadline, make: MakeSocket) -> None:
        self._targets = targets
        self._waiting = deque(targets)
        self._deadline = deadline
        self._make = make
        # All of them have begun when half of the time is over.
        self._stagger_s = min(STAGGER_S, deadline.timeout_s / (2 * len(targets)))
        self._next_at_s = time.monotonic()
        self._selector = selectors.PollSelector()
        self._failures: dict[Target, OSError] = {}
        self._refused = False

    def run(self) -> socket.socket:
        """The connected socket."""
        while self._is_going_on():
            winner = self._begin() if self._begins_now() else self._wait()
            if winner is not None:
                return winner
        raise NoConnectionError(list(self._reasons()), self._refused)

    def close(self) -> None:
        """Give up whatever is still trying."""
        for key in list(self._selector.get_map().values()):
            cast(socket.socket, key.fileobj).close()
        self._selector.close()

    def _is_going_on(self) -> bool:
        tries = self._waiting or self._selector.get_map()
        return bool(tries) and not self._deadline.is_over()

    def _begins_now(self) -> bool:
        if not self._waiting:
            return False
        return not self._selector.get_map() or time.monotonic() >= self._next_at_s

    def _begin(self) -> Optional[socket.socket]:
        """Try the next address; the socket when it is connected at once."""
        target = self._waiting.popleft()
        self._next_at_s = time.monotonic() + self._stagger_s
        sock: Optional[socket.socket] = None
        try:
            sock = self._make(target.family, socket.SOCK_STREAM)
            sock.setblocking(False)
            number = sock.connect_ex(target.address)
            if number not in (0, errno_module.EINPROGRESS):
                raise OSError(number, os.strerror(number))
        except OSError as error:  # also: this host does not know the family
            if sock is not None:
                sock.close()
            self._note(target, error)
            return None
        if number == 0:
            return sock
        self._selector.register(sock, selectors.EVENT_WRITE, target)
        return None

    def _wait(self) -> Optional[socket.socket]:
        """Until an attempt ends, another one is to begin, or the time is over."""
        until_s = self._deadline.left_or_none_s()
        if self._waiting:
            until_s = min(until_s, max(0.0, self._next_at_s - time.monotonic()))
        winner: Optional[socket.socket] = None
        for key, _ in self._selector.select(until_s):
            if winner is not None:
                break  # `close` ends the others
            winner = self._ended(key)
        return winner

    def _ended(self, key: selectors.SelectorKey) -> Optional[socket.socket]:
        sock = cast(socket.socket, key.fileobj)
        self._selector.unregister(sock)
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number == 0:
            return sock
        sock.close()
        self._note(key.data, OSError(number, os.strerror(number)))
        return None

    def _note(self, target: Target, error: OSError) -> None:
        self._failures[target] = error
        self._refused |= isinstance(error, ConnectionRefusedError)

    def _reasons(self) -> Iterator[tuple[str, str]]:
        for target in self._targets:
            error = self._failures.get(target)
            why = late(self._deadline.timeout_s) if error is None else error.strerror
            yield target.text, why or str(error)
