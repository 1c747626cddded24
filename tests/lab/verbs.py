# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The lab as these tests use it: through its commands alone."""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

LAB = Path(__file__).resolve().parents[2] / "lab" / "lab"
FULL_SCORE = 3400
# How long hosts may take to be at rest again after a fault has gone.
SETTLE_TIMEOUT_S = 150.0


def scaled(seconds: float) -> float:
    return seconds * float(os.environ.get("HE_TIME_FACTOR") or 1)


HEARTBEAT_TIMEOUT_S = 10.0
CONFIG = "config-version"
# Each host looks once a minute at the latest.
CONFIG_TIMEOUT_S = 70.0
SOCKET = "/run/hosted-engine-ha/broker.sock"
AGENT_MEMORY = "/run/hosted-engine-ha/agent-memory.json"
TROUBLES = ("crashed_at_s", "failed_starts_s", "tries", "gave_away_at_s")


class LabError(AssertionError):
    pass


class LabVerbs:
    def __init__(self, *before: str) -> None:
        """`before` are the words before each command, such as those that lead to another lab."""
        self._before = before

    def command(self, *words: str) -> list[str]:
        return [*self._before, str(LAB), *words]

    def attempt(self, *words: str, timeout_s: float = 300.0) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=scaled(timeout_s),
            check=False,
        )

    def __call__(self, *words: str, timeout_s: float = 300.0) -> str:
        done = self.attempt(*words, timeout_s=timeout_s)
        if done.returncode:
            raise LabError(f"lab {' '.join(words)}: {done.stderr or done.stdout}")
        return done.stdout

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("status", "--json"))
        return found

    def engine_host(self) -> str:
        found = self.status()["engine"]
        assert found["healthy"], found
        return str(found["host"])

    def engine_identity(self) -> tuple[str, int, Optional[str]]:
        """Host, qemu's process, and boot: known by a heartbeat that is fresh, which it may not be
        for a moment after the guest stood still."""
        found = self.status()["engine"]
        deadline_s = time.monotonic() + scaled(HEARTBEAT_TIMEOUT_S)
        while found["boot_id"] is None and time.monotonic() < deadline_s:
            time.sleep(0.5)
            found = self.status()["engine"]
        return found["host"], found["pid"], found["boot_id"]

    def on(self, host: str, *command: str) -> str:
        return self("on", host, *command)

    def set_shared(self, key: str, value: str) -> None:
        """Change a shared setting; all hosts have it when this returns."""
        asked = next(iter(self.status()["hosts"]))
        self.on(asked, "hosted-engine", "--set-shared-config", key, value)
        newest = str(self.snapshot(asked)["config"]["sequence"])

        def everywhere() -> bool:
            views = self.snapshot(asked)["hosts"]
            return all(dict(view["record"]["notes"]).get(CONFIG) == newest for view in views)

        self.wait_until(f"{key} on all hosts", everywhere, scaled(CONFIG_TIMEOUT_S))

    def snapshot(self, host: str) -> dict[str, Any]:
        """All that this host's broker knows."""
        asked = ("curl", "-s", "--unix-socket", SOCKET, "http://x/v1/status")
        found: dict[str, Any] = json.loads(self.on(host, *asked))
        return found

    def wait_healthy(self, timeout_s: float, *where: str) -> float:
        """Wait for the engine; returns how long it took. The lab stretches the time-out."""
        start_s = time.monotonic()
        self("wait", "--healthy", *where, "--timeout", str(timeout_s), timeout_s=timeout_s + 30)
        return time.monotonic() - start_s

    def wait_until(self, what: str, condition: Callable[[], bool], timeout_s: float) -> None:
        """Without a look at all hosts; on slow machines it waits no longer."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                raise LabError(f"{what}: not within {timeout_s:g} s")
            time.sleep(0.5)

    def wait_for(
        self, what: str, condition: Callable[[dict[str, Any]], bool], timeout_s: float
    ) -> None:
        deadline_s = time.monotonic() + scaled(timeout_s)
        while True:
            found = self.status()
            if condition(found):
                return
            if time.monotonic() > deadline_s:
                raise LabError(f"{what}: not within {scaled(timeout_s):g} s: {found}")
            time.sleep(0.5)

    @contextlib.contextmanager
    def at_rest(self) -> Iterator[None]:
        """For one test; after it the engine must have run nowhere twice."""
        self.forget_troubles()
        self.wait_settled()
        yield
        report = self.attempt("report")
        assert report.returncode == 0, report.stdout

    def wait_settled(self) -> None:
        self.wait_for("all hosts at rest", is_settled, SETTLE_TIMEOUT_S)

    def forget(self, host: str) -> None:
        """The host's agent ends, and what it has kept with it."""
        forget = f"systemctl stop ha-agent; rm -f {AGENT_MEMORY}; systemctl start ha-agent"
        self.on(host, "sh", "-c", forget)

    def forget_troubles(self) -> None:
        """What one test did to a host does not count against it in the next one."""
        for host in self.status()["hosts"]:
            shown = self.attempt("on", host, "cat", AGENT_MEMORY)
            kept = json.loads(shown.stdout) if shown.returncode == 0 else {}
            if any(kept.get(name) for name in TROUBLES):
                self.forget(host)

    def floor_s(self) -> float:
        """How long after a host's last sign of life its lease can't be had by anybody."""
        return float(self.status()["lease_floor_s"])


def is_settled(status: dict[str, Any]) -> bool:
    hosts = status["hosts"]
    at_rest = {
        name: "EngineUp" if name == status["engine"]["host"] else "EngineDown" for name in hosts
    }
    return bool(status["engine"]["healthy"]) and all(
        one["power"] == "on"
        and one["score"] == FULL_SCORE
        and one["state"] == at_rest[name]
        # A host that joins its lockspace only after another one died counts that one's time
        # from then on.
        and one["sees_alive"] == list(hosts)
        for name, one in hosts.items()
    )


def machine_clock_s() -> float:
    """The clock of the lab's own records."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def allowed_share_s(allowance_s: float, boot_s: float) -> float:
    """What noticing, deciding and starting may take when the guest's boot took `boot_s`.

    The boot is work of the same machine in the same minute: where it takes long, all does.
    """
    return max(scaled(allowance_s), boot_s)
