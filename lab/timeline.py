# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Watching a takeover: when the lease was free, the VM started, the engine healthy again."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab import engine, host, lan, lockspace
from lab.errors import LabError
from lab.processes import machine_clock_s, wait_until
from lab.settings import HOST_LEASES, LEASE_OFFSET, LOCKSPACE, RESOURCE, Places, scaled
from lab.state import Lab

OBSERVER = Path(__file__).with_name("lease_observer.py")
# What is left for noticing, deciding and starting.
ALLOWANCE_S = 8.0


@dataclass(frozen=True)
class Timeline:
    """The moments of one takeover, on the machine's clock.

    renewed_s    the last sign of life of the dead host's sanlock (up to 1 s later in truth)
    cut_s        its power was cut
    free_s       host name: when sanlock on that survivor knew that the owner is dead
    started_s    the new qemu process began; its guest waits until sanlock has given the lease
    taken_s      sanlock gave the lease away, in whole seconds (up to 1 s later in truth)
    healthy_s    the engine answered again
    """

    source: str
    target: str
    renewed_s: float
    cut_s: float
    free_s: dict[str, float]
    started_s: float
    taken_s: float
    healthy_s: float
    lab: Lab
    guest_boot_s: float

    @property
    def floor_s(self) -> float:
        """The time that sanlock needs to be sure that a host is dead."""
        return self.lab.lease_floor_s

    @property
    def bound_s(self) -> float:
        """How long the whole may take."""
        return self.floor_s + self.guest_boot_s + scaled(ALLOWANCE_S)

    @property
    def total_s(self) -> float:
        """From the cut to a healthy engine."""
        return self.healthy_s - self.cut_s

    @property
    def share_s(self) -> float:
        """What the product took: from sanlock's word on the new host to the VM's start there.

        Below zero where the start was tried before that word, and waited inside sanlock.
        """
        return self.started_s - self.free_s[self.target]

    @property
    def boot_s(self) -> float:
        """The guest's own boot, this time: it begins when its process has the lease."""
        return self.healthy_s - max(self.started_s, self.taken_s)

    def figures(self) -> dict[str, Any]:
        """Everything, for programs."""
        derived = ("floor_s", "bound_s", "total_s", "share_s", "boot_s")
        moments = asdict(self)
        del moments["lab"]
        times = {name: getattr(self.lab, name) for name in ("io_timeout_s", "fire_timeout_s")}
        return {**moments, **times, **{name: getattr(self, name) for name in derived}}

    def as_text(self) -> list[str]:
        """The timeline for people."""
        width = max(len(name) for name, _ in self._moments()) + 2
        lines = [f"{'':{width}}{'at':>9}{'step':>10}"]
        before_s = self.renewed_s
        for name, at_s in self._moments():
            lines.append(f"{name:<{width}}{at_s - self.cut_s:>7.1f} s{at_s - before_s:>8.1f} s")
            before_s = at_s
        verdict = "within" if self.total_s <= self.bound_s else "OVER"
        return [
            *lines,
            f"floor set by sanlock: 8 x {self.lab.io_timeout_s} + {self.lab.fire_timeout_s} = "
            f"{self.floor_s:.0f} s; "
            f"guest's own boot, at its first start: {self.guest_boot_s:.1f} s; "
            f"allowance: {scaled(ALLOWANCE_S):g} s",
            f"bound: {self.bound_s:.1f} s, taken: {self.total_s:.1f} s: {verdict} the bound",
        ]

    def _moments(self) -> list[tuple[str, float]]:
        moments = [
            (f"last renewal of {self.source}", self.renewed_s),
            ("power cut", self.cut_s),
            *((f"lease free: sanlock on {name} says so", at) for name, at in self.free_s.items()),
            (f"VM started on {self.target}", self.started_s),
            (f"lease taken by {self.target}", self.taken_s),
            ("engine healthy", self.healthy_s),
        ]
        return sorted(moments, key=lambda moment: moment[1])


class LeaseWatch:
    """Asks sanlock on each surviving host when the lease can be had."""

    def __init__(self, places: Places, hosts: Sequence[str]) -> None:
        self._free_at_s: dict[str, float] = {}
        self._knowing: set[str] = set()
        self._children = {name: self._start(places, name) for name in hosts}
        for name, child in self._children.items():
            threading.Thread(target=self._read, args=(name, child), daemon=True).start()
        try:
            wait_until("sanlock on the other hosts tells the lease's owner", self._all_know, 10)
        except BaseException:
            self.stop()
            raise

    @property
    def free_at_s(self) -> dict[str, float]:
        """The machine's clock when each host knew, for those that know by now."""
        return dict(self._free_at_s)

    def stop(self) -> None:
        """End the observers."""
        for child in self._children.values():
            child.kill()
            child.wait()

    def _all_know(self) -> bool:
        return self._knowing == set(self._children)

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

    def _read(self, name: str, child: subprocess.Popen[str]) -> None:
        for line in child.stdout or ():
            if line.startswith("owner") and "None" not in line:
                self._knowing.add(name)
            elif line.startswith("free"):
                self._free_at_s[name] = machine_clock_s()


def watch_power_cut(
    places: Places, lab: Lab, guest_boot_s: float, say: Callable[[str], None]
) -> Timeline:
    """Cut the power of the engine's host and watch until the engine is healthy elsewhere."""
    before = engine.the_only_one(places, lab)
    survivors = [name for name in lab.hosts if name != before.host]
    if not survivors:
        raise LabError("takeover: needs two hosts, the lab has one")
    origin_s = lockspace.clock_origin_s(places, before.host)
    watch = LeaseWatch(places, survivors)
    try:
        cut_s = host.power_off(places, before.host)
        say(f"power of {before.host} is cut")
        after, healthy_s = _watch_recovery(places, lab, watch, guest_boot_s, say)
        wait_until("lease free on its new host", lambda: after.host in watch.free_at_s, 10)
    finally:
        watch.stop()
    return Timeline(
        source=before.host,
        target=after.host,
        renewed_s=lockspace.last_renewal_s(places, after.host, before.host, origin_s),
        cut_s=cut_s,
        free_s=watch.free_at_s,
        started_s=after.process.started_s,
        taken_s=lockspace.lease_taken_s(places, after.host),
        healthy_s=healthy_s,
        lab=lab,
        guest_boot_s=guest_boot_s,
    )


def _watch_recovery(
    places: Places, lab: Lab, watch: LeaseWatch, guest_boot_s: float, say: Callable[[str], None]
) -> tuple[engine.Running, float]:
    """Where the engine is healthy again, and the machine's clock of that moment."""
    limit_s = lab.lease_floor_s + guest_boot_s + ALLOWANCE_S + 60
    wait_until("lease free", lambda: bool(watch.free_at_s), limit_s, 0.05)
    say(f"its lease is free, says sanlock on {', '.join(watch.free_at_s)}")
    wait_until("VM started elsewhere", lambda: bool(engine.running(places, lab)), 60, 0.05)
    say(f"the VM is started on {engine.running(places, lab)[0].host}")
    wait_until("engine healthy elsewhere", lan.engine_is_healthy, 60, 0.05)
    healthy_s = machine_clock_s()
    return engine.the_only_one(places, lab), healthy_s
