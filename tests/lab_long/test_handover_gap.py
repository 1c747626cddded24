# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A host is shut down with its engine: for how long the engine's page is away."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

from tests.lab.test_shutdown import JOURNAL, TAKEOVER_ALLOWANCE_S, guest_ended_s, shut_down
from tests.lab.verbs import LabVerbs, scaled

# In the agents' words: told of the shutdown, the guest asked to end; started elsewhere, healthy.
TOLD = re.compile(r"^([0-9.]+) .*told to stop: this host is being shut down", re.MULTILINE)
ASKED = re.compile(r"^([0-9.]+) .*EngineUp => EngineStop", re.MULTILINE)
STARTED = re.compile(r"^([0-9.]+) .*EngineDown => EngineStart:", re.MULTILINE)
HEALTHY = re.compile(r"^([0-9.]+) .*EngineStarting => EngineUp", re.MULTILINE)
# The others read it within a tick of 5 s; the journal's seconds and a slow start of the agent's.
TOLD_BEFORE_S = 4.0
PAGE_WATCHED_S = 60.0


def _last_s(what: "re.Pattern[str]", journal: str) -> float:
    found = what.findall(journal)
    assert found, f"{what.pattern}: not in\n{journal}"
    return float(found[-1])


def test_the_page_is_away_for_the_guests_own_times_and_little_else(stopping: LabVerbs) -> None:
    """The others have read that the engine is about to end, so its end is noticed at once."""
    lab = stopping
    host = lab.engine_host()
    with ThreadPoolExecutor(max_workers=1) as pool:
        watch = pool.submit(lab, "watch-page", "--seconds", str(scaled(PAGE_WATCHED_S)))
        shut_down(lab, host)
        lab.wait_healthy(120, "--not-on", host)
        gap_s = float(json.loads(watch.result())["longest_gap_s"])
    there = lab.on(lab.engine_host(), "journalctl", "--boot=0", *JOURNAL[2:])
    lab("power-on", host)
    here = lab.on(host, *JOURNAL)
    asked_s = _last_s(ASKED, here)
    guest_s = guest_ended_s(here) - asked_s
    boot_s = _last_s(HEALTHY, there) - _last_s(STARTED, there)
    figures = f"gap {gap_s:.1f} s: the guest took {guest_s:.1f} s to end, {boot_s:.1f} s to boot"
    print(figures)
    assert asked_s - _last_s(TOLD, here) >= TOLD_BEFORE_S
    assert gap_s <= guest_s + boot_s + scaled(TAKEOVER_ALLOWANCE_S), figures
    lab.wait_settled()
