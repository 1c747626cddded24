# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A real broker API in this process and real agents as processes, for one host."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional

import yaml

from ha_broker.api.snapshot import (
    ConfigView,
    EngineView,
    HostView,
    LeaseState,
    LeaseView,
    LockspaceView,
    Publication,
    Snapshot,
    StorageView,
)
from ha_broker.server.http_server import ApiServer
from ha_broker.server.mailbox import Mailbox
from ha_broker.server.routes import Api
from metadata.domain_xml import lease_element
from metadata.layout import storage_parts
from metadata.liveness import Liveness
from metadata.records import Health
from metadata.settings.parse import ClusterSettings, HostSettings, Timing, host_settings_to_data
from metadata.shared_config import SharedConfig
from tests.integration.agent_process import Machine
from world.ports.libvirt import DomainState
from world.ports.sanlock import Membership

ROOT = Path(__file__).resolve().parents[2]
FACTOR = float(os.environ.get("HE_TIME_FACTOR", "1"))
PARTS = storage_parts("/shared/leases")
XML = f"<domain><name>HostedEngine</name><devices>{lease_element(PARTS)}</devices></domain>"
TICK_S = 1.0
# Only the tick is short; so no time-out of the state machine plays a part.
SETTINGS = ClusterSettings(timing=Timing(tick_s=TICK_S, io_timeout_s=1))


def wait_for(what: str, condition: Callable[[], Any], timeout_s: float = 15.0) -> Any:
    """Poll until `condition` is true; fails naming `what`."""
    deadline_s = time.monotonic() + timeout_s * FACTOR
    while time.monotonic() < deadline_s:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {timeout_s * FACTOR:g} s: {what}")


class KillableServer(ApiServer):
    """A server whose connections end with it, as those of a process do."""

    def __init__(self, path: str, answer: Any) -> None:
        self._open: list[Any] = []
        super().__init__(path, answer)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.append(request)
        super().process_request(request, client_address)

    def stop(self) -> None:
        super().stop()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class BrokerStandIn:
    """The broker's real mailbox, API and server; a thread shows the machine as a core would.

    `stop()` and `start()` are a broker's end and restart.
    """

    def __init__(self, socket_path: Path, machine_path: Path, settings: ClusterSettings) -> None:
        self.published: list[Publication] = []
        self.health = Health.UNKNOWN
        self.config = SharedConfig(1, settings, XML)
        self._socket_path = socket_path
        self._machine_path = machine_path
        self._sequence = 0
        self._written_at_s: Optional[float] = None
        self._ending = threading.Event()
        self._woken = threading.Event()
        self._server: Optional[KillableServer] = None

    def start(self) -> None:
        self._ending.clear()
        self._started_at_s = time.monotonic()
        self._sequence += 1000
        self._desk = Mailbox(self._snapshot(), self._woken.set)
        self._show()
        self._server = KillableServer(
            str(self._socket_path), Api(self._desk, time.monotonic).answer
        )
        self._server.start()
        self._thread = threading.Thread(target=self._run, name="broker-stand-in", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._server is None:
            return
        self._ending.set()
        self._woken.set()
        self._thread.join()
        self._desk.close()
        self._server.stop()
        self._server = None

    def _run(self) -> None:
        while not self._ending.is_set():
            self._woken.wait(TICK_S / 4)
            self._woken.clear()
            publication = self._desk.take().publication
            if publication is not None:
                self.published.append(publication)
                self._written_at_s = time.monotonic()
            self._show()

    def _show(self) -> None:
        new = self._snapshot()
        old = self._desk.snapshot()
        if (new.lease.state, new.engine.health) != (old.lease.state, old.engine.health):
            self._sequence += 1
        self._desk.show(replace(new, sequence=self._sequence), self.config)

    def _snapshot(self) -> Snapshot:
        now_s = time.monotonic()
        machine = Machine.read(self._machine_path)
        held = LeaseView(LeaseState.HELD, 1, now_s)
        free = LeaseView(LeaseState.FREE, None, now_s)
        here = machine.state == "running"
        return Snapshot(
            sequence=self._sequence,
            taken_at_s=now_s,
            host_id=1,
            host_name="h1",
            started_at_s=self._started_at_s,
            storage=StorageView(now_s, self._written_at_s),
            lockspace=LockspaceView(Membership.JOINED, fire_timeout_s=60),
            lease=held if machine.lease_pid else free,
            engine=EngineView(
                DomainState(machine.state), self.health if here else Health.UNKNOWN, "", now_s
            ),
            config=ConfigView(self.config.sequence),
            hosts=(HostView(1, Liveness.LIVE),),
            global_maintenance=False,
        )


class AgentBench:
    """One host: its machine, its broker, and an agent that comes and goes."""

    def __init__(self, directory: Path, settings: ClusterSettings = SETTINGS) -> None:
        self.directory = directory
        self.settings_path = directory / "host.yaml"
        self.socket_path = directory / "b.sock"
        self.log_path = directory / "agent.log"
        self.machine_path = directory / "machine.json"
        Machine(self.machine_path).write()
        self.log_path.touch()
        self.broker = BrokerStandIn(self.socket_path, self.machine_path, settings)
        self.agent: Optional[subprocess.Popen[bytes]] = None
        self.environment: dict[str, str] = {}

    @property
    def machine(self) -> Machine:
        return Machine.read(self.machine_path)

    def change_machine(self, **changes: Any) -> None:
        replace(self.machine, **changes).write()

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def deploy(self) -> None:
        host = HostSettings(host_id=1, host_name="h1", storage=PARTS)
        temporary = self.settings_path.with_suffix(".new")
        temporary.write_text(yaml.safe_dump(host_settings_to_data(host)))
        temporary.replace(self.settings_path)

    def start_agent(self, *options: str) -> subprocess.Popen[bytes]:
        command = [
            sys.executable, "-m", "tests.integration.agent_process", str(self.machine_path),
            "--settings", str(self.settings_path), "--socket", str(self.socket_path), *options,
        ]  # fmt: skip
        state = {"HE_STATE_DIR": str(self.directory)}
        environment = {**os.environ, **state, **self.environment}
        environment.pop("JOURNAL_STREAM", None)
        with self.log_path.open("ab") as output:
            self.agent = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=output
            )
        return self.agent

    def kill_agent(self, number: int = signal.SIGKILL) -> int:
        assert self.agent is not None
        self.agent.send_signal(number)
        return self.end_of_agent()

    def end_of_agent(self) -> int:
        assert self.agent is not None
        return self.agent.wait(timeout=20 * FACTOR)

    def wait_for_state(self, state: str, after: int = 0) -> Publication:
        """The next publication with that state, beyond the first `after` ones."""

        def seen() -> Optional[Publication]:
            found = [item for item in self.broker.published[after:] if item.state == state]
            return found[-1] if found else None

        published = wait_for(f"state {state}\n{self.log}", seen)
        assert isinstance(published, Publication)
        return published

    def bring_engine_up(self) -> None:
        self.deploy()
        self.broker.start()
        # Records are handed over one at a time, the latest of those that wait: what is over in a
        # moment may be in none. So the start lasts until it is told, and the boot as well.
        self.change_machine(start_lasts=True)
        self.start_agent()
        wait_for("the VM's start", lambda: self.machine.calls == ["start"])
        self.wait_for_state("EngineStart")
        self.change_machine(start_lasts=False)
        self.wait_for_state("EngineStarting")
        self.broker.health = Health.GOOD
        self.wait_for_state("EngineUp")

    def resident_mb(self) -> float:
        assert self.agent is not None
        status = Path(f"/proc/{self.agent.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def cpu_s(self) -> float:
        """Processor seconds that the agent has used."""
        assert self.agent is not None
        stat = Path(f"/proc/{self.agent.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        if self.agent is not None and self.agent.poll() is None:
            self.agent.send_signal(signal.SIGCONT)
            self.agent.kill()
            self.agent.wait()
        self.broker.stop()


@contextlib.contextmanager
def bench_in(directory: Path, settings: ClusterSettings = SETTINGS) -> Iterator[AgentBench]:
    bench = AgentBench(directory, settings)
    try:
        yield bench
    finally:
        bench.close()
