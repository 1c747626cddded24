"""Text on its way to and from the storage: ASCII out, printable in.

Existing tools read the metadata as ASCII and split it at `|`, newlines and `=`; what a
person or a library put into a text must not break that, and never raise.
"""

from __future__ import annotations

_OUT = {"\n": " ", "\r": " ", "\t": " "}


def ascii_text(value: str, limit: int, replace: str = "", by: str = "") -> str:
    """At most `limit` printable ASCII characters of `value`.

    White space becomes a blank, a character in `replace` its partner in `by`, and anything
    else that is not printable ASCII a question mark.
    """
    value = value[:limit]
    if replace and any(map(value.__contains__, replace)):
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
