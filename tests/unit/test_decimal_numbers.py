# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A number that people write is decimal or refused: in files, in answers, on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hosted_engine.cli.catalogue.base import host_id, seconds
from hosted_engine.cli.parser import parse
from hosted_engine.config.keys import parse_value
from hosted_engine.deploy.answers import parse_answers, read_data
from hosted_engine.deploy.questions import _typed
from hosted_engine.errors import CommandError, UsageError
from metadata.errors import SettingsError
from metadata.settings.parse import parse_cluster_settings
from simulation.yaml_reader import parse_document
from world.host_file import read_host_settings
from world.plain_yaml import PlainYamlError, parse_yaml

# How it is written, and what YAML 1.1 makes of it.
NOT_DECIMAL = {
    "010": 8, "0777": 511, "-010": -8, "+010": 8, "00": 0, "0_10": 8, "0x10": 16, "-0xff": -255,
    "0b11": 3, "1:30": 90, "10:00": 600, "+1:30": 90, "1:2:3": 3723, "1:30.5": 90.5, "0:59.": 59.0,
    "52:54:00:12:34:56": 41042860496,
}  # fmt: skip
DECIMAL = {
    "0": 0, "8": 8, "-1": -1, "+5": 5, "1000": 1000, "1_000": 1000, "0.5": 0.5, ".5": 0.5,
    "5.": 5.0, "1.5e+3": 1500.0, "-2.25": -2.25,
}  # fmt: skip
each = pytest.mark.parametrize("text", NOT_DECIMAL)


@each
def test_the_library_alone_would_take_another_number(text: str) -> None:
    found = yaml.safe_load(text)
    assert isinstance(found, (int, float))
    if text != "52:54:00:12:34:56":
        assert found == NOT_DECIMAL[text]


@each
def test_it_is_the_text_that_was_typed(text: str) -> None:
    assert parse_yaml(f"a: {text}\nb: [{text}]\n{text}: 1") == {"a": text, "b": [text], text: 1}


@pytest.mark.parametrize(("text", "value"), DECIMAL.items())
def test_a_decimal_number_is_one(text: str, value: float) -> None:
    found = parse_yaml(f"a: {text}")["a"]
    assert (found, type(found)) == (value, type(value))


@each
@pytest.mark.parametrize("tag", ["!!int", "!!float"])
def test_a_tag_makes_it_none(tag: str, text: str) -> None:
    with pytest.raises(PlainYamlError, match="is refused; allowed: a decimal number without lead"):
        parse_yaml(f"a: {tag} {text}")


@each
def test_what_is_written_is_read_back(text: str) -> None:
    data = {"text": text, "number": 8}
    assert parse_yaml(yaml.safe_dump(data)) == data


@each
def test_host_yaml_says_which_key_and_what_is_allowed(tmp_path: Path, text: str) -> None:
    path = tmp_path / "host.yaml"
    path.write_text(f"host_id: {text}\nhost_name: h1\nstorage: {{path: /x}}\n")
    with pytest.raises(SettingsError) as caught:
        read_host_settings(str(path))
    assert caught.value.problems == [
        f"{path}: host_id: {text!r} is refused; allowed: an integer from 1 to 2000, decimal and "
        "without leading zeros"
    ]


@each
@pytest.mark.parametrize(
    ("section", "key"),
    [("timing", "tick_s"), ("timing", "io_timeout_s"), ("score", "network"), ("network", "probes")],
)
def test_so_do_shared_settings(section: str, key: str, text: str) -> None:
    value = parse_value(text, (section, key))
    with pytest.raises(SettingsError, match=rf"{section}.{key}: .*decimal and without leading"):
        parse_cluster_settings({section: {key: value}}, "settings")


@each
def test_so_do_answers(tmp_path: Path, text: str) -> None:
    path = tmp_path / "answers.yaml"
    path.write_text(
        f"storage: {{path: /x, sector_size: {text}}}\n"
        f"sanlock: {{io_timeout_s: {text}}}\nhost: {{host_id: {text}}}\n"
    )
    with pytest.raises(CommandError) as caught:
        parse_answers(read_data(str(path)), str(path))
    for key in ("sector_size", "io_timeout_s", "host_id"):
        assert f"{key}: {text!r} is refused" in caught.value.message
    assert caught.value.message.count("decimal and without leading zeros") == 3


def test_a_text_that_looks_like_one_stays_as_it_was_typed() -> None:
    mac = "52:54:00:12:34:56"
    data = parse_yaml(f"monitors: {{plugins: {{nic: {{options: {{mac: {mac}, mask: 0755}}}}}}}}")
    plugin = parse_cluster_settings(data, "settings").monitors.plugins[0]
    assert dict(plugin.options) == {"mac": mac, "mask": "0755"}


@each
def test_simulated_worlds_and_scripts(text: str) -> None:
    assert parse_document(f"hosts: {text}", "world.yaml").data == {"hosts": text}


def test_the_hint_is_for_numbers_alone() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_cluster_settings({"timing": {"tick_s": "soon"}, "network": {"test": "010"}}, "s")
    assert "leading zeros" not in str(caught.value)


# --- the command line -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["0x10", "1:30", "1_0", "٣", "1e2", "inf", "nan", " 5", "5 ", "", "-1", "9" * 5000]
)
def test_an_option_takes_decimal_digits(text: str) -> None:
    with pytest.raises(ValueError, match="is refused; allowed: seconds from 0 to 3600"):
        seconds(text)
    with pytest.raises(ValueError, match="is refused; allowed: a host id from 1 to 2000"):
        host_id(text)


@pytest.mark.parametrize(("text", "value"), [("010", 10), ("10", 10), ("2000", 2000)])
def test_of_which_none_means_anything_else(text: str, value: int) -> None:
    assert seconds(text) == value
    assert host_id(text) == value
    assert _typed("host_id", text) == value


@pytest.mark.parametrize("text", ["0x10", "1_0", "1:30", "9" * 5000, "٣"])
def test_the_whole_command(text: str) -> None:
    for words in (
        ["--history", "--last", text],
        ["--vm-status", "--metadata", "/x", "--timeout", text],
    ):
        with pytest.raises(UsageError, match="is refused; allowed: "):
            parse(words)


@pytest.mark.parametrize("text", ["0x10", "1:30", "1_0", "9" * 5000, "٣", ""])
def test_a_typed_answer_that_is_none_is_left_to_the_rule(text: str) -> None:
    assert _typed("host_id", text) == text
