# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Why a domain ended, as a pure function of libvirt's events."""

from __future__ import annotations

import pytest

from world.ports.libvirt import Ending
from world.vm.domain_endings import (
    DomainLife,
    LifecycleEvent,
    ShutdownDetail,
    StartedDetail,
    StoppedDetail,
    after_event,
    after_look,
    after_request,
)

STARTED = (LifecycleEvent.RESUMED, 0), (LifecycleEvent.STARTED, 0)
BY_SIGNAL = (LifecycleEvent.SHUTDOWN, ShutdownDetail.HOST)
BY_GUEST = (LifecycleEvent.SHUTDOWN, ShutdownDetail.GUEST)


def stopped(detail: StoppedDetail) -> tuple[int, int]:
    return (LifecycleEvent.STOPPED, detail)


def told(*events: tuple[int, int], life: DomainLife = DomainLife()) -> DomainLife:  # noqa: B008 - a frozen value
    for event, detail in events:
        life = after_event(life, event, detail)
    return life


def looked(life: DomainLife, present: bool) -> DomainLife:
    return after_look(life, present, life.events)


@pytest.mark.parametrize(
    ("events", "ending", "detail"),
    [
        ([stopped(StoppedDetail.FAILED)], Ending.CRASHED, "qemu died"),
        (
            [BY_SIGNAL, stopped(StoppedDetail.SHUTDOWN)],
            Ending.CRASHED,
            "qemu was ended by a signal",
        ),
        (
            [BY_GUEST, stopped(StoppedDetail.SHUTDOWN)],
            Ending.GUEST_SHUTDOWN,
            "powered off from inside",
        ),
        (
            [(LifecycleEvent.SHUTDOWN, 0), stopped(StoppedDetail.SHUTDOWN)],
            Ending.GUEST_SHUTDOWN,
            "powered off from inside",
        ),
        ([BY_SIGNAL, stopped(StoppedDetail.DESTROYED)], Ending.STOPPED, ""),
        ([stopped(StoppedDetail.DESTROYED)], Ending.STOPPED, ""),
        (
            [
                (LifecycleEvent.SUSPENDED, 0),
                (LifecycleEvent.CRASHED, 0),
                stopped(StoppedDetail.CRASHED),
            ],
            Ending.CRASHED,
            "the guest's kernel panicked",
        ),
        ([stopped(StoppedDetail.CRASHED)], Ending.CRASHED, "the guest crashed"),
        # kdump's kernel was loaded after a panic: a crash, and the guest goes on for a while
        ([(LifecycleEvent.CRASHED, 1), stopped(StoppedDetail.FAILED)], Ending.CRASHED, "qemu died"),
        ([(LifecycleEvent.SUSPENDED, 1), stopped(StoppedDetail.MIGRATED)], Ending.MIGRATED, ""),
        ([stopped(StoppedDetail.SAVED)], Ending.STOPPED, "it was saved to disk"),
        ([stopped(StoppedDetail.FROM_SNAPSHOT)], Ending.STOPPED, ""),
        ([(LifecycleEvent.STOPPED, 99)], Ending.MISSING, ""),
        ([], Ending.NONE, ""),
    ],
)
def test_how_a_life_ends(events: list[tuple[int, int]], ending: Ending, detail: str) -> None:
    life = told(*STARTED, *events)
    assert life.ran
    assert (life.ending, life.detail) == (ending, detail)


def test_a_panic_is_forgotten_with_its_life() -> None:
    old = told(*STARTED, (LifecycleEvent.CRASHED, 0), stopped(StoppedDetail.CRASHED))
    new = told(*STARTED, stopped(StoppedDetail.CRASHED), life=old)
    assert new.detail == "the guest crashed"


def test_a_power_off_that_this_process_asked_for() -> None:
    life = told(BY_GUEST, stopped(StoppedDetail.SHUTDOWN), life=after_request(told(*STARTED)))
    assert life.ending == Ending.STOPPED


def test_asked_for_but_killed_before_it_obeyed() -> None:
    life = told(BY_SIGNAL, stopped(StoppedDetail.SHUTDOWN), life=after_request(told(*STARTED)))
    assert life.ending == Ending.CRASHED


def test_a_new_life_forgets_the_old_one() -> None:
    old = told(*STARTED, BY_SIGNAL, stopped(StoppedDetail.SHUTDOWN))
    new = told(*STARTED, life=after_request(old))
    assert new.ending == Ending.NONE
    assert told(BY_GUEST, stopped(StoppedDetail.SHUTDOWN), life=new).ending == Ending.GUEST_SHUTDOWN


def test_a_resume_is_no_new_life() -> None:
    life = told(
        (LifecycleEvent.SUSPENDED, 0),
        (LifecycleEvent.RESUMED, 0),
        life=after_request(told(*STARTED)),
    )
    assert life.asked


def test_a_start_that_fails_ends_no_life() -> None:
    assert told(stopped(StoppedDetail.FAILED)) == DomainLife(events=1)
    before = told(*STARTED, BY_GUEST, stopped(StoppedDetail.SHUTDOWN))
    after = told(BY_SIGNAL, stopped(StoppedDetail.FAILED), life=before)
    assert after.ending == Ending.GUEST_SHUTDOWN


def test_gone_without_a_word() -> None:
    life = looked(looked(DomainLife(), present=True), present=False)
    assert life.ending == Ending.MISSING
    assert looked(life, present=False).ending == Ending.MISSING


def test_a_late_word_explains_what_was_missing() -> None:
    life = looked(told(*STARTED), present=False)
    assert told(stopped(StoppedDetail.FAILED), life=life).ending == Ending.CRASHED


def test_never_seen_is_not_missing() -> None:
    assert looked(DomainLife(), present=False) == DomainLife()


def test_told_is_not_missing() -> None:
    life = told(*STARTED, stopped(StoppedDetail.DESTROYED))
    assert looked(life, present=False).ending == Ending.STOPPED


def test_present_again_without_an_event_is_a_new_life() -> None:
    life = looked(told(*STARTED, stopped(StoppedDetail.FAILED)), present=True)
    assert (life.ran, life.ending) == (True, Ending.NONE)


@pytest.mark.parametrize("present", [True, False])
def test_an_answer_older_than_an_event_says_nothing(present: bool) -> None:
    before = told(*STARTED)
    during = told(stopped(StoppedDetail.FAILED), life=before)
    assert after_look(during, present, before.events) == during


def test_the_numbers_are_libvirts() -> None:
    libvirt = pytest.importorskip("libvirt")
    for prefix, numbers in (
        ("VIR_DOMAIN_EVENT_", LifecycleEvent),
        ("VIR_DOMAIN_EVENT_SHUTDOWN_", ShutdownDetail),
        ("VIR_DOMAIN_EVENT_STOPPED_", StoppedDetail),
    ):
        for member in numbers:
            assert getattr(libvirt, prefix + member.name) == member


# --- a domain that a migration brings --------------------------------------------------------

ARRIVES = (LifecycleEvent.STARTED, StartedDetail.MIGRATED)
GOES_ON = (LifecycleEvent.RESUMED, 1)
ENDS = [
    [stopped(StoppedDetail.FAILED)],
    [stopped(StoppedDetail.DESTROYED)],
    [stopped(StoppedDetail.CRASHED)],
    [BY_SIGNAL, stopped(StoppedDetail.SHUTDOWN)],
]


@pytest.mark.parametrize("events", ENDS)
@pytest.mark.parametrize("seen", [True, False])
def test_one_that_never_ran_here_has_not_crashed_here(
    events: list[tuple[int, int]], seen: bool
) -> None:
    life = told(ARRIVES)
    life = looked(life, present=True) if seen else life
    ended = told(*events, life=life)
    assert (ended.ending, ended.detail) == (
        Ending.STOPPED,
        "a live migration to here was broken off",
    )


def test_a_look_before_the_event_changes_nothing_of_that() -> None:
    life = told(ARRIVES, life=looked(DomainLife(), present=True))
    assert told(stopped(StoppedDetail.FAILED), life=life).ending is Ending.STOPPED


@pytest.mark.parametrize("by_event", [True, False])
def test_one_that_has_arrived_crashes_like_any_other(by_event: bool) -> None:
    life = told(ARRIVES)
    life = told(GOES_ON, life=life) if by_event else after_look(life, True, life.events, runs=True)
    ended = told(stopped(StoppedDetail.FAILED), life=life)
    assert (ended.ending, ended.detail) == (Ending.CRASHED, "qemu died")


def test_the_next_life_arrives_from_nowhere() -> None:
    life = told(ARRIVES, stopped(StoppedDetail.FAILED), *STARTED)
    assert told(stopped(StoppedDetail.FAILED), life=life).ending is Ending.CRASHED


def test_who_began_between_shutdown_and_end_does_not_know_who_asked_for_it() -> None:
    """sanlock's signal came before this process: qemu, whose disk hung, ended a minute later."""
    found = looked(DomainLife(), present=True)
    ended = told(stopped(StoppedDetail.SHUTDOWN), life=found)
    assert (ended.ending, ended.detail) == (Ending.MISSING, "")
