"""Logging of both daemons: lines on standard error, as the journal likes them.

A message is one line of printable text whatever it was made of, so that nothing in it can pass for
a line of ours, or steer the terminal of who reads the journal. A traceback keeps its lines.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import Optional, TextIO

from metadata.plain_text import one_line, printable_text

LEVELS = ("debug", "info", "warning", "error")

# syslog's priorities: systemd takes them from a "<N>" in front of the line (sd-daemon(3)).
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


def log_setup(level: str = "info", stream: Optional[TextIO] = None) -> None:
    """Send all log lines of `level` (one of LEVELS) and above to `stream` (standard error).

    Under systemd (JOURNAL_STREAM is set) lines carry a priority and no time, since the
    journal stamps them; elsewhere they carry the local time.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    in_journal = "JOURNAL_STREAM" in os.environ
    handler.setFormatter(_JournalFormatter() if in_journal else _terminal_formatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


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
        prefix = f"<{_priority(record.levelno)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def _terminal_formatter() -> logging.Formatter:
    formatter = _PlainFormatter("%(asctime)s %(levelname)s %(message)s")
    formatter.converter = time.localtime
    return formatter


def _priority(level: int) -> int:
    return next((priority for floor, priority in _PRIORITIES if level >= floor), 7)
