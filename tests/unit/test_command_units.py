# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""This host's services through a systemctl that writes down what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from hosted_engine.errors import CommandError
from hosted_engine.host.units import AGENT, BROKER, IN_STARTING_ORDER, SystemdUnits


class Bench:
    """A systemctl whose answers are files: `UNIT.is-active`, `UNIT.is-enabled`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.units = SystemdUnits()
        monkeypatch.setattr(SystemdUnits, "available", lambda _self: True)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        self.systemctl(f'cat "{folder}/$2.$1" 2>/dev/null; exit 0')

    def systemctl(self, body: str) -> None:
        tool = self.folder / "systemctl"
        tool.write_text(f'#!/bin/sh\necho "$*" >> "{self.folder}/calls"\n{body}\n')
        tool.chmod(0o755)

    def answer(self, unit: str, question: str, state: str) -> None:
        (self.folder / f"{unit}.{question}").write_text(f"{state}\n")

    def orders(self) -> list[str]:
        calls = (self.folder / "calls").read_text().splitlines()
        return [call for call in calls if not call.startswith("is-")]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("state", "runs"),
    [
        ("active", True),
        ("activating", True),  # also one that is started again and again
        ("deactivating", True),
        ("inactive", False),
        ("failed", False),
    ],
)
def test_whoever_may_use_the_storage_counts_as_running(
    bench: Bench, state: str, runs: bool
) -> None:
    bench.answer(BROKER, "is-active", state)
    assert bench.units.active() == ((BROKER,) if runs else ())


def test_the_agent_is_stopped_before_the_broker(bench: Bench) -> None:
    bench.units.stop(IN_STARTING_ORDER)
    bench.units.start(IN_STARTING_ORDER)
    assert bench.orders() == [f"stop {AGENT}", f"stop {BROKER}", f"start {BROKER} {AGENT}"]


def test_only_what_is_enabled_is_disabled(bench: Bench) -> None:
    bench.answer(AGENT, "is-enabled", "disabled")
    bench.answer(BROKER, "is-enabled", "enabled")
    bench.units.disable()
    assert bench.orders() == [f"disable {BROKER}"]
    bench.answer(BROKER, "is-enabled", "not-found")
    bench.units.disable()
    assert bench.orders() == [f"disable {BROKER}"]


def test_systemds_own_words_are_passed_on(bench: Bench) -> None:
    bench.systemctl("echo 'Access denied' >&2; exit 1")
    with pytest.raises(CommandError, match=f"systemctl start {BROKER}: Access denied"):
        bench.units.start((BROKER,))


def test_without_systemd_nothing_runs_and_nothing_is_asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SystemdUnits, "available", lambda _self: False)
    assert bench.units.active() == ()
    bench.units.disable()
    assert not (bench.folder / "calls").exists()


def test_both_are_enabled_and_started_at_once(bench: Bench) -> None:
    bench.units.enable()
    assert bench.orders() == [f"enable --now {BROKER} {AGENT}"]
    bench.systemctl("echo 'Unit ha-agent.service is masked.' >&2; exit 1")
    with pytest.raises(CommandError, match=r"enable --now .*: Unit ha-agent.service is masked"):
        bench.units.enable()


@pytest.mark.parametrize(
    ("question", "state", "found"),
    [
        ("is-active", "active", True),
        ("is-active", "inactive", False),
        ("is-enabled", "enabled", True),
        ("is-enabled", "disabled", False),
    ],
)
def test_ovirts_own_daemon_is_told_from_our_alias(
    bench: Bench, question: str, state: str, found: bool
) -> None:
    name = "ovirt-ha-agent.service"
    answers = f'cat "{bench.folder}/$2.$1" 2>/dev/null'
    bench.answer(name, question, state)
    bench.systemctl(f'[ "$1" != show ] || {{ echo "$4"; exit 0; }}; {answers}; exit 0')
    assert bench.units.of_ovirt() == ((name,) if found else ())
    bench.systemctl(f'[ "$1" != show ] || {{ echo {AGENT}; exit 0; }}; {answers}; exit 0')
    assert bench.units.of_ovirt() == ()
