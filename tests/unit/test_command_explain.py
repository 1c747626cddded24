# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""--explain: a sentence for everything that can be, and none that is not so."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from fsm.table import TABLE
from ha_agent.observation import collect
from ha_broker.api.client import BrokerDeniedError
from ha_broker.api.snapshot import (
    ConfigView,
    EngineView,
    HostView,
    LeaseState,
    LeaseView,
    LockspaceView,
    MovePhase,
    MoveReport,
    Publication,
    Snapshot,
    StorageView,
    TransitionView,
)
from ha_broker.api.snapshot_json import snapshot_to_data
from ha_broker.server.http_server import ApiServer
from ha_broker.server.mailbox import Refusal
from hosted_engine.cli.paragraphs import WIDTH
from hosted_engine.cli.wording import listed, span
from hosted_engine.cluster.facts import Cluster, HostLife
from hosted_engine.cluster.other_clock import OtherClock
from hosted_engine.explain.advice import NOTHING
from hosted_engine.explain.command import place_text, without_broker_json, without_broker_text
from hosted_engine.explain.engine_sentences import HELD, WAITING
from hosted_engine.explain.host_sentences import _BLOCKED, _BY_ITSELF, _BY_MORE
from hosted_engine.explain.text import Explanation, explain, explanation_json
from hosted_engine.explain.text import explanation_text as text_of
from hosted_engine.main import main
from metadata.liveness import Liveness
from metadata.penalties import Penalty
from metadata.records import (
    PAUSED,
    STRANDED,
    EngineStatus,
    EngineVm,
    Health,
    HostRecord,
    VolumeAddress,
)
from metadata.settings.parse import ClusterSettings, EngineSettings, cluster_settings_to_data
from metadata.states import State
from metadata.takes_note import TakesNote, encode_takes
from world.ports.libvirt import DomainState
from world.ports.sanlock import Membership

NOW_S = 1000.0
WALL_S = 1_700_000_000.0
HERE = EngineStatus(EngineVm.UP, Health.GOOD, "Up")
NOT_HERE = EngineStatus(EngineVm.DOWN, Health.BAD, "unknown", "vm not running on this host")
SETTINGS = ClusterSettings(engine=EngineSettings(fqdn="engine.example.org"))


def ctime(at_s: float) -> str:
    return time.ctime(WALL_S + at_s - NOW_S)


def other(host_id: int = 2, *, age_s: float = 2.0, **fields: Any) -> HostView:
    """A living host's view; `fields` go to the view or to its record."""
    views = {key: fields.pop(key) for key in ("liveness", "fresh", "error") if key in fields}
    values: dict[str, Any] = {
        "timestamp_s": 10,
        "score": 3400,
        "engine_status": NOT_HERE,
        "hostname": f"h{host_id}",
        "state": "EngineDown",
        "wall_time": ctime(NOW_S - age_s),
        "notes": (("why", "the engine's lease is held by h1"),),
        **fields,
    }
    record = HostRecord(host_id, **values)
    view = HostView(host_id, Liveness.LIVE, 1, record, "", True, NOW_S - age_s)
    return replace(view, **views)


def agent(state: State = State.ENGINE_DOWN, **fields: Any) -> Publication:
    values: dict[str, Any] = {
        "score": 3400,
        "engine_status": NOT_HERE,
        "why": "the engine's lease is held by h2",
        "in_state_since_s": 900.0,
        "life_at_s": 500.0,
        **fields,
    }
    return Publication(state=state.value, **values)


def snapshot(*others: HostView, **fields: Any) -> Snapshot:
    values: dict[str, Any] = {
        "storage": StorageView(last_read_at_s=999.0, last_write_at_s=999.0),
        "lockspace": LockspaceView(Membership.JOINED),
        "lease": LeaseView(LeaseState.FREE, None, 999.0, "the lease has no owner"),
        "engine": EngineView(DomainState.ABSENT),
        "config": ConfigView(1),
        "hosts": (HostView(1, Liveness.LIVE), *others),
        "global_maintenance": False,
        "agent_published_at_s": 999.0,
        "agent": agent(),
        "started_at_s": 500.0,
        **fields,
    }
    return Snapshot(1, NOW_S, 1, "h1", **values)


def held(owner_id: int) -> LeaseView:
    return LeaseView(LeaseState.HELD, owner_id, 999.0, f"host {owner_id} owns it and is live")


def cluster(given: Snapshot) -> Cluster:
    return Cluster(given, SETTINGS, NOW_S, WALL_S)


def explained(*others: HostView, **fields: Any) -> Explanation:
    found = explain(cluster(snapshot(*others, **fields)))
    check(found)
    return found


# What must never reach people: names of this program's own values, holes, leftovers.
_INNER = re.compile(r"\bNone\b|State\.|Life\.|Liveness\.|Health\.|Membership\.|[{}]|\.\.|: *\.")


# What stands on the storage may be anything.
_QUOTED = re.compile(r"(?:b?(['\"]).*\1|bytes \(hex [0-9a-f ]+ \.\.\.\)) is refused")


def check(found: Explanation) -> None:
    """Every sentence is one, nothing inner shows, no line is too wide, and the JSON is valid."""
    hosts = [text for _host, sentences in found.hosts for text in sentences]
    for text in (*found.engine, *hosts):
        assert re.fullmatch(r"[A-Za-z(-].*[.)]", text), text
        assert not _INNER.search(_QUOTED.sub("", text)), text
    assert all(found.advice)
    assert all(sentences for _host, sentences in found.hosts)
    printed = text_of(found)
    assert printed.isascii()
    assert all(len(line) <= WIDTH for line in printed.splitlines())
    document = json.loads(explanation_json(found))
    assert document["engine"]["sentences"]
    assert len(document["hosts"]) == len(found.hosts)


def engine(found: Explanation) -> str:
    return " ".join(found.engine)


def of_host(found: Explanation, name: str) -> str:
    (sentences,) = [texts for host, texts in found.hosts if host.name == name]
    return " ".join(sentences)


def advice(found: Explanation) -> str:
    return " ".join(found.advice).replace("\u00a0", " ")


# --- every state ----------------------------------------------------------------------------


def test_every_state_has_its_sentence() -> None:
    assert {*_BY_ITSELF, *_BY_MORE} == set(State)
    assert not set(_BY_ITSELF) & set(_BY_MORE)


@pytest.mark.parametrize("state", State)
def test_this_host_in_every_state(state: State) -> None:
    told = [
        of_host(explained(agent=agent(state, timeout_at_s=ends_s)), "h1")
        for ends_s in (None, 1240.0)
    ]
    assert all(told)
    waits = (
        State.ENGINE_START,
        State.ENGINE_STARTING,
        State.ENGINE_UP_BAD_HEALTH,
        State.ENGINE_STOP,
        State.ENGINE_MAYBE_AWAY,
        State.ENGINE_UNEXPECTEDLY_DOWN,
        State.ENGINE_MIGRATING_AWAY,
    )
    assert ("4 min" in told[1]) == (state in waits)


@pytest.mark.parametrize("state", State)
def test_another_host_in_every_state(state: State) -> None:
    for status in (HERE, NOT_HERE, EngineStatus()):
        for lease in (held(1), held(2), held(9), LeaseView(), snapshot().lease):
            explained(other(state=state.value, engine_status=status), lease=lease)


@pytest.mark.parametrize("state", State)
def test_the_engine_of_this_host_in_every_state(state: State) -> None:
    for domain in DomainState:
        for health in Health:
            view = EngineView(domain, health, "timed out", 999.0)
            found = explained(other(), agent=agent(state), engine=view, lease=held(1))
            assert engine(found)


def test_a_record_without_a_state_is_said_to_have_none() -> None:
    told = of_host(explained(other(state="")), "h2")
    assert "names no state of its agent" in told
    assert "''" not in told


def test_what_stood_last_in_an_undecided_hosts_record_is_told() -> None:
    asked = {"fresh": False, "liveness": Liveness.UNKNOWN}
    early = replace(other(engine_status=HERE, **asked), changed_at_s=None, undecided=True)
    told = of_host(explained(early), "h2")
    assert "When it wrote last, the engine's VM ran there and was healthy." in told
    early = replace(other(**asked), changed_at_s=None, undecided=True)
    assert "wrote last" not in of_host(explained(early), "h2")


def test_a_state_that_this_version_does_not_know_is_named() -> None:
    assert "'EngineAsleep'" in of_host(explained(other(state="EngineAsleep")), "h2")


# --- all that can be wrong with another host ---------------------------------------------------


OTHERS: dict[str, tuple[HostView, HostLife, str]] = {
    "speaks": (other(), HostLife.SPEAKS, "It waits"),
    "late": (other(age_s=30.0), HostLife.QUIET, "That was 30 s ago"),
    "silent, alive": (other(age_s=90.0, fresh=False), HostLife.SILENT, "agent or its broker"),
    "silent, unknown": (
        other(age_s=90.0, fresh=False, liveness=Liveness.UNKNOWN),
        HostLife.SILENT,
        "sanlock does not see it either",
    ),
    "not decided yet": (
        replace(other(fresh=False, liveness=Liveness.UNKNOWN), changed_at_s=None, undecided=True),
        HostLife.SILENT,
        "Whether it lives is not decided yet",
    ),
    "failing": (other(liveness=Liveness.FAIL), HostLife.FAILING, "within 60 s it counts as dead"),
    "dead": (other(liveness=Liveness.DEAD), HostLife.DEAD, "no sign of life for 140 s"),
    "left": (
        other(liveness=Liveness.FREE, stopped=True, fresh=False),
        HostLife.LEFT,
        "left in good order",
    ),
    "stopped": (
        other(stopped=True, age_s=30.0),
        HostLife.STOPPED,
        "Its agent was stopped 30 s ago",
    ),
    "never wrote": (HostView(2, Liveness.LIVE), HostLife.UNREADABLE, "its agent has not run yet"),
    "garbage": (
        HostView(2, Liveness.LIVE, error="slot 2: crc32: wrong"),
        HostLife.UNREADABLE,
        "Slot 2: crc32: wrong.",
    ),
    "garbage over a good one": (
        other(error="slot 2: crc32: wrong"),
        HostLife.SPEAKS,
        "Slot 2: crc32: wrong.",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_host_that(name: str) -> None:
    view, life, expected = OTHERS[name]
    found = explained(view)
    assert [host.life for host, _texts in found.hosts if not host.this] == [life]
    assert expected in " ".join(found.hosts[1][1])


def test_every_way_of_being_there_is_tried() -> None:
    assert {life for _view, life, _text in OTHERS.values()} == set(HostLife)


def test_another_hosts_time_out_is_reckoned_by_its_own_clock_alone() -> None:
    """Its clock is an hour off; that says nothing of how long it still waits."""
    view = other(
        state="EngineStarting",
        engine_status=EngineStatus(EngineVm.UP, Health.BAD, "Powering up"),
        age_s=4.0,
        wall_time=ctime(NOW_S + 3600),
        timeout_wall_time=ctime(NOW_S + 3600 + 64),
    )
    found = explained(view, lease=held(2))
    assert "has 60 s more to become healthy" in of_host(found, "h2")
    assert json.loads(explanation_json(found))["hosts"][1]["time_left_s"] == 60.0


def test_a_time_out_that_can_not_be_read_is_left_out() -> None:
    view = other(state="EngineStarting", timeout_wall_time="soon")
    assert "more to become healthy" not in of_host(explained(view), "h2")


# --- why the engine runs where it runs ---------------------------------------------------------


UP_HERE = EngineView(DomainState.RUNNING, Health.GOOD, "", 999.0)


def test_an_engine_that_came_alive_was_not_started_here() -> None:
    """A race that this host lost before does not make it the one that started it."""
    lost = TransitionView(1, 700.0, "EngineDown", "EngineStart", "it is this host's turn")
    came = TransitionView(2, 880.0, "EngineDown", "EngineStarting", "the engine's VM runs here")
    up = agent(State.ENGINE_UP, transitions=(lost, came), engine_status=HERE)
    told = engine(explained(other(), engine=UP_HERE, lease=held(1), agent=up))
    at = time.strftime("%H:%M:%S", time.localtime(WALL_S - 120))
    assert f"It came to h1 while it ran, at {at}." in told
    assert "started" not in told


def test_a_healthy_engine_here() -> None:
    turn = TransitionView(1, 880.0, "EngineDown", "EngineStart", "it is this host's turn")
    started = TransitionView(2, 880.0, "EngineStart", "EngineStarting", "the VM runs")
    up = agent(State.ENGINE_UP, transitions=(turn, started), engine_status=HERE)
    found = explained(other(), engine=UP_HERE, lease=held(1), agent=up)
    told = engine(found)
    since = time.strftime("%H:%M:%S", time.localtime(WALL_S - 100))
    assert told.startswith(f"The engine runs on h1 and is healthy, since {since} (100 s).")
    assert "h1 started it at" in told
    assert "h1 holds the engine's lease (the lock" in told
    assert found.advice == (NOTHING,)


def test_a_healthy_engine_is_not_moved_for_a_score() -> None:
    lost = Penalty("network", 320, "20% of the latest probes failed", 0.2, 0.0, "fraction", 940.0)
    up = agent(State.ENGINE_UP, score=3080, penalties=(lost,))
    found = explained(other(), other(3), engine=UP_HERE, lease=held(1), agent=up)
    assert "It stays there although h2 (3400) and h3 (3400) would have the better score" in engine(
        found
    )
    since = time.strftime("%H:%M:%S", time.localtime(WALL_S - 60))
    expected = f"-320 points since {since}: 20% of the latest probes failed."
    assert expected in of_host(found, "h1")
    assert "h1: look at its network" in advice(found)


# --- where it could go alive ------------------------------------------------------------------


def takes(why: str = "") -> tuple[tuple[str, str], ...]:
    note = TakesNote(why_not=why) if why else TakesNote("qemu+tls://h/system")
    return (("why", "x"), ("takes", encode_takes(note)))


def runs_here(*others: HostView, move: Optional[MoveReport] = None, **fields: Any) -> Explanation:
    state = fields.pop("state", State.ENGINE_UP)
    told = agent(state, engine_status=HERE, move=move)
    return explained(*others, engine=UP_HERE, lease=held(1), agent=told, **fields)


def test_the_order_in_which_hosts_would_get_it_and_why_not_the_others() -> None:
    found = runs_here(
        other(2, score=3000, notes=takes()),
        other(3, notes=takes()),
        other(4, notes=takes("it has too little free memory (90 MiB, and 128 MiB are needed)")),
        other(5),
        other(6, notes=takes(), maintenance=True),
        other(7, notes=takes(), liveness=Liveness.DEAD, fresh=False),
        other(8, notes=takes()),
        other(9, notes=takes(), score=0),
    )
    expected = "If it has to leave h1, it can move while it runs: to h3, then h8, then h2."
    assert expected in engine(found)
    told = "It can't take the engine while that runs: "
    assert f"{told}it has too little free memory (90 MiB, and 128 MiB are needed)." in of_host(
        found, "h4"
    )
    assert f"{told}its program is older and does not say whether" in of_host(found, "h5")
    for silent in ("h1", "h2", "h3", "h6", "h7"):
        assert told not in of_host(found, silent), "nothing stands against it, or it is told anyway"


def test_where_nobody_can_take_it_that_is_said() -> None:
    found = runs_here(other(2, notes=takes("its network bridge is down")))
    assert "No other host can take it while it runs, as things are: see each host." in engine(found)


def test_many_hosts_are_counted() -> None:
    found = runs_here(*[other(number, notes=takes()) for number in range(2, 12)])
    assert "to h2, then h3, then h4, then h5, then h6, then 5 more." in engine(found)


def test_programs_that_know_nothing_of_it_are_not_told_of() -> None:
    found = runs_here(other(2), other(3))
    assert "move" not in engine(found)
    assert "take the engine" not in of_host(found, "h2")


def test_an_engine_elsewhere_could_come_to_this_host() -> None:
    own = replace(other(1, notes=takes()), host_id=1)
    view = other(2, engine_status=HERE, state="EngineUp", notes=takes("the VM is there already"))
    found = explained(view, hosts=(own, view), lease=held(2))
    assert "If it has to leave h2, it can move while it runs: to h1." in engine(found)


MOVES = MoveReport("move-1", MovePhase.MOVING, "h2", 2, ("h3: no room",), 0.34)


def test_a_move_under_way_is_told_with_target_percent_tries_and_refusals() -> None:
    found = runs_here(other(2, notes=takes()), move=MOVES, state=State.ENGINE_MIGRATING_AWAY)
    expected = "The engine moves to h2, 34% copied, try 2; refused: h3: no room."
    assert expected in engine(found)
    assert "If it has to leave" not in engine(found)
    looking = replace(MOVES, phase=MovePhase.WAITING, copied=None)
    for state in (State.LOCAL_MAINTENANCE_MIGRATE_VM, State.ENGINE_UP):
        found = runs_here(other(2, notes=takes()), move=looking, state=state)
        assert "Looking for a host that takes the engine; refused: h3: no room." in engine(found)
        assert "to h2." in engine(found)
    over = replace(MOVES, phase=MovePhase.REFUSED)
    assert "no room" not in engine(runs_here(other(2, notes=takes()), move=over))


@pytest.mark.parametrize(
    ("line", "to"), [("to h3, others wait 40 s", "h3"), ("", "another host"), ("x", "another host")]
)
def test_a_move_of_another_host_is_told_by_its_record(line: str, to: str) -> None:
    view = other(
        2, engine_status=HERE, state="EngineMigratingAway", notes=(("why", "x"), ("moving", line))
    )
    found = explained(view, lease=held(2))
    assert f"h2 is moving it to {to} while it runs." in engine(found)


def test_another_hosts_penalties_are_read_from_its_record() -> None:
    note = "network -320 (20% of the latest probes failed, since 12:03:05); bridge -600 (down)"
    view = other(score=2480, notes=(("why", "x"), ("penalties", note)))
    told = of_host(explained(view), "h2")
    assert "-320 points since 12:03:05: 20% of the latest probes failed." in told
    assert "-600 points: down." in told


def shown(text: str, at_s: float) -> str:
    return time.strftime(text, time.localtime(WALL_S + at_s - NOW_S))


@pytest.mark.parametrize(
    "ahead_s", [0, 3, -41, 3600, -3600, 19800, -12600, 50400, 1234, 3 * 86400 + 5000, -86400]
)
def test_another_hosts_times_are_told_by_our_clock(ahead_s: int) -> None:
    """Its clock or its zone is `ahead_s` ahead, and its record was seen 2 s ago."""
    theirs = NOW_S - 2 + ahead_s
    note = (
        f"network -320 (lost, since {shown('%H:%M:%S', theirs - 3605)}); "
        f"old -1 (so, since {shown('%Y-%m-%d %H:%M', theirs - 3 * 86400)}); "
        f"failed-starts -50 (1 failed, since {shown('%H:%M:%S', theirs)}, "
        f"until {shown('%H:%M:%S', theirs + 595)})"
    )
    view = other(wall_time=ctime(theirs), notes=(("penalties", note),))
    told = of_host(explained(view), "h2")
    # A clock that is a few seconds off is left as it is; else it is told to the second, but where
    # its date stands for the seconds.
    off_s = ahead_s if abs(ahead_s) < 60 else 0
    assert f"-320 points since {shown('%H:%M:%S', NOW_S - 3607 + off_s)}: lost." in told
    assert f"since {shown('%H:%M:%S', NOW_S - 2 + off_s)}: 1 failed" in told
    assert f"(until {shown('%H:%M:%S', NOW_S + 593 + off_s)})." in told
    old = re.search(r"-1 points since ([-\d: ]+): so", told)
    assert old is not None
    at_s = time.mktime(time.strptime(old[1], "%Y-%m-%d %H:%M"))
    assert abs(at_s - (WALL_S - 2 - 3 * 86400 + off_s)) < 120


@pytest.mark.parametrize("fields", [{"wall_time": ""}, {"wall_time": "yesterday"}, {"seen": False}])
def test_times_of_a_clock_that_nothing_is_known_of_say_so(fields: dict[str, Any]) -> None:
    seen = fields.pop("seen", True)
    note = "failed-starts -50 (1 failed, since 12:03:05, until 12:13:05)"
    view = other(notes=(("penalties", note),), **fields)
    view = view if seen else replace(view, changed_at_s=None)
    told = of_host(explained(view), "h2")
    assert "-50 points since 12:03:05 by its own clock: 1 failed" in told
    assert "(until 12:13:05 by its own clock)." in told


@pytest.mark.parametrize("moment", ["99:99:99", "2026-13-45 10:00", "0001-01-01 00:00", "1 - 2"])
def test_times_that_are_none_are_shown_as_they_are(moment: str) -> None:
    view = other(notes=(("penalties", f"network -320 (lost, since {moment})"),))
    told = of_host(explained(view), "h2")
    assert f"-320 points since {moment} by its own clock: lost." in told


def test_the_latest_moment_of_yesterday_is_no_moment_of_tomorrow() -> None:
    """Around midnight a time alone belongs to the day before, or to the next one."""
    midnight_s = time.mktime((2023, 11, 15, 0, 0, 0, 0, 0, -1))
    clock = OtherClock(time.ctime(midnight_s + 60), midnight_s + 3660)
    assert clock.past("23:59:30") == midnight_s + 3600 - 30
    assert clock.past("00:00:30") == midnight_s + 3630
    assert clock.past("00:01:01") == midnight_s + 3661
    assert clock.future("00:02:00") == midnight_s + 3720
    assert clock.future("23:59:30") == midnight_s + 3600 + 86400 - 30


def test_a_line_of_penalties_of_another_program_is_shown_as_it_is() -> None:
    view = other(notes=(("penalties", "gateway: 1600"),))
    assert "Points off: gateway: 1600." in of_host(explained(view), "h2")


def test_an_engine_elsewhere_that_was_healthy_when_its_host_last_spoke() -> None:
    view = other(state="EngineUp", engine_status=HERE, age_s=40.0)
    told = engine(explained(view, other(3), lease=held(2)))
    assert told.startswith("h2 said 40 s ago that the engine runs there and is healthy")
    assert "140 s after its last sign of life, which is in 105 s at the latest" in told
    assert "Then h1 starts it" in told


@pytest.mark.parametrize(("age_s", "healthy"), [(2.0, True), (40.0, None)])
def test_an_old_word_is_no_knowledge_of_health(age_s: float, healthy: bool | None) -> None:
    view = other(state="EngineUp", engine_status=HERE, age_s=age_s)
    told = json.loads(explanation_json(explained(view, lease=held(2))))["engine"]
    assert (told["host"], told["healthy"]) == ("h2", healthy)


def test_a_dead_hosts_lease_is_waited_for() -> None:
    view = other(state="EngineUp", engine_status=HERE, age_s=80.0, liveness=Liveness.FAIL)
    told = engine(explained(view, other(3), lease=held(2)))
    assert "The engine runs on no host that is heard of. h2 still holds" in told
    assert "in 65 s at the latest" in told


def test_nobody_would_start_it_then_either() -> None:
    view = other(age_s=80.0, liveness=Liveness.FAIL)
    found = explained(view, lease=held(2), agent=agent(score=0))
    assert "No other host could start it then" in engine(found)
    resting = explained(view, lease=held(2), global_maintenance=True)
    assert "Nobody will start it then either" in engine(resting)


def test_a_stopped_agents_engine_most_likely_runs_on() -> None:
    view = other(stopped=True, engine_status=HERE, age_s=300.0, fresh=False, score=0)
    found = explained(view, lease=held(2))
    assert "So the engine most likely runs there" in engine(found)
    assert "h2's agent was stopped 5 min ago" in engine(found)
    assert "systemctl start ha-broker ha-agent" in advice(found)


def test_what_a_bad_engine_waits_for() -> None:
    bad = EngineView(DomainState.RUNNING, Health.BAD, "Connection refused", 999.0)
    ill = agent(State.ENGINE_UP_BAD_HEALTH, timeout_at_s=1060.0)
    found = explained(other(), engine=bad, lease=held(1), agent=ill)
    assert "but the engine is not healthy: Connection refused." in engine(found)
    assert "Unless that changes within 60 s, h1 stops it" in engine(found)
    resting = explained(engine=bad, lease=held(1), agent=ill, global_maintenance=True)
    assert "so no host does anything about that" in engine(resting)


def test_a_paused_vm_has_no_lease() -> None:
    paused = EngineView(DomainState.PAUSED, Health.UNKNOWN, "its disk can't be read", 999.0)
    found = explained(engine=paused, agent=agent(State.ENGINE_UP_BAD_HEALTH))
    assert "but it is paused: its disk can't be read." in engine(found)
    assert "libvirt has given back the engine's lease" in engine(found)
    assert "virsh resume HostedEngine" in advice(found)


def stranded_on_h2(**fields: Any) -> HostView:
    status = EngineStatus(EngineVm.UP, Health.BAD, PAUSED, f"paused: {STRANDED}")
    return other(engine_status=status, **fields)


def test_a_vm_that_nothing_can_let_go_on_is_told_from_one_that_is_paused() -> None:
    found = explained(stranded_on_h2(state=State.ENGINE_FORCE_STOP.value), lease=held(2))
    assert f"but it is paused: {STRANDED}." in engine(found)
    assert "h2 switches it off; then the best host starts the engine anew." in engine(found)
    assert "virsh" not in advice(found)


def test_in_local_maintenance_somebody_has_to_switch_it_off() -> None:
    resting = stranded_on_h2(state=State.LOCAL_MAINTENANCE.value, maintenance=True)
    found = explained(resting, lease=held(2))
    assert "No host can start the engine until that VM is switched off." in engine(found)
    assert "Local maintenance is on, so h2 leaves it alone." in engine(found)
    assert "switch its VM off on h2: hosted-engine --vm-poweroff" in advice(found)


def test_in_global_maintenance_somebody_has_to_start_it_too() -> None:
    resting = stranded_on_h2(state=State.GLOBAL_MAINTENANCE.value)
    found = explained(resting, lease=held(2), global_maintenance=True)
    assert "Global maintenance is on, so h2 leaves it alone." in engine(found)
    assert "switch its VM off on h2: hosted-engine --vm-poweroff" in advice(found)
    assert "hosted-engine --vm-start" in advice(found)


def test_of_its_own_host_the_agent_knows_more_than_libvirt() -> None:
    seen = EngineView(DomainState.PAUSED, Health.UNKNOWN, "a live migration holds it", 999.0)
    status = EngineStatus(EngineVm.UP, Health.BAD, PAUSED, f"paused: {STRANDED}")
    told = agent(State.ENGINE_UP_BAD_HEALTH, engine_status=status)
    found = explained(engine=seen, lease=held(1), agent=told)
    assert f"but it is paused: {STRANDED}." in engine(found)
    gone = explained(engine=EngineView(DomainState.RUNNING), lease=held(1), agent=told)
    assert STRANDED not in engine(gone)


def test_a_paused_vm_of_another_host_is_told_in_one_word() -> None:
    status = EngineStatus(EngineVm.UP, Health.BAD, PAUSED, "paused: somebody paused it")
    found = explained(other(engine_status=status, state="EngineUpBadHealth"), lease=held(2))
    assert "The engine's VM is on h2, but it is paused: somebody paused it." in engine(found)


# --- why it runs nowhere ------------------------------------------------------------------------


def test_in_global_maintenance_nobody_starts_it() -> None:
    found = explained(other(), global_maintenance=True, agent=agent(State.GLOBAL_MAINTENANCE))
    assert (
        engine(found) == "The engine runs nowhere, and no host starts it: global maintenance is on."
    )
    assert "hosted-engine --set-maintenance --mode=none" in advice(found)
    assert "hosted-engine --vm-start" in advice(found)


def test_who_may_not_ask_hears_nothing_of_the_hosts() -> None:
    denied = BrokerDeniedError("ask", "permission denied at /run/s: run it as root", 13)
    told = without_broker_text(denied, "PATH")
    document = json.loads(without_broker_json(denied, "PATH"))
    assert "permission denied at /run/s: run it as root" in told
    assert "sudo hosted-engine --explain" in told
    for claim in ("starts nothing", "runs on", "go on without", "nobody watches", "systemctl"):
        assert claim not in told
        assert claim not in json.dumps(document)
    assert document["error"] == "can't ask: permission denied at /run/s: run it as root"


@pytest.mark.parametrize("state", [State.UNKNOWN_LOCAL_VM_STATE, State.START_STATE])
@pytest.mark.parametrize("error", ["read: timed out", ""])
def test_storage_that_was_never_read_is_the_cause_and_not_libvirt(state: State, error: str) -> None:
    found = explained(
        storage=StorageView(error=error),
        config=ConfigView(None, error),
        engine=EngineView(detail="the shared configuration has not been read yet"),
        global_maintenance=None,
        agent=agent(state),
    )
    told = " ".join([engine(found), of_host(found, "h1"), advice(found)])
    assert "libvirt" not in told
    assert "not been able to read the shared storage" in engine(found)
    assert "shared configuration" in of_host(found, "h1")


def test_both_maintenances_at_once_are_both_said() -> None:
    found = explained(
        other(state="GlobalMaintenance", score=0, maintenance=True),
        global_maintenance=True,
        local_maintenance=True,
        agent=agent(State.GLOBAL_MAINTENANCE, score=0),
    )
    for _host, sentences in found.hosts:
        assert "for global maintenance is on" in " ".join(sentences)
        assert "It is in local maintenance, too, and stays in that" in " ".join(sentences)
    assert "(on h1 that ends its local maintenance, too)" in advice(found)


def test_all_hosts_in_local_maintenance() -> None:
    resting = {"score": 0, "state": "LocalMaintenance", "maintenance": True}
    found = explained(
        other(**resting), local_maintenance=True, agent=agent(State.LOCAL_MAINTENANCE, score=0)
    )
    assert "every host that is heard of is in local maintenance" in engine(found)
    assert "To have h1 or h2 run the engine again" in advice(found)


def test_failed_starts_say_until_when() -> None:
    failed = Penalty(
        "failed-starts", 3400, "3 starts failed", 3.0, 3.0, "count", 700.0, ends_at_s=1300.0
    )
    ended = TransitionView(9, 990.0, "EngineStart", "EngineDown", "the start failed: no such disk")
    found = explained(agent=agent(score=0, penalties=(failed,), transitions=(ended,)))
    assert (
        "No host has points, so h1, where only failed starts are the reason, will try again 75 s "
        "after the latest try there."
    ) in engine(found)
    assert "What became of its latest start: the start failed: no such disk." in of_host(
        found, "h1"
    )
    assert "/var/log/libvirt/qemu/HostedEngine.log" in advice(found)


def test_a_free_lease_names_who_is_first() -> None:
    first = agent(score=3350, why="h2 (score 3400) goes first; this host's turn is in 25 s")
    found = explained(other(), agent=first)
    assert "First in line is h2 (score 3400)." in engine(found)
    assert "this host's turn is in 25 s" in of_host(found, "h1")


def test_a_word_from_before_the_lease_was_free_is_not_repeated() -> None:
    found = explained(other(), agent=agent(score=3000))
    assert engine(found).endswith("First in line is h2 (score 3400).")


def test_maintenance_that_is_not_known() -> None:
    found = explained(other(), global_maintenance=None, global_error="slot 0: garbage")
    assert "is not known (slot 0: garbage)" in engine(found)
    assert "write that anew" in advice(found)


def test_the_phrases_that_are_looked_for_are_the_agents() -> None:
    whys = [row.why for row in TABLE]
    assert any(why.startswith(HELD) for why in whys)
    assert any(why.endswith(WAITING) for why in whys)
    assert any(why.startswith(_BLOCKED) for why in whys)


# --- whatever stands against a start here ---------------------------------------------------------

# For each reason of `ha_agent.observation.collect`: what the broker shows then, and what must be
# told of it.
BLOCKED: dict[str, tuple[dict[str, Any], str]] = {
    "_broker_why": ({"agent_published_at_s": 900.0}, "Its agent has said nothing for 100 s"),
    "_shutdown_why": ({}, "this host is being shut down"),
    "_host_id_why": ({}, "the broker works as host id 2"),
    "_storage_why": (
        {"storage": StorageView(last_read_at_s=900.0, error="reading: timed out")},
        "Its access to the shared storage fails: reading: timed out.",
    ),
    "_sleep_why": ({}, "the broker has not read the shared storage since"),
    "_lockspace_why": (
        {"lockspace": LockspaceView(Membership.OUT, "sanlock does not answer")},
        "It has not joined sanlock's lockspace",
    ),
    "_same_id_why": (
        {"hosts": (HostView(1, Liveness.LIVE, error="host id 1 is also used by 'h7'"),)},
        "Its own record: host id 1 is also used by 'h7'.",
    ),
    "_write_why": ({}, "this host's own record could not be written for 90 s"),
    "_config_why": (
        {"config": ConfigView(None, "shared configuration: no valid copy")},
        "It has no shared configuration",
    ),
    "_order_why": ({}, "the order to switch the VM off has not ended for 20 s"),
}
SAID = {
    "_shutdown_why": "this host is being shut down",
    "_sleep_why": "this machine has slept; the broker has not read the shared storage since",
    "_host_id_why": "the broker works as host id 2, this agent as host id 1",
    "_write_why": "this host's own record could not be written for 90 s",
    "_order_why": "the order to switch the VM off has not ended for 20 s",
}


@pytest.mark.parametrize("unit", ["libvirtd", "virtqemud"])
def test_the_libvirt_that_is_there_is_named(unit: str) -> None:
    """Of another host nobody here knows which of the two it has."""
    silent = other(state="UnknownLocalVmState")
    given = snapshot(silent, engine=EngineView(domain=DomainState.UNKNOWN))
    told = advice(explain(Cluster(given, SETTINGS, NOW_S, WALL_S, unit)))
    assert f"libvirt on h1: see 'systemctl status {unit}' there." in told
    assert "libvirt on h2: see 'systemctl status libvirtd virtqemud' there." in told


# `blocked_why` asks them before and after the others, for they need no snapshot.
WITHOUT_SNAPSHOT = {"_broker_why", "_config_why", "_order_why"}


def test_every_reason_against_a_start_is_tried() -> None:
    assert set(BLOCKED) == WITHOUT_SNAPSHOT | {reason.__name__ for reason in collect._REASONS}


@pytest.mark.parametrize("name", BLOCKED)
def test_what_stands_against_a_start_is_told(name: str) -> None:
    fields, expected = BLOCKED[name]
    why = f"can't start the engine: {SAID.get(name, 'something')}"
    found = explained(**{"agent": agent(why=why), **fields})
    assert expected in of_host(found, "h1")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_broker_why", "systemctl status ha-agent"),
        ("_storage_why", "way to the shared storage"),
        ("_lockspace_why", "systemctl status sanlock"),
        ("_same_id_why", "hosted-engine-cleanup --force"),
        ("_config_why", "hosted-engine --deploy"),
    ],
)
def test_what_can_be_done_about_it(name: str, expected: str) -> None:
    assert expected in advice(explained(**BLOCKED[name][0]))


def test_a_host_that_can_not_read_says_how_old_its_word_is() -> None:
    blind = StorageView(last_read_at_s=900.0, error="timed out")
    view = other(state="EngineUp", engine_status=HERE, age_s=100.0, fresh=False)
    found = explained(view, storage=blind, lease=LeaseView())
    assert "not been able to read the shared storage for 100 s" in engine(found)
    assert "When last read, it ran on h2 and was healthy." in engine(found)
    assert of_host(found, "h2") == "What it does now is not known here."


def test_a_broker_that_has_just_started() -> None:
    first = Snapshot(1, NOW_S, 1, "h1", 998.0)
    found = explain(cluster(first))
    check(found)
    assert "h1 (id 1, this host)" in text_of(found)


def test_an_agent_that_has_not_spoken_since_the_brokers_start() -> None:
    found = explained(agent=None, agent_published_at_s=None, started_at_s=998.0)
    assert of_host(found, "h1").startswith("Its agent has said nothing yet")


# --- words ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-1, "0 s"), (0.4, "0 s"), (119, "119 s"), (150, "2 min"), (7300, "2 h"), (200000, "2 days")],
)
def test_spans(seconds: float, expected: str) -> None:
    assert span(seconds) == expected


def test_lists() -> None:
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]


def test_what_another_host_wrote_can_not_steer_the_terminal() -> None:
    view = other(hostname="h\x1b[31m2", notes=(("why", "caf\xe9 \x1b[0m"),))
    printed = text_of(explained(view))
    assert "\x1b" not in printed


def test_commands_are_not_broken_over_two_lines() -> None:
    printed = text_of(explained(other(maintenance=True), global_maintenance=True))
    assert printed.count("hosted-engine --set-maintenance --mode=none") == 2


# --- the command ------------------------------------------------------------------------------


class Broker:
    """A real server on the socket, answering what the test wants."""

    def __init__(self, path: str) -> None:
        self.answers: dict[str, Callable[[], Any]] = {}
        self._server = ApiServer(path, self._answer)
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def _answer(self, _method: str, target: str, *_more: object) -> Any:
        return self.answers[target]()


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HE_SETTINGS", str(tmp_path / "host.yaml"))
    monkeypatch.setenv("HE_BROKER_SOCKET", str(tmp_path / "broker.sock"))
    settings = "host_id: 1\nhost_name: h1\nstorage: {path: /shared/leases}\n"
    (tmp_path / "host.yaml").write_text(settings)
    return tmp_path


def no_configuration() -> Any:
    raise Refusal(503, "not read yet")


@pytest.fixture
def broker(deployed: Path) -> Iterator[Broker]:
    server = Broker(str(deployed / "broker.sock"))
    now_s = time.monotonic()
    aged = replace(
        snapshot(other(), engine=UP_HERE, lease=held(1), agent=agent(State.ENGINE_UP)),
        storage=StorageView(last_read_at_s=now_s),
        agent_published_at_s=now_s,
    )
    server.answers["/v1/status"] = lambda: snapshot_to_data(aged, now_s)
    server.answers["/v1/config"] = no_configuration
    yield server
    server.stop()


def test_the_command_prints_the_explanation(
    broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--explain"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("The engine\n  The engine runs on h1 and is healthy")
    assert "\nThe hosts\n  h1 (id 1, this host): score 3400 of 3400\n" in printed
    assert "\nWhat you can do\n" in printed


def test_the_command_goes_by_the_clusters_settings(
    broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = replace(SETTINGS, score=replace(SETTINGS.score, base=5000))
    broker.answers["/v1/config"] = lambda: {
        "sequence": 1,
        "settings": cluster_settings_to_data(mine),
        "domain_xml": "<domain/>",
    }
    assert main(["--explain"]) == 0
    assert "score 3400 of 5000" in capsys.readouterr().out


def test_the_json_form_is_one_document(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--explain", "--json"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    document = json.loads(printed)
    assert document["engine"]["host"] == "h1"
    assert document["engine"]["healthy"] is True
    assert document["global_maintenance"] is False
    assert [host["name"] for host in document["hosts"]] == ["h1", "h2"]
    assert document["hosts"][0]["this_host"] is True
    assert "\u00a0" not in printed


def test_without_a_broker_it_says_what_that_means(
    deployed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--explain"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert f"there is no broker at {deployed}/broker.sock" in printed
    assert "An engine that runs on this host runs on" in printed
    assert "systemctl status ha-broker" in printed
    assert "hosted-engine --vm-status --metadata /shared/leases:2M" in printed


def test_without_a_broker_the_json_form_is_one_document(
    deployed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--explain", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert sorted(document) == ["advice", "error", "sentences"]
    assert "there is no broker" in document["error"]


def test_a_broker_that_hangs_is_given_up_in_time(
    deployed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(deployed / "broker.sock"))
        listening.listen()
        begun_s = time.monotonic()
        assert main(["--explain", "--timeout=0.3"]) == 1
        assert time.monotonic() - begun_s < 3.0 * float(os.environ.get("HE_TIME_FACTOR", "1"))
    assert "no answer within 0.3 s" in " ".join(capsys.readouterr().out.split())


def test_a_host_that_is_not_deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HE_SETTINGS", str(tmp_path / "host.yaml"))
    assert main(["--explain"]) == 1
    assert capsys.readouterr().out == "You must run deploy first\n"
    assert main(["--explain", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"error": "You must run deploy first"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--vm-start", "--json"], "--json goes with --vm-status or --explain or"),
        (["--explain", "--metadata=/x"], "--metadata goes with --vm-status only"),
        (["--explain", "--vm-status"], "not allowed with"),
        (["--explain", "--timeout=soon"], "'soon' is refused; allowed: seconds"),
    ],
)
def test_wrong_options(
    arguments: list[str], expected: str, deployed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert expected in output.out + output.err


def test_places_read_as_one_types_them() -> None:
    assert place_text(VolumeAddress("/dev/x", 2**21)) == "/dev/x:2M"
    assert place_text(VolumeAddress("/dev/x", 4096)) == "/dev/x:4096"
    assert place_text(VolumeAddress("/dev/x", 0)) == "/dev/x:0M"
