# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The least that Python itself takes for the same work: no checks, no names, no order of anything.

Nothing here is fit for use. It is what a rewrite without any rule but speed would still pay.
"""

from __future__ import annotations

import json
import socket
import zlib
from typing import Any, Callable

from fsm.observation import Peer
from metadata.layout import SLOT_SIZE
from metadata.records import HostRecord
from metadata.wire import RECORD_SIZE

Record = dict[str, Any]


def decode_first(data: bytes, statuses: dict[bytes, object]) -> Record:
    """Split, add up, make numbers and a dictionary; an engine's status is looked up."""
    head = data[: data.index(0)]
    fields = head.split(b"|")
    zlib.crc32(head)
    text = data[RECORD_SIZE : data.index(0, RECORD_SIZE)].decode()
    return {
        "timestamp": int(fields[2]),
        "score": int(fields[4]),
        "status": statuses[fields[5]],
        "hostname": fields[6].decode(),
        "lines": dict([line.split("=", 1) for line in text.splitlines()]),
    }


def decode_same(data: bytes, former: bytes, record: HostRecord) -> HostRecord:
    """Compare all but the timestamps, and copy the former record."""
    start = data.index(b"|", 4) + 1
    if data[start:RECORD_SIZE] == former[start:RECORD_SIZE]:
        zlib.crc32(data[:RECORD_SIZE])
    fresh = object.__new__(HostRecord)
    values = fresh.__dict__
    values.update(record.__dict__)
    values["timestamp_s"] = int(data[4 : start - 1])
    values["text"] = data[RECORD_SIZE : data.index(0, RECORD_SIZE)].decode()
    return fresh


def decode_unchanged(slot: int, data: bytes, known: dict[int, tuple[bytes, HostRecord]]) -> object:
    """Look up and compare."""
    former, record = known[slot]
    return record if former == data else None


def broker_tick(
    read: Callable[[], bytes], known: dict[int, tuple[bytes, HostRecord]]
) -> tuple[HostRecord, ...]:
    """Read all slots at once, decode those that changed, make one picture of all."""
    data = read()
    found = []
    for slot, (former, record) in known.items():
        start = (slot - 1) * SLOT_SIZE
        piece = data[start : start + SLOT_SIZE]
        found.append(record if piece == former else decode_same(piece, former, record))
    return tuple(found)


def agent_tick_quiet(scores: list[int]) -> int:
    """The best of all, once."""
    return max(scores)


def agent_tick(records: list[HostRecord]) -> int:
    """Make a peer of each, and find the best."""
    peers = [Peer(one.host_id, one.hostname, fresh=True, score=one.score) for one in records]
    return max([peer.score for peer in peers])


def exchange(pair: tuple[socket.socket, socket.socket], data: object) -> object:
    """JSON over a pair of sockets, from one end to the other."""
    text = json.dumps(data).encode()
    here, there = pair
    here.sendall(b"GET\n")
    there.recv(16)
    sent = 0
    pieces = []
    while sent < len(text):
        sent += there.send(text[sent : sent + 65536])
        pieces.append(here.recv(65536))
    return json.loads(b"".join(pieces))


def status_json(answer: bytes) -> str:
    """Read the broker's JSON and write the command's."""
    hosts = json.loads(answer)["hosts"]
    return json.dumps({str(host["host_id"]): host["record"] for host in hosts})


def status_text(answer: bytes) -> str:
    """Read the broker's JSON and write a line for each value."""
    hosts = json.loads(answer)["hosts"]
    return "\n".join(f"{key:<35}: {value}" for host in hosts for key, value in host.items())


def scrape(samples: list[tuple[str, float]]) -> bytes:
    """Each name with its number, joined."""
    return "".join([f"{name} {number!r}\n" for name, number in samples]).encode()
