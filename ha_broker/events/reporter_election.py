# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which host tells an event: one for the cluster, and another one if that one dies. Pure.

Every host sees the same events and reckons the same order of tellers: the host that the event is
about, if it lives, then the others by their ids. The first one tells it at once. Each of the others
keeps it until it has seen that one before it still worked a while later, hence has told it; and
tells it when all before it have stopped working without such a sign. A host that is back in a new
life (sanlock's generation tells) gives no sign for the one before. So an event is told once; twice,
when its teller died right after telling it; and never by nobody while one host works.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from ha_broker.api.event import Event
from ha_broker.events.cluster_state import ClusterPicture
from ha_broker.events.detector import Happening
from metadata.value_class import value_class


@value_class(frozen=True)
class ReporterElection:
    """An event that this host tells if all of `before_me` stop working too early.

    A record that one of them wrote after `told_by_s` is the sign that it has told the event.
    `lives` are their generations in sanlock's lockspace when it happened (0: not known).
    """

    event: Event
    before_me: tuple[int, ...]
    told_by_s: float
    lives: tuple[int, ...] = ()

    def rivals(self, generations: Mapping[int, int]) -> tuple[int, ...]:
        """Those before this host that are still in the life in which it happened."""
        if not self.lives:
            return self.before_me
        both = zip(self.before_me, self.lives)
        return tuple(
            host_id for host_id, life in both if not _differ(life, generations.get(host_id, 0))
        )


def duty_of(
    happening: Happening, own_id: int, now_s: float, apart_s: float, lives: Mapping[int, int]
) -> ReporterElection:
    """What this host has to do about it; two hosts may see the same thing `apart_s` apart.

    `lives` are the hosts' generations now.
    """
    before = () if happening.own else _before(happening, own_id)
    generations = tuple(lives.get(host_id, 0) for host_id in before)
    return ReporterElection(happening.event, before, now_s + apart_s, generations)


def due_duties(
    duties: tuple[ReporterElection, ...], picture: ClusterPicture
) -> tuple[tuple[ReporterElection, ...], tuple[Event, ...]]:
    """The duties that remain, and what this host tells now."""
    if not picture.sees:  # whether others work is not known
        mine = [duty for duty in duties if not duty.before_me]
        return tuple(duty for duty in duties if duty.before_me), _events(mine)
    if not duties:
        return (), ()
    tellers, lives, wrote_s = set(picture.tellers), picture.generations, picture.wrote_s
    open_duties = [duty for duty in duties if not _is_told(duty, wrote_s, lives)]
    mine = [duty for duty in open_duties if tellers.isdisjoint(duty.rivals(lives))]
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


def _differ(life: int, now: int) -> bool:
    """Surely: while this host is out of the lockspace it does not know the others' lives."""
    return life != now and 0 not in (life, now)


def _is_told(
    duty: ReporterElection, wrote_s: Mapping[int, float], lives: Mapping[int, int]
) -> bool:
    return any(wrote_s.get(host_id, -inf) >= duty.told_by_s for host_id in duty.rivals(lives))


def _events(duties: Sequence[ReporterElection]) -> tuple[Event, ...]:
    return tuple(duty.event for duty in duties)
