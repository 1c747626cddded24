# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The picture of the cluster that ``--vm-status`` shows, and its JSON form. Pure.

**Stale data.** A host is live (`HostView.is_current`) by the broker's word: the record changed
within the alive window and sanlock does not call the host dead. What a host without live data
once said of the engine may not be repeated as if it were so: the web console takes
``engine-status.vm == "up"`` for a running engine, configuration management takes the first
``health == good`` for a healthy one, and shutdown scripts search the text for ``"vm": "up"``, all
without a look at ``live-data``.
So the engine status of such a host keeps its shape (an object with vm, health and detail) and
says unknown in all of them, with the reason "stale-data" (the text form's
``unknown stale-data``). Everything else (score, host-ts, extra ...) is shown as last written,
and ``live-data`` is false.

**Not decided yet** is a host whose record had no time to change since the broker's start, while
sanlock knows nothing of it (after a boot, for up to two ticks of a host that lives). Its engine
status is unknown, too, since it may be dead as well as healthy; its reason says so, and what was
written last.

**Slots that can't be read** are listed under their host id with every key that readers need,
values that claim nothing, and one key more, ``error``. A host whose last good record is still
known keeps it, with the ``error`` of its slot beside it.

**global_maintenance** is null when neither true nor false is known. While slot 0 can't be read
the broker's last word holds, as it does for the agents, and a note says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Optional

from ha_broker.api.snapshot import HostView
from metadata.engine_status import status_to_json
from metadata.plain_json import parse_json
from metadata.records import EngineStatus, HostRecord

STALE = EngineStatus(reason="stale-data")
UNDECIDED = "not decided yet"
UNREADABLE = EngineStatus(reason="unreadable")
UNKNOWN_NAME = "unknown"


@dataclass(frozen=True)
class ClusterStatus:
    """All hosts at monotonic second `now_s`; `global_maintenance` None: not known.

    `notes` are lines for people. A look at a volume alone knows no sanlock, and no ages.

    `lease` is the word of `ha_broker.api.snapshot.LeaseState` for the engine's lease, empty where
    nobody looked; `lease_owner_id` is who holds it, while somebody does.
    """

    hosts: tuple[HostView, ...]
    global_maintenance: Optional[bool]
    notes: tuple[str, ...] = ()
    lease: str = ""
    lease_owner_id: Optional[int] = None
    now_s: float = 0.0

    def age_s(self, host: HostView) -> Optional[float]:
        """How long ago its record changed last; None: not known."""
        return None if host.changed_at_s is None else max(0.0, self.now_s - host.changed_at_s)


def shown_name(host: HostView) -> str:
    """As it calls itself; not its id, which stands beside it."""
    return host.record.hostname if host.record else UNKNOWN_NAME


def engine_status(host: HostView) -> EngineStatus:
    """What may be said of the engine on this host now."""
    if host.record is None:
        return UNREADABLE
    if host.is_current:
        return host.record.engine_status
    return _undecided(host.record.engine_status) if is_undecided(host) else STALE


def is_undecided(host: HostView) -> bool:
    """Is it too early to say whether its record holds?"""
    return host.undecided and host.record is not None and not host.is_current


def _undecided(written: EngineStatus) -> EngineStatus:
    """In words that nobody takes for a running engine: the host may be long dead."""
    last = f"{written.vm.value}, {written.health.value}"
    return EngineStatus(reason=f"{UNDECIDED}; last written: {last}")


def engine_status_data(status: EngineStatus) -> dict[str, str]:
    """The object that readers know: vm, health, detail, and reason only when not good."""
    return dict(_status_items(status))


@lru_cache(maxsize=64)
def _status_items(status: EngineStatus) -> tuple[tuple[str, str], ...]:
    """Most hosts of a cluster say the same of the engine."""
    data: dict[str, str] = parse_json(status_to_json(status))
    return tuple(data.items())


def status_json(status: ClusterStatus) -> str:
    """One line: host ids as keys, sorted as numbers, and last global_maintenance."""
    document: dict[str, Any] = {
        str(host.host_id): host_data(host)
        for host in sorted(status.hosts, key=lambda host: host.host_id)
    }
    document["global_maintenance"] = status.global_maintenance
    return json.dumps(document)


def error_json(message: str) -> str:
    """What ``--json`` prints instead when it fails."""
    return json.dumps({"error": message})


def host_data(host: HostView) -> dict[str, Any]:
    """What readers know of one host, by their keys."""
    data = _record_data(host, host.record) if host.record else _unreadable_data(host)
    data["live-data"] = host.is_current
    if host.error:
        data["error"] = host.error
    return data


def _record_data(host: HostView, record: HostRecord) -> dict[str, Any]:
    return {
        "host-id": host.host_id,
        "host-ts": record.timestamp_s,
        "score": record.score,
        "engine-status": engine_status_data(engine_status(host)),
        "hostname": record.hostname,
        "maintenance": record.maintenance,
        "stopped": record.stopped,
        "crc32": record.crc32,
        "conf_on_shared_storage": record.conf_on_shared_storage,
        "local_conf_timestamp": record.vm_conf_refresh_s,
        "extra": record.text or _least_extra(host),
    }


def _unreadable_data(host: HostView) -> dict[str, Any]:
    return {
        "host-id": host.host_id,
        "host-ts": 0,
        "score": 0,
        "engine-status": engine_status_data(UNREADABLE),
        "hostname": UNKNOWN_NAME,
        "maintenance": False,
        "stopped": False,
        "crc32": "",
        "conf_on_shared_storage": False,
        "local_conf_timestamp": 0,
        "extra": _least_extra(host),
    }


def _least_extra(host: HostView) -> str:
    """Readers split every line at its one '=' and expect a state: never an empty text."""
    state = host.record.state if host.record else UNKNOWN_NAME
    return f"host-id={host.host_id}\nstate={state}\n"
