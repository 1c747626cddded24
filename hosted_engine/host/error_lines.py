# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the world and the system say of a failure, as one line of the command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hosted_engine.errors import CommandError
from metadata.error_words import reason
from world.ports.errors import WorldError


@contextmanager
def told() -> Iterator[None]:
    """The world's errors become one line of the command."""
    try:
        yield
    except WorldError as error:
        raise CommandError(str(error)) from error


@contextmanager
def writing(path: object) -> Iterator[None]:
    """So does what the system says while a file is written; the line names the file."""
    try:
        yield
    except OSError as error:
        raise CommandError(f"{path}: can't be written: {reason(error)}") from error
