"""The host's score: base minus penalties, each with its reason.

Weights: `metadata.settings.ScoreWeights`. A monitor without a value (None) costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

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
    penalties = tuple(_penalties(memory, observation, config.score))
    lost = sum(penalty.points for penalty in penalties)
    return Score(max(0, config.score.base - lost), penalties)


def _penalties(
    memory: Memory, observation: Observation, weights: ScoreWeights
) -> Iterator[Penalty]:
    yield from _state_penalty(memory, weights)
    yield from _network_penalty(observation, weights)
    yield from _cpu_penalty(observation, weights)
    yield from _config_penalty(observation, weights)
    yield from _bridge_penalty(observation, weights)
    yield from _memory_penalty(observation, weights)
    yield from _start_penalty(memory, weights)


def _state_penalty(memory: Memory, weights: ScoreWeights) -> Iterator[Penalty]:
    reason = ZERO_STATES.get(memory.state)
    if reason is not None:
        yield Penalty("state", weights.base, reason)


def _network_penalty(observation: Observation, weights: ScoreWeights) -> Iterator[Penalty]:
    failed = observation.condition.network_failed_fraction
    points = round(weights.network * failed) if failed else 0
    if failed and points:
        yield Penalty("network", points, f"{failed:.0%} of the gateway probes failed")


def _cpu_penalty(observation: Observation, weights: ScoreWeights) -> Iterator[Penalty]:
    load = observation.condition.cpu_load_without_engine
    if load is None:
        return
    span = weights.cpu_load_full - weights.cpu_load_from
    share = min(1.0, max(0.0, (load - weights.cpu_load_from) / span))
    points = round(weights.cpu_load * share)
    if points:
        yield Penalty("cpu-load", points, f"CPU load without the engine is {load:.0%}")


def _config_penalty(observation: Observation, weights: ScoreWeights) -> Iterator[Penalty]:
    if observation.condition.config_current is False:
        yield Penalty("config", weights.vm_config_outdated, "the VM configuration is outdated")


def _bridge_penalty(observation: Observation, weights: ScoreWeights) -> Iterator[Penalty]:
    if observation.condition.bridge_up is False:
        yield Penalty("bridge", weights.bridge_down, "the management bridge is down")


def _memory_penalty(observation: Observation, weights: ScoreWeights) -> Iterator[Penalty]:
    # The engine's own memory is what is missing where it runs, and in global maintenance
    # nobody is to be judged by it.
    exempt = observation.vm in (Vm.RUNNING, Vm.PAUSED) or observation.global_maintenance
    if observation.condition.memory_sufficient is False and not exempt:
        yield Penalty("memory", weights.memory_low, "too little free memory for the engine")


def _start_penalty(memory: Memory, weights: ScoreWeights) -> Iterator[Penalty]:
    failed = len(memory.failed_starts_s)
    if failed >= weights.failed_starts_to_zero:
        yield Penalty("failed-starts", weights.base, f"{failed} starts failed lately")
    elif failed:
        yield Penalty("failed-starts", failed * weights.failed_start, f"{failed} failed start(s)")
