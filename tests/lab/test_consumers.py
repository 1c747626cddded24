# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Readers of our output on real hosts, and the status command while a host's storage is dead."""

from __future__ import annotations

import json
import time

from tests.integration.test_consumers import grep, web_page
from tests.lab.verbs import LabVerbs, scaled

PYTHON = ("env", "PYTHONPATH=/usr/share/hosted-engine-ha", "python3")
LEASES = "/srv/san/leases"
# Reading has five seconds; entering the host and Python's start come on top.
GIVEN_UP_S = 10.0
AS_THE_HOST_DAEMON = """
import json
from hosted_engine.client import HAClient
client = HAClient()
stats = client.get_all_stats(timeout=5)
print(json.dumps([client.is_deployed(), client.get_local_host_id(), stats]))
"""


def test_every_reader_finds_the_engine(lab: LabVerbs) -> None:
    engine_host = lab.engine_host()
    for name in lab.status()["hosts"]:
        text = lab.on(name, "hosted-engine", "--vm-status", "--json")
        assert web_page(text)["running"] == engine_host
        assert grep('"vm": "up"', text) == 0
        plain = lab.on(name, "hosted-engine", "--vm-status")
        assert plain.count('{"vm": "up", "health": "good", "detail": "Up"}') == 1

    deployed, host_id, stats = json.loads(lab.on(engine_host, *PYTHON, "-c", AS_THE_HOST_DAEMON))
    own = stats[str(host_id)]
    assert (deployed, own["hostname"], own["live-data"]) == (True, engine_host, True)
    assert (stats["0"], own["score"]) == ({"maintenance": False}, 3400)
    assert json.loads(own["engine-status"]) == {"vm": "up", "health": "good", "detail": "Up"}


def test_status_ends_in_time_while_a_hosts_storage_is_dead(lab: LabVerbs) -> None:
    before = lab.engine_identity()
    victim = [name for name in lab.status()["hosts"] if name != before[0]][-1]
    lab("storage", victim, "hang")
    try:
        from_memory = json.loads(lab.on(victim, "hosted-engine", "--vm-status", "--json"))
        assert {"1", "2", "3", "global_maintenance"} == set(from_memory)
        begun_s = time.monotonic()
        words = ("--vm-status", "--timeout=0", f"--metadata={LEASES}:2M")
        refused = lab.attempt("on", victim, "hosted-engine", *words)
        took_s = time.monotonic() - begun_s
    finally:
        lab("storage", victim, "heal")
    assert refused.returncode == 1
    assert "the storage has not answered for 5 s" in refused.stdout + refused.stderr
    assert took_s < scaled(GIVEN_UP_S)
    assert lab.engine_identity() == before
