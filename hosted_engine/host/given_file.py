# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A file that an administrator named, which may lie on storage that hangs."""

from __future__ import annotations

import os
import stat
from functools import partial
from pathlib import Path

from hosted_engine.errors import NOTHING_WRITTEN, CommandError
from hosted_engine.host.anew import within_deadline_anew
from metadata.error_words import reason
from world.regular_file import open_regular

READ_DEADLINE_S = 10.0


def read_given_text(path: str, most_bytes: int) -> str:
    """The text (UTF-8) of a regular file; raises CommandError naming it."""
    try:
        return read_given(path, most_bytes).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CommandError(f"{path}: can't be read: {reason(error)}; {NOTHING_WRITTEN}") from error


def read_given(path: str, most_bytes: int, devices: bool = False) -> bytes:
    """The bytes of a regular file, with `devices` of a block device, too; raises CommandError.

    More than `most_bytes` are refused; of a device they are what is read.
    """
    job = partial(_read, path, most_bytes, devices)
    return within_deadline_anew(job, f"the storage of {path}", READ_DEADLINE_S)


def _read(path: str, most_bytes: int, devices: bool) -> bytes:
    try:
        if devices and stat.S_ISBLK(os.stat(path).st_mode):  # noqa: PTH116
            with Path(path).open("rb") as device:
                return device.read(most_bytes)
        with open_regular(path, follow_links=True) as file:
            data = file.read(most_bytes + 1)
    except OSError as error:
        why = reason(error)
        raise CommandError(f"{path}: can't be read: {why}; {NOTHING_WRITTEN}") from error
    if len(data) > most_bytes:
        raise CommandError(f"{path}: more than {most_bytes} bytes are refused; {NOTHING_WRITTEN}")
    return data
