"""Reading YAML that people wrote: host.yaml and the answers of --deploy."""

from __future__ import annotations

from pathlib import Path

import pytest

from hosted_engine.deploy.answers import read_answers
from hosted_engine.errors import CommandError
from metadata.errors import SettingsError
from world.host_file import read_host_settings
from world.plain_yaml import parse_yaml

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


def test_value_that_was_merged_in_may_be_given_anew() -> None:
    found = parse_yaml("a: &a {x: 1, y: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b, x: 3}")
    assert found["b"] == {"x": 2, "y": 1}
    assert found["c"] == {"x": 3, "y": 1}
