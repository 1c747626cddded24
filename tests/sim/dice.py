# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The draws that all fault families share; everything comes from one seeded generator."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Optional, TypeVar

from metadata.settings import timing as rules
from metadata.settings.parse import Timing
from tests.sim.plan import Happening

T = TypeVar("T")


class Dice:
    """Hosts, moments and spans for one plan; `happenings` is what has been drawn so far."""

    def __init__(self, rng: random.Random, hosts: Sequence[str], timing: Timing, end_s: float):
        self.rng = rng
        self.hosts = list(hosts)
        self.timing = timing
        self.end_s = end_s
        self.happenings: list[Happening] = []
        self._group = 0
        self._fixed_s: Optional[float] = None

    # --- draws ------------------------------------------------------------------------

    def host(self) -> str:
        """Any host; the first one, where the engine begins, a little more often."""
        return self.hosts[0] if self.rng.random() < 0.2 else self.rng.choice(self.hosts)

    def some_hosts(self) -> list[str]:
        """One host mostly, sometimes several, sometimes all."""
        kind = self.rng.random()
        if kind < 0.6:
            return [self.host()]
        if kind < 0.8:
            return list(self.hosts)
        return self.rng.sample(self.hosts, self.rng.randint(1, len(self.hosts)))

    def chance(self, likely: float) -> bool:
        return self.rng.random() < likely

    def one_of(self, *choices: T) -> T:
        return self.rng.choice(choices)

    def moment_s(self) -> float:
        """Anywhere, at the very end, or about when something drawn before has its effect."""
        if self._fixed_s is not None:
            at_s = self._fixed_s
        elif self.chance(0.06):
            at_s = self.end_s - self.rng.expovariate(1 / 30.0)
        elif self.happenings and self.chance(0.45):
            at_s = self.rng.choice(self.happenings).at_s + self._delay_s()
        else:
            at_s = self.rng.uniform(0, self.end_s)
        return _in_cents(min(max(at_s, 0.0), self.end_s))

    @contextmanager
    def at(self, at_s: float) -> Iterator[None]:
        """Every moment that is drawn in the block is this one."""
        self._fixed_s = at_s
        yield
        self._fixed_s = None

    def span_s(self) -> float:
        """A fault's length: any order of magnitude, or about one of the cluster's own times."""
        if self.chance(0.3):
            return max(0.1, self._own_time_s() + self.rng.uniform(-3, 3))
        return spread(self.rng, 0.3, 900)

    def _delay_s(self) -> float:
        near_s = self.rng.expovariate(1 / 2.0)
        return near_s if self.chance(0.6) else self._own_time_s() + self.rng.uniform(-3, 3)

    def _own_time_s(self) -> float:
        timing = self.timing
        return self.rng.choice(
            (
                timing.tick_s,
                timing.alive_s,
                timing.turn_s,
                timing.start_s,
                timing.away_s,
                rules.renewal_s(timing.io_timeout_s),
                rules.renewal_fail_s(timing.io_timeout_s),
                rules.lease_floor_s(timing.io_timeout_s, rules.USUAL_FIRE_TIMEOUT_S),
                rules.join_s(timing.io_timeout_s),
            )
        )

    # --- what happens -----------------------------------------------------------------

    def begin(self) -> None:
        """What follows belongs together."""
        self._group += 1

    def add(self, at_s: float, words: str) -> float:
        """`words` at `at_s`, unless all is over by then; returns the moment."""
        if at_s <= self.end_s:
            self.happenings.append(Happening(_in_cents(at_s), words, self._group))
        return at_s

    def pair(self, at_s: float, words: str, undone_by: str, always: float = 0.85) -> None:
        """A fault, and mostly its end."""
        self.add(at_s, words)
        if self.chance(always):
            self.add(at_s + self.span_s(), undone_by)


def spread(rng: random.Random, low: float, high: float) -> float:
    """Each order of magnitude is as likely as the others."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _in_cents(at_s: float) -> float:
    return round(at_s, 2)
