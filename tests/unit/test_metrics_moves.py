# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Live migrations as a scrape counts them: by purpose, outcome, and why hosts did not get it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fsm.memory import BY_ITSELF
from ha_agent.publication.move_report import ENDED
from ha_broker.api.snapshot import OWN_PURPOSES, MovePhase, MoveReport, Publication, Snapshot
from ha_broker.metrics.counters import Counters
from ha_broker.metrics.move_counts import (
    MOVE_OUTCOMES,
    PURPOSES,
    REASONS,
    REFUSED_BY_LIBVIRT,
    TOO_SLOW,
    UNABLE,
    UNREACHABLE,
    reason_of,
)
from metadata.records import EngineStatus, EngineVm, Health
from metadata.takes_note import OLDER_PROGRAM
from tests.unit.metrics_text import Scrape, scrape

UP = EngineStatus(EngineVm.UP, Health.GOOD, "Up")
WAITING = MoveReport("maintenance", MovePhase.WAITING)
FIRST = MoveReport("maintenance", MovePhase.MOVING, "h2", 1)
SECOND = MoveReport("maintenance", MovePhase.MOVING, "h3", 2, ("h2: it is in local maintenance",))


def snapshot(report: MoveReport | None) -> Snapshot:
    agent = Publication(3400, UP, "EngineUp", move=report)
    return Snapshot(7, 1000.0, 1, "h1", started_at_s=500.0, agent=agent)


def seen_after(*reports: MoveReport | None) -> Scrape:
    """What is counted when the agent says these, one after the other, each twice."""
    counters = Counters()
    for report in reports:
        for _ in range(2):
            counters.shown(snapshot(report))
    return scrape(snapshot(None), counters=counters)


def moves(*reports: MoveReport | None) -> dict[str, float]:
    seen = seen_after(*reports)
    return {one: sum(seen.values("moves_total", outcome=one)) for one in MOVE_OUTCOMES}


def counts(begun: int = 0, moved: int = 0, failed: int = 0, refused: int = 0) -> dict[str, int]:
    return {"begun": begun, "moved": moved, "failed": failed, "refused": refused}


def refusals(*reports: MoveReport | None) -> dict[str, float]:
    """Those that are not 0, by reason."""
    seen = seen_after(*reports)
    found = {one: sum(seen.values("move_refusals_total", reason=one)) for one in REASONS}
    return {reason: count for reason, count in found.items() if count}


def test_moves_are_counted_by_what_came_of_them():
    moved = replace(SECOND, phase=MovePhase.MOVED)
    refused = replace(SECOND, phase=MovePhase.REFUSED)
    assert moves(None) == counts()
    assert moves(None, WAITING) == counts()
    assert moves(None, WAITING, FIRST) == counts(begun=1)
    assert moves(None, FIRST, SECOND) == counts(begun=2, failed=1)
    assert moves(None, FIRST, SECOND, moved) == counts(begun=2, failed=1, moved=1)
    assert moves(None, FIRST, SECOND, refused) == counts(begun=2, failed=2, refused=1)
    # Nobody could be tried at all.
    assert moves(None, replace(WAITING, phase=MovePhase.REFUSED)) == counts(refused=1)
    # What was between two looks counts, too.
    assert moves(None, moved) == counts(begun=2, failed=1, moved=1)
    # A second maintenance is another move, and so is a person's order.
    again = counts(begun=3, failed=1, moved=2)
    assert moves(None, moved, WAITING, FIRST, replace(FIRST, phase=MovePhase.MOVED)) == again
    ordered = MoveReport("move-1", MovePhase.MOVED, "h2", 1)
    assert moves(None, moved, ordered) == again
    # What an earlier life of the broker has counted, and an agent that was restarted.
    assert moves(moved) == counts()
    assert moves(None, moved, None, moved) == counts(begun=2, failed=1, moved=1)


def test_moves_are_counted_by_what_they_are_for():
    for purpose in PURPOSES:
        said = MoveReport("move-7f3a" if purpose == "order" else purpose, MovePhase.MOVED, "h2", 1)
        seen = seen_after(None, said)
        assert seen.value("moves_total", purpose=purpose, outcome="moved") == 1
        assert sum(seen.values("moves_total", outcome="moved")) == 1


def test_the_purposes_are_the_agents():
    assert set(OWN_PURPOSES) == BY_ITSELF


def test_all_series_are_there_before_the_first_move():
    seen = seen_after(None)
    assert seen.values("moves_total") == [0.0] * len(PURPOSES) * len(MOVE_OUTCOMES)
    assert seen.values("move_refusals_total") == [0.0] * len(PURPOSES) * len(REASONS)


def test_each_host_that_did_not_get_it_counts_once_by_its_reason():
    assert refusals(None, FIRST) == {}
    assert refusals(None, FIRST, SECOND) == {UNABLE: 1}
    late = "h3: it took longer than 60 s and was broken off: operation aborted"
    third = replace(SECOND, phase=MovePhase.REFUSED, refusals=(*SECOND.refusals, late))
    assert refusals(None, FIRST, SECOND, third) == {UNABLE: 1, TOO_SLOW: 1}
    # In other words at the end, of the same host.
    otherwise = replace(third, refusals=("h2: its record is old", late))
    assert refusals(None, SECOND, otherwise) == {UNABLE: 1, TOO_SLOW: 1}
    assert refusals(third) == {}, "an earlier life of the broker has counted it"
    many = replace(third, refusals=(*third.refusals, "and 12 more hosts"))
    assert refusals(None, many) == {UNABLE: 1, TOO_SLOW: 1}


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        (OLDER_PROGRAM, UNABLE),
        (ENDED, UNABLE),
        ("sanlock does not call it alive", UNABLE),
        ("its libvirt is silent: libvirt has not answered for 5 s", UNABLE),
        ("it has too little free memory (12 MiB, and 128 MiB are needed)", UNABLE),
        ("the engine's VM is there already", UNABLE),
        ("no connection to qemu+tls://h2/system: Connection refused", UNREACHABLE),
        ("the libvirt at qemu+tls://h2/system has not answered for 20 s", UNREACHABLE),
        ("unable to connect to server at 'h2:16514': Connection refused", UNREACHABLE),
        ("no connection to qemu+tls://h2/system: port 16514 of h2: no answer", UNREACHABLE),
        ("internal error: client socket is closed", UNREACHABLE),
        (
            "its certificate is not taken here: it has ended, or has another name or authority "
            "than it should (Failed to verify peer's certificate)",
            UNREACHABLE,
        ),
        ("it does not take this host's certificate, and its log says why", UNREACHABLE),
        ("it took longer than 60 s and was broken off: operation aborted", TOO_SLOW),
        ("it was broken off from here: operation aborted", TOO_SLOW),
        ("the target's CPU is not enough for it: missing avx512f", REFUSED_BY_LIBVIRT),
        ("unsupported configuration: machine type 'pc-q35-9.0' is not known", REFUSED_BY_LIBVIRT),
    ],
)
def test_the_kind_of_a_reason(why, reason):
    assert reason_of(why) == reason
