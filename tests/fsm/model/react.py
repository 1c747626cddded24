# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The agent's turn in the model: the real `fsm.step` on real values, its orders given."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Optional

from fsm.machine import walk
from fsm.memory import Action
from fsm.observation import MoveOutcome, Observation, StartOutcome, VmEnding
from fsm.score import score
from fsm.step import remember, step
from fsm.table import TABLE, Row
from metadata.states import State
from tests.fsm.model import concrete, rules
from tests.fsm.model.shape import Agent, Dom, Host, Job, Mem, View

MAX_STEPS = 5  # as `ha_agent.agent`

_ENDING_MATTERS = frozenset(
    {State.ENGINE_UP, State.ENGINE_UP_BAD_HEALTH, State.ENGINE_STARTING, State.ENGINE_MAYBE_AWAY,
     State.ENGINE_START, State.ENGINE_MIGRATING_AWAY}
)  # fmt: skip


class Fired(NamedTuple):
    """One step: the row, its reason, and which rules it broke."""

    row: Row
    why: str
    broken: tuple[str, ...]


class Turn(NamedTuple):
    host: Host
    fired: tuple[Fired, ...]


class Reactor:
    """Steps hosts by one table, each distinct situation once."""

    def __init__(
        self, hosts: int, table: Sequence[Row] = TABLE, page: bool = True, own: bool = False
    ) -> None:
        self.hosts = hosts
        self.config = concrete.CONFIG if page else concrete.WITHOUT_PAGE
        if own:
            self.config = concrete.OWN_MOVES
        self.table = table
        self.steps: dict[tuple[Mem, Observation], tuple[Mem, Fired, tuple[Action, ...]]] = {}
        self._find = partial(walk, table=table)
        self._by_state = {state: [r for r in table if r.source is state] for state in State}
        self._turns: dict[tuple[Host, int, View], Turn] = {}
        self._points: dict[tuple[Mem, bool], int] = {}

    def turn(self, host: Host, host_id: int, view: View) -> Turn:
        """The agent's steps until its state stays, as in its tick."""
        key = (host, host_id, view)
        found = self._turns.get(key)
        if found is None:
            found = self._turns[key] = self._turn(host, host_id, view)
        return found

    def points(self, host: Host) -> int:
        """The score that the host's latest record shows."""
        assert host.mem is not None
        key = (host.mem, host.poor)
        if key not in self._points:
            seen = concrete.observation(host, 1, View(0, False, ()))
            self._points[key] = score(concrete.early(host.mem), seen, self.config).points
        return self._points[key]

    def _turn(self, host: Host, host_id: int, view: View) -> Turn:
        fired: list[Fired] = []
        for _ in range(MAX_STEPS):
            seen = concrete.observation(host, host_id, view)
            before = host.mem
            host, latest = self._acted(host, seen)
            fired.append(latest)
            assert before is not None and host.mem is not None
            if host.mem.state is before.state:
                fired[-1] = _at_rest(latest, host.mem, seen)
                break
        return Turn(_forget(host), tuple(fired))

    def one_step(self, host: Host, host_id: int, view: View) -> Turn:
        """A single step: between two of them anything may happen."""
        acted, fired = self._acted(host, concrete.observation(host, host_id, view))
        return Turn(_forget(acted), (fired,))

    def _acted(self, host: Host, seen: Observation) -> tuple[Host, Fired]:
        assert host.mem is not None
        mem, fired, actions = self._step(host.mem, seen)
        return _perform(host._replace(mem=mem), actions), fired

    def _step(self, mem: Mem, seen: Observation) -> tuple[Mem, Fired, tuple[Action, ...]]:
        key = (mem, seen)
        if key not in self.steps:
            self.steps[key] = self._new_step(mem, seen)
        return self.steps[key]

    def _new_step(self, mem: Mem, seen: Observation) -> tuple[Mem, Fired, tuple[Action, ...]]:
        memory = concrete.early(mem)
        find = partial(walk, table=self._by_state[mem.state])
        decision = step(memory, seen, self.config, find)
        broken = rules.broken_by(mem, seen, decision, self.config)
        late = remember(concrete.late(mem, seen.lease, self.hosts), seen, self.config)
        other = find(late, seen, self.config)
        if other is not decision.row:
            broken = (*broken, f"the classes of age hide a threshold: {other.why}")
        after = concrete.abstract(mem, decision.memory, seen, not decision.changed)
        return after, Fired(decision.row, decision.why, broken), decision.actions


def _at_rest(fired: Fired, mem: Mem, seen: Observation) -> Fired:
    return fired._replace(broken=(*fired.broken, *rules.rest(mem, seen)))


def _perform(host: Host, actions: Sequence[Action]) -> Host:
    for action in actions:
        if action is Action.START_VM:
            host = _begin_start(host)
        elif action is Action.SHUTDOWN_VM:
            host = host._replace(asked=host.runs)
        elif action is Action.RESUME_VM:
            host = host._replace(wake=host.dom in (Dom.HELD, Dom.LEAVING))
        elif action is Action.MIGRATE_VM:
            assert host.mem is not None
            host = host._replace(to=host.mem.target, moved=MoveOutcome.RUNNING)
        elif action is Action.ABORT_MIGRATION:
            # What has not begun does not begin; the last step can't be broken off.
            given_up = host.moved is MoveOutcome.RUNNING and host.runs
            host = host._replace(to=0, moved=MoveOutcome.FAILED) if given_up else host
            host = host._replace(wake=True) if host.dom is Dom.LEAVING else host
        elif action is Action.END_LOCAL_MAINTENANCE:
            host = host._replace(ends=host.local)
        else:
            host = host._replace(kill=host.dom is not Dom.ABSENT)
    return host


def _begin_start(host: Host) -> Host:
    """As `ha_agent.actions.execute`: refused when something stands against it."""
    if concrete.blocked_why(host) or host.job:
        return host._replace(start=StartOutcome.FAILED)
    return host._replace(start=StartOutcome.RUNNING, job=Job.CREATE, ending=VmEnding.NONE)


def _forget(host: Host) -> Host:
    """What nobody asks for any more would only multiply the states."""
    mem: Optional[Mem] = host.mem
    assert mem is not None
    if mem.state is State.AGENT_STOPPED:
        return stopped(host)
    if mem.state is not State.ENGINE_START:
        host = host._replace(start=StartOutcome.NONE)
    if mem.state is not State.ENGINE_MIGRATING_AWAY and host.told:
        host = host._replace(told=False)
    if mem.state is not State.ENGINE_MIGRATING_AWAY and host.moved is not MoveOutcome.RUNNING:
        host = host._replace(moved=MoveOutcome.NONE)
    asked = mem.state in _ENDING_MATTERS or mem.broke is not None
    if host.ending is not VmEnding.NONE and not asked:
        host = host._replace(ending=VmEnding.NONE)
    return host


def stopped(host: Host) -> Host:
    """The agent's process has ended in order; a start that it had begun goes on to its end."""
    return host._replace(
        agent=Agent.STOPPED, mem=None, start=StartOutcome.NONE, ending=VmEnding.NONE,
        moved=MoveOutcome.NONE, told=False,
        looked=False, slow=False, view=None, asked=host.asked, kill=host.kill,
        kept=concrete.kept(host.mem) if host.keeps and host.mem is not None else host.kept,
    )  # fmt: skip
