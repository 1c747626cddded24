# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""This host's own status: what its agent says, and without it no more than what is seen here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest

from ha_broker.api.own_host import own_host
from ha_broker.api.snapshot import EngineView, HostView, Publication, Snapshot, StorageView
from hosted_engine.cluster.cluster_status import engine_status, host_data
from hosted_engine.cluster.from_broker import cluster_status
from metadata.liveness import Liveness
from metadata.records import EngineStatus, EngineVm, Health, HostRecord
from metadata.wire import decode_slot, encode_host
from world.ports.libvirt import DomainState

UP = EngineStatus(EngineVm.UP, Health.GOOD, "Up")
ILL = EngineStatus(EngineVm.UP, Health.BAD, "Up", "failed liveliness check: 192.0.2.10: refused")
GONE = EngineStatus(EngineVm.DOWN, Health.BAD, "unknown", "vm not running on this host")
BOOTS = EngineStatus(EngineVm.UP, Health.BAD, "Powering up", "health not known")
WRITTEN_S, NOW_S = 100.0, 130.0
RUNS = EngineView(DomainState.RUNNING, Health.GOOD, "", NOW_S)
OLD_NOTES = (("machine-id", "0dcd18473418"), ("moving", "to h2, others wait 40 s"), ("why", "well"))


def stored(status: EngineStatus = UP, **fields: Any) -> HostRecord:
    record = HostRecord(1, 90, 3400, status, "h1", state="EngineUp", notes=OLD_NOTES, **fields)
    found = decode_slot(1, encode_host(record))
    assert isinstance(found, HostRecord)
    return found


def told(
    engine: EngineView,
    record: Optional[HostRecord] = None,
    agent: Optional[Publication] = None,
    changed_at_s: Optional[float] = WRITTEN_S,
    **fields: Any,
) -> tuple[HostView, HostView]:
    """The own view as it was read, and as it is told."""
    record = record or stored()
    view = HostView(1, Liveness.LIVE, 1, record, fresh=True, changed_at_s=changed_at_s)
    values: dict[str, Any] = {
        "storage": StorageView(last_read_at_s=WRITTEN_S, last_write_at_s=WRITTEN_S),
        "engine": engine,
        "agent": agent,
        "agent_published_at_s": None if agent is None else NOW_S,
        "hosts": (view,),
        **fields,
    }
    snapshot = Snapshot(1, NOW_S, 1, "h1", 50.0, **values)
    return view, own_host(snapshot, view)


@pytest.mark.parametrize(
    ("engine", "status"),
    [
        (EngineView(DomainState.ABSENT, Health.UNKNOWN, "qemu died", NOW_S), GONE),
        (
            EngineView(DomainState.PAUSED, Health.UNKNOWN, "somebody paused it", NOW_S),
            EngineStatus(EngineVm.UP, Health.BAD, "Paused", "paused: somebody paused it"),
        ),
        (EngineView(DomainState.RUNNING, Health.BAD, "192.0.2.10: refused", NOW_S), ILL),
    ],
    ids=["gone", "paused", "ill"],
)
def test_an_old_record_claims_no_engine_that_this_host_sees_otherwise(
    engine: EngineView, status: EngineStatus
) -> None:
    view, own = told(engine)
    assert view.record is not None and own.record is not None
    assert own.record.engine_status == status
    assert (own.fresh, own.changed_at_s, own.record.state) == (True, WRITTEN_S, "EngineUp")
    assert '"health": "good"' not in str(host_data(own))
    assert own.record.crc32 != view.record.crc32, "it is the checksum of what is shown"


@pytest.mark.parametrize(
    "engine",
    [
        EngineView(),
        RUNS,
        EngineView(DomainState.RUNNING, Health.UNKNOWN, "", NOW_S),
        EngineView(DomainState.UNKNOWN, Health.UNKNOWN, "libvirt does not answer", NOW_S),
    ],
    ids=["not looked yet", "well", "page not asked yet", "libvirt silent"],
)
def test_what_a_broker_does_not_know_takes_nothing_away(engine: EngineView) -> None:
    """Its first seconds must not look like an illness."""
    view, own = told(engine)
    assert own == view


@pytest.mark.parametrize("status", [GONE, EngineStatus()])
@pytest.mark.parametrize("domain", DomainState)
def test_nothing_is_added_to_what_the_record_says(
    status: EngineStatus, domain: DomainState
) -> None:
    view, own = told(EngineView(domain, Health.GOOD, "", NOW_S), stored(status))
    assert own == view


def test_a_booting_engine_that_has_ended_is_not_up() -> None:
    _view, own = told(EngineView(DomainState.ABSENT), stored(BOOTS))
    assert engine_status(own) == GONE


AGENT = Publication(
    0, GONE, "EngineUnexpectedlyDown", notes=(("why", "the VM crashed"),), stopped=False
)


def test_what_the_agent_said_and_could_not_write_is_told() -> None:
    _view, own = told(EngineView(DomainState.ABSENT), agent=AGENT, local_maintenance=True)
    record = own.record
    assert record is not None
    assert (record.score, record.state, record.engine_status) == (0, "EngineUnexpectedlyDown", GONE)
    assert record.maintenance is True
    assert dict(record.notes) == {"machine-id": "0dcd18473418", "why": "the VM crashed"}
    assert "state=EngineUnexpectedlyDown\n" in record.text
    assert record.timestamp_s == 90, "nobody has written since"


def test_a_better_word_of_the_agent_is_told_too() -> None:
    well = replace(AGENT, score=3400, engine_status=UP, state="EngineUp")
    _view, own = told(RUNS, stored(ILL), agent=well)
    assert engine_status(own) == UP


@pytest.mark.parametrize(("ago_s", "status"), [(0.0, UP), (20.0, UP), (20.1, GONE)])
def test_the_agents_word_goes_before_what_is_seen_for_as_long_as_it_speaks(
    ago_s: float, status: EngineStatus
) -> None:
    """One of the two looks at libvirt is always the later one, and it is the agent that decides."""
    well = replace(AGENT, engine_status=UP, state="EngineUp")
    said_at_s = NOW_S - ago_s
    gone = EngineView(DomainState.ABSENT)
    _view, own = told(gone, agent=well, agent_published_at_s=said_at_s)
    assert engine_status(own) == status


def test_what_was_written_since_the_agent_spoke_is_told_as_it_stands() -> None:
    view, own = told(RUNS, agent=AGENT, agent_published_at_s=WRITTEN_S - 0.1)
    assert own == view


@pytest.mark.parametrize("changed_at_s", [None, WRITTEN_S + 5])
def test_another_machines_word_is_left_alone(changed_at_s: Optional[float]) -> None:
    """A copy of a host has its id and its name, and may not speak for it."""
    view, own = told(EngineView(DomainState.ABSENT), agent=AGENT, changed_at_s=changed_at_s)
    assert own == view


def test_a_broker_that_has_written_nothing_yet_tells_what_stands_there() -> None:
    storage = StorageView(last_read_at_s=WRITTEN_S)
    view, own = told(EngineView(DomainState.ABSENT), agent=AGENT, storage=storage)
    assert own == view


def test_status_of_this_host_is_so_corrected_and_no_others() -> None:
    other = HostView(2, Liveness.LIVE, 1, replace(stored(), host_id=2), fresh=True)
    view, _own = told(EngineView(DomainState.ABSENT))
    storage = StorageView(last_read_at_s=WRITTEN_S, last_write_at_s=WRITTEN_S)
    engine = EngineView(DomainState.ABSENT)
    snapshot = Snapshot(
        1, NOW_S, 1, "h1", 50.0, storage=storage, engine=engine, hosts=(view, other)
    )
    own, same = cluster_status(snapshot, NOW_S).hosts
    assert (engine_status(own), same) == (GONE, other)
