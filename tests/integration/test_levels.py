# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""How a run of the levels is interrupted, from a terminal or by a signal to it alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import levels

ROOT = Path(__file__).resolve().parents[2]

# Runs one level whose tests are a script that cleans up when it is interrupted.
RUN = """
import sys
from tests import levels
levels._set_up = lambda _levels: sys.argv[1]
sys.exit(levels.main(sys.argv[2:]))
"""
TESTS = """#!/bin/sh
trap 'sleep 0.2; echo cleaned up; exit 2' INT
echo begun > {pipe}
while :; do sleep 0.05; done
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("whole_group", [True, False])
def test_interrupted_tests_clean_up_before_the_run_ends(
    tmp_path: Path, number: signal.Signals, whole_group: bool
) -> None:
    pipe, script = tmp_path / "pipe", tmp_path / "tests"
    os.mkfifo(pipe)
    script.write_text(TESTS.format(pipe=pipe))
    script.chmod(0o755)
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, str(script), "unit"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    pipe.read_text()
    if whole_group:
        os.killpg(run.pid, number)
    else:
        run.send_signal(number)
    out, err = run.communicate()
    assert (run.returncode, err) == (130, b"tests/run: interrupted\n")
    assert out.count(b"cleaned up\n") == 1


def test_what_makes_the_environment_is_installed_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fresh Debian's Python makes none: the module that brings pip is in another package."""
    done: list[str] = []
    monkeypatch.setattr(levels, "VENV", tmp_path / "venv")
    monkeypatch.setattr(levels, "_install_packages", lambda _levels, more: done.extend(more))
    monkeypatch.setattr(levels, "_run", lambda command: done.append(" ".join(command)))
    (tmp_path / "venv").mkdir()
    levels._set_up(["unit"])
    assert done[0] == "python3-venv"
    assert done[1].startswith("/usr/bin/python3 -m venv ")


# --- a level beside the pure ones -----------------------------------------------------

# The pure level ends only when the other one has begun, which ends only when that one has.
TWO = """#!/bin/sh
case "$*" in
*tests/contract) trap 'touch {pipes}/cleaned; exit 2' INT
   echo begun > {pipes}/contract; read word < {pipes}/unit; echo "said contract, $word"
   [ "$word" = good ] ;;
*) trap 'echo cleaned up unit; exit 2' INT
   read word < {pipes}/contract; echo "said unit"; {then} ;;
esac
"""


def run_two(pipes: Path, then: str) -> subprocess.Popen[str]:
    for name in ("contract", "unit", "waits"):
        os.mkfifo(pipes / name)
    tests = script(pipes / "tests", TWO.format(pipes=pipes, then=then).partition("\n")[2])
    return subprocess.Popen(
        [sys.executable, "-c", RUN, tests, "contract", "unit"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(("word", "code"), [("good", 0), ("bad", 1)])
def test_what_waits_for_daemons_runs_beside_the_pure_levels(
    tmp_path: Path, word: str, code: int
) -> None:
    """Its words come in one piece, after theirs; its failure is the run's."""
    run = run_two(tmp_path, f"echo {word} > {tmp_path}/unit")
    out, _ = run.communicate()
    assert run.returncode == code
    said = [line for line in out.splitlines() if not line.startswith("===")]
    last = "every level passed" if code == 0 else "failed: contract"
    assert said == ["said unit", f"said contract, {word}", f"tests/run: {last}"]


def test_an_interruption_reaches_the_level_beside_the_others(tmp_path: Path) -> None:
    run = run_two(tmp_path, f"echo now > {tmp_path}/waits; while :; do sleep 0.05; done")
    (tmp_path / "waits").read_text()
    run.send_signal(signal.SIGINT)
    out, err = run.communicate()
    assert (run.returncode, err) == (130, "tests/run: interrupted\n")
    assert "cleaned up unit" in out
    assert (tmp_path / "cleaned").exists()


# --- another interpreter --------------------------------------------------------------


@pytest.fixture
def told_apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A run in this process: what it sets for the whole process is set back."""
    monkeypatch.setenv("HE_LAB_STATE", "/nowhere")
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    former = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.usefixtures("told_apart")
@pytest.mark.parametrize(
    ("says", "error"),
    [
        ("echo cpython 3.8.18", "is Python 3.8.18; 3.9 is the oldest that will do"),
        ("echo cpython 2.7.18", "is Python 2.7.18; 3.9 is the oldest that will do"),
        ("echo hello", "is no Python that can be run"),
        ("echo there is no version; exit 3", "there is no version"),
    ],
)
def test_an_interpreter_that_will_not_do_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], says: str, error: str
) -> None:
    python = script(tmp_path / "python", says)
    assert levels.main(["--python", python, "unit"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("tests/run: ") and python in said and error in said


@pytest.mark.usefixtures("told_apart")
def test_an_interpreter_that_is_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert levels.main(["--python", str(tmp_path / "none"), "unit"]) == 1
    assert f"{tmp_path}/none is no Python that can be run" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["contract"], ["lint"], ["unit", "lab"], ["--distribution-packages"]]
)
def test_another_interpreter_is_for_the_pure_levels(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        levels.main(["--python", "/nowhere/python", *words])
    assert caught.value.code == 2
    assert "no level" in (err := capsys.readouterr().err) or "not allowed with" in err


@pytest.mark.usefixtures("told_apart")
def test_another_interpreter_has_an_environment_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made by it, kept, and made anew when what the sources ask for has changed."""
    monkeypatch.setattr(levels, "ROOT", tmp_path)
    pinned, builder = tmp_path / "requirements.txt", tmp_path / "build-requirements.txt"
    pinned.write_text("a==1 --hash=sha256:0\n")
    monkeypatch.setattr(levels, "REQUIREMENTS", pinned)
    monkeypatch.setattr(levels, "BUILD_REQUIREMENTS", builder)
    monkeypatch.setattr(
        levels, "_passes", lambda level, python, nice: ran.append((level, python)) or True
    )
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    ran: list[tuple[str, str]] = []
    calls = tmp_path / "calls"
    inside = f"{tmp_path}/.venv-pypy-3.9.16/bin/python"
    # `-m venv` of the stand-in makes the environment's Python, which notes what it is asked for.
    python = script(
        tmp_path / "python",
        f"""case "$*" in
        -c*) echo pypy 3.9.16 ;;
        --version) echo Python 3.9.16 ;;
        *) echo "made $*" >> {calls}; mkdir -p {Path(inside).parent}
           printf '#!/bin/sh\\necho "$*" >> {calls}\\n' > {inside}; chmod +x {inside} ;;
        esac""",
    )
    for _ in range(2):
        assert levels.main(["--python", python, "fsm", "unit"]) == 0
    pip = "-m pip install --quiet"
    made = [
        f"made -m venv --clear {tmp_path}/.venv-pypy-3.9.16",
        f"{pip} --ignore-installed --require-hashes --requirement {builder}",
        # PyPy has no wheel of some, and more than setuptools builds them.
        f"{pip} --ignore-installed --require-hashes --requirement {pinned}",
        f"{pip} --no-build-isolation --no-deps -e {tmp_path}",
    ]
    assert calls.read_text().splitlines() == made
    assert ran == [("unit", inside), ("fsm", inside)] * 2
    pinned.write_text("a==2 --hash=sha256:0\n")
    assert levels.main(["--python", python, "sim"]) == 0
    assert len(calls.read_text().splitlines()) == 8
