# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The cluster as this host sees it: the engine, its lease, and the other hosts.

A cluster may have 2000 hosts, each of them with such a page. Those of which single numbers are
told are therefore at most `MOST_HOSTS`; the counts are of all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from prometheus_client.core import Metric

from ha_broker.api.snapshot import HostView, LeaseState, Snapshot, hosts_that_say_up
from ha_broker.metrics.families import age_s, gauge, gauges, one_hot
from metadata.liveness import Liveness
from metadata.records import Health
from world.ports.libvirt import DomainState

MOST_HOSTS = 64
LEASE_STATES = (LeaseState.FREE, LeaseState.HELD, LeaseState.UNKNOWN)

_HOST = ("host_id", "host")


def cluster_families(
    snapshot: Snapshot, renewed_at_s: Mapping[int, float], now_s: float
) -> Iterator[Metric]:
    """All of them, from one snapshot."""
    yield from _engine(snapshot)
    yield from _lease(snapshot)
    yield from _counts(snapshot)
    hosts = shown_hosts(snapshot)
    yield from _hosts(hosts, now_s)
    yield _renewals(hosts, renewed_at_s, now_s)


def shown_hosts(snapshot: Snapshot) -> list[HostView]:
    """This host, the lease's owner, and the first of the others, at most `MOST_HOSTS`."""
    first = (snapshot.host_id, snapshot.lease.owner_id)
    ranked = sorted(snapshot.hosts, key=lambda view: (view.host_id not in first, view.host_id))
    return sorted(ranked[:MOST_HOSTS], key=lambda view: view.host_id)


def _engine(snapshot: Snapshot) -> Iterator[Metric]:
    others = [view for view in snapshot.hosts if view.host_id != snapshot.host_id]
    told = [record.engine_status for view in others if (record := view.sure_record) is not None]
    here = snapshot.engine
    up = here.domain == DomainState.RUNNING or any(one.is_up for one in told)
    healthy = here.health == Health.GOOD or any(one.is_healthy for one in told)
    # Too early to know is not "no": a host that wrote so may be alive (`HostView.undecided`).
    written = [view.record.engine_status for view in others if view.undecided and view.record]
    text = "Whether this host knows the engine to run, here or elsewhere."
    yield gauge("up", text, up if up or not any(one.is_up for one in written) else None)
    text = "Whether this host knows the engine to be healthy, here or elsewhere."
    known = healthy or not any(one.is_healthy for one in written)
    yield gauge("healthy", text, healthy if known else None)
    text = "Hosts whose fresh record says that the engine's VM runs there; two are one too many."
    rows = [(_names(view), 1.0) for view in hosts_that_say_up(snapshot)[:MOST_HOSTS]]
    yield gauges("host_engine_up", text, _HOST, rows)


def _lease(snapshot: Snapshot) -> Iterator[Metric]:
    lease = snapshot.lease
    text = "What the engine's lease is, as this host knows."
    yield one_hot("lease_state", text, "state", LEASE_STATES, lease.state)
    owner = "" if lease.owner_id is None else str(lease.owner_id)
    rows = [((owner,), 1.0)] if owner else []
    yield gauges("lease_owner", "The host that holds or last held it.", ("host_id",), rows)


def _counts(snapshot: Snapshot) -> Iterator[Metric]:
    lives = Counter(view.liveness for view in snapshot.hosts)
    rows = [((liveness.value,), lives[liveness]) for liveness in Liveness]
    yield gauges("hosts", "Hosts by sanlock's word on them.", ("sanlock",), rows)
    able = sum(1 for view in snapshot.hosts if view.is_able)
    text = "Living hosts whose record is fresh and whose score allows them to run the engine."
    yield gauge("hosts_able", text, able)
    damaged = sum(1 for view in snapshot.hosts if view.error)
    yield gauge("hosts_unreadable", "Hosts whose record can't be read or used.", damaged)
    yield gauge("global_maintenance", "Global maintenance.", snapshot.global_maintenance)


def _hosts(hosts: list[HostView], now_s: float) -> Iterator[Metric]:
    text = "Score of each host whose record is fresh."
    rows = [(_names(one), record.score) for one in hosts if (record := one.fresh_record)]
    yield gauges("host_score", text, _HOST, rows)
    text = "Seconds since a new record of the host was last seen."
    ages = [(_names(one), age_s(one.changed_at_s, now_s)) for one in hosts]
    yield gauges("host_record_age_seconds", text, _HOST, ages)
    text = "sanlock's word on each host."
    lives = [
        ((*_names(one), liveness.value), float(one.liveness == liveness))
        for one in hosts
        for liveness in Liveness
    ]
    yield gauges("host_sanlock_state", text, (*_HOST, "state"), lives)


def _renewals(hosts: list[HostView], renewed_at_s: Mapping[int, float], now_s: float) -> Metric:
    text = "Seconds since the host was last seen to have renewed its place in the lockspace."
    rows = [(_names(one), age_s(renewed_at_s.get(one.host_id), now_s)) for one in hosts]
    return gauges("host_renewal_age_seconds", text, _HOST, rows)


def _names(view: HostView) -> tuple[str, str]:
    """A host whose record was never read has no name but its id."""
    return str(view.host_id), view.record.hostname if view.record else ""
