# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The errors of the command, one tree::

CommandError     one line for stderr (`message`) and the exit code (`exit_code`)
  UsageError     the options make no sense together (exit code 2)
  NotReachedError  what was asked for did not come about in time (exit code 3)
  NotDeployedError
"""

from __future__ import annotations

import sys

PROGRAM = "hosted-engine"

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_NOT_REACHED = 3

EXIT_CODES = (
    (EXIT_OK, "done"),
    (EXIT_FAILURE, "could not be done, or the answer is no"),
    (EXIT_USAGE, "wrong options, nothing was done"),
    (EXIT_NOT_REACHED, "asked for, but not reached within the time"),
)
"""The exit codes of every command and what they mean; scripts rely on them."""

NOT_DEPLOYED = "You must run deploy first"
NOTHING_WRITTEN = "nothing was written"


def _shown(text: str) -> str:
    """What a stranger sent (a socket, a file's name) must not steer the terminal."""
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )


class CommandError(Exception):
    """The command could not do what was asked; `message` says why and what to do."""

    exit_code = EXIT_FAILURE

    def __init__(self, message: str) -> None:
        self.message = _shown(" ".join(message.split()))
        super().__init__(self.message)


class UsageError(CommandError):
    """The options make no sense; nothing was done."""

    exit_code = EXIT_USAGE


class NotReachedError(CommandError):
    """It was asked for and may still come about, but not within the time that was given."""

    exit_code = EXIT_NOT_REACHED


class NotDeployedError(CommandError):
    """This host has no settings file; its text is the one that scripts know."""

    def __init__(self) -> None:
        super().__init__(NOT_DEPLOYED)


def say_error(message: str, program: str = PROGRAM) -> None:
    """One line on stderr, under the program's name."""
    print(f"{program}: {_shown(message)}", file=sys.stderr)
