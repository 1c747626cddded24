# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""JSON that others wrote, as plain data: what every file and every answer is read with.

The parser alone takes more than JSON is: integers of any length (which no float holds, and which
take long to read), and NaN and Infinity, by name or as ``1e999``. Here every number lies within
`LARGEST`, so that whatever is done with it later, on any path, has a number to do it with.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Callable, Union

LARGEST = float(2**64)
"""The largest magnitude of a number: a slot's 19 digits and 64-bit counts are below it."""

_SAFE_LENGTH = 19
_MOST_LENGTH = 21  # of those that may be within the bounds, with a sign
_SHOWN_LENGTH = 12
_USUAL_BEGINNINGS = (b'{"', b"{}")
_Outside = Callable[[str], Any]


class PlainJsonError(ValueError):
    """A text that can't be used; the message says where or which, and what is allowed."""


def parse_json(text: Union[str, bytes]) -> Any:
    """The data in `text`; raises PlainJsonError."""
    return _parse(text, _STRICT)


def parse_json_without(text: Union[str, bytes]) -> Any:
    """As `parse_json`, with None in the place of a number out of bounds: what stands beside it
    is not lost."""
    return _parse(text, _LENIENT)


def is_number(value: object) -> bool:
    """Is it a number (true and false are none) within the bounds?"""
    # NaN is in no range; an integer of any length can be compared.
    return type(value) in (int, float) and -LARGEST <= value <= LARGEST  # type: ignore[operator]


def is_share(value: object) -> bool:
    """Is it None, or a number (true and false are none) from 0 to 1?"""
    return value is None or (type(value) in (int, float) and 0 <= value <= 1)  # type: ignore[operator]


def _parse(text: Union[str, bytes], decoder: json.JSONDecoder) -> Any:
    try:
        return decoder.decode(text if isinstance(text, str) else _decoded(text))
    except PlainJsonError:
        raise
    except RecursionError as error:
        raise PlainJsonError("nested too deep") from error
    except ValueError as error:
        raise PlainJsonError(str(error)) from error


def _decoded(text: bytes) -> str:
    """As `json.loads` does; what all our own programs write needs no look at its encoding."""
    encoding = "utf-8" if text[:2] in _USUAL_BEGINNINGS else json.detect_encoding(text)
    return text.decode(encoding, "surrogatepass")


def _whole(outside: _Outside, digits: str) -> Any:
    if len(digits) <= _SAFE_LENGTH:
        return int(digits)
    # Counted before it is read, which takes time that grows with the square of its length.
    if len(digits) <= _MOST_LENGTH and -LARGEST <= int(digits) <= LARGEST:
        return int(digits)
    return outside(digits)


def _broken(outside: _Outside, digits: str) -> Any:
    value = float(digits)
    return value if -LARGEST <= value <= LARGEST else outside(digits)


def _refuse(number: str) -> Any:
    shown = number
    if len(number) > _MOST_LENGTH:
        shown = f"{number[:_SHOWN_LENGTH]}... ({len(number)} characters)"
    raise PlainJsonError(f"{shown} is refused; allowed: numbers from -2^64 to 2^64")


def _decoder(outside: _Outside) -> json.JSONDecoder:
    """Kept, for `json.loads` makes one for each text."""
    return json.JSONDecoder(
        parse_int=partial(_whole, outside),
        parse_float=partial(_broken, outside),
        parse_constant=outside,
    )


_STRICT, _LENIENT = _decoder(_refuse), _decoder(lambda _number: None)
