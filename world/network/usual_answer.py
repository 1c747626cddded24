# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The head of an HTTP answer as nearly all servers write it: one that needs no library.

`http.client` brings e-mail and TLS along, some megabytes, and makes a message of each head. What
is read here is what it would have read of the same bytes; everything else is left to it.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

# A status with a body; names and values of printable ASCII, no line that goes on in the next one.
_HEAD = re.compile(
    rb"HTTP/1\.[01] ([2-5][0-9]{2})(?: [ -~]*)?\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ \t]*(?:[!-~](?:[ -~]*[!-~])?)?\r\n){0,90})\r\n"
)
_WITHOUT_BODY = (b"204", b"304")
_LENGTH = re.compile(r"[0-9]{1,9}")


class UsualHead(NamedTuple):
    """What counts of a head of `size` bytes; `length` of the body, None: until the end."""

    status: int
    location: str
    length: Optional[int]
    size: int


def usual_head(come: bytes) -> Optional[UsualHead]:
    """The head that `come` begins with; None: not all of it is there, or it is another one."""
    found = _HEAD.match(come)
    if found is None or found[1] in _WITHOUT_BODY:
        return None
    pairs = [line.partition(":") for line in found[2].decode("ascii").split("\r\n") if line]
    headers = {name.lower(): value.strip(" \t") for name, _, value in pairs}
    if len(headers) < len(pairs) or "transfer-encoding" in headers:
        return None
    length = headers.get("content-length")
    if length is not None and not _LENGTH.fullmatch(length):
        return None
    size = None if length is None else int(length)
    return UsualHead(int(found[1]), headers.get("location", ""), size, found.end())
