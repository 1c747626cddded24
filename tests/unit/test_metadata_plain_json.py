# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The one reader of JSON: every number that comes out of it can be used, or none does."""

from __future__ import annotations

import ast
import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadata.plain_json import LARGEST, PlainJsonError, is_number, parse_json, parse_json_without

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("metadata", "world", "fsm", "ha_broker", "ha_agent", "simulation", "hosted_engine")
OUTSIDE = [
    "9" * 400,
    "-" + "9" * 400,
    "18446744073709551617",
    "-18446744073709551617",
    "1" + "0" * 30,
    "1e20",
    "-1E+300",
    "1e400",
    "-1e400",
    "9" * 30 + ".5",
    "NaN",
    "Infinity",
    "-Infinity",
]
INSIDE = [
    "18446744073709551616",
    "-18446744073709551616",
    "9999999999999999999",
    "1.8e19",
    "1e-400",
]


@pytest.mark.parametrize("number", OUTSIDE)
@pytest.mark.parametrize("around", ["%s", '{"a": [1, %s]}', '[{"b": %s}, "text"]'])
def test_a_number_out_of_bounds_is_refused_by_name(number: str, around: str) -> None:
    for text in (around % number, (around % number).encode()):
        with pytest.raises(PlainJsonError) as caught:
            parse_json(text)
        assert number[:12] in str(caught.value)
        assert "allowed: numbers from -2^64 to 2^64" in str(caught.value)
        assert len(str(caught.value)) < 120


@pytest.mark.parametrize("number", OUTSIDE)
def test_what_stands_beside_it_can_be_had(number: str) -> None:
    text = f'{{"a": [1, {number}, 2.5], "b": "9e999"}}'
    assert parse_json_without(text) == {"a": [1, None, 2.5], "b": "9e999"}


@pytest.mark.parametrize("number", INSIDE)
def test_a_number_within_bounds_is_that_number(number: str) -> None:
    assert parse_json(number) == (float(number) if "e" in number else int(number))


@pytest.mark.parametrize("text", ["", "{", "[1,]", b"\xff\xfe", "[" * 100_000, b"[" * 100_000])
def test_what_is_no_json_is_one_error(text: Any) -> None:
    with pytest.raises(PlainJsonError):
        parse_json(text)


def test_a_million_digits_take_no_time() -> None:
    begun_s = time.process_time()
    with pytest.raises(PlainJsonError, match=r"1000000 characters"):
        parse_json("7" * 1_000_000)
    assert time.process_time() - begun_s < 1.0


@given(st.one_of(st.integers(), st.floats(), st.booleans(), st.text(), st.integers(10**300)))
def test_what_counts_as_a_number_can_be_a_float(value: object) -> None:
    if is_number(value):
        assert isinstance(value, (int, float))
        assert math.isfinite(float(value))
        assert abs(value) <= LARGEST
        assert not isinstance(value, bool)


def _callers(name: str, functions: tuple[str, ...]) -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in functions
        and isinstance(node.value, ast.Name)
        and node.value.id == name
    }


def test_nothing_of_ours_reads_or_writes_past_the_one_reader() -> None:
    assert _callers("json", ("load", "loads", "JSONDecoder")) == {"metadata/plain_json.py"}
    assert _callers("yaml", ("load", "safe_load", "dump", "safe_dump")) == {"world/plain_yaml.py"}


BYTES = st.one_of(
    st.binary(max_size=8),
    st.recursive(st.text(max_size=3), lambda inner: st.dictionaries(st.text(max_size=2), inner))
    .map(json.dumps)
    .flatmap(
        lambda text: st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"]).map(
            text.encode
        )
    ),
    st.sampled_from(
        [b'{"\x80": 1}', b'{"\xed\xa0\x80": 1}', b'{"', b"{}", b'{\0"\0', b'{"a": "\xff"}']
    ),
)


@given(BYTES)
def test_bytes_are_read_in_the_encoding_that_the_library_finds(data: bytes) -> None:
    try:
        expected = json.loads(data)
    except ValueError:
        with pytest.raises(PlainJsonError):
            parse_json(data)
    else:
        assert parse_json(data) == expected
