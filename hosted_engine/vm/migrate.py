# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --vm-migrate``: move the engine alive from this host to another one.

This host's broker holds the order and refuses what can never work; this host's agent carries it
out. In global maintenance too: nothing moves by itself then, and this is no such move.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Optional

from ha_broker.api.client import BrokerClient, BrokerRefusedError
from ha_broker.api.snapshot import MovePhase, MoveReport
from hosted_engine.cli.move_wording import moved_text, paused_text, progress_text
from hosted_engine.cli.wait import follow, print_line, say_nothing, wait_s
from hosted_engine.cli.wording import capital
from hosted_engine.errors import EXIT_OK, CommandError
from hosted_engine.host.deployed import check_deployed
from hosted_engine.host.local_host import broker
from hosted_engine.vm.move_progress import (
    GOES_ON,
    MoveWatch,
    OrderedMove,
    look_shortly,
)

WAIT_S = 300.0
GOAL = "the engine runs on another host"
ORDERED = "ordered"


def run_command(options: argparse.Namespace) -> int:
    """`run` with the options of the command line."""
    return run(options.to, wait_s(options, WAIT_S), as_json=options.json)


def run(to: Optional[str], timeout_s: Optional[float] = None, *, as_json: bool = False) -> int:
    """Give the order (`to`: a host's name or id; None: the best), and follow it when a time for
    that is given.

    Raises CommandError when it is refused or nobody took the engine, NotReachedError when it is
    not over in time.
    """
    check_deployed()
    with broker() as client:
        watch = _order(client, to)
        say = say_nothing if as_json else print_line
        if timeout_s is None:
            found = look_shortly(watch)
            say(_short_text(watch, found))
        else:
            say(f"The engine is to move to {to or 'the best of the other hosts'}.")
            follow(watch.look, GOAL, timeout_s, tell=say)
            assert watch.report is not None
            say(f"Reached: {_moved(watch.report, watch.took_s)}.")
    if as_json:
        print(_document(watch.what_for, watch.report))
    return EXIT_OK


def _order(client: BrokerClient, to: Optional[str]) -> MoveWatch:
    began_s = time.monotonic()
    try:
        order = client.order_move(to)
    except BrokerRefusedError as error:
        raise CommandError(str(error)) from error
    return MoveWatch(client, order.request_id, OrderedMove(order.request_id).missing, began_s)


def _short_text(watch: MoveWatch, found: bool) -> str:
    report = watch.report
    if report is not None and report.phase == MovePhase.MOVED:
        return f"Done: {_moved(report, watch.took_s)}."
    if report is None or not found:
        return f"The order is given; this host's agent has not taken it up yet. {GOES_ON}"
    return f"{capital(progress_text(report))}. {GOES_ON}"


def _moved(report: MoveReport, took_s: float) -> str:
    return f"{moved_text(report, took_s)}{paused_text(report)}"


def _document(request_id: str, report: Optional[MoveReport]) -> str:
    """One line; `phase` is "ordered" before the agent has said anything of it."""
    told = report or MoveReport(request_id, ORDERED)
    document = {
        "request_id": request_id,
        "phase": told.phase,
        "target": told.target or None,
        "tries": told.tries,
        "refusals": list(told.refusals),
        "copied": told.copied,
        "took_s": told.took_s,
        "downtime_s": told.downtime_s,
        "copied_bytes": told.copied_bytes,
    }
    return json.dumps(document)
