# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""How soon the engine must be up once all is healed, from the settings alone.

What may still have to pass, one after the other, in the worst case::

    boot        the slowest host boots, joins the lockspace (2.5 io) and looks around; a watchdog
                may reset it first (8 io + 55 s after its last renewal)
    floor       the lease of a host that died as the last thing before (8 io + 60 s)
    wishes      a shutdown that waits for the engine goes on, or a person's order to move it holds
    held        libvirt itself holds the VM paused, and never ends that
    ailing      the engine's VM is there and does not get well: the longer of starting_s (with the
                patience of a host whose turns came to nothing) and bad_health_s, then stop_s,
                then being switched off
    excluded    every host is out of the running: the longest of unexpected_down_s,
                retry_window_s and away_s
    condition   a host that was overloaded is so for a minute more, by its monitor's window, and
                each monitor measures once in its interval only
    turns       ranks before the host that can, and the pauses after failed starts
    start       the start itself, and a guest that needs its time to boot
    look        each step is seen a few ticks later
"""

from __future__ import annotations

from dataclasses import dataclass

from fsm.guards import MOST_PATIENCE
from ha_broker.engine_moves import ORDER_HOLDS_S
from metadata.sanlock_usual import USUAL_FIRE_TIMEOUT_S
from metadata.settings.timing import join_s, lease_floor_s
from simulation.settings import HostTraits, WorldSettings

LOOKS = 20  # ticks, for all steps together
KILL_S = 15.0
CPU_WINDOW_S = 60.0
RESTART_S = 60.0  # systemd's watchdog and restart of a daemon that was frozen or killed


@dataclass(frozen=True)
class Bound:
    """The parts in seconds; `total_s` is their sum."""

    parts: dict[str, float]

    @property
    def total_s(self) -> float:
        return sum(self.parts.values())

    def text(self) -> str:
        terms = " + ".join(f"{name} {seconds:.0f}" for name, seconds in self.parts.items())
        return f"{terms} = {self.total_s:.0f} s"


def recovery_bound(world: WorldSettings) -> Bound:
    timing, io_s = world.cluster.timing, world.cluster.timing.io_timeout_s
    floor_s = lease_floor_s(io_s, max(host.watchdog_fire_timeout_s for host in world.hosts))
    failures = world.cluster.score.failed_starts_to_zero
    boot_s = max(host.boot_s for host in world.hosts)
    boot_s_at_most = MOST_PATIENCE * timing.starting_s
    return Bound(
        {
            "boot": floor_s + boot_s + 2 * join_s(io_s) + RESTART_S,
            "floor": floor_s,
            "wishes": max(world.cluster.migration.shutdown_s, ORDER_HOLDS_S + timing.migration_s),
            "held": max(timing.migration_s, timing.save_s),
            "ailing": max(boot_s_at_most, timing.bad_health_s) + timing.stop_s + KILL_S,
            "excluded": max(timing.unexpected_down_s, timing.retry_window_s, timing.away_s),
            "condition": CPU_WINDOW_S + 2 * world.cluster.monitors.interval_s,
            "turns": (len(world.hosts) + failures) * timing.turn_s,
            "start": 2 * timing.start_s + world.engine.start_s + world.engine.boot_s,
            "look": LOOKS * timing.tick_s,
        }
    )


def unable(world: WorldSettings) -> dict[str, str]:
    """The hosts from which nobody may expect the engine, each with the reason."""
    by_id: dict[int, list[str]] = {}
    for host in world.hosts:
        by_id.setdefault(host.host_id, []).append(host.name)
    shared = [names for names in by_id.values() if len(names) > 1]
    # Each knows its own, an older one too, and holds it against what the others tell.
    times = {_told_fire_timeout_s(host) for host in world.hosts}
    times |= {host.watchdog_fire_timeout_s for host in world.hosts}
    if len(times) > 1 and len(world.hosts) > 1:
        return {host.name: "sanlock's watchdog time is not the same everywhere"
                for host in world.hosts}  # fmt: skip
    return {name: f"shares its host id with {_others(name, names)}"
            for names in shared for name in names}  # fmt: skip


def _told_fire_timeout_s(host: HostTraits) -> float:
    """As the others know it: an older program tells none and counts as having the usual one."""
    return USUAL_FIRE_TIMEOUT_S if host.version == "older" else host.watchdog_fire_timeout_s


def _others(name: str, names: list[str]) -> str:
    return " and ".join(other for other in names if other != name)
