"""Decodes slots that are looked at again and again: what stays the same is worked out once.

A host rewrites its slot in each tick, and mostly only the time in it is new. What a slot says
follows from its bytes alone, so what is kept here never gets old: it is told from the bytes that
stand there now, all 4096 of them compared in each look. Nothing here knows when a look was.
"""

from __future__ import annotations

import zlib
from collections.abc import Container
from typing import Optional

from metadata.extra_text import wall_time_in
from metadata.former_writers import NO_CRC
from metadata.layout import SLOT_SIZE
from metadata.records import DecodedSlot, HostRecord, rewritten_record
from metadata.wire import RECORD_SIZE, decode_slot

_TIMESTAMP_LINE = b"\ntimestamp="
_CRC_SIZE = 8


class SlotDecoder:
    """`decode_slot` for the same slots again and again; for one thread.

    `_kept`, the latest bytes of each slot with what they say, holds for these very bytes. Other
    bytes are the same record rewritten when they differ in the timestamp, the checksum that follows
    from it, and the time in the text, and in nothing else; then all else is taken over, and values
    that are equal are the same objects.
    """

    def __init__(self) -> None:
        self._kept: dict[int, tuple[bytes, DecodedSlot]] = {}

    def decode(self, host_id: int, data: bytes) -> DecodedSlot:
        """As `metadata.wire.decode_slot`; the very same value for the same bytes."""
        kept = self._kept.get(host_id)
        if kept is None:
            decoded = decode_slot(host_id, data)
        elif kept[0] == data:
            return kept[1]
        else:
            decoded = _rewritten(*kept, data) or decode_slot(host_id, data)
        self._kept[host_id] = data, decoded
        return decoded

    def forget_all_but(self, ids: Container[int]) -> None:
        """Nobody looks at the other slots any more."""
        for host_id in [one for one in self._kept if one not in ids]:
            del self._kept[host_id]


def _rewritten(old: bytes, before: DecodedSlot, data: bytes) -> Optional[HostRecord]:
    """The record in `data`, where only the time differs from that in `old`; None: more does.

    The three places are searched for in `data`. `old` has them at the same bytes where all others
    are equal and what stands in these has no separator either.
    """
    if len(data) != SLOT_SIZE or not isinstance(before, HostRecord) or not data.isascii():
        return None
    at = data.find(b"|", data.find(b"|") + 1) + 1
    at_end = data.find(b"|", at)
    # The checksum is followed by two fields; where newer ones follow them it is not found.
    record_end = len(data[:RECORD_SIZE].rstrip(b"\0"))
    crc_end = data.rfind(b"|", 0, data.rfind(b"|", 0, record_end))
    crc = crc_end - _CRC_SIZE
    line = data.find(_TIMESTAMP_LINE, RECORD_SIZE) + len(_TIMESTAMP_LINE)
    line_end = data.find(b"\n", line)
    alike = (
        at < at_end < crc < record_end < line < line_end
        and data[line_end:] == old[line_end:]
        and data[crc_end:line] == old[crc_end:line]
        and data[at_end:crc] == old[at_end:crc]
        and data[:at] == old[:at]
    )
    if not alike or not _is_the_only_line(data, line, line_end):
        return None
    # No separator stands within the places in `old`, and its text goes on behind them.
    if not (
        old[at:at_end].isdigit()
        and old[crc:crc_end].isalnum()
        and old[line:line_end].isascii()
        and old.find(b"\n", line) == line_end
        and len(before.text) > line_end - RECORD_SIZE
    ):
        return None
    timestamp, moment = data[at:at_end], data[line:line_end].decode("ascii")
    covered = data[:crc] + NO_CRC + data[crc_end:record_end]
    if not timestamp.isdigit() or not moment.isprintable():
        return None
    if data[crc:crc_end] != b"%08x" % zlib.crc32(covered):
        return None
    return rewritten_record(
        before,
        timestamp_s=int(timestamp),
        crc32=data[crc:crc_end].decode("ascii"),
        wall_time=wall_time_in(moment),
        text=before.text[: line - RECORD_SIZE] + moment + before.text[line_end - RECORD_SIZE :],
    )


def _is_the_only_line(data: bytes, line: int, line_end: int) -> bool:
    """Is the text's line of the time before its end, and the only one of its key? (The last one
    counts.)"""
    text_end = data.find(b"\0", RECORD_SIZE)
    return (
        (text_end < 0 or line_end < text_end)
        and data.find(_TIMESTAMP_LINE, line_end) < 0
        and not data.startswith(_TIMESTAMP_LINE[1:], RECORD_SIZE)
    )
