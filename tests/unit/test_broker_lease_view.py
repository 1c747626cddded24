# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Each rule of the lease's view, in its order."""

from __future__ import annotations

from typing import Optional

import pytest

from ha_broker.api.snapshot import LeaseState, LeaseView
from ha_broker.lockspace.lease_state import LeaseReading, lease_view
from ha_broker.storage.liveness import is_fresh
from metadata.liveness import Liveness
from world.ports.sanlock import LeaseOwner, LockspaceHost

OWN_ID = 1


def view(
    owner: Optional[LeaseOwner],
    hosts: tuple[LockspaceHost, ...] = (),
    unusable_why: str = "",
    read_at_s: float = 100.0,
) -> LeaseView:
    by_id = {host.host_id: host for host in hosts}
    return lease_view(LeaseReading(owner, read_at_s), by_id, OWN_ID, unusable_why, 90.0)


def host(host_id: int, liveness: Liveness, generation: int = 3) -> LockspaceHost:
    return LockspaceHost(host_id, generation, 77, liveness)


def test_unknown_while_sanlock_can_not_be_asked() -> None:
    why = "sanlock is gone"
    assert view(LeaseOwner(2, 3), unusable_why=why) == LeaseView(
        LeaseState.UNKNOWN, None, 100.0, why
    )
    never_read = lease_view(None, {}, OWN_ID, why, 90.0)
    assert never_read == LeaseView(LeaseState.UNKNOWN, None, None, why)


@pytest.mark.parametrize(
    ("owner", "read_at_s", "found"),
    [
        (LeaseOwner(2, 3), 100.0, (LeaseState.HELD, 2)),
        (LeaseOwner(2, 3), 89.9, (LeaseState.UNKNOWN, None)),
        (LeaseOwner(OWN_ID, 3), 100.0, (LeaseState.UNKNOWN, None)),
        (None, 100.0, (LeaseState.UNKNOWN, None)),
    ],
)
def test_a_vm_that_runs_here_has_lost_what_is_anothers_whoever_may_take_it(
    owner: Optional[LeaseOwner], read_at_s: float, found: tuple[str, Optional[int]]
) -> None:
    """Nothing else is said while the hosts' watchdog times differ: nobody may go by it to start."""
    seen = lease_view(
        LeaseReading(owner, read_at_s),
        {2: host(2, Liveness.DEAD)},
        OWN_ID,
        "the watchdog times differ",
        90.0,
        vm_is_here=True,
    )
    assert (seen.state, seen.owner_id) == found
    assert "the watchdog times differ" in seen.why


def test_unknown_before_the_first_reading() -> None:
    found = lease_view(None, {}, OWN_ID, "", 90.0)
    assert found == LeaseView(LeaseState.UNKNOWN, None, None, "the lease has not been read yet")


def test_a_reading_gets_too_old() -> None:
    assert view(None, read_at_s=90.0).state == LeaseState.FREE
    why = "the latest reading of the lease is too old"
    assert view(None, read_at_s=89.9) == LeaseView(LeaseState.UNKNOWN, None, 89.9, why)


def test_free_without_an_owner() -> None:
    found = view(None)
    assert (found.state, found.owner_id, found.seen_at_s) == (LeaseState.FREE, None, 100.0)


def test_held_when_sanlock_does_not_know_the_owner() -> None:
    found = view(LeaseOwner(2, 3), (host(3, Liveness.LIVE),))
    assert (found.state, found.owner_id) == (LeaseState.HELD, 2)
    assert "does not know host 2" in found.why


def test_free_when_sanlock_has_not_listed_the_owner_for_long() -> None:
    listed = {3: host(3, Liveness.LIVE)}
    reading = LeaseReading(LeaseOwner(2, 3), 100.0)
    found = lease_view(reading, listed, OWN_ID, "", 90.0, unlisted_long=True)
    assert (found.state, found.owner_id) == (LeaseState.FREE, 2)
    assert found.why == "host 2 owned it and has left the lockspace"


@pytest.mark.parametrize("liveness", [Liveness.LIVE, Liveness.FAIL, Liveness.UNKNOWN])
def test_held_when_sanlock_lists_the_owner_again_whatever_it_did_before(
    liveness: Liveness,
) -> None:
    reading, hosts = LeaseReading(LeaseOwner(2, 3), 100.0), {2: host(2, liveness)}
    found = lease_view(reading, hosts, OWN_ID, "", 90.0, unlisted_long=True)
    assert found.state == LeaseState.HELD


@pytest.mark.parametrize("liveness", list(Liveness))
def test_free_when_the_owner_has_joined_again_since(liveness: Liveness) -> None:
    found = view(LeaseOwner(2, 3), (host(2, liveness, generation=4),))
    assert (found.state, found.owner_id) == (LeaseState.FREE, 2)


@pytest.mark.parametrize(
    ("wait_s", "state"),
    [(12.0, "held"), (0.5, "held"), (0.0, "free"), (-3.0, "free"), (None, "free")],
)
def test_a_new_life_may_be_a_copys_and_frees_nothing_for_a_moment(
    wait_s: Optional[float], state: str
) -> None:
    reading, hosts = LeaseReading(LeaseOwner(2, 3), 100.0), {2: host(2, Liveness.LIVE, 4)}
    found = lease_view(reading, hosts, OWN_ID, "", 90.0, new_life_for_s=wait_s)
    assert (found.state, found.owner_id) == (state, 2)
    if wait_s == 12.0:
        assert found.why == (
            "host 2 has joined again; the engine of its earlier life may run for 12 s more"
        )
    elif state == LeaseState.FREE:
        assert found.why == "host 2 owned it in an earlier life"


def test_our_own_new_life_is_no_copys() -> None:
    reading = LeaseReading(LeaseOwner(OWN_ID, 3), 100.0)
    hosts = {OWN_ID: host(OWN_ID, Liveness.LIVE, 4)}
    found = lease_view(reading, hosts, OWN_ID, "", 90.0, new_life_for_s=12.0)
    assert (found.state, found.why) == (LeaseState.FREE, "this host owned it in an earlier life")


@pytest.mark.parametrize("liveness", [Liveness.DEAD, Liveness.FREE, Liveness.LIVE])
def test_held_while_sanlock_has_an_older_generation(liveness: Liveness) -> None:
    found = view(LeaseOwner(2, 3), (host(2, liveness, generation=2),))
    assert found.state == LeaseState.HELD
    assert found.why == "sanlock has not seen the present life of host 2 yet"


@pytest.mark.parametrize(
    ("liveness", "state"),
    [
        (Liveness.LIVE, LeaseState.HELD),
        (Liveness.FAIL, LeaseState.HELD),
        (Liveness.UNKNOWN, LeaseState.HELD),
        (Liveness.DEAD, LeaseState.FREE),
        (Liveness.FREE, LeaseState.FREE),
    ],
)
def test_the_owners_life_decides(liveness: Liveness, state: str) -> None:
    found = view(LeaseOwner(2, 3), (host(2, liveness),))
    assert (found.state, found.owner_id) == (state, 2)
    verb = "owns" if state == LeaseState.HELD else "owned"
    assert found.why == f"host 2 {verb} it and is {liveness.value}"


def test_our_own_lease_is_held_with_our_id() -> None:
    found = view(LeaseOwner(OWN_ID, 3), (host(OWN_ID, Liveness.LIVE),))
    assert (found.state, found.owner_id) == (LeaseState.HELD, OWN_ID)


def test_our_own_lease_of_an_earlier_life_is_free() -> None:
    found = view(LeaseOwner(OWN_ID, 2), (host(OWN_ID, Liveness.LIVE),))
    assert (found.state, found.owner_id) == (LeaseState.FREE, OWN_ID)


@pytest.mark.parametrize(
    ("first_seen_at_s", "changed_at_s", "liveness", "fresh"),
    [
        (None, None, Liveness.LIVE, False),
        (100.0, None, Liveness.LIVE, True),  # just started: sanlock's word counts ...
        (100.0, None, Liveness.UNKNOWN, False),
        (100.0, None, Liveness.DEAD, False),
        (39.0, None, Liveness.LIVE, False),  # ... until it had time enough to change
        (0.0, 40.0, Liveness.UNKNOWN, True),
        (0.0, 40.0, Liveness.DEAD, True),
        (0.0, 39.9, Liveness.LIVE, False),
    ],
)
def test_fresh(
    first_seen_at_s: Optional[float],
    changed_at_s: Optional[float],
    liveness: Liveness,
    fresh: bool,
) -> None:
    found = is_fresh(first_seen_at_s, changed_at_s, liveness, now_s=100.0, alive_s=60.0)
    assert found is fresh


@pytest.mark.parametrize(
    ("liveness", "silent_long", "state"),
    [
        (Liveness.FAIL, True, LeaseState.FREE),
        (Liveness.FAIL, False, LeaseState.HELD),
        (Liveness.LIVE, True, LeaseState.HELD),
        (Liveness.UNKNOWN, True, LeaseState.HELD),
    ],
)
def test_silent_for_the_floor_is_as_good_as_dead_while_sanlock_hears_nothing(
    liveness: Liveness, silent_long: bool, state: str
) -> None:
    reading = LeaseReading(LeaseOwner(2, 1), 100.0)
    hosts = {2: LockspaceHost(2, 1, 7, liveness)}
    found = lease_view(reading, hosts, OWN_ID, "", 90.0, silent_long=silent_long)
    assert found.state == state
