# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The lease is free while the engine moves to another host: a third one leaves it alone."""

import time
from concurrent.futures import ThreadPoolExecutor

from tests.lab.real_story import DOMAIN, told_by
from tests.lab.verbs import LabVerbs, scaled

TOLD_S = 40.0
# The third host looks at the lease each tick. In 16 s the target's sanlock would lose its place.
LEFT_ALONE_S = 9.0
# In MiB/s: so slow that the others read of the move before it ends, and as fast as it goes.
SLOWLY, QUICKLY = "1", "10000"


def test_a_third_host_leaves_the_lease_of_a_moving_engine_alone(lab: LabVerbs) -> None:
    source, _, boot = lab.engine_identity()
    # Of equal hosts the first one is the first to take a free lease.
    third, target = (name for name in lab.status()["hosts"] if name != source)
    begun_s = time.time()
    with ThreadPoolExecutor(max_workers=1) as pool:
        migration = pool.submit(_migrate_slowly, lab, source, target)
        try:
            lab.wait_until(
                "the source's word in the third host's snapshot",
                lambda: moving_line(lab, third, source).startswith(f"to {target},"),
                scaled(TOLD_S),
            )
            _hold_the_gap_open(lab, source, target, third)
        finally:
            # One that has ended has no speed any more.
            lab.attempt("on", source, "virsh", "migrate-setspeed", DOMAIN, QUICKLY)
        migration.result()
    lab.wait_settled()
    moved_to, _, boot_after = lab.engine_identity()
    assert (moved_to, boot_after) == (target, boot)
    assert told_by(lab, third, begun_s, time.time()) == []


def _migrate_slowly(lab: LabVerbs, source: str, target: str) -> None:
    uri = f"qemu+tcp://{target}/system"
    migrate = ("virsh", "migrate", "--live", "--p2p", "--bandwidth", SLOWLY)
    lab.on(source, *migrate, DOMAIN, uri)


def moving_line(lab: LabVerbs, viewer: str, source: str) -> str:
    """What the source says of the move, as another host has read it."""
    records = [view["record"] for view in lab.snapshot(viewer)["hosts"] if view["record"]]
    notes = [dict(record["notes"]) for record in records if record["hostname"] == source]
    return str(notes[0].get("moving", "")) if notes else ""


def _hold_the_gap_open(lab: LabVerbs, source: str, target: str, third: str) -> None:
    """The source has let the lease go, and the target's sanlock does not give it out yet."""
    left_alone = f"the lease is left alone: {source} is moving the engine to {target} "
    lab.on(target, "systemctl", "kill", "--signal=SIGSTOP", "sanlock.service")
    try:
        lab.on(source, "virsh", "migrate-setspeed", DOMAIN, QUICKLY)
        lab.wait_until(
            "the third host's reason",
            lambda: str(lab.snapshot(third)["agent"]["why"]).startswith(left_alone),
            LEFT_ALONE_S,
        )
    finally:
        lab.on(target, "systemctl", "kill", "--signal=SIGCONT", "sanlock.service")
