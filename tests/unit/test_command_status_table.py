# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The table of --vm-status, and what a terminal gets."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any, Optional

import pytest

from ha_broker.api.snapshot import HostView, LeaseState, LeaseView, Snapshot, StorageView
from hosted_engine.cli.terminal import Terminal, terminal_of
from hosted_engine.cluster.cluster_status import ClusterStatus
from hosted_engine.cluster.from_broker import cluster_status
from hosted_engine.status.command import MOST_DETAILED_HOSTS, for_terminal
from hosted_engine.status.table import status_table
from metadata.liveness import Liveness
from metadata.records import EngineStatus, EngineVm, Health
from tests.unit.test_command_status import BOOTING, live, record

DOWN = EngineStatus(EngineVm.DOWN, Health.BAD, "unknown", "vm not running on this host")
COSTLY = (
    "network -320 (20% of the latest probes failed, since 12:03:05); bridge -600 (bridge is down)"
)
ESCAPES = re.compile(r"\x1b\[\d*m")


def down(host_id: int, **fields: Any) -> HostView:
    return live(host_id, status=DOWN, state="EngineDown", **fields)


def stale(host_id: int) -> HostView:
    return replace(live(host_id), fresh=False, changed_at_s=-400.0)


def cluster(*hosts: HostView, **fields: Any) -> ClusterStatus:
    values: dict[str, Any] = {"global_maintenance": False, "lease": "held", "lease_owner_id": 1}
    return ClusterStatus(hosts, **{**values, **fields})


def table(status: ClusterStatus, columns: int = 120, most_hosts: Optional[int] = None) -> list[str]:
    return status_table(status, columns, colour=False, most_hosts=most_hosts)


def row(status: ClusterStatus, name: str) -> list[str]:
    (line,) = [line for line in table(status) if line.startswith(name)]
    return re.split(r" {2,}", line)


# --- what is shown --------------------------------------------------------------------------


def test_table_tells_all_at_a_glance() -> None:
    costly = replace(down(2, score=2480, notes=(("penalties", COSTLY),)), changed_at_s=-3.0)
    assert table(cluster(replace(live(1), changed_at_s=-2.0), costly)) == [
        "Engine              up, good on h1 (1)",
        "Lease               held by h1 (1)",
        "Global maintenance  off",
        "Hosts               2: 2 live",
        "",
        "Host    State       Score  Engine    Lease  Maint.  Age  Points off",
        "h1 (1)  EngineUp    3400   up, good  held   -       2 s  -",
        "h2 (2)  EngineDown  2480   down      -      -       3 s  network -320, bridge -600",
    ]


def test_stale_host_is_marked_and_claims_no_engine() -> None:
    status = cluster(stale(1), down(2))
    assert row(status, "h1")[:4] == ["h1 (1)", "STALE, was EngineUp", "3400", "unknown"]
    assert "7 min" in row(status, "h1")
    assert table(status)[0] == "Engine              not known to run anywhere"
    assert table(status)[3].endswith("2: 1 live, 1 STALE")


def test_slot_that_can_not_be_read_is_marked_with_its_error() -> None:
    status = cluster(live(1), HostView(3, error="slot 3: crc32: wrong"))
    assert row(status, "unknown (3)")[1] == "UNREADABLE"
    assert row(status, "unknown (3)")[-1] == "slot 3: crc32: wrong"


def test_error_of_a_slot_stands_beside_its_last_good_record() -> None:
    status = cluster(replace(live(1), error="slot 1: torn"))
    assert row(status, "h1")[-1] == "slot 1: torn"


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (BOOTING, "up, bad"),
        (EngineStatus(EngineVm.UP, Health.BAD, "Paused", "paused: I/O"), "up, bad (Paused)"),
        (EngineStatus(EngineVm.UP, Health.UNKNOWN, "Up", "x"), "up, health unknown"),
        (EngineStatus(EngineVm.DOWN_UNEXPECTED, Health.BAD, "Down", "x"), "down unexpected"),
    ],
)
def test_engine_that_is_not_well_says_how(engine: EngineStatus, expected: str) -> None:
    assert row(cluster(live(1, status=engine)), "h1")[3] == expected


def test_engine_that_nobody_runs_is_down() -> None:
    assert table(cluster(down(1), down(2)))[0].endswith("down")


def test_engine_is_not_called_down_where_one_host_does_not_know() -> None:
    status = cluster(down(1), live(2, status=EngineStatus()))
    assert table(status)[0].endswith("not known to run anywhere")


@pytest.mark.parametrize(
    ("maintenance", "expected"),
    [(True, "ON: nobody starts, stops or moves the engine"), (None, "not known"), (False, "off")],
)
def test_global_maintenance_is_told(maintenance: Optional[bool], expected: str) -> None:
    lines = table(cluster(live(1), global_maintenance=maintenance))
    assert f"Global maintenance  {expected}" in lines


def test_local_maintenance_is_told() -> None:
    status = cluster(live(1), down(2, maintenance=True, score=0))
    assert row(status, "h2")[2:6] == ["0", "down", "-", "local"]
    assert table(status)[3].endswith("1 in local maintenance")


def test_notes_stand_above_the_table() -> None:
    lines = table(cluster(live(1), notes=("The shared storage was last read 17 s ago",)))
    assert "!! The shared storage was last read 17 s ago" in lines


def test_volume_shows_what_is_known_without_a_broker() -> None:
    lines = table(ClusterStatus((live(1), stale(2)), False))
    assert not any(line.startswith("Lease") for line in lines)
    assert "Lease" not in lines[4]


def test_other_programs_penalties_are_shown_as_they_are() -> None:
    status = cluster(live(1, score=2800, notes=(("penalties", "gateway gone"),)))
    assert row(status, "h1")[-1] == "gateway gone"


def test_no_host_at_all() -> None:
    assert (
        table(ClusterStatus((), None))[-1] == "Hosts               none has written its status yet"
    )


def test_names_from_elsewhere_do_not_steer_the_terminal() -> None:
    odd = replace(live(1), record=replace(record(1), hostname="h\x1b[2J\u00e9"))
    assert row(cluster(odd), "h?[2J? (1)")[1] == "EngineUp"


# --- how it fits ----------------------------------------------------------------------------


def big(count: int) -> ClusterStatus:
    hosts = [replace(down(host_id), changed_at_s=-2.0) for host_id in range(1, count + 1)]
    hosts[0] = replace(live(1), changed_at_s=-2.0)
    hosts[120] = stale(121)
    hosts[150] = down(151, maintenance=True, score=0)
    return cluster(*hosts)


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 132])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    status = cluster(
        live(1),
        stale(2),
        down(3, score=2480, notes=(("penalties", COSTLY),)),
        HostView(4, error="slot 4: " + "x" * 200),
        notes=("The shared storage was last read 17 s ago; this was known then",),
    )
    lines = table(status, columns)
    assert max(len(line) for line in lines) <= columns
    painted = status_table(status, columns, colour=True)
    assert [ESCAPES.sub("", line) for line in painted] == lines


def test_reasons_give_way_before_states_and_never_scores() -> None:
    status = cluster(stale(1), down(2, score=2480, notes=(("penalties", COSTLY),)))
    lines = table(status, 78)
    assert any("STALE, was EngineUp" in line for line in lines)
    assert any(re.search(r"2480 .* network.*~$", line) for line in lines)


TROUBLE = cluster(
    replace(live(1), changed_at_s=-2.0),
    replace(down(2, score=2480, notes=(("penalties", COSTLY),)), changed_at_s=-3.0),
    stale(3),
    HostView(4, error="slot 4: crc32: wrong"),
)


def test_80_columns_shorten_the_reasons_first_and_then_the_state() -> None:
    assert table(TROUBLE, 80)[5:] == [
        "Host         State             Score  Engine    Lease  Maint.  Age    Points off",
        "h1 (1)       EngineUp          3400   up, good  held   -       2 s    -",
        "h2 (2)       EngineDown        2480   down      -      -       3 s    network -~",
        "h3 (3)       STALE, was Engi~  3400   unknown   -      -       7 min  -",
        "unknown (4)  UNREADABLE        -      unknown   -      -       -      slot 4: c~",
    ]


def test_120_columns_show_everything() -> None:
    assert table(TROUBLE, 120)[5:] == [
        "Host         State                Score  Engine    Lease  Maint.  Age    Points off",
        "h1 (1)       EngineUp             3400   up, good  held   -       2 s    -",
        "h2 (2)       EngineDown           2480   down      -      -       3 s    "
        "network -320, bridge -600",
        "h3 (3)       STALE, was EngineUp  3400   unknown   -      -       7 min  -",
        "unknown (4)  UNREADABLE           -      unknown   -      -       -      "
        "slot 4: crc32: wrong",
    ]


@pytest.mark.parametrize("columns", [80, 120])
def test_colours_take_no_columns(columns: int) -> None:
    painted = status_table(TROUBLE, columns, colour=True)
    assert [ESCAPES.sub("", line) for line in painted] == table(TROUBLE, columns)
    assert "  \x1b[32mup, good\x1b[0m  held" in painted[6]


def test_200_hosts_are_a_row_each_and_counted() -> None:
    lines = table(big(200))
    assert lines[3].endswith("200: 199 live, 1 STALE, 1 in local maintenance")
    assert len(lines) == 206
    assert lines[126].startswith("h121 (121)")


def test_few_rows_show_the_hosts_with_something_to_tell() -> None:
    lines = table(big(200), most_hosts=4)
    names = [line.split()[0] for line in lines[6:]]
    assert names == ["h1", "h2", "h121", "h151", "..."]
    assert lines[-1] == "... and 196 more hosts"


# --- colours and terminals ------------------------------------------------------------------


def test_what_is_bad_is_red_and_what_is_good_is_green() -> None:
    status = cluster(live(1), stale(2), HostView(3, error="torn"))
    text = "\n".join(status_table(status, 120, colour=True))
    assert "\x1b[32mup, good" in text
    assert "\x1b[33mSTALE, was EngineUp" in text
    assert "\x1b[31mUNREADABLE" in text


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1


@pytest.fixture
def sized(monkeypatch: pytest.MonkeyPatch) -> FakeTerminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("os.get_terminal_size", lambda _fd: (100, 30))
    return FakeTerminal()


def test_terminal_has_its_size_and_colours(sized: FakeTerminal) -> None:
    assert terminal_of(sized) == Terminal(100, 30, colour=True, plain=False)


def test_pipe_is_no_terminal() -> None:
    assert terminal_of(io.StringIO()) is None


def test_no_color_is_respected(sized: FakeTerminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal_of(sized) == Terminal(100, 30, colour=False, plain=False)


def test_dumb_terminal_is_plain(sized: FakeTerminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert terminal_of(sized) == Terminal(100, 30, colour=False, plain=True)


def test_terminal_without_a_size_gets_the_usual_one(
    sized: FakeTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.get_terminal_size", lambda _fd: (0, 0))
    assert terminal_of(sized) == Terminal(80, 24, colour=True, plain=False)


def test_terminal_gets_the_table_and_then_the_text() -> None:
    text = for_terminal(cluster(live(1), down(2)), Terminal(100, 30, colour=False))
    assert text.index("Host    State") < text.index("--== Host h1 (id: 1) status ==--")


def test_many_hosts_leave_the_table_on_the_terminal() -> None:
    hosts = [live(host_id) for host_id in range(1, MOST_DETAILED_HOSTS + 2)]
    text = for_terminal(cluster(*hosts), Terminal(100, 30, colour=False))
    assert "--==" not in text
    assert text.endswith("hosted-engine --vm-status | less\n")


# --- from the broker's snapshot ---------------------------------------------------------------

NOW_S = 1000.0


def snapshot(lease: LeaseView) -> Snapshot:
    host = HostView(1, Liveness.LIVE, record=record(1), fresh=True, changed_at_s=NOW_S - 3)
    storage = StorageView(last_read_at_s=NOW_S - 1)
    return Snapshot(1, NOW_S, 1, "h1", 900.0, hosts=(host,), lease=lease, storage=storage)


def test_snapshot_gives_age_and_lease() -> None:
    status = cluster_status(snapshot(LeaseView(LeaseState.HELD, 1)), NOW_S)
    assert (status.age_s(status.hosts[0]), status.lease, status.lease_owner_id) == (3.0, "held", 1)


def test_owner_of_a_lease_that_is_free_holds_nothing() -> None:
    status = cluster_status(snapshot(LeaseView(LeaseState.FREE, 1)), NOW_S)
    assert (status.lease, status.lease_owner_id) == ("free", None)
    assert "Lease               free" in table(status)
