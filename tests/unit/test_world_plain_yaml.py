# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Reading YAML that people wrote: host.yaml and the answers of --deploy."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Optional

import pytest

from hosted_engine.errors import CommandError
from metadata.errors import SettingsError
from tests.unit.test_command_deploy import read_answers
from world.host_file import read_host_settings
from world.plain_yaml import MOST_BYTES, PlainYamlError, parse_yaml, yaml_text

TWICE = "host_id: 1\nstorage: {path: /x}\nhost_id: 2\n"
BAD = [
    (TWICE, "the key 'host_id' stands here for the second time"),
    ("storage: {path: /x, path: /y}", "the key 'path' stands here for the second time"),
    ("host_name: 2024-13-45", "month must be in 1..12"),
    ("host_id: !!int many", "many"),
    ("host_id: !!bool x", "x"),
    ("host_id: !!timestamp x", "no valid YAML"),
    ("[" * 5000, "nested too deep"),
    ("host_id: [1", "expected ',' or ']'"),
    ("\thost_id: 1", "line 1, column 1"),
    ("host_id: \x07", "special characters are not allowed"),
    ("host_id: " + "9" * 400, "allowed: numbers from -2^64 to 2^64"),
    ("host_id: -" + "9" * 100_000, "allowed: numbers from -2^64 to 2^64"),
    ("host_id: !!int 0x" + "f" * 40, "allowed: a decimal number without leading zeros"),
    ("host_id: !!int 59" + ":59" * 20, "allowed: a decimal number without leading zeros"),
    ("host_id: !!int 0b" + "1" * 100_000, "allowed: numbers from -2^64 to 2^64"),
    ("host_id: !!float " + "x" * 100_000, "allowed: a decimal number without leading zeros"),
    ("a: &a [x]\nb: *a", "the alias *a is refused"),
    ("a: &a {x: 1}\nb: {<<: *a}", "the alias *a is refused"),
    ("a: &a [*a]", "the alias *a is refused"),
    ("a: {<<: {x: 1}}", "the merge '<<' is refused"),
    ("a: {<<: [{x: 1}, {y: 1}]}", "the merge '<<' is refused"),
    ("a: !!set {? x, <<: {y: }}", "the merge '<<' is refused"),
    ("a: " + "x" * MOST_BYTES, f"allowed: at most {MOST_BYTES}"),
]


@pytest.mark.parametrize(("text", "expected"), BAD)
def test_settings_that_are_no_yaml_are_one_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "host.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_host_settings(str(path))
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}: no valid YAML: ")
    assert expected in problem
    assert "\n" not in problem


@pytest.mark.parametrize(("text", "expected"), BAD)
def test_answers_that_are_no_yaml_are_one_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "answers.yaml"
    path.write_text(text)
    with pytest.raises(CommandError) as caught:
        read_answers(str(path))
    assert caught.value.message.startswith(f"{path}: no valid YAML: ")
    assert expected in caught.value.message


def test_same_key_in_two_mappings_is_fine() -> None:
    assert parse_yaml("a: {x: 1}\nb: {x: 2}\nc: [{x: 3}, {x: 4}]") == {
        "a": {"x": 1},
        "b": {"x": 2},
        "c": [{"x": 3}, {"x": 4}],
    }


def test_a_text_that_begins_as_an_alias_is_a_text() -> None:
    assert parse_yaml("a: '*a'\nb: \"<<\"\nc: x*y") == {"a": "*a", "b": "<<", "c": "x*y"}


@pytest.mark.parametrize("depth", [5, 9, 40])
def test_a_few_hundred_bytes_take_no_time(depth: int) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, depth)]
    begun_s = time.process_time()
    with pytest.raises(PlainYamlError, match="the alias"):
        parse_yaml("\n".join(lines))
    assert time.process_time() - begun_s < 1.0


def test_what_is_written_can_be_read_whatever_is_in_it_twice() -> None:
    same = {"path": "/x"}
    assert "&" not in yaml_text([same, same])
    assert parse_yaml(yaml_text({"a": same, "b": [same, same]})) == {"a": same, "b": [same, same]}


# --- secrets ------------------------------------------------------------------------------------

SECRET = "hunter2"
WITH_SECRETS = [
    f'smtp: {{password: "{SECRET}',  # and no end
    f"password: {SECRET}\n  more: [1",
    f"password: {SECRET}: x: y",
    f"user: x\npassword: {SECRET}\n\tuser: y",
    f"user: x\npassword: {SECRET}\nuser: y",
    f"password: *{SECRET}",
    f"password: &{SECRET} x\nother: [1",
    f"a: &{SECRET} x\nb: &{SECRET} y",
    f"password: !{SECRET} x",
    f"password: !<{SECRET}> x",
    f"password: !{SECRET}!x y",
    f"password: !!{SECRET} x",
    f"password: !!python/object:{SECRET} x",
    f"chap: {{password: !!int {SECRET}}}",
    f"password: !!float {SECRET}",
    f"password: !!bool {SECRET}",
    f"password: !!timestamp {SECRET}",
    f"password: !!binary {SECRET}\u00fc",
    f"password: [!!int {SECRET}]",
    f"tokens: {{{SECRET}: 1, {SECRET}: 2}}",
    f"private_key: |\n  -----BEGIN KEY-----\n  {SECRET}\n -----END",
    f"url: *https://hooks.example.org/{SECRET}",
    f"token: '{SECRET}' x",
    f'password: "\\q{SECRET}"',
    f"%TAG !{SECRET}! tag:x,1\n%TAG !{SECRET}! tag:x,1\n--- a",
    f"password: {SECRET}\x07",
    f"? [{SECRET}]\n: {{password: [{SECRET}}}",
]


@pytest.mark.parametrize("text", WITH_SECRETS)
def test_no_secret_is_told_with_what_is_wrong(tmp_path: Path, text: str) -> None:
    path = tmp_path / "answers.yaml"
    path.write_text(text)
    for read in (lambda: read_answers(str(path)), lambda: parse_yaml(text)):
        with pytest.raises((CommandError, PlainYamlError)) as caught:
            read()
        assert SECRET not in str(caught.value)
        assert re.search(r"line \d+, column \d+|position \d+", str(caught.value))
        cause: Optional[BaseException] = caught.value
        while cause is not None:
            assert SECRET not in str(cause)
            cause = cause.__cause__


def test_a_secret_number_is_not_told_either() -> None:
    with pytest.raises(PlainYamlError) as caught:
        parse_yaml("a:\n  password: " + "9" * 40)
    assert str(caught.value) == (
        "what it holds (not shown) is refused; allowed: numbers from -2^64 to 2^64 "
        "(line 2, column 13)"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: !!int many", "'many' is refused; allowed: a decimal number without leading zeros"),
        ("a: !!bool x", "'x' is refused (line 1, column 4)"),
        ("a: 2024-13-45", "'2024-13-45' is refused: month must be in 1..12 (line 1, column 4)"),
        ("a: !foo x", "the tag '!foo' is refused; write plain values (line 1, column 4)"),
        ("a: [1", "expected ',' or ']', but got '<stream end>' (line 1, column 6)"),
        ("a: @b", "found character '@' that cannot start any token (line 1, column 4)"),
        ("password_file: *x", "the alias *x is refused"),
    ],
)
def test_what_is_no_secret_is_told(text: str, told: str) -> None:
    with pytest.raises(PlainYamlError) as caught:
        parse_yaml(text)
    assert told in str(caught.value)
