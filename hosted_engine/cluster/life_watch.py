# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Looking at the storage for a while, to see who lives.

A living host writes two things again and again: its place in sanlock's lockspace every
2 x io_timeout, and its record every tick (`metadata.settings.timing` says how long a look must
last). All commands look in the same way, and compare with their first look. What counts as life
is each one's own, for what a mistake would cost differs:

=========================== ===================================================================
`--deploy`                  a place in use that changed and still is in use: who has left in
                            order meanwhile is in nobody's way
`--reinitialize-lockspace`  any change of a place, leaving too; and any record that is not the
                            one before
`--clean-metadata`          any change of the place or of the slot, whatever stands there then
`--vm-status --metadata`    a record with another time stamp: it is only shown, as live or not
=========================== ===================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Callable, TypeVar

if TYPE_CHECKING:  # what only reads a volume stays light
    from world.ports.jobs import Clock

T = TypeVar("T")

Sleep = Callable[[float], None]


def looks(clock: Clock, sleep: Sleep, wait_s: float, every_s: float) -> Iterator[None]:
    """Time for another look, after every `every_s`; the last one ends when `wait_s` are over."""
    end_s = clock.monotonic_s() + wait_s
    while (left_s := end_s - clock.monotonic_s()) > 0:
        sleep(min(every_s, left_s))
        yield


def changed_in_use(before: Mapping[int, T], now: Mapping[int, T]) -> list[int]:
    """The host ids that are in use in both looks, with something else in their places."""
    return [host_id for host_id in before if host_id in now and now[host_id] != before[host_id]]
