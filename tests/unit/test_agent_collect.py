# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Snapshots and local knowledge -> observations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest

from fsm.observation import (
    HostCondition,
    Lease,
    Observation,
    Peer,
    PluginCost,
    StartOutcome,
    Vm,
    VmEnding,
)
from ha_agent.actions.execute import LatestStart
from ha_agent.observation.collect import NO_PAGE, Inputs, PeerList, blocked_why, collect
from ha_agent.ports import BrokerLook
from ha_broker.api.monitors import BUILT_IN, FOR_PEOPLE, MonitorView
from ha_broker.api.snapshot import (
    EngineView,
    HostView,
    LeaseState,
    LeaseView,
    LockspaceView,
    StorageView,
    WitnessView,
)
from metadata import reach
from metadata.liveness import Liveness
from metadata.records import STRANDED, EngineStatus, EngineVm, Health
from metadata.settings.parse import EngineSettings
from tests.unit.agent_host import HOST, SETTINGS, TICK_S, UP, host_view, snapshot
from world.ports.host import ProcessStart
from world.ports.libvirt import Domain, DomainState, Ending, Pause
from world.ports.sanlock import Membership
from world.vm.domain_states import paused

NOW_S = 5000.0
ALIVE_S = SETTINGS.timing.alive_s


def inputs(snapshot_fields: dict[str, Any] | None = None, **fields: Any) -> Inputs:
    """An agent in the best of worlds, but for what the test says."""
    look = BrokerLook(snapshot(NOW_S, **(snapshot_fields or {})), NOW_S)
    content: dict[str, Any] = {
        "now_s": NOW_S,
        "host": HOST,
        "settings": SETTINGS,
        "started_at_s": NOW_S - 500,
        "look": look,
        "domain": Domain(DomainState.ABSENT),
        "domain_asked": True,
    }
    return Inputs(**{**content, **fields})


def observe(snapshot_fields: dict[str, Any] | None = None, **fields: Any) -> Observation:
    return collect(inputs(snapshot_fields, **fields))


@pytest.mark.parametrize("value", [None, 0.0, 1.0, 1e9])
def test_an_agent_goes_by_no_monitor_that_is_for_people(value: Optional[float]) -> None:
    others = tuple(MonitorView(one.name, one.unit, 1.0) for one in BUILT_IN if not one.for_people)
    for_people = tuple(MonitorView(name, value=value, limit=1.0) for name in sorted(FOR_PEOPLE))
    assert FOR_PEOPLE and others
    seen = collect(inputs({"monitors": (*others, *for_people)}))
    assert seen == collect(inputs({"monitors": others}))


def test_nothing_stands_against_a_start_in_the_best_of_worlds() -> None:
    observation = observe()
    assert observation.blocked_why == ""
    assert observation.complete
    assert observation.vm is Vm.ABSENT
    assert observation.lease is Lease.FREE
    assert observation.lease_owner == ""
    assert observation.global_maintenance is False
    assert observation.now_s == NOW_S
    assert observation.host_id == 1


# --- blocked_why ----------------------------------------------------------------------

BLOCKED = {
    "no broker yet": (
        inputs(look=BrokerLook(error="no socket")),
        "the broker has not answered yet (no socket)",
    ),
    "other host id": (
        inputs({"host_id": 7}),
        "the broker works as host id 7, this agent as host id 1",
    ),
    "storage fails": (
        inputs({"storage": StorageView(last_read_at_s=NOW_S, error="EIO")}),
        "the shared storage fails: EIO",
    ),
    "storage not read": (
        inputs({"storage": StorageView()}),
        "the broker has not read the shared storage yet",
    ),
    "storage silent": (
        inputs({"storage": StorageView(NOW_S - ALIVE_S - 1, NOW_S)}),
        "the shared storage was last read 61 s ago",
    ),
    "out of the lockspace": (
        inputs({"lockspace": LockspaceView(Membership.OUT, "host id 1 is used by h9")}),
        "this host has not joined the sanlock lockspace: host id 1 is used by h9",
    ),
    "joining": (
        inputs({"lockspace": LockspaceView(Membership.JOINING)}),
        "this host is still joining the sanlock lockspace",
    ),
    "id used twice": (
        inputs({"hosts": (replace(host_view(2), host_id=1),)}),
        "another host, h2, also uses host id 1",
    ),
    "id perhaps used twice": (
        inputs({"hosts": (replace(host_view(2), host_id=1, fresh=False, error="used by h2"),)}),
        "used by h2",
    ),
    "record not written": (
        inputs({"storage": StorageView(NOW_S, NOW_S - ALIVE_S - 1)}),
        "this host's own record could not be written for 61 s",
    ),
    "record never written": (
        inputs({"storage": StorageView(NOW_S)}),
        "this host's own record could not be written for 500 s",
    ),
    "configuration": (inputs(config_why="no config", unfinished_why="hangs"), "no config"),
    "record before the configuration": (
        inputs({"storage": StorageView(NOW_S)}, config_why="no config"),
        "this host's own record could not be written for 500 s",
    ),
    "order": (inputs(unfinished_why="destroy hangs"), "destroy hangs"),
}


@pytest.mark.parametrize("name", BLOCKED)
def test_what_blocks_a_start(name: str) -> None:
    given, expected = BLOCKED[name]
    assert blocked_why(given) == expected
    assert collect(given).blocked_why == expected


def test_a_snapshot_counts_for_three_ticks() -> None:
    old = snapshot(NOW_S - 3 * TICK_S)
    assert blocked_why(inputs(look=BrokerLook(old, old.taken_at_s))) == ""
    older = snapshot(NOW_S - 3 * TICK_S - 1)
    why = blocked_why(inputs(look=BrokerLook(older, older.taken_at_s, "refused")))
    assert why == "the broker has not answered for 16 s (refused)"


def test_an_old_snapshot_that_just_arrived_is_old() -> None:
    frozen = snapshot(NOW_S - 100)
    observation = observe(look=BrokerLook(frozen, NOW_S))
    assert observation.blocked_why == "the broker has not answered for 100 s"
    assert observation.lease is Lease.UNKNOWN


def test_agent_and_broker_get_time_for_the_first_record() -> None:
    never_written = {"storage": StorageView(NOW_S)}
    assert blocked_why(inputs(never_written, started_at_s=NOW_S - 5)) == ""
    young_broker = {**never_written, "started_at_s": NOW_S - 5}
    assert blocked_why(inputs(young_broker)) == ""
    old_record = {"storage": StorageView(NOW_S, NOW_S - 3600)}
    assert blocked_why(inputs(old_record, started_at_s=NOW_S - 5)) == ""


def test_an_own_record_that_does_not_change_is_a_former_owners() -> None:
    former = replace(host_view(2), host_id=1, fresh=False)
    assert blocked_why(inputs({"hosts": (former,)})) == ""


def test_an_own_slot_that_is_damaged_will_be_written_anew() -> None:
    damaged = replace(host_view(1), error="slot 1: CRC32")
    assert blocked_why(inputs({"hosts": (damaged,)})) == ""
    never_good = HostView(1, Liveness.LIVE, error="slot 1: CRC32")
    assert blocked_why(inputs({"hosts": (never_good,)})) == ""


def test_only_the_slot_of_this_host_says_who_else_uses_its_id() -> None:
    assert blocked_why(inputs({"hosts": (host_view(2), host_view(3))})) == ""
    others_first = (host_view(0), replace(host_view(2), host_id=1))
    assert blocked_why(inputs({"hosts": others_first})) == "another host, h2, also uses host id 1"


@pytest.mark.parametrize("fresh", [True, False])
def test_a_former_name_of_this_host_blocks_nothing(fresh: bool) -> None:
    """It has stopped, and this host's sanlock is in the lockspace with its id."""
    view = replace(host_view(2, record={"stopped": True}), host_id=1, fresh=fresh)
    assert blocked_why(inputs({"hosts": (view,)})) == ""
    out = {"hosts": (view,), "lockspace": LockspaceView(Membership.OUT)}
    assert "has not joined" in blocked_why(inputs(out))


LASTING = {
    "the broker works as host id 7, this agent as host id 1": inputs({"host_id": 7}),
    "another host, h2, also uses host id 1": inputs({"hosts": (replace(host_view(2), host_id=1),)}),
    "the shared configuration is refused": inputs(
        config_refused="the shared configuration is refused"
    ),
}
PASSING = ("no broker yet", "storage fails", "joining", "record not written", "configuration")


@pytest.mark.parametrize("why", LASTING)
def test_others_need_not_wait_for_a_host_that_can_not_start_for_long(why: str) -> None:
    assert collect(LASTING[why]).cannot_start_why == why


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_by_itself_is_waited_for(name: str) -> None:
    assert collect(BLOCKED[name][0]).cannot_start_why == ""


# --- completeness ---------------------------------------------------------------------


def test_incomplete_until_storage_and_libvirt_have_answered() -> None:
    assert not observe({"storage": StorageView()}).complete
    assert observe({"storage": StorageView(error="EIO")}).complete
    assert not observe(domain_asked=False).complete
    assert not observe(look=BrokerLook()).complete


# --- the VM ---------------------------------------------------------------------------

DOMAINS = [
    (Domain(DomainState.RUNNING, pid=7), Vm.RUNNING),
    (Domain(DomainState.RUNNING, pid=7, detail="it is shutting down"), Vm.RUNNING),
    (Domain(DomainState.ABSENT), Vm.ABSENT),
    (Domain(DomainState.UNKNOWN, detail="libvirt is gone"), Vm.UNKNOWN),
    (Domain(DomainState.PAUSED, pid=7, detail="its guest has suspended itself"), Vm.PAUSED),
    (paused(Pause.IOERROR, 7), Vm.PAUSED),
    (paused(Pause.USER, 7), Vm.PAUSED),
    (paused(Pause.API_ERROR, 7), Vm.PAUSED),
    (paused(Pause.MIGRATION, 7), Vm.IN_TRANSIT),
    (paused(Pause.SHUTTING_DOWN, 7), Vm.IN_TRANSIT),
    (paused(Pause.STARTING_UP), Vm.UNKNOWN),
]


@pytest.mark.parametrize(("domain", "vm"), DOMAINS)
def test_the_vm(domain: Domain, vm: Vm) -> None:
    observation = observe(domain=domain)
    assert observation.vm is vm
    assert observation.vm_detail == domain.detail


@pytest.mark.parametrize("ending", Ending)
def test_every_ending_has_its_word(ending: Ending) -> None:
    observation = observe(domain=Domain(DomainState.ABSENT, ending))
    assert observation.vm_ending is VmEnding(ending.value)


# --- health ---------------------------------------------------------------------------


def health(engine: EngineView, **fields: Any) -> tuple[Health, str]:
    running = Domain(DomainState.RUNNING, pid=7)
    observation = observe({"engine": engine}, domain=running, **fields)
    return observation.health, observation.health_detail


def test_health_comes_from_the_broker() -> None:
    view = EngineView(DomainState.RUNNING, Health.BAD, "HTTP 503", NOW_S)
    assert health(view) == (Health.BAD, "HTTP 503")


def test_health_of_the_vm_before_this_one_does_not_count() -> None:
    view = EngineView(DomainState.RUNNING, Health.GOOD, "", NOW_S - 2)
    assert health(view, vm_since_s=NOW_S - 1) == (
        Health.UNKNOWN,
        "its health page has not been asked yet",
    )
    assert health(view, vm_since_s=NOW_S - 2)[0] is Health.GOOD
    assert health(view, vm_since_s=None)[0] is Health.GOOD


def test_old_health_is_not_known() -> None:
    limit_s = 3 * TICK_S + SETTINGS.engine.health_timeout_s
    view = EngineView(DomainState.RUNNING, Health.GOOD, "", NOW_S - limit_s)
    assert health(view)[0] is Health.GOOD
    older = replace(view, seen_at_s=NOW_S - limit_s - 1)
    assert health(older) == (Health.UNKNOWN, "its health page has not been asked for 21 s")
    assert health(EngineView())[0] is Health.UNKNOWN


@pytest.mark.parametrize("domain", [DomainState.PAUSED, DomainState.ABSENT])
def test_what_the_broker_saw_before_the_vm_ran_is_no_word_on_its_health(
    domain: DomainState,
) -> None:
    """Its look at libvirt is behind the agent's: a VM is created paused and then let go."""
    view = EngineView(domain, Health.UNKNOWN, paused(Pause.USER).detail, NOW_S)
    assert health(view) == (Health.UNKNOWN, "the broker has not seen the VM run yet")


def test_the_brokers_trouble_with_libvirt_is_told() -> None:
    view = EngineView(DomainState.UNKNOWN, Health.UNKNOWN, "libvirt does not answer", NOW_S)
    assert health(view) == (Health.UNKNOWN, "libvirt does not answer")


def test_health_is_not_known_without_the_broker() -> None:
    observation = observe(look=BrokerLook(), domain=Domain(DomainState.RUNNING, pid=7))
    assert observation.health is Health.UNKNOWN
    assert observation.health_detail == "the broker does not answer"


def test_health_is_not_known_without_a_page() -> None:
    without = replace(SETTINGS, engine=EngineSettings())
    view = EngineView(DomainState.RUNNING, Health.BAD, "HTTP 503", NOW_S)
    assert health(view, settings=without) == (Health.UNKNOWN, NO_PAGE)


# --- the lease ------------------------------------------------------------------------

LEASES = [
    (LeaseView(LeaseState.FREE, None, NOW_S), Lease.FREE, None, ""),
    (LeaseView(LeaseState.FREE, 2, NOW_S), Lease.FREE, None, ""),  # its owner is dead
    (LeaseView(LeaseState.HELD, 1, NOW_S), Lease.OURS, 1, "h1"),
    (LeaseView(LeaseState.HELD, 2, NOW_S), Lease.THEIRS, 2, "h2"),
    (LeaseView(LeaseState.HELD, 9, NOW_S), Lease.THEIRS, 9, "host 9"),
    (LeaseView(LeaseState.HELD, None, NOW_S), Lease.UNKNOWN, None, ""),
    (LeaseView(LeaseState.UNKNOWN, 2, NOW_S), Lease.UNKNOWN, None, ""),
    (LeaseView(LeaseState.FREE, None, None), Lease.UNKNOWN, None, ""),
    (LeaseView(LeaseState.FREE, None, NOW_S - ALIVE_S - 1), Lease.UNKNOWN, None, ""),
]


@pytest.mark.parametrize(("view", "lease", "owner_id", "owner"), LEASES)
def test_the_lease(view: LeaseView, lease: Lease, owner_id: int | None, owner: str) -> None:
    observation = observe({"lease": view, "hosts": (host_view(1), host_view(2))})
    assert (observation.lease, observation.lease_owner_id, observation.lease_owner) == (
        lease,
        owner_id,
        owner,
    )


@pytest.mark.parametrize("state", [DomainState.PAUSED, DomainState.RUNNING])
def test_an_owner_seen_before_the_vm_came_here_says_nothing(state: DomainState) -> None:
    """It may have been the VM's own lease on its way here: no reason to switch the VM off."""
    held = {"lease": LeaseView(LeaseState.HELD, 2, NOW_S - 4)}
    domain = Domain(state, pid=7)
    assert observe(held, domain=domain, vm_since_s=NOW_S - 3).lease is Lease.UNKNOWN
    assert observe(held, domain=domain, vm_since_s=NOW_S - 5).lease is Lease.THEIRS
    assert observe(held, domain=domain).lease is Lease.THEIRS


@pytest.mark.parametrize(
    ("state", "owner_id", "lease"),
    [(LeaseState.HELD, 1, Lease.OURS), (LeaseState.FREE, None, Lease.FREE)],
)
def test_only_another_owner_may_have_given_its_lease_to_the_vm(
    state: str, owner_id: Optional[int], lease: Lease
) -> None:
    seen = {"lease": LeaseView(state, owner_id, NOW_S - 4)}
    domain = Domain(DomainState.RUNNING, pid=7)
    assert observe(seen, domain=domain, vm_since_s=NOW_S - 3).lease is lease


FREED = (
    LeaseView(LeaseState.FREE, None, NOW_S - 2, "the lease has no owner"),
    LeaseView(LeaseState.FREE, 2, NOW_S - 2, "host 2 owned it and is dead"),
    LeaseView(LeaseState.FREE, 1, NOW_S - 2, "this host owned it in an earlier life"),
)


@pytest.mark.parametrize("view", FREED, ids=lambda view: view.why)
def test_a_lease_seen_free_before_sanlock_refused_it_is_not_known(view: LeaseView) -> None:
    def lease_after(refused_s: float) -> Lease:
        start = LatestStart(StartOutcome.LEASE_HELD, "held", NOW_S + refused_s)
        return collect(inputs({"lease": view}, start=start)).lease

    assert lease_after(-1) is Lease.UNKNOWN
    assert lease_after(-2) is Lease.UNKNOWN  # which of the two came first, nobody knows
    assert lease_after(-2.1) is Lease.FREE


@pytest.mark.parametrize("outcome", [one for one in StartOutcome if one.name != "LEASE_HELD"])
def test_only_a_refused_lease_speaks_against_an_earlier_look(outcome: StartOutcome) -> None:
    found = collect(inputs({"lease": FREED[0]}, start=LatestStart(outcome, "so it went")))
    assert found.lease is Lease.FREE


@pytest.mark.parametrize("owner_id, lease", [(1, Lease.OURS), (2, Lease.THEIRS)])
def test_a_lease_that_is_held_stays_so_when_sanlock_refuses_it(owner_id: int, lease: Lease) -> None:
    view = LeaseView(LeaseState.HELD, owner_id, NOW_S - 2)
    start = LatestStart(StartOutcome.LEASE_HELD, "held", NOW_S)
    assert collect(inputs({"lease": view}, start=start)).lease is lease


def test_an_owner_seen_before_the_vm_left_counts() -> None:
    held = {"lease": LeaseView(LeaseState.HELD, 2, NOW_S - 4)}
    assert observe(held, vm_since_s=NOW_S - 3).lease is Lease.THEIRS


def test_the_latest_moment_at_which_a_lease_and_a_slot_count() -> None:
    at_s = NOW_S - ALIVE_S
    assert observe({"lease": LeaseView(LeaseState.FREE, None, at_s)}).lease is Lease.FREE
    assert blocked_why(inputs({"storage": StorageView(at_s, at_s)})) == ""


# --- peers ----------------------------------------------------------------------------


def test_peers_are_the_others() -> None:
    view = host_view(
        3, 2400, record={"engine_status": UP, "state": "EngineUp", "maintenance": True}
    )
    (peer,) = observe({"hosts": (host_view(1), view)}).peers
    assert (peer.host_id, peer.name, peer.score, peer.state) == (3, "h3", 2400, "EngineUp")
    assert peer.liveness is Liveness.LIVE
    assert peer.fresh
    assert peer.maintenance
    assert not peer.stopped
    assert peer.engine_up
    assert peer.engine_healthy


def test_a_peer_with_an_unhealthy_engine() -> None:
    status = EngineStatus(EngineVm.UP, Health.BAD, "Up", "failed liveliness check")
    (peer,) = observe({"hosts": (host_view(2, record={"engine_status": status}),)}).peers
    assert peer.engine_up
    assert not peer.engine_healthy


def test_a_peer_without_a_record_is_known_by_its_id() -> None:
    (peer,) = observe({"hosts": (HostView(5, Liveness.DEAD, error="CRC"),)}).peers
    assert (peer.name, peer.liveness, peer.fresh) == ("host 5", Liveness.DEAD, False)
    assert peer.score == 0
    view = host_view(5)
    assert view.record is not None
    nameless = replace(view, record=replace(view.record, hostname=""))
    (peer,) = observe({"hosts": (nameless,)}).peers
    assert (peer.name, peer.score) == ("host 5", 3400)


def test_a_peer_that_is_stopped_or_not_up_says_so() -> None:
    status = EngineStatus(EngineVm.DOWN, Health.GOOD, "Down")
    record = {"engine_status": status, "stopped": True}
    (peer,) = observe({"hosts": (host_view(2, record=record, fresh=False),)}).peers
    assert peer.stopped
    assert (peer.engine_up, peer.engine_healthy, peer.fresh) == (False, False, False)


def test_the_notes_of_a_peer_are_read() -> None:
    told = reach.Testimony(reach.Sight.DARK, 4, True)
    notes = (
        ("cannot-start", "used by h9"),
        ("start-tries", "3"),
        (reach.WITNESS, reach.testimony_text(told)),
        (reach.GAVE_AWAY, "yes"),
    )
    (peer,) = observe({"hosts": (host_view(2, record={"notes": notes}),)}).peers
    assert (peer.cannot_start, peer.tries, peer.testimony) == ("used by h9", 3, told)
    assert peer.gave_away
    (peer,) = observe({"hosts": (host_view(2, record={"notes": (("other", "line"),)}),)}).peers
    assert (peer.cannot_start, peer.tries, peer.testimony) == ("", 0, None)
    assert not peer.gave_away


def test_peers_known_already_are_not_made_anew() -> None:
    known = (Peer(9, "h9", Liveness.LIVE),)
    assert observe({"hosts": (host_view(1), host_view(2))}, peers=known).peers is known
    assert observe({"hosts": (host_view(1), host_view(2))}, peers=()).peers == ()


def test_a_list_of_peers_is_made_anew_for_new_hosts_alone() -> None:
    peers, hosts = PeerList(1), (host_view(1), host_view(2))
    assert peers.look(None) == ()
    seen = peers.look(snapshot(NOW_S, hosts=hosts))
    assert [peer.host_id for peer in seen] == [2]
    assert peers.look(snapshot(NOW_S + 1, hosts=hosts)) is seen
    seen = peers.look(snapshot(NOW_S + 2, hosts=(*hosts, host_view(3))))
    assert [peer.host_id for peer in seen] == [2, 3]
    assert peers.look(None) == ()


@pytest.mark.parametrize("liveness", Liveness)
def test_every_liveness_has_its_word(liveness: Liveness) -> None:
    (peer,) = observe({"hosts": (host_view(2, liveness=liveness),)}).peers
    assert peer.liveness is liveness


# --- without a broker -----------------------------------------------------------------


def test_a_silent_broker_leaves_maintenance_and_peers_as_they_were() -> None:
    hosts = (host_view(1), host_view(2))
    old = snapshot(NOW_S - 100, global_maintenance=True, local_maintenance=True, hosts=hosts)
    observation = observe(look=BrokerLook(old, NOW_S - 100, "gone"))
    assert observation.global_maintenance is True
    assert observation.local_maintenance
    assert observation.lease is Lease.UNKNOWN
    assert [peer.host_id for peer in observation.peers] == [2], "no empty cluster either"
    assert observation.condition.network_failed_fraction is None


def test_nothing_is_known_before_the_broker_answers() -> None:
    observation = observe(look=BrokerLook())
    assert observation.global_maintenance is None
    assert not observation.local_maintenance


# --- what is handed through -----------------------------------------------------------


def test_the_rest_is_handed_through() -> None:
    observation = observe(
        {"monitors": (MonitorView("network", value=0.75, seen_at_s=NOW_S),)},
        start=LatestStart(StartOutcome.FAILED, "no memory"),
        vm_holds_lease=False,
        config_current=False,
        stop_requested=True,
    )
    assert (observation.start, observation.start_why) == (StartOutcome.FAILED, "no memory")
    assert observation.vm_holds_lease is False
    assert observation.condition.config_current is False
    assert observation.condition.network_failed_fraction == 0.25
    assert observation.stop_requested


def test_which_process_the_vm_is() -> None:
    seen = observe(vm_process=ProcessStart("boot 1, start 55", 4321.0))
    assert (seen.vm_id, seen.vm_began_s) == ("boot 1, start 55", 4321.0)
    seen = observe(vm_process=None)
    assert (seen.vm_id, seen.vm_began_s) == ("", None)


@pytest.mark.parametrize(("answered", "good"), [(0.8, True), (0.2, False), (None, None)])
def test_what_this_host_sees_of_the_page_is_told_with_its_network(
    answered: Optional[float], good: Optional[bool]
) -> None:
    monitors = (MonitorView("network", value=answered, seen_at_s=NOW_S),)
    seen = observe({"witness": WitnessView(4, reach.Sight.DARK), "monitors": monitors})
    assert seen.testimony == reach.Testimony(reach.Sight.DARK, 4, good)
    assert observe({"monitors": monitors}).testimony is None


def test_an_old_snapshot_bears_no_witness() -> None:
    old = snapshot(NOW_S - 100, witness=WitnessView(4, reach.Sight.DARK))
    assert observe(look=BrokerLook(old, NOW_S - 100)).testimony is None


# --- this host's condition --------------------------------------------------------------


def condition(*views: MonitorView) -> HostCondition:
    return observe({"monitors": views}).condition


def view(name: str, value: Optional[float], **fields: Any) -> MonitorView:
    return MonitorView(name, value=value, seen_at_s=NOW_S, **fields)


def test_monitors_say_how_the_host_is() -> None:
    found = condition(
        view("network", 1.0),
        view("bridge", 0.0, detail="br0 is down"),
        view("mem-free", 1000.0, limit=1001.0),
        view("cpu-load", 0.3),
        view("storage-space", 5.0),
    )
    assert found == HostCondition(
        network_failed_fraction=0.0,
        cpu_load_without_engine=0.3,
        memory_sufficient=False,
        memory_free_bytes=1000.0,
        memory_needed_bytes=1001.0,
        bridge_up=False,
        bridge_detail="br0 is down",
    )


def test_just_enough_memory_and_a_bridge_that_is_up() -> None:
    found = condition(view("bridge", 1.0), view("mem-free", 1001.0, limit=1001.0))
    assert (found.bridge_up, found.memory_sufficient) == (True, True)


def test_monitors_without_a_value_say_nothing() -> None:
    names = ("network", "bridge", "mem-free", "cpu-load")
    unmeasured = [view(name, None, detail="not measured yet") for name in names]
    plugin = view("plugin:raid", None, points=200)
    unlimited = view("mem-free", 1.0)
    assert condition(*unmeasured, plugin) == HostCondition(bridge_detail="not measured yet")
    assert condition(unlimited).memory_sufficient is None
    assert condition(view("mem-free", None, limit=1001.0)).memory_sufficient is None
    assert condition() == HostCondition()


def test_plugins_cost_the_share_that_they_say() -> None:
    found = condition(
        view("plugin:raid", 0.25, points=200, detail="one disk is gone"),
        view("plugin:fans", 0.0, points=100),
        view("plugin:idle", 0.5),
    )
    assert found.plugins == (PluginCost("raid", 200, 0.25, "one disk is gone"),)


@pytest.mark.parametrize(
    ("state", "owner_id"), [(LeaseState.HELD, 2), (LeaseState.FREE, None), (LeaseState.FREE, 1)]
)
def test_moments_of_a_lease_that_is_not_this_hosts_though_a_vm_runs(state, owner_id) -> None:
    seen = observe(
        {"lease": LeaseView(state, owner_id, NOW_S - 1)},
        domain=Domain(DomainState.RUNNING, pid=7),
        vm_seen_at_s=NOW_S - 0.5,
        vm_running_since_s=NOW_S - 90,
    )
    moments = seen.lease_seen_at_s, seen.vm_seen_at_s, seen.vm_running_since_s
    assert moments == (NOW_S - 1, NOW_S - 0.5, NOW_S - 90)


@pytest.mark.parametrize(
    ("domain", "owner_id"),
    [
        (Domain(DomainState.RUNNING, pid=7), 1),
        (Domain(DomainState.PAUSED, pid=7, detail="migration"), 2),
        (Domain(DomainState.ABSENT), 2),
    ],
)
def test_looks_without_news_do_not_look_like_news(domain: Domain, owner_id: int) -> None:
    lease = LeaseView(LeaseState.HELD, owner_id, NOW_S - 1)
    seen = observe({"lease": lease}, domain=domain, vm_seen_at_s=NOW_S)
    assert (seen.lease_seen_at_s, seen.vm_seen_at_s, seen.vm_running_since_s) == (None,) * 3


def test_after_a_sleep_nothing_starts_before_the_storage_was_read() -> None:
    read = StorageView(last_read_at_s=NOW_S - 3, last_write_at_s=NOW_S)
    assert blocked_why(inputs({"storage": read}, woke_at_s=NOW_S - 4)) == ""
    why = blocked_why(inputs({"storage": read}, woke_at_s=NOW_S - 2))
    assert why == "this machine has slept; the broker has not read the shared storage since"


# --- between two hosts ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("why", "setting"),
    [
        (Pause.MIGRATION, "migration_s"),
        (Pause.POSTCOPY, "migration_s"),
        (Pause.SAVE, "save_s"),
        (Pause.DUMP, "save_s"),
        (Pause.SNAPSHOT, "save_s"),
        (Pause.FROM_SNAPSHOT, "save_s"),
        (Pause.SHUTTING_DOWN, "stop_s"),
    ],
)
def test_libvirt_may_hold_a_vm_for_a_while_and_no_longer(why: Pause, setting: str) -> None:
    limit_s = getattr(SETTINGS.timing, setting)
    held = {"domain": paused(why, 7), "vm_ran": True}
    detail = paused(why).detail
    seen = observe(**held, vm_same_since_s=NOW_S - limit_s + 1)
    assert (seen.vm, seen.vm_detail) == (Vm.IN_TRANSIT, detail)
    seen = observe(**held, vm_same_since_s=NOW_S - limit_s)
    assert seen.vm is Vm.PAUSED
    assert seen.vm_detail == f"{detail}, for longer than timing.{setting} ({limit_s:g} s) allows"
    assert not seen.vm_leaving


def test_a_vm_that_nothing_can_let_go_on_is_paused_and_leaves_no_more() -> None:
    held = {"domain": paused(Pause.MIGRATION, 7), "vm_ran": True, "vm_same_since_s": NOW_S - 50}
    ours = {"lease": LeaseView(LeaseState.HELD, 1, NOW_S)}
    seen = observe(ours, **held)
    assert (seen.vm, seen.vm_leaving, seen.vm_stranded) == (Vm.IN_TRANSIT, True, False)
    seen = observe(ours, **held, vm_stranded=True)
    assert (seen.vm, seen.vm_detail) == (Vm.PAUSED, STRANDED)
    assert (seen.vm_leaving, seen.vm_stranded) == (False, True)


@pytest.mark.parametrize(
    "lease",
    [
        LeaseView(LeaseState.FREE, seen_at_s=NOW_S),
        LeaseView(LeaseState.HELD, 2, NOW_S),
        LeaseView(LeaseState.UNKNOWN),
        LeaseView(LeaseState.HELD, 1, NOW_S - ALIVE_S - 1),
    ],
    ids=str,
)
def test_sanlocks_word_alone_strands_no_vm(lease: LeaseView) -> None:
    held = {"domain": paused(Pause.MIGRATION, 7), "vm_ran": True, "vm_same_since_s": NOW_S - 50}
    seen = observe({"lease": lease}, **held, vm_stranded=True)
    assert (seen.vm, seen.vm_leaving, seen.vm_stranded) == (Vm.IN_TRANSIT, True, False)


def test_another_pause_has_no_limit_here() -> None:
    disk = paused(Pause.IOERROR, 7)
    seen = observe(domain=disk, vm_same_since_s=0.0)
    assert (seen.vm, seen.vm_detail) == (Vm.PAUSED, disk.detail)


@pytest.mark.parametrize(
    ("domain", "ran", "leaving"),
    [
        (Domain(DomainState.RUNNING, pid=7, leaving=True), True, True),
        (Domain(DomainState.RUNNING, pid=7), True, False),
        (paused(Pause.MIGRATION, 7), True, True),
        (paused(Pause.MIGRATION, 7), False, False),  # it arrives
        (paused(Pause.SAVE, 7), True, False),
        (paused(Pause.POSTCOPY, 7), True, False),  # it runs elsewhere already
    ],
)
def test_a_vm_that_leaves_is_told_from_one_that_arrives(
    domain: Domain, ran: bool, leaving: bool
) -> None:
    seen = observe(domain=domain, vm_ran=ran, vm_same_since_s=NOW_S)
    assert seen.vm_leaving is leaving
    assert seen.moving_limit_s == SETTINGS.timing.away_s


def test_a_peer_says_that_the_engine_leaves_it() -> None:
    record = {"notes": (("moving", "to h3, others wait 40 s"),)}
    (peer,) = observe({"hosts": (host_view(2, record=record, changed_at_s=99.0),)}).peers
    assert (peer.moving_limit_s, peer.moving_to, peer.told_at_s) == (40.0, "h3", 99.0)
    (peer,) = observe({"hosts": (host_view(2, changed_at_s=99.0),)}).peers
    assert (peer.moving_limit_s, peer.moving_to, peer.told_at_s) == (None, "", None)
