"""Which host tells an event: one for the cluster, and another one if that one dies. Pure.

Every host sees the same events and reckons the same order of tellers: the host that the event is
about, if it lives, then the others by their ids. The first one tells it at once. Each of the others
keeps it until it has seen that one before it still worked a while later, hence has told it; and
tells it when all before it have stopped working without such a sign. So an event is told once;
twice, when its teller died right after telling it; and never by nobody while one host works.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from ha_broker.events.event import Event
from ha_broker.events.picture import ClusterPicture
from ha_broker.events.watch import Happening


@dataclass(frozen=True)
class Duty:
    """An event that this host tells if all of `before_me` stop working too early.

    A record that one of them wrote after `told_by_s` is the sign that it has told the event.
    """

    event: Event
    before_me: tuple[int, ...]
    told_by_s: float


def duty_of(happening: Happening, own_id: int, now_s: float, apart_s: float) -> Duty:
    """What this host has to do about it; two hosts may see the same thing `apart_s` apart."""
    before = () if happening.own else _before(happening, own_id)
    return Duty(happening.event, before, now_s + apart_s)


def due_duties(
    duties: tuple[Duty, ...], picture: ClusterPicture
) -> tuple[tuple[Duty, ...], tuple[Event, ...]]:
    """The duties that remain, and what this host tells now."""
    if not picture.sees:  # whether others work is not known
        mine = [duty for duty in duties if not duty.before_me]
        return tuple(duty for duty in duties if duty.before_me), _events(mine)
    tellers = set(picture.tellers)
    wrote_s = {host.host_id: host.wrote_s for host in picture.hosts if host.wrote_s is not None}
    open_duties = [duty for duty in duties if not _is_told(duty, wrote_s)]
    mine = [duty for duty in open_duties if tellers.isdisjoint(duty.before_me)]
    return tuple(duty for duty in open_duties if duty not in mine), _events(mine)


def _before(happening: Happening, own_id: int) -> tuple[int, ...]:
    others = [
        host_id for host_id in happening.tellers if host_id not in (own_id, happening.not_by_id)
    ]
    if not happening.witnessed or own_id not in happening.tellers:
        return tuple(others)
    first = happening.teller_id
    own_rank = (own_id != first, own_id)
    return tuple(host_id for host_id in others if (host_id != first, host_id) < own_rank)


def _is_told(duty: Duty, wrote_s: Mapping[int, float]) -> bool:
    return any(wrote_s.get(host_id, -inf) >= duty.told_by_s for host_id in duty.before_me)


def _events(duties: Sequence[Duty]) -> tuple[Event, ...]:
    return tuple(duty.event for duty in duties)
