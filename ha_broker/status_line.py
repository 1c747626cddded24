# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The service's status in one line, as ``systemctl status`` shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ha_broker.api.snapshot import HostView, LeaseState, Snapshot

_MOST_ERRORS = 3


def host_errors(views: Iterable[HostView]) -> tuple[str, ...]:
    """What is wrong with slots, as far as the line has room for it."""
    return tuple([view.error for view in views if view.error][:_MOST_ERRORS])


def status_line(snapshot: Snapshot, errors: Sequence[str]) -> str:
    """Facts without ages, so that the line changes only when something changed; `errors` are the
    `host_errors`."""
    parts = [
        f"host {snapshot.host_id} ({snapshot.host_name})",
        f"lockspace {_trouble(snapshot.lockspace.membership.value, snapshot.lockspace.error)}",
        f"lease {_lease(snapshot)}",
        f"engine {snapshot.engine.domain.value} here, health {snapshot.engine.health.value}",
        f"storage {_storage(snapshot)}",
        f"{len(snapshot.hosts)} hosts in use",
    ]
    if snapshot.global_maintenance:
        parts.append("global maintenance")
    if snapshot.local_maintenance:
        parts.append("local maintenance")
    if snapshot.metrics_error:
        parts.append(f"metrics: {snapshot.metrics_error}")
    return "; ".join([*parts, *errors])


def _lease(snapshot: Snapshot) -> str:
    if snapshot.lease.state == LeaseState.HELD:
        return f"held by host {snapshot.lease.owner_id}"
    return snapshot.lease.state


def _storage(snapshot: Snapshot) -> str:
    if snapshot.storage.last_read_at_s is None and not snapshot.storage.error:
        return "not read yet"
    return _trouble("ok", snapshot.storage.error or snapshot.config.error)


def _trouble(good: str, error: str) -> str:
    return f"{good} ({error})" if error and good != "ok" else error or good
