# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The two files in the state directory: what was told, and what waits to be delivered.

The queue is written before the memory: a crash between the two tells something twice rather than
never. Whatever can't be read is told in the log and begun anew.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Optional

from ha_broker.api.json_codec import DataError, from_data, to_data
from ha_broker.events.persistence import EventMemory, memory_from_data, memory_to_data
from ha_broker.notifications.daily_limit import DailyCount
from ha_broker.notifications.queue import Queue, queue_from_lines
from metadata.error_words import reason
from metadata.plain_json import PlainJsonError, parse_json
from metadata.value_class import value_class
from world.durable import replace_file
from world.regular_file import open_regular

MEMORY_FILE = "told.json"
QUEUE_FILE = "notifications.jsonl"
MOST_BYTES = 64 << 20
# The queue names webhooks by their whole addresses, which are secrets.
_FILE_MODE = 0o600

log = logging.getLogger(__name__)


@value_class(frozen=True)
class _Day:
    """A day's count in the file; its age counts on where a process ended."""

    age_s: Optional[float] = None
    told: int = 0
    dropped: int = 0


@value_class(frozen=True)
class KeptNotifications:
    """What a process finds of the one before it."""

    memory: EventMemory = field(default_factory=EventMemory)
    day: DailyCount = field(default_factory=DailyCount)
    queue: Queue = field(default_factory=Queue)


def memory_text(memory: EventMemory, day: DailyCount, now_s: float) -> str:
    """The content of the memory's file."""
    age_s = None if day.began_at_s is None else now_s - day.began_at_s
    data = {
        "events": memory_to_data(memory, now_s),
        "day": to_data(_Day(age_s, day.told, day.dropped)),
    }
    return json.dumps(data) + "\n"


def write_files(directory: str, contents: Mapping[str, str]) -> None:
    """Replace each of these files durably, in this order; raises OSError."""
    place = Path(directory)
    place.mkdir(mode=0o755, parents=True, exist_ok=True)
    for name, text in contents.items():
        replace_file(place / name, text.encode(), mode=_FILE_MODE, only_writer=True)


def read_files(directory: str, now_s: float) -> KeptNotifications:
    """What stands there; never fails."""
    memory, day = _read_memory(Path(directory) / MEMORY_FILE, now_s)
    return KeptNotifications(memory, day, _read_queue(Path(directory) / QUEUE_FILE, now_s))


def _read_memory(path: Path, now_s: float) -> tuple[EventMemory, DailyCount]:
    text = _read(path)
    if text is None:
        return EventMemory(), DailyCount()
    try:
        data: Any = parse_json(text)
        day = from_data(_Day, data["day"])
        began_at_s = None if day.age_s is None else now_s - day.age_s
        memory = memory_from_data(data["events"], now_s)
        return memory, DailyCount(began_at_s, day.told, day.dropped)
    except (DataError, PlainJsonError, KeyError, TypeError) as error:
        log.error("%s is damaged and begun anew: %s", path, error)
        return EventMemory(), DailyCount()


def _read_queue(path: Path, now_s: float) -> Queue:
    queue, problems = queue_from_lines(_read(path) or "", now_s)
    for problem in problems[:3]:
        log.error("%s: left out: %s", path, problem)
    return queue


def _read(path: Path) -> Optional[str]:
    try:
        with open_regular(path) as file:
            content = file.read(MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        log.error("%s can't be read: %s", path, reason(error))
        return None
    return content.decode("utf-8", "replace")
