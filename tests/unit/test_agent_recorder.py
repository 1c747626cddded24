# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What an agent records of itself and of what it sees, by the real core in virtual time."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from ha_agent.history.entry import (
    AgentStarted,
    Alive,
    BrokerLost,
    ClusterSight,
    Entry,
    HostSight,
    Lost,
    Transition,
)
from ha_agent.history.recorder import ALIVE_S, KEY, MOST_WAITING, RETRY_S, SCORE_PAUSE_S
from ha_broker.api.snapshot import HostView, LeaseState, LeaseView
from hosted_engine.history.timeline import Past, past_of
from hosted_engine.history.wall_times import timed
from metadata.liveness import Liveness
from simulation.world.clock import CallHangs
from tests.unit.agent_host import TICK_S, UP, AgentHost, host_view, network
from world.ports.libvirt import Ending

Fact = TypeVar("Fact")


@pytest.fixture
def host() -> AgentHost:
    return AgentHost()


@pytest.fixture
def running(host: AgentHost) -> AgentHost:
    host.bring_engine_up()
    host.run_for(2 * TICK_S)
    return host


def facts(host: AgentHost, kind: type[Fact]) -> list[Fact]:
    return [entry.fact for entry in host.history.entries if isinstance(entry.fact, kind)]


def sights(host: AgentHost, host_id: int) -> list[HostSight]:
    return [one for one in facts(host, HostSight) if one.host_id == host_id]


def show(host: AgentHost, **override: Any) -> None:
    """A snapshot with news, as a broker numbers them."""
    sequence = host.broker.override.get("sequence", 1) + 1
    host.broker.override = {**host.broker.override, **override, "sequence": sequence}


# --- this host --------------------------------------------------------------------------


def test_it_begins_with_its_name(host: AgentHost) -> None:
    host.settle()
    assert host.history.entries[0].fact == AgentStarted(1, "h1")


def test_each_change_of_state_has_its_reason_and_how_long_the_one_before_lasted(
    running: AgentHost,
) -> None:
    changes = facts(running, Transition)
    told = running.last_published().transitions
    assert [(one.before, one.after, one.why) for one in changes] == [
        (one.before, one.after, one.why) for one in told
    ]
    for (before, after), change in zip(zip(told, told[1:]), changes[1:]):
        assert change.lasted_s == pytest.approx(after.at_s - before.at_s, abs=0.001)
    assert changes[-1].score == 3400


def test_the_score_of_a_change_has_its_penalties(running: AgentHost) -> None:
    show(running, monitors=(network(0.5, running.clock.monotonic_s()),))
    running.vm.end(Ending.CRASHED)
    running.run_for(1)
    (cost,) = facts(running, Transition)[-1].penalties
    assert (cost.name, cost.points) == ("network", 800)
    assert cost.reason


def test_the_engine_on_this_host_is_seen(running: AgentHost) -> None:
    latest = sights(running, 1)[-1]
    assert (latest.name, latest.state, latest.score) == ("h1", "EngineUp", 3400)
    assert (latest.vm, latest.health, latest.live) == ("up", "good", True)


def test_local_maintenance_of_this_host_is_seen(host: AgentHost) -> None:
    host.another_host_takes_the_lease()
    host.run_for(2 * TICK_S)
    show(host, local_maintenance=True)
    host.run_for(2 * TICK_S)
    assert [one.maintenance for one in sights(host, 1)][-1] is True


# --- the others -------------------------------------------------------------------------


def test_another_host_is_seen_once_as_long_as_it_stays_the_same(running: AgentHost) -> None:
    for _ in range(5):
        show(running, hosts=(host_view(1), host_view(2)))
        running.run_for(TICK_S)
    (seen,) = sights(running, 2)
    assert (seen.name, seen.state, seen.score, seen.live) == ("h2", "EngineDown", 3400, True)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"record": {"state": "EngineUp", "engine_status": UP}}, {"state": "EngineUp"}),
        ({"record": {"maintenance": True}}, {"maintenance": True}),
        ({"record": {"stopped": True}}, {"stopped": True}),
        ({"fresh": False}, {"live": False}),
        ({"liveness": Liveness.DEAD}, {"live": False, "liveness": "dead"}),
        ({"record": {"notes": (("why", "so"),), "maintenance": True}}, {"why": "so"}),
    ],
)
def test_what_changes_with_another_host_is_recorded(
    running: AgentHost, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    show(running, hosts=(host_view(1), host_view(2)))
    running.run_for(TICK_S)
    show(running, hosts=(host_view(1), host_view(2, **fields)))
    running.run_for(1)
    seen = sights(running, 2)
    assert len(seen) == 2
    assert {key: getattr(seen[-1], key) for key in expected} == expected


def test_a_score_alone_is_recorded_at_most_once_in_a_while(running: AgentHost) -> None:
    show(running, hosts=(host_view(1), host_view(2)))
    running.run_for(TICK_S)
    for score in range(3399, 3389, -1):
        show(running, hosts=(host_view(1), host_view(2, score)))
        running.run_for(1)
    assert [one.score for one in sights(running, 2)] == [3400]
    running.run_for(SCORE_PAUSE_S)
    assert [one.score for one in sights(running, 2)] == [3400, 3390]


def test_a_score_that_is_back_before_it_was_recorded_is_nothing(running: AgentHost) -> None:
    for score in (3400, 3000, 3400):
        show(running, hosts=(host_view(1), host_view(2, score)))
        running.run_for(TICK_S)
    running.run_for(2 * SCORE_PAUSE_S)
    assert [one.score for one in sights(running, 2)] == [3400]


def test_a_host_whose_slot_was_emptied_is_not_live_any_more(running: AgentHost) -> None:
    show(running, hosts=(host_view(1), host_view(2)))
    running.run_for(TICK_S)
    show(running, hosts=(host_view(1),))
    running.run_for(TICK_S)
    latest = sights(running, 2)[-1]
    assert (latest.name, latest.state, latest.live) == ("h2", "", False)


def test_the_leases_owner_and_global_maintenance_are_recorded(running: AgentHost) -> None:
    show(running, lease=LeaseView(LeaseState.HELD, 2), global_maintenance=True)
    running.run_for(1)
    latest = facts(running, ClusterSight)[-1]
    assert latest == ClusterSight("held", 2, True, "HostedEngine")


def test_an_owner_that_is_dead_holds_nothing(running: AgentHost) -> None:
    show(running, lease=LeaseView(LeaseState.FREE, 2))
    running.run_for(1)
    assert facts(running, ClusterSight)[-1].owner_id is None


def test_after_a_time_without_the_broker_the_others_are_seen_anew(running: AgentHost) -> None:
    show(running, hosts=(host_view(1), host_view(2)))
    running.run_for(TICK_S)
    running.broker.gone = True
    running.run_for(TICK_S)
    assert facts(running, BrokerLost) == [BrokerLost("there is no broker")]
    before = len(running.history.entries)
    running.broker.gone = False
    running.run_for(TICK_S)
    new = [type(entry.fact) for entry in running.history.entries[before:]]
    assert sorted(kind.__name__ for kind in new) == ["ClusterSight", "HostSight"]


# --- time -------------------------------------------------------------------------------


def test_nothing_new_costs_a_sign_of_life_a_minute(running: AgentHost) -> None:
    running.run_for(2 * SCORE_PAUSE_S)
    before = len(running.history.entries)
    running.run_for(10 * ALIVE_S)
    new = running.history.entries[before:]
    assert [type(entry.fact) for entry in new] == [Alive] * 10


def test_both_clocks_stand_in_each_entry(running: AgentHost) -> None:
    running.clock.shift_wall(-3600)
    running.run_for(2 * ALIVE_S)
    first, last = running.history.entries[0], running.history.entries[-1]
    passed_s = last.mono_s - first.mono_s
    assert last.wall_s - first.wall_s == pytest.approx(passed_s - 3600)


# --- the disk ---------------------------------------------------------------------------


def test_a_full_disk_is_told_once_and_costs_nothing_once_there_is_room(
    running: AgentHost, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ha_agent")
    running.history.full = True
    before, tried = len(running.history.entries), running.runner.submitted.count(KEY)
    running.vm.end(Ending.CRASHED)
    running.run_for(3 * RETRY_S)
    attempts = running.runner.submitted.count(KEY) - tried
    assert len(running.history.entries) == before
    changes = [(one.before, one.after) for one in running.last_published().transitions]
    running.history.full = False
    running.run_for(RETRY_S + 1)
    kept = [(one.before, one.after) for one in facts(running, Transition)]
    assert kept[-len(changes) :] == changes
    assert attempts <= 4
    lines = [record.message for record in caplog.records if "history" in record.message]
    assert lines == [
        "can't write the history: No space left on device",
        "can write the history again, after it failed 3 times",
    ]


def test_a_hanging_disk_hinders_nothing_and_fills_no_memory(running: AgentHost) -> None:
    running.history.hangs = True
    for score in range(MOST_WAITING + 10):
        show(running, hosts=(host_view(1), host_view(2, score, fresh=bool(score % 2))))
        running.run_for(1)
    running.vm.end(Ending.CRASHED)
    running.run_until(lambda: running.state.value == "EngineUp")
    assert len(running.agent._recorder.waiting) == MOST_WAITING
    running.history.hangs = False
    running.run_for(RETRY_S)
    (lost,) = facts(running, Lost)
    assert lost.count > 0
    assert facts(running, Transition)[-1].after == "EngineUp"


def crowd(count: int, **fields: Any) -> tuple[HostView, ...]:
    return tuple(host_view(host_id, **fields) for host_id in range(1, count + 1))


def told_of(host: AgentHost) -> Past:
    return past_of(timed(host.history.entries))


@pytest.mark.parametrize("count", [499, 501, 2000])
def test_the_first_sight_of_all_hosts_is_kept_whole(count: int) -> None:
    host = AgentHost()
    show(host, hosts=crowd(count))
    host.settle()
    assert facts(host, Lost) == []
    assert host.history.entries[0].fact == AgentStarted(1, "h1")
    assert len(facts(host, ClusterSight)) == 1
    others = sorted(one.host_id for one in facts(host, HostSight) if one.host_id != 1)
    assert others == list(range(2, count + 1))
    assert (told_of(host).own_name, len(told_of(host).hosts)) == ("h1", count)


def test_news_of_all_hosts_at_once_are_kept_whole_though_the_disk_refused_the_first() -> None:
    """Nothing of a crowd is lost when the storage of all hosts goes within one minute."""
    host = AgentHost()
    host.history.full = True
    show(host, hosts=crowd(2000))
    host.run_for(TICK_S)
    show(host, hosts=crowd(2000, fresh=False))
    host.run_for(TICK_S)
    host.history.full = False
    host.run_for(RETRY_S + 1)
    assert facts(host, Lost) == []
    others = [one for one in facts(host, HostSight) if one.host_id != 1]
    assert [one.live for one in others] == [True] * 1999 + [False] * 1999


@pytest.mark.parametrize("trouble", ["hangs", "full"])
@pytest.mark.parametrize("count", [2, 3, 501])
def test_what_was_lost_is_seen_anew_once_the_disk_works(count: int, trouble: str) -> None:
    """Whose entries they are is known, how many were lost, and how each host is by now."""
    host = AgentHost()
    setattr(host.history, trouble, True)
    show(host, hosts=crowd(count))
    host.run_for(1)
    for turn in range(2 * (MOST_WAITING // count + 4)):
        show(host, hosts=crowd(count, fresh=bool(turn % 2)))
        host.run_for(1)
    assert len(host.agent._recorder.waiting) <= max(MOST_WAITING, 2 * count + 100)
    setattr(host.history, trouble, False)
    host.run_for(2 * RETRY_S)
    assert host.history.entries[0].fact == AgentStarted(1, "h1")
    # Each is written, or one of those that were lost; each host is there once more at the end.
    assert sum(one.count for one in facts(host, Lost)) > 0
    seen = told_of(host)
    assert seen.own_name == "h1"
    assert [one.host_id for one in seen.hosts] == list(range(1, count + 1))
    assert {one.states[-1].value for one in seen.hosts[1:]} == {"EngineDown"}
    assert isinstance(facts(host, ClusterSight)[-1], ClusterSight)
    assert host.agent._recorder.waiting == []


def test_the_count_of_what_was_lost_is_never_lost_itself(running: AgentHost) -> None:
    """Each change is either written or counted, though the disk refuses again and again."""
    seen_before = len(sights(running, 2))
    running.history.full = True
    turns = 2 * MOST_WAITING
    for turn in range(turns):
        show(running, hosts=(host_view(1), host_view(2, fresh=bool(turn % 2))))
        running.run_for(1)
    own = [entry for entry in running.agent._recorder.waiting if not isinstance(entry.fact, Lost)]
    changes = [one for one in own if isinstance(one.fact, HostSight) and one.fact.host_id == 2]
    running.history.full = False
    running.run_for(2 * RETRY_S)
    lost = sum(one.count for one in facts(running, Lost))
    # One more is how the host is seen anew.
    assert len(sights(running, 2)) - seen_before == len(changes) + 1
    assert lost >= turns - len(changes)


def test_what_this_agent_wrote_itself_is_nothing_of_an_earlier_one(running: AgentHost) -> None:
    """As when the disk took the first entries and failed all the same."""
    told = running.last_published().transitions
    running.agent._history.remember(running.history.entries)
    assert running.agent._history.transitions == told


def test_without_a_store_nothing_is_kept_nor_tried(host: AgentHost) -> None:
    ports = replace(host.agent._ports, history=None)
    host.agent = type(host.agent)(ports, host.agent._host)
    host.bring_engine_up()
    assert KEY not in host.runner.submitted
    assert host.agent._recorder.waiting == []


def test_the_store_hangs_as_a_job_does() -> None:
    host = AgentHost()
    host.history.hangs = True
    with pytest.raises(CallHangs):
        host.history.append([Entry(1.0, 1.0, Alive())])
    host.settle()
    assert host.history.entries == []
