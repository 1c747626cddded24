# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The history that the real `ha-agent` process writes outlives it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ha_agent.history.entry import AgentStarted, HostSight, Transition
from ha_agent.history.store import PRESENT, read_history
from tests.integration.agent_bench import AgentBench, bench_in, wait_for


@pytest.fixture
def running(tmp_path: Path) -> Iterator[AgentBench]:
    with bench_in(tmp_path) as bench:
        bench.bring_engine_up()
        yield bench


def changes(bench: AgentBench) -> list[str]:
    """The states gone into, as the files have them."""
    kept = read_history(str(bench.directory / "history"))
    return [one.fact.after for one in kept.entries if isinstance(one.fact, Transition)]


def count(bench: AgentBench, kind: type) -> int:
    kept = read_history(str(bench.directory / "history"))
    return sum(isinstance(one.fact, kind) for one in kept.entries)


def test_it_survives_kill_9_and_is_told_again(running: AgentBench) -> None:
    wait_for("the last state in the files", lambda: changes(running)[-1:] == ["EngineUp"])
    before = changes(running)
    running.kill_agent(signal.SIGKILL)
    seen = len(running.broker.published)
    running.start_agent()
    running.wait_for_state("EngineUp", after=seen)
    wait_for("the new agent's last state", lambda: changes(running).count("EngineUp") == 2)
    assert changes(running)[: len(before)] == before
    assert count(running, AgentStarted) == 2
    assert count(running, HostSight) > 0

    def told_again() -> bool:
        told = running.broker.published[-1].transitions
        earlier = [one.after for one in told if one.number <= 0]
        return bool(earlier) and earlier == before[-len(earlier) :]

    wait_for("what the first agent did, told by the second", told_again)


def test_the_last_words_of_a_stopped_agent_are_kept(running: AgentBench) -> None:
    assert running.kill_agent(signal.SIGTERM) == 0
    assert changes(running)[-1] == "AgentStopped"


def test_a_line_that_was_torn_is_left_out(running: AgentBench) -> None:
    wait_for("the last state in the files", lambda: changes(running)[-1:] == ["EngineUp"])
    running.kill_agent(signal.SIGKILL)
    path = running.directory / "history" / PRESENT
    with path.open("ab") as file:
        file.write(b'{"kind": "transition", "at": 17')
    running.start_agent()
    wait_for("the new agent's last state", lambda: changes(running).count("EngineUp") == 2)
    kept = read_history(str(running.directory / "history"))
    assert kept.damaged == 1
    for line in path.read_text().splitlines():
        assert line.startswith('{"kind": "transition", "at": 17') or json.loads(line)


def test_a_place_that_cannot_be_written_is_told_once_and_harms_nothing(tmp_path: Path) -> None:
    (tmp_path / "history").write_text("a file where a directory belongs")
    with bench_in(tmp_path) as bench:
        bench.bring_engine_up()
        wait_for("a line in the log", lambda: "can't write the history" in bench.log)
        bench.change_machine(state="absent", ending="crashed", lease_pid=0)
        wait_for("the second start", lambda: bench.machine.calls == ["start", "start"])
        assert bench.log.count("can't write the history") == 1
        assert "Traceback" not in bench.log
