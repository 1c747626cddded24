# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the agent and the slot table keep of hosts, against working all of it out anew."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Optional

from hypothesis import given, settings
from hypothesis import strategies as st

from ha_agent.history.recorder import SCORE_PAUSE_S, Recorder
from ha_agent.observation.collect import PeerList, peers_of
from ha_agent.ports import BrokerLook
from ha_broker.api.snapshot import HostView, Snapshot
from ha_broker.storage.slot_table import SlotTable
from metadata.liveness import Liveness
from metadata.settings.parse import ClusterSettings
from metadata.slot_decoder import SlotDecoder
from metadata.wire import decode_slot, encode_host
from simulation.world import InlineRunner, SimHistory, VirtualClock
from tests.unit.agent_host import HOST
from tests.unit.broker_host import record
from tests.unit.test_host_changes import NOTES, OWN_ID, histories, snapshot
from world.ports.sanlock import LockspaceHost

many = settings(deadline=None, max_examples=150)


def anew(views: tuple[HostView, ...]) -> tuple[HostView, ...]:
    """Equal ones, none of them the same object, nor what they are made of."""
    return copy.deepcopy(views)


@many
@given(histories())
def test_kept_peers_are_what_they_would_be_anew(history: list[tuple[HostView, ...]]) -> None:
    kept = PeerList(OWN_ID)
    before: Optional[tuple[Any, ...]] = None
    for views in history:
        peers = kept.look(snapshot(views))
        assert peers == peers_of(snapshot(anew(views)), OWN_ID)
        if before is not None and peers == before:
            assert peers is before
        before = peers


def test_the_peers_of_a_broker_that_said_nothing_yet_are_none() -> None:
    assert PeerList(OWN_ID).look(None) == ()


STEPS = st.tuples(
    st.sampled_from([0.0, 5.0, SCORE_PAUSE_S]),
    st.sampled_from(["", "", "", "missed", "gone", "failed"]),
)


class Told:
    """A recorder, and what it hands over."""

    def __init__(self, kind: type[Recorder] = Recorder) -> None:
        self.clock = VirtualClock()
        self.runner = InlineRunner(self.clock)
        self.store = SimHistory()
        self.recorder = kind(self.runner, self.store, self.clock, HOST)
        self.peers = PeerList(OWN_ID)

    def look(self, seen: Snapshot, later_s: float, trouble: str) -> None:
        """As the agent does; where `trouble` is "missed", not for the recorder."""
        self.clock.advance(later_s)
        now_s = self.clock.monotonic_s()
        if trouble == "gone":
            self.recorder.look(BrokerLook(seen, now_s, "gone"), ClusterSettings(), now_s)
        if trouble == "failed":
            self.recorder._forget_seen()
        self.peers.look(seen)
        if trouble != "missed":
            look = BrokerLook(seen, now_s)
            self.recorder.look(look, ClusterSettings(), now_s, self.peers.alike)
            self.peers.forget_alike()


class SightsOfAll(Recorder):
    """Makes a sight of each view."""

    def _holds_back(self, was: HostView, view: HostView, now_s: float) -> bool:
        return False


@many
@given(histories(), st.lists(STEPS, min_size=8, max_size=8))
def test_a_history_of_kept_views_is_that_of_views_made_anew(
    history: list[tuple[HostView, ...]], steps: list[tuple[float, str]]
) -> None:
    kept, plain = Told(), Told(SightsOfAll)
    for place, (views, step) in enumerate(zip(history, steps)):
        seen = replace(snapshot(views), sequence=place)
        kept.look(seen, *step)
        plain.look(replace(seen, hosts=anew(views)), *step)
    assert kept.recorder.waiting == plain.recorder.waiting


SLOTS = [
    encode_host(record(host_id, at, notes=notes, score=score))
    for host_id in (2, 3)
    for at in (1000, 1005)
    for notes in NOTES[:3]
    for score in (0, 3400)
]
SLOTS += [bytes(4096), b"garbage".ljust(4096, b"x"), b"2|".ljust(4096, b"1"), b""]
LIVES = st.one_of(st.none(), st.sampled_from(list(Liveness)))


@many
@given(
    st.lists(
        st.tuples(
            st.sampled_from([2, 3]),
            st.sampled_from(range(len(SLOTS))),
            st.sampled_from([0.0, 5.0, 30.0]),
            st.tuples(LIVES, LIVES),
            st.sampled_from(["look", "look", "look", "again", "unreadable"]),
        ),
        max_size=12,
    )
)
def test_a_table_that_is_told_kept_records_shows_what_plain_ones_show(
    steps: list[tuple[int, int, float, tuple[Optional[Liveness], ...], str]],
) -> None:
    """Rewritten with the same bytes, unreadable and readable again, damaged, emptied, silent."""
    decoder, kept, plain = SlotDecoder(), SlotTable(OWN_ID), SlotTable(OWN_ID)
    now_s, latest = 0.0, {2: 0, 3: 0}
    hosts: dict[int, LockspaceHost] = {}
    for host_id, slot, later_s, lives, kind in steps:
        now_s += later_s
        said = {one: life for one, life in zip((2, 3), lives) if life is not None}
        found = {one: LockspaceHost(one, 1, 7, life) for one, life in said.items()}
        hosts = hosts if found == hosts else found
        if kind == "unreadable":
            kept.note_unreadable(host_id, "bad sector")
            plain.note_unreadable(host_id, "bad sector")
        else:
            latest[host_id] = latest[host_id] if kind == "again" else slot
            data = bytes(bytearray(SLOTS[latest[host_id]]))
            kept.note(host_id, decoder.decode(host_id, data), now_s)
            plain.note(host_id, copy.deepcopy(decode_slot(host_id, data)), now_s)
            assert kept.note_readable(host_id) is plain.note_readable(host_id)
        plain._forget_conclusions()
        assert kept.views(hosts, now_s, 20.0) == plain.views(dict(hosts), now_s, 20.0)
        assert kept.torn_ids(hosts) == plain.torn_ids(dict(hosts))
        assert kept.ids_to_read(hosts) == plain.ids_to_read(dict(hosts))


def test_a_slot_that_is_rewritten_with_the_same_bytes_gets_stale() -> None:
    """Equal bytes are no sign of life, however often they are read."""
    decoder, table = SlotDecoder(), SlotTable(OWN_ID)
    hosts = {2: LockspaceHost(2, 1, 7, Liveness.LIVE)}
    first, second = (encode_host(record(2, at)) for at in (1000, 1005))
    table.note(2, decoder.decode(2, first), 0.0)
    table.note(2, decoder.decode(2, second), 5.0)
    for at_s in range(10, 45, 5):
        table.note(2, decoder.decode(2, bytes(bytearray(second))), float(at_s))
        (view,) = [one for one in table.views(hosts, float(at_s), 20.0) if one.host_id == 2]
        assert (view.fresh, view.changed_at_s) == (at_s <= 25, 5.0)
