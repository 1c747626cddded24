# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Writing a version: one writer at a time, and nobody's change is lost."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest

from hosted_engine.config.keys import with_value
from hosted_engine.config.store import changed, check, describe_change, read, write
from hosted_engine.errors import CommandError
from hosted_engine.host.environment import DeployedHost
from metadata.layout import config_lease_address, required_sizes
from metadata.shared_config import StoredConfig
from metadata.shared_history import ChangeNote, decode_history
from simulation.world import SimStore
from tests.unit.config_bench import CONFIG, PARTS, VOLUME, WALL_S, Cluster, domain_xml
from world.ports.sanlock import LeaseOwner


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("HE_STATE_DIR", str(tmp_path))
    return Cluster()


def with_times(before: StoredConfig, **times: float) -> StoredConfig:
    settings = before.settings
    for key, value in times.items():
        settings = with_value(settings, ("timing", key), value)
    return changed(before, settings=settings)


def with_tick(before: StoredConfig, tick_s: float) -> StoredConfig:
    return with_times(before, tick_s=tick_s)


def change(world: DeployedHost, tick_s: float) -> StoredConfig:
    before = read(world)
    return write(world, before, with_tick(before, tick_s), "root", f"tick {tick_s}")


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(CommandError) as caught:
        call()
    return caught.value.message


def before_writing(world: DeployedHost, what: Callable[[], object]) -> DeployedHost:
    """Something happens between the read of a change and its write."""
    done: list[bool] = []

    def apart(job: Callable[[], Any], whom: str, deadline_s: float) -> Any:
        if whom.startswith("writing") and not done:
            done.append(True)
            what()
        return job()

    return replace(world, apart=apart)


# --- one after the other --------------------------------------------------------------------


def test_a_change_is_the_next_version_with_a_note_and_the_one_before_in_its_history(cluster):
    change(cluster.world(), 4.0)
    stored = cluster.stored()
    assert (stored.config.sequence, stored.config.settings.timing.tick_s) == (2, 4.0)
    history = decode_history(stored.history)
    assert history.note == ChangeNote("root", "h1", WALL_S, "tick 4.0")
    assert [version.sequence for version in history.versions] == [1]
    change(cluster.world(2), 3.0)
    history = decode_history(cluster.stored().history)
    assert history.note == ChangeNote("root", "h2", WALL_S, "tick 3.0")
    assert [(one.sequence, one.note) for one in history.versions] == [
        (2, ChangeNote("root", "h1", WALL_S, "tick 4.0")),
        (1, None),
    ]
    assert history.versions[0].settings["timing"]["tick_s"] == 4.0
    assert history.versions[0].domain_xml == CONFIG.domain_xml


def test_keys_that_were_left_out_stay_out(cluster):
    cluster.put_config(StoredConfig(CONFIG, {"timing": {"io_timeout_s": 2}}))
    change(cluster.world(), 4.0)
    assert cluster.stored().settings == {"timing": {"io_timeout_s": 2, "tick_s": 4.0}}


def test_the_lock_is_let_go_after_a_change_and_after_a_refusal(cluster):
    change(cluster.world(), 4.0)
    assert cluster.san.config_lease is None
    world = cluster.world()
    before = read(world)
    worse = changed(before, domain_xml="<domain/>")
    assert "has no lease" in refused(lambda: write(world, before, worse, "root", ""))
    assert cluster.san.config_lease is None
    assert cluster.stored().config.sequence == 2


def test_settings_that_do_not_fit_are_all_named(cluster):
    before = read(cluster.world())
    data = with_value(before.settings, ("timing", "turn_s"), 1)
    data = with_value(data, ("timing", "alive_s"), 2)
    text = refused(lambda: changed(before, settings=data))
    assert "turn_s (1) must be at least" in text
    assert "alive_s (2) must be at least" in text
    assert text.endswith("nothing was written")


# --- two at once ----------------------------------------------------------------------------


def test_who_is_overtaken_is_told_by_whom_and_writes_nothing(cluster):
    other = cluster.world(2)
    mine = before_writing(cluster.world(1), lambda: change(other, 3.0))
    text = refused(lambda: change(mine, 4.0))
    assert "version 2 of the shared configuration was written meanwhile by root on h2" in text
    assert "tick 3.0" in text
    stored = cluster.stored()
    assert (stored.config.sequence, stored.config.settings.timing.tick_s) == (2, 3.0)


def test_a_version_written_by_an_older_program_is_noticed_too(cluster):
    mine = before_writing(
        cluster.world(), lambda: cluster.put_config(with_tick(cluster.stored(), 3.0))
    )
    assert "version 2 of the shared configuration was written meanwhile; " in refused(
        lambda: change(mine, 4.0)
    )


def test_the_holder_of_the_lock_is_named(cluster):
    cluster.lockspaces[1].take_config_lease()
    text = refused(lambda: change(cluster.world(1), 4.0))
    assert text == (
        "host h2 (id 2) is writing the shared configuration just now; try again; nothing was "
        "written"
    )
    assert "somebody on this host is writing" in refused(lambda: change(cluster.world(2), 4.0))
    cluster.lockspaces[1].drop_config_lease()
    assert change(cluster.world(1), 4.0).config.sequence == 2


def test_a_writer_whose_host_fell_silent_is_waited_for_until_it_is_dead(cluster):
    cluster.lockspaces[1].take_config_lease()
    cluster.lockspaces[1].power_off()
    died_at_s = cluster.clock.monotonic_s()
    cluster.clock.advance(9)  # its latest renewal is seen to be the same
    assert change(cluster.world(1), 4.0).config.sequence == 2
    assert cluster.clock.monotonic_s() - died_at_s >= 8 * 2 + 60 - 2 * 2


def test_without_the_lockspace_nothing_is_written(cluster):
    cluster.lockspaces[0].leave_if_unused(1)
    assert "has not joined the lockspace" in refused(lambda: change(cluster.world(), 4.0))
    cluster.lockspaces[0].kill_daemon()
    assert "does not answer" in refused(lambda: change(cluster.world(), 4.0))
    assert cluster.stored().config == CONFIG


def test_global_maintenance_that_ended_meanwhile_is_noticed(cluster):
    cluster.put_config(with_times(cluster.stored(), tick_s=2, alive_s=10))
    cluster.set_maintenance(True)
    world = before_writing(cluster.world(), lambda: cluster.set_maintenance(False))
    before = read(world)
    after = with_times(before, tick_s=8, alive_s=60)
    check(world, before, after)
    text = refused(lambda: write(world, before, after, "root", ""))
    assert "set global maintenance first" in text
    assert cluster.stored() == before


# --- storage --------------------------------------------------------------------------------


def test_a_write_that_fails_is_not_called_done(cluster):
    world = cluster.world()
    before = read(world)
    store = FailingWrites(cluster.volumes)
    text = refused(
        lambda: write(replace(world, store=store), before, with_tick(before, 4), "root", "")
    )
    assert "whether version 2 was written is not known, see --shared-config-history" in text
    assert cluster.san.config_lease is None


def test_a_write_that_goes_nowhere_is_noticed(cluster):
    world = cluster.world()
    before = read(world)
    store = SimStore(cluster.volumes)
    store.on_write = lambda _address, data: bytes(len(data))
    other = replace(world, store=store)
    store._translated = {}
    text = refused(lambda: write(other, before, with_tick(before, 4), "root", ""))
    assert "version 2 does not read back" in text


class FailingWrites(SimStore):
    def write(self, address: Any, data: bytes) -> None:
        self.fail(errno.EIO)
        try:
            super().write(address, data)
        finally:
            self.heal()


def test_a_damaged_configuration_is_named(cluster):
    place = PARTS.shared_config
    cluster.put(place, b"rubbish" * 100)
    cluster.put(replace(place, offset=place.offset + 512 * 1024), b"rubbish" * 100)
    assert f"{VOLUME}: the shared configuration is damaged" in refused(
        lambda: read(cluster.world())
    )


def test_an_xml_that_does_not_fit_is_refused_with_the_sizes(cluster):
    world = cluster.world()
    before = read(world)
    huge = domain_xml() + f"<!--{'x' * 600_000}-->"
    text = refused(lambda: write(world, before, changed(before, domain_xml=huge), "root", ""))
    assert "has room for" in text
    assert text.endswith("nothing was written")


# --- a cluster from before the lock ---------------------------------------------------------


@pytest.fixture
def old_cluster(cluster: Cluster) -> Cluster:
    cluster.san.config_lease_formatted = False
    return cluster


def test_the_first_change_makes_the_lock_on_the_living_host_with_the_lowest_id(old_cluster):
    text = refused(lambda: change(old_cluster.world(2), 4.0))
    assert "do this one on host h1 (id 1), the living host with the lowest id" in text
    assert not old_cluster.san.config_lease_formatted
    change(old_cluster.world(1), 4.0)
    assert old_cluster.san.config_lease_formatted
    assert change(old_cluster.world(2), 3.0).config.sequence == 3


def test_a_host_that_left_is_not_waited_for(old_cluster):
    old_cluster.lockspaces[0].leave_if_unused(1)
    old_cluster.clock.advance(10)
    change(old_cluster.world(2), 4.0)
    assert old_cluster.san.config_lease_formatted


def test_while_it_is_not_known_who_lives_the_lock_is_not_made(old_cluster):
    old_cluster.lockspaces[0].power_off()
    old_cluster.clock.advance(8 * 2 + 10)
    assert "must know which hosts live" in refused(lambda: change(old_cluster.world(2), 4.0))
    assert not old_cluster.san.config_lease_formatted


def test_a_volume_without_room_for_the_lock_is_named_with_what_to_do(old_cluster):
    size = required_sizes(PARTS, config_lease=False)[VOLUME]
    del old_cluster.volumes[VOLUME][size:]
    text = refused(lambda: change(old_cluster.world(), 4.0))
    assert f"it has {size} bytes, {size + 2**20} are needed; enlarge it: truncate -s 12M" in text
    assert "storage: {config_lease: {path: ..., offset: ...}}; nothing was written" in text


def test_what_lies_in_the_place_of_the_lock_is_not_destroyed(old_cluster):
    old_cluster.put(config_lease_address(PARTS), b"somebody's")
    assert "something else lies at /shared/leases:11534336" in refused(
        lambda: change(old_cluster.world(), 4.0)
    )
    assert not old_cluster.san.config_lease_formatted


# --- words ----------------------------------------------------------------------------------


def test_changes_are_described(cluster):
    before = cluster.stored()
    after = changed(
        before,
        settings=with_value(before.settings, ("network", "test"), "dns"),
        domain_xml=domain_xml(memory_mib=8192),
    )
    assert describe_change(before.config, after.config) == (
        "network.test: 'ping' -> 'dns'; vm_conf: +1 -1 lines"
    )
    assert describe_change(before.config, before.config) == ""


def test_the_owner_of_the_engine_is_named_when_its_name_changes(cluster):
    cluster.set_maintenance(True)
    cluster.san.lease = LeaseOwner(2, 1)
    before = cluster.stored()
    settings = with_value(before.settings, ("engine", "domain_name"), "Other")
    after = changed(before, settings=settings, domain_xml=domain_xml("Other"))
    assert "held by host h2 (id 2)" in refused(lambda: check(cluster.world(), before, after))
    cluster.san.lease = None
    check(cluster.world(), before, after)
