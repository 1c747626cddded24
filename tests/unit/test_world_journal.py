# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The log of the daemons: whoever reads it may hang, and nobody who logs waits for that."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Optional, TextIO

import pytest

from world.host import journal
from world.host.daemon import heed_signals
from world.host.journal import END_ALLOWED_S, MOST_WAITING, PatientHandler, log_setup

FACTOR = float(os.environ.get("HE_TIME_FACTOR", "1"))
ALLOWED_S = 10.0 * FACTOR
LONG = "x" * 1000


class Pipe:
    """A log into a pipe whose reader reads when it is told to."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        self.stream: TextIO = os.fdopen(writer, "w")
        self.handler = PatientHandler(self.stream)
        self.log = logging.Logger("pipe")
        self.log.addHandler(self.handler)

    def read_all(self) -> list[str]:
        """Until the handler has nothing more to write."""
        parts: list[bytes] = []
        thread = threading.Thread(target=lambda: parts.extend(iter(self._read, b"")))
        thread.start()
        self.handler.flush()
        self.stream.close()
        thread.join(ALLOWED_S)
        assert not thread.is_alive()
        return b"".join(parts).decode().splitlines()

    def _read(self) -> bytes:
        return os.read(self.reader, 1 << 16)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.stream.close()
    os.close(pipe.reader)


def test_lines_arrive_in_their_order(pipe: Pipe) -> None:
    for number in range(100):
        pipe.log.info("%d", number)
    assert pipe.read_all() == [str(number) for number in range(100)]


def test_a_reader_that_hangs_stops_no_thread_and_what_was_lost_is_counted(pipe: Pipe) -> None:
    threads = [threading.Thread(target=_log_much, args=(pipe.log,)) for _ in range(4)]
    begun_s = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(ALLOWED_S)
        assert not thread.is_alive()
    assert time.monotonic() - begun_s < ALLOWED_S
    assert pipe.handler._lines.qsize() <= MOST_WAITING
    first = os.read(pipe.reader, 1 << 20)  # the pipe was full: it goes on
    wait_for_room(pipe)
    pipe.log.info("the end")
    lines = (first.decode() + "\n".join(pipe.read_all())).splitlines()
    assert lines[-1] == "the end"
    lost = [line for line in lines if "lines of the log were lost: nobody has read" in line]
    # The count is told whenever there is room again: once, or oftener while the pipe fills.
    assert lost
    counted = sum(int(line.split()[0]) for line in lost)
    assert 4 * MOST_WAITING - 1 <= counted + lines.count(LONG) <= 4 * MOST_WAITING


def _log_much(log: logging.Logger) -> None:
    for _ in range(MOST_WAITING):
        log.info(LONG)


def wait_for_room(pipe: Pipe) -> None:
    deadline_s = time.monotonic() + ALLOWED_S
    while pipe.handler._lines.qsize() >= MOST_WAITING:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_a_reader_that_is_gone_costs_nothing(pipe: Pipe) -> None:
    os.close(pipe.reader)
    pipe.log.info("nobody")
    pipe.handler.flush()
    pipe.log.info("still nobody")
    pipe.handler.flush()
    pipe.reader = os.open(os.devnull, os.O_RDONLY)


ENDING = """
import logging, sys, threading
from world.host.journal import log_setup
log_setup()
for number in range(int(sys.argv[1])):
    logging.error("line %d " + "x" * 1000, number)
def fail():
    raise ValueError("a thread's")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
"""


def test_the_last_lines_of_a_process_arrive() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDING, "50"], capture_output=True, text=True, check=True
    )
    assert "line 0 x" in done.stderr
    assert "line 49 x" in done.stderr
    assert "ValueError: a thread's" in done.stderr


def test_a_process_ends_though_nobody_reads_its_last_lines() -> None:
    reader, writer = os.pipe()
    program = f"from world.host import journal\njournal.END_ALLOWED_S = 0.1\n{ENDING}"
    with subprocess.Popen([sys.executable, "-c", program, "500"], stderr=writer) as process:
        os.close(writer)
        assert process.wait(ALLOWED_S) == 0
    os.close(reader)


def test_an_ending_process_waits_once_for_the_reader_of_its_last_lines(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[Optional[float]] = []

    class Written(threading.Event):
        def wait(self, timeout: Optional[float] = None) -> bool:
            waits.append(timeout)
            return False

    for _ in range(500):
        pipe.log.info(LONG)
    with monkeypatch.context() as patch:
        patch.setattr(journal.threading, "Event", Written)
        logging.shutdown([weakref.ref(pipe.handler)])
    assert waits == [END_ALLOWED_S] == [2.0]
    os.read(pipe.reader, 1 << 20)


# --- signals --------------------------------------------------------------------------


@pytest.fixture
def stops() -> Iterator[list[bool]]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    before = {number: signal.getsignal(number) for number in numbers}
    found: list[bool] = []
    heed_signals(lambda: found.append(True), logging.getLogger("daemon"))
    yield found
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGHUP])
def test_a_signal_that_means_nothing_ends_nothing(
    stops: list[bool], number: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    signal.raise_signal(number)
    assert stops == []
    assert f"{number.name} changes nothing: restart the service" in caplog.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_ends_is_heeded(stops: list[bool], number: signal.Signals) -> None:
    signal.raise_signal(number)
    assert stops == [True]


def test_a_signal_in_the_midst_of_logging_is_logged(stops: list[bool]) -> None:
    root, hook = logging.getLogger(), threading.excepthook
    handlers, level = root.handlers[:], root.level
    reader, writer = os.pipe()
    try:
        with os.fdopen(writer, "w") as stream:
            log_setup("info", stream)
            for number in range(200):
                logging.info("line %d", number)
                signal.raise_signal(signal.SIGHUP)
            root.handlers[0].flush()
        lines = b"".join(iter(lambda: os.read(reader, 65536), b"")).decode().splitlines()
    finally:
        os.close(reader)
        root.handlers[:], threading.excepthook = handlers, hook
        root.setLevel(level)
    assert sum("SIGHUP changes nothing" in line for line in lines) == 200
