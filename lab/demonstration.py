# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``lab/demo``: the main job, shown from an empty machine to the takeover and back."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from lab import (
    cli,
    deploy,
    engine,
    features,
    host,
    lifecycle,
    lockspace,
    report,
    settings,
    state,
    timeline,
)
from lab.errors import LabError
from lab.processes import wait_until
from lab.settings import Places
from lab.state import Lab

SAME_PICTURE_TIMEOUT_S = 60.0


class Progress:
    """Prints what happens, with the seconds since the beginning."""

    def __init__(self) -> None:
        self._start_s = time.monotonic()

    def __call__(self, text: str) -> None:
        """Print one line."""
        print(f"[{time.monotonic() - self._start_s:6.1f} s] {text}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; 0 only if the engine is healthy elsewhere and ran nowhere twice."""
    options = _options(arguments)
    cli.install_signal_handlers()
    progress = Progress()
    try:
        settings.time_factor()  # A wrong one is refused before anything is done.
        places = settings.places()
        features.require()
        with state.changing(places):
            return _run(places, cli.size(options), options.keep, progress)
    except LabError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130


def _options(arguments: Sequence[str] | None) -> Any:
    parser = cli.OneLineParser(prog="demo", description="A power cut and the takeover.")
    parser.add_argument("--keep", action="store_true", help="leave the lab up at the end")
    cli.add_size_options(parser, fewest_hosts=2)
    return parser.parse_args(arguments)


def _run(places: Places, size: lifecycle.Size, keep: bool, say: lifecycle.Say) -> int:
    # A failure in here leaves nothing behind: `up` removes what it has built.
    lab = lifecycle.up(places, size, False, say)
    try:
        return 0 if _show(places, lab, say) else 1
    finally:
        if keep:
            say("the lab stays up: `lab/lab status`, `lab/lab --help`; `lab/lab down` removes it")
        else:
            say("removing the lab")
            lifecycle.down(places)


def _show(places: Places, lab: Lab, say: lifecycle.Say) -> bool:
    boot_s = state.noted_value(places, "guest-boot-s") or 0.0
    where = engine.the_only_one(places, lab).host
    say(f"the engine is healthy on {where}, {boot_s:.1f} s after its VM was started")
    _show_same_picture(places, lab, say)
    # A host that has only just joined would count the dead one's time from then on.
    wait_until(
        "sanlock on all hosts knows all hosts",
        lambda: lockspace.all_know_all(places, lab.hosts),
        SAME_PICTURE_TIMEOUT_S,
        0.5,
    )
    taken = timeline.watch_power_cut(places, lab, boot_s, say)
    say(f"the engine is healthy on {taken.target}")
    found = report.boots(places)
    print("\n".join(["", *taken.as_text(), "", *report.as_text(found)]))
    once = report.ran_nowhere_twice(found)
    print(f"\nthe engine ran nowhere twice: {'yes' if once else 'NO'}", flush=True)
    return once


def _show_same_picture(places: Places, lab: Lab, say: lifecycle.Say) -> None:
    """Print the product's own status when all hosts agree on it."""

    def agreed() -> bool:
        pictures = [_picture(places, name) for name in lab.hosts]
        return len(pictures[0]) == len(lab.hosts) and all(one == pictures[0] for one in pictures)

    wait_until("the same status on all hosts", agreed, SAME_PICTURE_TIMEOUT_S, 0.5)
    say("hosted-engine --vm-status shows the same on every host:")
    for line in _picture(places, lab.hosts[0]):
        print(f"            {line}", flush=True)


def _picture(places: Places, name: str) -> list[str]:
    """What one host says of all hosts, without what changes from second to second."""
    try:
        text = host.run_in(places, name, ("hosted-engine", "--vm-status", "--json"), 10)
        answer: dict[str, Any] = json.loads(text)
    except (LabError, ValueError):
        return []
    return [
        f"{key}: {one['hostname']}, score {one['score']}, {deploy.state_in(one)}, "
        f"vm {one['engine-status']['vm']}, health {one['engine-status']['health']}"
        for key, one in sorted(answer.items())
        if key.isdigit()
    ]


if __name__ == "__main__":
    sys.exit(main())
