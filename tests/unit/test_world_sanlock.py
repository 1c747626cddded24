# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The sanlock adapter where no daemon is needed: the binding is played by a stub."""

from __future__ import annotations

import errno
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any, Optional

import pytest

from metadata.layout import storage_parts
from metadata.liveness import Liveness
from simulation.world import SimStore
from world.ports.errors import (
    LeaseHeldError,
    LockspaceBusyError,
    LockspaceError,
    LockspaceGoneError,
)
from world.ports.sanlock import LeaseOwner, Membership, Renewal
from world.storage import sanlock_lockspace
from world.storage.sanlock_lockspace import (
    AIO_TIMEOUT,
    SanlockLockspace,
    parse_daemon_name,
    parse_holders,
    parse_renewals,
)

VOLUME = "/shared/leases"
PARTS = storage_parts(VOLUME)
JOINED = {"lockspace": b"hosted-engine", "host_id": 1, "flags": 0}

STATUS = """daemon 3fae-h1.example
p -1 helper
p 4711 HostedEngine
s hosted-engine:1:/shared/leases:0
r hosted-engine:engine:/shared/leases:1048576:7 p 4711
r hosted-engine:other:/shared/leases:9437184:1 p 4712
r another:engine:/elsewhere:1048576:1 p 4713
"""


class StubError(Exception):
    @property
    def errno(self) -> int:
        number: int = self.args[0]
        return number


class Stub(ModuleType):
    """The module: `answers` maps a function's name to a value or a StubError; None: no daemon."""

    SanlockException = StubError
    HOST_UNKNOWN, HOST_FREE, HOST_LIVE, HOST_FAIL, HOST_DEAD = 1, 2, 3, 4, 5
    LSFLAG_ADD, LSFLAG_REM = 1, 2

    def __init__(self) -> None:
        super().__init__("sanlock")
        self.answers: Optional[dict[str, object]] = {"get_lockspaces": [JOINED]}
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_positional, **_named: self._answer(name)

    def _answer(self, name: str) -> object:
        self.calls.append(name)
        if self.answers is None:
            raise StubError(errno.ENOENT, "failure", "No such file or directory")
        answer = self.answers.get(name)
        if isinstance(answer, StubError):
            raise answer
        return answer


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    stub = Stub()
    monkeypatch.setitem(sys.modules, "sanlock", stub)
    return stub


@pytest.fixture
def store() -> SimStore:
    store = SimStore()
    store.add(VOLUME, 2 * 1024 * 1024)
    return store


@pytest.fixture
def lockspace(stub: Stub, store: SimStore) -> SanlockLockspace:
    return SanlockLockspace(PARTS, store)


def answer(stub: Stub, **answers: object) -> None:
    assert stub.answers is not None
    stub.answers.update(answers)


def owners(*host_ids: int) -> list[dict[str, int]]:
    return [{"host_id": host_id, "generation": 3} for host_id in host_ids]


def test_the_daemon_reads_the_lease_only_when_it_changed(
    stub: Stub, store: SimStore, lockspace: SanlockLockspace
) -> None:
    answer(stub, read_resource_owners=owners(2))
    assert [lockspace.lease_owner() for _ in range(5)] == [LeaseOwner(2, 3)] * 5
    assert stub.calls.count("read_resource_owners") == 1
    assert store.reads == [(PARTS.lease, 4096)] * 5
    place = PARTS.lease.offset + 100
    store.volumes[VOLUME][place : place + 1] = b"\1"
    answer(stub, read_resource_owners=[])
    assert [lockspace.lease_owner() for _ in range(2)] == [None, None]
    assert stub.calls.count("read_resource_owners") == 2


def test_a_missing_lockspace_is_told_by_its_name(stub: Stub, lockspace: SanlockLockspace) -> None:
    """sanlock itself says "Lease does not exist on storage"; pages and people look for these."""
    answer(stub, add_lockspace=StubError(-223, "x", "Lease does not exist on storage"))
    with pytest.raises(LockspaceError, match=r"no lockspace on the storage.*-223") as caught:
        lockspace.join(1, 10)
    assert caught.value.errno == -223
    page = (Path(__file__).resolve().parents[2] / "docs" / "storage.md").read_text()
    assert "no lockspace on the storage" in page


def test_a_failed_question_is_asked_again(stub: Stub, lockspace: SanlockLockspace) -> None:
    answer(stub, read_resource_owners=StubError(-202, "x", "timeout"))
    with pytest.raises(LockspaceError):
        lockspace.lease_owner()
    answer(stub, read_resource_owners=owners(1))
    assert lockspace.lease_owner() == LeaseOwner(1, 3)


def test_unreadable_storage_is_an_error_of_the_lockspace(
    store: SimStore, lockspace: SanlockLockspace
) -> None:
    store.fail(errno.EIO)
    with pytest.raises(LockspaceError) as caught:
        lockspace.lease_owner()
    assert caught.value.errno == errno.EIO


@pytest.mark.parametrize(
    ("flags", "liveness"),
    [
        (1, Liveness.UNKNOWN),
        (2, Liveness.FREE),
        (3, Liveness.LIVE),
        (4, Liveness.FAIL),
        (5, Liveness.DEAD),
        (0x13, Liveness.LIVE),
        (9, Liveness.UNKNOWN),
    ],
)
def test_flags_of_hosts(
    stub: Stub, lockspace: SanlockLockspace, flags: int, liveness: Liveness
) -> None:
    host = {"host_id": 7, "generation": 2, "timestamp": 99, "io_timeout": 10, "flags": flags}
    answer(stub, get_hosts=[host])
    (seen,) = lockspace.hosts()
    assert (seen.host_id, seen.generation, seen.timestamp) == (7, 2, 99)
    assert seen.liveness == liveness


def test_no_look_at_the_hosts_yet(stub: Stub, lockspace: SanlockLockspace) -> None:
    answer(stub, get_hosts=StubError(errno.EAGAIN, "x", "again"))
    assert lockspace.hosts() == []


@pytest.mark.parametrize(
    ("entry", "inquired", "membership"),
    [
        (JOINED, True, Membership.JOINED),
        (JOINED, None, Membership.OUT),
        (JOINED, False, Membership.OUT),
        ({**JOINED, "flags": 1}, None, Membership.JOINING),
        ({**JOINED, "flags": 2}, None, Membership.OUT),
        ({**JOINED, "host_id": 2}, True, Membership.OUT),
        ({**JOINED, "lockspace": b"another"}, True, Membership.OUT),
    ],
)
def test_membership(
    stub: Stub,
    lockspace: SanlockLockspace,
    entry: dict[str, object],
    inquired: Optional[bool],
    membership: Membership,
) -> None:
    answer(stub, get_lockspaces=[entry], inq_lockspace=inquired)
    assert lockspace.membership(1) == membership


def test_without_a_daemon_nothing_is_known(stub: Stub, lockspace: SanlockLockspace) -> None:
    stub.answers = None
    for call in (
        lambda: lockspace.membership(1),
        lockspace.hosts,
        lockspace.lease_owner,
        lambda: lockspace.process_holds_lease(1),
        lambda: lockspace.join(1, 10),
        lambda: lockspace.leave_if_unused(1),
        lockspace.read_lease,
    ):
        with pytest.raises(LockspaceGoneError) as caught:
            call()
        assert caught.value.errno == errno.ECONNREFUSED


def test_a_missing_volume_is_not_a_missing_daemon(stub: Stub, lockspace: SanlockLockspace) -> None:
    answer(stub, add_lockspace=StubError(errno.ENOENT, "x", "No such file or directory"))
    with pytest.raises(LockspaceError) as caught:
        lockspace.join(1, 10)
    assert not isinstance(caught.value, LockspaceGoneError)
    assert caught.value.why.endswith("can't be opened (No such file or directory)")


def test_a_held_lease_has_its_own_error(stub: Stub, lockspace: SanlockLockspace) -> None:
    answer(stub, add_lockspace=StubError(-243, "x", "in any language"))
    with pytest.raises(LeaseHeldError):
        lockspace.join(1, 10)


def test_lost_while_leaving(stub: Stub, lockspace: SanlockLockspace) -> None:
    answer(stub, rem_lockspace=StubError(errno.ENOENT, "x", "No such file or directory"))
    assert lockspace.leave_if_unused(1) is True


def test_it_is_left_as_soon_as_sanlock_lists_it_no_more(
    stub: Stub, lockspace: SanlockLockspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(stub, rem_lockspace=None)
    looks = 0

    def sleep(seconds: float) -> None:
        nonlocal looks
        assert seconds < 0.2
        looks += 1
        if looks == 3:
            answer(stub, get_lockspaces=[])

    monkeypatch.setattr(time, "sleep", sleep)
    assert lockspace.leave_if_unused(1) is True
    assert looks == 3


def test_a_machine_that_stops_waits_for_no_more_than_the_beginning(stub: Stub) -> None:
    """sanlock itself is stopped next, and ends what it has begun."""
    lockspace = SanlockLockspace(PARTS, stopping=True)
    answer(stub, get_lockspaces=[{**JOINED, "flags": 2}], rem_lockspace=None)
    assert lockspace.leave_if_unused(1) is True


def test_only_the_engines_lease_counts(stub: Stub, lockspace: SanlockLockspace) -> None:
    other = {"lockspace": b"hosted-engine", "resource": b"other"}
    answer(stub, inquire=[other])
    assert lockspace.process_holds_lease(5) is False
    answer(stub, inquire=[other, held(lockspace)])
    assert lockspace.process_holds_lease(5) is True


def held(lockspace: SanlockLockspace, **fields: object) -> dict[str, object]:
    """The engine's lease as sanlock lists it."""
    place = lockspace._parts.lease
    names = {"lockspace": b"hosted-engine", "resource": b"engine"}
    return {**names, "disks": [(place.path, place.offset)], **fields}


def test_a_lease_of_the_same_name_elsewhere_is_another_one(
    stub: Stub, lockspace: SanlockLockspace, tmp_path: Path
) -> None:
    place = lockspace._parts.lease
    for disks in ([(place.path, 0)], [("/dev/vg/other", place.offset)], []):
        answer(stub, inquire=[held(lockspace, disks=disks)])
        assert lockspace.process_holds_lease(5) is False, disks


def test_another_path_to_the_lease_is_the_same_place(
    stub: Stub, lockspace: SanlockLockspace, tmp_path: Path
) -> None:
    place = lockspace._parts.lease
    link = tmp_path / "link"
    link.symlink_to(place.path)
    answer(stub, inquire=[held(lockspace, disks=[(str(link), place.offset)])])
    assert lockspace.process_holds_lease(5) is True


@pytest.mark.parametrize(
    "number", [errno.EBUSY, errno.EINTR, errno.EAGAIN, errno.ETIMEDOUT, AIO_TIMEOUT]
)
def test_a_busy_daemon_is_asked_again(
    stub: Stub, lockspace: SanlockLockspace, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    busy = StubError(number, "x", "later")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            answer(stub, inquire=[held(lockspace)])

    monkeypatch.setattr(time, "sleep", pause)
    answer(stub, inquire=busy)
    assert lockspace.process_holds_lease(5) is True
    assert len(pauses) == 2
    assert stub.calls.count("inquire") == 3


def test_a_daemon_that_stays_busy_says_so_in_the_end(
    stub: Stub, lockspace: SanlockLockspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: 0.5 * next(now_s))
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    answer(stub, inquire=StubError(errno.EBUSY, "x", "Device or resource busy"))
    for question in (lockspace.process_holds_lease, lockspace.process_is_registered):
        with pytest.raises(LockspaceBusyError, match="Device or resource busy"):
            question(5)


def test_the_version_is_that_of_the_engines_lease(stub: Stub, lockspace: SanlockLockspace) -> None:
    other = {"lockspace": b"hosted-engine", "resource": b"other", "version": 3}
    answer(stub, inquire=[other])
    assert lockspace.held_version(5) is None
    engine = held(lockspace, version=7)
    answer(stub, inquire=[other, engine], read_resource={**engine, "version": 8})
    assert (lockspace.held_version(5), lockspace.lease_version()) == (7, 8)


def test_the_daemons_status() -> None:
    assert parse_daemon_name(STATUS) == "3fae-h1.example"
    assert parse_holders(STATUS) == [4711]
    assert parse_holders("") == []
    with pytest.raises(LockspaceError):
        parse_daemon_name("p -1 helper\n")


def test_the_history_of_renewals() -> None:
    history = (
        "timestamp=24472 read_ms=0 write_ms=0 next_timeouts=0 next_errors=0\n"
        "timestamp=24474 read_ms=482 write_ms=5525 next_timeouts=2 next_errors=1\n"
    )
    first, second = parse_renewals(history)
    assert first == Renewal(24472, 0.0, 0.0)
    assert second == Renewal(24474, 0.482, 5.525, timeouts=2, errors=1)
    assert parse_renewals("") == []


def test_a_history_that_says_more_or_something_else() -> None:
    newer = "timestamp=7 read_ms=1 write_ms=2 next_timeouts=3 next_errors=4 why=slow spent_ms=9\n"
    assert parse_renewals(f"renewals of hosted-engine:\n{newer}timestamp=8\n") == [
        Renewal(7, 0.001, 0.002, 3, 4)
    ]


@pytest.mark.parametrize(("told", "seconds"), [({}, 60), ({"watchdog_fire_timeout": "10"}, 10)])
def test_the_watchdog_time_is_the_daemons(
    lockspace: SanlockLockspace, monkeypatch: pytest.MonkeyPatch, told: dict[str, str], seconds: int
) -> None:
    settings = {"use_watchdog": "1", **told}
    monkeypatch.setattr(sanlock_lockspace, "daemon_settings", lambda: settings)
    assert lockspace.fire_timeout_s() == seconds


def test_a_watchdog_time_that_is_no_number(
    lockspace: SanlockLockspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"watchdog_fire_timeout": "soon"}
    monkeypatch.setattr(sanlock_lockspace, "daemon_settings", lambda: told)
    with pytest.raises(LockspaceError, match="'soon'"):
        lockspace.fire_timeout_s()
