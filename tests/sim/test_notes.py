# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What hosts write into the text part of their records."""

from __future__ import annotations

from metadata import reach
from metadata.notes import PENALTIES
from metadata.own_notes import OWN_KEYS
from simulation.cluster import SimCluster
from tests.sim.test_reach import drawn, engine_host

SEED = 0


def written(cluster: SimCluster) -> set[str]:
    snapshots = [host.snapshot for host in cluster.hosts.values()]
    records = [view.record for seen in snapshots if seen is not None for view in seen.hosts]
    return {key for record in records if record is not None for key, _ in record.notes}


def test_every_note_is_known_as_one_of_this_program() -> None:
    """One that was not would live on after a newer program had written it, and be believed."""
    cluster = SimCluster(drawn(SEED))
    try:
        cluster.bring_up()
        found = written(cluster)
        cluster.host(engine_host(cluster)).network_cut()
        timing, network = cluster.settings.cluster.timing, cluster.settings.cluster.network
        for _ in range(round(timing.isolated_s / timing.tick_s) + 3 * network.probes):
            cluster.run_for(timing.tick_s)
            found |= written(cluster)
    finally:
        cluster.close()
    assert found <= OWN_KEYS
    assert {PENALTIES, *reach.KEYS} <= found
