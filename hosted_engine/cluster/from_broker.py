# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``--vm-status`` of a deployed host: what the broker knows, from its memory."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Optional

from ha_broker.api.client import BrokerClient, BrokerDeniedError, BrokerError
from ha_broker.api.own_host import own_host
from ha_broker.api.snapshot import HostView, Snapshot, way_out_of_two
from hosted_engine.cluster.cluster_status import ClusterStatus
from hosted_engine.errors import CommandError
from metadata.start_notes import started_from_in, started_from_text

BUSY_AFTER_S = 5.0
OLD_AFTER_S = 120.0
"""Knowledge this old is pointed out even when nothing says why (the longest tick is 60 s)."""


def read_from_broker(timeout_s: float) -> ClusterStatus:
    """Ask the broker; raises CommandError that says what to do when it does not answer."""
    client = BrokerClient(timeout_s=timeout_s)
    try:
        return cluster_status(client.status(), time.monotonic())
    except BrokerError as error:
        raise CommandError(unanswered(error)) from error
    finally:
        client.close()


def unanswered(error: BrokerError) -> str:
    """One line about a broker that does not answer, with what to do."""
    if isinstance(error, BrokerDeniedError):
        return str(error)
    return (
        f"{error}; see 'systemctl status ha-broker', or read the storage without it: "
        "hosted-engine --vm-status --metadata PATH"
    )


def cluster_status(snapshot: Snapshot, now_s: float) -> ClusterStatus:
    """The picture in a snapshot; `now_s` is this machine's monotonic time."""
    return ClusterStatus(
        tuple(view for view in _views(snapshot) if view.record or view.error),
        snapshot.global_maintenance,
        _notes(snapshot, now_s),
        snapshot.lease.state,
        snapshot.lease.holder_id,
        now_s,
    )


def _views(snapshot: Snapshot) -> tuple[HostView, ...]:
    """Before the storage was read no host is known: then this one says why, for scripts too."""
    if snapshot.storage.last_read_at_s is not None:
        return tuple(
            own_host(snapshot, view) if view.host_id == snapshot.host_id else view
            for view in snapshot.hosts
        )
    others = tuple(view for view in snapshot.hosts if view.host_id != snapshot.host_id)
    own = snapshot.own or HostView(snapshot.host_id)
    return (replace(own, error=own.error or _not_read_yet(snapshot)), *others)


def _not_read_yet(snapshot: Snapshot) -> str:
    error = snapshot.storage.error
    return "The shared storage has not been read yet" + (f" ({error})" if error else "")


def _notes(snapshot: Snapshot, now_s: float) -> tuple[str, ...]:
    notes = [way_out_of_two(snapshot), _storage_note(snapshot, now_s), _global_note(snapshot)]
    return (*(note for note in notes if note), *_older_starts(snapshot))


def _older_starts(snapshot: Snapshot) -> tuple[str, ...]:
    """Each VM that runs with another domain XML than the one in use."""
    found = [(view.name, view.fresh_record) for view in _views(snapshot)]
    versions = [(name, started_from_in(record.notes)) for name, record in found if record]
    in_use = snapshot.config.sequence
    return tuple(started_from_text(name, one, in_use) for name, one in versions if one is not None)


def _global_note(snapshot: Snapshot) -> Optional[str]:
    """What is wrong with slot 0, and what the hosts take for true meanwhile."""
    if not snapshot.global_error:
        return None
    if snapshot.global_maintenance is None:
        return f"Global maintenance is not known: {snapshot.global_error}"
    last = "on" if snapshot.global_maintenance else "off"
    return f"Global maintenance was {last} when it could last be read: {snapshot.global_error}"


def _storage_note(snapshot: Snapshot, now_s: float) -> Optional[str]:
    storage = snapshot.storage
    if storage.last_read_at_s is None:
        return _not_read_yet(snapshot)
    because = f" ({storage.error})" if storage.error else ""
    age_s = now_s - storage.last_read_at_s
    silent_s = 0.0 if storage.busy_since_s is None else now_s - storage.busy_since_s
    if not storage.error and silent_s < BUSY_AFTER_S and age_s < OLD_AFTER_S:
        return None
    return f"The shared storage was last read {age_s:.0f} s ago; this was known then" + because
