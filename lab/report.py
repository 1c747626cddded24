# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Reads the heartbeats from the shared disk and says whether two engines ever lived at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations

from lab import heartbeat
from lab.heartbeat import Heartbeat
from lab.settings import Places

# Silence longer than this inside one boot is told: the guest was paused, frozen or cut off.
GAP_S = 1.0


@dataclass
class Boot:
    """One boot of the guest: the interval in which it certainly lived."""

    boot: str
    first_s: float
    last_s: float
    error_s: float
    records: int = 0
    hosts: list[str] = field(default_factory=list)
    gaps: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Overlap:
    """Two boots that lived at the same time, and for how long at least and at most."""

    one: Boot
    other: Boot
    seconds: float
    error_s: float

    @property
    def certain(self) -> bool:
        """Whether it is longer than the clocks may be wrong."""
        return self.seconds > self.error_s


def boots(places: Places) -> list[Boot]:
    """Every boot that left heartbeats, the earliest first."""
    return collect(heartbeat.read_all(places.engine_disk))


def collect(beats: Iterable[Heartbeat]) -> list[Boot]:
    """Put records together to boots."""
    by_boot: dict[str, list[Heartbeat]] = {}
    for beat in beats:
        by_boot.setdefault(beat.boot, []).append(beat)
    found = [_boot(sorted(group, key=lambda beat: beat.count)) for group in by_boot.values()]
    return sorted(found, key=lambda boot: boot.first_s)


def overlaps(found: list[Boot]) -> list[Overlap]:
    """Pairs of boots whose intervals overlap or touch."""
    pairs = []
    for one, other in combinations(found, 2):
        seconds = min(one.last_s, other.last_s) - max(one.first_s, other.first_s)
        error_s = one.error_s + other.error_s
        if seconds > -error_s:
            pairs.append(Overlap(one, other, seconds, error_s))
    return pairs


def as_text(found: list[Boot]) -> list[str]:
    """The report's lines."""
    if not found:
        return ["no heartbeat was ever written"]
    start_s = found[0].first_s
    lines = ["boot      host      first       last    records  clock error"]
    for boot in found:
        lines.append(_boot_line(boot, start_s))
        lines += [
            f"          silent for {end - begin:.1f} s from {begin - start_s:.1f} s"
            for begin, end in boot.gaps
        ]
    for earlier, later in zip(found, found[1:]):
        between_s = later.first_s - earlier.last_s
        if between_s > 0:
            lines.append(f"{between_s:.1f} s between {earlier.boot[:8]} and {later.boot[:8]}")
    for overlap in overlaps(found):
        lines.append(_overlap_line(overlap))
    return lines


def ran_nowhere_twice(found: list[Boot]) -> bool:
    """Whether no two boots lived at the same time for longer than the clocks may be wrong."""
    return not any(overlap.certain for overlap in overlaps(found))


def _boot(beats: list[Heartbeat]) -> Boot:
    boot = Boot(
        boot=beats[0].boot,
        # The start is in every record: the first ones of a long life are written over.
        first_s=min(beats[0].start_s, beats[0].at_s),
        last_s=max(beat.at_s for beat in beats),
        error_s=max(beat.error_s for beat in beats),
        records=beats[-1].count + 1,
    )
    for beat in beats:
        if not boot.hosts or boot.hosts[-1] != beat.host:
            boot.hosts.append(beat.host)
    boot.gaps = [
        (one.at_s, two.at_s) for one, two in zip(beats, beats[1:]) if two.at_s - one.at_s > GAP_S
    ]
    return boot


def _boot_line(boot: Boot, start_s: float) -> str:
    return (
        f"{boot.boot[:8]}  {' > '.join(boot.hosts):<6}{boot.first_s - start_s:>8.1f} s"
        f"{boot.last_s - start_s:>9.1f} s{boot.records:>9}  +-{boot.error_s * 1000:.0f} ms"
    )


def _overlap_line(overlap: Overlap) -> str:
    names = f"{overlap.one.boot[:8]} and {overlap.other.boot[:8]}"
    if overlap.certain:
        return f"TWO AT ONCE: {names} for {overlap.seconds:.2f} s"
    return f"{names} meet within the clocks' error of {overlap.error_s:.2f} s"
