"""Watching a takeover: when the lease was free, the VM started, the engine healthy again."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import engine, host, lan
from lab.errors import LabError
from lab.processes import machine_clock_s, wait_until
from lab.settings import HOST_LEASES, LOCKSPACE, RESOURCE, Places, scaled
from lab.state import Lab

LEASE_OFFSET = 1 << 20
OBSERVER = Path(__file__).with_name("lease_observer.py")
# Of sanlock's making, not ours: a host counts as dead after 8 I/O time-outs and a watchdog's 60 s.
WATCHDOG_S = 60
# What is left for noticing, deciding and starting.
ALLOWANCE_S = 8.0


@dataclass(frozen=True)
class Timeline:
    """The moments of one takeover, on the machine's clock."""

    cut_s: float
    lease_free_s: float
    started_s: float
    healthy_s: float
    target: str
    io_timeout_s: int
    guest_boot_s: float

    @property
    def floor_s(self) -> float:
        """The time that sanlock needs to be sure that a host is dead."""
        return lease_floor_s(self.io_timeout_s)

    @property
    def bound_s(self) -> float:
        """How long the whole may take."""
        return self.floor_s + self.guest_boot_s + scaled(ALLOWANCE_S)

    @property
    def total_s(self) -> float:
        """From the cut to a healthy engine."""
        return self.healthy_s - self.cut_s

    def as_text(self) -> list[str]:
        """The timeline for people."""
        moments = [
            ("power cut", self.cut_s),
            ("lease free (sanlock says its owner is dead)", self.lease_free_s),
            (f"VM started on {self.target}", self.started_s),
            ("engine healthy", self.healthy_s),
        ]
        lines = [f"{'':46}{'at':>9}{'step':>10}"]
        before_s = self.cut_s
        for name, at_s in moments:
            lines.append(f"{name:<46}{at_s - self.cut_s:>7.1f} s{at_s - before_s:>8.1f} s")
            before_s = at_s
        verdict = "within" if self.total_s <= self.bound_s else "OVER"
        return [
            *lines,
            f"floor set by sanlock: 8 x {self.io_timeout_s} + {WATCHDOG_S} = {self.floor_s:.0f} s; "
            f"guest's own boot, at its first start: {self.guest_boot_s:.1f} s; "
            f"allowance: {scaled(ALLOWANCE_S):g} s",
            f"bound: {self.bound_s:.1f} s, taken: {self.total_s:.1f} s: {verdict} the bound",
        ]


def lease_floor_s(io_timeout_s: int) -> float:
    """No correct program takes a dead host's lease sooner after its last sign of life."""
    return 8.0 * io_timeout_s + WATCHDOG_S


class LeaseWatch:
    """Asks sanlock on the surviving hosts when the lease can be had."""

    def __init__(self, places: Places, hosts: Sequence[str]) -> None:
        self.free_at_s: float | None = None
        self._known = threading.Event()
        self._lock = threading.Lock()
        self._children = [self._start(places, name) for name in hosts]
        for child in self._children:
            threading.Thread(target=self._read, args=(child,), daemon=True).start()
        if not self._known.wait(scaled(10)):
            self.stop()
            raise LabError("sanlock on the other hosts does not tell who owns the engine's lease")

    def stop(self) -> None:
        """End the observers."""
        for child in self._children:
            child.kill()
            child.wait()

    def _start(self, places: Places, name: str) -> subprocess.Popen[str]:
        source = OBSERVER.read_text(encoding="utf-8")
        arguments = [LOCKSPACE, RESOURCE, HOST_LEASES, str(LEASE_OFFSET)]
        command = ["/usr/bin/python3", "-c", source, *arguments]
        return subprocess.Popen(
            host.command_in(host.require_leader(places, name), command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def _read(self, child: subprocess.Popen[str]) -> None:
        for line in child.stdout or ():
            if line.startswith("owner") and "None" not in line:
                self._known.set()
            elif line.startswith("free"):
                with self._lock:
                    self.free_at_s = self.free_at_s or machine_clock_s()


def watch_power_cut(
    places: Places, lab: Lab, guest_boot_s: float, say: Callable[[str], None]
) -> Timeline:
    """Cut the power of the engine's host and watch until the engine is healthy elsewhere."""
    before = engine.the_only_one(places, lab)
    watch = LeaseWatch(places, [name for name in lab.hosts if name != before.host])
    try:
        cut_s = host.power_off(places, before.host)
        say(f"power of {before.host} is cut")
        limit_s = lease_floor_s(lab.io_timeout_s) + guest_boot_s + scaled(ALLOWANCE_S) + 60
        wait_until("lease free", lambda: watch.free_at_s is not None, limit_s, 0.05)
        say("its lease is free")
        wait_until("VM started elsewhere", lambda: bool(engine.running(places, lab)), 60, 0.05)
        after = engine.running(places, lab)[0]
        say(f"the VM is started on {after.host}")
        wait_until("engine healthy elsewhere", lan.engine_is_healthy, 60, 0.05)
    finally:
        watch.stop()
    healthy_s = machine_clock_s()
    after = engine.the_only_one(places, lab)
    if after.host == before.host:
        raise LabError(f"the engine is on {before.host} again, whose power was cut")
    return Timeline(
        cut_s=cut_s,
        lease_free_s=watch.free_at_s or healthy_s,
        started_s=after.process.started_s,
        healthy_s=healthy_s,
        target=after.host,
        io_timeout_s=lab.io_timeout_s,
        guest_boot_s=guest_boot_s,
    )
