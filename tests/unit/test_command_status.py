# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The picture of --vm-status, as text and JSON, and as its readers read it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ha_broker.api.snapshot import HostView, Snapshot, StorageView
from hosted_engine.cluster.cluster_status import ClusterStatus, error_json, status_json
from hosted_engine.cluster.from_broker import cluster_status
from hosted_engine.status.text import BANNER, status_text
from metadata.liveness import Liveness
from metadata.records import EngineStatus, EngineVm, Health, HostRecord
from metadata.wire import decode_slot, encode_host

UP = EngineStatus(EngineVm.UP, Health.GOOD, "Up")
BOOTING = EngineStatus(EngineVm.UP, Health.BAD, "Up", "failed liveliness check")


def written(record: HostRecord) -> HostRecord:
    """The record as it comes back from the storage, with its CRC and text."""
    back = decode_slot(record.host_id, encode_host(record))
    assert isinstance(back, HostRecord)
    return back


def record(host_id: int, status: EngineStatus = UP, **fields: Any) -> HostRecord:
    base = HostRecord(
        host_id,
        4262,
        3400,
        status,
        f"h{host_id}",
        state="EngineUp",
        vm_conf_refresh_s=4262,
        wall_time="Thu Jan  1 00:00:00 2026",
        vm_conf_refresh_wall_time="Thu Jan  1 00:00:00 2026",
    )
    return written(replace(base, **fields))


def live(host_id: int, **fields: Any) -> HostView:
    return HostView(host_id, record=record(host_id, **fields), fresh=True)


def status(*hosts: HostView, maintenance: Any = False) -> ClusterStatus:
    return ClusterStatus(hosts, maintenance)


def document(picture: ClusterStatus) -> dict[str, Any]:
    text = status_json(picture)
    assert "\n" not in text
    data = json.loads(text)
    assert isinstance(data, dict)
    return data


# --- golden ---------------------------------------------------------------------------------

GOLDEN_JSON = (
    '{"1": {"host-id": 1, "host-ts": 4262, "score": 3400, '
    '"engine-status": {"vm": "up", "health": "good", "detail": "Up"}, '
    '"hostname": "h1", "maintenance": false, "stopped": false, "crc32": "%s", '
    '"conf_on_shared_storage": true, "local_conf_timestamp": 4262, '
    '"extra": "metadata_parse_version=1\\nmetadata_feature_version=1\\n'
    "timestamp=4262 (Thu Jan  1 00:00:00 2026)\\nhost-id=1\\nscore=3400\\n"
    "vm_conf_refresh_time=4262 (Thu Jan  1 00:00:00 2026)\\nconf_on_shared_storage=True\\n"
    'maintenance=False\\nstate=EngineUp\\nstopped=False\\n", "live-data": true}, '
    '"global_maintenance": false}'
)

GOLDEN_TEXT = """\
!! Cluster is in GLOBAL MAINTENANCE mode !!

--== Host h1 (id: 1) status ==--

Host ID                            : 1
Host timestamp                     : 4262
Score                              : 3400
Engine status                      : {"vm": "up", "health": "good", "detail": "Up"}
Hostname                           : h1
Local maintenance                  : False
stopped                            : False
crc32                              : %s
conf_on_shared_storage             : True
local_conf_timestamp               : 4262
Status up-to-date                  : True
Extra metadata (valid at timestamp):
\tmetadata_parse_version=1
\tmetadata_feature_version=1
\ttimestamp=4262 (Thu Jan  1 00:00:00 2026)
\thost-id=1
\tscore=3400
\tvm_conf_refresh_time=4262 (Thu Jan  1 00:00:00 2026)
\tconf_on_shared_storage=True
\tmaintenance=False
\tstate=EngineUp
\tstopped=False

--== Host unknown (id: 3) status ==--

Host ID                            : 3
Engine status                      : unknown stale-data
Hostname                           : unknown
Status up-to-date                  : False
Problem                            : slot 3: crc32: wrong

!! Cluster is in GLOBAL MAINTENANCE mode !!
"""


def test_json_is_the_line_that_existing_tools_read() -> None:
    assert status_json(status(live(1))) == GOLDEN_JSON % record(1).crc32


def test_text_is_the_one_that_administrators_know() -> None:
    broken = HostView(3, error="slot 3: crc32: wrong")
    assert status_text(status(live(1), broken, maintenance=True)) == GOLDEN_TEXT % record(1).crc32


def test_text_without_maintenance_has_no_banner() -> None:
    assert BANNER not in status_text(status(live(1)))


def test_text_with_no_host_says_so() -> None:
    assert status_text(status()) == "No host has written its status yet.\n"


@pytest.mark.parametrize("hosts", [(), (HostView(1),), (HostView(1, Liveness.LIVE), HostView(4))])
@pytest.mark.parametrize("error", ["", "read 512 bytes at /dev/san:0: timed out"])
def test_storage_that_was_never_read_is_no_cluster_without_hosts(
    hosts: tuple[HostView, ...], error: str
) -> None:
    seen = replace(snapshot(), hosts=hosts, storage=StorageView(error=error))
    picture = cluster_status(seen, NOW_S)
    told = "The shared storage has not been read yet" + (f" ({error})" if error else "")
    text = status_text(picture)
    assert f"!! {told}\n" in text
    assert f"Problem                            : {told}\n" in text
    assert "No host has written" not in text
    data = document(picture)
    assert set(data) == {"1", "global_maintenance"}
    assert data["1"]["error"] == told
    assert data["1"]["live-data"] is False
    assert data["1"]["engine-status"]["vm"] == "unknown"


# --- the readers ------------------------------------------------------------------------------


def test_node_check_finds_exactly_the_status_it_compares() -> None:
    data = document(status(live(1)))
    assert data["1"]["engine-status"] == {"detail": "Up", "health": "good", "vm": "up"}
    assert data["1"]["score"] == 3400


def test_shutdown_role_finds_the_text_with_its_blank() -> None:
    assert '"vm": "up"' in status_json(status(live(1)))


def test_web_console_finds_hosts_only_beside_global_maintenance() -> None:
    broken = HostView(7, error="slot 7: damaged")
    data = document(status(live(1), HostView(2, record=record(2)), broken))
    assert data.pop("global_maintenance") is False
    assert all(key.isdigit() for key in data)
    for host in data.values():
        assert {"engine-status", "hostname", "stopped", "maintenance"} <= set(host)
        assert isinstance(host["engine-status"], dict)


def test_keys_are_sorted_as_numbers_and_maintenance_is_last() -> None:
    data = document(status(live(10), live(9), live(100)))
    assert list(data) == ["9", "10", "100", "global_maintenance"]


@pytest.mark.parametrize(
    "host",
    [live(1), HostView(1, record=record(1)), HostView(1, error="slot 1: a=b=c\nd")],
    ids=["live", "stale", "broken"],
)
def test_test_framework_can_split_every_extra(host: HostView) -> None:
    extra = document(status(host))["1"]["extra"]
    fields = dict(line.split("=") for line in extra.strip().split("\n"))
    assert "state" in fields


def test_reason_stands_only_beside_bad_health() -> None:
    data = document(status(live(1, status=BOOTING), live(2)))
    assert data["1"]["engine-status"]["reason"] == "failed liveliness check"
    assert "reason" not in data["2"]["engine-status"]


# --- stale, broken, too new -----------------------------------------------------------------


def test_stale_host_claims_no_running_engine_anywhere() -> None:
    stale = status(HostView(1, record=record(1), fresh=False))
    host = document(stale)["1"]
    assert host["live-data"] is False
    assert host["engine-status"] == {
        "vm": "unknown",
        "health": "unknown",
        "detail": "Unknown",
        "reason": "stale-data",
    }
    assert '"vm": "up"' not in status_json(stale)
    assert "Engine status                      : unknown stale-data\n" in status_text(stale)


def test_stale_host_keeps_what_it_wrote_last() -> None:
    host = document(status(HostView(1, record=record(1), fresh=False)))["1"]
    assert (host["score"], host["host-ts"], host["hostname"]) == (3400, 4262, "h1")
    assert "state=EngineUp" in host["extra"]


def test_broken_slot_has_every_key_that_readers_need() -> None:
    whole = document(status(live(1)))["1"]
    broken = document(status(HostView(3, error="slot 3: why")))["3"]
    assert set(broken) == {*whole, "error"}
    assert broken["error"] == "slot 3: why"
    assert broken["hostname"] == "unknown"
    assert broken["live-data"] is False
    assert broken["engine-status"]["vm"] == "unknown"


def test_text_of_a_broken_record_can_not_pass_for_a_running_engine() -> None:
    error = """slot 3: engine_status: '{"vm": "up", "health": "good"' is refused"""
    assert '"vm": "up"' not in status_json(status(HostView(3, error=error)))


def test_unknown_global_maintenance_is_neither_true_nor_false() -> None:
    picture = status(live(1), maintenance=None)
    assert document(picture)["global_maintenance"] is None
    assert BANNER not in status_text(picture)


def test_error_document_is_json_whatever_the_message() -> None:
    assert json.loads(error_json('a "quoted"\nlîne')) == {"error": 'a "quoted"\nlîne'}


# --- from the broker's snapshot ---------------------------------------------------------------

NOW_S = 1000.0
READ_JUST_NOW = StorageView(last_read_at_s=NOW_S - 1)


def snapshot(*hosts: HostView, **fields: Any) -> Snapshot:
    values: dict[str, Any] = {"global_maintenance": False, "storage": READ_JUST_NOW, **fields}
    return Snapshot(1, NOW_S, 1, "h1", 900.0, hosts=hosts, **values)


def view(liveness: Liveness, fresh: bool) -> HostView:
    return HostView(1, liveness, record=record(1), fresh=fresh)


@pytest.mark.parametrize(
    ("liveness", "fresh", "is_live"),
    [
        (Liveness.LIVE, True, True),
        (Liveness.UNKNOWN, True, True),
        (Liveness.FAIL, True, True),
        (Liveness.DEAD, True, False),
        (Liveness.LIVE, False, False),
    ],
)
def test_live_is_fresh_and_not_dead(liveness: Liveness, fresh: bool, is_live: bool) -> None:
    picture = cluster_status(snapshot(view(liveness, fresh)), NOW_S)
    assert picture.hosts[0].is_current is is_live


@pytest.mark.parametrize(
    ("liveness", "fresh", "undecided", "told"),
    [
        (Liveness.UNKNOWN, False, True, True),
        (Liveness.UNKNOWN, True, True, False),
        (Liveness.UNKNOWN, False, False, False),
        (Liveness.DEAD, False, False, False),
    ],
)
def test_what_is_not_decided_yet_is_told_as_such_and_claims_no_engine(
    liveness: Liveness, fresh: bool, undecided: bool, told: bool
) -> None:
    host = replace(view(liveness, fresh), undecided=undecided)
    picture = cluster_status(snapshot(host), NOW_S)
    data, text = document(picture)["1"], status_text(picture)
    assert ("not decided yet" in text) is told
    assert ("Status up-to-date                  : not decided yet\n" in text) is told
    assert ("stale-data" in text) is (not told and not fresh)
    assert data["live-data"] is fresh
    assert data["score"] == 3400
    if told:
        assert data["engine-status"]["vm"] == data["engine-status"]["health"] == "unknown"
        assert data["engine-status"]["reason"] == "not decided yet; last written: up, good"
        assert '"vm": "up"' not in text + status_json(picture)


def test_host_that_only_sanlock_knows_is_not_shown() -> None:
    assert cluster_status(snapshot(HostView(4, Liveness.LIVE)), NOW_S).hosts == ()


def test_damaged_slot_keeps_its_last_good_record_and_its_error() -> None:
    damaged = HostView(1, Liveness.LIVE, record=record(1), error="slot 1: torn", fresh=True)
    host = document(cluster_status(snapshot(damaged), NOW_S))["1"]
    assert host["hostname"] == "h1"
    assert host["error"] == "slot 1: torn"
    text = status_text(cluster_status(snapshot(damaged), NOW_S))
    assert "Problem                            : slot 1: torn\n" in text


def test_storage_that_answers_needs_no_note() -> None:
    assert cluster_status(snapshot(), NOW_S).notes == ()


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        (StorageView(), "has not been read yet"),
        (StorageView(last_read_at_s=NOW_S - 17, busy_since_s=NOW_S - 16), "last read 17 s ago"),
        (StorageView(last_read_at_s=NOW_S - 3, error="Input/output error"), "(Input/output error)"),
    ],
)
def test_storage_that_is_silent_is_pointed_out_with_the_age(
    storage: StorageView, expected: str
) -> None:
    picture = cluster_status(snapshot(storage=storage), NOW_S)
    assert expected in picture.notes[0]
    assert f"!! {picture.notes[0]}\n" in status_text(picture)


def test_unreadable_slot_0_is_pointed_out() -> None:
    torn = snapshot(global_maintenance=None, global_error="slot 0: torn")
    assert cluster_status(torn, NOW_S).notes == ("Global maintenance is not known: slot 0: torn",)


@pytest.mark.parametrize(("last", "word"), [(True, "on"), (False, "off")])
def test_maintenance_that_was_read_once_is_not_called_unknown(last: bool, word: str) -> None:
    """The hosts go on with it, and so does the JSON document."""
    torn = snapshot(global_maintenance=last, global_error="slot 0: torn")
    status = cluster_status(torn, NOW_S)
    assert status.global_maintenance is last
    assert status.notes == (
        f"Global maintenance was {word} when it could last be read: slot 0: torn",
    )
