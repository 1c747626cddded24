# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Whose turn it is among three hosts and more, where first and last are not all there is."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from fsm.observation import Observation, Peer
from fsm.peers import Ranking, ahead_of_us, candidates, undecided
from metadata.liveness import Liveness
from metadata.settings.parse import ScoreWeights


def peer(host_id: int, score: int = 3400, **fields: Any) -> Peer:
    values: dict[str, Any] = {"liveness": Liveness.LIVE, "fresh": True, **fields}
    return Peer(host_id, f"h{host_id}", score=score, **values)


def ahead(
    host_id: int, score: int, *peers: Peer, owner: int | None = None, tries: int = 0
) -> list[int]:
    seen = Observation(now_s=0.0, host_id=host_id, peers=peers)
    ranking = Ranking(owner, ScoreWeights())
    return [one.host_id for one in ahead_of_us(seen, score, tries, ranking)]


FOUR = (peer(1, 3080), peer(2, 3400), peer(3, 2400), peer(5, 3400))


@pytest.mark.parametrize("order", list(permutations(FOUR)))
def test_the_best_goes_first_then_the_lowest_id_in_whatever_order_they_are_seen(
    order: tuple[Peer, ...],
) -> None:
    assert ahead(4, 3400, *order) == [2]
    assert ahead(4, 3080, *order) == [2, 5, 1]
    assert ahead(4, 1000, *order) == [2, 5, 1, 3]


def test_among_equals_the_last_owner_goes_first_and_only_among_equals() -> None:
    assert ahead(4, 3400, *FOUR, owner=5) == [5, 2]
    assert ahead(4, 3080, *FOUR, owner=3) == [2, 5, 1]
    assert ahead(4, 3400, *FOUR, owner=4) == []


def test_who_has_had_its_turn_goes_behind_all_who_have_not_whatever_the_scores() -> None:
    peers = (peer(1, 3400, tries=3), peer(2, 1000), peer(3, 3350, tries=2))
    assert ahead(4, 500, *peers) == [3, 2]
    assert ahead(4, 500, *peers, tries=3) == [3, 2, 1]


def test_among_equals_who_has_tried_less_goes_first_even_before_the_last_owner() -> None:
    peers = (peer(1, tries=1), peer(2), peer(3, tries=1))
    assert ahead(4, 3400, *peers, tries=2, owner=4) == [2, 1, 3]


def test_every_host_has_another_rank() -> None:
    """All see the same, so no two start together."""
    scores = {1: 3080, 2: 3400, 3: 2400, 4: 3400, 5: 3400}
    ranks = [
        len(ahead(own, scores[own], *[peer(one, scores[one]) for one in scores if one != own]))
        for own in scores
    ]
    assert sorted(ranks) == [0, 1, 2, 3, 4]


OUT: list[dict[str, Any]] = [
    {"fresh": False},
    {"liveness": Liveness.FAIL},
    {"liveness": Liveness.DEAD},
    {"liveness": Liveness.FREE},
    {"score": 0},
    {"maintenance": True},
    {"stopped": True},
    {"state": "UnknownLocalVmState"},
    {"cannot_start": "the domain XML is refused"},
]


@pytest.mark.parametrize("fields", OUT)
def test_one_that_can_not_start_it_is_passed_over(fields: dict[str, Any]) -> None:
    best = peer(1, **{"score": 3400, **fields})
    peers = (best, peer(2, 3080), peer(3, 2400))
    assert ahead(4, 1000, *peers) == [2, 3]
    seen = Observation(now_s=0.0, host_id=4, peers=peers)
    assert [one.host_id for one in candidates(seen)] == [2, 3]


def test_only_who_may_live_and_has_not_shown_it_is_waited_for() -> None:
    peers = (
        peer(1),
        peer(2, fresh=False),
        peer(3, fresh=False, liveness=Liveness.UNKNOWN),
        peer(5, fresh=False, liveness=Liveness.DEAD),
        peer(6, fresh=False, stopped=True),
    )
    seen = Observation(now_s=0.0, host_id=4, peers=peers)
    assert [one.host_id for one in undecided(seen)] == [2, 3]
