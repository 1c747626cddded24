# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The changes of the history as lines for people and as JSON. Pure."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any, Optional

from ha_broker.api.json_codec import to_data
from ha_broker.api.times import local_time
from hosted_engine.cli.wording import span
from hosted_engine.history.changes import STATE, ToldChange
from hosted_engine.history.timeline import Past
from metadata.plain_text import printable_text

_COLUMNS = ("time", "host", "change", "after", "score", "why")


def moment_text(at_s: float) -> str:
    """Local time, with its date."""
    return time.strftime("%Y-%m-%d %H:%M:%S", local_time(at_s))


def zone_text(at_s: float) -> str:
    """The local time zone, as ``UTC+01:00 (CET)``."""
    local = local_time(at_s)
    name = "" if local.tm_zone == "UTC" else f" ({local.tm_zone})"
    return f"UTC{_offset(local)}{name}"


def iso_text(at_s: float) -> str:
    """ISO 8601 with milliseconds and the local zone."""
    at_s = round(at_s, 3)
    local = local_time(at_s)
    thousandths = round(at_s * 1000) % 1000
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{thousandths:03}{_offset(local)}"


def _offset(local: time.struct_time) -> str:
    minutes = local.tm_gmtoff // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def history_text(changes: Sequence[ToldChange]) -> str:
    """One line each, in columns, with a heading; the oldest first."""
    rows = [_COLUMNS, *(_row(change) for change in changes)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(_COLUMNS) - 1)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths)]
        line = "  ".join([*cells, row[-1]]).rstrip()
        lines.append(f"{printable_text(line)}\n")
    return "".join(lines)


def _row(change: ToldChange) -> tuple[str, ...]:
    lasted = "" if change.lasted_s is None else span(change.lasted_s)
    score = "" if change.score is None else str(change.score)
    what = f"{change.before} => {change.after}" if change.before else change.after
    if change.kind != STATE:
        what = f"{change.kind.replace('-', ' ')}: {what}"
    costs = "; ".join(f"{one.name} -{one.points} ({one.reason})" for one in change.penalties)
    return (
        moment_text(change.at_s),
        change.host or "--",
        what,
        lasted,
        score,
        "; ".join(text for text in (change.why, costs) if text),
    )


def history_json(past: Past, changes: Sequence[ToldChange], damaged: int, left_out: int) -> str:
    """One document; what its keys mean stands in docs/history.md."""
    document = {
        "host_id": past.own_id,
        "host_name": past.own_name,
        "engine": past.engine,
        "from": _stamp(past.from_s, past.own_id),
        "to": _stamp(past.to_s, past.own_id),
        "hosts": {str(host.host_id): host.name for host in past.hosts},
        "changes": [_change_data(change) for change in changes],
        "left_out": left_out,
        "damaged_lines": damaged,
    }
    return json.dumps(document)


def _stamp(at_s: float, own_id: Optional[int]) -> Optional[str]:
    return None if own_id is None else iso_text(at_s)


def _change_data(change: ToldChange) -> dict[str, Any]:
    data: dict[str, Any] = to_data(change)
    at_s = data.pop("at_s")
    return {"time": iso_text(at_s), "at": round(at_s, 3), **data}
