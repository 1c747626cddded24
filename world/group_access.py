# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Letting one more group read and write a file, by the file's list of access (acl(5)).

A process that is not root may give a file of its own to those groups alone that it is in itself.
The list has no such bound. Python has no module for it; the kernel's form is a version and entries
of tag, rights and number, all little-endian (linux/posix_acl_xattr.h).
"""

from __future__ import annotations

import os
import struct
from typing import Optional, Union

_LIST = "system.posix_acl_access"
_HEAD, _VERSION = struct.Struct("<I"), 2
_ENTRY = struct.Struct("<HHI")
_OWNER, _OWN_GROUP, _GROUP, _MOST, _OTHERS = 0x01, 0x04, 0x08, 0x10, 0x20
_NOBODY = 0xFFFFFFFF
_READ_AND_WRITE = 6


def let_group_in(path: str, gid: int) -> None:
    """The owner and the members of the group `gid` may read and write; nobody else may anything.

    Raises OSError: of who is not the owner, and of a file system without such lists.
    """
    entries = (
        (_OWNER, _READ_AND_WRITE, _NOBODY),
        (_OWN_GROUP, 0, _NOBODY),
        (_GROUP, _READ_AND_WRITE, gid),
        (_MOST, _READ_AND_WRITE, _NOBODY),
        (_OTHERS, 0, _NOBODY),
    )
    text = _HEAD.pack(_VERSION) + b"".join(_ENTRY.pack(*entry) for entry in entries)
    os.setxattr(path, _LIST, text, follow_symlinks=False)


def has_list(descriptor: int) -> bool:
    """Has the open file such a list? Its mode does not tell all of who may use it then."""
    return _list_of(descriptor) is not None


def listed_group(path: str) -> Optional[int]:
    """The group that `let_group_in` has let in; None: none, or it can't be told."""
    text = _list_of(path) or b""
    entries = text[_HEAD.size :]
    if len(entries) % _ENTRY.size:
        return None
    found = [gid for tag, rights, gid in _ENTRY.iter_unpack(entries)
             if tag == _GROUP and rights == _READ_AND_WRITE]  # fmt: skip
    return found[0] if found else None


def _list_of(file: Union[str, int]) -> Optional[bytes]:
    try:
        return os.getxattr(file, _LIST)
    except OSError:
        return None
