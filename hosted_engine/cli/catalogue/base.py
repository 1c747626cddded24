# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What one command of ``hosted-engine`` is called and takes. Pure and light: text only.

`--help`, the manual page and the shells' completion are all made from these entries, so that
none of them can say anything else than the command does. Every call of the command loads all of
them, so they are named tuples: the first dataclass of a process costs it a tenth of a short call.
"""

from __future__ import annotations

import re
from typing import Any, Callable, NamedTuple, Optional

from metadata.error_words import shown


class Option(NamedTuple):
    """An option of a command.

    Without `metavar` it is a switch (bool); with one it takes a value (None when not given).
    `type` turns the value's text into the value and raises ValueError, whose text names the
    value and what is allowed. `completes` is what the shell offers: "file" or nothing. `aliases`
    are other names that are taken for it: oVirt's own tools have them.
    """

    name: str
    help: str
    metavar: Optional[str] = None
    choices: tuple[str, ...] = ()
    type: Optional[Callable[[str], Any]] = None
    completes: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All that may be typed for it, its own name first."""
        return (self.name, *self.aliases)

    @property
    def dest(self) -> str:
        """Its attribute in the parsed options."""
        return dest(self.name)


class Command(NamedTuple):
    """One command.

    `anybody`: it may be asked for by every user, and says itself what that user may not see;
    all others are root's. `run` is "module:function", imported only when the command is asked
    for; the function gets the parsed options and returns the exit code. `arguments` are the names
    of what must follow the command itself; their texts come as `options.arguments`. `examples`
    are pairs of a line to type and what it does; `exit_codes` what they mean beside the usual
    ones.
    """

    name: str
    run: str
    summary: str
    text: str = ""
    arguments: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()
    exit_codes: tuple[tuple[int, str], ...] = ()
    completes: str = ""
    anybody: bool = False

    @property
    def dest(self) -> str:
        """Its attribute in the parsed options."""
        return dest(self.name)


class Group(NamedTuple):
    """Commands that belong together, under one heading."""

    title: str
    commands: tuple[Command, ...]


def dest(name: str) -> str:
    """``--vm-status`` -> ``vm_status``."""
    return name.lstrip("-").replace("-", "_")


# --- values ---------------------------------------------------------------------------------


# Decimal digits as everybody types them: Python would also take 1_0, and digits of other scripts.
_WHOLE = re.compile(r"[0-9]{1,18}")
_DECIMAL = re.compile(r"[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18}")


def seconds(text: str) -> float:
    """0 to 3600 seconds; raises ValueError."""
    value = float(text) if _DECIMAL.fullmatch(text) else -1.0
    if not 0 <= value <= 3600:
        raise ValueError(f"{shown(text)} is refused; allowed: seconds from 0 to 3600")
    return value


def whole_number(text: str, low: int, high: int, what: str) -> int:
    """A decimal number from `low` to `high`; raises ValueError that says so of `what`."""
    value = int(text) if _WHOLE.fullmatch(text) else low - 1
    if not low <= value <= high:
        raise ValueError(f"{shown(text)} is refused; allowed: {what} from {low} to {high}")
    return value


def path(text: str) -> str:
    """A variable that a script forgot to set must not mean something else; raises ValueError."""
    if not text:
        raise ValueError(f"{shown(text)} is refused; allowed: a path")
    return text


def host(text: str) -> str:
    """A host's name or id; a variable that a script forgot to set is none; raises ValueError."""
    if not text.strip():
        raise ValueError(f"{shown(text)} is refused; allowed: a host's name or id")
    return text


def host_id(text: str) -> int:
    """1 to 2000; raises ValueError."""
    return whole_number(text, 1, 2000, "a host id")


JSON = Option("--json", help="one JSON document on stdout, errors too")
