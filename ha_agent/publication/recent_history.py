# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What an agent remembers for people only: nothing of it decides anything.

Since when each penalty has cost anything, the latest changes of state, since when the present
state has lasted. All of it begins anew with a new agent, but for the changes of state: those of
earlier agents come back from the store while the machine has not booted anew.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from fsm.decision import Decision
from fsm.memory import Score
from ha_agent.history.entry import Entry, Transition
from ha_broker.api.snapshot import TransitionView
from metadata.penalties import Penalty
from metadata.plain_text import ascii_text
from metadata.states import State

TRANSITIONS_KEPT = 10
# All of it travels to the broker with each record and must fit into one request.
PENALTIES_KEPT = 32
REASON_LIMIT = 200
WHY_LIMIT = 400


class RecentHistory:
    """Told of every decision, in their order; times are monotonic seconds."""

    def __init__(self, life_at_s: float) -> None:
        self.life_at_s = life_at_s
        self.state_since_s = life_at_s
        self.penalties: tuple[Penalty, ...] = ()
        self._transitions: deque[TransitionView] = deque(maxlen=TRANSITIONS_KEPT)
        self._told: tuple[TransitionView, ...] = ()
        self._began_at_s: dict[str, float] = {}
        self._count = 0

    @property
    def transitions(self) -> tuple[TransitionView, ...]:
        """The latest changes of state, the oldest first."""
        return self._told

    def note(self, before: State, decision: Decision, now_s: float) -> None:
        """A decision was taken in state `before`."""
        if decision.changed:
            self._note_transition(before, decision, now_s)
        self._note_penalties(decision.score, now_s)

    def remember(self, earlier: Sequence[Entry]) -> None:
        """Entries of this boot from before this agent: their changes are numbered 0 and below."""
        found = [
            (entry.mono_s, entry.fact)
            for entry in earlier
            if isinstance(entry.fact, Transition) and entry.mono_s < self.life_at_s
        ][-TRANSITIONS_KEPT:]
        views = [
            TransitionView(number, at_s, fact.before, fact.after, fact.why)
            for number, (at_s, fact) in enumerate(found, 1 - len(found))
        ]
        if views:
            self._transitions = deque([*views, *self._transitions], maxlen=TRANSITIONS_KEPT)
            self._told = tuple(self._transitions)

    def _note_transition(self, before: State, decision: Decision, now_s: float) -> None:
        self._count += 1
        self.state_since_s = now_s
        after, why = decision.memory.state.value, ascii_text(decision.why, WHY_LIMIT)
        self._transitions.append(TransitionView(self._count, now_s, before.value, after, why))
        self._told = tuple(self._transitions)

    def _note_penalties(self, score: Score, now_s: float) -> None:
        """Nearly always there are none."""
        if not score.penalties and not self._began_at_s:
            return
        costly = sorted(score.penalties, key=lambda penalty: -penalty.points)[:PENALTIES_KEPT]
        before = self._began_at_s
        self._began_at_s = {one.name: before.get(one.name, now_s) for one in score.penalties}
        self.penalties = tuple(_told(one, self._began_at_s[one.name]) for one in costly)


def _told(penalty: Penalty, began_at_s: float) -> Penalty:
    return replace(
        penalty,
        reason=ascii_text(penalty.reason, REASON_LIMIT),
        value=_finite(penalty.value),
        threshold=_finite(penalty.threshold),
        began_at_s=began_at_s,
    )


def _finite(value: Optional[float]) -> Optional[float]:
    """JSON knows no others."""
    return value if value is not None and math.isfinite(value) else None
