"""``hosted-engine --history``: what this host did and what it saw, from its files alone."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Optional

from ha_agent.chronicle.files import Kept, read_history
from ha_agent.command.deadline import within_deadline
from ha_agent.command.errors import EXIT_OK, CommandError, UsageError, say_error
from ha_agent.command.history.changes import Change, changes_of
from ha_agent.command.history.past import HostPast, Past, past_of
from ha_agent.command.history.text import history_json, history_text, moment_text
from ha_agent.command.history.times import Timed, timed
from ha_broker import paths

USUAL_COUNT = 50
READ_DEADLINE_S = 10.0


@dataclass(frozen=True)
class Wanted:
    """What of it is asked for; `since` turns the present second into the first one."""

    host: Optional[str] = None
    since: Optional[Callable[[float], float]] = None
    last: Optional[int] = None


def run_command(options: argparse.Namespace) -> int:
    """Print or plot the history; raises CommandError when there is none."""
    wanted = Wanted(options.host, options.since, options.last)
    if options.plot is None:
        return run(wanted, options.json)
    if options.json:
        raise UsageError("--plot and --json exclude each other; plot first, then ask again")
    from ha_agent.command.history.draw import run as plot

    return plot(wanted, options.plot)


def run(wanted: Wanted, as_json: bool) -> int:
    """Print it; raises CommandError."""
    kept, entries, past = load()
    found = selected(changes_of(entries), past, wanted, time.time())
    shown = found[-_count(wanted) :]
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


def load() -> tuple[Kept, list[Timed], Past]:
    """The whole history of this host; raises CommandError when there is none."""
    directory = paths.history_dir()
    try:
        kept = within_deadline(
            lambda: read_history(directory), f"the disk below {directory}", READ_DEADLINE_S
        )
    except OSError as error:
        raise CommandError(f"{directory}: can't be read: {error.strerror}") from error
    if not kept.entries:
        raise CommandError(
            f"{directory}: there is no history yet; ha-agent writes it while it runs "
            "(see 'systemctl status ha-agent')"
        )
    entries = timed(kept.entries)
    return kept, entries, past_of(entries)


def selected(changes: Sequence[Change], past: Past, wanted: Wanted, now_s: float) -> list[Change]:
    """Those of the wanted host and time; raises CommandError for a host that nobody knows."""
    host = host_named(past, wanted.host) if wanted.host is not None else None
    since_s = float("-inf") if wanted.since is None else wanted.since(now_s)
    return [
        change
        for change in changes
        if change.at_s >= since_s and (host is None or change.host_id == host.host_id)
    ]


def host_named(past: Past, name: str) -> HostPast:
    """The host of that name or id; raises CommandError naming those there are."""
    for host in past.hosts:
        if name in (host.name, str(host.host_id)):
            return host
    known = ", ".join(f"{host.name} ({host.host_id})" for host in past.hosts)
    raise CommandError(f"no host {name!r} in the history; known: {known}")


def _count(wanted: Wanted) -> int:
    """How many are shown at the most."""
    if wanted.last is not None:
        return wanted.last
    return USUAL_COUNT if wanted.since is None else 1 << 62
