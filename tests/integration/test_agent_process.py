# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The real `ha-agent` process against the broker's real API."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from metadata.records import EngineVm, Health
from metadata.settings.parse import ClusterSettings, Timing
from tests.integration.agent_bench import FACTOR, TICK_S, AgentBench, bench_in, wait_for


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[AgentBench]:
    with bench_in(tmp_path) as given:
        yield given


@pytest.fixture
def running(bench: AgentBench) -> AgentBench:
    bench.bring_engine_up()
    return bench


def test_starts_the_engine_and_says_so(running: AgentBench) -> None:
    states = [record.state for record in running.broker.published]
    order = [states.index(state) for state in ("EngineStart", "EngineStarting", "EngineUp")]
    assert order == sorted(order)
    assert "EngineStart => EngineStarting: " in running.log
    assert running.broker.published[-1].engine_status.detail == "Up"
    assert running.broker.published[-1].score == 3400
    assert "EngineDown => EngineStart: " in running.log
    assert "Traceback" not in running.log


def test_killed_and_started_again_it_adopts_the_engine(running: AgentBench) -> None:
    assert running.kill_agent() == -signal.SIGKILL
    before = len(running.broker.published)
    running.start_agent()
    running.wait_for_state("EngineUp", after=before)
    assert running.machine.calls == ["start"]
    assert running.machine.pid == 1


def test_a_second_agent_ends_with_one_line_and_the_first_goes_on(running: AgentBench) -> None:
    first = running.agent
    assert first is not None
    before = len(running.log.splitlines())
    running.start_agent()
    assert running.end_of_agent() == 1
    (line,) = running.log.splitlines()[before:]
    assert f"ha-agent runs on this host already (process {first.pid} " in line
    running.agent = first
    assert first.poll() is None
    assert running.machine.calls == ["start"]


def test_frozen_and_thawed_it_does_nothing_to_the_engine(running: AgentBench) -> None:
    assert running.agent is not None
    running.agent.send_signal(signal.SIGSTOP)
    before = len(running.broker.published)
    time.sleep(4 * TICK_S)
    assert len(running.broker.published) <= before + 1
    running.agent.send_signal(signal.SIGCONT)
    running.wait_for_state("EngineUp", after=before + 1)
    assert running.machine.calls == ["start"]


def test_a_crashed_engine_is_restarted(running: AgentBench) -> None:
    running.change_machine(state="absent", ending="crashed", lease_pid=0)
    wait_for("the second start", lambda: running.machine.calls == ["start", "start"])


def test_survives_the_brokers_restart(running: AgentBench) -> None:
    running.broker.stop()
    wait_for("a line in the log", lambda: "the broker does not answer: " in running.log)
    assert running.agent is not None
    time.sleep(3 * TICK_S)
    assert running.agent.poll() is None
    before = len(running.broker.published)
    running.broker.start()
    running.wait_for_state("EngineUp", after=before)
    wait_for("a line in the log", lambda: "the broker answers again" in running.log)
    assert running.log.count("the broker does not answer: ") == 1
    assert running.machine.calls == ["start"]


def test_survives_a_broker_that_accepts_and_never_answers(running: AgentBench) -> None:
    running.broker.stop()
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as mute:
        mute.bind(str(running.socket_path))
        mute.listen(16)
        wait_for("a line in the log", lambda: "the broker does not answer" in running.log, 30)
        assert running.agent is not None
        assert running.agent.poll() is None
        begun_s = time.monotonic()
        assert running.kill_agent(signal.SIGTERM) == 0
        assert time.monotonic() - begun_s < 15 * FACTOR
    assert running.machine.calls == ["start"]


def test_libvirt_gone_and_back(running: AgentBench) -> None:
    running.change_machine(libvirt_gone=True)
    record = running.wait_for_state("UnknownLocalVmState")
    assert record.engine_status.vm is EngineVm.UNKNOWN
    before = len(running.broker.published)
    running.change_machine(libvirt_gone=False)
    running.wait_for_state("EngineUp", after=before)
    assert running.machine.calls == ["start"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_leaves_the_engine(running: AgentBench, number: signal.Signals) -> None:
    begun_s = time.monotonic()
    assert running.kill_agent(number) == 0
    assert time.monotonic() - begun_s < 3 * FACTOR
    record = running.broker.published[-1]
    assert (record.state, record.stopped, record.score) == ("AgentStopped", True, 0)
    assert running.machine.calls == ["start"]
    assert running.machine.state == "running"
    assert "the agent has stopped" in running.log


def test_no_broker_at_all(bench: AgentBench) -> None:
    bench.deploy()
    bench.start_agent()
    wait_for("a line in the log", lambda: "there is no broker at" in bench.log)
    time.sleep(3 * TICK_S)
    assert bench.machine.calls == []
    assert bench.kill_agent(signal.SIGTERM) == 0


# --- deployment and settings ----------------------------------------------------------


def test_not_deployed_it_waits_and_can_be_stopped(bench: AgentBench) -> None:
    bench.start_agent()
    wait_for("a line in the log", lambda: "not deployed: run hosted-engine --deploy" in bench.log)
    assert bench.kill_agent(signal.SIGTERM) == 0


def test_begins_when_the_host_is_deployed(bench: AgentBench) -> None:
    bench.broker.start()
    bench.start_agent()
    wait_for("a line in the log", lambda: "not deployed: run hosted-engine --deploy" in bench.log)
    bench.deploy()
    bench.broker.health = Health.GOOD
    bench.wait_for_state("EngineUp")
    assert bench.log.count("not deployed") == 1


BAD_SETTINGS = {
    "no YAML": ("host_id: [1", "no valid YAML"),
    "unknown key": ("host_id: 1\nhost_nam: h1\n", "host_nam"),
    "no number": ("host_id: one\nhost_name: h1\n", "host_id"),
    "binary": ("\udcff", "can't be read"),
}


@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_bad_settings_end_it_with_a_reason(bench: AgentBench, name: str) -> None:
    text, reason = BAD_SETTINGS[name]
    bench.settings_path.write_bytes(text.encode("utf-8", "surrogateescape"))
    bench.start_agent()
    assert bench.end_of_agent() == 1
    assert str(bench.settings_path) in bench.log
    assert reason in bench.log
    assert "Traceback" not in bench.log


def test_unknown_options_are_refused(bench: AgentBench) -> None:
    bench.start_agent("--frobnicate")
    assert bench.end_of_agent() == 2
    assert "--frobnicate" in bench.log


def test_version(bench: AgentBench) -> None:
    bench.start_agent("--version")
    assert bench.end_of_agent() == 0
    assert bench.log.startswith("ha-agent ")


# --- systemd --------------------------------------------------------------------------


def test_systemd_hears_ready_status_and_watchdog(bench: AgentBench) -> None:
    address = bench.directory / "notify"
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(address))
        manager.settimeout(0.05)
        bench.environment = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "30000000"}
        heard: list[str] = []

        def hears(text: str) -> bool:
            with contextlib.suppress(socket.timeout):
                while True:
                    heard.extend(manager.recv(4096).decode().splitlines())
            return any(line.startswith(text) for line in heard)

        bench.deploy()
        bench.broker.start()
        bench.start_agent()
        bench.broker.health = Health.GOOD
        wait_for("READY", lambda: hears("READY=1"))
        wait_for("STATUS", lambda: hears("STATUS=EngineUp: the engine runs here"))
        assert hears("WATCHDOG=1")
        assert bench.kill_agent(signal.SIGTERM) == 0
        assert hears("STOPPING=1")
        assert hears("STATUS=AgentStopped")


def test_the_watchdog_is_fed_only_while_the_loop_turns(bench: AgentBench) -> None:
    """A frozen process sends nothing, so systemd restarts it."""
    address = bench.directory / "notify"
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(address))
        bench.environment = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "30000000"}
        agent = bench.start_agent()
        manager.settimeout(10 * FACTOR)
        while b"READY=1" not in manager.recv(4096):
            pass
        agent.send_signal(signal.SIGSTOP)
        manager.settimeout(0.2)
        with contextlib.suppress(socket.timeout):
            while True:
                manager.recv(4096)
        manager.settimeout(2 * TICK_S)
        with pytest.raises(socket.timeout):
            manager.recv(4096)


# --- cost -----------------------------------------------------------------------------


def test_idle_cost(tmp_path: Path) -> None:
    """At the default tick: below 50 MB, and a small share of the 0.5 % for both daemons."""
    settings = ClusterSettings(timing=Timing(io_timeout_s=1))
    with bench_in(tmp_path, settings) as bench:
        bench.bring_engine_up()
        cpu_before_s, begun_s = bench.cpu_s(), time.monotonic()
        time.sleep(4 * settings.timing.tick_s)
        share = (bench.cpu_s() - cpu_before_s) / (time.monotonic() - begun_s)
        resident_mb = bench.resident_mb()
    print(f"agent idle: {share:.2%} of one core, {resident_mb:.1f} MB resident")
    assert resident_mb < 50
    assert share < 0.005
