# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --simulate``: its exit codes, its errors, and the settings of this host."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hosted_engine.errors import CommandError
from hosted_engine.main import main
from hosted_engine.simulate import command
from hosted_engine.simulate.grammar import VERBS, Verb
from hosted_engine.simulate.run import Story, tell
from hosted_engine.simulate.script import parse_script
from metadata.settings.parse import ClusterSettings, Timing
from metadata.shared_config import SharedConfig
from simulation.cluster import SimCluster
from simulation.errors import SimulationError
from simulation.settings import _ENGINE, _HOST, _TOP, parse_world

WORLD = "hosts: 2\ncluster: {timing: {io_timeout_s: 2}}\n"
SCRIPT = '- {at: 10, do: "engine kill"}\n- {until: 40}\n'


@pytest.fixture(autouse=True)
def undeployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings = tmp_path / "host.yaml"
    monkeypatch.setenv("HE_SETTINGS", str(settings))
    monkeypatch.setenv("HE_BROKER_SOCKET", str(tmp_path / "broker.sock"))
    return settings


class Files:
    """The two files that the command is given."""

    def __init__(self, directory: Path) -> None:
        self.world = directory / "world.yaml"
        self.script = directory / "script.yaml"
        self.world.write_text(WORLD)
        self.script.write_text(SCRIPT)

    def run(self) -> int:
        return main(["--simulate", str(self.world), str(self.script)])


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_tale_is_printed(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    assert files.run() == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert lines[2] == "   10.0 --  engine kill"
    assert lines[-1] == "the engine ran nowhere twice; no rule was broken"
    assert told.err == ""


def test_nothing_but_the_tale_is_printed(files: Files) -> None:
    command = [sys.executable, "-m", "hosted_engine.main", "--simulate"]
    done = subprocess.run(
        [*command, str(files.world), str(files.script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stderr == ""


def test_every_problem_of_both_files_is_told(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    files.world.write_text("hosts: 0\nseeds: 1\n")
    files.script.write_text('- {at: 5, do: "pover-off h1"}\n- {until: 1}\n')
    assert files.run() == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert [line.split(" ")[:3] for line in told.err.splitlines()] == [
        ["hosted-engine:", f"{files.world}:1:", "hosts:"],
        ["hosted-engine:", f"{files.world}:2:", "seeds:"],
        ["hosted-engine:", f"{files.script}:1:", "unknown"],
        ["hosted-engine:", f"{files.script}:2:", "until:"],
    ]


def test_refused_world_with_a_good_script(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    files.world.unlink()
    assert files.run() == 1
    assert capsys.readouterr().err == (
        f"hosted-engine: {files.world}: can't be read: No such file or directory\n"
    )


def test_script_for_hosts_that_the_world_has_not(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    files.script.write_text('- {at: 5, do: "power-off h3"}\n- {until: 10}\n')
    assert files.run() == 1
    assert "script.yaml:1: unknown host 'h3'; allowed: h1, h2" in capsys.readouterr().err


def test_broken_rule_ends_with_an_error(
    files: Files, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "tell", lambda *_args: Story((), ("two engines",)))
    assert files.run() == 1
    assert "rules broken: 1" in capsys.readouterr().err


def test_world_that_does_not_come_up(
    files: Files, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_cluster: SimCluster) -> None:
        raise SimulationError("the engine did not come up")

    monkeypatch.setattr(SimCluster, "bring_up", fail)
    assert files.run() == 1
    assert "can't begin: the engine did not come up" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--simulate"],
        ["--simulate", "world.yaml"],
        ["--simulate", "", "script.yaml"],
        ["--simulate", "a", "b", "c"],
        ["--simulate", "a", "b", "--vm-status"],
        ["--simulate", "a", "b", "--json"],
        ["--simulate", "a", "b", "--simulate", "a", "b"],
    ],
)
def test_wrong_options(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == ("--json" not in arguments)


# --- the settings that this host runs with ---------------------------------------------------


def test_settings_of_a_host_that_is_not_deployed(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    files.world.write_text("cluster: deployed\n")
    assert files.run() == 1
    assert "world.yaml:1: cluster: deployed: this host is not deployed" in capsys.readouterr().err


def test_settings_of_this_host_are_taken(
    files: Files, undeployed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undeployed.write_text("host_id: 1\nhost_name: h1\nstorage: {path: /shared/leases}\n")
    settings = ClusterSettings(timing=Timing(tick_s=3, io_timeout_s=2))
    monkeypatch.setattr(command, "shared_config", lambda *_: SharedConfig(1, settings, "<x/>"))
    assert command.deployed_settings() == settings


def test_settings_that_neither_broker_nor_storage_give(
    files: Files,
    undeployed: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_args: object) -> SharedConfig:
        raise CommandError("/shared/leases: can't be read")

    undeployed.write_text("host_id: 1\nhost_name: h1\nstorage: {path: /shared/leases}\n")
    monkeypatch.setattr(command, "shared_config", fail)
    files.world.write_text("cluster: deployed\n")
    assert files.run() == 1
    assert "cluster: deployed: /shared/leases: can't be read" in capsys.readouterr().err


def test_settings_of_a_host_whose_own_file_is_wrong(
    files: Files, undeployed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    undeployed.write_text("host_id: 0\n")
    files.world.write_text("cluster: deployed\n")
    assert files.run() == 1
    assert "cluster: deployed: " in capsys.readouterr().err


def test_command_stays_light(tmp_path: Path) -> None:
    code = (
        "import sys; from hosted_engine.main import main; main(['--check-deployed']); "
        "print([name for name in sys.modules if 'simulation' in name or name == 'yaml'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


MANUAL = (Path(__file__).resolve().parents[2] / "docs" / "simulate.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.pattern)
def test_the_manual_tells_of_each_verb(verb: Verb) -> None:
    """Each of its words stands behind its first one; arguments are in capitals."""
    codes = re.findall(r"`([^`\n]+)`", MANUAL)
    first, *rest = verb.tokens
    if first == "on":
        first, *rest = verb.tokens[2:]
        first = rest.pop(0) if first == "hosted-engine" else first
    told = {
        word
        for code in codes
        if code.split("=")[0].split()[0] == first
        for word in re.split(r"[ |\[\]]|--mode=|--signal=", code)
    }
    plain = [re.sub("--(mode|signal)=", "", word) for token in rest for word in token.split("|")]
    words = [word for word in plain if not re.fullmatch(r"[A-Z]+(\.\.\.)?", word)]
    assert told, first
    if verb.action != "verbs.set_maintenance":  # its modes are the command's own
        assert {*words} - {"--live", "--p2p"} <= told


@pytest.mark.parametrize("key", [*_HOST, *_ENGINE, *_TOP, *vars(ClusterSettings())])
def test_the_manual_tells_of_each_key_of_a_world(key: str) -> None:
    assert re.search(rf"`(?:hosts\.hN\.|engine\.)?{key}`", MANUAL)


def test_example_of_the_manual_is_no_mere_text() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", MANUAL, re.DOTALL)
    world = parse_world(blocks[0], deployed=ClusterSettings)
    script = parse_script(blocks[1], [host.name for host in world.hosts])
    lines = tell(world, script).lines
    assert any("EngineUp: the engine became healthy" in line for line in lines)
