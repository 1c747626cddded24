# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Local maintenance round the hosts, again and again, by the lab's own command."""

import json
from pathlib import Path

from tests.lab.test_moves import LONGEST_GAP_S, LONGEST_MOVE_S
from tests.lab.verbs import LabVerbs, scaled

ROUNDS = 10
# What libvirt itself may take for a move.
LONGEST_COPY_S = 3.0
ROUND_TIMEOUT_S = 120.0


def test_ten_rounds_of_maintenance_lose_nothing(lab: LabVerbs, tmp_path: Path) -> None:
    _, _, boot = lab.engine_identity()
    record = tmp_path / "rounds.json"
    told = lab(
        "maintenance-rounds",
        f"--rounds={ROUNDS}",
        f"--record={record}",
        timeout_s=ROUNDS * ROUND_TIMEOUT_S,
    )
    print(told)
    found = json.loads(record.read_text(encoding="utf-8"))
    hosts = set(lab.status()["hosts"])
    for moves in found["rounds"]:
        assert {move["source"] for move in moves} == hosts
        for move in moves:
            assert move["boot"] == boot
            assert move["reached_s"] <= scaled(LONGEST_MOVE_S), move
            assert move["page_gap_s"] <= scaled(LONGEST_GAP_S), move
            assert move["took_s"] <= scaled(LONGEST_COPY_S), move
    assert lab("picture", str(record)).startswith("<svg ")
    lab.wait_settled()
