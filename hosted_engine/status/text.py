# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The text form of ``--vm-status``: labels padded to 35 columns, one block per host. Pure."""

from __future__ import annotations

from ha_broker.api.snapshot import HostView
from hosted_engine.cluster.cluster_status import (
    UNDECIDED,
    UNKNOWN_NAME,
    ClusterStatus,
    engine_status,
    is_undecided,
    shown_name,
)
from metadata.engine_status import status_to_json
from metadata.records import HostRecord

BANNER = "!! Cluster is in GLOBAL MAINTENANCE mode !!"
STALE_TEXT = "unknown stale-data"
_LABEL_WIDTH = 35


def status_text(status: ClusterStatus) -> str:
    """The whole picture, ending with a newline."""
    banner = [BANNER] if status.global_maintenance else []
    notes = [f"!! {note}" for note in status.notes]
    hosts = sorted(status.hosts, key=lambda host: host.host_id)
    blocks = [_block(host) for host in hosts] or ["No host has written its status yet."]
    return "\n\n".join([*banner, *notes, *blocks, *banner]) + "\n"


def _block(host: HostView) -> str:
    heading = f"--== Host {shown_name(host)} (id: {host.host_id}) status ==--\n"
    lines = (
        _record_lines(host, host.record)
        if host.record
        else [
            _line("Host ID", host.host_id),
            _line("Engine status", STALE_TEXT),
            _line("Hostname", UNKNOWN_NAME),
            _line("Status up-to-date", False),
            *_problem_lines(host),
        ]
    )
    return "\n".join([heading, *lines])


def _record_lines(host: HostView, record: HostRecord) -> list[str]:
    shown = host.is_current or is_undecided(host)
    return [
        _line("Host ID", host.host_id),
        _line("Host timestamp", record.timestamp_s),
        _line("Score", record.score),
        _line("Engine status", (status_to_json(engine_status(host)) if shown else STALE_TEXT)),
        _line("Hostname", record.hostname),
        _line("Local maintenance", record.maintenance),
        _line("stopped", record.stopped),
        _line("crc32", record.crc32),
        _line("conf_on_shared_storage", record.conf_on_shared_storage),
        _line("local_conf_timestamp", record.vm_conf_refresh_s),
        _line("Status up-to-date", UNDECIDED if is_undecided(host) else host.is_current),
        *_problem_lines(host),
        "Extra metadata (valid at timestamp):",
        *[f"\t{line}" for line in record.text.splitlines()],
    ]


def _problem_lines(host: HostView) -> list[str]:
    return [_line("Problem", host.error)] if host.error else []


def _line(label: str, value: object) -> str:
    return f"{label:<{_LABEL_WIDTH}}: {value}"
