# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Local maintenance: a flag file in the state directory, so that it survives restarts."""

from __future__ import annotations

import os
import stat
from functools import partial
from pathlib import Path
from typing import Callable, Optional

from ha_broker.api.snapshot import LeaseState, Snapshot
from ha_broker.cycle.part import BrokerPorts, error_text
from ha_broker.cycle.task import Task
from ha_broker.engine_moves import is_being_started, maintenance_refusal, unknown_why
from ha_broker.server.mailbox import Refusal, Ticket
from ha_broker.storage.second_look import SecondLook
from metadata.error_words import reason
from world.durable import STATE_FILE_MODE, replace_file, sync_directory
from world.ports.jobs import Outcome
from world.ports.libvirt import DomainState

LOCAL = "local"
FLAG_NAME = "local-maintenance"


class StateDirError(Exception):
    """The state directory can't be used; the text names it and says why."""


class LocalMaintenance:
    """The flag as it stands on the disk; changed only by a job that has ended well."""

    keys = (LOCAL,)

    def __init__(
        self,
        world: BrokerPorts,
        directory: str,
        look: Callable[[], Snapshot],
        second_look: SecondLook,
    ) -> None:
        self.maintenance = read_flag(directory)
        self._look = look
        self._second_look = second_look
        self._directory = directory
        self._world = world
        self._task = Task(world.runner, LOCAL)
        self._waiting: list[Ticket] = []
        self._writing: Optional[Ticket] = None

    def ask(self, ticket: Ticket) -> None:
        """Set it, or refuse it because of what is so when its turn comes."""
        self._waiting.append(ticket)

    def harvest(self, outcome: Outcome[object]) -> None:
        """A job of this part ended."""
        ticket, self._writing = self._writing, None
        if ticket is None:
            return
        if outcome.error is not None:
            ticket.resolve(Refusal(500, error_text(outcome.error)))
            return
        self.maintenance, ticket.before = ticket.on, self.maintenance
        ticket.resolve()

    def work(self, now_s: float) -> None:
        """Submit what is due."""
        while self._waiting and self._task.busy_since_s is None:
            if not self._begun(self._waiting[0], now_s):
                return
            self._waiting.pop(0)
            self._second_look.over()

    def _begun(self, ticket: Ticket, now_s: float) -> bool:
        """Or refused; False: it would be, and the other hosts' records are not read again yet."""
        # On already, it is no matter where the engine is: somebody wanted it so.
        why = refusal(self._look()) if ticket.on and not self.maintenance else ""
        if why and self._second_look.is_due(now_s):
            return False
        job = partial(write_flag, self._directory, ticket.on)
        if why:
            ticket.resolve(Refusal(409, why + self._second_look.doubt))
        elif ticket.begin() and self._task.start(now_s, job, 0.0):
            self._writing = ticket
        return True

    def next_due_s(self, now_s: float) -> float:
        """When there is something to do again, if nothing else happens."""
        return self._second_look.until_s


def refusal(snapshot: Snapshot) -> str:
    """Why this host can't go into local maintenance now; empty: it can.

    Where the engine is, that it can leave is enough: the agent moves it first.
    """
    if is_being_started(snapshot):
        return "the engine's VM is being started on this host"
    if snapshot.engine.is_here:
        return maintenance_refusal(snapshot)
    if snapshot.holds_lease:
        return "a process of this host holds the engine's lease"
    if snapshot.engine.domain == DomainState.UNKNOWN and snapshot.lease.state != LeaseState.HELD:
        return unknown_why(snapshot)
    return ""


def read_flag(directory: str) -> bool:
    """Is this host in local maintenance? Raises StateDirError."""
    try:
        # The simulator asks after each event; `Path` would take longer than the file does.
        return stat.S_ISREG(os.stat(f"{directory}/{FLAG_NAME}").st_mode)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StateDirError(f"can't read {directory}/{FLAG_NAME}: {reason(error)}") from None


def write_flag(directory: str, on: bool) -> None:
    """Set or remove the flag durably; raises StateDirError."""
    flag = Path(directory) / FLAG_NAME
    try:
        flag.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if on:
            replace_file(flag, b"", mode=STATE_FILE_MODE, only_writer=True)
        else:
            flag.unlink(missing_ok=True)
            sync_directory(flag.parent)
    except OSError as error:
        raise StateDirError(f"can't change {flag}: {reason(error)}") from None
