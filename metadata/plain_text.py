# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Text on its way to and from the storage: ASCII out, printable in.

Existing tools read the metadata as ASCII and split it at `|`, newlines and `=`; what a
person or a library put into a text must not break that, and never raise.

What strangers wrote (another host, a server, the storage) goes to root's terminal and to the
log. There it must neither steer the terminal, nor reorder what is shown, nor begin a line of its
own; so every decoder lets its texts through `printable_text` or `one_line` (ADR 42).
"""

from __future__ import annotations

from collections.abc import Mapping

_OUT = {"\n": " ", "\r": " ", "\t": " "}
# Unicode's categories of characters that are not shown but do something: controls (ESC, and the
# 8-bit CSI), formats (marks that turn the direction of writing, invisible ones), ends of lines and
# paragraphs, halves of surrogate pairs.
_STEERING = ("Cc", "Cf", "Zl", "Zp", "Cs")
# Formats that only say how the letters beside them are joined.
_JOINERS = "\u200c\u200d"

_KEEP = "keep"
SEVERAL_LINES = {_KEEP: "\n"}
"""The `metadata` of a dataclass's field whose text has several lines; others have one."""


def ascii_text(value: str, limit: int, replace: str = "", by: str = "") -> str:
    """At most `limit` printable ASCII characters of `value`.

    White space becomes a blank, a character in `replace` its partner in `by`, and anything
    else that is not printable ASCII a question mark.
    """
    value = value[:limit]
    if any(map(value.__contains__, replace)):
        value = value.translate(str.maketrans(replace, by))
    if value.isascii() and value.isprintable():
        return value
    return "".join(_ascii_character(character) for character in value)


def _ascii_character(character: str) -> str:
    if " " <= character <= "~":
        return character
    return _OUT.get(character, "?")


def printable_text(value: str, keep: str = "") -> str:
    """`value` with question marks for all that is neither printable nor in `keep`.

    What another host wrote goes to terminals and logs: no escape codes, no lone surrogates.
    """
    others = value
    for character in keep:
        others = others.replace(character, "")
    if others.isprintable():
        return value
    return "".join(
        character if character.isprintable() or character in keep else "?" for character in value
    )


def kept_in(metadata: Mapping[str, str]) -> str:
    """What `printable_text` has to keep in a text of the field with this `metadata`."""
    return metadata.get(_KEEP, "")


def one_line(value: str) -> str:
    """`value` in one printable line; any white space in it is one blank."""
    return printable_text(" ".join(value.split()))


def steers(value: str, allowed: str = "\n\t") -> bool:
    """Has it a character that is not shown but steers what shows it, other than `allowed`?

    Stricter than a reader of settings may be is `printable_text`, which does not know joiners
    and blanks other than the usual one.
    """
    if value.isascii() and value.isprintable():
        return False
    import unicodedata  # noqa: PLC0415 - many import this module and never get here

    return any(
        unicodedata.category(character) in _STEERING
        for character in value
        if character not in allowed and character not in _JOINERS
    )
