# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Work in a new interpreter, as who has threads needs it."""

from __future__ import annotations

import errno
import os
import pickle
import select
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Callable

import pytest

from hosted_engine.errors import CommandError, UsageError
from hosted_engine.host import anew
from hosted_engine.host.anew import within_deadline_anew
from metadata.records import VolumeAddress
from tests.unit import apart_jobs
from world.ports.errors import LeaseHeldError, LockspaceError, StorageError, WorldError
from world.ports.notifications import DeliveryError
from world.storage.direct_store import DirectStore

FACTOR = float(os.environ.get("HE_TIME_FACTOR", "1"))
LONG_S = 60.0 * FACTOR
ROOT = Path(__file__).resolve().parents[2]


def apart(job: Callable[[], Any], deadline_s: float = LONG_S) -> Any:
    return within_deadline_anew(job, "the storage", deadline_s)


# --- the result -------------------------------------------------------------------------------


def test_result_comes_back_from_another_process_in_a_group_of_its_own() -> None:
    process, parent, group = apart(apart_jobs.who)
    assert parent == os.getpid()
    assert process == group != os.getpgid(0)


@pytest.mark.parametrize("size", [0, 3_000_000])
def test_job_and_result_of_any_size_come_over_whole(size: int) -> None:
    assert apart(partial(apart_jobs.same, b"x" * size)) == b"x" * size


def test_error_comes_back_as_what_it_is() -> None:
    with pytest.raises(UsageError, match="the offset is refused") as caught:
        apart(apart_jobs.refuse_usage)
    assert caught.value.exit_code == 2


def test_the_worlds_refusal_comes_back_with_its_number() -> None:
    with pytest.raises(StorageError, match="read 4096 bytes: no such device") as caught:
        apart(partial(apart_jobs.refuse_storage, errno.ENXIO))
    assert caught.value.errno == errno.ENXIO
    with pytest.raises(LockspaceError, match="read the lease: there is none") as refused:
        apart(partial(apart_jobs.refuse_lockspace, -223))
    assert type(refused.value) is LockspaceError
    assert (refused.value.what, refused.value.why) == ("read the lease", "there is none")
    assert refused.value.errno == -223


@pytest.mark.parametrize(
    "error", [WorldError("a", "b"), LeaseHeldError("a", "b", 7), DeliveryError("a", "b", True)]
)
def test_each_error_of_the_world_is_the_same_afterwards(error: WorldError) -> None:
    again = apart(partial(apart_jobs.same, error))
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_bug_comes_back_by_its_name() -> None:
    with pytest.raises(RuntimeError, match=r"ZeroDivisionError: oops"):
        apart(apart_jobs.crash)


def test_job_that_can_not_be_given_away_is_a_bug_told_at_once() -> None:
    before = apart_jobs.open_files()
    with pytest.raises((AttributeError, pickle.PicklingError), match="local object"):
        apart(lambda: None)
    assert apart_jobs.open_files() == before


# --- hanging ----------------------------------------------------------------------------------


def test_work_that_does_not_end_is_given_up_in_time() -> None:
    begun_s = time.monotonic()
    with pytest.raises(CommandError, match=r"the storage has not answered for 0 s"):
        apart(apart_jobs.hang, 0.2)
    assert time.monotonic() - begun_s < 5 * FACTOR


def slow_interpreter(seconds: float) -> str:
    """What a new interpreter is told to do on a host that is very busy."""
    return f"import time; time.sleep({seconds}); {anew._BEGIN}"


def test_deadline_is_the_jobs_and_not_its_interpreters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anew, "_BEGIN", slow_interpreter(1.5 * FACTOR))
    assert apart(partial(apart_jobs.same, 7), 1.0 * FACTOR) == 7


def test_interpreter_that_never_begins_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anew, "_BEGIN", slow_interpreter(LONG_S))
    monkeypatch.setattr(anew, "BEGIN_DEADLINE_S", 0.2)
    told = r"^the storage could not be asked: on this host a process did not even begin within 0 s"
    with pytest.raises(CommandError, match=told):
        apart(apart_jobs.who)


def test_worker_that_is_killed_is_told() -> None:
    with pytest.raises(CommandError, match="could not be asked"):
        apart(apart_jobs.die)


def test_storage_that_hangs_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "leases")  # whoever opens it for reading waits for a writer
    read = DirectStore(read_only=True).read
    with pytest.raises(CommandError, match="has not answered"):
        apart(partial(read, VolumeAddress(str(tmp_path / "leases")), 4096), 0.5)


def test_work_that_is_given_up_takes_along_what_it_began(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    worker = anew.Anew(partial(apart_jobs.have_it_held, str(pipe)))
    try:
        assert select.select([reading], [], [], LONG_S)[0]
        assert os.read(reading, 100) == b"here"
    finally:
        worker.end()
    assert select.select([reading], [], [], 10 * FACTOR)[0], "it still holds the pipe"
    assert os.read(reading, 100) == b""
    os.close(reading)


ENDS_WHILE_ITS_WORKER_HANGS = """
from hosted_engine.host import anew, apart
from hosted_engine.errors import CommandError
from tests.unit import apart_jobs
apart._end = lambda child: print(child, flush=True)  # as if it could not be killed
try:
    anew.within_deadline_anew(apart_jobs.hang, "the storage", 0.2)
except CommandError as error:
    print(error)
"""


def test_nobody_waits_for_a_worker_that_can_not_be_killed() -> None:
    """Neither the command nor whoever reads its output to the end."""
    apart_jobs.judge_worker_left_behind(ENDS_WHILE_ITS_WORKER_HANGS, LONG_S)


# --- what it is made of -------------------------------------------------------------------------


def test_it_looks_for_modules_where_this_process_does() -> None:
    found = apart(apart_jobs.imports_from)
    assert found == sys.path or found == [*sys.path, str(ROOT)]


def test_nobody_else_has_a_hand_in_what_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither who owns the folder that the command is called in nor a variable."""
    for name in ("pickle", "struct", "select", "sitecustomize", "usercustomize"):
        (tmp_path / f"{name}.py").write_text("import os; os._exit(3)\n")
    monkeypatch.chdir(tmp_path)
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE"):
        monkeypatch.setenv(name, str(tmp_path))
    assert apart(apart_jobs.who)[1] == os.getpid()


def test_it_holds_nothing_of_ours(tmp_path: Path) -> None:
    with (tmp_path / "ours").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        found = apart(apart_jobs.open_files)
    pipes = [link for link in found.values() if link.startswith("pipe:")]
    assert [found[stream] for stream in (0, 1, 2)] == [os.devnull] * 3
    assert len(pipes) == 1
    assert all(link in (os.devnull, *pipes) for link in found.values())


IMPORT_AND_SHOW = """
import hosted_engine.host.anew, world.storage.direct_store
watched = ("hosted_engine", "ha_agent", "ha_broker", "world", "metadata", "subprocess", "http")
print(*[name for name in sys.modules if name.partition(".")[0] in watched])
"""


def test_reading_storage_takes_light_modules_alone() -> None:
    """Each is paid for with every read of a command that looks again and again."""
    program = f"import sys\nsys.path.append({str(ROOT)!r})\n{IMPORT_AND_SHOW}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    )
    ours = {"hosted_engine", "hosted_engine.errors", "hosted_engine.host", "metadata"}
    ours |= {f"hosted_engine.host.{name}" for name in ("alone", "anew", "apart")}
    ours |= {"world", "world.ports", "world.ports.errors", "world.service_user", "world.way_in"}
    ours |= {"world.storage", "world.storage.direct_store"}
    assert set(done.stdout.split()) == ours | {
        *("metadata.error_words", "metadata.plain_text", "metadata.records", "metadata.states"),
        "metadata.value_class",
    }
