"""Who could run the engine, and whose turn it is.

A peer is a candidate when its record is fresh (it changed within the alive window, on our
clock), sanlock does not call the host failing, dead or gone, and its libvirt answers.
Candidates are ranked by score; among equals the host that ran the engine last goes first (a
restart in place is the fastest), then the lowest host id. Rank 0 starts at once, rank r waits
r turns, so equal hosts never start together; sanlock decides should they disagree.
"""

from __future__ import annotations

from typing import Optional

from fsm.observation import Observation, Peer, PeerLiveness
from fsm.states import State

_ALIVE = (PeerLiveness.LIVE, PeerLiveness.UNKNOWN)

RankKey = tuple[int, bool, int]


def is_candidate(peer: Peer) -> bool:
    """Could `peer` start the engine now, as far as its record and sanlock say?"""
    return (
        peer.fresh
        and peer.liveness in _ALIVE
        and peer.score > 0
        and not peer.maintenance
        and not peer.stopped
        and peer.state != State.UNKNOWN_LOCAL_VM_STATE.value
    )


def candidates(observation: Observation) -> list[Peer]:
    """The peers that could start the engine."""
    return [peer for peer in observation.peers if is_candidate(peer)]


def rank_key(score: int, host_id: int, last_owner_id: Optional[int]) -> RankKey:
    """Sort key: the smallest goes first."""
    return (-score, host_id != last_owner_id, host_id)


def ahead_of_us(
    observation: Observation, own_score: int, last_owner_id: Optional[int]
) -> list[Peer]:
    """The candidates that go before this host, the best first."""
    own = rank_key(own_score, observation.host_id, last_owner_id)
    keyed = [
        (rank_key(peer.score, peer.host_id, last_owner_id), peer)
        for peer in candidates(observation)
    ]
    return [peer for key, peer in sorted(keyed, key=lambda item: item[0]) if key < own]


def undecided(observation: Observation) -> list[Peer]:
    """Peers that may be alive but whose record has not been seen to change yet."""
    return [
        peer
        for peer in observation.peers
        if peer.liveness in _ALIVE and not peer.fresh and not peer.stopped
    ]
