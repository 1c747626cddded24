# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Writes slot 0, apart from the own slot's writer, so that neither loses the other's write."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Optional

from ha_broker.cycle.part import BrokerPorts, Settings, error_text
from ha_broker.cycle.task import Task
from ha_broker.server.mailbox import Refusal, Ticket
from ha_broker.storage.slot_io import exchange_and_confirm
from ha_broker.storage.slot_reader import SlotReader
from metadata.layout import slot_address
from metadata.records import GlobalRecord
from metadata.wire import decode_global, encode_global
from world.ports.jobs import Outcome

WRITE_GLOBAL = "write-global"


class GlobalMaintenance:
    """Global maintenance, set in the order of the requests; each is read back and confirmed."""

    keys = (WRITE_GLOBAL,)

    def __init__(self, world: BrokerPorts, settings: Settings, storage: SlotReader) -> None:
        self._world = world
        self._settings = settings
        self._storage = storage
        self._task = Task(world.runner, WRITE_GLOBAL)
        self._waiting: deque[Ticket] = deque()
        self._writing: Optional[Ticket] = None

    def ask(self, ticket: Ticket) -> None:
        """Set it as soon as the requests before it are done."""
        self._waiting.append(ticket)

    def harvest(self, outcome: Outcome[object]) -> None:
        """A job of this part ended."""
        ticket, self._writing = self._writing, None
        if ticket is None:
            return
        if outcome.error is not None:
            ticket.resolve(Refusal(503, f"writing slot 0: {error_text(outcome.error)}"))
            return
        self._storage.note_global_written(ticket.on, outcome.finished_at_s)
        ticket.before = _maintenance_in(outcome.value)
        ticket.resolve()

    def work(self, now_s: float) -> None:
        """Submit what is due."""
        while self._waiting and self._task.busy_since_s is None:
            ticket = self._waiting.popleft()
            if ticket.begin():
                self._write(ticket, now_s)

    def next_due_s(self, now_s: float) -> float:
        """When there is something to do again, if nothing else happens."""
        return float("inf")  # requests and ended writes wake the cycle

    def _write(self, ticket: Ticket, now_s: float) -> None:
        data = encode_global(GlobalRecord(maintenance=ticket.on))
        address = slot_address(self._settings.host.storage, 0)
        job = partial(exchange_and_confirm, self._world.store, address, data)
        if self._task.start(now_s, job, 0.0):
            self._writing = ticket
        else:
            self._waiting.appendleft(ticket)


def _maintenance_in(slot: object) -> Optional[bool]:
    """What the slot said; None: nothing that can be read."""
    found = decode_global(slot) if isinstance(slot, bytes) and slot else None
    return found.maintenance if isinstance(found, GlobalRecord) else None
