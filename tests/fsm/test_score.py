"""The score and its reasons."""

from __future__ import annotations

import pytest

from fsm.memory import Memory
from fsm.observation import HostCondition, Observation, Vm
from fsm.score import score
from fsm.states import State
from metadata.settings import ClusterSettings

CONFIG = ClusterSettings()


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


def test_the_score_never_goes_below_zero_and_every_penalty_has_its_reason() -> None:
    worst = HostCondition(1.0, 1.0, False, False, False)
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
    ]
    assert all(penalty.reason and penalty.points > 0 for penalty in result.penalties)
