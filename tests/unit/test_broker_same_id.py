# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A copy of a host does not join beside the host itself, and a reboot is no copy."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Optional

import pytest

from ha_broker.api.snapshot import LeaseState
from ha_broker.lockspace.same_id import Signs, trouble, watch_s
from ha_broker.storage.own_slot_writer import WRITE_OWN
from metadata.host_notes import MachineIdentity, identity_notes, machine_identity
from metadata.records import HostRecord
from metadata.settings.timing import renewal_s
from simulation.other_versions import too_new
from simulation.world import InlineRunner, SimLockspace
from tests.unit.broker_host import (
    DOWN,
    IO_TIMEOUT_S,
    JOIN_S,
    SETTINGS,
    TICK_S,
    Cluster,
    Host,
)
from world.ports.sanlock import HostPlace, LeaseOwner, Membership

HOME = machine_identity("disk", "board 1", "boot 1")
REBOOTED = machine_identity("disk", "board 1", "boot 2")
COPY = machine_identity("disk", "board 2", "boot 3")
NO_BOARD = machine_identity("disk", "", "boot 2")
RENEWAL_S, FLOOR_S = 25.0, 140.0
PLACE = HostPlace("h1", 3, 77)
FREE = HostPlace("h1", 3, 0)
WATCH_S = watch_s(SETTINGS.timing)


def wrote(identity: MachineIdentity, name: str = "h1") -> HostRecord:
    return HostRecord(1, 7, 3400, DOWN, name, notes=identity_notes(identity))


def judged(
    own: MachineIdentity,
    record: Optional[HostRecord],
    place: Optional[HostPlace] = PLACE,
    still_s: float = 0.0,
    **seen: object,
) -> str:
    signs = Signs("h1", place, still_s, record=record, **seen)  # type: ignore[arg-type]
    return trouble(own, signs, RENEWAL_S, FLOOR_S)


@pytest.mark.parametrize("own", [HOME, REBOOTED])
def test_the_machine_itself_may_at_once(own: MachineIdentity) -> None:
    assert judged(own, wrote(HOME)) == ""


@pytest.mark.parametrize("record", [None, wrote(HOME), wrote(COPY)])
@pytest.mark.parametrize("place", [None, FREE])
def test_an_id_that_was_left_may_be_used_at_once(
    place: Optional[HostPlace], record: Optional[HostRecord]
) -> None:
    assert judged(REBOOTED, record, place) == ""


@pytest.mark.parametrize("record", [None, wrote(MachineIdentity()), wrote(NO_BOARD)])
def test_who_can_not_tell_looks_for_longer_than_a_renewal(record: Optional[HostRecord]) -> None:
    other = machine_identity("disk", "", "boot 9")
    assert "looks for 25 s" in judged(other, record, still_s=10)
    assert judged(other, record, still_s=RENEWAL_S) == ""


def test_whose_own_daemon_joined_last_may_at_once() -> None:
    assert judged(NO_BOARD, None, known_generation=PLACE.generation) == ""


def test_signs_of_another_machine_need_the_whole_floor() -> None:
    assert "looks for 140 s" in judged(COPY, wrote(HOME), still_s=40)
    assert judged(COPY, wrote(HOME), still_s=FLOOR_S) == ""
    overtaken = judged(REBOOTED, wrote(HOME), still_s=40, known_generation=2)
    assert "looks for 140 s" in overtaken
    assert judged(REBOOTED, wrote(HOME), known_generation=3) == ""


def test_a_join_of_our_own_raises_the_generation_by_one_and_another_ones_by_more() -> None:
    """Also where it was lost before sanlock told our own generation."""
    assert judged(HOME, wrote(HOME), joined_from=PLACE.generation - 1) == ""
    assert judged(HOME, wrote(HOME), joined_from=PLACE.generation) == ""
    lost = judged(HOME, wrote(HOME), still_s=40, joined_from=PLACE.generation - 2)
    assert "looks for 140 s" in lost
    assert judged(HOME, wrote(HOME), known_generation=3, joined_from=1) == ""
    assert judged(HOME, wrote(HOME), known_generation=1, joined_from=2) == ""


def test_that_a_join_could_have_been_ours_makes_it_not_ours() -> None:
    assert "looks for 25 s" in judged(NO_BOARD, None, joined_from=PLACE.generation - 1)


@pytest.mark.parametrize("own", [NO_BOARD, machine_identity("disk", "", "boot 9")])
def test_a_record_of_another_name_is_a_sign_of_another_machine(own: MachineIdentity) -> None:
    """A renamed host has left its place in order, and a renamed copy can't tell what it is."""
    record = wrote(machine_identity("disk", "board 1", "boot 1"), "h7")
    assert "looks for 140 s" in judged(own, record, still_s=RENEWAL_S)
    assert judged(own, record, still_s=FLOOR_S) == ""
    assert judged(own, record, FREE) == ""
    assert judged(REBOOTED, record) == "", "this very machine, under its former name"


def test_a_place_that_moves_is_refused_with_both_names() -> None:
    why = judged(COPY, wrote(HOME), place_moved=True, still_s=5)
    assert "calls itself h1, too" in why
    assert HOME.text() in why
    assert COPY.text() in why
    moved_before = judged(COPY, wrote(HOME), place_moved=True, still_s=RENEWAL_S)
    assert "looks for 140 s" in moved_before, "its storage may only have hung"


def test_a_record_that_another_machine_writes_is_refused_although_the_place_is_free() -> None:
    why = judged(COPY, wrote(HOME), FREE, record_moved=True, record_still_s=3)
    assert "calls itself h1, too" in why
    assert judged(HOME, wrote(HOME), FREE, record_moved=True, record_still_s=3) == ""


def test_another_name_is_named() -> None:
    why = judged(COPY, wrote(HOME, "h7"), place_moved=True)
    assert f"uses the same host id, h7 ({HOME.text()}); this one is h1 ({COPY.text()})" in why


def test_the_look_takes_longer_than_a_renewal() -> None:
    assert renewal_s(IO_TIMEOUT_S) < WATCH_S


# --- whole brokers ------------------------------------------------------------------------------


def machine(cluster: Cluster, state_dir: Path, board: str, boots: int = 1) -> Host:
    host = cluster.host(1, state_dir, name="h1")
    host.vitals.machine_id, host.vitals.hardware_id = "disk", board
    for _ in range(boots):
        host.vitals.reboot()
    host.start()
    return host


def live(cluster: Cluster, host: Host, seconds: float) -> None:
    """Its agent publishes once a tick."""
    for _ in range(int(seconds / TICK_S)):
        host.publish()
        cluster.run(TICK_S)


def test_a_copy_joins_nothing_and_writes_nothing(tmp_path: Path) -> None:
    cluster = Cluster()
    original = machine(cluster, tmp_path / "original", "board 1")
    live(cluster, original, JOIN_S + 2 * TICK_S)
    assert original.snapshot.lockspace.membership == Membership.JOINED
    copy = machine(cluster, tmp_path / "copy", "board 2")
    copy.publish()
    live(cluster, original, 2 * WATCH_S)
    assert copy.snapshot.lockspace.membership == Membership.OUT
    assert "calls itself h1, too" in copy.snapshot.lockspace.error
    assert cluster.san.slots[1].generation == 1
    assert dict(cluster.stored(1).notes)["hardware-id"] == original.vitals.identity().hardware
    assert original.snapshot.lockspace.membership == Membership.JOINED


@pytest.mark.parametrize("spoil", [lambda _slot: b"", lambda _slot: b"\xff" * 512, too_new])
def test_a_copy_that_can_read_no_record_in_its_slot_writes_none_there_either(
    tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    """With a record of its own there, it would take the place for its own as well."""
    cluster = Cluster()
    original = machine(cluster, tmp_path / "original", "board 1")
    live(cluster, original, JOIN_S + 2 * TICK_S)
    cluster.put(1, spoil(cluster.slot(1)))
    spoilt = cluster.slot(1)
    copy = machine(cluster, tmp_path / "copy", "board 2")
    live(cluster, copy, 2 * WATCH_S)
    assert copy.snapshot.lockspace.membership == Membership.OUT
    assert "calls itself h1, too" in copy.snapshot.lockspace.error
    assert (cluster.san.slots[1].generation, cluster.slot(1)) == (1, spoilt)


def test_a_host_that_lost_its_power_joins_again_at_once(tmp_path: Path) -> None:
    cluster = Cluster()
    host = machine(cluster, tmp_path, "board 1")
    live(cluster, host, JOIN_S + 2 * TICK_S)
    host.lockspace.kill_daemon()
    host.lockspace.start_daemon()
    host.vitals.reboot()
    host.start()
    cluster.run(JOIN_S + 3)
    assert host.snapshot.lockspace.membership == Membership.JOINED
    assert cluster.san.slots[1].generation == 2


def sees_nobody_else_join(host: Host) -> None:
    """Until it has begun to join itself: the other one joins in that very moment."""
    lockspace, real = host.lockspace, host.lockspace.place
    before = real(1)
    lockspace.place = (  # type: ignore[method-assign]
        lambda host_id: real(host_id) if lockspace.generation else before
    )


def test_of_an_original_and_a_copy_that_boot_at_once_one_joins_and_the_other_tells(
    tmp_path: Path,
) -> None:
    """Neither can see the other before both have begun to join."""
    cluster = Cluster()
    first = machine(cluster, tmp_path / "first", "board 0")
    live(cluster, first, JOIN_S + 2 * TICK_S)
    first.lockspace.kill_daemon()
    cluster.hosts.clear()
    cluster.put(1, b"\xff" * 512)
    both = [machine(cluster, tmp_path / board, board) for board in ("board 1", "board 2")]
    for host in both:
        sees_nobody_else_join(host)
        host.runner.hang(WRITE_OWN)
    while cluster.san.slots[1].generation < 3:
        cluster.run(1.0)
        assert cluster.clock.monotonic_s() < 2000
    for host in both:
        host.runner.release(WRITE_OWN)
    for _ in range(int((2 * JOIN_S + 3 * WATCH_S) / TICK_S)):
        for host in both:
            host.publish()
        cluster.run(TICK_S)
    assert cluster.san.slots[1].generation == 3, "each has joined once"
    members = [host.snapshot.lockspace.membership for host in both]
    assert sorted(members) == [Membership.JOINED, Membership.OUT]
    (out,) = [one for one in both if one.snapshot.lockspace.membership == Membership.OUT]
    (joined,) = [one for one in both if one is not out]
    assert "calls itself h1, too" in out.snapshot.lockspace.error
    assert out.snapshot.storage.error == joined.snapshot.storage.error == ""
    stored = dict(cluster.stored(1).notes)["hardware-id"]
    assert stored == joined.vitals.identity().hardware


def test_a_host_whose_join_its_storage_has_broken_off_joins_again_at_once(tmp_path: Path) -> None:
    cluster = Cluster()
    host = machine(cluster, tmp_path, "board 1")
    cluster.run(TICK_S)
    assert _membership(host) == Membership.JOINING
    host.lockspace.kill_daemon()
    host.lockspace.start_daemon()
    live(cluster, host, 2 * JOIN_S + 2 * TICK_S)
    assert _membership(host) == Membership.JOINED
    assert cluster.san.slots[1].generation == 2


def _membership(host: Host) -> Membership:
    return host.snapshot.lockspace.membership


# --- what others make of a new life ---------------------------------------------------------------


def test_the_same_machines_new_life_frees_its_lease_as_soon_as_it_is_seen(tmp_path: Path) -> None:
    cluster = Cluster()
    owner = machine(cluster, tmp_path / "owner", "board 1")
    peer = cluster.host(2, tmp_path / "peer")
    live(cluster, owner, JOIN_S + 4 * TICK_S)
    cluster.san.lease = LeaseOwner(1, 1)
    live(cluster, owner, 2 * TICK_S)
    assert peer.snapshot.lease.state == LeaseState.HELD
    owner.lockspace.kill_daemon()
    owner.lockspace.start_daemon()
    owner.vitals.reboot()
    owner.start()
    while peer.view(1).generation == 1:
        live(cluster, owner, TICK_S)
    live(cluster, owner, TICK_S)
    assert peer.snapshot.lease.state == LeaseState.FREE


def test_any_other_new_life_frees_nothing_before_the_original_has_looked(tmp_path: Path) -> None:
    cluster = Cluster()
    peer = cluster.host(2, tmp_path)
    original = cluster.peer(1)
    cluster.run(JOIN_S + 4 * TICK_S)
    original.acquire(77)
    cluster.run(TICK_S)
    assert peer.snapshot.lease.state == LeaseState.HELD
    copy = InlineRunner(cluster.clock)
    lockspace = SimLockspace(cluster.san, "h1")
    copy.submit("join", lambda: lockspace.join(1, IO_TIMEOUT_S))
    while peer.view(1).generation == 1:
        cluster.run(0.5)
    seen_at_s = cluster.clock.monotonic_s()
    cluster.run(1)
    assert peer.snapshot.lease.state == LeaseState.HELD
    assert "the engine of its earlier life may run" in peer.snapshot.lease.why
    while peer.snapshot.lease.state != LeaseState.FREE:
        assert cluster.clock.monotonic_s() - seen_at_s < 100
        cluster.run(0.5)
    assert not original.holders
    waited_s = cluster.clock.monotonic_s() - seen_at_s
    assert waited_s == pytest.approx(renewal_s(IO_TIMEOUT_S) + TICK_S, abs=TICK_S)
