# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What went wrong, in words for people: the system's own, never Python's way of showing them.

Three rules, each at this one place:

- An error that names its operation is told as ``can't WHAT: WHY`` (`cannot`), for an operation
  alone ("publish: …", "start the domain: …") reads like an order. A text that names the operation
  itself takes the `bare_reason`.
- What the system refused is told by its words (`reason`), and by the file's name where nothing
  else in the text has it (`reason_with_file`): no ``[Errno 2]``.
- A value is quoted by `shown`, in the words of the file that it comes from: no ``b'\\xa5'``, no
  ``True``.
"""

from __future__ import annotations

import reprlib

from metadata.plain_text import one_line

_MOST_CHARACTERS = 60
_MOST_BYTES = 8


def cannot(what: str, why: str) -> str:
    """``can't WHAT: WHY``; `what` is an infinitive with its object: ``read the record``."""
    return f"can't {what}: {why}"


def reason(error: BaseException) -> str:
    """Why, in one line that is never empty, without the name of the file that it is about."""
    words = getattr(error, "strerror", None)
    if isinstance(error, UnicodeDecodeError):
        words = f"no {error.encoding.upper()} text from byte {error.start} on"
    elif isinstance(error, KeyError) and error.args:
        words = f"{error.args[0]} is missing"  # its text is the key alone, in quotes
    return one_line(str(words or error)) or type(error).__name__


def reason_with_file(error: BaseException) -> str:
    """As `reason`; behind ``FILE: `` where the system names a file."""
    name = getattr(error, "filename", None) if getattr(error, "strerror", None) else None
    return one_line(f"{name}: {reason(error)}") if isinstance(name, str) else reason(error)


def bare_reason(error: BaseException) -> str:
    """Why alone, of an error that names its operation, for a text that has named it already."""
    why = getattr(error, "why", "")
    return why if isinstance(why, str) and why else reason_with_file(error)


def shown(value: object) -> str:
    """A short form of any value, in ASCII, for a message: texts in quotes, ``true``, 5."""
    try:
        short = _shortened(value) if isinstance(value, str) else _PLAIN.repr(value)
    except ValueError:  # an integer too long to print (Python's own limit)
        return "a number too long to print"
    return short.encode("ascii", "backslashreplace").decode("ascii")


def _shortened(value: str) -> str:
    return repr(value if len(value) <= _MOST_CHARACTERS else value[:57] + "...")


class _Plain(reprlib.Repr):
    """Values in the words of the file that they come from, not in Python's."""

    def repr_bool(self, value: bool, _level: int) -> str:
        return "true" if value else "false"

    def repr_NoneType(self, _value: None, _level: int) -> str:  # noqa: N802 (reprlib's name)
        return "an empty value"

    def repr_bytes(self, value: bytes, _level: int) -> str:
        """As text where they are that; else how many, and the first of them as dumps show them."""
        if value.isascii() and (text := value.decode("ascii")).isprintable():
            return _shortened(text)
        count = f"{len(value)} byte" if len(value) == 1 else f"{len(value)} bytes"
        more = " ..." if len(value) > _MOST_BYTES else ""
        return f"{count} (hex {value[:_MOST_BYTES].hex(' ')}{more})"

    def repr_date(self, value: object, _level: int) -> str:
        """YAML makes one of what looks like it."""
        return str(value)

    repr_bytearray = repr_bytes
    repr_datetime = repr_date

    def repr_instance(self, value: object, _level: int) -> str:
        """A tuple's, a mapping's, a list's and a number's forms are reprlib's; no class has one."""
        if isinstance(value, (float, complex)):
            return repr(value)
        return f"a value of kind {type(value).__name__}"


_PLAIN = _Plain()
