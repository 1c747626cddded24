# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Plug-ins in real processes: what they say, all that they can do wrong, and their end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.processes import is_running
from tests.unit.plugin_bench import code, install
from world.host import plugin_main, plugin_supervisor
from world.host.plugin_main import CPU_S, GROUP
from world.host.plugin_supervisor import PluginChild
from world.ports.errors import WorldError
from world.ports.plugins import PluginWord

FACTOR = float(os.environ.get("HE_TIME_FACTOR", "1"))
LONG_S = 20 * FACTOR
SHORT_S = 0.4 * FACTOR
EXAMPLE = Path(__file__).resolve().parents[2] / "docs/examples/mdraid"

Make = Callable[..., PluginChild]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("plugins")
    install(directory)
    return directory


@pytest.fixture
def make(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setenv("PYTHONPATH", str(installed))
    children: list[PluginChild] = []

    def start(name: str, **options: str) -> PluginChild:
        children.append(PluginChild(name, options))
        return children[-1]

    yield start
    for child in children:
        child.close()


def pid_of(child: PluginChild) -> int:
    assert child._process is not None
    return child._process._child.pid


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def refusal(child: PluginChild, timeout_s: float = LONG_S) -> str:
    with pytest.raises(WorldError) as caught:
        child.measure(timeout_s)
    return str(caught.value)


# --- what it says -----------------------------------------------------------------------------


def test_one_process_measures_again_and_again(make: Make) -> None:
    child = make("fine")
    words = [child.measure(LONG_S) for _ in range(3)]
    assert words == [PluginWord(0.25, f"asked {number} times") for number in (1, 2, 3)]


def test_a_function_that_makes_it_gets_the_options_too(make: Make) -> None:
    assert make("function", share="1").measure(LONG_S).share == 0.5
    assert make("fine", share="1").measure(LONG_S).share == 1


@pytest.mark.parametrize(
    ("result", "word"),
    [
        ("(0, '')", PluginWord(0, "")),
        ("(1, 'all')", PluginWord(1, "all")),
        ("[0.5, 'a list']", PluginWord(0.5, "a list")),
        ("(None, 'not known')", PluginWord(None, "not known")),
        ("(0, 'two\\nlines\\tand \\x07')", PluginWord(0, "two lines and ?")),
        ("(0, 'x' * 10**7)", PluginWord(0, "x" * 300)),
    ],
)
def test_what_it_may_say(make: Make, result: str, word: PluginWord) -> None:
    assert make("measures", result=result).measure(LONG_S) == word


@pytest.mark.parametrize(
    ("result", "why"),
    [
        ("None", "measure() gave None; allowed: a pair (share, detail)"),
        ("0.5", "measure() gave 0.5; allowed: a pair (share, detail)"),
        ("(0, 'a', 'b')", "allowed: a pair (share, detail)"),
        ("(True, 'x')", "measure() gave the share True; allowed: a number from 0 to 1, or None"),
        ("('0', 'x')", "measure() gave the share '0'"),
        ("(1.01, 'x')", "measure() gave the share 1.01"),
        ("(-1, 'x')", "measure() gave the share -1"),
        ("(float('nan'), 'x')", "measure() gave the share nan"),
        ("(0, None)", "measure() gave the detail None; allowed: a text"),
        ("(0, b'x')", "measure() gave the detail b'x'; allowed: a text"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("sys.exit(3)", "SystemExit: 3"),
        ("exec('raise KeyboardInterrupt')", "KeyboardInterrupt"),
    ],
)
def test_what_it_may_not_say_harms_no_later_word(make: Make, result: str, why: str) -> None:
    child = make("measures", result=result)
    for _ in range(2):  # no pause: its process is in order
        message = refusal(child)
        assert message.startswith("can't measure by plug-in measures: ")
        assert why in message
    assert is_running(pid_of(child))


# --- what it does wrong -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("time.sleep(3600)", "no answer within"),
        ("while True: pass", "no answer within"),
        ("ctypes.PyDLL(None).sleep(3600)", "no answer within"),  # with the interpreter's lock
        ("signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65)); time.sleep(3600)", "no answer"),
        ("os.kill(os.getpid(), signal.SIGSTOP)", "no answer within"),
        ("os._exit(3)", "it ended with exit code 3"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "it was ended by SIGSEGV"),
        ("os.closerange(3, 100)", "it ended with exit code"),
        ("[os.write(number, b'garbage\\n') for number in (4, 5)]", "what it said is no answer"),
        ("os.write(4, b'x' * 10**6); time.sleep(3600)", "what it said is no answer"),
        ("os.write(4, b'[' * 50000 + b'\\n')", "what it said is no answer"),
        ('os.write(4, b\'{"number": 1, "share": 7, "detail": ""}\\n\')', "is no answer"),
    ],
)
def test_a_process_that_is_no_use_is_ended(make: Make, text: str, why: str) -> None:
    child = make("does", **code(text))
    warm_up = make("fine")
    warm_up.measure(LONG_S)
    message = refusal(child, SHORT_S + 1)
    assert message.startswith("can't measure by plug-in does: ")
    assert why in message
    assert message.endswith("; left alone for 10 s")
    assert child._process is None
    assert warm_up.measure(LONG_S).detail == "asked 2 times"


def test_time_that_is_over_is_over(make: Make) -> None:
    child = make("does", code="time.sleep(self.__dict__.setdefault('naps', [0, 3600]).pop(0))")
    child.measure(LONG_S)
    begun_s = time.monotonic()
    refusal(child, SHORT_S)
    assert SHORT_S * 0.9 < time.monotonic() - begun_s < SHORT_S + 2 * FACTOR


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nobody", "no such plug-in is installed; installed: absent, broken, does, fine"),
        ("broken", "RuntimeError: its import fails"),
        ("absent", "ModuleNotFoundError: No module named 'no_such_module_for_tests'"),
    ],
)
def test_one_that_can_not_be_had(make: Make, name: str, why: str) -> None:
    message = refusal(make(name))
    assert message.startswith(f"can't measure by plug-in {name}: ")
    assert why in message


def test_one_that_can_not_be_made(make: Make) -> None:
    assert "ValueError: no" in refusal(make("does", first="raise ValueError('no')"))


def test_one_whose_start_hangs(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_supervisor, "PLUGIN_START_S", 1.0 * FACTOR)
    child = make("does", first="time.sleep(3600)")
    assert "no answer within" in refusal(child)


def test_what_it_prints_and_reads_leads_nowhere(make: Make) -> None:
    text = """
        print('{"number": 1}' * 10000, flush=True)
        print("x" * 10**6, file=sys.stderr, flush=True)
        assert sys.stdin.read() == ""
    """
    child = make("does", **code(text))
    assert [child.measure(LONG_S).share for _ in range(2)] == [0, 0]


# --- the pause after a failure ----------------------------------------------------------------


def test_it_is_left_alone_for_longer_and_longer(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = make("does", code="os._exit(1)")
    real_s = time.monotonic
    skipped_s = [0.0]
    monkeypatch.setattr(plugin_supervisor.time, "monotonic", lambda: real_s() + skipped_s[0])
    pauses = []
    for _ in range(5):
        message = refusal(child)
        assert refusal(child) == message  # told alike while it lasts, and nothing is started
        assert child._process is None
        pauses.append(float(message.rpartition(" for ")[2].split()[0]))
        skipped_s[0] += pauses[-1]
    assert pauses == [10, 30, 120, 600, 600]


def test_one_that_lived_long_begins_with_the_shortest_pause(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = make(
        "does", code="os._exit(1) if self.__dict__.setdefault('n', [1]) == [] else self.n.pop()"
    )
    real_s = time.monotonic
    skipped_s = [0.0]
    monkeypatch.setattr(plugin_supervisor.time, "monotonic", lambda: real_s() + skipped_s[0])
    for skip_s, pause in ((0, "10 s"), (10, "30 s"), (30, "120 s")):
        skipped_s[0] += skip_s
        child.measure(LONG_S)
        assert refusal(child).endswith(pause)
    skipped_s[0] += 120
    child.measure(LONG_S)
    skipped_s[0] += plugin_supervisor.LONG_LIFE_S
    assert refusal(child).endswith("left alone for 10 s")


# --- what its process is like -----------------------------------------------------------------


def test_its_process_is_a_modest_one(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    inherited = os.open(os.devnull, os.O_RDONLY)
    child = make("tells", file=str(tmp_path / "told"))
    assert child.measure(LONG_S).detail == "told"
    os.close(inherited)
    told: dict[str, Any] = json.loads((tmp_path / "told").read_text())
    assert told["group"] == told["session"] == told["pid"] != os.getpgid(0)
    assert told["nice"] == min(19, os.nice(0) + 10)
    assert (told["cwd"], told["stdin"], told["cpu_s"], told["oom"]) == ("/", "", CPU_S, "500")
    assert told["umask"] == 0o077
    assert set(told["environment"]) <= {"PATH", "LANG", "PYTHONPATH", "LC_CTYPE"}
    # three that lead nowhere, two pipes, and the directory that is being listed
    assert told["files"] == 6
    assert "NoNewPrivs:\t1" in told["status"]
    assert "SigBlk:\t0000000000000000" in told["status"]


def test_its_options_are_not_in_the_list_of_processes(make: Make) -> None:
    child = make("fine", password="swordfish")
    child.measure(LONG_S)
    assert b"swordfish" not in Path(f"/proc/{pid_of(child)}/cmdline").read_bytes()
    assert b"swordfish" not in Path(f"/proc/{pid_of(child)}/environ").read_bytes()


def test_one_that_burns_cpu_beside_its_measurements_is_ended(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = """
        import resource
        resource.setrlimit(resource.RLIMIT_CPU, (1, 1))  # what the process has, sooner
        def burn():
            while True: pass
        threading.Thread(target=burn, daemon=True).start()
    """
    child = make("does", first=code(first)["code"])
    child.measure(LONG_S)
    pid = pid_of(child)
    wait_for(lambda: not is_running(pid))
    assert "it was ended by SIG" in refusal(child)


# --- its end ----------------------------------------------------------------------------------


def test_what_it_started_ends_with_it(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    text = f"""
        child = subprocess.Popen(["sleep", "3600"])
        Path({str(file)!r}).write_text(str(child.pid))
        time.sleep(3600)
    """
    child = make("does", **code(text))
    refusal(child, 1 * FACTOR)
    wait_for(lambda: not is_running(int(file.read_text())))


def test_closing_ends_it_and_a_measurement_under_way(make: Make, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    child = make("does", code=f"Path({str(begun)!r}).touch(); time.sleep(3600)")
    failures: list[str] = []
    thread = threading.Thread(target=lambda: failures.append(refusal(child, 3600)))
    thread.start()
    wait_for(begun.exists)
    pid = pid_of(child)
    child.close()
    thread.join(LONG_S)
    assert not thread.is_alive()
    assert "it was ended by SIGKILL" in failures[0]
    assert not is_running(pid)
    refusal(child)  # and it is not started again
    assert child._process is None


def test_one_that_was_closed_before_it_began_never_does(make: Make) -> None:
    child = make("fine")
    child.close()
    assert "it was ended" in refusal(child)
    assert child._process is None


BROKER = """
import sys, threading, time
from pathlib import Path
from world.host.plugin_supervisor import PluginChild
begun, text = sys.argv[1:]
child = PluginChild("does", {"code": f"Path({begun!r}).touch(); {text}"})
def measure():  # in a thread that stays, as the broker's do: the child ends with it
    child.measure(3600)
    time.sleep(3600)
threading.Thread(target=measure, daemon=True).start()
while not Path(begun).exists():
    time.sleep(0.01)
print(child._process._child.pid, flush=True)
time.sleep(3600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(
    "text",
    ["pass", "time.sleep(3600)", "exec('while True: pass')", "ctypes.PyDLL(None).sleep(3600)"],
)
def test_it_ends_with_the_broker_however_that_ends(
    installed: Path, tmp_path: Path, number: signal.Signals, text: str
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", BROKER, str(tmp_path / "begun"), text]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as broker:
        assert broker.stdout is not None
        pid = int(broker.stdout.readline())
        there = is_running(pid)
        broker.send_signal(number)
    assert there
    wait_for(lambda: not is_running(pid))


# --- the example ------------------------------------------------------------------------------

MDSTAT = """Personalities : [raid1]
md0 : active raid1 sdb1[1] sda1[0]
      1046528 blocks super 1.2 [2/2] [UU]

md1 : active raid1 sda2[0]
      1046528 blocks super 1.2 [2/1] [U_]

unused devices: <none>
"""


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target, source = tmp_path_factory.mktemp("target"), tmp_path_factory.mktemp("source")
    for path in EXAMPLE.iterdir():  # building leaves things beside the sources
        if path.is_file():
            (source / path.name).write_bytes(path.read_bytes())
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    options = ["--no-index", "--disable-pip-version-check", "--target", str(target), str(source)]
    done = subprocess.run([*pip, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.parametrize(
    ("array", "word"),
    [
        ("md0", PluginWord(0, "md0: 2 of 2 disks")),
        ("md1", PluginWord(0.5, "md1: 1 of 2 disks")),
    ],
)
def test_the_example_of_the_manual_is_installed_and_runs(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, array: str, word: PluginWord
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(example))
    file = tmp_path / "mdstat"
    file.write_text(MDSTAT)
    child = PluginChild("mdraid", {"array": array, "file": str(file)})
    try:
        assert child.measure(LONG_S) == word
        file.write_text("")
        assert child.measure(LONG_S) == PluginWord(None, f"no array {array} in {file}")
        file.unlink()
        assert "FileNotFoundError" in refusal(child)
    finally:
        child.close()


def test_the_list_of_python_3_9_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        name = "raid"

        def load(self) -> Callable[[dict[str, str]], object]:
            return dict

    monkeypatch.setattr("importlib.metadata.entry_points", lambda: {GROUP: (Entry(),)})
    assert plugin_main.load("raid", {"array": "md0"}) == {"array": "md0"}
    monkeypatch.setattr("importlib.metadata.entry_points", dict)
    with pytest.raises(plugin_main.PluginFaultError, match="installed: none"):
        plugin_main.load("raid", {})
