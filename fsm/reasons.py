"""Fills a row's reason with the observation's names and numbers."""

from __future__ import annotations

from fsm.guards import elapsed_s, hosts_ahead, time_out_s, turn_in_s
from fsm.memory import Memory
from fsm.observation import Observation
from fsm.peers import undecided
from fsm.score import score
from fsm.table import Row
from metadata.settings import ClusterSettings


def reason(row: Row, memory: Memory, observation: Observation, config: ClusterSettings) -> str:
    """`row.why` as a sentence part; `memory` is that before the row fired."""
    return row.why.format_map(_Names(memory, observation, config))


class _Names(dict[str, str]):
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

    def _vm_detail(self) -> str:
        return self._observation.vm_detail or "no detail"

    def _health_detail(self) -> str:
        return self._observation.health_detail or "no answer yet"

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
        return str(self._own_points())

    def _penalties(self) -> str:
        found = score(self._memory, self._observation, self._config).penalties
        return "; ".join(penalty.reason for penalty in found) or "no penalty"

    def _best(self) -> str:
        ahead = hosts_ahead(self._memory, self._observation, self._config)
        if not ahead:
            return "no other host"
        return f"{ahead[0].name or ahead[0].host_id} (score {ahead[0].score})"

    def _undecided(self) -> str:
        return ", ".join(peer.name or str(peer.host_id) for peer in undecided(self._observation))

    def _own_points(self) -> int:
        return score(self._memory, self._observation, self._config).points
