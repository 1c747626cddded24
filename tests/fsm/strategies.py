# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Arbitrary memories, observations and settings for the property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from fsm.memory import MAINTENANCE, Memory
from fsm.observation import (
    HostCondition,
    HostStop,
    Lease,
    MoveOutcome,
    MoveRequest,
    Observation,
    Peer,
    StartOutcome,
    Vm,
    VmEnding,
)
from metadata.liveness import Liveness
from metadata.reach import Sight, Testimony
from metadata.records import Health
from metadata.states import State

TIMES_S = st.floats(min_value=0, max_value=5000)
MAYBE_TIMES_S = st.none() | TIMES_S
FRACTIONS = st.none() | st.sampled_from([0.0, 1.0]) | st.floats(min_value=0, max_value=1)
MAYBE = st.none() | st.booleans()

TESTIMONIES = st.builds(
    Testimony,
    sight=st.sampled_from(Sight),
    engine_host_id=st.integers(1, 3),
    network_good=MAYBE,
)

PEERS = st.builds(
    Peer,
    host_id=st.integers(2, 6),
    name=st.sampled_from(["", "h2", "h3"]),
    liveness=st.sampled_from(Liveness),
    fresh=st.booleans(),
    score=st.sampled_from([0, 1800, 3350, 3400]),
    maintenance=st.booleans(),
    stopped=st.booleans(),
    cannot_start=st.sampled_from(["", "the domain XML is refused"]),
    tries=st.integers(0, 9),
    takes_at=st.sampled_from(["", "qemu+tls://h2/system"]),
    takes_not=st.sampled_from(["", "too little free memory"]),
    testimony=st.none() | TESTIMONIES,
    gave_away=st.booleans(),
)

OBSERVATIONS = st.builds(
    Observation,
    now_s=st.floats(min_value=5000, max_value=9000),
    host_id=st.just(1),
    complete=st.booleans(),
    blocked_why=st.sampled_from(["", "the storage is silent"]),
    vm=st.sampled_from(Vm),
    vm_ending=st.sampled_from(VmEnding),
    health=st.sampled_from(Health),
    lease=st.sampled_from(Lease),
    lease_owner=st.sampled_from(["", "h2"]),
    lease_owner_id=st.none() | st.integers(1, 6),
    vm_leaving=st.booleans(),
    vm_stranded=st.booleans(),
    vm_holds_lease=MAYBE,
    move_request=st.none()
    | st.builds(MoveRequest, st.sampled_from(["one", "two"]), st.none() | st.integers(1, 6)),
    move_outcome=st.sampled_from(MoveOutcome),
    move_why=st.sampled_from(["", "the network is gone"]),
    move_announced=st.booleans(),
    global_maintenance=MAYBE,
    local_maintenance=st.booleans(),
    start=st.sampled_from(StartOutcome),
    host_stops=st.none() | st.sampled_from(HostStop),
    host_stop_told=st.booleans(),
    stop_requested=st.booleans(),
    condition=st.builds(
        HostCondition,
        network_failed_fraction=FRACTIONS,
        cpu_load_without_engine=FRACTIONS,
        memory_sufficient=MAYBE,
        bridge_up=MAYBE,
        config_current=MAYBE,
    ),
    peers=st.lists(PEERS, max_size=3, unique_by=lambda peer: peer.host_id).map(tuple),
)

MEMORIES = st.builds(
    Memory,
    state=st.sampled_from(State),
    since_s=MAYBE_TIMES_S,
    started_at_s=MAYBE_TIMES_S,
    failed_starts_s=st.lists(TIMES_S, max_size=3).map(lambda times: tuple(sorted(times))),
    tries=st.integers(0, 9),
    well_since_s=MAYBE_TIMES_S,
    crashed_at_s=MAYBE_TIMES_S,
    lease_free_since_s=MAYBE_TIMES_S,
    lease_left_since_s=MAYBE_TIMES_S,
    held_off_until_s=st.none() | st.floats(min_value=0, max_value=9000),
    last_owner_id=st.none() | st.integers(1, 6),
    attempt_s=MAYBE_TIMES_S,
    cut_off_since_s=MAYBE_TIMES_S,
    dark_since_s=MAYBE_TIMES_S,
    reached=st.booleans(),
    giving_away=st.booleans(),
    gave_away_at_s=MAYBE_TIMES_S,
    gave_away_uplink=st.booleans(),
    move_for=st.sampled_from(["", MAINTENANCE, "one"]),
    move_target_id=st.integers(1, 6),
    move_ordered=st.booleans(),
    move_refusals=st.lists(st.tuples(st.integers(1, 6), st.just("no")), max_size=3).map(tuple),
    move_ended=st.booleans(),
    move_left=st.booleans(),
)
