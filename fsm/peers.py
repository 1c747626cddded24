# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Who could run the engine, and whose turn it is.

A peer is a candidate when its record is fresh (it changed within the alive window, on our
clock), sanlock does not call the host failing, dead or gone, its libvirt answers, and it does
not say itself that it can't start the engine. While the engine does not get well, a host that
has had its turn in vain goes behind all that have not. Among those who have had as many turns
the score decides, then who has tried less; then the host that ran the engine last goes first
(a restart in place is the fastest), then the lowest host id. Rank 0 starts at once, rank r
waits r turns, so equal hosts never start together; sanlock decides should they disagree.
"""

from __future__ import annotations

from typing import Optional

from fsm.observation import Observation, Peer
from metadata.settings.parse import ScoreWeights
from metadata.states import State

RankKey = tuple[int, int, int, bool, int]


def is_candidate(peer: Peer) -> bool:
    """Could `peer` start the engine now, as far as its record and sanlock say?"""
    return (
        peer.fresh
        and peer.may_live
        and peer.score > 0
        and not peer.maintenance
        and not peer.stopped
        and not peer.cannot_start
        and peer.state != State.UNKNOWN_LOCAL_VM_STATE.value
    )


def candidates(observation: Observation) -> list[Peer]:
    """The peers that could start the engine."""
    return [peer for peer in observation.peers if is_candidate(peer)]


def turns_had(tries: int, weights: ScoreWeights) -> int:
    """How many turns these tries amount to: a boot that failed, or so many failed starts."""
    return tries // tries_of_turn(weights)


def tries_of_turn(weights: ScoreWeights) -> int:
    """How many tries a whole turn counts."""
    return max(1, weights.failed_starts_to_zero)


class Ranking:
    """Sort keys of hosts, the smallest goes first."""

    def __init__(self, last_owner_id: Optional[int], weights: ScoreWeights) -> None:
        self._last_owner_id = last_owner_id
        self._weights = weights

    def key(self, host_id: int, score: int, tries: int) -> RankKey:
        """The place of one host."""
        turns = turns_had(tries, self._weights)
        return (turns, -score, tries, host_id != self._last_owner_id, host_id)


def ahead_of_us(
    observation: Observation, own_score: int, own_tries: int, ranking: Ranking
) -> list[Peer]:
    """The candidates that go before this host, the best first."""
    own = ranking.key(observation.host_id, own_score, own_tries)
    keyed = [
        (ranking.key(peer.host_id, peer.score, peer.tries), peer)
        for peer in candidates(observation)
    ]
    return [peer for key, peer in sorted(keyed, key=lambda item: item[0]) if key < own]


def undecided(observation: Observation) -> list[Peer]:
    """Peers that may be alive but whose record has not been seen to change yet."""
    return [
        peer for peer in observation.peers if peer.may_live and not peer.fresh and not peer.stopped
    ]
