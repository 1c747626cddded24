# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Files that somebody else chose or put there: no link, no FIFO, no device, nobody else's."""

from __future__ import annotations

import json
import os
import socket
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest

from ha_agent.history.store import PRESENT, FileHistory, read_history
from ha_agent.memory_file import MemoryFile
from ha_broker.notifications.state_files import MEMORY_FILE, QUEUE_FILE, read_files, write_files
from ha_broker.storage.local_maintenance import FLAG_NAME, read_flag, write_flag
from hosted_engine.config.change_rules import secret_problems
from hosted_engine.deploy.answers import parse_answers
from hosted_engine.errors import CommandError
from hosted_engine.support_archive.secrets import known_secrets
from metadata.settings.notifications import NotificationSettings, SmtpSettings, WebhookSettings
from metadata.settings.parse import ClusterSettings
from tests.unit.umasks import umask
from world.durable import replace_file
from world.host.only_one import OnlyOne
from world.network.deadline_stream import verifying_context
from world.network.health_page import HttpHealthPage
from world.network.notification_sender import NetNotificationSender
from world.ports.errors import WorldError
from world.ports.notifications import DeliveryError
from world.regular_file import open_regular, open_to_append
from world.secret_file import SHARED_SECRETS, read_secret


def put(path: Path, content: bytes = b"s3cret\n", mode: int = 0o600) -> str:
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def link(path: Path) -> None:
    path.symlink_to(put(path.with_name("elsewhere")))


def dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nothing"))


Make = Callable[[Path], None]
IRREGULAR = (fifo, device, folder, bound_socket, link)
each_kind = pytest.mark.parametrize("make", IRREGULAR)


# --- secrets --------------------------------------------------------------------------------


def test_a_secret_of_root_alone_is_read(tmp_path: Path) -> None:
    assert read_secret(put(tmp_path / "s"), str(tmp_path)) == b"s3cret"
    (tmp_path / "deeper").mkdir()
    assert read_secret(put(tmp_path / "deeper" / "s", mode=0o400), str(tmp_path)) == b"s3cret"


def test_a_secret_of_roots_by_systemd_is_read(tmp_path: Path) -> None:
    """LoadCredential makes it with mode 0400; a group may not read it here either."""
    assert read_secret(put(tmp_path / "token", mode=0o400)) == b"s3cret"
    with pytest.raises(OSError, match="mode 0440"):
        read_secret(put(tmp_path / "shared", mode=0o440))


@each_kind
def test_what_is_no_file_is_no_secret_and_holds_nobody(tmp_path: Path, make: Make) -> None:
    make(tmp_path / "s")
    with pytest.raises(OSError, match=r"is refused; allowed: a regular file"):
        read_secret(str(tmp_path / "s"), str(tmp_path))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o777])
def test_what_others_may_use_is_no_secret(tmp_path: Path, mode: int) -> None:
    path = put(tmp_path / "s", mode=mode)
    with pytest.raises(OSError, match=rf"mode {mode:04o}\), so it is refused; allowed: mode 0600"):
        read_secret(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_no_secret(tmp_path: Path) -> None:
    path = put(tmp_path / "s")
    os.chown(path, 12345, -1)
    with pytest.raises(OSError, match=r"its owner 12345 is refused; allowed: root"):
        read_secret(path)


@pytest.mark.parametrize(
    "place",
    ["../s", "in/../../s", "in/./s", "in//s", "in/link/s", "/etc/shadow", "in/../in/s", "../in2/s"],
)
def test_a_secret_of_the_shared_settings_lies_in_its_place(tmp_path: Path, place: str) -> None:
    below = tmp_path / "in"
    below.mkdir()
    (tmp_path / "in2").mkdir()
    put(below / "s")
    put(tmp_path / "s")
    put(tmp_path / "in2" / "s")
    (below / "link").symlink_to(tmp_path)
    path = place if place.startswith("/") else f"{tmp_path}/{place}"
    with pytest.raises(OSError, match=rf"is refused; allowed: a file below {below}$"):
        read_secret(path, str(below))


def test_the_place_itself_may_be_a_link_of_roots(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    put(tmp_path / "real" / "s")
    (tmp_path / "in").symlink_to(tmp_path / "real")
    assert read_secret(f"{tmp_path}/in/s", f"{tmp_path}/in") == b"s3cret"


def test_what_a_mail_or_a_webhook_would_carry_away_is_refused_before_anybody_is_asked(
    tmp_path: Path,
) -> None:
    path = put(tmp_path / "root-only")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        smtp = SmtpSettings(
            "127.0.0.1", "a@b.c", ("d@e.f",), port=port, user="u", password_file=path
        )
        hook = WebhookSettings(f"http://127.0.0.1:{port}/", secret_file=path)
        sender = NetNotificationSender()
        calls: list[Callable[[], object]] = [
            lambda: sender.mail(smtp, None),  # type: ignore[arg-type]
            lambda: sender.post(hook, b"{}"),
        ]
        for call in calls:
            with pytest.raises(DeliveryError, match=f"allowed: a file below {SHARED_SECRETS}"):
                call()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


# --- the settings that name them ------------------------------------------------------------


def told(path: str) -> ClusterSettings:
    smtp = SmtpSettings("mail", "a@b.c", ("d@e.f",), user="u", password_file=path)
    hooks = (WebhookSettings("http://h/"), WebhookSettings("http://h/", secret_file=path))
    return replace(ClusterSettings(), notifications=NotificationSettings(smtp=smtp, webhooks=hooks))


@pytest.mark.parametrize(
    "path", ["/etc/shadow", "/etc/hosted-engine-ha/../shadow", "/etc/hosted-engine-ha2/x",
             "/etc/hosted-engine-ha", "/etc/hosted-engine-ha/", "/etc//hosted-engine-ha/x"],
)  # fmt: skip
def test_another_place_is_refused_when_it_is_set(path: str) -> None:
    assert secret_problems(ClusterSettings(), told(path), SHARED_SECRETS) == [
        f"notifications.{key}: {path!r} is refused; allowed: a file below {SHARED_SECRETS}"
        for key in ("smtp.password_file", "webhooks[1].secret_file")
    ]
    assert secret_problems(told(path), told(path), SHARED_SECRETS) == []


def test_the_right_place_is_fine() -> None:
    good = told(f"{SHARED_SECRETS}/mail.password")
    assert secret_problems(ClusterSettings(), good, SHARED_SECRETS) == []


def test_so_is_it_in_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HE_SETTINGS", raising=False)
    answers = {
        "storage": {"path": "/srv/leases"},
        "engine": {"domain_xml_file": "/root/engine.xml"},
        "notifications": {"webhooks": [{"url": "http://h/", "secret_file": "/root/.ssh/id"}]},
    }
    with pytest.raises(CommandError, match=r"webhooks\[0\].secret_file: '/root/.ssh/id' is ref"):
        parse_answers(answers, "answers.yaml")


# --- authorities ----------------------------------------------------------------------------


@pytest.mark.parametrize("make", [fifo, device, folder, bound_socket])
def test_authorities_are_a_regular_file(tmp_path: Path, make: Make) -> None:
    make(tmp_path / "ca")
    with pytest.raises(OSError, match="is refused; allowed: a regular file"):
        verifying_context(str(tmp_path / "ca"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        reading = HttpHealthPage().check(url, "x", 10, str(tmp_path / "ca"))
    assert not reading.known
    assert (
        "health_ca_file" in reading.detail
        and "is refused; allowed: a regular file" in reading.detail
    )


# --- state files ----------------------------------------------------------------------------


WRITERS: dict[str, Callable[[Path], object]] = {
    MEMORY_FILE: lambda place: write_files(str(place), {MEMORY_FILE: "{}"}),
    QUEUE_FILE: lambda place: write_files(str(place), {QUEUE_FILE: "{}"}),
    "memory.json": lambda place: MemoryFile(str(place / "memory.json")).write(b"{}"),
    FLAG_NAME: lambda place: write_flag(str(place), True),
    "ha-agent.lock": lambda place: OnlyOne(str(place), "ha-agent").release(),
    PRESENT: lambda place: open_to_append(place / PRESENT).close(),
}
each_writer = pytest.mark.parametrize("name", WRITERS)


@each_writer
@pytest.mark.parametrize("mask", [0, 0o022, 0o027, 0o077, 0o777])
def test_a_state_file_s_mode_is_the_same_whatever_the_umask_says(
    tmp_path: Path, name: str, mask: int
) -> None:
    with umask(mask):
        WRITERS[name](tmp_path)
    wanted = 0o644 if name in (FLAG_NAME, PRESENT) else 0o600
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == wanted


@each_writer
@pytest.mark.parametrize("make", [link, dangling])
@pytest.mark.parametrize("suffix", ["", ".new"])
def test_a_state_file_is_not_written_through_a_link(
    tmp_path: Path, name: str, make: Make, suffix: str
) -> None:
    make(tmp_path / f"{name}{suffix}")
    try:
        WRITERS[name](tmp_path)
    except (OSError, WorldError):
        assert not suffix and (tmp_path / name).is_symlink()
    else:
        assert not (tmp_path / name).is_symlink()
    assert not (tmp_path / "nothing").exists()
    if make is link:
        assert (tmp_path / "elsewhere").read_bytes() == b"s3cret\n"


@pytest.mark.parametrize("make", [fifo, bound_socket, folder, device])
def test_nor_does_what_else_stands_there_hold_its_reader(
    tmp_path: Path, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (MEMORY_FILE, PRESENT):
        make(tmp_path / name)
    assert read_files(str(tmp_path), 0.0).day.told == 0
    assert "is refused; allowed: a regular file" in caplog.text
    with pytest.raises(OSError, match="regular file"):
        read_history(str(tmp_path))
    with pytest.raises(OSError, match="regular file"):
        open_to_append(tmp_path / PRESENT)
    with pytest.raises(OSError, match="regular file"):
        FileHistory(str(tmp_path)).earlier()


def test_what_a_crash_has_left_may_be_anything(tmp_path: Path) -> None:
    fifo(tmp_path / "file.new")
    replace_file(tmp_path / "file", b"whole", only_writer=True)
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_the_flag_of_a_link_becomes_a_file(tmp_path: Path) -> None:
    dangling(tmp_path / FLAG_NAME)
    write_flag(str(tmp_path), True)
    assert read_flag(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [FLAG_NAME]


def test_the_archive_does_not_wait_for_a_fifo(tmp_path: Path) -> None:
    fifo(tmp_path / "s")
    settings: Any = {"notifications": {"smtp": {"password_file": str(tmp_path / "s")}}}
    assert known_secrets([json.loads(json.dumps(settings))]) == []


def test_opening_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    fifo(tmp_path / "s")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with pytest.raises(OSError, match="regular"):
            open_regular(tmp_path / "s")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
