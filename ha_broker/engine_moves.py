# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Moving the engine alive from this host: what can never work is refused before it is begun.

`MoveOrders` holds a person's order in memory alone. What becomes of it decides the agent, and the
engine's lease. A broker that was restarted knows of no order: nobody shall be surprised by one that
is carried out long after it was given.
"""

from __future__ import annotations

import logging
import math
from typing import Callable, Optional, Union

from ha_broker.api.snapshot import (
    HostView,
    LeaseState,
    MoveOrder,
    MovePhase,
    MoveReport,
    Publication,
    Snapshot,
    hosts_that_say_up,
    listed_hosts,
)
from ha_broker.api.takers import cannot_take, reasons_text, refusals, takers
from ha_broker.server.mailbox import MoveTicket, Refusal, host_words
from ha_broker.storage.second_look import SecondLook
from metadata.error_words import shown
from metadata.states import State
from world.ports.jobs import Outcome
from world.ports.libvirt import DomainState

ORDER_HOLDS_S = 180.0
"""How long an order holds that no agent begins to carry out."""

_STARTING = (State.ENGINE_START, State.ENGINE_STARTING)
_STOPPING = (State.ENGINE_STOP, State.ENGINE_FORCE_STOP)
_IN_LOCAL_MAINTENANCE = "this host is in local maintenance, which moves the engine by itself"

Heard = tuple[Optional[Publication], Optional[float]]

log = logging.getLogger(__name__)


# --- what can never work ----------------------------------------------------------------------


def is_being_started(snapshot: Snapshot) -> bool:
    """The agent tells so before it gives the order; a dead agent's word gets old."""
    return _said_state(snapshot) == State.ENGINE_START


def unknown_why(snapshot: Snapshot) -> str:
    """That libvirt does not say whether the VM is here."""
    why = snapshot.engine.detail or "libvirt has not answered yet"
    return f"it is not known whether the engine's VM is on this host ({why})"


def stays_why(snapshot: Snapshot) -> str:
    """Why the engine can't be moved from this host now, wherever to; empty: it can."""
    domain = snapshot.engine.domain
    if domain is DomainState.UNKNOWN:
        return unknown_why(snapshot)
    if domain is DomainState.ABSENT:
        return f"the engine's VM is not on this host{_elsewhere(snapshot)}"
    return _kept_here(snapshot)


def _kept_here(snapshot: Snapshot) -> str:
    """What stands against moving a VM that is here."""
    state, domain = _said_state(snapshot), snapshot.engine.domain
    if state in _STARTING:
        return "the engine's VM is being started on this host; ask again once it is up"
    if state in _STOPPING:
        return "the engine's VM is being stopped on this host"
    here = f"the engine's VM is {domain.value} on this host"
    if domain is DomainState.PAUSED:
        return f"{here}: only one that runs can be moved"
    if snapshot.own is None or not snapshot.own.agent_speaks:
        return f"{here}, and this host's agent, which would move it, does not report"
    return ""


def maintenance_refusal(snapshot: Snapshot) -> str:
    """Why the engine, which is on this host, can't leave it for local maintenance; empty: it can.

    While it is leaving already, no other host needs to offer itself.
    """
    why = stays_why(snapshot)
    if why:
        return why
    here = f"the engine's VM is {snapshot.engine.domain.value} on this host"
    if snapshot.global_maintenance is None:
        return f"{here}, and whether the cluster is in global maintenance is not known"
    if snapshot.global_maintenance:
        return (
            f"{here}, and nothing moves by itself in global maintenance: move it with "
            "'hosted-engine --vm-migrate', or end global maintenance first"
        )
    if takers(snapshot) or _said_state(snapshot) == State.ENGINE_MIGRATING_AWAY:
        return ""
    return f"{here}, and no other host can take it: {refusals(snapshot)}"


def order_target(snapshot: Snapshot, to: Union[int, str, None]) -> Optional[int]:
    """The id of the host that an order names (None: none); raises Refusal (409)."""
    why = stays_why(snapshot)
    if not why and snapshot.local_maintenance:
        why = _IN_LOCAL_MAINTENANCE
    if why:
        raise Refusal(409, why)
    if to is None:
        if not takers(snapshot):
            raise Refusal(409, f"no other host can take the engine: {refusals(snapshot)}")
        return None
    view = _named(snapshot, to)
    if view.host_id == snapshot.host_id:
        raise Refusal(409, f"{view.name} is this host: the engine's VM is there already")
    why = cannot_take(view)
    if why:
        raise Refusal(409, f"{view.name} can't take the engine: {why}")
    return view.host_id


def _named(snapshot: Snapshot, to: Union[int, str]) -> HostView:
    """By its id, its name, or an id in digits that is nobody's name."""
    found = [view for view in snapshot.hosts if to in (view.host_id, view.name)]
    if not found and isinstance(to, str) and to.isascii() and to.isdigit():
        found = [view for view in snapshot.hosts if str(view.host_id) == to]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(str(view.host_id) for view in found)
        raise Refusal(409, f"{len(found)} hosts are called {shown(to)}: name one by its id ({ids})")
    known = reasons_text(f"{view.name} ({view.host_id})" for view in snapshot.hosts)
    raise Refusal(409, f"{host_words(to)} is not known; known hosts with their ids: {known}")


def _said_state(snapshot: Snapshot) -> str:
    record = snapshot.own.fresh_record if snapshot.own is not None else None
    return record.state if record is not None else ""


def _elsewhere(snapshot: Snapshot) -> str:
    found = [view for view in hosts_that_say_up(snapshot) if view.host_id != snapshot.host_id]
    holder = snapshot.host(snapshot.lease.holder_id)
    if not found and holder is not None and holder.host_id != snapshot.host_id:
        found = [holder]
    if found:
        return f"; it is on {listed_hosts(found)}: give the order there"
    if snapshot.lease.state == LeaseState.FREE:
        return "; it runs nowhere"
    return "; no host says that it is there"


# --- orders -----------------------------------------------------------------------------------


class MoveOrders:
    """The latest order, as long as it is not over; a newer one takes its place.

    `heard` tells what the agent has said last, and when (monotonic seconds).
    """

    keys: tuple[str, ...] = ()

    def __init__(
        self, look: Callable[[], Snapshot], heard: Callable[[], Heard], second_look: SecondLook
    ) -> None:
        self.order: Optional[MoveOrder] = None
        self._look = look
        self._heard = heard
        self._second_look = second_look
        self._orders = 0
        self._waiting: list[MoveTicket] = []

    def ask(self, ticket: MoveTicket) -> None:
        """Take the order, or refuse it because of what is so when its turn comes."""
        self._waiting.append(ticket)

    def harvest(self, outcome: Outcome[object]) -> None:
        """There are no jobs of this part."""

    def work(self, now_s: float) -> None:
        """Drop what is over, then take what was asked for."""
        if self.order is not None:
            self._look_after(self.order, now_s)
        while self._waiting and self._answered(self._waiting[0], now_s):
            self._waiting.pop(0)
            self._second_look.over()

    def next_due_s(self, now_s: float) -> float:
        """When there is something to do again, if nothing else happens."""
        ends_at_s = math.inf if self.order is None else self._ends_at_s(self.order)
        return min(ends_at_s, self._second_look.until_s)

    def _answered(self, ticket: MoveTicket, now_s: float) -> bool:
        """False: it would be refused, and the other hosts' records are not read again yet."""
        try:
            to_id = order_target(self._look(), ticket.to)
        except Refusal as refusal:
            if self._second_look.is_due(now_s):
                return False
            ticket.resolve(Refusal(refusal.status, refusal.why + self._second_look.doubt))
            return True
        if ticket.begin():
            self.order = ticket.order = MoveOrder(self._new_id(now_s), to_id, now_s)
            ticket.resolve()
        return True

    def _new_id(self, now_s: float) -> str:
        """One that this boot of the machine has not had: an agent remembers the earlier ones."""
        self._orders += 1
        return f"move-{now_s:.3f}-{self._orders}"

    def _look_after(self, order: MoveOrder, now_s: float) -> None:
        report = self._report_of(order)
        if report is not None and report.is_over:
            self.order = None
        elif now_s >= self._ends_at_s(order):
            self.order = None
            log.warning(
                "the order to move the engine (%s) is dropped: it was not begun within %g s",
                order.request_id,
                ORDER_HOLDS_S,
            )

    def _ends_at_s(self, order: MoveOrder) -> float:
        """An agent that moves it says so in each tick; one without a target could wait for ever."""
        report = self._report_of(order)
        moves = report is not None and report.phase == MovePhase.MOVING
        heard_at_s = self._heard()[1] if moves else None
        return max(order.asked_at_s, heard_at_s or order.asked_at_s) + ORDER_HOLDS_S

    def _report_of(self, order: MoveOrder) -> Optional[MoveReport]:
        published = self._heard()[0]
        report = published.move if published is not None else None
        return report if report is not None and report.what_for == order.request_id else None
