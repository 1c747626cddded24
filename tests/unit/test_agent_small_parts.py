# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The daemons' shared small parts: the loop's bed, log lines, host.yaml, the unit file."""

from __future__ import annotations

import configparser
import io
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ha_broker.lockspace.leave import LEAVE_WITHIN_S
from metadata.errors import SettingsError
from metadata.settings.parse import host_settings_to_data
from tests.unit.agent_host import HOST
from world.host.journal import log_setup
from world.host.wake import Wake
from world.host_file import read_host_settings

LONG_S = 60.0
ROOT = Path(__file__).resolve().parents[2]

# --- the loop's bed -------------------------------------------------------------------


@pytest.fixture
def wake() -> Iterator[Wake]:
    given = Wake()
    yield given
    given.close()


def test_sleeps_until_the_time_is_over(wake: Wake) -> None:
    begun_s = time.monotonic()
    assert wake.wait(0.05) is False
    assert time.monotonic() - begun_s >= 0.05


def test_a_due_time_in_the_past_does_not_sleep(wake: Wake) -> None:
    assert wake.wait(-5.0) is False


def test_woken_before_the_sleep(wake: Wake) -> None:
    wake.wake()
    wake.wake()
    assert wake.wait(LONG_S) is True
    assert wake.wait(0.0) is False, "several wakes are one"


def test_what_is_forgotten_ends_no_sleep_and_what_comes_later_does(wake: Wake) -> None:
    wake.wake()
    wake.forget()
    assert wake.wait(0.0) is False
    wake.wake()
    assert wake.wait(LONG_S) is True


def test_woken_by_a_thread(wake: Wake) -> None:
    threading.Timer(0.02, wake.wake).start()
    assert wake.wait(LONG_S) is True


def test_many_wakes_are_one_write(wake: Wake, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    write = os.write

    def noted(fd: int, data: bytes) -> int:
        written.append(data)
        return write(fd, data)

    monkeypatch.setattr(os, "write", noted)
    for _ in range(2):
        for _ in range(50):
            wake.wake()
        assert wake.wait(LONG_S) is True
    assert len(written) == 2


def test_no_wake_of_many_threads_is_lost(wake: Wake) -> None:
    """Each leaves something before it wakes: the loop sees all of it without another wake."""
    left: list[int] = []
    share, threads = 3000, 4

    def work() -> None:
        for number in range(share):
            left.append(number)
            wake.wake()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    while len(left) < share * threads:
        assert wake.wait(LONG_S), len(left)
    for worker in workers:
        worker.join()


def test_a_wake_ends_the_next_sleep_even_if_one_came_as_the_pipe_was_emptied(
    wake: Wake, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = os.read

    def read_and_be_woken(fd: int, size: int) -> bytes:
        monkeypatch.undo()
        wake.wake()
        return read(fd, size)

    monkeypatch.setattr(os, "read", read_and_be_woken)
    wake.wake()
    assert wake.wait(LONG_S) is True
    wake.wake()
    assert wake.wait(LONG_S) is True


def test_a_full_pipe_and_a_closed_one_are_fine() -> None:
    wake = Wake()
    for _ in range(100_000):
        wake.wake()
    assert wake.wait(LONG_S) is True
    wake.close()
    wake.wake()


# --- log lines ------------------------------------------------------------------------


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level, hook = root.handlers[:], root.level, threading.excepthook
    yield io.StringIO()
    threading.excepthook = hook
    root.handlers[:] = handlers
    root.setLevel(level)


def test_lines_for_a_terminal(output: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    log_setup("warning", output)
    logging.getLogger("x").info("quiet")
    logging.getLogger("x").warning("loud")
    logging.getLogger().handlers[0].flush()
    (line,) = output.getvalue().splitlines()
    assert line.endswith(" WARNING loud")


# --- host.yaml ------------------------------------------------------------------------


def test_no_file_is_not_deployed(tmp_path: Path) -> None:
    assert read_host_settings(str(tmp_path / "host.yaml")) is None


def test_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "host.yaml"
    path.write_text(yaml.safe_dump(host_settings_to_data(HOST)))
    assert read_host_settings(str(path)) == HOST


BAD_FILES = {
    "no valid YAML": b"host_id: [1",
    "can't be read": b"\xff\xfe",
    "host_nam": b"host_nam: h1",
    "host.yaml": b"",
}


@pytest.mark.parametrize("why", BAD_FILES)
def test_a_bad_file_is_named_with_its_reason(tmp_path: Path, why: str) -> None:
    path = tmp_path / "host.yaml"
    path.write_bytes(BAD_FILES[why])
    with pytest.raises(SettingsError) as caught:
        read_host_settings(str(path))
    assert str(path) in str(caught.value)
    assert why in str(caught.value)


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read"):
        read_host_settings(str(tmp_path))


# --- the unit -------------------------------------------------------------------------


@pytest.fixture
def unit() -> configparser.ConfigParser:
    return read_unit("ha-agent")


def read_unit(name: str) -> configparser.ConfigParser:
    # A list of systemd's, such as SystemCallFilter, may have several lines.
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string((ROOT / "systemd" / f"{name}.service").read_text())
    return parser


def test_the_agent_survives_what_it_uses(unit: configparser.ConfigParser) -> None:
    for word in ("Requires", "BindsTo", "PartOf", "Requisite"):
        assert word not in unit["Unit"]
    assert "ha-broker.service" in unit["Unit"]["Wants"].split()
    assert "ha-broker.service" in unit["Unit"]["After"].split()


def test_a_host_that_shuts_down_stops_the_agent_before_the_guests(
    unit: configparser.ConfigParser,
) -> None:
    """Else it would see the engine go down, and could start it again on a host that ends.

    systemd stops in the opposite order of the start. The target is what libvirt orders each
    guest's scope before; it must be there for that also where libvirt-guests is not used.
    """
    after = unit["Unit"]["After"].split()
    assert {"libvirt-guests.service", "virt-guest-shutdown.target"} <= set(after)
    assert "virt-guest-shutdown.target" in unit["Unit"]["Wants"].split()


def test_systemd_watches_and_restarts_it_for_ever(unit: configparser.ConfigParser) -> None:
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) >= 15
    assert service["Restart"] == "always"
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert service["ExecStart"] == "/usr/lib/hosted-engine-ha/bin/ha-agent"


def test_stopping_it_kills_no_qemu(unit: configparser.ConfigParser) -> None:
    assert unit["Service"]["KillMode"] in ("mixed", "process")


def test_the_lockspace_is_left_between_the_guests_and_sanlock() -> None:
    """systemd stops in the opposite order of the start; guests' scopes stop before libvirtd."""
    unit = read_unit("ha-lockspace")
    guests = {"libvirtd.service", "libvirt-guests.service", "virt-guest-shutdown.target"}
    assert guests <= set(unit["Unit"]["Before"].split())
    assert {"sanlock.service", "remote-fs.target"} <= set(unit["Unit"]["After"].split())
    stop = unit["Service"]["ExecStop"]
    assert stop == "/usr/lib/hosted-engine-ha/bin/ha-broker --leave-lockspace"
    assert unit["Service"]["RemainAfterExit"] == "yes"
    assert float(unit["Service"]["TimeoutStopSec"]) > LEAVE_WITHIN_S


def test_libvirt_ends_after_it_has_asked_the_guests_to_shut_down() -> None:
    """libvirt orders libvirt-guests behind its sockets alone; systemd stops the other way round."""
    order = configparser.ConfigParser(interpolation=None, strict=False)
    drop_in = ROOT / "systemd" / "libvirt-guests.service.d" / "hosted-engine-ha.conf"
    order.read_string(drop_in.read_text())
    assert order.sections() == ["Unit"]
    assert dict(order["Unit"]) == {"after": "libvirtd.service virtqemud.service"}


def test_the_broker_brings_the_unit_that_leaves_and_stops_without_it() -> None:
    """However the broker stops, the unit stays until the host shuts down; stopped by hand, it
    takes along the broker, which would join again."""
    broker, leaver = read_unit("ha-broker"), read_unit("ha-lockspace")
    assert "ha-lockspace.service" in broker["Unit"]["Requires"].split()
    assert "ha-lockspace.service" in broker["Unit"]["After"].split()
    for word in ("Requires", "BindsTo", "PartOf", "Requisite", "StopWhenUnneeded"):
        assert word not in leaver["Unit"]
