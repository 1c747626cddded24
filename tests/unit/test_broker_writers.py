# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The writers: this host's own slot, slot 0, and the flag of local maintenance."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Optional

import pytest

from ha_broker.server.mailbox import MAX_WAITING_REQUESTS, Refusal, Ticket
from ha_broker.storage.local_maintenance import FLAG_NAME, StateDirError, read_flag
from metadata.layout import SLOT_SIZE, slot_address
from metadata.notes import PROGRAM
from metadata.own_notes import OWN_KEYS
from metadata.program import VERSION
from metadata.records import GlobalRecord
from metadata.wire import encode_global, encode_host
from tests.unit.broker_host import (
    ALIVE_S,
    JOIN_S,
    PARTS,
    PUBLICATION,
    TICK_S,
    UP,
    VOLUME,
    Cluster,
    Host,
    record,
)
from world.ports.libvirt import Domain, DomainState

GARBAGE = b"\xff\x00garbage|" * 30


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def host(cluster: Cluster, tmp_path: Path) -> Host:
    return cluster.host(1, tmp_path)


def refusal(ticket: Ticket) -> Refusal:
    with pytest.raises(Refusal) as caught:
        ticket.wait(0)
    return caught.value


# --- the own slot ----------------------------------------------------------------------------


def test_nothing_is_written_before_the_agent_publishes(cluster: Cluster, host: Host) -> None:
    cluster.run(100)
    assert host.store.writes == []


def test_a_publication_becomes_the_record_at_once(cluster: Cluster, host: Host) -> None:
    cluster.run(JOIN_S + 3)
    publication = replace(
        PUBLICATION, score=2400, engine_status=UP, state="EngineUp", notes=(("why", "moved"),)
    )
    host.publish(publication)
    found = cluster.stored(1)
    assert (found.score, found.engine_status, found.state) == (2400, UP, "EngineUp")
    assert (found.hostname, found.host_id, found.maintenance) == ("h1", 1, False)
    assert found.timestamp_s == int(cluster.clock.monotonic_s())
    assert ("why", "moved") in found.notes
    assert found.wall_time.endswith("2023")
    assert host.snapshot.storage.last_write_at_s == cluster.clock.monotonic_s()
    assert host.snapshot.agent_published_at_s == cluster.clock.monotonic_s()


def test_only_the_own_slot_is_written(cluster: Cluster, host: Host) -> None:
    before = bytes(cluster.volumes[VOLUME])
    cluster.run(1)
    host.publish()
    offset = slot_address(PARTS, 1).offset
    after = bytes(cluster.volumes[VOLUME])
    assert after[:offset] == before[:offset]
    assert after[offset + SLOT_SIZE :] == before[offset + SLOT_SIZE :]
    assert after != before


def test_the_record_of_a_silent_agent_gets_stale(cluster: Cluster, host: Host) -> None:
    cluster.run(JOIN_S + 3)
    for _ in range(3):
        host.publish()
        cluster.run(TICK_S)
    written = cluster.slot(1)
    cluster.run(ALIVE_S + TICK_S)
    assert cluster.slot(1) == written
    assert not host.view(1).fresh


def test_nothing_is_written_before_the_slot_was_read(cluster: Cluster, host: Host) -> None:
    host.runner.hang("read")
    cluster.run(1)
    host.publish()
    cluster.run(TICK_S)
    assert host.store.writes == []
    host.runner.release("read")
    cluster.run(TICK_S)
    assert cluster.stored(1).state == "EngineDown"


def test_garbage_in_the_own_slot_is_said_and_replaced(cluster: Cluster, host: Host) -> None:
    cluster.put(1, GARBAGE)
    cluster.put(2, GARBAGE)
    cluster.run(1)
    assert host.view(1).error.startswith("slot 1: ")
    host.publish()
    cluster.run(TICK_S)
    assert host.view(1).error == ""
    assert cluster.stored(1).hostname == "h1"
    assert cluster.slot(2) == GARBAGE.ljust(SLOT_SIZE, b"\0")


def test_fields_of_a_newer_version_survive(cluster: Cluster, host: Host) -> None:
    newer = record(
        1,
        feature_version=3,
        trailing_fields=("x", "y"),
        notes=(("newer", "line"), *((key, "what was so then") for key in sorted(OWN_KEYS))),
    )
    cluster.put(1, encode_host(newer))
    cluster.run(1)
    for score in (1, 2):
        host.publish(replace(PUBLICATION, score=score, notes=(("why", "w"),)))
        cluster.run(TICK_S)
    found = cluster.stored(1)
    assert found.score == 2
    assert found.trailing_fields == ("x", "y")
    assert found.feature_version == 3
    assert {"why": "w", "newer": "line"}.items() <= dict(found.notes).items()
    assert "what was so then" not in dict(found.notes).values()


def test_the_record_tells_the_program_that_writes_it_and_not_one_of_before(
    cluster: Cluster, host: Host
) -> None:
    """Also where a newer program, which has been taken back, has told another one."""
    left = record(1, feature_version=3, notes=((PROGRAM, "9.9.9"), ("newer", "line")))
    cluster.put(1, encode_host(left))
    cluster.run(1)
    host.publish(replace(PUBLICATION, notes=(("why", "w"),)))
    cluster.run(TICK_S)
    told = [value for key, value in cluster.stored(1).notes if key == PROGRAM]
    assert told == [VERSION]


def test_a_hung_write_is_an_error_and_the_newest_publication_follows_it(
    cluster: Cluster, host: Host
) -> None:
    cluster.run(1)
    host.runner.hang("write-own")
    host.publish(replace(PUBLICATION, score=1))
    for score in (2, 3):
        cluster.run(TICK_S)
        host.publish(replace(PUBLICATION, score=score))
    cluster.run(TICK_S)
    assert "writing has not ended since" in host.snapshot.storage.error
    assert host.snapshot.storage.last_read_at_s is not None
    assert cluster.clock.monotonic_s() - host.snapshot.storage.last_read_at_s <= TICK_S
    host.runner.release("write-own")
    cluster.run(TICK_S)
    assert cluster.stored(1).score == 3
    assert host.snapshot.storage.error == ""


def test_a_failed_write_is_repeated_without_a_new_publication(cluster: Cluster, host: Host) -> None:
    cluster.run(1)
    host.store.fail(errno.EIO)
    host.publish(replace(PUBLICATION, stopped=True))
    cluster.run(TICK_S)
    assert "writing this host's slot" in host.snapshot.storage.error
    host.store.heal()
    cluster.run(3 * TICK_S)
    assert cluster.stored(1).stopped
    assert host.snapshot.storage.error == ""


def test_a_leftover_of_another_host_is_replaced_when_it_had_time_to_change(
    cluster: Cluster, host: Host
) -> None:
    cluster.put_record(1, hostname="old-name")
    cluster.run(JOIN_S)
    host.publish()
    assert "'old-name'" in host.view(1).error
    assert cluster.stored(1).hostname == "old-name"
    cluster.run(ALIVE_S - JOIN_S + 1)
    host.publish()
    cluster.run(TICK_S)
    assert cluster.stored(1).hostname == "h1"
    assert host.view(1).error == ""


def test_a_host_that_was_renamed_writes_as_soon_as_sanlock_has_its_id(
    cluster: Cluster, host: Host
) -> None:
    """Its agent had stopped in order under the former name; nobody is told of two hosts."""
    cluster.put_record(1, hostname="former", stopped=True)
    cluster.run(1)
    host.publish()
    told = host.view(1).error
    assert "'former', which has stopped; it is replaced once this host has joined" in told
    assert "also used" not in told
    assert cluster.stored(1).hostname == "former"
    for _ in range(int((JOIN_S + 3) // TICK_S) + 1):
        cluster.run(TICK_S)
        host.publish()
    cluster.run(1)
    assert JOIN_S + 3 + TICK_S + 2 < ALIVE_S
    assert host.view(1).error == ""
    assert (cluster.stored(1).hostname, cluster.stored(1).stopped) == ("h1", False)
    assert "also used" not in host.services.status_text


def test_a_record_that_stops_is_replaced_by_a_member_at_once(cluster: Cluster, host: Host) -> None:
    """As after 'systemctl stop ha-agent ha-broker' alone: sanlock has stayed in the lockspace."""
    cluster.run(JOIN_S + 3)
    cluster.put_record(1, timestamp_s=3, hostname="former")
    host.publish()
    cluster.run(TICK_S)
    assert "also used by 'former'" in host.view(1).error
    cluster.put_record(1, timestamp_s=4, hostname="former", stopped=True)
    for _ in range(2):
        cluster.run(TICK_S)
        host.publish()
    cluster.run(1)
    assert cluster.stored(1).hostname == "h1"
    assert host.view(1).error == ""


def test_a_stopped_record_of_another_name_is_left_alone_without_sanlock(
    cluster: Cluster, host: Host
) -> None:
    """Whether the id is this host's nobody has said: only a while without a change does."""
    host.lockspace.kill_daemon()
    cluster.put_record(1, hostname="former", stopped=True)
    for _ in range(int(ALIVE_S // TICK_S) - 1):
        cluster.run(TICK_S)
        host.publish()
        assert cluster.stored(1).hostname == "former"


def test_two_hosts_with_one_id_do_not_overwrite_each_other(cluster: Cluster, host: Host) -> None:
    cluster.run(JOIN_S)
    for timestamp_s in range(40):
        cluster.put_record(1, timestamp_s=timestamp_s, hostname="twin")
        host.publish()
        cluster.run(TICK_S)
        assert cluster.stored(1).hostname == "twin" or timestamp_s == 0
    assert "also used by 'twin'" in host.view(1).error
    assert "also used by 'twin'" in host.services.status_text


def test_a_twin_that_comes_later_is_noticed(cluster: Cluster, host: Host) -> None:
    cluster.run(JOIN_S)
    host.publish()
    cluster.run(TICK_S)
    assert cluster.stored(1).hostname == "h1"
    cluster.put_record(1, timestamp_s=3, hostname="twin")
    cluster.run(TICK_S)
    host.publish()
    assert cluster.stored(1).hostname == "twin"


def test_an_agent_that_says_the_same_adds_no_byte_to_the_cycle(
    cluster: Cluster, host: Host
) -> None:
    for host_id in (2, 3):
        cluster.put_record(host_id)
    cluster.run(JOIN_S + 3)
    host.publish()
    cluster.run(TICK_S)
    before, reads_of_config = host.read_bytes(), host.runner.submitted.count("config")
    for _ in range(12):
        host.publish()
        cluster.run(TICK_S)
    reads_of_config = host.runner.submitted.count("config") - reads_of_config
    assert host.read_bytes() - before == (12 * (3 + 1) + 2 * reads_of_config) * SLOT_SIZE


def test_a_write_that_got_lost_is_noticed_by_the_next_one(cluster: Cluster, host: Host) -> None:
    cluster.run(JOIN_S + 3)
    host.publish()
    first = cluster.slot(1)
    cluster.run(TICK_S)
    host.publish()
    cluster.put(1, first)
    cluster.run(TICK_S)
    host.publish()
    assert "not there any more" in host.snapshot.storage.error
    cluster.run(TICK_S)
    host.publish()
    assert host.snapshot.storage.error == ""


def test_a_slot_that_was_cleaned_is_written_again(cluster: Cluster, host: Host) -> None:
    cluster.run(JOIN_S + 3)
    host.publish()
    cluster.put(1, b"")
    cluster.run(TICK_S)
    host.publish()
    assert cluster.stored(1).hostname == "h1"
    assert host.snapshot.storage.error == ""


def test_our_view_of_ourselves_is_what_stands_there(cluster: Cluster, host: Host) -> None:
    cluster.run(1)
    host.publish()
    assert host.view(1).record == cluster.stored(1)
    assert host.view(1).record.text == cluster.stored(1).text  # type: ignore[union-attr]


# --- slot 0 -------------------------------------------------------------------------------------


def test_global_maintenance_is_confirmed_by_what_stands_there(cluster: Cluster, host: Host) -> None:
    cluster.run(1)
    assert host.snapshot.global_maintenance is False
    for on in (True, False):
        host.ask("global", on).wait(0)
        assert cluster.slot(0) == encode_global(GlobalRecord(on))
        assert host.snapshot.global_maintenance is on


@pytest.mark.parametrize(
    ("stands", "told"),
    [
        (encode_global(GlobalRecord(True)), True),
        (encode_global(GlobalRecord(False)), False),
        (bytes(4096), False),
        (GARBAGE, None),
    ],
    ids=["on", "off", "never written", "garbage"],
)
@pytest.mark.parametrize("on", [True, False])
def test_what_was_so_before_is_told_from_the_storage(
    cluster: Cluster, host: Host, stands: bytes, told: Optional[bool], on: bool
) -> None:
    """Another administrator changed it since this host's broker has read it."""
    cluster.put(0, encode_global(GlobalRecord(told is False)))
    cluster.run(1)
    cluster.put(0, stands)
    ticket = host.ask("global", on)
    ticket.wait(0)
    assert ticket.before is told
    assert cluster.slot(0) == encode_global(GlobalRecord(on))


def test_two_administrators_are_told_what_the_other_one_left(
    cluster: Cluster, host: Host, tmp_path: Path
) -> None:
    """One broker each, and none of them has looked at the storage since the other's write."""
    other = cluster.host(2, tmp_path / "h2")
    cluster.run(JOIN_S + 3)
    orders = [(host, True, False), (other, True, True), (other, False, True), (host, False, False)]
    orders += [(host, True, False), (other, False, True), (host, True, False)]
    for asked, on, before in orders:
        ticket = asked.ask("global", on)
        ticket.wait(0)
        assert ticket.before is before


def test_what_local_maintenance_was_before_is_told(cluster: Cluster, host: Host) -> None:
    cluster.run(JOIN_S + 3)
    for on, before in [(False, False), (True, False), (True, True), (False, True)]:
        ticket = host.ask("local", on)
        ticket.wait(0)
        assert ticket.before is before


def test_local_maintenance_that_is_on_is_no_more_refused(cluster: Cluster, host: Host) -> None:
    cluster.run(JOIN_S + 3)
    host.ask("local", True).wait(0)
    host.hypervisor.set_domain(Domain(DomainState.RUNNING, pid=4))
    cluster.run(TICK_S)
    host.ask("local", True).wait(0)
    host.ask("local", False).wait(0)
    assert refusal(host.ask("local", True)).status == 409


@pytest.mark.parametrize("before", [GARBAGE, b"", b"maintenance=2"])
def test_it_is_set_whatever_slot_0_holds(cluster: Cluster, host: Host, before: bytes) -> None:
    cluster.put(0, before)
    cluster.run(1)
    host.ask("global", True).wait(0)
    assert cluster.slot(0) == encode_global(GlobalRecord(True))
    assert (host.snapshot.global_maintenance, host.snapshot.global_error) == (True, "")


def test_a_corrupt_slot_0_is_an_error_and_the_last_good_value_stays(
    cluster: Cluster, host: Host
) -> None:
    cluster.put(0, encode_global(GlobalRecord(True)))
    cluster.run(1)
    cluster.put(0, GARBAGE)
    cluster.run(TICK_S)
    assert host.snapshot.global_maintenance is True
    assert host.snapshot.global_error


def test_set_in_the_same_moment_as_an_agents_update(cluster: Cluster, host: Host) -> None:
    cluster.run(1)
    host.broker.mailbox.publish(replace(PUBLICATION, score=5))
    ticket = host.ask("global", True)
    ticket.wait(0)
    cluster.run(0.1)
    assert cluster.slot(0) == encode_global(GlobalRecord(True))
    assert cluster.stored(1).score == 5


def test_a_hung_own_write_does_not_hold_slot_0_up(cluster: Cluster, host: Host) -> None:
    cluster.run(1)
    host.runner.hang("write-own")
    host.publish()
    host.ask("global", True).wait(0)


def test_a_read_begun_before_the_write_does_not_undo_it(cluster: Cluster, host: Host) -> None:
    cluster.run(1)
    host.runner.hang("read")
    cluster.run(TICK_S)
    old = cluster.slot(0)
    host.ask("global", True).wait(0)
    new = cluster.slot(0)
    cluster.put(0, old)  # what the hanging read saw
    host.runner.release("read")
    host.settle()
    assert host.snapshot.global_maintenance is True
    cluster.put(0, new)
    cluster.run(TICK_S)
    assert host.snapshot.global_maintenance is True


def test_failing_storage_refuses_with_the_reason(cluster: Cluster, host: Host) -> None:
    cluster.run(1)
    host.store.fail(errno.EIO)
    refused = refusal(host.ask("global", True))
    assert refused.status == 503
    assert "Input/output error" in refused.why


def test_hung_storage_times_out_and_says_that_it_may_still_happen(
    cluster: Cluster, host: Host
) -> None:
    cluster.run(1)
    host.store.hang()
    first, second = host.ask("global", True), host.ask("global", False)
    assert (refusal(first).status, refusal(second).status) == (504, 504)
    assert "may still take effect" in refusal(first).why
    assert "was dropped" in refusal(second).why
    host.store.heal()
    cluster.run(TICK_S)
    assert cluster.slot(0) == encode_global(GlobalRecord(True))


def test_requests_are_done_in_their_order(cluster: Cluster, host: Host) -> None:
    cluster.run(1)
    wanted = [True, False, True, True, False]
    tickets = [host.broker.mailbox.ask_maintenance("global", on) for on in wanted]
    cluster.run(0.1)
    for ticket in tickets:
        ticket.wait(0)
    assert host.snapshot.global_maintenance is False


def test_too_many_requests_are_refused(cluster: Cluster, host: Host) -> None:
    mailbox = host.broker.mailbox
    for _ in range(MAX_WAITING_REQUESTS):
        mailbox.ask_maintenance("global", True)
    with pytest.raises(Refusal) as caught:
        mailbox.ask_maintenance("global", True)
    assert caught.value.status == 503


# --- local maintenance ---------------------------------------------------------------------------


def test_local_maintenance_survives_a_restart(cluster: Cluster, host: Host) -> None:
    cluster.run(JOIN_S + 3)
    host.ask("local", True).wait(0)
    assert host.snapshot.local_maintenance is True
    host.publish()
    assert cluster.stored(1).maintenance
    host.start()
    assert host.snapshot.local_maintenance is True
    cluster.run(3)
    host.ask("local", False).wait(0)
    assert host.snapshot.local_maintenance is False
    assert not read_flag(str(host.state_dir))


def test_local_maintenance_that_waits_its_turn_is_judged_then(cluster: Cluster, host: Host) -> None:
    cluster.run(JOIN_S + 3)
    host.ask("local", True).wait(0)
    off = host.broker.mailbox.ask_maintenance("local", False)
    again = host.broker.mailbox.ask_maintenance("local", True)
    host.runner.hang("local")
    host.settle()
    host.hypervisor.start("<domain/>")
    cluster.run(TICK_S)
    host.runner.release("local")
    cluster.run(TICK_S)
    off.wait(0)
    with pytest.raises(Refusal, match="running on this host"):
        again.wait(0)
    assert host.snapshot.local_maintenance is False


def test_local_maintenance_changes_nothing_on_the_storage(cluster: Cluster, host: Host) -> None:
    cluster.run(JOIN_S + 3)
    before = bytes(cluster.volumes[VOLUME])
    host.ask("local", True).wait(0)
    cluster.run(TICK_S)
    assert bytes(cluster.volumes[VOLUME]) == before


@pytest.mark.parametrize("state", [DomainState.RUNNING, DomainState.PAUSED])
def test_refused_while_the_engines_domain_is_here(
    cluster: Cluster, host: Host, state: DomainState
) -> None:
    host.hypervisor.set_domain(Domain(state, pid=4))
    cluster.run(JOIN_S + 3)
    refused = refusal(host.ask("local", True))
    assert refused.status == 409
    assert state.value in refused.why
    assert host.snapshot.local_maintenance is False


def test_refused_while_a_process_here_holds_the_lease(cluster: Cluster, host: Host) -> None:
    cluster.run(JOIN_S + 3)
    host.lockspace.acquire(77)
    cluster.run(TICK_S + 1)
    assert refusal(host.ask("local", True)).status == 409


def test_refused_while_the_agent_here_starts_the_engine(cluster: Cluster, host: Host) -> None:
    cluster.run(JOIN_S + 3)
    host.publish()
    cluster.run(TICK_S)
    host.publish(replace(PUBLICATION, state="EngineStart"))
    refused = refusal(host.ask("local", True))
    assert refused.status == 409
    assert "being started" in refused.why
    cluster.run(ALIVE_S + 1)  # the agent died over it
    host.ask("local", True).wait(0)


def test_refused_while_nobody_knows_where_the_engine_is(cluster: Cluster, host: Host) -> None:
    host.hypervisor.disappear()
    cluster.run(JOIN_S + 3)
    assert "libvirt does not answer" in refusal(host.ask("local", True)).why


def test_off_is_never_refused(cluster: Cluster, host: Host) -> None:
    host.hypervisor.set_domain(Domain(DomainState.RUNNING, pid=4))
    cluster.run(JOIN_S + 3)
    host.ask("local", False).wait(0)


def test_a_flag_that_can_not_be_written_is_an_error(cluster: Cluster, host: Host) -> None:
    cluster.run(JOIN_S + 3)
    (host.state_dir / FLAG_NAME).mkdir()
    host.ask("local", True)  # touch is content with a directory ...
    refused = refusal(host.ask("local", False))  # ... unlink is not
    assert refused.status == 500
    assert FLAG_NAME in refused.why


def test_an_unreadable_state_directory_is_named(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert read_flag(str(tmp_path / "missing")) is False
    if os.geteuid() != 0:
        tmp_path.chmod(0)
        with pytest.raises(StateDirError, match=str(tmp_path)):
            read_flag(str(tmp_path))


# --- several brokers ------------------------------------------------------------------------------


def test_two_brokers_with_one_id_agree_on_one_of_them(cluster: Cluster, tmp_path: Path) -> None:
    twins = [cluster.host(1, tmp_path / name, name=name) for name in ("left", "right")]
    cluster.run(7)
    names = []
    for _ in range(60):
        for twin in twins:
            twin.publish()
            cluster.run(TICK_S / 2)
        names.append(cluster.stored(1).hostname)
    assert len(set(names)) == 1, names
    loser = twins[0] if names[0] == "right" else twins[1]
    assert f"also used by {names[0]!r}" in loser.view(1).error


def test_every_host_sees_what_any_host_sets(cluster: Cluster, tmp_path: Path) -> None:
    hosts = [cluster.host(number, tmp_path / str(number)) for number in (1, 2, 3)]
    cluster.run(JOIN_S + 3)
    for host in hosts:
        host.broker.mailbox.publish(PUBLICATION)
    hosts[1].ask("global", True).wait(0)
    cluster.run(2 * TICK_S)
    for host in hosts:
        assert host.snapshot.global_maintenance is True
        assert [view.host_id for view in host.snapshot.hosts] == [1, 2, 3]
        assert all(view.record for view in host.snapshot.hosts)
