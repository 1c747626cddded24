# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Can the engine's lease be taken? A pure function of what sanlock says.

sanlock itself decides again when qemu acquires the lease; this view only spares the agent
hopeless tries and lets it start the moment that a try can succeed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

from ha_broker.api.snapshot import LeaseState, LeaseView
from metadata.liveness import Liveness
from metadata.value_class import value_class
from world.ports.sanlock import LeaseOwner, LockspaceHost


@value_class(frozen=True)
class LeaseReading:
    """The owner that stood on the storage at `read_at_s` (monotonic, start of the read)."""

    owner: Optional[LeaseOwner]
    read_at_s: float


def lease_view(
    reading: Optional[LeaseReading],
    hosts: Mapping[int, LockspaceHost],
    own_id: int,
    unusable_why: str,
    oldest_s: float,
    *,
    vm_is_here: bool = False,
    unlisted_long: bool = False,
    silent_long: bool = False,
    new_life_for_s: Optional[float] = None,
) -> LeaseView:
    """The first rule that applies, in this order (sources: the project's measured facts).

    `unlisted_long` says that sanlock has not listed the owner's host for several renewals,
    `silent_long` that by our own clock its place in the lockspace may not have changed for the
    floor. `new_life_for_s` is how long the owner's new life still frees nothing (None: it does).

    held      `unusable_why` is not empty, and the VM that runs here (`vm_is_here`) has lost the
              lease to another host: whether that one lives does not matter for our VM
    unknown   `unusable_why` is not empty: this host is not joined, sanlock does not answer or the
              hosts' watchdog times differ, so nothing is known of the owner's life
    unknown   the lease was not read yet, or before `oldest_s`: it may have changed since
    free      it has no owner ("an empty list is a free lease")
    free      sanlock has not listed the owner's host for long: an id that was left in order is
              not listed, and the release of its lease could not be written
    held      sanlock does not list the owner's host: it may have joined just now
    free      the owner is this host in an earlier life
    held      the owner's host has joined again since, a moment ago, and may be a copy of it: the
              original's sanlock ends its engine when it next looks at its place (ADR 31)
    free      the owner's host has joined again since ("its own old leases are void at once:
              its generation went up")
    held      sanlock has not seen the owner's generation yet
    free      the owner's host is DEAD (8 x io_timeout + watchdog_fire_timeout without a renewal,
              so its watchdog has reset it) or FREE (it left, and leaving kills lease holders)
    free      it is FAIL and has been silent for just as long: sanlock says DEAD only at its next
              renewal, and gives the lease away without waiting for that word (ADR 30)
    held      LIVE; FAIL: its holder may still be alive; UNKNOWN: just after joining, "peers
              are UNKNOWN until two renewals were seen"
    """
    if unusable_why:
        lost = _lost(reading, own_id, oldest_s, unusable_why) if vm_is_here else None
        return lost or _unknown(reading, unusable_why)
    if reading is None:
        return LeaseView(why="the lease has not been read yet")
    if reading.read_at_s < oldest_s:
        return _unknown(reading, "the latest reading of the lease is too old")
    owner = reading.owner
    if owner is None:
        return LeaseView(LeaseState.FREE, None, reading.read_at_s, "the lease has no owner")
    host = hosts.get(owner.host_id)
    if host is not None and host.generation > owner.generation:
        wait_s = 0.0 if owner.host_id == own_id else new_life_for_s or 0.0
        state, why = _by_new_life(_name(owner, own_id), wait_s)
    else:
        state, why = _by_owner(owner, host, own_id, unlisted_long, silent_long)
    return LeaseView(state, owner.host_id, reading.read_at_s, why, owner.generation)


def _lost(
    reading: Optional[LeaseReading], own_id: int, oldest_s: float, why: str
) -> Optional[LeaseView]:
    """Whose the lease is, if it is another host's by a look that is not too old."""
    if reading is None or reading.read_at_s < oldest_s:
        return None
    owner = reading.owner
    if owner is None or owner.host_id == own_id:
        return None
    told = f"{_name(owner, own_id)} owns it; {why}"
    return LeaseView(LeaseState.HELD, owner.host_id, reading.read_at_s, told, owner.generation)


def _unknown(reading: Optional[LeaseReading], why: str) -> LeaseView:
    return LeaseView(LeaseState.UNKNOWN, None, reading.read_at_s if reading else None, why)


def _name(owner: LeaseOwner, own_id: int) -> str:
    return "this host" if owner.host_id == own_id else f"host {owner.host_id}"


def _by_new_life(name: str, wait_s: float) -> tuple[str, str]:
    if wait_s <= 0:
        return LeaseState.FREE, f"{name} owned it in an earlier life"
    why = f"{name} has joined again; the engine of its earlier life may run for {wait_s:.0f} s more"
    return LeaseState.HELD, why


def _by_owner(
    owner: LeaseOwner,
    host: Optional[LockspaceHost],
    own_id: int,
    unlisted_long: bool,
    silent_long: bool,
) -> tuple[str, str]:
    name = _name(owner, own_id)
    if host is None and unlisted_long:
        return LeaseState.FREE, f"{name} owned it and has left the lockspace"
    if host is None:
        return LeaseState.HELD, f"sanlock does not know {name}, which owns it"
    if host.generation < owner.generation:
        return LeaseState.HELD, f"sanlock has not seen the present life of {name} yet"
    return _by_life(name, host.liveness, silent_long)


def _by_life(name: str, liveness: Liveness, silent_long: bool) -> tuple[str, str]:
    if liveness in (Liveness.DEAD, Liveness.FREE):
        return LeaseState.FREE, f"{name} owned it and is {liveness.value}"
    if liveness == Liveness.FAIL and silent_long:
        return LeaseState.FREE, f"{name} owned it and has been silent for sanlock's whole time"
    return LeaseState.HELD, f"{name} owns it and is {liveness.value}"
