# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A host's view of the engine as the JSON text that stands in its record.

Existing tools compare and grep this text, so spacing and the order of the keys are fixed:
``{"vm": "up", "health": "good", "detail": "Up"}``; a `reason` follows only when the health
is not good. The record's separator `|` never occurs in it.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from metadata.error_words import shown
from metadata.plain_json import PlainJsonError, parse_json
from metadata.plain_text import ascii_text, printable_text
from metadata.records import EngineStatus, EngineVm, Health

# Older hosts of format version 1 said so of a VM whose lease another host holds; later ones
# say "down".
_FORMER_WORDS = {"already_locked": EngineVm.DOWN.value}


NOT_HERE = "vm not running on this host"
UNHEALTHY = "failed liveliness check"
"""Reasons that other programs know."""


class StatusError(ValueError):
    """A text that is no engine status; the message says what is wrong and what is allowed."""


# What a host says of the engine stays the same for hours, record after record: hence the caches.


@lru_cache(maxsize=64)
def plain_status(status: EngineStatus, limit: int) -> EngineStatus:
    """`status` with its texts ready for writing: ASCII, at most `limit` characters each."""
    reason = "" if status.health is Health.GOOD else status.reason
    return EngineStatus(
        vm=status.vm,
        health=status.health,
        detail=ascii_text(status.detail, limit, "|", "/"),
        reason=ascii_text(reason, limit, "|", "/"),
    )


@lru_cache(maxsize=64)
def status_to_json(status: EngineStatus) -> str:
    """The JSON text of a status."""
    document = {
        "vm": status.vm.value,
        "health": status.health.value,
        "detail": status.detail,
    }
    if status.reason and status.health is not Health.GOOD:
        document["reason"] = status.reason
    return json.dumps(document)


@lru_cache(maxsize=64)
def status_from_json(text: str, lenient: bool = False) -> EngineStatus:
    """Read a status; raises StatusError. Unknown keys are left aside.

    ``null`` is what other agents write before their first look at the engine: unknown. What the
    agents before those wrote that write JSON is read, too (`metadata.former_writers`).
    `lenient`: the writer is newer and may know more words for `vm` and `health` than this
    program, to which they say "unknown".
    """
    document = _document(text)
    if document is None:
        return EngineStatus()
    if not isinstance(document, dict):
        raise StatusError(f"{shown(text)} is refused; allowed: a JSON object")
    return EngineStatus(
        vm=EngineVm(_word(document, "vm", [word.value for word in EngineVm], lenient)),
        health=Health(_word(document, "health", [word.value for word in Health], lenient)),
        detail=_text(document, "detail"),
        reason=_text(document, "reason") if "reason" in document else "",
    )


def _document(text: str) -> Any:
    # The status command only writes, and monitoring calls it all the time.
    from metadata.former_writers import is_not_looked_yet, status_document  # noqa: PLC0415

    if is_not_looked_yet(text):
        return None
    former = status_document(text)
    if former is not None:
        return former
    try:
        return parse_json(text)
    except PlainJsonError as error:
        raise StatusError(f"{shown(text)} is refused; allowed: JSON") from error


def _word(document: dict[str, Any], key: str, words: list[str], lenient: bool) -> str:
    value = document.get(key)
    if isinstance(value, str):
        word = _FORMER_WORDS.get(value, value)
        if word in words:
            return word
        if lenient:
            return "unknown"
    raise StatusError(f"{key}: {shown(value)} is refused; allowed: {', '.join(words)}")


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise StatusError(f"{key}: {shown(value)} is refused; allowed: a text")
    return printable_text(value)
