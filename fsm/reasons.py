# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Fills a row's reason with the observation's names and numbers."""

from __future__ import annotations

from fsm import reach
from fsm.guards import (
    elapsed_s,
    hosts_ahead,
    move_target,
    moving_is_in_vain,
    time_out_s,
    turn_in_s,
)
from fsm.handover import handover
from fsm.memory import BETTER, CUT_OFF, DARK, SHUTDOWN, Memory
from fsm.moves import NO_REASON, refusals, target_why, wanted_move
from fsm.observation import Lease, Observation, Peer
from fsm.own_moves import better_told
from fsm.peers import undecided
from fsm.score import points_but_for_failed_starts, score
from fsm.table import Row
from metadata.settings.parse import ClusterSettings

# Parts of what a host says of an engine that nobody reaches.
NETWORK_FAILED = "this host's network has failed"
IN_VAIN = "it was moved for that within the last"


def reason(row: Row, memory: Memory, observation: Observation, config: ClusterSettings) -> str:
    """`row.why` as a sentence part; `memory` is that before the row fired."""
    return row.why.format_map(_Words(memory, observation, config))


class _Words(dict[str, str]):
    """Works a name out only when a reason asks for it."""

    def __init__(self, memory: Memory, observation: Observation, config: ClusterSettings) -> None:
        super().__init__()
        self._memory = memory
        self._observation = observation
        self._config = config

    def __missing__(self, name: str) -> str:
        return str(getattr(self, f"_{name}")())

    def _owner(self) -> str:
        return self._observation.lease_owner or "another host"

    def _lease_lost(self) -> str:
        seen = self._observation
        if seen.vm_holds_lease is False:
            return f": {seen.vm_lease_why}" if seen.vm_lease_why else ""
        if seen.lease is Lease.FREE:
            return ": on the storage it is not this host's any more"
        return f": on the storage it belongs to {self._owner()}"

    def _and_local(self) -> str:
        return ", and local maintenance of this host" if self._observation.local_maintenance else ""

    def _vm_detail(self) -> str:
        detail = self._observation.vm_detail
        return f": {detail}" if detail else ""

    def _health_detail(self) -> str:
        return self._observation.health_detail or "its health page has not answered yet"

    def _start_why(self) -> str:
        return self._observation.start_why or "no reason given"

    def _blocked(self) -> str:
        why = self._observation.blocked_why
        return f": {why}" if why else ""

    def _why(self) -> str:
        return self._memory.why

    def _elapsed(self) -> str:
        return f"{elapsed_s(self._memory, self._observation):.0f} s"

    def _remaining(self) -> str:
        limit_s = time_out_s(self._memory, self._config) or 0.0
        return f"{max(0.0, limit_s - elapsed_s(self._memory, self._observation)):.0f} s"

    def _retry_window(self) -> str:
        return f"{self._config.timing.retry_window_s:.0f} s"

    def _turn(self) -> str:
        return f"{turn_in_s(self._memory, self._observation, self._config):.0f} s"

    def _score(self) -> str:
        return str(score(self._memory, self._observation, self._config).points)

    def _penalties(self) -> str:
        found = score(self._memory, self._observation, self._config).penalties
        return "; ".join(penalty.reason for penalty in found) or "no penalty"

    def _best(self) -> str:
        ahead = hosts_ahead(self._memory, self._observation, self._config)
        if not ahead:
            return "no other host"
        return f"{ahead[0].name or ahead[0].host_id} (score {ahead[0].score})"

    def _handover(self) -> str:
        found = handover(self._memory, self._observation, self._config)
        if found is None:
            return "no host has the engine"
        peer = found.peer
        name = peer.name or str(peer.host_id)
        wait_s = f"{found.ends_at_s - self._observation.now_s:.0f} s"
        if peer.moving_limit_s is None:
            return f"{name} had the engine and has not told yet what became of it ({wait_s} more)"
        return f"{name} is moving the engine to {peer.moving_to} ({wait_s} more)"

    def _target(self) -> str:
        found = move_target(self._memory, self._observation, self._config)
        return "another host" if found is None else f"{found.name} (score {found.score})"

    def _move_for(self) -> str:
        wanted = wanted_move(self._memory, self._observation)
        told = None if wanted is None else _FOR.get(wanted.purpose)
        return "somebody asked for it" if told is None else told(self)

    def _for_shutdown(self) -> str:
        return "this host is being shut down"

    def _for_reach(self) -> str:
        return f"it is out of reach here, {self._unreached()}"

    def _for_better(self) -> str:
        found = move_target(self._memory, self._observation, self._config)
        here = points_but_for_failed_starts(self._memory, self._observation, self._config)
        points = (0 if found is None else found.score) - here
        return f"that host has been better for long, by {points} points now"

    def _better(self) -> str:
        return better_told(self._memory, self._observation, self._config)

    def _moving_to(self) -> str:
        target_id = self._memory.move_target_id
        names = [peer.name for peer in self._observation.peers if peer.host_id == target_id]
        return next(iter(names), "") or f"host {target_id}"

    def _move_why(self) -> str:
        return f"{self._moving_to()}: {self._observation.move_why or NO_REASON}"

    def _target_why(self) -> str:
        return f"{self._moving_to()}: {target_why(self._memory, self._observation)}"

    def _stays_for(self) -> str:
        """Why it does not move, where it was to."""
        return self._refusals() if wanted_move(self._memory, self._observation) else ""

    def _refusals(self) -> str:
        told = refusals(self._memory, self._observation)
        return ": " + (
            "; ".join(f"{name}: {why}" for name, why in told) or "there is no other host"
        )

    def _dark_for(self) -> str:
        return _names(reach.dark_for(self._observation)) or "others"

    def _better_places(self) -> str:
        return _names(reach.better_places(self._observation))

    def _dark_s(self) -> str:
        since_s = self._memory.dark_since_s
        now_s = self._observation.now_s
        return f"{0.0 if since_s is None else now_s - since_s:.0f} s"

    def _unreached(self) -> str:
        """Who does not reach the engine, and what comes of it."""
        dark = _names(reach.dark_for(self._observation))
        seen = f"{dark} can't reach the engine here" if dark else "another host is much better"
        if reach.network_failed(self._observation):
            seen = f"{NETWORK_FAILED} and {seen}"
        if moving_is_in_vain(self._memory, self._observation, self._config):
            return f"{seen}; {IN_VAIN} {self._retry_window()}, to no avail"
        return seen

    def _undecided(self) -> str:
        return _names(undecided(self._observation))


_FOR = {
    SHUTDOWN: _Words._for_shutdown,
    CUT_OFF: _Words._for_reach,
    DARK: _Words._for_reach,
    BETTER: _Words._for_better,
}


def _names(peers: list[Peer]) -> str:
    return ", ".join(peer.name or str(peer.host_id) for peer in peers)
