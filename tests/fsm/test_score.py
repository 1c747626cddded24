# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The score and its reasons."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm.memory import Memory, Score
from fsm.observation import HostCondition, Observation, PluginCost, Vm
from fsm.score import ZERO_STATES, score
from metadata.penalties import Penalty
from metadata.settings.parse import ClusterSettings, ScoreWeights
from metadata.states import State
from tests.fsm.strategies import MAYBE, MEMORIES, OBSERVATIONS

CONFIG = ClusterSettings()
NO = (False, False)


def points(memory: Memory = Memory(), **fields: object) -> int:  # noqa: B008
    observation = Observation(now_s=1000.0, host_id=1, **fields)  # type: ignore[arg-type]
    return score(memory, observation, CONFIG).points


def condition(**fields: object) -> dict[str, HostCondition]:
    return {"condition": HostCondition(**fields)}  # type: ignore[arg-type]


def test_nothing_known_costs_nothing() -> None:
    assert points() == 3400


@pytest.mark.parametrize(
    ("failed", "expected"), [(0.0, 3400), (0.25, 3000), (0.5, 2600), (1.0, 1800)]
)
def test_the_network_costs_in_proportion(failed: float, expected: int) -> None:
    assert points(**condition(network_failed_fraction=failed)) == expected


@pytest.mark.parametrize(
    ("load", "expected"), [(0.0, 3400), (0.4, 3400), (0.65, 2900), (0.9, 2400), (1.0, 2400)]
)
def test_cpu_load_costs_from_40_to_90_percent(load: float, expected: int) -> None:
    assert points(**condition(cpu_load_without_engine=load)) == expected


def test_bridge_and_configuration() -> None:
    assert points(**condition(bridge_up=False)) == 2800
    assert points(**condition(config_current=False)) == 2400


def test_memory_costs_only_where_it_is_asked_for() -> None:
    low = condition(memory_sufficient=False)
    assert points(**low) == 3000
    assert points(vm=Vm.RUNNING, **low) == 3400
    assert points(global_maintenance=True, **low) == 3400


@pytest.mark.parametrize(("failed", "expected"), [(1, 3350), (2, 3300), (3, 0)])
def test_failed_starts(failed: int, expected: int) -> None:
    assert points(Memory(failed_starts_s=(990.0,) * failed)) == expected


@pytest.mark.parametrize(
    "state", [State.LOCAL_MAINTENANCE, State.ENGINE_UNEXPECTEDLY_DOWN, State.AGENT_STOPPED]
)
def test_states_that_do_not_offer_themselves(state: State) -> None:
    assert points(Memory(state=state)) == 0


@pytest.mark.parametrize("state", list(State))
def test_local_maintenance_counts_in_every_state(state: State) -> None:
    """In global maintenance, too: nobody is to count on a host that is being repaired."""
    memory = Memory(state=state, since_s=900.0)
    assert points(memory, local_maintenance=True) == 0
    (penalty,) = told(memory, local_maintenance=True)
    if state not in ZERO_STATES:
        assert penalty.name == "local-maintenance"
        assert penalty.reason == "the host is in local maintenance"


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 3400), (0.5, 3300), (1.0, 3200), (7.0, 3200), (-1.0, 3400)]
)
def test_a_plug_in_costs_its_share(share: float, expected: int) -> None:
    assert points(**condition(plugins=(PluginCost("raid", 200, share),))) == expected


def test_weights_of_nothing_cost_nothing_and_are_not_told() -> None:
    nothing = ScoreWeights(
        network=0, cpu_load=0, vm_config_outdated=0, bridge_down=0, memory_low=0, failed_start=0
    )
    observation = Observation(now_s=1000.0, host_id=1, condition=HostCondition(1, 1, False, *NO))
    config = ClusterSettings(score=nothing)
    assert score(Memory(failed_starts_s=(999.0,)), observation, config) == Score(3400)


# --- what they tell -------------------------------------------------------------------

GIB = 2**30


def told(memory: Memory = Memory(), **fields: object) -> list[Penalty]:  # noqa: B008
    observation = Observation(now_s=1000.0, host_id=1, **fields)  # type: ignore[arg-type]
    return list(score(memory, observation, CONFIG).penalties)


TELLING: list[tuple[dict[str, object], Penalty]] = [
    (
        {"network_failed_fraction": 0.2},
        Penalty("network", 320, "20% of the latest probes failed", 0.2, 0.0, "fraction"),
    ),
    (
        {"cpu_load_without_engine": 0.65},
        Penalty(
            "cpu-load", 500, "CPU load without the engine is 65%, above 40%", 0.65, 0.4, "fraction"
        ),
    ),
    ({"config_current": False}, Penalty("config", 1000, "the VM configuration is not up to date")),
    ({"bridge_up": False}, Penalty("bridge", 600, "the management bridge is down")),
    (
        {"bridge_up": False, "bridge_detail": "ovirtmgmt has no carrier"},
        Penalty("bridge", 600, "the management bridge is down: ovirtmgmt has no carrier"),
    ),
    (
        {"memory_sufficient": False},
        Penalty("memory", 400, "too little free memory for the engine", None, None, "bytes"),
    ),
    (
        {
            "memory_sufficient": False,
            "memory_free_bytes": 1.2 * GIB,
            "memory_needed_bytes": 2.0 * GIB,
        },
        Penalty(
            "memory", 400, "1.2 GiB free, 2.0 GiB needed by the engine", 1.2 * GIB, 2 * GIB, "bytes"
        ),
    ),
    (
        {
            "memory_sufficient": False,
            "memory_free_bytes": 1.99 * GIB,
            "memory_needed_bytes": 2.0 * GIB,
        },
        Penalty(
            "memory",
            400,
            "2038 MiB free, 2048 MiB needed by the engine",
            1.99 * GIB,
            2 * GIB,
            "bytes",
        ),
    ),
    (
        {"plugins": (PluginCost("raid", 200, 0.5, "md0 is degraded"),)},
        Penalty("plugin-raid", 100, "raid: md0 is degraded", 0.5, 0.0, "fraction"),
    ),
    (
        {"plugins": (PluginCost("raid", 200, 0.5),)},
        Penalty("plugin-raid", 100, "raid: 50% of what it may cost", 0.5, 0.0, "fraction"),
    ),
]


@pytest.mark.parametrize(("fields", "expected"), TELLING)
def test_a_penalty_tells_its_numbers(fields: dict[str, object], expected: Penalty) -> None:
    assert told(**condition(**fields)) == [expected]


def test_failed_starts_tell_how_many_and_until_when_they_count() -> None:
    some = Penalty(
        "failed-starts",
        50,
        "1 start failed within the last 600 s, 3 cost all points",
        1.0,
        3.0,
        "count",
        ends_at_s=1590.0,
    )
    assert told(Memory(failed_starts_s=(990.0,))) == [some]
    (three,) = told(Memory(failed_starts_s=(700.0, 800.0, 990.0)))
    assert three.reason == "3 starts failed within the last 600 s, so other hosts go first"
    assert (three.points, three.value, three.ends_at_s) == (3400, 3.0, 1300.0)


def test_an_unexpected_end_tells_until_when_it_counts() -> None:
    (only,) = told(Memory(state=State.ENGINE_UNEXPECTEDLY_DOWN, since_s=990.0))
    assert (only.name, only.ends_at_s) == ("unexpectedly-down", 1550.0)
    (other,) = told(Memory(state=State.LOCAL_MAINTENANCE, since_s=990.0))
    assert (other.name, other.ends_at_s) == ("local-maintenance", None)


def test_the_score_never_goes_below_zero_and_every_penalty_has_its_reason() -> None:
    worst = HostCondition(1.0, 1.0, False, False, False, plugins=(PluginCost("raid", 200, 1.0),))
    observation = Observation(now_s=1000.0, host_id=1, condition=worst)
    result = score(Memory(failed_starts_s=(999.0,)), observation, CONFIG)
    assert result.points == 0
    assert [penalty.name for penalty in result.penalties] == [
        "network",
        "cpu-load",
        "config",
        "bridge",
        "memory",
        "failed-starts",
        "plugin-raid",
    ]
    assert all(penalty.reason and penalty.points > 0 for penalty in result.penalties)


# --- whatever the weights -------------------------------------------------------------

POINTS = st.integers(0, 100_000)
WEIGHTS = st.builds(
    ScoreWeights,
    base=st.integers(1, 100_000),
    network=POINTS,
    cpu_load=POINTS,
    cpu_load_from=st.floats(0, 0.5),
    cpu_load_full=st.floats(0.51, 1),
    vm_config_outdated=POINTS,
    bridge_down=POINTS,
    memory_low=POINTS,
    failed_start=POINTS,
    failed_starts_to_zero=st.integers(1, 5),
)
# What a broken measurement might say, too.
NUMBERS = st.none() | st.floats()
CONDITIONS = st.builds(
    HostCondition,
    network_failed_fraction=NUMBERS,
    cpu_load_without_engine=NUMBERS,
    memory_sufficient=MAYBE,
    bridge_up=MAYBE,
    config_current=MAYBE,
    memory_free_bytes=st.none() | st.floats(0, 1e13),
    memory_needed_bytes=st.none() | st.floats(0, 1e13),
    bridge_detail=st.text(max_size=5),
    plugins=st.lists(
        st.builds(PluginCost, st.just("p"), POINTS, st.floats(), st.text(max_size=5)), max_size=3
    ).map(tuple),
)


@given(MEMORIES, OBSERVATIONS, CONDITIONS, WEIGHTS)
def test_sums_and_bounds_hold(
    memory: Memory, seen: Observation, given_condition: HostCondition, weights: ScoreWeights
) -> None:
    config = ClusterSettings(score=weights)
    result = score(memory, replace(seen, condition=given_condition), config)
    lost = sum(penalty.points for penalty in result.penalties)
    assert result.points == max(0, weights.base - lost)
    assert all(penalty.points >= 1 and penalty.reason for penalty in result.penalties)
    out = memory.state in ZERO_STATES or seen.local_maintenance
    if out or len(memory.failed_starts_s) >= weights.failed_starts_to_zero:
        assert result.points == 0


BOUNDS: dict[str, Callable[[ScoreWeights], int]] = {
    "network": lambda weights: weights.network,
    "cpu-load": lambda weights: weights.cpu_load,
    "config": lambda weights: weights.vm_config_outdated,
    "bridge": lambda weights: weights.bridge_down,
    "memory": lambda weights: weights.memory_low,
}


@given(MEMORIES, OBSERVATIONS, CONDITIONS, WEIGHTS)
def test_no_penalty_costs_more_than_its_weight(
    memory: Memory, seen: Observation, given_condition: HostCondition, weights: ScoreWeights
) -> None:
    config = ClusterSettings(score=weights)
    for penalty in score(memory, replace(seen, condition=given_condition), config).penalties:
        if penalty.name in BOUNDS:
            assert penalty.points <= BOUNDS[penalty.name](weights)
        if penalty.name == "plugin-p":
            assert penalty.points <= max(cost.points for cost in given_condition.plugins)


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_worse_the_network_the_lower_the_score(some: float, more: float) -> None:
    low, high = sorted([some, more])
    better, worse = (points(**condition(network_failed_fraction=part)) for part in (low, high))
    assert worse <= better
