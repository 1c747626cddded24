# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a tick costs follows what changed: counted in calls, never in time.

One host's two daemons with what is between them, in virtual time, in clusters of several sizes.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections import Counter
from typing import Any, Callable

import pytest

from ha_agent.history import sightings
from ha_agent.observation import collect
from ha_broker.api import host_news, json_codec
from ha_broker.api.snapshot import HostView
from ha_broker.cycle import host_changes
from ha_broker.events import cluster_state
from ha_broker.storage import slot_reader, slot_table
from metadata import slot_decoder
from tests.bench.scale_world import TICK_S, CountingStore, scale_host
from tests.contract.places import direct_io_directory

SIZES = (3, 40, 150)
# Once for each host that is looked at closely.
OF_A_HOST = (
    "decoded", "rewritten", "noted", "viewed", "compared", "pictured",
    "told", "read from an answer", "made a peer", "seen for the history",
)  # fmt: skip


class Calls:
    """How often each thing was done, in all threads."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._counts: Counter[str] = Counter()
        self._patch = patch
        self._count("decoded", slot_decoder, "decode_slot")
        self._count("rewritten", slot_decoder, "_rewritten")
        self._count("noted", slot_reader.SlotReader, "_note")
        self._count("viewed", slot_table.SlotTable, "_view")
        self._count("compared", host_changes, "says_the_same")
        self._count("pictured", cluster_state, "_host")
        self._count("told", json_codec, "_fields_to_data", lambda _, value, *__: _is_host(value))
        self._count("read from an answer", host_news, "snapshot_from_data", _hosts_in)
        self._count("made a peer", collect, "_peer")
        self._count("seen for the history", sightings, "other_host")
        self._count("texts of JSON", json, "dumps")
        self._count("reads of the storage", CountingStore, "read")

    def _count(
        self, name: str, place: Any, call: str, count: Callable[..., int] = lambda *_: 1
    ) -> None:
        real = getattr(place, call)

        @functools.wraps(real)
        def counted(*arguments: Any, **named: Any) -> Any:
            found = real(*arguments, **named)
            self._counts[name] += count(found, *arguments)
            return found

        self._patch.setattr(place, call, counted)

    def of(self, work: Callable[[], None]) -> Counter[str]:
        """How often while `work` was done; what did not happen is not there."""
        self._counts.clear()
        work()
        return +self._counts


def _is_host(value: object) -> bool:
    return isinstance(value, HostView)


def _hosts_in(snapshot: Any, *_data: object) -> int:
    return len(snapshot.hosts)


def counted(hosts: int, written: int) -> Counter[str]:
    """In two ticks, before which so many of the other hosts have written their record.

    Two, for the broker draws its picture for events at the beginning of the next tick.
    """
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        directory = stack.enter_context(direct_io_directory())
        host = stack.enter_context(scale_host(directory / "world", hosts))
        host.run(TICK_S)
        calls = Calls(patch)

        def tick() -> None:
            if written:
                host.volume.write_some(range(2, 2 + written), int(host.clock.monotonic_s()))
            host.run(2 * TICK_S)

        return calls.of(tick)


@pytest.fixture(scope="module")
def quiet() -> dict[int, Counter[str]]:
    """The calls of two ticks in which no other host writes, by the number of hosts."""
    return {hosts: counted(hosts, 0) for hosts in SIZES}


def test_a_quiet_tick_costs_the_same_with_any_number_of_hosts(
    quiet: dict[int, Counter[str]],
) -> None:
    counts = [dict(quiet[hosts]) for hosts in SIZES]
    # Among many slots the gap that our own leaves is read over.
    reads = [one.pop("reads of the storage") for one in counts]
    assert reads[0] == reads[1] >= reads[2]
    assert counts[0] == counts[1] == counts[2]


def test_a_quiet_tick_looks_closely_at_this_host_alone(quiet: dict[int, Counter[str]]) -> None:
    for name in OF_A_HOST:
        assert quiet[SIZES[-1]][name] <= 4, quiet[SIZES[-1]]
    assert quiet[SIZES[-1]]["texts of JSON"] <= 4
    assert quiet[SIZES[-1]]["reads of the storage"] <= 10


@pytest.mark.parametrize("written", [1, 7])
def test_each_host_that_writes_its_time_costs_once(
    quiet: dict[int, Counter[str]], written: int
) -> None:
    """And nothing at all of the agent, nor between the two."""
    found = counted(SIZES[-1], written)
    more = found - quiet[SIZES[-1]]
    of_the_broker = ("rewritten", "noted", "viewed", "compared")
    assert {name: more[name] for name in of_the_broker} == dict.fromkeys(of_the_broker, written)
    assert set(more) == set(of_the_broker), more
