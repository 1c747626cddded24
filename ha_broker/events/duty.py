"""Which host tells an event: one for the cluster, and another one if that one dies. Pure.

Every host sees the same events and reckons the same order of tellers: the host that the event is
about, if it lives, then the others by their ids. The first one tells it at once. Each of the others
keeps it for a while, and tells it only when all before it have stopped working meanwhile: for as
long as such a death takes to be seen. So an event is told once; twice, when its teller died right
after telling it; and never by nobody while one host works.
"""

from __future__ import annotations

from dataclasses import dataclass

from ha_broker.events.event import Event
from ha_broker.events.picture import ClusterPicture
from ha_broker.events.watch import Happening

# A host's death shows when its record has not changed for alive_s; what it was about to tell it
# may have seen a little later than this host.
KEEP_ALIVE_WINDOWS = 2


@dataclass(frozen=True)
class Duty:
    """An event that this host tells if all of `before_me` stop working before `until_s`."""

    event: Event
    before_me: tuple[int, ...]
    until_s: float


def duty_of(happening: Happening, picture: ClusterPicture, now_s: float, alive_s: float) -> Duty:
    """What this host has to do about it."""
    until_s = now_s + KEEP_ALIVE_WINDOWS * alive_s
    before = () if happening.own else _before(happening, picture)
    return Duty(happening.event, before, until_s)


def due_duties(
    duties: tuple[Duty, ...], picture: ClusterPicture, now_s: float
) -> tuple[tuple[Duty, ...], tuple[Event, ...]]:
    """The duties that remain, and what this host tells now."""
    tellers = set(picture.tellers)
    told = [duty for duty in duties if _is_due(duty, tellers, picture.sees)]
    kept = [
        duty for duty in duties if duty not in told and (now_s < duty.until_s or not picture.sees)
    ]
    return tuple(kept), tuple(duty.event for duty in told)


def _before(happening: Happening, picture: ClusterPicture) -> tuple[int, ...]:
    others = [host_id for host_id in picture.tellers if host_id != picture.own_id]
    if not happening.witnessed or picture.own_id not in picture.tellers:
        return tuple(others)
    first = happening.teller_id
    own_rank = (picture.own_id != first, picture.own_id)
    return tuple(host_id for host_id in others if (host_id != first, host_id) < own_rank)


def _is_due(duty: Duty, tellers: set[int], sees: bool) -> bool:
    """A host that can't see the others can't know that they are gone."""
    return not duty.before_me or (sees and tellers.isdisjoint(duty.before_me))
