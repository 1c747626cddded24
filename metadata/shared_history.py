# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The shared configuration's earlier versions, kept beside it in one text.

The text stands in the configuration's own document, where readers that do not know it pass
over it: base64 of zlib of JSON. Reading a configuration never looks into it, so that a damaged
history harms nothing else. It is bounded: the newest versions stay, the oldest go first.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Optional

from metadata.error_words import shown
from metadata.plain_json import is_number, parse_json_without
from metadata.plain_text import printable_text
from metadata.value_class import value_class

MOST_VERSIONS = 20
"""With the one in use: that many can be had back, itself included."""

MOST_BYTES = 128 * 1024
MOST_UNPACKED_BYTES = 2 * 1024 * 1024
"""As a document: plain data in memory takes many times that."""

_MOST_WHAT = 1000


@value_class(frozen=True)
class ChangeNote:
    """Who made a version, where, when (wall clock, for people) and what was changed."""

    user: str
    host: str
    at_wall_s: float
    what: str


@value_class(frozen=True)
class OldVersion:
    """An earlier version as it stood on the storage; `note` is None where nobody wrote one."""

    sequence: int
    settings: Mapping[str, Any]
    domain_xml: str
    note: Optional[ChangeNote] = None


@value_class(frozen=True)
class ConfigHistory:
    """`note` tells of the version in use, `versions` are the earlier ones, the newest first.

    `damage` says what could not be read; what could is there all the same.
    """

    note: Optional[ChangeNote] = None
    versions: tuple[OldVersion, ...] = ()
    damage: str = ""


def encode_history(history: ConfigHistory, most_bytes: int = MOST_BYTES) -> str:
    """A text of at most `most_bytes`, with as many versions as fit; empty: not even the note."""
    versions = history.versions[: MOST_VERSIONS - 1]
    limit = min(most_bytes, MOST_BYTES)
    while True:
        document = _document(history.note, versions)
        text = _packed(document)
        if len(text) <= limit and len(document) <= MOST_UNPACKED_BYTES:
            return text
        if not versions:
            return ""
        versions = versions[:-1]


def decode_history(text: str) -> ConfigHistory:
    """What the text holds. Never raises, whatever the text."""
    if not text:
        return ConfigHistory()
    try:
        document = parse_json_without(_unpacked(text))
    except (ValueError, zlib.error, binascii.Error) as error:
        return ConfigHistory(damage=f"it can't be unpacked: {shown(str(error))}")
    if not isinstance(document, dict) or not isinstance(document.get("versions"), list):
        return ConfigHistory(damage="it has no list of versions")
    read = [_read_version(entry) for entry in document["versions"]]
    versions = tuple(version for version in read if version is not None)
    lost = len(read) - len(versions)
    damage = f"{lost} of its {len(read)} versions can't be read" if lost else ""
    return ConfigHistory(_read_note(document.get("note")), versions, damage)


def shortened(what: str) -> str:
    """A description that fits into a note."""
    return what if len(what) <= _MOST_WHAT else f"{what[: _MOST_WHAT - 3]}..."


def _document(note: Optional[ChangeNote], versions: tuple[OldVersion, ...]) -> bytes:
    document = {
        "note": note and asdict(note),
        "versions": [{**vars(version), "note": _plain_note(version)} for version in versions],
    }
    return json.dumps(document).encode("ascii")


def _packed(document: bytes) -> str:
    return base64.b64encode(zlib.compress(document, 9)).decode("ascii")


def _plain_note(version: OldVersion) -> Optional[dict[str, Any]]:
    return None if version.note is None else asdict(version.note)


def _unpacked(text: str) -> bytes:
    if len(text) > MOST_BYTES:
        raise ValueError(f"it has {len(text)} bytes, more than {MOST_BYTES}")
    data = base64.b64decode(text, validate=True)
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(data, MOST_UNPACKED_BYTES)
    if not unpacker.eof:
        raise ValueError("it is cut off or too large")
    return unpacked


def _read_version(data: Any) -> Optional[OldVersion]:
    if not isinstance(data, dict):
        return None
    sequence, settings, xml = (data.get(key) for key in ("sequence", "settings", "domain_xml"))
    if type(sequence) is not int or not isinstance(settings, dict) or not isinstance(xml, str):
        return None
    return OldVersion(sequence, settings, xml, _read_note(data.get("note")))


def _read_note(data: Any) -> Optional[ChangeNote]:
    if not isinstance(data, dict):
        return None
    user, host, what = (data.get(key) for key in ("user", "host", "what"))
    at_wall_s = data.get("at_wall_s")
    texts = isinstance(user, str) and isinstance(host, str) and isinstance(what, str)
    if not texts or not is_number(at_wall_s):
        return None
    names = [printable_text(str(word)) for word in (user, host, what)]
    return ChangeNote(names[0], names[1], float(at_wall_s), names[2])  # type: ignore[arg-type]
