"""What parts of the broker keep of the views they saw last is what they would work out anew."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Optional

from hypothesis import given
from hypothesis import strategies as st

from ha_broker.api.snapshot import HostView, LeaseState, LeaseView
from ha_broker.cycle.part import BrokerPorts, ChangeLog, Settings
from ha_broker.lockspace.lease_reader import LeaseReader
from ha_broker.lockspace.membership import MembershipWatch
from ha_broker.monitors.witness import Witness
from ha_broker.significant_changes import Significance, matters
from metadata.host_notes import BOOT, FIRE_TIMEOUT, HARDWARE, MACHINE, identity_in
from tests.unit.broker_host import ALIVE_S, CONFIG, Cluster, Host, record
from world.ports.sanlock import Liveness

IDS = (1, 2, 3, 4, 5)

RECORDS = st.builds(
    lambda score, stopped, fire_s, boot: record(
        2,
        score=score,
        stopped=stopped,
        notes=(
            (MACHINE, "m"),
            (HARDWARE, "h"),
            (BOOT, boot),
            *(((FIRE_TIMEOUT, fire_s),) if fire_s else ()),
        ),
    ),
    st.sampled_from([3400, 2400, 0]),
    st.sampled_from([False, False, True]),
    st.sampled_from(["", "60", "30"]),
    st.sampled_from(["first", "second"]),
)


def view_of(host_id: int) -> st.SearchStrategy[HostView]:
    """Mostly one that counts: most conclusions are of those alone."""
    return st.builds(
        HostView,
        host_id=st.just(host_id),
        liveness=st.sampled_from([Liveness.LIVE, Liveness.LIVE, Liveness.FAIL]),
        record=st.one_of(RECORDS, RECORDS, st.none()),
        fresh=st.sampled_from([True, True, False]),
        changed_at_s=st.none() | st.just(0.0),
    )


ALL_VIEWS = st.tuples(*map(view_of, IDS))
# None: the very same tuple as before, as most cycles have it.
STORIES = st.lists(st.none() | ALL_VIEWS, min_size=1, max_size=6)


def tuples(story: list[Optional[tuple[HostView, ...]]]) -> list[tuple[HostView, ...]]:
    seen: list[tuple[HostView, ...]] = []
    for views in story:
        seen.append(views if views is not None else seen[-1] if seen else ())
    return seen


def host() -> Host:
    """The last in any line, so that its place there depends on the others."""
    with tempfile.TemporaryDirectory() as directory:
        return Cluster().host(IDS[-1], Path(directory))


HOST = host()
SNAPSHOT = HOST.snapshot


def world() -> BrokerPorts:
    return HOST.ports


def known() -> Settings:
    found = Settings(HOST.settings)
    found.use(CONFIG)
    return found


@given(STORIES, st.sampled_from(IDS))
def test_what_matters(story: list[Optional[tuple[HostView, ...]]], own_id: int) -> None:
    kept = Significance()
    for views in tuples(story):
        snapshot = replace(SNAPSHOT, hosts=views, host_id=own_id)
        assert kept.matters(snapshot) == matters(snapshot)


@given(STORIES, st.data())
def test_whose_watchdog_time_differs(
    story: list[Optional[tuple[HostView, ...]]], data: st.DataObject
) -> None:
    kept = MembershipWatch(world(), known(), ChangeLog())
    for views in tuples(story):
        now_s = data.draw(st.sampled_from([1.0, ALIVE_S + 2.0]))
        own_s = data.draw(st.sampled_from([None, 30, 60]))
        anew = MembershipWatch(world(), known(), ChangeLog())
        for watch in (kept, anew):
            watch.fire_timeout_s = own_s
            watch.note_peers(views, now_s)
        assert kept.fire_why == anew.fire_why


@given(STORIES, st.data())
def test_who_looks_at_the_page(
    story: list[Optional[tuple[HostView, ...]]], data: st.DataObject
) -> None:
    kept = Witness(world(), known())
    for views in tuples(story):
        lease = LeaseView(LeaseState.HELD, data.draw(st.sampled_from(IDS)))
        anew = Witness(world(), known())
        for witness in (kept, anew):
            witness.consider(lease, True, views)
        assert kept.view(1.0) == anew.view(1.0)


def test_another_owner_moves_the_line() -> None:
    """Of the very same views: with host 1 as the owner three others come before host 5."""
    views = tuple(HostView(one, Liveness.LIVE, 1, record(one), fresh=True) for one in IDS[1:])
    witness = Witness(world(), known())
    looks = []
    for owner_id in (1, 2, 1):
        witness.consider(LeaseView(LeaseState.HELD, owner_id), True, views)
        looks.append(witness.view(1.0) is not None)
    assert looks == [False, True, False]


@given(STORIES)
def test_which_machines_wrote(story: list[Optional[tuple[HostView, ...]]]) -> None:
    """All records here are of one machine, so a host has rebooted if its boot is another one."""
    kept = LeaseReader(
        world(), known(), MembershipWatch(world(), known(), ChangeLog()), ChangeLog()
    )
    boots: dict[int, list[str]] = {one: [] for one in IDS}
    for views in tuples(story):
        kept.note_records(views)
        for view in views:
            boots[view.host_id] += [identity_in(view.record).boot] if view.record else []
        for one, seen in boots.items():
            assert kept.has_rebooted(one) == bool(seen and seen[0] != seen[-1])
