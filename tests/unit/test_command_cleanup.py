# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""hosted-engine-cleanup: what is asked, what is refused, what is removed, and again."""

from __future__ import annotations

import errno
import io
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Optional

import pytest

from ha_broker.api.paths import history_dir
from ha_broker.notifications.state_files import MEMORY_FILE, QUEUE_FILE
from ha_broker.storage.local_maintenance import FLAG_NAME
from hosted_engine.deploy import command as deploy
from hosted_engine.errors import CommandError, UsageError
from hosted_engine.storage import cleanup
from hosted_engine.storage.cleanup import Given, Remains, clean_up, main
from hosted_engine.storage.connect import ConnectSite
from metadata.layout import slot_address
from metadata.records import HostRecord, SlotAbsent
from metadata.settings.storage_connection import NfsConnection, PosixConnection
from tests.contract.places import TIME_FACTOR
from tests.unit.storage_scene import AGENT, BOTH, BROKER, PARTS, Scene
from world.ports.errors import LockspaceError, LockspaceGoneError
from world.ports.libvirt import DomainState

ROOT = Path(__file__).resolve().parents[2]
YES = Given(yes=True, force=False, ask=None)
FORCE = Given(yes=False, force=True, ask=None)


class Host(Scene):
    """A deployed host with files of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.settings_file = folder / "etc" / "host.yaml"
        self.state = folder / "state"
        self.mountinfo = folder / "mountinfo"
        self.mountinfo.write_text("")
        self.settings_file.parent.mkdir()
        self.settings_file.write_text("host_id: 1\n")
        (self.state / "history").mkdir(parents=True)
        for name in (FLAG_NAME, MEMORY_FILE, QUEUE_FILE, f"{QUEUE_FILE}.new", "history/now.jsonl"):
            (self.state / name).touch()
        self.volume.record(1, stopped=True)
        self.volume.record(2)
        self.join()
        self.deployed = True

    def clean_up(self, given: Given = YES) -> None:
        remains = Remains(
            settings_file=self.settings_file,
            state_folder=self.state,
            units=self.services,
            site=ConnectSite(self.said.append, 10.0, self.mountinfo),
            say=self.said.append,
        )
        clean_up(remains, given, self.world() if self.settings_file.exists() else None)

    def refusal(self, given: Given = YES) -> str:
        with pytest.raises(CommandError) as caught:
            self.clean_up(given)
        assert self.settings_file.exists()
        return caught.value.message

    def assert_untouched(self) -> None:
        assert self.log == []
        assert self.volume.writes == []
        assert (self.state / QUEUE_FILE).exists()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


# --- what is done -----------------------------------------------------------------------------


def test_everything_of_this_host_goes_and_nothing_else(host: Host) -> None:
    host.services.running = (BROKER,)
    host.clean_up()
    assert host.log == [f"stop {BROKER}", "disable", "leave lockspace as host id 1"]
    assert host.volume.writes == [(slot_address(PARTS, 1), 4096)]
    assert isinstance(host.volume.slot(1), SlotAbsent)
    assert isinstance(host.volume.slot(2), HostRecord)
    assert not host.settings_file.exists()
    assert list(host.state.iterdir()) == []
    assert host.said[-1].startswith("Done: this host is one of no cluster")


def test_a_second_run_finds_nothing_to_do(host: Host) -> None:
    host.clean_up()
    host.volume.writes.clear()
    host.said.clear()
    host.clean_up()
    assert host.volume.writes == []
    assert host.said == [
        "[ ok ] both services are disabled",
        f"[ ok ] there is no {host.settings_file}",
        "Done: this host is one of no cluster; the shared storage is as it was otherwise.",
    ]


def test_a_run_that_was_cut_off_is_finished_by_the_next(host: Host) -> None:
    def cut(_host_id: int) -> bool:
        raise KeyboardInterrupt

    leave, host.sanlock.leave_if_unused = host.sanlock.leave_if_unused, cut  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        host.clean_up()
    assert host.settings_file.exists()
    host.sanlock.leave_if_unused = leave  # type: ignore[method-assign]
    host.clean_up()
    assert not host.settings_file.exists()
    assert isinstance(host.volume.slot(1), SlotAbsent)


def test_files_of_somebody_else_in_the_state_folder_stay(host: Host) -> None:
    (host.state / "notes.txt").touch()
    host.clean_up()
    assert [path.name for path in host.state.iterdir()] == ["notes.txt"]


def test_the_names_of_the_state_files_are_the_daemons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HE_STATE_DIR", "/state")
    assert set(cleanup.STATE_FILES) == {FLAG_NAME, MEMORY_FILE, QUEUE_FILE}
    assert history_dir() == f"/state/{cleanup.HISTORY_FOLDER}"


def test_the_answers_for_the_next_host_stay(host: Host) -> None:
    answers = host.settings_file.with_name(cleanup.ANSWERS_NAME)
    answers.touch()
    host.clean_up()
    assert answers.exists()
    assert any(line.startswith(f"[keep] {answers}") for line in host.said)


def test_typed_answers_of_a_deployment_that_was_not_finished_go(host: Host) -> None:
    assert cleanup.TYPED_ANSWERS_NAME == deploy.TYPED_ANSWERS_NAME
    typed = host.settings_file.with_name(cleanup.TYPED_ANSWERS_NAME)
    typed.touch()
    host.clean_up()
    assert not typed.exists()


def test_a_slot_that_has_another_owner_now_is_left_alone(host: Host) -> None:
    host.volume.record(1, hostname="h9")
    host.clean_up()
    assert host.volume.writes == []
    assert "[skip] slot 1 belongs to host h9 now" in host.said


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("given", [YES, FORCE])
def test_the_engine_here_forbids_it_always(host: Host, given: Given) -> None:
    host.domain = DomainState.RUNNING
    assert "running on this host" in host.refusal(given)
    host.domain = DomainState.ABSENT
    host.sanlock.holders.add(4711)
    assert "pid 4711" in host.refusal(given)
    host.sanlock.holders.clear()
    host.libvirt_error = "libvirt has not answered for 15 s"
    assert "not known" in host.refusal(given)
    host.assert_untouched()


def test_a_running_agent_needs_local_maintenance_or_force(host: Host) -> None:
    (host.state / FLAG_NAME).unlink()
    host.services.running = BOTH
    assert "--set-maintenance --mode=local" in host.refusal()
    host.assert_untouched()
    host.clean_up(FORCE)
    assert host.log == [f"stop {BROKER} {AGENT}", "disable", "leave lockspace as host id 1"]


@pytest.mark.parametrize("by_broker", [False, True])
def test_local_maintenance_is_known_from_the_broker_or_its_flag(
    host: Host, by_broker: bool
) -> None:
    host.services.running = BOTH
    if by_broker:
        (host.state / FLAG_NAME).unlink()
        host.with_broker(local_maintenance=True)
        host.services.on_stop = lambda: setattr(host, "snapshot", None)
    host.clean_up()
    assert not host.settings_file.exists()


def test_the_brokers_word_on_maintenance_counts_more_than_a_file(host: Host) -> None:
    host.services.running = BOTH
    host.with_broker(local_maintenance=False)
    assert "not in local maintenance" in host.refusal()


def test_an_engine_that_was_started_meanwhile_keeps_the_host(host: Host) -> None:
    host.services.running = BOTH
    host.services.on_stop = lambda: setattr(host, "domain", DomainState.RUNNING)
    assert "running on this host" in host.refusal(FORCE)
    assert host.volume.writes == []


def test_a_broker_that_systemd_does_not_know_is_not_stopped_by_it(host: Host) -> None:
    host.services.is_there = False
    host.with_broker()
    assert "a broker runs on this host" in host.refusal()
    assert host.volume.writes == []


# --- asking -----------------------------------------------------------------------------------


def asked(answer: str, questions: Optional[list[str]] = None) -> Given:
    def ask(question: str) -> str:
        if questions is not None:
            questions.append(question)
        return answer

    return Given(yes=False, force=False, ask=ask)


@pytest.mark.parametrize("answer", ["y", "Y", " yes "])
def test_yes_goes_on(host: Host, answer: str) -> None:
    questions: list[str] = []
    host.clean_up(asked(answer, questions))
    assert questions == ["Remove host h1 (id 1) from its cluster? [y/N] "]
    assert not host.settings_file.exists()


@pytest.mark.parametrize("answer", ["", "n", "yesterday"])
def test_anything_else_changes_nothing(host: Host, answer: str) -> None:
    assert host.refusal(asked(answer)) == "nothing was done"
    host.assert_untouched()


def test_the_end_of_the_input_is_a_no(host: Host) -> None:
    def end(_question: str) -> str:
        raise EOFError

    assert host.refusal(Given(False, False, end)) == "nothing was done"
    host.assert_untouched()


def test_where_nobody_can_be_asked_it_must_be_said(host: Host) -> None:
    with pytest.raises(UsageError, match="add --yes"):
        host.clean_up(Given(False, False, None))
    host.assert_untouched()


# --- the storage ------------------------------------------------------------------------------


def test_storage_that_is_gone_does_not_keep_the_host(host: Host) -> None:
    host.volume.fail(errno.EIO)
    host.clean_up()
    assert not host.settings_file.exists()
    (warning,) = [line for line in host.said if line.startswith("[warn]")]
    assert warning.endswith("hosted-engine --clean-metadata --host-id=1")


@pytest.mark.parametrize(
    "error",
    [
        LockspaceGoneError("ask sanlock", "no daemon", errno.ECONNREFUSED),
        LockspaceError("leave", "Input/output error", errno.EIO),
    ],
)
def test_a_lockspace_that_can_not_be_left_is_told(host: Host, error: Exception) -> None:
    def fail(_host_id: int) -> bool:
        raise error

    host.sanlock.leave_if_unused = fail  # type: ignore[method-assign]
    host.clean_up()
    assert f"[warn] the lockspace was not left in order: {error}" in host.said
    assert isinstance(host.volume.slot(1), SlotAbsent)


def tool(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    file = folder / "umount"
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_storage_that_we_connected_is_disconnected(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = NfsConnection("nfs", "filer", "/he", "/srv/he")
    host.settings = replace(host.settings, connection=connection)
    host.mountinfo.write_text("2 1 0:2 / /srv/he rw - nfs4 filer:/he rw\n")
    tool(tmp_path, monkeypatch, f'echo "$*" > {tmp_path}/called')
    host.clean_up()
    assert (tmp_path / "called").read_text() == "/srv/he\n"
    assert not host.settings_file.exists()


def test_storage_that_can_not_be_disconnected_keeps_the_settings(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = PosixConnection("/dev/he", "ext4", "/srv/he")
    host.settings = replace(host.settings, connection=connection)
    host.mountinfo.write_text("2 1 0:2 / /srv/he rw - ext4 /dev/he rw\n")
    tool(tmp_path, monkeypatch, "echo 'target is busy' >&2; exit 32")
    assert "target is busy; mend that and run this again" in host.refusal()
    host.clean_up(FORCE)
    assert not host.settings_file.exists()
    assert any("the storage stays connected: umount" in line for line in host.said)


# --- the command ------------------------------------------------------------------------------


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str, stdin: str = "") -> int:
    monkeypatch.setenv("HE_SETTINGS", str(folder / "host.yaml"))
    monkeypatch.setenv("HE_STATE_DIR", str(folder / "state"))
    monkeypatch.setenv("HE_BROKER_SOCKET", str(folder / "broker.sock"))
    monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
    monkeypatch.setattr(cleanup, "SystemdUnits", NoSystemd)
    return main(list(arguments))


class NoSystemd:
    def available(self) -> bool:
        return False


def test_undeployed_host_is_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, "--yes") == 0
    out = capsys.readouterr()
    assert "there is no" in out.out and out.err == ""


def test_without_a_terminal_and_yes_it_is_a_wrong_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, stdin="y\n") == 2
    assert capsys.readouterr().err == (
        "hosted-engine-cleanup: nobody can be asked here whether to go on; add --yes\n"
    )


def test_settings_that_can_not_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "host.yaml").write_text("host_id: x\n")
    assert run(monkeypatch, tmp_path, "--yes") == 1
    err = capsys.readouterr().err
    assert "host_id: 'x' is refused" in err and len(err.splitlines()) == 1
    assert (tmp_path / "host.yaml").exists()


def test_options_that_it_has_not_are_refused_and_help_has_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, "--all") == 2
    assert run(monkeypatch, tmp_path, "--help") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: hosted-engine-cleanup [--yes] [--force]")
    assert "hosted-engine-cleanup --yes" in shown


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1)])
def test_on_a_terminal_it_asks(tmp_path: Path, answer: str, code: int) -> None:
    """In a process of its own, on a terminal of its own; not with this machine's services."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / QUEUE_FILE).touch()
    (tmp_path / "systemctl").write_text("#!/bin/sh\nexit 3\n", encoding="ascii")
    (tmp_path / "systemctl").chmod(0o755)
    names = {"HE_SETTINGS": "host.yaml", "HE_STATE_DIR": "state", "HE_BROKER_SOCKET": "socket"}
    places = {key: str(tmp_path / name) for key, name in names.items()}
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "hosted_engine.storage.cleanup"],
            env={**os.environ, **places, "PATH": str(tmp_path)},
            stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT,
        )  # fmt: skip
        asked_for = b""
        while b"[y/N] " not in asked_for:
            asked_for += os.read(ours, 1024)
        os.write(ours, answer.encode())
        assert process.wait(30 * TIME_FACTOR) == code
    finally:
        os.close(theirs)
        os.close(ours)
    assert (tmp_path / "state" / QUEUE_FILE).exists() is (code != 0)
