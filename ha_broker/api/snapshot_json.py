# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The broker's values as JSON documents.

`Snapshot` travels from the broker, `Publication` to it. Reading a snapshot ignores keys that
it doesn't know (ages, fields of a newer broker); reading a publication refuses them by name.
"""

from __future__ import annotations

from typing import Any, Optional

from ha_broker.api.json_codec import DataError, from_data, to_data
from ha_broker.api.snapshot import Publication, Snapshot
from metadata import plain_json


def snapshot_to_data(snapshot: Snapshot, now_s: Optional[float] = None) -> dict[str, Any]:
    """JSON-ready data; with `now_s` (monotonic) ages stand beside the stamps."""
    data: dict[str, Any] = to_data(snapshot, now_s)
    return data


def snapshot_from_data(data: object) -> Snapshot:
    """The snapshot that `snapshot_to_data` was given; raises DataError."""
    return from_data(Snapshot, data)


def publication_to_data(publication: Publication) -> dict[str, Any]:
    """JSON-ready data."""
    data: dict[str, Any] = to_data(publication)
    return data


def publication_from_data(data: object) -> Publication:
    """The publication; raises DataError, also for unknown keys."""
    return from_data(Publication, data, refuse_unknown=True)


def parse_json(text: bytes) -> object:
    """As `plain_json.parse_json`; raises DataError."""
    try:
        return plain_json.parse_json(text)
    except plain_json.PlainJsonError as error:
        raise DataError([f"body: no valid JSON: {error}"]) from None


__all__ = [
    "DataError",
    "parse_json",
    "publication_from_data",
    "publication_to_data",
    "snapshot_from_data",
    "snapshot_to_data",
]
