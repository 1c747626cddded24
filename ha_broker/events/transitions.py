# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The changes of this host's agent that are worth telling to people who asked for them. Pure.

An agent that was restarted goes through its first states again and ends where it was: that is no
change. So the first states of a new life count as one: from the last state of the life before to
the first one that is more than a beginning.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from ha_broker.api.snapshot import Publication, TransitionView
from metadata.states import State
from metadata.value_class import value_class

STOPPED = State.AGENT_STOPPED
# In its first cycles an agent that finds the VM running does not know its health yet.
BEGINNINGS = (State.START_STATE, State.REINITIALIZE_FSM, State.ENGINE_STARTING)


@value_class(frozen=True)
class StateChange:
    """One change that counts."""

    before: str
    after: str
    why: str

    @property
    def name(self) -> str:
        """As rules see it."""
        return f"{self.before}-{self.after}"


@value_class(frozen=True)
class TransitionMemory:
    """`number` is the latest transition seen of the agent's life that began at `life_at_s`.

    beginning   that life has shown no other states than its first ones yet
    state       the last one that counted; empty: none yet
    """

    life_at_s: Optional[float] = None
    number: int = 0
    beginning: bool = True
    state: str = ""


def changes(
    memory: TransitionMemory, publication: Optional[Publication]
) -> tuple[TransitionMemory, tuple[StateChange, ...]]:
    """What is new in it."""
    if publication is None or publication.life_at_s is None:
        return memory, ()
    if publication.life_at_s != memory.life_at_s:
        memory = TransitionMemory(publication.life_at_s, state=memory.state)
    found = []
    for transition in publication.transitions:
        if transition.number > memory.number:
            memory, change = _one(memory, transition)
            found += [change] if change is not None else []
    return memory, tuple(found)


def _one(
    memory: TransitionMemory, transition: TransitionView
) -> tuple[TransitionMemory, Optional[StateChange]]:
    memory = replace(memory, number=transition.number)
    after = transition.after
    if after == STOPPED or (memory.beginning and after in BEGINNINGS):
        return memory, None
    before = memory.state if memory.beginning else transition.before
    memory = replace(memory, beginning=False, state=after)
    # A first look at all is no change either.
    told = before and before != after
    return memory, StateChange(before, after, transition.why) if told else None
