# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --set-maintenance --mode=global|local|none``.

global  the whole cluster: nobody starts, stops or moves the engine. Confirmed by read-back.
local   this host only; nothing global changes. An engine that runs here is moved alive to another
        host first; refused where none can take it.
none    ends both: this host's local maintenance and the global one.

Each holds until it is ended: asking for one while the other is on leaves both on, and says so.

With ``--wait`` it is followed until the agents that it is for say so themselves; where the engine
moves, what becomes of that at first is told without it, too.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from functools import partial
from typing import Callable, Optional

from ha_broker.api.client import BrokerClient, BrokerError, BrokerRefusedError
from ha_broker.api.snapshot import HostView, MovePhase, Publication, Snapshot
from ha_broker.api.takers import takers
from hosted_engine.cli.move_wording import moved_text, paused_text
from hosted_engine.cli.wait import follow, wait_s
from hosted_engine.cli.wording import capital, listed
from hosted_engine.cluster.facts import STATES_OF_MAINTENANCE
from hosted_engine.errors import EXIT_OK, CommandError, UsageError
from hosted_engine.host.deployed import check_deployed
from hosted_engine.host.local_host import broker
from hosted_engine.vm.move_progress import (
    GOES_ON,
    MaintenanceMove,
    MoveWatch,
    look_shortly,
)
from metadata.states import State

CONFIRM_WITHIN_S = 60.0
WAIT_S = 120.0
CONFLICT = 409  # the broker's HTTP status where the engine is in the way
LONG_AGO_S = float("-inf")

GLOBAL, LOCAL, NONE = "global", "local", "none"

MOVE_IT_FIRST = (
    "Let another host run it first, with a stop: on this host 'hosted-engine --set-maintenance "
    "--mode=global --wait' and 'hosted-engine --vm-shutdown --wait'; on the other one "
    "'hosted-engine --vm-start --wait' and 'hosted-engine --set-maintenance --mode=none'; then "
    "ask again here"
)
ASK_AGAIN = "see 'hosted-engine --explain', and ask again later"


def run_command(options: argparse.Namespace) -> int:
    """`run` with the options of the command line."""
    if options.mode is None:
        raise UsageError("--set-maintenance needs --mode=global, --mode=local or --mode=none")
    return run(options.mode, wait_s(options, WAIT_S))


def run(mode: str, timeout_s: Optional[float] = None) -> int:
    """Set the mode, and follow it when a time for that is given.

    Raises CommandError when the broker can't be asked or refuses, or when the agent takes it back
    because nobody takes the engine; NotReachedError when the agents do not follow in time.
    """
    check_deployed()
    began_s = time.monotonic()
    with broker() as client:
        before = client.status()
        done = _SETTERS[mode](client, before)
        print(done.text, flush=True)
        if mode == LOCAL and before.engine.is_here:
            _follow_move(client, began_s if done.changed else LONG_AGO_S, timeout_s)
        elif timeout_s is not None:
            # What an agent says now may be from before; where nothing changed, it still holds.
            since_s = began_s if done.changed else LONG_AGO_S
            look = partial(_look, client, partial(_MISSING[mode], since_s=since_s))
            follow(look, _GOALS[mode], timeout_s)
            print(f"Reached: {_GOALS[mode]}.")
    return EXIT_OK


# --- setting --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Setting:
    """What was set, in words; `changed` unless all of it was so before."""

    text: str
    changed: bool


def _set_global(client: BrokerClient, before: Snapshot) -> _Setting:
    """Written in any case: it may have been changed since the broker read it."""
    was = client.set_global_maintenance(True, CONFIRM_WITHIN_S)
    text = f"Global maintenance is on{_already(was is True)}."
    if before.local_maintenance:
        text += f" This host is in local maintenance, too{_UNTIL_NONE}"
    return _Setting(text, was is not True)


def _set_local(client: BrokerClient, before: Snapshot) -> _Setting:
    try:
        was = client.set_local_maintenance(True)
    except BrokerRefusedError as error:
        if error.status != CONFLICT:
            raise
        raise CommandError(f"{error}{_way_out(before)}") from error
    both = f" Global maintenance is on, too{_UNTIL_NONE}" if before.global_maintenance else ""
    text = f"Local maintenance of this host is on{_already(was is True)}.{both}"
    if before.engine.is_here:
        text += " The engine moves to another host first."
    return _Setting(text, was is not True)


def _set_none(client: BrokerClient, before: Snapshot) -> _Setting:
    """This host's own goes first: it needs no storage."""
    was = [client.set_local_maintenance(False)]
    try:
        was.append(client.set_global_maintenance(False, CONFIRM_WITHIN_S))
    except BrokerError as error:
        why = f"{error}; this host's own local maintenance is off, global maintenance is as it was"
        raise CommandError(why) from error
    changed = was != [False, False]
    text = f"Maintenance is off, this host's own and the cluster's{_already(not changed)}."
    return _Setting(text + _still_local(before), changed)


_UNTIL_NONE = (
    ": both hold, and neither ends the other; 'hosted-engine --set-maintenance --mode=none' on "
    "this host ends both."
)


def _already(so: bool) -> str:
    return " (it was already)" if so else ""


def _still_local(snapshot: Snapshot) -> str:
    """The other hosts' own maintenance is theirs."""
    others = [view.fresh_record for view in snapshot.hosts if view.host_id != snapshot.host_id]
    names = [record.hostname for record in others if record is not None and record.maintenance]
    if not names:
        return ""
    return f" In local maintenance still, to be ended there: {listed(names)}."


def _way_out(snapshot: Snapshot) -> str:
    """What to do about a refusal; in global maintenance that itself says it."""
    if not snapshot.engine.is_here:
        return f". {ASK_AGAIN}"
    if snapshot.global_maintenance:
        return ""
    return f". {ASK_AGAIN if takers(snapshot) else MOVE_IT_FIRST}"


_SETTERS = {GLOBAL: _set_global, LOCAL: _set_local, NONE: _set_none}


# --- following ------------------------------------------------------------------------------

_GOALS = {
    GLOBAL: "all living hosts are in global maintenance",
    LOCAL: "this host is in local maintenance",
    NONE: "this host has left maintenance",
}


def _look(client: BrokerClient, missing: Callable[[Snapshot], str], _allowed_s: float) -> str:
    try:
        return missing(client.status())
    except BrokerError as error:  # it may be on its way up again
        return str(error)


def _follow_move(client: BrokerClient, since_s: float, timeout_s: Optional[float]) -> None:
    """Of an engine that has to leave this host first: to the end, or for a short look."""
    move = MaintenanceMove(partial(_missing_local, since_s=since_s))
    watch = MoveWatch(client, move.what_for, move.missing, since_s)
    if timeout_s is None:
        found = look_shortly(watch)
        print(f"{capital(watch.told)}. {GOES_ON}" if found and watch.told else GOES_ON)
        return
    follow(watch.look, _GOALS[LOCAL], timeout_s)
    report = watch.report
    moved = report is not None and report.phase == MovePhase.MOVED
    how = f"{moved_text(report, watch.took_s)}; " if report is not None and moved else ""
    print(f"Reached: {how}{_GOALS[LOCAL]}{paused_text(report) if how else ''}.")


def _missing_global(snapshot: Snapshot, since_s: float) -> str:
    missing = [text for view in snapshot.hosts if (text := _host_missing(view, since_s))]
    return f"waiting for {listed(missing)}" if missing else ""


def _host_missing(view: HostView, since_s: float) -> str:
    """Who is still waited for, and why; empty for a host that is there, or that is gone."""
    if not view.shows_life:
        return ""
    record = view.record
    if record is None:
        return f"host {view.host_id} ({view.error or 'which has not written its record yet'})"
    if record.stopped:  # in order, so nobody acts there
        return ""
    if not view.fresh:
        return f"{record.hostname} (whose agent is silent)"
    if record.state != State.GLOBAL_MAINTENANCE:
        return f"{record.hostname} ({record.state})"
    written_at_s = LONG_AGO_S if view.changed_at_s is None else view.changed_at_s
    return "" if written_at_s >= since_s else f"{record.hostname} (whose news is old)"


def _missing_local(snapshot: Snapshot, since_s: float) -> str:
    """While global maintenance is on, too, an agent says that: nothing else is to come."""
    agent = _latest(snapshot, since_s)
    if agent is None:
        return _SILENT
    both = snapshot.global_maintenance is True and agent.state == State.GLOBAL_MAINTENANCE
    return "" if agent.state == State.LOCAL_MAINTENANCE or both else _state_text(agent)


def _missing_none(snapshot: Snapshot, since_s: float) -> str:
    agent = _latest(snapshot, since_s)
    if agent is None:
        return _SILENT
    return _state_text(agent) if agent.state in STATES_OF_MAINTENANCE or agent.stopped else ""


_SILENT = "waiting for this host's agent to report (see 'systemctl status ha-agent')"


def _state_text(agent: Publication) -> str:
    return f"this host's agent is in {agent.state}"


def _latest(snapshot: Snapshot, since_s: float) -> Optional[Publication]:
    """What the agent has said since then."""
    said_at_s = snapshot.agent_published_at_s
    return snapshot.agent if said_at_s is not None and said_at_s >= since_s else None


_MISSING: dict[str, Callable[..., str]] = {
    GLOBAL: _missing_global,
    LOCAL: _missing_local,
    NONE: _missing_none,
}
