# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Metadata, format version 1: records to bytes and back, byte for byte as existing tools read it.

A host's slot has 4096 bytes. Bytes 0 to 511, padded with NUL::

    parse_version|feature_version|timestamp|host_id|score|engine_status|hostname|
    maintenance|stopped|crc32|conf_on_shared_storage|vm_conf_refresh_time[|newer fields ...]

The CRC32 (%08x) covers this record with ``00000000`` in its own place, without the padding.
Bytes 512 on are text for people (`metadata.extra_text`), not covered by the CRC. A slot whose
first byte is NUL was never written. Slot 0 holds ``maintenance=1`` or ``maintenance=0``.

What earlier agents of this version wrote otherwise is read as they meant it
(`metadata.former_writers`); nothing of it is ever written.

Decoding never raises, whatever the bytes: what can't be used is a value that says which slot
and why. Encoding never raises for what a field contains: it is made plain and shortened.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import replace
from functools import lru_cache
from typing import Any, Callable, Optional

from metadata import extra_text, former_writers
from metadata.engine_status import (
    StatusError,
    plain_status,
    status_from_json,
    status_to_json,
)
from metadata.error_words import shown
from metadata.extra_text import PARSE_VERSION
from metadata.layout import SLOT_SIZE
from metadata.plain_text import ascii_text, printable_text
from metadata.records import (
    DecodedGlobal,
    DecodedSlot,
    EngineStatus,
    GlobalRecord,
    HostRecord,
    SlotAbsent,
    SlotDamaged,
    SlotTooNew,
    made_record,
)
from metadata.value_class import replaced

FEATURE_VERSION = 1
RECORD_SIZE = 512
TEXT_SIZE = SLOT_SIZE - RECORD_SIZE

_FIELDS = (
    "parse_version",
    "feature_version",
    "timestamp",
    "host_id",
    "score",
    "engine_status",
    "hostname",
    "maintenance",
    "stopped",
    "crc32",
    "conf_on_shared_storage",
    "vm_conf_refresh_time",
)
_INTEGER = re.compile(r"-?[0-9]{1,19}")
# A record of this version with everything in its place; the checksum is compared apart.
_USUAL_RECORD = re.compile(
    r"1\|(-?[0-9]{1,19})\|(-?[0-9]{1,19})\|(-?[0-9]{1,19})\|(-?[0-9]{1,19})\|([^|]*)\|([^|]*)"
    r"\|(-?[0-9]{1,19})\|(-?[0-9]{1,19})\|([0-9a-f]{8})\|(-?[0-9]{1,19})\|(-?[0-9]{1,19})"
)
_CRC_GROUP = 9
_PADDING = bytes(RECORD_SIZE)
_LARGEST = 10**18
_Shorten = Callable[[HostRecord, int], HostRecord]


def encode_host(record: HostRecord) -> bytes:
    """A host's slot, 4096 ASCII bytes; `record.crc32` and `record.text` are made anew.

    What does not fit is shortened, the least important first: reason, detail, host name,
    then newer fields; in the text the notes from the end.
    """
    plain = _fitting(_plain(record))
    head = _record_bytes(plain)
    body = extra_text.encode_text(plain, TEXT_SIZE)
    return head.ljust(RECORD_SIZE, b"\0") + body.ljust(TEXT_SIZE, b"\0")


def decode_slot(host_id: int, data: bytes) -> DecodedSlot:
    """What the slot of `host_id` says (`data`: its 4096 bytes); never raises.

    Who looks at the same slots again and again has a `metadata.slot_decoder.SlotDecoder`.
    """
    if len(data) < SLOT_SIZE:
        return SlotDamaged(host_id, f"slot: {len(data)} bytes are there, {SLOT_SIZE} are needed")
    if not data[0]:
        return SlotAbsent(host_id)
    usual = _usual_slot(host_id, data)
    if usual is not None:
        return usual
    head, text = former_writers.split_slot(data[:SLOT_SIZE], RECORD_SIZE)
    return _decode_by_fields(host_id, head, text)


def _decode_by_fields(host_id: int, head: bytes, text: bytes) -> DecodedSlot:
    """What record and text say, one field after the other: whatever is wrong has its name."""
    fields = head.split(b"|")
    try:
        parse_version = _parse_version(fields[0])
        if parse_version > PARSE_VERSION:
            return SlotTooNew(host_id, parse_version)
        if former_writers.lost_its_end(len(fields), text):
            raise _too_short(fields, len(_FIELDS))
        return HostRecord(**_record_values(host_id, fields), **_text_values(text))
    except _FieldError as error:
        return SlotDamaged(host_id, str(error))


def encode_global(record: GlobalRecord) -> bytes:
    """Slot 0, 4096 bytes."""
    return (b"maintenance=%d" % bool(record.maintenance)).ljust(SLOT_SIZE, b"\0")


def decode_global(data: bytes) -> DecodedGlobal:
    """What slot 0 says; never written means "not in maintenance"; never raises."""
    if len(data) < SLOT_SIZE:
        return SlotDamaged(0, f"slot: {len(data)} bytes are there, {SLOT_SIZE} are needed")
    if not data[0]:
        return GlobalRecord(maintenance=False)
    content = data[:SLOT_SIZE].rstrip(b"\0")
    maintenance = former_writers.global_maintenance(content)
    if maintenance is not None:
        return GlobalRecord(maintenance)
    return SlotDamaged(
        0, f"content: {shown(content)} is refused; allowed: maintenance=0 or maintenance=1"
    )


# --- encoding -------------------------------------------------------------------------


def _plain(record: HostRecord) -> HostRecord:
    """`record` with every number, text and newer field as it may stand in the slot."""
    return replaced(
        record,
        host_id=_bounded(record.host_id),
        timestamp_s=_bounded(record.timestamp_s),
        score=_bounded(record.score),
        vm_conf_refresh_s=_bounded(record.vm_conf_refresh_s),
        feature_version=max(FEATURE_VERSION, _bounded(record.feature_version)),
        maintenance=bool(record.maintenance),
        stopped=bool(record.stopped),
        conf_on_shared_storage=bool(record.conf_on_shared_storage),
        engine_status=plain_status(record.engine_status, RECORD_SIZE),
        hostname=_plain_field(record.hostname),
        trailing_fields=tuple(_plain_field(text) for text in record.trailing_fields[:RECORD_SIZE]),
    )


def _bounded(value: int) -> int:
    return max(-_LARGEST, min(int(value), _LARGEST))


@lru_cache(maxsize=64)
def _plain_field(text: str) -> str:
    return ascii_text(text, RECORD_SIZE, "|", "/")


def _record_fields(record: HostRecord) -> list[str]:
    return [
        str(PARSE_VERSION),
        str(record.feature_version),
        str(record.timestamp_s),
        str(record.host_id),
        str(record.score),
        status_to_json(record.engine_status),
        record.hostname,
        str(int(record.maintenance)),
        str(int(record.stopped)),
        former_writers.NO_CRC.decode("ascii"),
        str(int(record.conf_on_shared_storage)),
        str(record.vm_conf_refresh_s),
        *record.trailing_fields,
    ]


def _record_bytes(record: HostRecord) -> bytes:
    fields = [field.encode("ascii") for field in _record_fields(record)]
    fields[former_writers.CRC_FIELD] = former_writers.checksum(fields)
    return b"|".join(fields)


def _fitting(record: HostRecord) -> HostRecord:
    """`record` shortened until it fits: the least important text first."""
    if _surplus(record) <= 0:
        return record
    for shorten in _SHORTEN:
        record = _shortened(record, shorten)
    while _surplus(record) > 0:
        record = replace(record, trailing_fields=record.trailing_fields[:-1])
    return record


def _shortened(record: HostRecord, shorten: _Shorten) -> HostRecord:
    """Cut in steps: a character takes one byte or, escaped in JSON, two."""
    while (surplus := _surplus(record)) > 0:
        shorter = shorten(record, (surplus + 1) // 2)
        if shorter == record:
            break
        record = shorter
    return record


def _surplus(record: HostRecord) -> int:
    """Bytes too many. All of them are ASCII, so characters can be counted."""
    return len("|".join(_record_fields(record))) - RECORD_SIZE


def _cut(text: str, count: int) -> str:
    return text[: max(0, len(text) - count)]


def _shorten_reason(record: HostRecord, count: int) -> HostRecord:
    status = record.engine_status
    return _with_status(record, replace(status, reason=_cut(status.reason, count)))


def _shorten_detail(record: HostRecord, count: int) -> HostRecord:
    status = record.engine_status
    return _with_status(record, replace(status, detail=_cut(status.detail, count)))


def _shorten_hostname(record: HostRecord, count: int) -> HostRecord:
    return replace(record, hostname=_cut(record.hostname, count))


def _with_status(record: HostRecord, status: EngineStatus) -> HostRecord:
    return replace(record, engine_status=status)


_SHORTEN: tuple[_Shorten, ...] = (
    _shorten_reason,
    _shorten_detail,
    _shorten_hostname,
)


# --- decoding -------------------------------------------------------------------------


def _usual_slot(host_id: int, data: bytes) -> Optional[HostRecord]:
    """A slot that is in every way as this program writes it, in one step: nearly all are.

    None: it is not; by its fields it may still hold a record, or what is wrong with it can be told.
    """
    end = data.find(b"\0", 0, RECORD_SIZE)
    if end < 0 or not data.startswith(_PADDING[end:], end):
        return None
    head = data[:end]
    found = _USUAL_RECORD.fullmatch(head.decode("ascii")) if head.isascii() else None
    if found is None:
        return None
    feature, timestamp, own_id, score, status, hostname, maintenance, stopped, crc32, conf, at = (
        found.groups()
    )
    if int(own_id) != host_id or int(crc32, 16) != _crc_without(head, *found.span(_CRC_GROUP)):
        return None
    try:
        text = extra_text.read_bytes(data, RECORD_SIZE)
        feature_version = int(feature)
        engine_status = _status(status, feature_version)
    except (UnicodeDecodeError, _FieldError):
        return None
    state, timeout_wall_time, wall_time, refreshed, notes = extra_text.decode_text(text)
    return made_record(
        {
            "host_id": host_id,
            "timestamp_s": int(timestamp),
            "score": int(score),
            "engine_status": engine_status,
            "hostname": hostname if hostname.isprintable() else printable_text(hostname),
            "maintenance": maintenance != "0" and int(maintenance) > 0,
            "stopped": stopped != "0" and int(stopped) > 0,
            "conf_on_shared_storage": int(conf) > 0,
            "vm_conf_refresh_s": int(at),
            "state": state,
            "timeout_wall_time": timeout_wall_time,
            "wall_time": wall_time,
            "vm_conf_refresh_wall_time": refreshed,
            "notes": notes,
            "trailing_fields": (),
            "feature_version": feature_version,
            "crc32": crc32,
            "text": text,
        }
    )


def _crc_without(head: bytes, start: int, end: int) -> int:
    """The checksum of a record with zeros for the one that stands in it from `start` to `end`."""
    return zlib.crc32(head[:start] + former_writers.NO_CRC + head[end:])


class _FieldError(ValueError):
    """A field that can't be used; never leaves this module."""


def _refused(name: str, value: object, allowed: str) -> _FieldError:
    return _FieldError(f"{name}: {shown(value)} is refused; allowed: {allowed}")


def _parse_version(field: bytes) -> int:
    version = _integer("parse_version", _text("parse_version", field))
    if version < 1:
        raise _refused("parse_version", version, f"1 to {PARSE_VERSION}")
    return version


def _record_values(host_id: int, fields: list[bytes]) -> dict[str, Any]:
    """What the record itself says, by the names of `HostRecord`."""
    texts = _named_texts(fields)
    feature_version = _integer("feature_version", texts["feature_version"])
    values = {
        "feature_version": feature_version,
        "timestamp_s": _integer("timestamp", texts["timestamp"]),
        "host_id": _own_id(texts["host_id"], host_id),
        "score": _integer("score", texts["score"]),
        "engine_status": _status(texts["engine_status"], feature_version),
        "hostname": printable_text(texts["hostname"]),
        "maintenance": _flag("maintenance", texts["maintenance"]),
        "stopped": _flag("stopped", texts["stopped"]),
        "crc32": texts["crc32"],
        "conf_on_shared_storage": _flag("conf_on_shared_storage", texts["conf_on_shared_storage"]),
        "vm_conf_refresh_s": _integer("vm_conf_refresh_time", texts["vm_conf_refresh_time"]),
        "trailing_fields": _trailing(fields),
    }
    _check_crc(fields)
    return values


def _check_crc(fields: list[bytes]) -> None:
    """A record that ends before its checksum is of a writer that had none."""
    if len(fields) <= former_writers.CRC_FIELD or former_writers.has_own_crc(fields):
        return
    found = _text("crc32", fields[former_writers.CRC_FIELD])
    computed = former_writers.checksum(fields).decode("ascii")
    raise _refused("crc32", found, f"{computed}, as the record gives")


def _named_texts(fields: list[bytes]) -> dict[str, str]:
    if len(fields) < former_writers.LEAST_FIELDS:
        raise _too_short(fields, former_writers.LEAST_FIELDS)
    said = {name: _text(name, field) for name, field in zip(_FIELDS, fields)}
    return {**former_writers.ABSENT_FIELDS, **said}


def _too_short(fields: list[bytes], least: int) -> _FieldError:
    allowed = f"{least} fields or more ({len(fields)} are there)"
    return _refused("record", b"|".join(fields), allowed)


def _trailing(fields: list[bytes]) -> tuple[str, ...]:
    names = range(len(_FIELDS) + 1, len(fields) + 1)
    return tuple(
        _text(f"field {name}", field) for name, field in zip(names, fields[len(_FIELDS) :])
    )


def _text(name: str, field: bytes) -> str:
    try:
        return field.decode()
    except UnicodeDecodeError as error:
        raise _refused(name, field, "UTF-8 bytes") from error


def _integer(name: str, text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise _refused(name, text, "an integer of at most 19 digits")
    return int(text)


def _flag(name: str, text: str) -> bool:
    """Written as 0 or 1; every reader of this version takes a larger number for set, too."""
    if not _INTEGER.fullmatch(text):
        raise _refused(name, text, "0 or 1")
    return int(text) > 0


def _own_id(text: str, host_id: int) -> int:
    found = _integer("host_id", text)
    if found != host_id:
        raise _refused("host_id", found, f"{host_id}, the number of its slot")
    return found


def _status(text: str, feature_version: int) -> EngineStatus:
    try:
        return status_from_json(text, feature_version > FEATURE_VERSION)
    except StatusError as error:
        raise _FieldError(f"engine_status: {error}") from error


def _text_values(data: bytes) -> dict[str, Any]:
    """What the text part says beyond the record, by the names of `HostRecord`."""
    try:
        text = extra_text.read_bytes(data)
    except UnicodeDecodeError as error:
        bad = data[error.start : error.start + 1]
        place = SLOT_SIZE - len(data) + error.start
        raise _refused(f"text at byte {place}", bad, "UTF-8 bytes") from error
    extra = extra_text.decode_text(text)
    return {
        "text": text,
        "state": extra.state,
        "timeout_wall_time": extra.timeout_wall_time,
        "wall_time": extra.wall_time,
        "vm_conf_refresh_wall_time": extra.vm_conf_refresh_wall_time,
        "notes": extra.notes,
    }
