# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Real processes whose CPU time is read from outside: the daemons, and the command."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from ha_broker.api.snapshot import (
    ConfigView,
    EngineView,
    HostView,
    LeaseState,
    LeaseView,
    LockspaceView,
    Snapshot,
    StorageView,
)
from ha_broker.server.http_server import ApiServer
from ha_broker.server.mailbox import Mailbox
from ha_broker.server.routes import Api
from metadata.liveness import Liveness
from metadata.records import Health, HostRecord
from metadata.settings.parse import HostSettings, host_settings_to_data
from metadata.wire import decode_slot
from tests.bench.bounds import page_server
from tests.bench.scale_world import TICK_S, Volume, slot_bytes
from tests.bench.stub_sanlock import LEASE_OWNER_ID
from world.ports.libvirt import DomainState
from world.ports.sanlock import Membership

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 60.0
SETTLE_TICKS = 4
TICKS = 11
# An installed program finds its modules compiled.
_NOT_INHERITED = ("JOURNAL_STREAM", "NOTIFY_SOCKET", "PYTHONDONTWRITEBYTECODE")
_SCHED_CLOCK = 2  # CPUCLOCK_SCHED of the kernel's clocks of processes
COMMAND = "import sys; from hosted_engine.main import main; sys.exit(main())"


def cpu_ns(pid: int) -> int:
    """What a living process has used, threads that have ended included."""
    return time.clock_gettime_ns(~pid << 3 | _SCHED_CLOCK)


def resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


def compile_modules(directory: Path) -> None:
    """As an installer does; compiling would stay in a process's time and memory."""
    rooms = ("metadata", "world", "fsm", "ha_broker", "ha_agent", "hosted_engine", "tests/bench")
    done = [sys.executable, "-m", "compileall", "-q", *rooms]
    subprocess.run(done, cwd=ROOT, env=environment(directory), check=True)


@dataclass(frozen=True)
class DaemonCost:
    """CPU milliseconds in a tick's 5 s (medians), and resident memory in MiB, at the end."""

    broker_ms: float
    agent_ms: float
    broker_mib: float
    agent_mib: float


class Daemons:
    """Host 1 of `hosts`, whose daemons are processes."""

    def __init__(self, directory: Path, hosts: int, url: str) -> None:
        directory.mkdir()
        self.volume = Volume(directory, hosts, url)
        self._hosts = hosts
        self._directory = directory
        host = HostSettings(
            1, "host-0001.example.org", self.volume.parts, bridge="lo", gateway="127.0.0.1",
            libvirt_uri="test:///default",
        )  # fmt: skip
        (directory / "host.yaml").write_text(yaml.safe_dump(host_settings_to_data(host)))
        self.write()
        self.processes = [self._start("ha-broker"), self._start("ha-agent")]

    def write(self) -> None:
        """All other hosts write their records."""
        self.volume.write_all(int(time.monotonic()))

    def _start(self, daemon: str) -> subprocess.Popen[bytes]:
        with (self._directory / f"{daemon}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.bench.scale_daemon", daemon, str(self._hosts)],
                env={**environment(self._directory), **unit_environment(daemon)},
                cwd=ROOT, stdout=log, stderr=log,
            )  # fmt: skip

    def check(self) -> None:
        """Both live, and the agent has found its place; raises AssertionError."""
        logs = [(self._directory / f"{name}.log").read_text() for name in ("ha-broker", "ha-agent")]
        assert all(process.poll() is None for process in self.processes), logs
        assert "=> EngineDown" in logs[1], logs

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.volume.close()


def environment(directory: Path) -> dict[str, str]:
    """Every path of the product leads below `directory`."""
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    return {
        **kept,
        "HE_BROKER_SOCKET": str(directory / "broker.sock"),
        "HE_SETTINGS": str(directory / "host.yaml"),
        "HE_STATE_DIR": str(directory / "state"),
        "SANLOCK_RUN_DIR": str(directory / "no-sanlock"),
    }


def unit_environment(daemon: str) -> dict[str, str]:
    """What systemd sets for a daemon: the lines ``Environment=`` of its unit."""
    unit = (ROOT / "systemd" / f"{daemon}.service").read_text().splitlines()
    lines = [line.partition("=")[2] for line in unit if line.startswith("Environment=")]
    return dict(line.split("=", 1) for line in lines)


def daemon_costs(
    directory: Path, sizes: Sequence[int], ticks: int = TICKS
) -> dict[int, DaemonCost]:
    """Of all sizes side by side, in `ticks` + `SETTLE_TICKS` ticks of real time."""
    compile_modules(directory)
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(page_server())
        worlds = {}
        for hosts in sizes:
            worlds[hosts] = Daemons(directory / f"daemons-{hosts}", hosts, url)
            stack.callback(worlds[hosts].close)
        samples = _samples(list(worlds.values()), ticks)
        for world in worlds.values():
            world.check()
        return {
            hosts: DaemonCost(*_medians_ms(samples[hosts]), *_memory(world))
            for hosts, world in worlds.items()
        }


def _samples(worlds: list[Daemons], ticks: int) -> dict[int, list[list[int]]]:
    """For each size and each tick what both processes had used by then, in ns."""
    samples: dict[int, list[list[int]]] = {world.volume.hosts: [] for world in worlds}
    due_s = time.monotonic()
    for tick in range(SETTLE_TICKS + ticks + 1):
        for world in worlds:
            if tick >= SETTLE_TICKS:
                used = [cpu_ns(process.pid) for process in world.processes]
                samples[world.volume.hosts].append(used)
            world.write()
        due_s += TICK_S
        time.sleep(max(0.0, due_s - time.monotonic()))
    return samples


def _medians_ms(used: list[list[int]]) -> list[float]:
    steps = list(zip(used, used[1:]))
    return [
        statistics.median((after[place] - before[place]) / 1e6 for before, after in steps)
        for place in (0, 1)
    ]


def _memory(world: Daemons) -> list[float]:
    return [resident_mib(process.pid) for process in world.processes]


# --- the command ---------------------------------------------------------------------------


def status_snapshot(hosts: int) -> Snapshot:
    """What a broker knows of a cluster in which all is well."""
    views = []
    for host_id in range(1, hosts + 1):
        record = decode_slot(host_id, slot_bytes(host_id, 1000 + host_id))
        assert isinstance(record, HostRecord)
        views.append(HostView(host_id, Liveness.LIVE, 1, record, fresh=True, changed_at_s=999.0))
    return Snapshot(
        7, 1000.0, 1, "host-0001.example.org", 50.0,
        storage=StorageView(999.0, 999.0, None, 0.001),
        lockspace=LockspaceView(Membership.JOINED, fire_timeout_s=60),
        lease=LeaseView(LeaseState.HELD, LEASE_OWNER_ID, 999.0),
        engine=EngineView(DomainState.ABSENT, Health.UNKNOWN, "", 999.0),
        config=ConfigView(1),
        hosts=tuple(views),
        global_maintenance=False,
    )  # fmt: skip


@contextlib.contextmanager
def status_server(directory: Path, snapshot: Snapshot) -> Iterator[dict[str, str]]:
    """The broker's API with that snapshot; the environment of a command that asks there."""
    directory.mkdir()
    (directory / "host.yaml").write_text("host_id: 1\nhost_name: h1\nstorage: {path: /leases}\n")
    mailbox = Mailbox(snapshot)
    server = ApiServer(str(directory / "broker.sock"), Api(mailbox, lambda: 1000.0).answer)
    server.start()
    try:
        yield environment(directory)
    finally:
        server.stop()


def child_ms(arguments: Sequence[str], env: dict[str, str]) -> float:
    """CPU of one run of a program, user's and system's; raises AssertionError where it failed."""
    process = subprocess.Popen(arguments, cwd=ROOT, env=env, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return (used.ru_utime + used.ru_stime) * 1000


def command_ms(env: dict[str, str], *arguments: str) -> float:
    """CPU of one ``hosted-engine``, started as its installed script starts it."""
    return child_ms([sys.executable, "-c", COMMAND, *arguments], env)


def bare_python_ms() -> float:
    """CPU of an interpreter that does nothing."""
    return child_ms([sys.executable, "-c", "pass"], dict(os.environ))
