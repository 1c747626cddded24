# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the agent has learnt outlives it, for one boot of the machine, and nothing else does."""

from __future__ import annotations

import json
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from fsm.memory import BrokenOff, Memory
from ha_agent.kept_memory import KEPT, NOT_KEPT, MemoryKeeper, encode, recall
from ha_agent.memory_file import MemoryFile
from metadata.states import State
from simulation.world import InlineRunner, SimMemoryStore, VirtualClock
from world.host.processes import ProcProcesses

NOW_S = 5000.0
LEARNT = Memory(
    state=State.ENGINE_UP_BAD_HEALTH,
    since_s=4800.0,
    vm_id="77/123",
    failed_starts_s=(4100.0, 4200.0),
    better_moves_s=(4050.0,),
    tries=6,
    crashed_at_s=4500.0,
    held_off_until_s=5010.0,
    last_owner_id=2,
)
RECALLED = Memory(
    vm_id="77/123",
    broken_off=BrokenOff(State.ENGINE_UP_BAD_HEALTH, 4800.0),
    failed_starts_s=(4100.0, 4200.0),
    better_moves_s=(4050.0,),
    tries=6,
    crashed_at_s=4500.0,
    held_off_until_s=5010.0,
    last_owner_id=2,
)


def recalled(memory: Memory) -> Memory:
    store = SimMemoryStore()
    store.write(encode(memory, store.boot_id(), 1))
    return recall(store, 1, NOW_S).memory


def stored(**changes: Any) -> SimMemoryStore:
    store = SimMemoryStore()
    data = json.loads(encode(LEARNT, store.boot_id(), 1))
    store.write(json.dumps({**data, **changes}).encode())
    return store


def test_what_was_learnt_is_recalled() -> None:
    found = recall(stored(), 1, NOW_S)
    assert (found.memory, found.why) == (RECALLED, "")


def test_nothing_kept_is_nothing_learnt_and_nothing_to_say() -> None:
    found = recall(SimMemoryStore(), 1, NOW_S)
    assert (found.memory, found.why) == (Memory(), "")


@pytest.mark.parametrize(
    "state", [State.UNKNOWN_LOCAL_VM_STATE, State.GLOBAL_MAINTENANCE, State.AGENT_STOPPED]
)
def test_what_was_broken_off_before_is_kept_on(state: State) -> None:
    before = BrokenOff(State.ENGINE_STOP, 4900.0)
    found = recalled(Memory(state, 4950.0, broken_off=before, vm_id="7/1"))
    stood_still_s = 50.0 if state is State.GLOBAL_MAINTENANCE else 0.0
    assert found.broken_off == BrokenOff(State.ENGINE_STOP, 4900.0 + stood_still_s)


def test_while_nobody_knew_the_health_the_time_stood_still() -> None:
    blind = Memory(State.ENGINE_UP_BAD_HEALTH, 4800.0, vm_id="7/1", blind_since_s=4850.0)
    assert recalled(blind).broken_off == BrokenOff(State.ENGINE_UP_BAD_HEALTH, NOW_S - 50.0)


@pytest.mark.parametrize(
    ("state", "goes_on"),
    [
        (State.ENGINE_STOP, False),
        (State.ENGINE_UP_BAD_HEALTH, False),
        (State.ENGINE_STARTING, False),
        (State.ENGINE_UP, False),
        (State.ENGINE_UNEXPECTEDLY_DOWN, True),
    ],
)
def test_what_is_about_a_process_that_nobody_knew_is_not_kept(state: State, goes_on: bool) -> None:
    assert (recalled(Memory(state, 4950.0)).broken_off is not None) is goes_on


EXAMPLES: dict[str, Any] = {
    "state": State.ENGINE_UP,
    "why": "the engine runs here",
    "vm_id": "7/1",
    "broken_off": BrokenOff(State.ENGINE_STOP, 4900.0),
    "failed_starts_s": (4100.0,),
    "lease_denied_s": (4998.0, 4999.0),
    "tries": 3,
    "last_owner_id": 2,
    "move_for": "move-1",
    "move_target_id": 3,
    "better_moves_s": (4050.0,),
    "reached": True,
    "giving_away": True,
    "gave_away_uplink": True,
}


def test_each_field_of_the_memory_is_kept_or_has_a_reason_why_not() -> None:
    names = {field.name for field in fields(Memory)}
    assert KEPT | set(NOT_KEPT) == names
    assert not KEPT & set(NOT_KEPT)
    assert all(NOT_KEPT.values())


def test_what_is_kept_comes_back_and_what_is_not_does_not() -> None:
    names = [field.name for field in fields(Memory)]
    full = Memory(**{name: EXAMPLES.get(name, 4990.0) for name in names})
    full = replace(full, blind_since_s=None)
    found, nothing = recalled(full), Memory()
    for name in names:
        kept = getattr(full, name) if name in KEPT else getattr(nothing, name)
        assert getattr(found, name) == kept, name


FOREIGN = [
    ({"boot": "another"}, "it is of an earlier boot of this machine"),
    ({"host_id": 2}, "it is of host id 2, and this is host id 1"),
    ({"format": 2}, "it is of another version of this program"),
]
DAMAGED: list[dict[str, Any]] = [
    {"crashed_at_s": 10**400},
    {"failed_starts_s": [-(10**400)]},
    {"tries": 10**400},
    {"last_owner_id": 10**400},
    {"move_target_id": 10**400},
    {"move_for": 7},
    {"better_moves_s": 7},
    {"better_moves_s": [NOW_S + 1]},
    {"better_moves_s": [4050.0] * 101},
    {"tries": -1},
    {"tries": "6"},
    {"vm_id": 77},
    {"vm_id": "7" * 100},
    {"broken_off": ["NoSuchState", 4800.0, None]},
    {"broken_off": ["EngineStop", NOW_S + 1, None]},
    {"broken_off": ["EngineStop", 4800.0]},
    {"broken_off": ["EngineStop", 4800.0, NOW_S + 1]},
    {"broken_off": ["EngineStart", 4800.0, None]},
    {"broken_off": "EngineStop"},
    {"failed_starts_s": [None]},
    {"failed_starts_s": 3},
    {"crashed_at_s": NOW_S + 1},
    {"held_off_until_s": float("nan")},
    {"held_off_until_s": NOW_S + 1e6},
    {"cut_off_since_s": NOW_S + 1},
    {"giving_away": 1},
    {"last_owner_id": 1.5},
]


@pytest.mark.parametrize(("changes", "why"), FOREIGN)
def test_what_is_foreign_is_left_alone_and_that_is_said(changes: dict[str, Any], why: str) -> None:
    found = recall(stored(**changes), 1, NOW_S)
    assert (found.memory, found.why) == (Memory(), why)


@pytest.mark.parametrize("changes", DAMAGED, ids=str)
def test_what_is_damaged_is_left_alone_as_a_whole(changes: dict[str, Any]) -> None:
    found = recall(stored(**changes), 1, NOW_S)
    assert found.memory == Memory()
    assert found.why.startswith("it is damaged: ")


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[]", b"{}", b"{", b"[" * 10_000])
def test_rubbish_is_left_alone(data: bytes) -> None:
    store = SimMemoryStore()
    store.write(data)
    found = recall(store, 1, NOW_S)
    assert found.memory == Memory()
    assert found.why


def test_only_what_is_new_is_written_and_a_failure_is_tried_again() -> None:
    runner, store = InlineRunner(VirtualClock()), SimMemoryStore()
    keeper = MemoryKeeper(runner, store, 1)
    full = OSError("No space left on device")

    def refuse(_data: bytes) -> None:
        raise full

    usual, store.write = store.write, refuse  # type: ignore[method-assign]
    keeper.keep(LEARNT)
    assert [keeper.take(outcome) for outcome in runner.poll()] == [str(full)]
    store.write = usual  # type: ignore[method-assign]
    for again in range(3):
        keeper.keep(replace(LEARNT, why=str(again)))
        written = [keeper.take(outcome) for outcome in runner.poll()]
        assert written == ([""] if again == 0 else [])
    assert recall(store, 1, NOW_S).memory == RECALLED


def test_the_file_is_replaced_as_a_whole_and_need_not_be_there(tmp_path: Path) -> None:
    file = MemoryFile(str(tmp_path / "agent-memory.json"))
    assert file.read() is None
    for data in (b"one", b"two"):
        file.write(data)
        assert file.read() == data
    assert [path.name for path in tmp_path.iterdir()] == ["agent-memory.json"]
    assert len(file.boot_id()) == 36


def test_a_file_that_can_not_be_read_is_said(tmp_path: Path) -> None:
    found = recall(MemoryFile(str(tmp_path)), 1, NOW_S)
    assert found.memory == Memory()
    assert "directory" in found.why


def test_a_process_is_told_from_another_one_of_the_same_pid() -> None:
    processes = ProcProcesses()
    own, first = processes.started(os.getpid()), processes.started(1)
    assert own is not None
    assert first is not None
    assert own.identity == processes.started(os.getpid()).identity  # type: ignore[union-attr]
    assert own.began_s >= first.began_s


def test_a_name_with_blanks_and_brackets_hides_no_start(tmp_path: Path) -> None:
    (tmp_path / "9").mkdir()
    fields = " ".join(str(number) for number in range(3, 53))
    (tmp_path / "9" / "stat").write_text(f"9 (qemu) (x 1) {fields}\n", encoding="ascii")
    found = ProcProcesses(tmp_path).started(9)
    assert found is not None
    assert found.identity == "9/22"


@pytest.mark.parametrize("text", [None, "", "9 (qemu)", "9 (qemu) S 1 2"])
def test_a_process_that_is_gone_or_not_readable_is_not_known(tmp_path: Path, text: Any) -> None:
    if text is not None:
        (tmp_path / "9").mkdir()
        (tmp_path / "9" / "stat").write_text(text, encoding="ascii")
    assert ProcProcesses(tmp_path).started(9) is None
