# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The command's options, exit codes and errors; and the commands that ask the broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hosted_engine import checks
from hosted_engine.errors import CommandError
from hosted_engine.main import main
from metadata.settings.parse import EngineSettings
from simulation.world import SimHealthPage
from tests.unit.command_broker import HOST_YAML, FakeBroker, undeployed


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return undeployed(tmp_path, monkeypatch)


@pytest.fixture
def deployed(settings: Path) -> Path:
    settings.write_text(HOST_YAML)
    return settings


@pytest.fixture
def broker(deployed: Path) -> Iterator[FakeBroker]:
    server = FakeBroker(str(deployed.parent / "broker.sock"))
    yield server
    server.stop()


# --- options ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--nonsense"], "--nonsense"),
        (["--vm-status", "--deploy"], "not allowed with"),
        (["--check-deployed", "--timeout=3"], "--timeout goes with --vm-status or --explain or "),
        (["--vm-status", "--mode=local"], "--mode goes with --set-maintenance only"),
        (["--vm-status", "--force"], "--force goes with --"),
        (["--set-maintenance"], "needs --mode"),
        (["--set-maintenance", "--mode=all"], "'all'"),
        (["--deploy"], "needs --config-append"),
        (["--vm-status", "--timeout", "soon"], "'soon' is refused; allowed: seconds"),
        (["--vm-status", "--timeout=-1"], "'-1' is refused"),
        (["--vm-status", "--metadata", "/dev/x:2Q"], "'2Q' is refused"),
        (["--vm-status", "--metadata="], "--metadata: '' is refused"),
        (["--deploy", "--config-append="], "--config-append: '' is refused"),
        (["--deploy", "--config-append=a", "--config-append=b"], "--config-append: given twice"),
        (["--set-maintenance", "--mode=global", "--mode=none"], "--mode: given twice"),
        (["--check-deployed", "--timeout=0"], "--timeout goes with --vm-status or --explain or "),
    ],
)
def test_wrong_options_are_one_line_and_exit_code_2(
    arguments: list[str], expected: str, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert expected in output.err
    assert output.err.startswith("hosted-engine: ")
    assert output.err.count("\n") == 1


def test_nothing_at_all_shows_what_there_is_and_has_done_nothing(
    settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As oVirt's own command: its scripts look for that code and read standard output."""
    assert main([]) == 1
    shown = capsys.readouterr()
    assert main(["--help"]) == 0
    assert shown == capsys.readouterr()
    assert shown.out.startswith("usage: hosted-engine COMMAND")
    assert shown.err == ""


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("hosted-engine ")


# --- a host that is not deployed --------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--vm-status"],
        ["--check-deployed"],
        ["--check-liveliness"],
        ["--vm-start"],
        ["--vm-shutdown"],
        ["--vm-poweroff"],
        ["--set-maintenance", "--mode=none"],
    ],
)
def test_undeployed_host_says_so(
    arguments: list[str], settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert capsys.readouterr().out == "You must run deploy first\n"


@pytest.mark.parametrize(
    "arguments", [["--vm-status"], ["--check-deployed"], ["--set-maintenance", "--mode=none"]]
)
def test_settings_that_may_not_be_looked_at_are_named(
    arguments: list[str],
    settings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refused(_path: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.stat", refused)
    code = main(arguments)
    monkeypatch.undo()
    output = capsys.readouterr()
    assert (code, output.out) == (1, "")
    assert output.err == f"hosted-engine: {settings}: can't be looked at: Permission denied\n"


def test_undeployed_host_says_so_in_json(
    settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--vm-status", "--json"]) == 1
    output = capsys.readouterr()
    assert json.loads(output.out) == {"error": "You must run deploy first"}
    assert output.err == ""


def test_deployed_host(deployed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check-deployed"]) == 0
    assert capsys.readouterr().out == ""


def test_broken_settings_are_named(deployed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deployed.write_text("host_id: many\n")
    assert main(["--vm-start"]) == 1
    error = capsys.readouterr().err
    assert "host_id: 'many' is refused" in error
    assert error.count("\n") == 1


# --- --vm-status ------------------------------------------------------------------------------


def test_broker_that_is_gone_is_one_line_with_advice(
    deployed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--vm-status"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert "--metadata" in output.err
    assert "broker.sock" in output.err


def test_broker_that_is_gone_is_one_document_in_json(
    deployed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--vm-status", "--json"]) == 1
    output = capsys.readouterr()
    assert output.err == ""
    assert list(json.loads(output.out)) == ["error"]


@pytest.mark.parametrize("wrong", ["--timeout=x", "--force", "--nonsense", "--vm-start"])
def test_wrong_option_with_json_is_a_document_too(
    wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--vm-status", "--json", wrong]) == 2
    assert list(json.loads(capsys.readouterr().out)) == ["error"]


def test_status_from_the_broker(broker: FakeBroker, capsys: pytest.CaptureFixture[str]) -> None:
    broker.tell()
    assert main(["--vm-status", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["1"]["engine-status"] == {"vm": "up", "health": "good", "detail": "Up"}
    assert data["1"]["live-data"] is True
    assert main(["--vm-status"]) == 0
    assert "--== Host h1 (id: 1) status ==--" in capsys.readouterr().out


def test_metadata_needs_no_deployment(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = tmp_path / "metadata"
    volume.write_bytes(bytes(4096 * 2001))
    assert main(["--vm-status", "--json", "--metadata", str(volume)]) == 0
    assert json.loads(capsys.readouterr().out) == {"global_maintenance": False}


def test_bug_is_one_document_too(
    broker: FakeBroker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(_status: object) -> str:
        raise ZeroDivisionError("oops")

    broker.tell()
    monkeypatch.setattr("hosted_engine.status.command.status_json", crash)
    assert main(["--vm-status", "--json"]) == 1
    assert "unexpected ZeroDivisionError: oops" in json.loads(capsys.readouterr().out)["error"]


# --- output that can't be written, waits that are interrupted --------------------------------


def run_alone(
    *arguments: str, stdout: Any = subprocess.PIPE, unbuffered: str = ""
) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own, whose exit belongs to what is tested."""
    return subprocess.run(
        [sys.executable, "-m", "hosted_engine.main", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        check=False,
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_reader_that_has_gone_is_no_noise(unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = run_alone("--help", stdout=writing, unbuffered=unbuffered)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_full_disk_behind_stdout_is_one_line(
    unbuffered: str, json_too: list[str], settings: Path
) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run_alone("--vm-status", *json_too, stdout=full, unbuffered=unbuffered)
    assert done.returncode == 1
    assert done.stderr == b"hosted-engine: the output can't be written: No space left on device\n"


def test_refusal_of_the_system_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HE_SETTINGS", "/" + "x" * 300)
    assert main(["--check-deployed"]) == 1
    error = capsys.readouterr().err
    assert "File name too long" in error
    assert "bug" not in error
    assert error.count("\n") == 1


def test_control_characters_never_reach_the_terminal() -> None:
    message = CommandError("it said \x1b[2J\x07\x9b1m, \udcff\nand h\u00f6st").message
    assert message == "it said \\x1b[2J\\x07\\x9b1m, \\udcff and h\u00f6st"


def test_interrupt_is_one_document_in_json(
    broker: FakeBroker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_timeout_s: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hosted_engine.cluster.from_broker.read_from_broker", interrupted)
    assert main(["--vm-status", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"error": "interrupted"}


# --- --check-liveliness -----------------------------------------------------------------------

SETTINGS = EngineSettings(health_url="http://engine/health")


@pytest.mark.parametrize(("good", "code", "text"), [(True, 0, "is up!"), (False, 1, "is not up!")])
def test_liveliness(good: bool, code: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = SimHealthPage(good=good)
    assert checks.look_at_health(page, SETTINGS) == code
    assert capsys.readouterr().out == f"Hosted Engine {text}\n"
    assert page.calls == ["http://engine/health"]


def test_liveliness_says_beside_its_answer_why(capsys: pytest.CaptureFixture[str]) -> None:
    page = SimHealthPage(False, "Connection refused")
    assert checks.look_at_health(page, SETTINGS) == 1
    output = capsys.readouterr()
    assert output.out == "Hosted Engine is not up!\n"
    assert output.err == "hosted-engine: the engine's health page: Connection refused\n"
    assert checks.look_at_health(SimHealthPage(True), SETTINGS) == 0
    assert capsys.readouterr().err == ""


def test_liveliness_without_a_page_says_what_is_missing() -> None:
    with pytest.raises(CommandError, match=r"engine\.health_url"):
        checks.look_at_health(SimHealthPage(), EngineSettings())


def test_liveliness_in_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert checks.look_at_health(SimHealthPage(False, "refused"), SETTINGS, as_json=True) == 1
    output = capsys.readouterr()
    assert json.loads(output.out) == {"up": False, "detail": "refused"}
    assert output.err == ""
    assert checks.look_at_health(SimHealthPage(True), SETTINGS, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["up"] is True


def test_check_deployed_in_json(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check-deployed", "--json"]) == 1
    assert list(json.loads(capsys.readouterr().out)) == ["error"]
    settings.write_text(HOST_YAML)
    assert main(["--check-deployed", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"deployed": True}
