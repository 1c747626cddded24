"""The host's score: base minus penalties, each with its reason.

Weights: `metadata.settings.ScoreWeights`. A monitor without a value (None) costs nothing.
"""

from __future__ import annotations

from typing import Optional

from fsm.memory import Memory, Penalty, Score
from fsm.observation import Observation, Vm
from fsm.states import State
from metadata.settings import ClusterSettings, ScoreWeights

# In these states the host does not offer itself, whatever its condition.
ZERO_STATES: dict[State, str] = {
    State.LOCAL_MAINTENANCE: "the host is in local maintenance",
    State.ENGINE_UNEXPECTEDLY_DOWN: "the engine went down here unexpectedly",
    State.AGENT_STOPPED: "the agent is stopped",
}


def score(memory: Memory, observation: Observation, config: ClusterSettings) -> Score:
    """The score in the state that `memory` is in.

    Returns `Score(points, penalties)`, points between 0 and the base; the penalties' points
    add up to at least base - points.
    """
    weights = config.score
    found = [penalty(memory, observation, weights) for penalty in _PENALTIES]
    penalties = tuple([penalty for penalty in found if penalty is not None])
    lost = sum([penalty.points for penalty in penalties])
    return Score(max(0, weights.base - lost), penalties)


def _state_penalty(m: Memory, _o: Observation, weights: ScoreWeights) -> Optional[Penalty]:
    reason = ZERO_STATES.get(m.state)
    return None if reason is None else Penalty("state", weights.base, reason)


def _network_penalty(_m: Memory, o: Observation, weights: ScoreWeights) -> Optional[Penalty]:
    failed = o.condition.network_failed_fraction
    points = round(weights.network * failed) if failed else 0
    if not failed or not points:
        return None
    return Penalty("network", points, f"{failed:.0%} of the gateway probes failed")


def _cpu_penalty(_m: Memory, o: Observation, weights: ScoreWeights) -> Optional[Penalty]:
    load = o.condition.cpu_load_without_engine
    if load is None:
        return None
    span = weights.cpu_load_full - weights.cpu_load_from
    share = min(1.0, max(0.0, (load - weights.cpu_load_from) / span))
    points = round(weights.cpu_load * share)
    if not points:
        return None
    return Penalty("cpu-load", points, f"CPU load without the engine is {load:.0%}")


def _config_penalty(_m: Memory, o: Observation, weights: ScoreWeights) -> Optional[Penalty]:
    if o.condition.config_current is not False:
        return None
    return Penalty("config", weights.vm_config_outdated, "the VM configuration is outdated")


def _bridge_penalty(_m: Memory, o: Observation, weights: ScoreWeights) -> Optional[Penalty]:
    if o.condition.bridge_up is not False:
        return None
    return Penalty("bridge", weights.bridge_down, "the management bridge is down")


def _memory_penalty(_m: Memory, o: Observation, weights: ScoreWeights) -> Optional[Penalty]:
    # The engine's own memory is what is missing where it runs, and in global maintenance
    # nobody is to be judged by it.
    exempt = o.vm in (Vm.RUNNING, Vm.PAUSED) or o.global_maintenance
    if o.condition.memory_sufficient is not False or exempt:
        return None
    return Penalty("memory", weights.memory_low, "too little free memory for the engine")


def _start_penalty(m: Memory, _o: Observation, weights: ScoreWeights) -> Optional[Penalty]:
    failed = len(m.failed_starts_s)
    if not failed:
        return None
    if failed >= weights.failed_starts_to_zero:
        return Penalty("failed-starts", weights.base, f"{failed} starts failed lately")
    return Penalty("failed-starts", failed * weights.failed_start, f"{failed} failed start(s)")


_PENALTIES = (
    _state_penalty,
    _network_penalty,
    _cpu_penalty,
    _config_penalty,
    _bridge_penalty,
    _memory_penalty,
    _start_penalty,
)
