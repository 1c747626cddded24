"""Logging of both daemons: lines on standard error, as the journal likes them.

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
from typing import Optional, TextIO, Union

from metadata.plain_text import one_line, printable_text

LEVELS = ("debug", "info", "warning", "error")

# syslog's priorities: systemd takes them from a "<N>" in front of the line (sd-daemon(3)).
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


MOST_WAITING = 2000
"""Lines that wait for their reader; what comes beyond them is counted, and the count told."""

END_ALLOWED_S = 2.0
"""How long an ending process waits for the reader of its last lines."""


def log_setup(level: str = "info", stream: Optional[TextIO] = None) -> None:
    """Send all log lines of `level` (one of LEVELS) and above to `stream` (standard error).

    Under systemd (JOURNAL_STREAM is set) lines carry a priority and no time, since the
    journal stamps them; elsewhere they carry the local time.
    """
    handler = PatientHandler(stream or sys.stderr)
    in_journal = "JOURNAL_STREAM" in os.environ
    handler.setFormatter(_JournalFormatter() if in_journal else _terminal_formatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    threading.excepthook = _log_end_of_thread


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    """Else Python writes it to standard error itself, and waits there."""
    name = ended.thread.name if ended.thread is not None else "?"
    found = ended.exc_value
    logging.getLogger(__name__).error("the thread %s has ended: %r", name, found, exc_info=found)


class PatientHandler(logging.Handler):
    """Hands lines to a thread that writes them to `stream`; it is made with the first line.

    May be used from a signal handler: `queue.SimpleQueue` takes no lock that is held there.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: queue.SimpleQueue[Union[str, threading.Event]] = queue.SimpleQueue()
        self._lost = 0
        self._writer: Optional[threading.Thread] = None

    def emit(self, record: logging.LogRecord) -> None:
        """As `logging.Handler.emit`; never waits for the reader."""
        try:
            line = self.format(record)
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

    def _told(self, lost: int, record: logging.LogRecord) -> str:
        text = f"{lost} lines of the log were lost: nobody has read them"
        return self.format(
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
                self._write(f"{found}\n")

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


class _JournalFormatter(_PlainFormatter):
    """`<priority>text`, on each line of a text with several."""

    def format(self, record: logging.LogRecord) -> str:
        level = record.levelno
        priority = next((priority for floor, priority in _PRIORITIES if level >= floor), 7)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


def _terminal_formatter() -> logging.Formatter:
    formatter = _PlainFormatter("%(asctime)s %(levelname)s %(message)s")
    formatter.converter = time.localtime
    return formatter
