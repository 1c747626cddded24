# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the lines are in systemd's journal: entries with fields; and elsewhere, plain lines."""

from __future__ import annotations

import logging
import os
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from world.host import journal, journal_socket
from world.host.daemon import heed_signals
from world.host.journal import log_setup, set_always
from world.host.journal_socket import LONGEST_VALUE_BYTES, entry
from world.ports.log_fields import MEANINGS, PREFIX, fields

ROOT = Path(__file__).resolve().parents[2]
FACTOR = float(os.environ.get("HE_TIME_FACTOR", "1"))


def read_entry(data: bytes) -> dict[str, str]:
    """A datagram of the journal's protocol, read as the journal does."""
    found: dict[str, str] = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack("<Q", rest[:8])
            value, data = rest[8 : 8 + length], rest[8 + length :]
            assert data[:1] == b"\n"
            data = data[1:]
        else:
            data = rest
        found[name.decode()] = value.decode()
    return found


class Journal:
    """A journal of its own, with a standard error that systemd has led to it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.path = folder / "journal"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.settimeout(10 * FACTOR)
        self.lines, writer = os.pipe()
        self.stream = os.fdopen(writer, "w")
        status = os.fstat(writer)
        patch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        patch.setattr(
            journal, "JournalSocket", lambda: journal_socket.JournalSocket(str(self.path))
        )

    def entry(self) -> dict[str, str]:
        return read_entry(self.socket.recv(1 << 20))

    def text(self) -> str:
        """All that came on the stream, which is closed by this."""
        logging.getLogger().handlers[0].flush()
        self.stream.close()
        return b"".join(iter(lambda: os.read(self.lines, 65536), b"")).decode()


@pytest.fixture
def own_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    root, hook = logging.getLogger(), threading.excepthook
    handlers, level = root.handlers[:], root.level
    opened = Journal(tmp_path, monkeypatch)
    yield opened
    root.handlers[0].flush()
    root.handlers[:], threading.excepthook = handlers, hook
    root.setLevel(level)
    opened.stream.close()
    os.close(opened.lines)
    opened.socket.close()


def test_an_entry_has_text_priority_program_and_fields(own_journal: Journal) -> None:
    log_setup("info", own_journal.stream, "ha-agent")
    set_always(fields(host_id=7))
    found = fields(state_before="EngineDown", state="EngineStart", lease_generation=None)
    logging.getLogger("x").info("told %d\nand more", 1, extra=found)
    told = own_journal.entry()
    where = {name: told.pop(name) for name in ("CODE_FILE", "CODE_LINE", "CODE_FUNC")}
    assert told == {
        "MESSAGE": "told 1 and more",
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "ha-agent",
        "HE_HOST_ID": "7",
        "HE_STATE_BEFORE": "EngineDown",
        "HE_STATE": "EngineStart",
    }
    assert where["CODE_FILE"] == __file__ and where["CODE_FUNC"].startswith("test_an_entry")
    assert own_journal.text() == ""


@pytest.mark.parametrize(("level", "priority"), [("debug", 7), ("warning", 4), ("error", 3)])
def test_levels_are_syslogs_priorities(own_journal: Journal, level: str, priority: int) -> None:
    log_setup("debug", own_journal.stream)
    getattr(logging.getLogger("x"), level)("told")
    assert own_journal.entry()["PRIORITY"] == str(priority)


def test_a_traceback_is_one_entry_and_no_text_begins_a_field_of_its_own(
    own_journal: Journal,
) -> None:
    log_setup("info", own_journal.stream)
    try:
        raise ValueError("x\nHE_STATE=EngineUp\x1b[2J")
    except ValueError:
        logging.getLogger("x").exception("failed\nPRIORITY=0", extra=fields(row="a\nb"))
    told = own_journal.entry()
    assert told["PRIORITY"] == "3" and "HE_STATE" not in told and told["HE_ROW"] == "a\nb"
    assert told["MESSAGE"].startswith("failed PRIORITY=0\nTraceback (most recent")
    assert "HE_STATE=EngineUp?[2J" in told["MESSAGE"]


def test_a_journal_that_is_not_there_for_a_moment_gets_it_on_the_stream(
    own_journal: Journal,
) -> None:
    log_setup("info", own_journal.stream)
    own_journal.path.rename(own_journal.path.with_name("aside"))
    logging.getLogger("x").warning("one", extra=fields(state="EngineUp"))
    logging.getLogger().handlers[0].flush()
    own_journal.path.with_name("aside").rename(own_journal.path)
    logging.getLogger("x").warning("two")
    assert own_journal.entry()["MESSAGE"] == "two"
    assert own_journal.text() == "<4>one\n"


def test_a_long_value_is_cut_where_the_journal_cuts_lines() -> None:
    told = read_entry(entry({"MESSAGE": "x" * (LONGEST_VALUE_BYTES + 5), "HE_ROW": "r"}))
    assert (len(told["MESSAGE"]), told["HE_ROW"]) == (LONGEST_VALUE_BYTES, "r")


def test_a_standard_error_that_is_a_file_gets_lines_with_their_time(
    own_journal: Journal, tmp_path: Path
) -> None:
    """As in the drop-in of docs/log.md: JOURNAL_STREAM is then that of the standard output."""
    with (tmp_path / "agent.log").open("w") as stream:
        log_setup("info", stream, "ha-agent")
        logging.getLogger("x").warning("told", extra=fields(state="EngineUp"))
        logging.getLogger().handlers[0].flush()
    (line,) = (tmp_path / "agent.log").read_text().splitlines()
    assert line.endswith(" WARNING told") and line[:2] == "20"


def test_the_level_is_changed_while_it_runs(own_journal: Journal) -> None:
    numbers = (*(signal.SIGTERM, signal.SIGINT, signal.SIGHUP), signal.SIGUSR1, signal.SIGUSR2)
    before = {number: signal.getsignal(number) for number in numbers}
    log_setup("warning", own_journal.stream)
    log = logging.getLogger("x")
    try:
        heed_signals(lambda: None, log)
        log.info("not told")
        signal.raise_signal(signal.SIGUSR1)
        log.debug("told")
        signal.raise_signal(signal.SIGUSR2)
        log.info("not told either")
        log.warning("the end")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    told = [own_journal.entry()["MESSAGE"] for _ in range(4)]
    assert told == [
        *("SIGUSR1: the log has level debug now", "told"),
        *("SIGUSR2: the log has level warning now", "the end"),
    ]


def test_a_field_that_the_page_does_not_tell_of_is_refused() -> None:
    with pytest.raises(KeyError):
        fields(statee="x")


def test_the_page_tells_of_each_field() -> None:
    page = (ROOT / "docs" / "log.md").read_text()
    for name, meaning in MEANINGS.items():
        assert f"| `{PREFIX}{name}` | {meaning} |" in page
