# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The engine's host is cut off the network, and the engine comes back where it can be reached."""

import json
import time
from collections.abc import Iterator

import pytest

from fsm.guards import GO_ON_TICKS
from simulation.migration import KEEPALIVE_S
from tests.lab.real_story import told_by
from tests.lab.verbs import FULL_SCORE, LabVerbs, allowed_share_s, machine_clock_s, scaled
from tests.lab_long.slow_move import Move

ALLOWANCE_S = 5.0
# So long a move alive may be tried (migration.out_of_reach_s), and be waited for after that.
MOVE_S, PATIENCE_S = 10, 5
NETWORK_POINTS = 1600
# Short, so that this takes a minute; isolated_s so long that a slow machine heals within it.
TICK_S, PROBES, ISOLATED_S = 2, 5, 20
DETECTION_S = TICK_S * PROBES + ISOLATED_S
SETTINGS = {
    "timing": f"{{tick_s: {TICK_S}, isolated_s: {ISOLATED_S}}}",
    "network": f"{{probes: {PROBES}, probe_timeout_s: 1}}",
    "engine.health_timeout_s": "2",
    "migration.out_of_reach_s": str(MOVE_S),
}


@pytest.fixture(scope="module", autouse=True)
def quick(built_lab: LabVerbs) -> Iterator[None]:
    """Settings that make it quick; afterwards they are as before."""
    shown = built_lab.on("h1", "hosted-engine", "--shared-config-history", "--json")
    before = json.loads(shown)["versions"][0]["version"]
    command = ("hosted-engine", "--set-shared-config")
    *earlier, latest = SETTINGS.items()
    try:
        for setting in earlier:
            built_lab.on("h1", *command, *setting)
        built_lab("on", "h1", *command, *latest, "--wait", timeout_s=180)
        yield
    finally:
        built_lab.on("h1", "hosted-engine", "--shared-config-rollback", str(before))


@pytest.mark.parametrize("fault", ["cut", "drop"])
def test_a_host_cut_off_the_network_gives_the_engine_up(lab: LabVerbs, fault: str) -> None:
    where = lab.engine_host()
    cut_s, cut_wall_s = machine_clock_s(), time.time()
    lab("network", where, fault)
    try:
        lab.wait_healthy(DETECTION_S + 120, "--not-on", where)
        healthy_s = machine_clock_s() - cut_s
        started_s = float(lab.status()["engine"]["started_s"]) - cut_s
    finally:
        lab("network", where, "heal")
    changes = told_by(lab, where, cut_wall_s, time.time())
    told = {one.after: one.at_s for one in changes}
    # Moves alive come first, and can't succeed: nothing reaches the others.
    tried_s = [one.at_s for one in changes if one.after == "EngineMigratingAway"]
    move_s = told["EngineStop"] - tried_s[0] if tried_s else 0.0
    shutdown_s = told["EngineDown"] - told["EngineStop"]
    boot_s = healthy_s - started_s
    share_s = healthy_s - DETECTION_S - move_s - shutdown_s - boot_s
    figures = (
        f"healthy elsewhere {healthy_s:.1f} s after the cut: detection {DETECTION_S} s (stopped "
        f"after {told['EngineStop']:.1f} s), moves in vain {move_s:.1f} s, "
        f"shutdown {shutdown_s:.1f} s, boot {boot_s:.1f} s, "
        f"rest {share_s:.1f} s"
    )
    print(figures)
    assert share_s <= allowed_share_s(ALLOWANCE_S, boot_s), figures
    assert move_s <= MOVE_S + PATIENCE_S + scaled(ALLOWANCE_S), figures


def test_a_cut_that_heals_in_time_moves_nothing(lab: LabVerbs) -> None:
    before = lab.engine_identity()
    where = before[0]
    lab("network", where, "cut")
    try:
        lab.wait_for(
            "the host has lost its whole network",
            # Less yet while another host says that it gave the engine away to be in reach.
            lambda status: status["hosts"][where]["score"] <= FULL_SCORE - NETWORK_POINTS,
            2 * DETECTION_S,
        )
    finally:
        lab("network", where, "heal")
    lab.wait_healthy(20)
    lab.wait_settled()
    assert lab.engine_identity() == before


def test_a_network_that_is_lost_in_a_move_counts_from_then_on(slow: LabVerbs, move: Move) -> None:
    """However long that move goes on, whose end is no new beginning."""
    cut_s, cut_wall_s = machine_clock_s(), time.time()
    slow("network", move.source, "drop")
    try:
        slow.wait_healthy(DETECTION_S + 120, "--not-on", move.source)
        healthy_s = machine_clock_s() - cut_s
    finally:
        slow("network", move.source, "heal")
    changes = told_by(slow, move.source, cut_wall_s, time.time())
    ended_s = next(one.at_s for one in changes if one.before == "EngineMigratingAway")
    tried_s = next(one.at_s for one in changes if one.after == "EngineMigratingAway")
    figures = (
        f"the move ended {ended_s:.1f} s after the cut, the next began after {tried_s:.1f} s, "
        f"healthy elsewhere after {healthy_s:.1f} s"
    )
    print(figures)
    due_s = max(DETECTION_S, KEEPALIVE_S + GO_ON_TICKS * TICK_S)
    assert tried_s <= due_s + scaled(ALLOWANCE_S), figures
