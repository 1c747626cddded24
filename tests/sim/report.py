# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a search comes to: figures for people, and a page of results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.optimum import MOST
from tests.sim.recorder import all_rows
from tests.sim.run import EXIT_CODES, FINE, Result

SLOWEST = 5
MOST_MISSING = 12  # more of them tell that the search was short, and nothing else


@dataclass
class Summary:
    """Adds results up; the plans themselves are not kept."""

    seeds: int = 0
    host_hours: float = 0.0
    cpu_s: float = 0.0
    verdicts: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[int, str]] = field(default_factory=list)
    families: Counter[str] = field(default_factory=Counter)
    happenings: int = 0
    refused: int = 0
    engines: int = 0
    moves: int = 0
    orders: Counter[str] = field(default_factory=Counter)
    beyond: Counter[str] = field(default_factory=Counter)
    not_judged: int = 0
    rows: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    ratios: list[tuple[float, int, float, float, str]] = field(default_factory=list)
    recoveries: list[tuple[float, int, float, float]] = field(default_factory=list)

    def add(self, result: Result) -> None:
        plan = result.plan
        self.seeds += 1
        self.host_hours += result.host_hours
        self.cpu_s += result.cpu_s
        self.verdicts[result.verdict] += 1
        if result.verdict != FINE:
            self.failed.append((plan.seed, result.failure))
        self.families.update(plan.families)
        self.happenings += len(result.done)
        self.refused += result.refused
        self.engines += result.engines
        self.moves += result.moves
        self.orders += result.orders
        self.beyond += result.beyond
        self.not_judged += bool(result.not_judged)
        self.rows += result.transitions
        self._note_recovery(result)

    def _note_recovery(self, result: Result) -> None:
        if result.used_s is None:
            return
        why = ", ".join(f"{name} {s:.0f} s" for name, s in result.excused.most_common())
        self.ratios.append((result.ratio, result.plan.seed, result.used_s, result.optimum_s, why))
        share = result.used_s / result.bound_s
        self.recoveries.append((share, result.plan.seed, result.used_s, result.bound_s))
        self.recoveries = sorted(self.recoveries, reverse=True)[:SLOWEST]

    @property
    def pace(self) -> float:
        """Simulated host-hours in a minute of one core."""
        return 60 * self.host_hours / self.cpu_s if self.cpu_s else 0.0

    @property
    def exit_code(self) -> int:
        """The worst: a crash before safety, safety before liveness."""
        for verdict in ("crash", "safety", "liveness"):
            if self.verdicts[verdict]:
                return EXIT_CODES[verdict]
        return EXIT_CODES[FINE]

    def lines(self) -> list[str]:
        rows = all_rows()
        seen = rows & set(self.rows)
        lines = [
            f"{self.seeds} seeds, {self.host_hours:.0f} host-hours, {self.cpu_s:.0f} s of CPU: "
            f"{self.pace:.0f} host-hours in a minute of one core",
            "verdicts: " + _counts(self.verdicts),
            f"{self.happenings} faults and commands carried out, {self.refused} refused",
            f"{self.engines} qemus, {self.moves} of them on another host than the one before",
            "orders of agents: " + _counts(self.orders),
            f"rows of the table that change the state: {len(seen)} of {len(rows)} fired",
        ]
        missing = sorted(rows - seen)
        if len(missing) <= MOST_MISSING:
            lines += [f"never fired: {a} => {b}: {why}" for a, b, why in missing]
        if self.not_judged:
            lines.append(f"{self.not_judged} seeds had no host from which an engine is expected")
        lines += [
            f"beyond any program, not judged: {n} x {what}" for what, n in _sorted(self.beyond)
        ]
        lines += [
            f"slow recovery: seed {seed}: {used_s:.0f} s of {bound_s:.0f} s"
            for _, seed, used_s, bound_s in self.recoveries
        ]
        lines += self._ratio_lines()
        return lines + [f"FAILED: seed {seed}: {failure}" for seed, failure in self.failed]

    def _ratio_lines(self) -> list[str]:
        """How the recoveries stand to the least that their stories allowed."""
        ratios = sorted(self.ratios)
        if not ratios:
            return []
        quantiles = [(share, ratios[min(len(ratios) - 1, int(share * len(ratios)))][0])
                     for share in (0.5, 0.9, 0.99, 1.0)]  # fmt: skip
        told = ", ".join(f"{share:.0%} up to {ratio:.2f}" for share, ratio in quantiles)
        slow = [one for one in reversed(ratios) if one[0] > MOST]
        return [
            f"recovery by its optimum: {told}; {len(slow)} of {len(ratios)} above {MOST:g}",
            *(
                f"slower than it had to be: seed {seed}: {used_s:.0f} s, {ratio:.1f} x "
                f"{optimum_s:.0f} s ({why or 'nothing stood against it'})"
                for ratio, seed, used_s, optimum_s, why in slow[:SLOWEST]
            ),
        ]


def page(summary: Summary, command: str, seeds: Sequence[int]) -> str:
    """Markdown for docs/results."""
    text = [
        "# Random search",
        "",
        f"`{command}`",
        "",
        f"Seeds {seeds[0]} to {seeds[-1]}.",
        "",
        *(f"- {line}" for line in summary.lines()),
        "",
        "| family of faults | seeds that had it |",
        "|---|---|",
        *(f"| {name} | {count} |" for name, count in _sorted(summary.families)),
        "",
        "| row of the table | fired |",
        "|---|---|",
        *(f"| {a} → {b}: {why or '(another reason)'} | {count} |"
          for (a, b, why), count in _sorted(summary.rows)),
    ]  # fmt: skip
    return "\n".join(text) + "\n"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in _sorted(counter)) or "none"


def _sorted(counter: Counter) -> list:  # type: ignore[type-arg]
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))
