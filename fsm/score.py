# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The host's score: base minus penalties, each with its reason and the numbers behind it.

Weights: `metadata.settings.parse.ScoreWeights`. A monitor without a value (None) costs nothing, and
neither does a penalty whose points come to 0.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from fsm.memory import Memory, Score
from fsm.observation import Observation, PluginCost, Vm
from fsm.reach import is_no_place
from metadata.penalties import Penalty, PenaltyName, plugin_penalty
from metadata.settings.parse import ClusterSettings
from metadata.states import State

FRACTION, BYTES, COUNT = "fraction", "bytes", "count"
_MIB, _GIB = 2**20, 2**30
# The engine's memory is taken on this host (by a VM that only arrives, too).
_HERE = (Vm.RUNNING, Vm.PAUSED, Vm.IN_TRANSIT)

# In these states the host does not offer itself, whatever its condition.
ZERO_STATES: dict[State, tuple[str, str]] = {
    State.LOCAL_MAINTENANCE: (
        PenaltyName.LOCAL_MAINTENANCE.value,
        "the host is in local maintenance",
    ),
    State.ENGINE_UNEXPECTEDLY_DOWN: (
        PenaltyName.UNEXPECTEDLY_DOWN.value,
        "the engine went down here unexpectedly, other hosts go first",
    ),
    State.AGENT_STOPPED: (PenaltyName.AGENT_STOPPED.value, "the agent is stopped"),
}


def score(memory: Memory, observation: Observation, config: ClusterSettings) -> Score:
    """The score in the state that `memory` is in.

    Returns `Score(points, penalties)`, points between 0 and the base; each penalty has at least
    one point, and together they have at least base - points.
    """
    found = [penalty(memory, observation, config) for penalty in _PENALTIES]
    if observation.condition.plugins:
        found += [_plugin_penalty(cost) for cost in observation.condition.plugins]
    penalties = tuple([one for one in found if one is not None and one.points > 0])
    lost = sum([penalty.points for penalty in penalties])
    if config.score.base - lost > 1 and is_no_place(memory, observation, config):
        # Behind every other host, but not out: where none can, it is better than nobody.
        rest = config.score.base - lost - 1
        penalties, lost = (*penalties, _reach_penalty(memory, rest, config)), lost + rest
    return Score(max(0, config.score.base - lost), penalties)


def points_but_for_failed_starts(
    memory: Memory, observation: Observation, config: ClusterSettings
) -> int:
    """What the host would be worth had no start failed."""
    return score(replace(memory, failed_starts_s=()), observation, config).points


# --- the state ----------------------------------------------------------------------------


def _state_penalty(m: Memory, o: Observation, config: ClusterSettings) -> Optional[Penalty]:
    """Local maintenance counts in whatever state the host is, global maintenance among them."""
    found = ZERO_STATES.get(m.state)
    if found is None and o.local_maintenance:
        found = ZERO_STATES[State.LOCAL_MAINTENANCE]
    if found is None:
        return None
    name, reason = found
    ends_at_s = None
    if m.state is State.ENGINE_UNEXPECTEDLY_DOWN and m.since_s is not None:
        ends_at_s = m.since_s + config.timing.unexpected_down_s
    return Penalty(name, config.score.base, reason, ends_at_s=ends_at_s)


# --- the host's condition -----------------------------------------------------------------


def _network_penalty(_m: Memory, o: Observation, config: ClusterSettings) -> Optional[Penalty]:
    failed = o.condition.network_failed_fraction
    if not failed:
        return None
    points = round(config.score.network * _share(failed))
    reason = f"{_share(failed):.0%} of the latest probes failed"
    return Penalty(PenaltyName.NETWORK.value, points, reason, failed, 0.0, FRACTION)


def _cpu_penalty(_m: Memory, o: Observation, config: ClusterSettings) -> Optional[Penalty]:
    load, weights = o.condition.cpu_load_without_engine, config.score
    if load is None or load <= weights.cpu_load_from:
        return None
    span = weights.cpu_load_full - weights.cpu_load_from
    points = round(weights.cpu_load * _share((load - weights.cpu_load_from) / span))
    reason = f"CPU load without the engine is {load:.0%}, above {weights.cpu_load_from:.0%}"
    name = PenaltyName.CPU_LOAD.value
    return Penalty(name, points, reason, load, weights.cpu_load_from, FRACTION)


def _config_penalty(_m: Memory, o: Observation, config: ClusterSettings) -> Optional[Penalty]:
    if o.condition.config_current is not False:
        return None
    reason = "the VM configuration is not up to date"
    return Penalty(PenaltyName.CONFIG.value, config.score.vm_config_outdated, reason)


def _bridge_penalty(_m: Memory, o: Observation, config: ClusterSettings) -> Optional[Penalty]:
    if o.condition.bridge_up is not False:
        return None
    detail = f": {o.condition.bridge_detail}" if o.condition.bridge_detail else ""
    reason = f"the management bridge is down{detail}"
    return Penalty(PenaltyName.BRIDGE.value, config.score.bridge_down, reason)


def _memory_penalty(_m: Memory, o: Observation, config: ClusterSettings) -> Optional[Penalty]:
    # The engine's own memory is what is missing where it runs, and in global maintenance
    # nobody is to be judged by it.
    exempt = o.vm in _HERE or o.global_maintenance
    if o.condition.memory_sufficient is not False or exempt:
        return None
    free, needed = o.condition.memory_free_bytes, o.condition.memory_needed_bytes
    reason = _memory_reason(free, needed)
    return Penalty(PenaltyName.MEMORY.value, config.score.memory_low, reason, free, needed, BYTES)


def _memory_reason(free: Optional[float], needed: Optional[float]) -> str:
    if free is None or needed is None:
        return "too little free memory for the engine"
    texts = f"{free / _GIB:.1f}", f"{needed / _GIB:.1f}"
    unit = "GiB"
    if texts[0] == texts[1]:  # too close to be told apart so
        texts, unit = (f"{free / _MIB:.0f}", f"{needed / _MIB:.0f}"), "MiB"
    return f"{texts[0]} {unit} free, {texts[1]} {unit} needed by the engine"


def _plugin_penalty(cost: PluginCost) -> Penalty:
    share = _share(cost.share)
    detail = cost.detail or f"{share:.0%} of what it may cost"
    points = round(cost.points * share)
    name, reason = plugin_penalty(cost.name), f"{cost.name}: {detail}"
    return Penalty(name, points, reason, share, 0.0, FRACTION)


def _share(value: float) -> float:
    """Between 0 and 1, whatever was measured; what is no number at all counts nothing."""
    return min(1.0, max(0.0, value))


def _reach_penalty(m: Memory, points: int, config: ClusterSettings) -> Penalty:
    ends_at_s = None
    if m.gave_away_at_s is not None:
        ends_at_s = m.gave_away_at_s + config.timing.retry_window_s
    reason = "the engine was moved to be in reach, and would not be so here; other hosts go first"
    return Penalty(PenaltyName.OUT_OF_REACH.value, points, reason, ends_at_s=ends_at_s)


# --- starts that failed -------------------------------------------------------------------


def _start_penalty(m: Memory, _o: Observation, config: ClusterSettings) -> Optional[Penalty]:
    failed, limit = len(m.failed_starts_s), config.score.failed_starts_to_zero
    if not failed:
        return None
    window_s = config.timing.retry_window_s
    starts = "1 start" if failed == 1 else f"{failed} starts"
    said = f"{starts} failed within the last {window_s:.0f} s"
    if failed < limit:
        points, said = failed * config.score.failed_start, f"{said}, {limit} cost all points"
        ends_at_s = m.failed_starts_s[-1] + window_s
    else:
        points, said = config.score.base, f"{said}, so other hosts go first"
        ends_at_s = m.failed_starts_s[-limit] + window_s
    name = PenaltyName.FAILED_STARTS.value
    return Penalty(name, points, said, float(failed), float(limit), COUNT, ends_at_s=ends_at_s)


_PENALTIES = (
    _state_penalty,
    _network_penalty,
    _cpu_penalty,
    _config_penalty,
    _bridge_penalty,
    _memory_penalty,
    _start_penalty,
)
