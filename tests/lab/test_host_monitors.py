# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the broker measures of a real host."""

from typing import Any

from tests.lab.verbs import FULL_SCORE, LabVerbs

MIB = 1 << 20
MEASURED_S = 90.0
SEEN_S = 30.0
BACK_S = 60.0


def monitors(lab: LabVerbs, host: str) -> dict[str, dict[str, Any]]:
    """The monitors in the snapshot of a host's broker, by their names."""
    return {found["name"]: found for found in lab.snapshot(host)["monitors"]}


def test_a_real_host_is_measured(lab: LabVerbs) -> None:
    where = lab.engine_host()
    lab.wait_for(
        "half a minute of CPU times",
        lambda _status: monitors(lab, where)["cpu-load"]["value"] is not None,
        MEASURED_S,
    )
    found = monitors(lab, where)
    assert found["bridge"]["value"] == 1
    assert found["mem-free"]["limit"] == 128 * MIB
    assert found["mem-free"]["value"] > 128 * MIB
    assert 0 <= found["cpu-load"]["value"] <= 1
    # sanlock tells milliseconds, and less than one is 0.
    assert 0 <= found["storage-renewal"]["value"] < found["storage-renewal"]["limit"]
    assert 0 < found["storage-latency"]["value"] < found["storage-latency"]["limit"]
    assert 0 <= found["storage-write-age"]["value"] < found["storage-write-age"]["limit"]
    assert {name: view["trouble"] for name, view in found.items() if view["trouble"]} == {}


def test_a_bridge_that_is_down_costs_its_host_and_moves_nothing(lab: LabVerbs) -> None:
    before = lab.engine_identity()
    other = next(name for name in lab.status()["hosts"] if name != before[0])
    lab("bridge", other, "down")
    try:
        lab.wait_for(
            "the host's own word on its bridge",
            lambda status: status["hosts"][other]["score"] <= FULL_SCORE - 600,
            SEEN_S,
        )
        assert monitors(lab, other)["bridge"]["detail"] == "ovirtmgmt is down"
    finally:
        lab("bridge", other, "up")
    lab.wait_for(
        "the host's full score",
        lambda status: status["hosts"][other]["score"] == FULL_SCORE,
        BACK_S,
    )
    assert lab.engine_identity() == before
