# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What happened, found by comparing pictures; and who tells it. Stories of a few lines each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ha_broker.api.event import Event, EventKind
from ha_broker.api.snapshot import HostView
from ha_broker.events.cluster_state import (
    ClusterPicture,
    EngineCondition,
    EnginePicture,
    HostPicture,
    Presence,
)
from ha_broker.events.detector import Happening, Hold, WatchMemory, watch
from ha_broker.events.persistence import EventMemory, memory_from_data, memory_to_data
from ha_broker.events.reporter_election import ReporterElection, due_duties, duty_of
from ha_broker.events.text import detail, sentence
from metadata.moved_note import MovedNote

HOLD = Hold(hold_s=30, starting_s=600, alive_s=60)
TICK_S = 5.0

NOTHING = EnginePicture()
DOWN = EnginePicture(EngineCondition.DOWN, absent=True)


def healthy(host_id: int) -> EnginePicture:
    return EnginePicture(EngineCondition.HEALTHY, host_id)


def ill(host_id: int) -> EnginePicture:
    return EnginePicture(EngineCondition.UNHEALTHY, host_id)


def absent(host_id: int) -> EnginePicture:
    """The lease is held there, but no VM runs."""
    return EnginePicture(None, host_id, absent=True)


class Story:
    """One host that watches; `host(2).presence` and so on are what it sees from now on."""

    def __init__(self, own_id: int = 1, hosts: int = 3) -> None:
        self.now_s = 1000.0
        self.memory = WatchMemory()
        self.happenings: list[Happening] = []
        self.picture = ClusterPicture(
            own_id=own_id,
            sees=True,
            engine=healthy(1),
            hosts=tuple(
                HostPicture(
                    host_id,
                    f"h{host_id}",
                    None if host_id == own_id else Presence.ALIVE,
                    maintenance=False,
                    tells=True,
                )
                for host_id in range(1, hosts + 1)
            ),
            views=tuple(HostView(one, changed_at_s=1000.0) for one in range(1, hosts + 1)),
            global_maintenance=False,
            storage_ok=True,
            own_written_s=self.now_s,
        )

    def see(self, **changes: Any) -> None:
        self.picture = replace(self.picture, **changes)

    def host(self, host_id: int, **changes: Any) -> None:
        hosts = [
            replace(host, **changes) if host.host_id == host_id else host
            for host in self.picture.hosts
        ]
        self.see(hosts=tuple(hosts))

    def run(self, seconds: float) -> list[str]:
        """Look each tick; returns what happened, as "kind whom"."""
        before = len(self.happenings)
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.memory, found = watch(self.memory, self.picture, self.now_s, HOLD)
            self.happenings += found
            self.now_s += TICK_S
        events = [item.event for item in self.happenings[before:]]
        return [f"{event.kind.value} {event.host_name}".strip() for event in events]

    def restart(self, away_s: float = 5.0) -> None:
        """The process is a new one; nobody watched for so long."""
        data = memory_to_data(EventMemory(self.memory), self.now_s)
        self.now_s += away_s
        self.memory = memory_from_data(data, self.now_s).watch
        self.see(own_written_s=self.now_s - away_s)

    @property
    def last(self) -> Event:
        return self.happenings[-1].event


@pytest.fixture
def story() -> Story:
    story = Story()
    assert story.run(60) == []
    return story


# --- the engine ----------------------------------------------------------------------------------


def test_what_is_there_at_the_first_look_is_no_event() -> None:
    for engine in (healthy(2), ill(2), DOWN, NOTHING):
        story = Story()
        story.see(engine=engine)
        story.host(3, presence=Presence.LOST)
        assert story.run(1000) == []


def test_taken_over_after_a_power_cut() -> None:
    story = Story(own_id=2)
    story.run(60)
    story.see(engine=NOTHING)
    story.host(1, presence=Presence.LOST)
    assert story.run(100) == ["host-lost h1"]
    story.see(engine=DOWN)
    assert story.run(5) == []
    story.see(engine=ill(2))  # it boots
    assert story.run(90) == []
    story.see(engine=healthy(2))
    assert story.run(60) == ["taken-over h2"]
    # From the last healthy look to the first one.
    assert story.last.outage_s == 200
    assert sentence(story.last) == "the engine has been taken over by h2"
    assert detail(story.last) == "it ran on h1 before; it was not healthy for 3 min 20 s"


def moved_to(story: Story, note: Optional[MovedNote]) -> list[str]:
    story.see(engine=DOWN)
    story.run(5)
    story.host(1, moved=note)
    story.see(engine=healthy(2))
    return story.run(60)


def test_a_move_is_told_as_one_with_what_libvirt_says_of_it(story: Story) -> None:
    assert moved_to(story, MovedNote("h2", 1.6, 0.62, 134217728)) == ["moved h2"]
    assert sentence(story.last) == "the engine has moved alive to h2"
    assert detail(story.last).startswith(
        "it ran on h1 before; the move took 1.6 s; it stood still for 0.62 s; 128 MiB were sent"
    )


def test_what_is_not_known_of_a_move_is_not_told(story: Story) -> None:
    assert moved_to(story, MovedNote("h2")) == ["moved h2"]
    assert detail(story.last).startswith("it ran on h1 before; it was not healthy for")


@pytest.mark.parametrize("note", [None, MovedNote("h3", 1.6)])
def test_what_was_no_move_to_that_host_is_a_take_over(
    story: Story, note: Optional[MovedNote]
) -> None:
    assert moved_to(story, note) == ["taken-over h2"]


def test_an_event_says_since_when_it_has_been_so(story: Story) -> None:
    began_s = story.now_s
    story.host(2, presence=Presence.LOST)
    story.run(60)
    assert story.last.at_s == began_s


def test_a_restart_in_place_is_a_start(story: Story) -> None:
    story.see(engine=absent(1))
    story.run(5)
    story.see(engine=ill(1))
    story.run(20)
    story.see(engine=healthy(1))
    assert story.run(60) == ["started h1"]
    assert story.last.outage_s == 30


def test_a_restart_that_nobody_saw_but_for_the_absent_vm_is_told_once(story: Story) -> None:
    for _ in range(3):
        story.see(engine=absent(1))
        story.run(10)
        story.see(engine=healthy(1))
        story.run(20)
    assert story.run(60) == ["started h1"]


def test_stopped_and_started(story: Story) -> None:
    story.see(engine=DOWN)
    assert story.run(60) == ["stopped h1"]
    story.see(engine=ill(1))
    assert story.run(100) == []
    story.see(engine=healthy(1))
    assert story.run(60) == ["started h1"]


def test_ill_and_healthy_again(story: Story) -> None:
    story.see(engine=ill(1))
    assert story.run(60) == ["unhealthy h1"]
    story.see(engine=healthy(1))
    assert story.run(60) == ["healthy h1"]


def test_an_engine_that_never_gets_healthy_is_told_when_it_should_have(story: Story) -> None:
    story.see(engine=DOWN)
    story.run(10)
    story.see(engine=ill(2))
    assert story.run(HOLD.starting_s) == []
    assert story.run(10) == ["unhealthy h2"]


def test_flapping_is_never_told(story: Story) -> None:
    for number in range(40):
        story.see(engine=ill(1) if number % 2 else healthy(1))
        story.host(2, presence=Presence.LOST if number % 2 else Presence.ALIVE)
        story.see(storage_ok=bool(number % 2), global_maintenance=bool(number % 2))
        assert story.run(25) == []


def test_not_knowing_is_no_event(story: Story) -> None:
    story.see(engine=NOTHING, sees=False, global_maintenance=None, storage_ok=None)
    for host_id in (1, 2, 3):
        story.host(host_id, presence=None, maintenance=None, tells=False)
    assert story.run(5000) == []


# --- hosts, maintenance, storage -----------------------------------------------------------------


def test_lost_and_back(story: Story) -> None:
    story.host(3, presence=Presence.LOST)
    assert story.run(300) == ["host-lost h3"]
    story.host(3, presence=Presence.ALIVE)
    assert story.run(300) == ["host-back h3"]


def test_one_that_left_in_order_is_not_missed(story: Story) -> None:
    story.host(3, presence=Presence.LEFT)
    assert story.run(300) == []
    story.host(3, presence=Presence.ALIVE)
    assert story.run(300) == []


def test_one_that_was_lost_is_missed_until_it_is_back_to_stay(story: Story) -> None:
    story.host(3, presence=Presence.LOST)
    story.run(60)
    story.host(3, presence=Presence.LEFT)
    assert story.run(300) == []
    story.host(3, presence=Presence.ALIVE)
    assert story.run(60) == ["host-back h3"]


def test_one_that_left_in_order_is_never_lost(story: Story) -> None:
    story.host(3, presence=Presence.LEFT)
    story.run(60)
    story.host(3, presence=Presence.LOST)
    assert story.run(300) == []
    story.host(3, presence=Presence.ALIVE)
    assert story.run(60) == []


def test_one_that_is_removed_or_new_is_no_event(story: Story) -> None:
    hosts = story.picture.hosts
    story.see(hosts=hosts[:2])
    assert story.run(300) == []
    story.see(hosts=(*hosts, HostPicture(4, "h4", Presence.ALIVE)))
    assert story.run(300) == []


def test_maintenance_of_the_cluster_and_of_hosts(story: Story) -> None:
    story.see(global_maintenance=True)
    assert story.run(60) == ["maintenance-on"]
    assert sentence(story.last) == "the cluster is in maintenance: the engine is left alone"
    story.host(1, maintenance=True)
    story.host(2, maintenance=True)
    assert story.run(60) == ["maintenance-on h1", "maintenance-on h2"]
    story.host(2, maintenance=False)
    story.see(global_maintenance=False)
    assert story.run(60) == ["maintenance-off h2", "maintenance-off"]


def test_own_storage(story: Story) -> None:
    story.see(storage_ok=False, sees=False, engine=NOTHING)
    assert story.run(60) == ["storage-lost h1"]
    assert story.happenings[-1].own
    story.see(storage_ok=True)
    assert story.run(60) == ["storage-back h1"]


def test_an_engine_that_nobody_looks_after() -> None:
    """An update is no news; services that are forgotten are, and so is their return."""
    story = Story(own_id=2)
    story.see(unattended=0)
    assert story.run(60) == []
    story.see(unattended=1)
    assert story.run(90) == []
    story.see(unattended=0)
    assert story.run(60) == []
    story.see(unattended=1)
    assert story.run(130) == ["unattended h1"]
    assert story.happenings[-1].not_by_id == 1
    story.restart()
    assert story.run(200) == []
    story.see(unattended=0)
    assert story.run(60) == ["attended h1"]


def test_numbers_rise_by_one(story: Story) -> None:
    story.host(2, presence=Presence.LOST)
    story.host(3, presence=Presence.LOST)
    story.run(60)
    story.see(engine=DOWN)
    story.run(60)
    assert [item.event.number for item in story.happenings] == [1, 2, 3]


# --- restarts of this process --------------------------------------------------------------------


def test_a_restart_tells_nothing_again(story: Story) -> None:
    story.see(engine=DOWN, global_maintenance=True)
    story.host(3, presence=Presence.LOST)
    story.host(2, maintenance=True)
    assert len(story.run(60)) == 4
    story.restart()
    story.see(engine=NOTHING)
    story.run(20)
    story.see(engine=DOWN)
    assert story.run(300) == []


def test_what_happened_during_a_short_restart_is_told_as_if_it_was_seen(story: Story) -> None:
    story.restart(away_s=10)
    story.host(2, presence=Presence.LOST)
    assert story.run(60) == ["host-lost h2"]
    assert story.happenings[-1].witnessed


def test_what_happened_during_a_long_absence_others_have_told(story: Story) -> None:
    story.restart(away_s=600)
    story.see(engine=healthy(3))
    story.host(2, presence=Presence.LOST)
    assert story.run(60) == ["taken-over h3", "host-lost h2"]
    assert [item.witnessed for item in story.happenings] == [False, False]
    # What happens from now on is seen.
    story.see(engine=DOWN)
    assert story.run(60) == ["stopped h3"]
    assert story.happenings[-1].witnessed


def test_after_a_dead_storage_nobody_can_rely_on_others_having_seen_it(story: Story) -> None:
    story.see(sees=False, engine=NOTHING)
    story.host(2, presence=None)
    story.run(600)
    story.see(sees=True, engine=healthy(3))
    story.host(2, presence=Presence.LOST)
    story.run(60)
    assert [item.witnessed for item in story.happenings] == [True, True]


def test_a_power_loss_of_all_is_seen_by_who_starts_the_engine(story: Story) -> None:
    story.restart(away_s=600)
    story.see(engine=DOWN)
    story.run(10)
    story.see(engine=healthy(2))
    assert story.run(60) == ["taken-over h2"]
    assert story.happenings[-1].witnessed
    assert story.last.outage_s is None


# --- properties ----------------------------------------------------------------------------------

_engines = st.sampled_from([NOTHING, DOWN, absent(1), *map(healthy, (1, 2)), *map(ill, (1, 2))])
_looks = st.lists(
    st.tuples(
        _engines,
        st.sampled_from([None, *Presence]),
        st.sampled_from([None, True, False]),
        st.integers(1, 20),
        st.booleans(),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(_looks)
def test_no_story_tells_the_same_thing_twice_running(looks: list[Any]) -> None:
    """Lost and back, on and off, stopped and running take turns, whatever happens."""
    story = Story()
    for engine, presence, flag, ticks, restart in looks:
        if restart:
            story.restart()
        story.see(engine=engine, global_maintenance=flag, storage_ok=flag)
        story.host(3, presence=presence)
        story.run(ticks * TICK_S)
    kinds = [item.event.kind.value for item in story.happenings]
    for pair in (
        ("host-lost", "host-back"),
        ("storage-lost", "storage-back"),
        ("maintenance-on", "maintenance-off"),
        ("unattended", "attended"),
    ):
        own = [kind for kind in kinds if kind in pair]
        assert all(one != two for one, two in zip(own, own[1:])), kinds
    runs = [kind for kind in kinds if kind in ("stopped", "started", "taken-over")]
    assert all((one, two) != ("stopped", "stopped") for one, two in zip(runs, runs[1:])), kinds


@settings(max_examples=30, deadline=None)
@given(_looks)
def test_a_restart_at_rest_changes_nothing(looks: list[Any]) -> None:
    """Whatever the past, what was settled stays so over a restart."""
    story = Story()
    for engine, presence, flag, ticks, _ in looks:
        story.see(engine=engine, global_maintenance=flag, storage_ok=flag)
        story.host(3, presence=presence)
        story.run(ticks * TICK_S)
    story.run(700)
    story.restart()
    assert story.run(700) == []


# --- who tells -----------------------------------------------------------------------------------


def picture(own_id: int, *tellers: int, wrote_s: Optional[float] = 0.0) -> ClusterPicture:
    hosts = tuple(
        HostPicture(host_id, f"h{host_id}", tells=host_id in tellers) for host_id in (1, 2, 3)
    )
    views = tuple(HostView(host_id, changed_at_s=wrote_s) for host_id in (1, 2, 3))
    return ClusterPicture(own_id, sees=True, hosts=hosts, views=views)


EVENT = Event(1, EventKind.STARTED, 0.0, 2, "h2")


def before(own_id: int, happening: Happening, *tellers: int) -> tuple[int, ...]:
    return duty_of(replace(happening, tellers=tellers), own_id, 0.0, 10.0, {}).before_me


def test_the_host_it_is_about_comes_first_then_the_lowest_id() -> None:
    about_2 = Happening(EVENT, teller_id=2)
    assert before(2, about_2, 1, 2, 3) == ()
    assert before(1, about_2, 1, 2, 3) == (2,)
    assert before(3, about_2, 1, 2, 3) == (1, 2)
    of_nobody = Happening(EVENT)
    assert [before(own_id, of_nobody, 1, 2, 3) for own_id in (1, 2, 3)] == [(), (1,), (1, 2)]


def test_exactly_one_host_is_first_whoever_reports() -> None:
    for tellers in ((1,), (2,), (1, 3), (2, 3), (1, 2, 3)):
        for first in (None, 1, 2, 3):
            happening = Happening(EVENT, teller_id=first)
            firsts = [own_id for own_id in tellers if not before(own_id, happening, *tellers)]
            assert len(firsts) == 1


def test_who_can_not_know_it_is_not_waited_for() -> None:
    assert before(2, Happening(EVENT, not_by_id=1), 1, 2, 3) == ()


def test_what_only_this_host_knows_it_tells_itself() -> None:
    assert before(3, Happening(EVENT, own=True), 1, 2, 3) == ()


def test_who_was_away_lets_all_others_tell_it() -> None:
    unseen = Happening(EVENT, teller_id=1, witnessed=False)
    assert before(1, unseen, 1, 2, 3) == (2, 3)
    assert before(1, unseen, 1) == ()


def test_who_is_not_taken_for_a_reporter_by_others_comes_last() -> None:
    assert before(1, Happening(EVENT), 2, 3) == (2, 3)


def test_who_came_after_it_is_no_teller_of_it(story: Story) -> None:
    story.run(HOLD.alive_s)
    story.host(3, tells=False)
    story.run(TICK_S)
    story.see(engine=DOWN)
    story.run(10)
    story.host(3, tells=True)
    assert story.run(60) == ["stopped h1"]
    assert story.happenings[-1].tellers == (1, 2)
    story.run(60)
    story.see(engine=healthy(1))
    assert story.run(60) == ["started h1"]
    assert story.happenings[-1].tellers == (1, 2, 3)


def test_but_not_one_that_was_lost_before_the_restart(story: Story) -> None:
    story.host(2, presence=Presence.LOST, tells=False)
    story.run(60)
    story.restart(away_s=5)
    story.run(10)
    story.host(2, presence=Presence.ALIVE, tells=True)
    story.see(engine=DOWN)
    assert story.run(60) == ["stopped h1", "host-back h2"]
    assert [item.tellers for item in story.happenings[-2:]] == [(1, 3), (1, 3)]


def test_where_all_have_just_come_all_count(story: Story) -> None:
    story.run(HOLD.alive_s)
    for host_id in (1, 2, 3):
        story.host(host_id, tells=False)
    story.run(TICK_S)
    for host_id in (2, 3):
        story.host(host_id, tells=True)
    story.see(engine=DOWN)
    assert story.run(60) == ["stopped h1"]
    assert story.happenings[-1].tellers == (2, 3)


def test_who_works_just_after_a_restart_of_this_host_has_worked_before(story: Story) -> None:
    story.restart(away_s=10)
    story.host(2, tells=False)
    story.see(engine=DOWN)
    story.run(10)
    story.host(2, tells=True)
    assert story.run(60) == ["stopped h1"]
    assert story.happenings[-1].tellers == (1, 2, 3)


def test_a_host_in_a_new_life_is_not_relied_on_though_it_was_never_missed() -> None:
    story = Story(own_id=2)
    story.host(1, generation=4)
    story.host(3, presence=Presence.LOST, tells=False)
    story.run(200)
    story.host(3, presence=Presence.ALIVE, tells=True)
    story.run(10)
    story.host(1, generation=5)
    assert story.run(60) == ["host-back h3"]
    assert story.happenings[-1].tellers == (2,)


DUTY = ReporterElection(EVENT, before_me=(1, 2), told_by_s=100.0)


def test_nothing_is_told_while_one_before_may_tell_it() -> None:
    assert due_duties((DUTY,), picture(3, 2, 3)) == ((DUTY,), ())


def test_told_when_all_before_are_gone() -> None:
    assert due_duties((DUTY,), picture(3, 3)) == ((), (EVENT,))


def test_not_told_when_one_before_worked_long_enough_to_have_told_it() -> None:
    assert due_duties((DUTY,), picture(3, 3, wrote_s=100.0)) == ((), ())
    assert due_duties((DUTY,), picture(3, 3, wrote_s=99.0)) == ((), (EVENT,))


def test_a_host_that_is_back_in_a_new_life_has_told_nothing_of_the_one_before() -> None:
    """It lost its power with the event unseen, and was back before the others had noticed."""
    duty = replace(DUTY, before_me=(1,), lives=(4,))
    seen = picture(3, 1, 3, wrote_s=200.0)
    back = [replace(host, generation=5) for host in seen.hosts]
    same = [replace(host, generation=4) for host in back]
    assert due_duties((duty,), replace(seen, hosts=tuple(same))) == ((), ())
    assert due_duties((duty,), replace(seen, hosts=tuple(back))) == ((), (EVENT,))


def test_a_life_that_is_not_known_is_taken_for_the_same() -> None:
    seen = picture(3, 1, 3, wrote_s=200.0)
    for life, now in ((0, 5), (4, 0)):
        duty = replace(DUTY, before_me=(1,), lives=(life,))
        hosts = tuple(replace(host, generation=now) for host in seen.hosts)
        assert due_duties((duty,), replace(seen, hosts=hosts)) == ((), ())


def test_a_host_that_sees_nobody_waits_but_tells_what_is_its_own() -> None:
    blind = replace(picture(3), sees=False)
    own = replace(DUTY, before_me=())
    assert due_duties((DUTY, own), blind) == ((DUTY,), (EVENT,))


# --- what survives -------------------------------------------------------------------------------


def test_duties_survive_with_the_time_that_is_left() -> None:
    duty = replace(DUTY, lives=(4, 7))
    data = memory_to_data(EventMemory(duties=(duty,)), now_s=90.0)
    kept = memory_from_data(data, now_s=5.0)
    assert kept.duties == (replace(duty, told_by_s=15.0),)


# --- two engines --------------------------------------------------------------------------------


def test_two_engines_are_told_once_with_the_way_out() -> None:
    story = Story()
    story.see(two_engines=False)
    assert story.run(60) == []
    story.see(two_engines=True, two_engines_why="h1 and h2 both say so: end one")
    assert story.run(HOLD.hold_s - TICK_S) == []
    assert story.run(2 * TICK_S) == ["two-engines"]
    event = story.happenings[-1].event
    assert sentence(event) == "the engine runs on more than one host"
    assert detail(event) == "h1 and h2 both say so: end one"
    assert story.run(600) == []


def test_a_moment_of_a_migration_is_no_second_engine() -> None:
    story = Story()
    story.see(two_engines=False)
    story.run(60)
    story.see(two_engines=True)
    story.run(2 * TICK_S)
    story.see(two_engines=False)
    assert story.run(600) == []
