# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What one seed stands for: a world, what happens to it and when; plain data, nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from simulation.settings import WorldSettings, dump_world

_HOST = re.compile(r"\bh([1-9])\b")


@dataclass(frozen=True)
class Happening:
    """Something that happens at `at_s`; `words` as in a script.

    What belongs together (a fault and its end) has the same `group`: shrinking drops it
    together first.
    """

    at_s: float
    words: str
    group: int = 0

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts that the words name."""
        return frozenset(f"h{number}" for number in _HOST.findall(self.words))


@dataclass(frozen=True)
class Plan:
    """After `safety_s` seconds everything is healed."""

    seed: int
    world: WorldSettings
    happenings: tuple[Happening, ...]
    safety_s: float
    families: tuple[str, ...] = ()

    @property
    def host_names(self) -> list[str]:
        return [host.name for host in self.world.hosts]

    @property
    def size(self) -> int:
        return len(self.happenings)

    def with_happenings(self, happenings: list[Happening]) -> Plan:
        return replace(self, happenings=tuple(sorted(happenings, key=lambda each: each.at_s)))

    def text(self) -> str:
        """For people."""
        lines = [f"  {line}" for line in dump_world(self.world).splitlines()]
        lines += [f"  {each.at_s:9.2f}  {each.words}" for each in self.happenings]
        lines.append(f"  {self.safety_s:9.2f}  all is healed")
        return "\n".join(lines)
