# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Logging of both daemons: entries with fields in systemd's journal, elsewhere lines.

A message is one line of printable text whatever it was made of, so that nothing in it can pass for
a line of ours, or steer the terminal of who reads the journal. A traceback keeps its lines.

Whoever reads them may hang (a journal whose disk is full, a pager that is not looked at), so a
thread of their own writes them: nobody who logs waits for it.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Mapping
from typing import Optional, TextIO, Union

from metadata.plain_text import one_line, printable_text
from metadata.value_class import value_class
from world.host.journal_socket import JournalSocket, entry, leads_to_journal
from world.ports.log_fields import ATTRIBUTE, Fields

LEVELS = ("debug", "info", "warning", "error")

# syslog's priorities: systemd takes them from a "<N>" in front of the line (sd-daemon(3)).
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


MOST_WAITING = 2000
"""Lines that wait for their reader; what comes beyond them is counted, and the count told."""

END_ALLOWED_S = 2.0
"""How long an ending process waits for the reader of its last lines."""


def log_setup(level: str = "info", stream: Optional[TextIO] = None, program: str = "") -> None:
    """Send all log lines of `level` (one of LEVELS) and above to `stream` (standard error).

    Where systemd has connected that stream to the journal, each becomes an entry of `program`
    there, with its fields; elsewhere, as in a file, a line with the local time.
    """
    target = stream or sys.stderr
    in_journal = leads_to_journal(target)
    handler = PatientHandler(target, JournalSocket() if in_journal else None, program)
    handler.setFormatter(_PlainFormatter() if in_journal else _terminal_formatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    threading.excepthook = _log_end_of_thread


def set_always(found: Fields) -> None:
    """Every line of this process has these fields from now on, beside its own."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, PatientHandler):
            handler.always = found[ATTRIBUTE]


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    """Else Python writes it to standard error itself, and waits there."""
    name = ended.thread.name if ended.thread is not None else "?"
    found = ended.exc_value
    logging.getLogger(__name__).error("the thread %s has ended: %r", name, found, exc_info=found)


@value_class(frozen=True)
class _Line:
    """A line, and the journal's entry that says the same; empty where no journal is written to."""

    text: str
    entry: bytes = b""


class PatientHandler(logging.Handler):
    """Hands lines to a thread that writes them; it is made with the first line.

    They go to `journal` as entries of `program`, and to `stream` where there is none or where it
    takes nothing. `always`: fields of every entry.

    May be used from a signal handler: `queue.SimpleQueue` takes no lock that is held there.
    """

    def __init__(
        self, stream: TextIO, journal: Optional[JournalSocket] = None, program: str = ""
    ) -> None:
        super().__init__()
        self.always: Mapping[str, str] = {}
        self._stream = stream
        self._journal = journal
        self._program = program
        self._lines: queue.SimpleQueue[Union[_Line, threading.Event]] = queue.SimpleQueue()
        self._lost = 0
        self._writer: Optional[threading.Thread] = None

    def emit(self, record: logging.LogRecord) -> None:
        """As `logging.Handler.emit`; never waits for the reader."""
        try:
            line = self._line(record)
        except Exception:  # arguments that do not fit their text
            self.handleError(record)
            return
        if self._lines.qsize() >= MOST_WAITING:
            self._lost += 1
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            self._lines.put(self._told(lost, record))
        self._lines.put(line)
        self._start()

    def _line(self, record: logging.LogRecord) -> _Line:
        text = self.format(record)
        if self._journal is None:
            return _Line(text)
        level = record.levelno
        priority = next((priority for floor, priority in _PRIORITIES if level >= floor), 7)
        values = {
            "MESSAGE": text,
            "PRIORITY": str(priority),
            "SYSLOG_IDENTIFIER": self._program,
            "CODE_FILE": record.pathname,
            "CODE_LINE": str(record.lineno),
            "CODE_FUNC": record.funcName,
            **self.always,
            **getattr(record, ATTRIBUTE, {}),
        }
        plain = {name: printable_text(value, keep="\n") for name, value in values.items() if value}
        return _Line("\n".join(f"<{priority}>{one}" for one in text.splitlines()), entry(plain))

    def _told(self, lost: int, record: logging.LogRecord) -> _Line:
        text = f"{lost} lines of the log were lost: nobody has read them"
        return self._line(
            logging.LogRecord(__name__, logging.WARNING, record.pathname, 0, text, None, None)
        )

    def _start(self) -> None:
        if self._writer is None:
            writer = threading.Thread(target=self._write_all, name="log", daemon=True)
            with contextlib.suppress(RuntimeError):  # no more threads: with the next line
                writer.start()
                self._writer = writer

    def flush(self) -> None:
        """Wait until what was logged is written, for at most `END_ALLOWED_S`.

        `logging` calls it when the process ends, before `close`, which waits for nothing.
        """
        if self._writer is not None:
            written = threading.Event()
            self._lines.put(written)
            written.wait(END_ALLOWED_S)

    def _write_all(self) -> None:
        while True:
            found = self._lines.get()
            if isinstance(found, threading.Event):
                found.set()
                continue
            with contextlib.suppress(OSError, ValueError):  # nobody reads any more
                if not self._is_in_journal(found):
                    self._write(f"{found.text}\n")

    def _is_in_journal(self, line: _Line) -> bool:
        """A journal that restarts takes no datagram for a moment, but keeps the stream."""
        if self._journal is None:
            return False
        try:
            self._journal.send(line.entry)
        except OSError:
            return False
        return True

    def _write(self, text: str) -> None:
        """Past the stream's own lock, which whoever ends the process would wait for."""
        try:
            fd = self._stream.fileno()
        except (io.UnsupportedOperation, AttributeError):
            self._stream.write(text)
            return
        data = text.encode("utf-8", "backslashreplace")
        while data:
            data = data[os.write(fd, data) :]


class _PlainFormatter(logging.Formatter):
    """Only printable text."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return printable_text(super().format(record), keep="\n")


def _terminal_formatter() -> logging.Formatter:
    formatter = _PlainFormatter("%(asctime)s %(levelname)s %(message)s")
    formatter.converter = time.localtime
    return formatter
