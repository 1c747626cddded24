# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Does anybody reach the engine that runs here? By what the others publish of its page.

*Cut off*: this host's own network has failed for its whole window, and at least one witness whose
network is good sees the page dark. *Dark for all*: this host's network is good, and at least two
witnesses, all that there are, see it dark: only the engine's own uplink is broken. A witness that
reaches it ends both, whatever the gateway says; one whose network is not known to be good says
nothing but that. Where no host publishes what it sees (older programs, or no page to look at), a
failed network and another host that is much better, and known to live, count as being cut off.
"""

from __future__ import annotations

from typing import Callable

from fsm.memory import Memory
from fsm.observation import Observation, Peer
from fsm.peers import candidates
from metadata.liveness import Liveness
from metadata.reach import Sight, is_network_good
from metadata.settings.parse import ClusterSettings

FEWEST_AGAINST_A_GOOD_NETWORK = 2
# How much better another host must be where nobody looks: half of what a lost network costs.
MUCH_BETTER = 800


def network_failed(observation: Observation) -> bool:
    """Has this host's own network failed for its whole window?"""
    failed = observation.condition.network_failed_fraction
    return failed is not None and failed >= 1.0


def network_is_good(observation: Observation) -> bool:
    """Is it known to be good?"""
    return is_network_good(observation.condition.network_failed_fraction) is True


def reached_by(observation: Observation) -> list[Peer]:
    """The witnesses that reach the engine here."""
    return _with_sight(observation, Sight.REACHED)


def dark_for(observation: Observation) -> list[Peer]:
    """The witnesses with a good network that don't."""
    return [peer for peer in _with_sight(observation, Sight.DARK) if has_network(peer)]


def _with_sight(observation: Observation, sight: Sight) -> list[Peer]:
    return [peer for peer in _witnesses(observation) if peer.testimony.sight is sight]  # type: ignore[union-attr]


def _witnesses(observation: Observation) -> list[Peer]:
    own_id = observation.host_id
    return [
        peer
        for peer in observation.peers
        if peer.testimony is not None and peer.fresh and peer.testimony.engine_host_id == own_id
    ]


def has_network(peer: Peer) -> bool:
    """Does it say that its network is good?"""
    return peer.testimony is not None and peer.testimony.network_good is True


def is_cut_off(
    observation: Observation, config: ClusterSettings, own_points: Callable[[], int]
) -> bool:
    """Is the engine here out of everybody's reach because this host is, as far as is known?

    `own_points` is asked for where nobody is a witness only: mostly the network is well.
    """
    if not network_failed(observation):
        return False
    if any(peer.fresh and peer.testimony is not None for peer in observation.peers):
        return bool(dark_for(observation)) and not reached_by(observation)
    # With more points than one without a network can have.
    least = max(own_points() + MUCH_BETTER, config.score.base - config.score.network + 1)
    living = (peer for peer in candidates(observation) if peer.liveness is Liveness.LIVE)
    return any(peer.score >= least for peer in living)


def is_dark_for_all(observation: Observation) -> bool:
    """Does nobody reach the engine here, though this host's network is good?"""
    if not network_is_good(observation):
        return False
    vouching = [peer for peer in _witnesses(observation) if has_network(peer)]
    dark = dark_for(observation)
    enough = len(dark) >= FEWEST_AGAINST_A_GOOD_NETWORK and len(dark) == len(vouching)
    return enough and not reached_by(observation)


def gave_away(memory: Memory, observation: Observation, config: ClusterSettings) -> bool:
    """Has this host given the engine away lately, for nobody reached it here?"""
    at_s = memory.gave_away_at_s
    return at_s is not None and observation.now_s - at_s < config.timing.retry_window_s


def moved_lately(memory: Memory, observation: Observation, config: ClusterSettings) -> bool:
    """Has any host?"""
    theirs = any(peer.gave_away and peer.fresh for peer in observation.peers)
    return theirs or gave_away(memory, observation, config)


def is_no_place(memory: Memory, observation: Observation, config: ClusterSettings) -> bool:
    """Would the engine, that was moved to be in reach, be out of reach here?

    So it would where the network has failed, and where it was dark behind a good network.
    """
    if network_failed(observation) and moved_lately(memory, observation, config):
        return True
    return memory.gave_away_uplink and gave_away(memory, observation, config)


def better_places(observation: Observation) -> list[Peer]:
    """The hosts that could start the engine and have their network."""
    return [peer for peer in candidates(observation) if has_network(peer)]
