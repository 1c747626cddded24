# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A host that is shut down in order: services, guests, lockspace, sanlock."""

import re
import time
from collections.abc import Iterator

import pytest

from tests.lab.verbs import LabVerbs, machine_clock_s, scaled

# Beside the guest's own shutdown and boot.
TAKEOVER_ALLOWANCE_S = 3.0
OFF_ALLOWANCE_S = 5.0
JOURNAL = ("journalctl", "--boot=-1", "--output=short-unix", "--no-pager")
GUEST_ENDED = re.compile(r"^([0-9.]+) .*machine-qemu.*\.scope: Deactivated", re.MULTILINE)
# Where qemu has no scope of its own: the agent is told by an event (12 ms later than libvirt's
# own log says, once measured), libvirt-guests looks once a second.
AGENT_TOLD = re.compile(r"^([0-9.]+) .*ha-agent\[\d+\]: EngineStop => AgentStopped", re.MULTILINE)
GUEST_SEEN_ENDED = re.compile(r"^([0-9.]+) .*Shutdown of guest \w+ complete", re.MULTILINE)
LOOKS_EVERY_S = 1.0


def shut_down(lab: LabVerbs, host: str) -> float:
    """Returns when the host was off, in seconds since the epoch."""
    lab("shutdown", host)
    return time.time()


def guest_ended_s(journal: str) -> float:
    """Known to a second only, it is taken as early as it may have been."""
    found = GUEST_ENDED.findall(journal) or AGENT_TOLD.findall(journal)
    if found:
        return float(found[-1])
    seen = GUEST_SEEN_ENDED.findall(journal)
    assert seen, journal
    return float(seen[-1]) - LOOKS_EVERY_S


def _assert_left_in_order(journal: str, host_id: int) -> None:
    assert f"host id {host_id} is not in the lockspace any more" in journal
    assert "sanlock.service: State 'stop-sigterm' timed out" not in journal


@pytest.fixture
def stopping(lab: LabVerbs) -> Iterator[LabVerbs]:
    """The engine is shut down with its host, and does not move."""
    lab.set_shared("migration.at_shutdown", "stop")
    yield lab
    lab.set_shared("migration.at_shutdown", "migrate")


def test_a_clean_shutdown_waits_for_nothing_and_is_taken_over_at_once(stopping: LabVerbs) -> None:
    lab = stopping
    host = lab.engine_host()
    off_s = shut_down(lab, host)
    lab.wait_healthy(120, "--not-on", host)
    started_s = lab.status()["engine"]["started_s"] + time.time() - machine_clock_s()
    lab("power-on", host)
    journal = lab.on(host, *JOURNAL)
    ended_s = guest_ended_s(journal)
    figures = (
        f"{host} was off {off_s - ended_s:.1f} s after its guest; "
        f"the engine was started elsewhere {started_s - ended_s:.1f} s after it"
    )
    print(figures)
    _assert_left_in_order(journal, int(host[1:]))
    assert started_s - ended_s <= scaled(TAKEOVER_ALLOWANCE_S), figures
    assert off_s - ended_s <= scaled(OFF_ALLOWANCE_S), figures
    lab.wait_settled()


def test_a_host_whose_broker_was_stopped_long_before_leaves_too(lab: LabVerbs) -> None:
    where = lab.engine_host()
    host = next(name for name in lab.status()["hosts"] if name != where)
    lab.on(host, "systemctl", "stop", "ha-agent.service", "ha-broker.service")
    assert f"hosted-engine:{host[1:]}:" in lab.on(host, "sanlock", "client", "status")
    before_s = time.time()
    off_s = shut_down(lab, host)
    print(f"{host}, whose broker was stopped, was off after {off_s - before_s:.1f} s")
    assert off_s - before_s <= scaled(2 * OFF_ALLOWANCE_S)
    lab("power-on", host)
    _assert_left_in_order(lab.on(host, *JOURNAL), int(host[1:]))
    lab.on(host, "systemctl", "start", "ha-broker.service", "ha-agent.service")
    lab.wait_settled()
