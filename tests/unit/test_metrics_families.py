# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a scrape says, from pictures of the world made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ha_broker.api.event import Event, EventKind
from ha_broker.api.monitors import MonitorView, Unit
from ha_broker.api.snapshot import (
    ConfigView,
    EngineView,
    HostView,
    LeaseState,
    LeaseView,
    LockspaceView,
    MovePhase,
    MoveReport,
    NotificationCounts,
    Publication,
    Snapshot,
    StorageView,
    TransitionView,
)
from ha_broker.metrics.cluster_families import MOST_HOSTS
from ha_broker.metrics.counters import MOST_TRANSITIONS, Counters
from ha_broker.metrics.host_families import STATES
from ha_broker.storage.slot_io import SlotBytes
from metadata.liveness import Liveness
from metadata.penalties import Penalty
from metadata.records import EngineStatus, EngineVm, Health, HostRecord
from tests.unit.metrics_text import scrape
from world.ports.jobs import Outcome
from world.ports.libvirt import DomainState
from world.ports.sanlock import Membership

NOW_S = 1000.0
UP = EngineStatus(EngineVm.UP, Health.GOOD, "Up")
ILL = EngineStatus(EngineVm.UP, Health.BAD, "Up", "no answer")
DOWN = EngineStatus(EngineVm.DOWN, Health.BAD, "Down")
PUBLICATION = Publication(2400, DOWN, "EngineDown", in_state_since_s=990.0)


def snapshot(**fields) -> Snapshot:
    return Snapshot(7, NOW_S, 1, "h1", started_at_s=500.0, **fields)


def host(host_id: int, status: EngineStatus = DOWN, score: int = 3400, **fields) -> HostView:
    seen = HostRecord(host_id, 7, score, status, f"h{host_id}", state="EngineDown")
    view = HostView(host_id, Liveness.LIVE, 1, seen, fresh=True, changed_at_s=NOW_S - 3)
    return replace(view, **fields)


def transition(number: int, before: str, after: str, at_s: float = 600.0) -> TransitionView:
    return TransitionView(number, at_s, before, after, "why")


def job(key: str, took_s: float, value: object = None, error: Exception | None = None):
    return Outcome(key, value, error, 10.0, 10.0 + took_s)


# --- what is not known -----------------------------------------------------------------


def test_what_is_not_known_is_left_out():
    seen = scrape(snapshot())
    for name in ("score", "storage_read_age_seconds", "config_sequence", "global_maintenance"):
        assert seen.values(name) == []
    assert seen.values("agent_state") == []
    assert seen.values("lease_owner") == []


def test_names_and_version():
    seen = scrape(snapshot())
    assert seen.value("host_info", host_id="1", host="h1") == 1
    assert seen.value("build_info") == 1
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes"} <= seen.labels().keys()


def test_the_picture_gets_old():
    assert scrape(snapshot(), now_s=NOW_S + 12).value("snapshot_age_seconds") == 12


# --- this host -------------------------------------------------------------------------


def test_storage_and_configuration():
    storage = StorageView(NOW_S - 2, NOW_S - 4, NOW_S - 9, 0.2, error="")
    seen = scrape(snapshot(storage=storage, config=ConfigView(4)))
    assert seen.value("storage_read_age_seconds") == 2
    assert seen.value("storage_write_age_seconds") == 4
    assert seen.value("storage_busy_seconds") == 9
    assert seen.value("storage_failing") == 0
    assert (seen.value("config_sequence"), seen.value("config_failing")) == (4, 0)


def test_storage_that_fails():
    failing = snapshot(storage=StorageView(error="EIO"), config=ConfigView(4, "damaged"))
    seen = scrape(failing)
    assert (seen.value("storage_failing"), seen.value("config_failing")) == (1, 1)
    assert seen.value("storage_busy_seconds") == 0


@pytest.mark.parametrize("membership", list(Membership))
def test_membership_is_one_of_all(membership):
    seen = scrape(snapshot(lockspace=LockspaceView(membership, "why")))
    assert seen.value("lockspace_state", state=membership.value) == 1
    assert sum(seen.values("lockspace_state")) == 1
    assert len(seen.values("lockspace_state")) == len(Membership)
    assert seen.value("lockspace_failing") == 1


def test_the_engine_on_this_host():
    engine = EngineView(DomainState.PAUSED, Health.UNKNOWN, "its disk fails", NOW_S - 1)
    seen = scrape(snapshot(engine=engine))
    assert seen.value("domain_state", state="paused") == 1
    assert sum(seen.values("domain_state")) == 1
    assert seen.value("domain_health", health="unknown") == 1
    assert seen.value("domain_seen_age_seconds") == 1


def test_states_keep_the_names_and_the_order_that_readers_know():
    assert " ".join(STATES) == (
        "StartState ReinitializeFSM EngineDown EngineStart EngineStarting EngineUp"
        " EngineUpBadHealth EngineStop EngineForceStop EngineMaybeAway EngineUnexpectedlyDown"
        " EngineMigratingAway LocalMaintenance LocalMaintenanceMigrateVm GlobalMaintenance"
        " UnknownLocalVmState AgentStopped"
    )


def test_the_latest_move_from_here():
    moving = MoveReport("maintenance", MovePhase.MOVING, "h2", 1, copied=0.34)
    seen = scrape(snapshot(agent=replace(PUBLICATION, move=moving)))
    assert seen.value("move_copied_ratio") == 0.34
    names = ("move_duration_seconds", "move_downtime_seconds", "move_copied_bytes")
    assert [seen.values(name) for name in names] == [[], [], []], "not known is never 0"
    result = {"took_s": 1.6, "downtime_s": 0.64, "copied_bytes": 150_000_000}
    moved = replace(moving, phase=MovePhase.MOVED, copied=None, **result)
    seen = scrape(snapshot(agent=replace(PUBLICATION, move=moved)))
    assert [seen.value(name) for name in names] == [1.6, 0.64, 150_000_000]
    assert seen.values("move_copied_ratio") == []
    assert scrape(snapshot(agent=PUBLICATION)).values("move_duration_seconds") == []


def test_the_agent_and_its_score():
    penalties = (Penalty("network", 320, "20% lost"), Penalty("memory", 400, "little"))
    agent = replace(PUBLICATION, penalties=penalties)
    seen = scrape(snapshot(agent=agent, agent_published_at_s=NOW_S - 6))
    assert seen.value("agent_state", state="EngineDown") == 1
    assert sum(seen.values("agent_state")) == 1
    assert len(seen.values("agent_state")) == len(STATES)
    assert seen.value("agent_state_age_seconds") == 10
    assert seen.value("agent_record_age_seconds") == 6
    assert seen.value("score") == 2400
    assert seen.value("score_penalty_points", penalty="network") == 320
    assert seen.value("score_penalty_points", penalty="memory") == 400


def test_monitors_by_their_units():
    monitors = (
        MonitorView("cpu-load", Unit.FRACTION, 0.25, seen_at_s=NOW_S - 8),
        MonitorView("mem-free", Unit.BYTES, 2.0e9, limit=4.0e9),
        MonitorView("storage-renewal", Unit.SECONDS, 0.5),
        MonitorView("bridge", Unit.BOOLEAN, 0.0, trouble="no such device"),
        MonitorView("plugin:raid", Unit.FRACTION, None),
    )
    seen = scrape(snapshot(monitors=monitors))
    assert seen.value("monitor_ratio", monitor="cpu-load") == 0.25
    assert seen.value("monitor_ratio", monitor="plugin:raid") is None
    assert seen.value("monitor_age_seconds", monitor="cpu-load") == 8
    assert seen.value("monitor_bytes", monitor="mem-free") == 2e9
    assert seen.value("monitor_limit_bytes", monitor="mem-free") == 4e9
    assert seen.value("monitor_seconds", monitor="storage-renewal") == 0.5
    assert seen.value("monitor_ok", monitor="bridge") == 0
    assert seen.value("monitor_failing", monitor="bridge") == 1
    assert seen.value("monitor_failing", monitor="cpu-load") == 0


def test_notifications():
    seen = scrape(snapshot(notifications=NotificationCounts(1, 2, 3, 4)))
    assert seen.value("notifications_queued") == 1
    assert seen.value("notifications_sent_total") == 2
    assert seen.value("notifications_failed_total") == 3
    assert seen.value("notifications_dropped_total") == 4


@pytest.mark.parametrize("on", [False, True])
def test_maintenance(on):
    seen = scrape(snapshot(global_maintenance=on, local_maintenance=on))
    assert seen.value("global_maintenance") == on
    assert seen.value("local_maintenance") == on


# --- the cluster -----------------------------------------------------------------------


def engine_up_and_healthy(**fields) -> tuple[object, object]:
    seen = scrape(snapshot(**fields))
    return seen.value("up"), seen.value("healthy")


def test_the_engine_here():
    assert engine_up_and_healthy(engine=EngineView(DomainState.RUNNING, Health.GOOD)) == (1, 1)
    assert engine_up_and_healthy(engine=EngineView(DomainState.RUNNING, Health.BAD)) == (1, 0)


def test_the_engine_elsewhere():
    assert engine_up_and_healthy(hosts=(host(1), host(2, UP))) == (1, 1)
    assert engine_up_and_healthy(hosts=(host(1), host(2, ILL))) == (1, 0)
    assert engine_up_and_healthy(hosts=(host(1), host(2))) == (0, 0)


def test_old_words_of_an_engine_do_not_count():
    assert engine_up_and_healthy(hosts=(host(2, UP, fresh=False),)) == (0, 0)
    assert engine_up_and_healthy(hosts=(host(2, UP, liveness=Liveness.DEAD),)) == (0, 0)
    # What our own record says libvirt says better, and sooner.
    assert engine_up_and_healthy(hosts=(host(1, UP),)) == (0, 0)


def undecided(status: EngineStatus) -> HostView:
    return host(2, status, liveness=Liveness.UNKNOWN, fresh=False, undecided=True)


def test_an_engine_of_which_it_is_too_early_to_know_is_not_said_to_be_down():
    """A second after a boot: an alarm without patience must not go off."""
    for written, told in ((UP, (None, None)), (ILL, (None, 0)), (DOWN, (0, 0))):
        seen = scrape(snapshot(hosts=(host(1), undecided(written))))
        values = tuple(next(iter(seen.values(name)), None) for name in ("up", "healthy"))
        assert values == told
    seen = scrape(snapshot(hosts=(host(1), undecided(UP), host(3, UP))))
    assert (seen.value("up"), seen.value("healthy")) == (1, 1)


def test_the_lease():
    seen = scrape(snapshot(lease=LeaseView(LeaseState.HELD, 2)))
    assert seen.value("lease_state", state="held") == 1
    assert sum(seen.values("lease_state")) == 1
    assert seen.value("lease_owner", host_id="2") == 1


def test_each_host():
    gone = host(3, liveness=Liveness.DEAD, fresh=False, changed_at_s=NOW_S - 300)
    strange = HostView(4, Liveness.UNKNOWN, error="slot 4: garbage")
    seen = scrape(
        snapshot(hosts=(host(1, score=2400), host(2), gone, strange)),
        renewed_at_s={1: NOW_S - 1, 3: NOW_S - 200},
    )
    assert seen.value("host_score", host_id="1", host="h1") == 2400
    assert seen.value("host_score", host_id="3") is None
    assert seen.value("host_record_age_seconds", host_id="3") == 300
    assert seen.value("host_sanlock_state", host_id="3", state="dead") == 1
    assert sum(seen.values("host_sanlock_state")) == 4
    assert seen.value("host_renewal_age_seconds", host_id="3") == 200
    assert seen.value("host_renewal_age_seconds", host_id="2") is None
    assert seen.value("hosts", sanlock="live") == 2
    assert seen.value("hosts", sanlock="dead") == 1
    assert seen.value("hosts_unreadable") == 1


def test_who_could_run_the_engine():
    def able(**fields):
        return scrape(snapshot(hosts=(host(1), host(2, **fields)))).value("hosts_able")

    assert able() == 2
    assert able(score=0) == 1
    assert able(fresh=False) == 1
    assert able(liveness=Liveness.FAIL) == 1
    record = host(2).record
    assert record is not None
    assert able(record=replace(record, stopped=True)) == 1
    assert able(record=replace(record, maintenance=True)) == 1
    assert able(record=None) == 1


def test_a_cluster_of_two_thousand_hosts_stays_bounded():
    views = tuple(host(host_id) for host_id in range(1, 2001))
    many = Snapshot(7, NOW_S, 1500, "h1500", 500.0, hosts=views, lease=LeaseView("held", 1999))
    seen = scrape(many, renewed_at_s={view.host_id: NOW_S for view in views})
    assert len(seen.values("host_score")) == MOST_HOSTS
    assert seen.value("host_score", host_id="1500") is not None
    assert seen.value("host_score", host_id="1999") is not None
    assert seen.value("hosts", sanlock="live") == 2000
    assert seen.value("hosts_able") == 2000
    assert len(seen.samples) < 1500


# --- what is counted when it happens ---------------------------------------------------


def test_the_brokers_own_io():
    counters = Counters()
    counters.job_ended(job("read", 0.004, SlotBytes({0: b""})))
    counters.job_ended(job("read", 0.2, SlotBytes({0: b""}, failed={3: "EIO"})))
    counters.job_ended(job("write-own", 4.0, error=OSError("EIO")))
    counters.job_ended(job("sanlock", 0.1))
    seen = scrape(snapshot(), counters=counters)
    buckets = {"operation": "read"}
    name = "storage_io_duration_seconds"
    assert seen.value(f"{name}_bucket", le="0.005", **buckets) == 1
    assert seen.value(f"{name}_bucket", le="0.25", **buckets) == 2
    assert seen.value(f"{name}_sum", operation="write") == 4
    assert seen.value("storage_io_failures_total", operation="read") == 1
    assert seen.value("storage_io_failures_total", operation="write") == 1
    assert seen.value("storage_io_failures_total", operation="scan") == 0
    assert seen.value("job_duration_seconds_count", job="sanlock") == 1
    assert seen.value("job_failures_total", job="write-own") == 1


def test_cycles_and_calls():
    counters = Counters()
    counters.cycle_ended(0.003)
    counters.call_answered("/v1/status", 200, 0.02)
    counters.call_answered("/v1/status", 503, 0.02)
    seen = scrape(snapshot(), counters=counters)
    assert seen.value("cycle_duration_seconds_bucket", le="0.005") == 1
    assert seen.value("api_request_duration_seconds_count", resource="/v1/status") == 2
    assert seen.value("api_requests_total", resource="/v1/status", status="503") == 1


def event(number: int, kind: EventKind, outage_s: float | None = None) -> Event:
    return Event(number, kind, NOW_S, 2, "h2", outage_s=outage_s)


def test_events_are_counted_once():
    counters = Counters()
    first = (event(1, EventKind.STARTED, 50.0),)  # an earlier life of the broker has seen it
    counters.shown(snapshot(events=first))
    later = (*first, event(2, EventKind.TAKEN_OVER, 100.0), event(3, EventKind.HOST_LOST))
    for _ in range(3):
        counters.shown(snapshot(events=later))
    seen = scrape(snapshot(), counters=counters)
    assert seen.value("events_total", kind="taken-over") == 1
    assert seen.value("events_total", kind="host-lost") == 1
    assert seen.value("events_total", kind="started") == 0
    assert len(seen.values("events_total")) == len(EventKind)
    assert seen.value("failover_duration_seconds_sum", kind="taken-over") == 100
    assert seen.value("failover_duration_seconds_bucket", kind="taken-over", le="120.0") == 1
    assert seen.value("failover_duration_seconds_count", kind="started") == 0


def test_the_first_event_of_a_new_broker_counts():
    counters = Counters()
    counters.shown(snapshot())
    counters.shown(snapshot(events=(event(1, EventKind.STARTED),)))
    seen = scrape(snapshot(), counters=counters)
    assert seen.value("events_total", kind="started") == 1
    assert seen.value("failover_duration_seconds_count", kind="started") == 0


def test_transitions_are_counted_once_in_each_life():
    counters = Counters()
    old = transition(1, "StartState", "EngineDown", at_s=400.0)  # before the broker's start
    up = transition(2, "EngineDown", "EngineStart")
    agent = replace(PUBLICATION, transitions=(old, up), life_at_s=390.0)
    for _ in range(2):
        counters.shown(snapshot(agent=agent))
    again = transition(1, "EngineDown", "EngineStart", at_s=700.0)
    counters.shown(snapshot(agent=replace(agent, transitions=(again,), life_at_s=690.0)))
    seen = scrape(snapshot(), counters=counters)
    assert seen.value("transitions_total", before="EngineDown", after="EngineStart") == 2
    assert sum(seen.values("transitions_total")) == 2


def test_transitions_of_an_earlier_life_that_a_new_agent_tells_again_are_not_counted_again():
    counters = Counters()
    up = transition(1, "EngineDown", "EngineStart")
    counters.shown(snapshot(agent=replace(PUBLICATION, transitions=(up,), life_at_s=390.0)))
    told = (replace(up, number=0), transition(1, "StartState", "EngineDown", at_s=700.0))
    counters.shown(snapshot(agent=replace(PUBLICATION, transitions=told, life_at_s=690.0)))
    seen = scrape(snapshot(), counters=counters)
    assert seen.value("transitions_total", before="EngineDown", after="EngineStart") == 1
    assert sum(seen.values("transitions_total")) == 2


def test_invented_states_become_no_series_without_end():
    counters = Counters()
    for number in range(MOST_TRANSITIONS + 50):
        changes = (transition(number, f"s{number}", "EngineUp"),)
        counters.shown(snapshot(agent=replace(PUBLICATION, transitions=changes)))
    seen = scrape(snapshot(), counters=counters)
    assert len(seen.values("transitions_total")) == MOST_TRANSITIONS + 1
    assert seen.value("transitions_total", before="other", after="other") == 50
