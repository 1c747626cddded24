# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""libvirt's states and reasons in words: every one that libvirt has, and those of newer ones."""

import re
from enum import IntEnum
from typing import Any

import pytest

from world.ports.libvirt import Domain, DomainState, Ending, Pause
from world.vm.domain_endings import ENDING_WORDS
from world.vm.domain_states import (
    PAUSES,
    CrashedReason,
    ShutoffReason,
    VirDomainState,
    domain_of,
    paused,
)

REASONS = range(16)  # libvirt 11 has 15 for a pause, more than for any other state


def constants(prefix: str) -> dict[str, int]:
    """libvirt's constants with `prefix`, without it."""
    libvirt = pytest.importorskip("libvirt")
    found: dict[str, Any] = vars(libvirt)
    return {
        name[len(prefix) :]: number
        for name, number in found.items()
        if name.startswith(prefix) and isinstance(number, int)
    }


def test_every_pause_that_libvirt_knows_has_its_value_and_its_words() -> None:
    known = constants("VIR_DOMAIN_PAUSED_")
    assert known
    for name, number in known.items():
        assert PAUSES[number][0] is Pause(name.lower()), name
    assert sorted(PAUSES) == list(range(len(Pause)))
    assert {pause for pause, _words in PAUSES.values()} == set(Pause)


@pytest.mark.parametrize(
    ("prefix", "numbers"),
    [("VIR_DOMAIN_SHUTOFF_", ShutoffReason), ("VIR_DOMAIN_CRASHED_", CrashedReason)],
)
def test_the_reasons_are_libvirts(prefix: str, numbers: type[IntEnum]) -> None:
    for name, number in constants(prefix).items():
        assert numbers[name] == number


def test_the_states_are_libvirts() -> None:
    every = constants("VIR_DOMAIN_")
    assert {name: every[name] for name in VirDomainState.__members__} == dict(
        VirDomainState.__members__
    )


@pytest.mark.parametrize("state", [*VirDomainState, 8, 99, -1])
@pytest.mark.parametrize("reason", [*REASONS, 99])
def test_whatever_libvirt_says_reads_as_the_end_of_a_sentence(state: int, reason: int) -> None:
    domain = domain_of(state, reason)
    if domain.state is DomainState.RUNNING and state != VirDomainState.SHUTDOWN:
        assert domain.detail == ""  # that it runs explains itself, whatever it did before
        return
    assert len(domain.detail.split()) >= 3, "a word of libvirt's own is no explanation"
    assert not re.search(r"[_A-Z]{4,}|[a-z]_[a-z]", domain.detail), "nor is a constant"
    assert len(domain.detail) <= 80, "it must fit into a record"
    assert domain.detail[-1] not in ".:;"


@pytest.mark.parametrize(
    ("state", "reason", "number"),
    [
        (VirDomainState.PAUSED, 15, 15),
        (VirDomainState.PAUSED, 99, 99),
        (VirDomainState.SHUTOFF, 9, 9),
        (8, 0, 8),
        (99, 3, 99),
    ],
)
def test_a_number_of_a_newer_libvirt_is_told(state: int, reason: int, number: int) -> None:
    detail = domain_of(state, reason).detail
    assert re.search(rf"\b{number}\b", detail)
    assert "this version does not know" in detail


def test_one_that_is_paused_for_an_unknown_reason_is_just_paused() -> None:
    domain = domain_of(VirDomainState.PAUSED, 99)
    assert (domain.state, domain.pause) == (DomainState.PAUSED, Pause.UNKNOWN)


def test_one_that_libvirt_is_still_starting_may_yet_fail() -> None:
    assert domain_of(VirDomainState.PAUSED, 11) == paused(Pause.STARTING_UP)
    assert paused(Pause.STARTING_UP).state is DomainState.UNKNOWN


@pytest.mark.parametrize(
    ("reason", "ending"),
    [
        (ShutoffReason.CRASHED, Ending.CRASHED),
        (ShutoffReason.FAILED, Ending.CRASHED),
        (ShutoffReason.MIGRATED, Ending.MIGRATED),
        (ShutoffReason.DESTROYED, Ending.STOPPED),
        (ShutoffReason.SHUTDOWN, Ending.NONE),
        (ShutoffReason.SAVED, Ending.NONE),
        (ShutoffReason.UNKNOWN, Ending.NONE),
    ],
)
def test_how_a_domain_that_is_defined_has_ended(reason: int, ending: Ending) -> None:
    domain = domain_of(VirDomainState.SHUTOFF, reason)
    assert (domain.state, domain.ending) == (DomainState.ABSENT, ending)


@pytest.mark.parametrize("reason", CrashedReason)
def test_a_guest_that_panicked_is_gone(reason: int) -> None:
    domain = domain_of(VirDomainState.CRASHED, reason)
    assert (domain.state, domain.ending) == (DomainState.ABSENT, Ending.CRASHED)
    assert "guest" in domain.detail


def test_every_ending_has_words() -> None:
    assert set(ENDING_WORDS) == set(Ending)
    assert all(len(words.split()) > 2 for words in ENDING_WORDS.values())


def test_a_domain_that_runs_is_just_that() -> None:
    for reason in REASONS:
        assert domain_of(VirDomainState.RUNNING, reason) == Domain(DomainState.RUNNING)
