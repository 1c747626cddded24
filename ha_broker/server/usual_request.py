# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The head of a request as our own client writes it (`ha_broker.api.http_connection`).

The agent asks all day, and the command is asked by monitoring, so this one form is read here, byte
for byte; whoever writes another one is read by `http.server`, which is loaded for that.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

_HEAD = re.compile(
    rb"(GET|PUT) (/[!-.0-~][!-~]{0,1000}) HTTP/1\.1\r\n"
    rb"Host: localhost\r\nAccept-Encoding: identity\r\n"
    rb"(?:Content-Type: application/json\r\nContent-Length: (0|[1-9][0-9]{0,8})\r\n)?\r\n"
)


class UsualRequest(NamedTuple):
    """What is asked for; the head has `head_size` bytes, and a body of `body_size` follows it."""

    method: str
    target: str
    head_size: int
    body_size: int


def usual_request(come: bytes) -> Optional[UsualRequest]:
    """The request that `come` begins with; None: not all of its head is there, or it is another."""
    found = _HEAD.match(come)
    if found is None:
        return None
    method, target, size = found.groups(b"0")
    return UsualRequest(method.decode("ascii"), target.decode("ascii"), found.end(), int(size))
