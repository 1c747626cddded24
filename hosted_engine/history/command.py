# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --history``: what this host did and what it saw, from its files alone."""

from __future__ import annotations

import argparse
import time

from hosted_engine.errors import EXIT_OK, UsageError, say_error
from hosted_engine.history.changes import changes_of
from hosted_engine.history.selection import Selection, load, selected
from hosted_engine.history.text import history_json, history_text, moment_text

USUAL_COUNT = 50


def run_command(options: argparse.Namespace) -> int:
    """Print or plot the history; raises CommandError when there is none."""
    selection = Selection(options.host, options.since, options.last)
    if options.plot is None:
        return run(selection, options.json)
    if options.json:
        raise UsageError("--plot and --json exclude each other; plot first, then ask again")
    from hosted_engine.history.plot_command import run as plot

    return plot(selection, options.plot)


def run(selection: Selection, as_json: bool) -> int:
    """Print it; raises CommandError."""
    kept, entries, past = load()
    found = selected(changes_of(entries), past, selection, time.time())
    shown = found[-_count(selection) :]
    left_out = len(found) - len(shown)
    if as_json:
        print(history_json(past, shown, kept.damaged, left_out))
        return EXIT_OK
    if shown:
        print(history_text(shown), end="")
    else:
        say_error(f"no such change; the history goes back to {moment_text(past.from_s)}")
    if left_out:
        say_error(f"{left_out} earlier changes are not shown; see them with --last or --since")
    if kept.damaged:
        say_error(f"{kept.damaged} damaged lines of the history were left out")
    return EXIT_OK


def _count(selection: Selection) -> int:
    """How many are shown at the most."""
    if selection.last is not None:
        return selection.last
    return USUAL_COUNT if selection.since is None else 1 << 62
