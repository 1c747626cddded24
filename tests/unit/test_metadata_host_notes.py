# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which machine writes a record, and with what watchdog time."""

from __future__ import annotations

import hashlib
import sys

import pytest

from metadata.host_notes import (
    FIRE_TIMEOUT,
    MachineIdentity,
    fire_timeout_in,
    identity_in,
    identity_notes,
    longest_fire_timeout_s,
    machine_identity,
)
from metadata.records import EngineStatus, HostRecord
from metadata.wire import decode_slot, encode_host

BOARD = "4c4c4544-0042-3510-8054-b7c04f4d3732"
HOME = machine_identity("0123456789abcdef0123456789abcdef\n", f"{BOARD}\n", "b1")


def record(*notes: tuple[str, str]) -> HostRecord:
    return HostRecord(1, 7, 3400, EngineStatus(), "h1", notes=notes)


def test_it_survives_the_slot_and_tells_no_number_itself() -> None:
    data = encode_host(record(*identity_notes(HOME), (FIRE_TIMEOUT, "30"), ("why", "all is well")))
    assert b"0123456789abcdef" not in data
    found = decode_slot(1, data)
    assert isinstance(found, HostRecord)
    assert identity_in(found) == HOME
    assert fire_timeout_in(found) == 30


def test_the_same_machine_after_a_boot() -> None:
    again = machine_identity("0123456789abcdef0123456789abcdef", BOARD.upper(), "b2")
    assert HOME.is_same_machine(again)
    assert not HOME.is_same_boot(again)
    assert HOME.is_same_boot(HOME)


def test_a_copy_of_its_disk_in_another_machine() -> None:
    copy = machine_identity("0123456789abcdef0123456789abcdef", BOARD.replace("4c", "5c"), "b2")
    assert copy.machine == HOME.machine
    assert not HOME.is_same_machine(copy)
    assert not HOME.is_same_boot(copy)


@pytest.mark.parametrize(
    "board",
    [
        "",
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "03000200-0400-0500-0006-000700080009",
        "Not Settable",
        "Default string",
    ],
)
def test_a_board_without_a_number_of_its_own_proves_nothing(board: str) -> None:
    one = machine_identity("a", board, "b1")
    assert one.hardware == ""
    assert not one.is_same_machine(machine_identity("a", board, "b2"))


def test_unknown_is_never_the_same() -> None:
    nothing = MachineIdentity()
    assert not nothing.known
    assert not nothing.is_same_boot(nothing)
    assert not nothing.is_same_machine(nothing)
    assert nothing.text() == "its machine is not known"
    assert HOME.text().startswith("machine ")


def test_who_says_nothing_of_the_watchdog_time() -> None:
    assert fire_timeout_in(record()) == 60, "an older program"
    assert fire_timeout_in(record(*identity_notes(HOME))) is None, "no member"
    assert fire_timeout_in(record((FIRE_TIMEOUT, "soon"))) == 60


def test_the_longest_counts_for_who_waits_for_all() -> None:
    records = [record((FIRE_TIMEOUT, "30")), record(*identity_notes(HOME))]
    assert longest_fire_timeout_s(records, 10) == 30
    assert longest_fire_timeout_s(records, 40) == 40
    assert longest_fire_timeout_s([*records, record()], 10) == 60


def test_digests_are_the_librarys_sha256(monkeypatch: pytest.MonkeyPatch) -> None:
    def digest() -> str:
        return machine_identity("ab12", "", "").machine

    expected = hashlib.sha256(b"hosted-engine ab12").hexdigest()[:12]
    assert digest() == expected
    for name in ("_sha2", "_sha256"):
        monkeypatch.setitem(sys.modules, name, None)  # as in a Python that is built without it
    assert digest() == expected
