# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The text part of a host's slot: for people, and for tools that split it at `=`.

One ``key=value`` per line, exactly one `=` in each: nine lines about the record, the state
fields in the order of their names, then further notes. Only `state`, the wall times and the
notes come from here when reading; for everything else the record counts.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

from metadata.plain_text import ascii_text, printable_text
from metadata.records import HostRecord

PARSE_VERSION = 1

# Generous for what they are (a ctime has 24 characters), and small enough that the lines of
# the record and of the state always fit.
_WORD_LIMIT = 64
NOTE_LIMIT = 512
_RESERVED = frozenset(
    {
        "metadata_parse_version",
        "metadata_feature_version",
        "timestamp",
        "host-id",
        "score",
        "vm_conf_refresh_time",
        "conf_on_shared_storage",
        "maintenance",
        "state",
        "stopped",
        "timeout",
    }
)
_PLAIN = b"\n" + bytes(range(0x20, 0x7F))
_WALL_TIME = re.compile(r"[0-9-]+ \((.*)\)")
_MOMENT = r"(?:[0-9-]+ \((.*)\)|.*)"
# The lines of record and state as `encode_text` orders them; notes follow.
_USUAL_LINES = re.compile(
    r"metadata_parse_version=.*\nmetadata_feature_version=.*\n"
    rf"timestamp={_MOMENT}\nhost-id=.*\nscore=.*\nvm_conf_refresh_time={_MOMENT}\n"
    r"conf_on_shared_storage=.*\nmaintenance=.*\nstate=(.*)\nstopped=.*\n(?:timeout=(.*)\n)?"
)


class ExtraText(NamedTuple):
    """What reading the text part gives; empty texts where it says nothing."""

    state: str = ""
    timeout_wall_time: str = ""
    wall_time: str = ""
    vm_conf_refresh_wall_time: str = ""
    notes: tuple[tuple[str, str], ...] = ()


def encode_text(record: HostRecord, size: int) -> bytes:
    """The lines of `record` (its numbers ready for writing) in at most `size` ASCII bytes.

    Notes that don't fit are dropped from the end.
    """
    lines = _record_lines(record) + _state_lines(record)
    room = size - sum(map(len, lines))
    for key, value in record.notes:
        line = _line(_note_key(key), value, NOTE_LIMIT)
        room -= len(line)
        if room < 0:
            break
        lines.append(line)
    return "".join(lines).encode("ascii")


def decode_text(text: str) -> ExtraText:
    """Read the lines; anything unknown becomes a note, nothing raises."""
    return _usual_text(text) or _text_by_lines(text)


def _usual_text(text: str) -> Optional[ExtraText]:
    """A text with everything in its place, in one step; None: it is another one."""
    found = _USUAL_LINES.match(text)
    if found is None:
        return None
    wall_time, refreshed, state, timeout = found.groups("")
    notes = [line.partition("=")[::2] for line in text[found.end() :].split("\n") if line]
    if not _RESERVED.isdisjoint([key for key, _ in notes]):
        return None  # of lines with the same key the last one counts
    return ExtraText(state, timeout, wall_time, refreshed, tuple(notes))


def _text_by_lines(text: str) -> ExtraText:
    known: dict[str, str] = {}
    notes = []
    for line in text.split("\n"):
        key, _, value = line.partition("=")
        if key in _RESERVED:
            known[key] = value
        elif line:
            notes.append((key, value))
    return ExtraText(
        state=known.get("state", ""),
        timeout_wall_time=known.get("timeout", ""),
        wall_time=wall_time_in(known.get("timestamp", "")),
        vm_conf_refresh_wall_time=wall_time_in(known.get("vm_conf_refresh_time", "")),
        notes=tuple(notes),
    )


def read_bytes(data: bytes, start: int = 0) -> str:
    """The text in the bytes from `start`, behind the record; raises UnicodeDecodeError."""
    end = data.find(b"\0", start)
    text = data[start : None if end < 0 else end]
    if is_plain(text):
        return text.decode("ascii")
    return printable_text(text.decode("utf-8"), keep="\n")


def is_plain(text: bytes) -> bool:
    """Are these bytes lines of printable ASCII, as they are written?"""
    return not text.translate(None, _PLAIN)


def _record_lines(record: HostRecord) -> list[str]:
    refreshed = _moment(record.vm_conf_refresh_s, record.vm_conf_refresh_wall_time)
    return [
        f"metadata_parse_version={PARSE_VERSION}\n",
        f"metadata_feature_version={record.feature_version}\n",
        _line("timestamp", _moment(record.timestamp_s, record.wall_time)),
        f"host-id={record.host_id}\n",
        f"score={record.score}\n",
        _line("vm_conf_refresh_time", refreshed),
        f"conf_on_shared_storage={record.conf_on_shared_storage}\n",
    ]


def _state_lines(record: HostRecord) -> list[str]:
    lines = [
        f"maintenance={record.maintenance}\n",
        _line("state", record.state),
        f"stopped={record.stopped}\n",
    ]
    if record.timeout_wall_time:
        lines.append(_line("timeout", record.timeout_wall_time))
    return lines


def _line(key: str, value: str, limit: int = 2 * _WORD_LIMIT) -> str:
    return f"{key}={ascii_text(value, limit, '=', ':')}\n"


def _moment(seconds: int, wall_time: str) -> str:
    return f"{seconds} ({wall_time[:_WORD_LIMIT]})" if wall_time else str(seconds)


def wall_time_in(value: str) -> str:
    """The wall time behind the seconds in a line of the text; empty: none is there."""
    found = _WALL_TIME.fullmatch(value)
    return found.group(1) if found else ""


def _note_key(key: str) -> str:
    """A note must not pass for one of the fixed lines."""
    plain = ascii_text(key, _WORD_LIMIT, "=", ":")
    return f"note_{plain}" if plain in _RESERVED or not plain else plain
