# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Carries the decision's actions out, through the runner; results come with the next look."""

from __future__ import annotations

from functools import partial
from typing import Callable, Optional, cast

from fsm.memory import Action
from fsm.observation import MoveOutcome, StartOutcome
from ha_agent.actions.migrate_engine import LatestMove, MigrationOrder
from ha_agent.actions.start_engine import resume_left_engine, start_engine
from metadata.error_words import bare_reason, reason
from metadata.settings.parse import StorageParts
from metadata.value_class import value_class
from world.ports.errors import HypervisorError, LeaseHeldError, WorldError
from world.ports.jobs import Clock, Outcome, Runner
from world.ports.libvirt import NO_CONNECTION, Domain, DomainState, Hypervisor, MigrationResult
from world.ports.sanlock import Lockspace

START, SHUTDOWN, DESTROY, RESUME = "start", "shutdown", "destroy", "resume"
MIGRATE, ABORT = "migrate", "abort-migration"


class OutdatedOrderError(HypervisorError):
    """An order to stop or move the VM that came too late, or would have met another one."""


@value_class(frozen=True)
class Judged:
    """What an order to stop or move is about: the process and its state, as they were judged.

    `latest_s` is the last monotonic second at which that judgement counts: later the VM may have
    got well, or be a healthy one of the same name.
    """

    domain: Domain
    latest_s: float


@value_class(frozen=True)
class LatestStart:
    """What became of the latest start.

    `lease_held_at_s` (LEASE_HELD alone): the monotonic second at which the refusal was known.
    At some moment before it, within that start, the lease was not to be had.
    """

    outcome: StartOutcome = StartOutcome.NONE
    why: str = ""
    lease_held_at_s: Optional[float] = None


@value_class(frozen=True)
class OrderResult:
    """An order that ended: `domain` after a successful start.

    `error` says why it failed, unless the state machine hears of it (a start or a move that it
    still waits for) and tells it better: a lease lost to another host is no error.
    """

    order: str
    ended_at_s: float
    domain: Optional[Domain] = None
    error: str = ""


class Executor:
    """Starts, stops, resumes and moves the engine's VM; each order once at a time.

    `lease_version` is the lease's while the VM ran here last, for resuming. `not_reached_why` says
    why nobody is at a target's address (`BrokerPort.not_reached_why`).
    """

    def __init__(
        self,
        runner: Runner,
        hypervisor: Hypervisor,
        lockspace: Lockspace,
        parts: StorageParts,
        clock: Clock,
        *,
        lease_version: Callable[[], Optional[int]] = lambda: None,
        not_reached_why: Callable[[str], str] = lambda _address: "",
    ) -> None:
        self._clock = clock
        self._runner = runner
        self._hypervisor = hypervisor
        self._lockspace = lockspace
        self._parts = parts
        self._lease_version = lease_version
        self._not_reached_why = not_reached_why
        self._start = LatestStart()
        self._move = LatestMove()
        self._move_given_up_s = 0.0
        self._move_ordered_at_s = 0.0

    @property
    def start(self) -> LatestStart:
        """The latest start; `RUNNING` until it ended or was given up."""
        return self._start

    @property
    def move(self) -> LatestMove:
        """The latest live migration; `RUNNING` until it ended or was given up."""
        return self._move

    def perform(
        self,
        action: Action,
        domain_xml: str,
        blocked_why: str,
        judged: Judged,
        move: Optional[MigrationOrder] = None,
    ) -> str:
        """Give the order; returns why it could not be given (empty: it was).

        Stopping is never refused here; its job itself looks whether what it meets is what was
        `judged`. A start is, when something stands against it: the table asks the same before
        it decides, so this is the second lock on the same door. `move` says where a move goes.
        """
        if action is Action.START_VM:
            return self._begin_start(domain_xml, blocked_why)
        if action is Action.MIGRATE_VM:
            return self._begin_move(move or MigrationOrder(), judged)
        if action is Action.ABORT_MIGRATION:
            return self._submit(ABORT, self._bound(judged, self._hypervisor.abort_migration))
        if action is Action.SHUTDOWN_VM:
            return self._submit(SHUTDOWN, self._bound(judged, self._hypervisor.shutdown))
        if action is Action.RESUME_VM:
            version = self._lease_version()
            resume = partial(resume_left_engine, self._hypervisor, self._lockspace, version)
            return self._submit(RESUME, resume)
        return self._submit(DESTROY, self._bound(judged, self._hypervisor.destroy))

    def take(self, outcome: Outcome[object]) -> OrderResult:
        """An order ended, perhaps one that was given up long ago."""
        error = "" if outcome.error is None else _why(outcome.error)
        domain = None
        if outcome.key == START:
            domain = cast(Optional[Domain], outcome.value)
            if self._start.outcome is StartOutcome.RUNNING:
                self._end_start(outcome, error)
                error = ""
        elif outcome.key == MIGRATE and self._is_waited_for(outcome):
            self._end_move(outcome, error)
            error = ""
        return OrderResult(outcome.key, outcome.finished_at_s, domain, error)

    def give_up_start(self, now_s: float, limit_s: float) -> bool:
        """Call a start failed that libvirt has not ended within `limit_s`; True if so.

        Its job goes on: should the VM appear later, libvirt shows it like any other, and the
        job itself still switches it off if it has no lease.
        """
        since_s = self._runner.busy_since_s(START)
        if self._start.outcome is not StartOutcome.RUNNING or since_s is None:
            return False
        if now_s - since_s <= limit_s:
            return False
        why = f"libvirt has not ended the start within {limit_s:.0f} s"
        self._start = LatestStart(StartOutcome.FAILED, why)
        return True

    def give_up_move(self, now_s: float) -> bool:
        """Call a move failed that libvirt has not ended long after its limit; True if so.

        Its job goes on, and what comes of it is seen by where the VM is.
        """
        since_s = self._runner.busy_since_s(MIGRATE)
        limit_s = self._move_given_up_s
        if self._move.outcome is not MoveOutcome.RUNNING or since_s is None:
            return False
        if now_s - since_s <= limit_s:
            return False
        why = f"libvirt has not ended the migration within {limit_s:.0f} s"
        self._move = LatestMove(MoveOutcome.FAILED, why, self._move.target_id)
        return True

    def unfinished_why(self, now_s: float) -> str:
        """Which order stands against a new start, because libvirt has not ended it yet."""
        for key, name in _AGAINST_A_START:
            since_s = self._runner.busy_since_s(key)
            if since_s is not None:
                return f"the order to {name} has not ended for {now_s - since_s:.0f} s"
        since_s = self._runner.busy_since_s(START)
        if since_s is not None and self._start.outcome is not StartOutcome.RUNNING:
            return f"libvirt has not ended an earlier start for {now_s - since_s:.0f} s"
        return ""

    def _begin_start(self, domain_xml: str, blocked_why: str) -> str:
        if not blocked_why and not domain_xml:
            blocked_why = "there is no domain XML"
        if not blocked_why:
            start = partial(
                start_engine, self._hypervisor, self._lockspace, domain_xml, self._parts
            )
            blocked_why = self._submit(START, start)
        if blocked_why:
            self._start = LatestStart(StartOutcome.FAILED, blocked_why)
        else:
            self._start = LatestStart(StartOutcome.RUNNING)
        return blocked_why

    def _begin_move(self, move: MigrationOrder, judged: Judged) -> str:
        why = move.impossible_why
        ordered_at_s = self._clock.monotonic_s()
        if not why:
            why = self._submit(MIGRATE, self._bound_move(judged, move))
        if why and self._move.outcome is not MoveOutcome.RUNNING:
            self._move = LatestMove(MoveOutcome.FAILED, why, move.target_id)
        if why:
            return why
        self._move = LatestMove(MoveOutcome.RUNNING, target_id=move.target_id)
        self._move_given_up_s = move.options.limit_s + move.patience_s
        self._move_ordered_at_s = ordered_at_s
        return ""

    def _is_waited_for(self, outcome: Outcome[object]) -> bool:
        """Is it the end of the move that runs, and not of one that was given up before it?"""
        running = self._move.outcome is MoveOutcome.RUNNING
        return running and outcome.started_at_s >= self._move_ordered_at_s

    def _bound_move(self, judged: Judged, move: MigrationOrder) -> Callable[[], MigrationResult]:
        """The order, unless nobody is there, or the VM is not what was judged any more, or is gone.

        libvirt has no deadline for connecting: where packets are dropped it tries for two minutes,
        in which nothing else can be done with the VM but to destroy it. So the port is tried first.
        Looked at before the order and never after it, for then the VM leaves: simulated calls
        that block are made again until they return.
        """
        is_given = False

        def carry_out() -> MigrationResult:
            nonlocal is_given
            if not is_given:
                self._check_reached(move.address)
                self._check_movable(judged)
            is_given = True
            return self._hypervisor.migrate(move.address, move.options)

        return carry_out

    def _check_reached(self, address: str) -> None:
        why = self._not_reached_why(address)
        if why:
            raise HypervisorError("move the VM", f"{NO_CONNECTION} {address}: {why}")

    def _check_movable(self, judged: Judged) -> None:
        found = self._hypervisor.domain()
        why = _outdated_why(judged, found, self._clock.monotonic_s())
        if found.state is DomainState.ABSENT:
            why = "it is not here any more"
        if why:
            raise OutdatedOrderError("move the VM", why)

    def _bound(self, judged: Judged, order: Callable[[], None]) -> Callable[[], None]:
        """`order`, unless the VM is not what was judged any more.

        The job may stand still for minutes before it goes on: its process is stopped, or libvirt
        hangs. So it looks as late as it can.
        """

        def carry_out() -> None:
            found = self._hypervisor.domain()
            why = _outdated_why(judged, found, self._clock.monotonic_s())
            if why:
                raise OutdatedOrderError("stop the VM", why)
            if found.state is not DomainState.ABSENT:
                order()

        return carry_out

    def _submit(self, key: str, job: Callable[[], object]) -> str:
        return "" if self._runner.submit(key, job) else "the previous such order has not ended"

    def _end_start(self, outcome: Outcome[object], error: str) -> None:
        if outcome.error is None:
            self._start = LatestStart(StartOutcome.OK)
        elif isinstance(outcome.error, LeaseHeldError):
            self._start = LatestStart(StartOutcome.LEASE_HELD, error, outcome.finished_at_s)
        else:
            self._start = LatestStart(StartOutcome.FAILED, error)

    def _end_move(self, outcome: Outcome[object], error: str) -> None:
        target_id = self._move.target_id
        if outcome.error is None:
            result = cast(MigrationResult, outcome.value)
            self._move = LatestMove(MoveOutcome.DONE, "", target_id, result)
        else:
            self._move = LatestMove(MoveOutcome.FAILED, error, target_id)


_AGAINST_A_START = (
    (DESTROY, "switch the VM off"),
    (SHUTDOWN, "shut the VM down"),
    (MIGRATE, "move the VM to another host"),
)


def _outdated_why(judged: Judged, found: Domain, now_s: float) -> str:
    """Why the order is not carried out any more; empty: nothing has changed, or all is over."""
    if found.state is DomainState.ABSENT:
        return ""
    if now_s > judged.latest_s:
        return f"it came {now_s - judged.latest_s:.0f} s too late; to be decided anew"
    if found.pid != judged.domain.pid:
        return f"qemu is another process now (pid {found.pid}, not {judged.domain.pid})"
    if found.state is not judged.domain.state:
        return f"the VM is {found.state.value} now, not {judged.domain.state.value}"
    return ""


def _why(error: Exception) -> str:
    """Of what is none of ours its kind, too: that is a bug, and helps who mends it."""
    ours = isinstance(error, (WorldError, OSError))
    return bare_reason(error) if ours else f"{type(error).__name__}: {reason(error)}"
