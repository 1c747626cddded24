# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""oVirt's own files, given to us: told what they are, wherever a file of ours is read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Callable

import pytest

from hosted_engine.config.edit import Editing, edit_vm_conf
from hosted_engine.config.get_set import HE_SHARED, set_value
from hosted_engine.config.keys import parse_value
from hosted_engine.deploy.answers import storage_parts
from hosted_engine.deploy.check_input import read_engine
from hosted_engine.errors import CommandError, UsageError
from hosted_engine.simulate.script import load_script
from hosted_engine.vm.start import xml_for_one_start
from metadata.older_files import GUIDE, older_file
from metadata.settings.parse import SettingsError
from simulation.errors import InputError
from simulation.settings import load_world
from tests.unit.config_bench import Cluster
from tests.unit.older_samples import (
    AGENT_CONF,
    ANSWERS,
    BROKER_CONF,
    DOMAIN_XML,
    HOSTED_ENGINE_CONF,
    SAMPLES,
    VM_CONF,
)
from tests.unit.test_command_deploy import PARTS, answers, read_answers
from tests.unit.test_config_commands import PLAIN
from world.host_file import read_host_settings
from world.plain_yaml import parse_yaml

REPOSITORY = Path(__file__).resolve().parents[2]


def of_answers(path: str) -> None:
    read_answers(path)


def of_host_yaml(path: str) -> None:
    read_host_settings(path)


def of_the_engine_s_xml(path: str) -> None:
    data = {"storage": {"path": "/x"}, "engine": {"domain_xml_file": path}}
    read_engine(answers(data), PARTS)


def of_vm_conf(path: str) -> None:
    xml_for_one_start(path, "HostedEngine", PARTS)


def of_a_set_vm_conf(path: str) -> None:
    set_value(Cluster().context(), "vm_conf", HE_SHARED, f"@{path}", PLAIN)


def of_an_edited_vm_conf(path: str) -> None:
    def edit(edited: str) -> None:
        Path(edited).write_text(Path(path).read_text())

    edit_vm_conf(Cluster().context(), Editing(edit, lambda _question: True), PLAIN)


def of_a_simulated_world(path: str) -> None:
    load_world(path)


def of_a_script(path: str) -> None:
    load_script(path, ["h1"])


READERS = (
    *(of_answers, of_host_yaml, of_the_engine_s_xml, of_vm_conf, of_a_set_vm_conf),
    *(of_an_edited_vm_conf, of_a_simulated_world, of_a_script),
)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", SAMPLES)
def test_every_reader_names_every_file(
    tmp_path: Path, reader: Callable[[str], None], name: str
) -> None:
    text, what = SAMPLES[name]
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises((CommandError, SettingsError, InputError)) as caught:
        reader(str(file))
    told = str(caught.value)
    assert f"this is {what}" in told and f"(see {GUIDE})" in told
    assert "\n" not in told
    assert "YAML:" not in told and "can't be read" not in told
    assert "changeme" not in told


@pytest.mark.parametrize("name", SAMPLES)
def test_as_editors_and_other_systems_leave_them(name: str) -> None:
    text, what = SAMPLES[name]
    lines = text.splitlines()
    for other in (
        "\ufeff" + text,
        text.replace("\n", "\r\n"),
        "# a comment\n\n; another\n" + text,
        text.replace("=", " = "),
        "\n".join(lines) + "\n\n\n",
        text + "\x00\x07",
    ):
        assert what in older_file(other)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[environment:default]\n", "answers file"),
        ("OVEHOSTED_VM/vmVCpus=str:4\n", "answers file"),
        ("[notify]\nstate_transition = up|down\n", "broker.conf"),
        ("[email]\nsmtp-server=mail\n", "broker.conf"),
        ("[score]\nbase-score=3400\n", "agent.conf"),
        ("memSize=4096\nvmName=HostedEngine\n", "vm.conf"),
        ("domainType=iscsi\nsdUUID=x\n", "hosted-engine.conf"),
    ],
)
def test_as_short_as_they_can_be(text: str, what: str) -> None:
    assert what in older_file(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "host_id: 1\nhost_name: h1\n",
        "storage: {path: /x}\n",
        "a = b\n",
        "name=value\nother=value\n",
        "vmName=HostedEngine\n",
        "[email]",
        "[score]\n",
        "[a, b]",
        '[{at: 10, do: "engine kill"}]',
        "notifications:\n  smtp:\n    body: |\n      [email]\n      smtp-server=x\n",
        "body: 'first\n\n  smtp-server=x\n\n  base-score=1'\n",
        "<domain/>",
        DOMAIN_XML,
        "[Unit]\nDescription=x\n",
    ],
)
def test_what_is_none_of_them(text: str) -> None:
    assert older_file(text) == ""


def test_every_example_of_ours_is_none_of_them() -> None:
    files = [*REPOSITORY.glob("tests/scenarios/*/*.yaml"), *REPOSITORY.glob("docs/**/*.y*ml")]
    assert len(files) > 100
    assert [file for file in files if older_file(file.read_text())] == []


@pytest.mark.parametrize("text", [BROKER_CONF, AGENT_CONF, ANSWERS, HOSTED_ENGINE_CONF, VM_CONF])
def test_typed_as_a_value(text: str) -> None:
    with pytest.raises(UsageError, match=r"this is .*oVirt's"):
        parse_value(text, ("notifications",))


def test_a_file_given_where_a_value_belongs() -> None:
    with pytest.raises(UsageError, match="only vm_conf takes @FILE"):
        parse_value("@/etc/ovirt-hosted-engine-ha/broker.conf", ("notifications",))


def test_a_recipient_of_that_name_is_one() -> None:
    assert parse_value("[email]", ("notifications", "smtp", "to")) == ["email"]


def test_the_guide_s_answers_can_be_used() -> None:
    text = (REPOSITORY / GUIDE).read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    found = answers(parse_yaml(example))
    assert found.creates and storage_parts(found, 512).lease.path == "/srv/engine/leases"


def test_the_guide_is_there_and_names_each_file() -> None:
    guide = (REPOSITORY / GUIDE).read_text()
    for name in ("[environment:", "hosted-engine.conf", "vm.conf", "broker.conf", "agent.conf"):
        assert name in guide
