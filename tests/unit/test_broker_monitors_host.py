# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The monitors of the host itself: bridge, memory, CPUs and the storage, in a broker's cycle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest

from ha_broker.api.monitors import (
    BRIDGE,
    BUILT_IN,
    MonitorView,
    network_failed_fraction,
    view_of,
)
from ha_broker.api.snapshot_json import snapshot_from_data, snapshot_to_data
from ha_broker.monitors.base import VALID_INTERVALS
from ha_broker.monitors.cpu_load import Sample, Stretch, stretch
from metadata.settings.monitors import MonitorSettings
from metadata.shared_config import SharedConfig
from tests.unit.broker_host import CONFIG, IO_TIMEOUT_S, JOIN_S, SETTINGS, TICK_S, Cluster, Host
from world.ports.errors import LockspaceError, WorldError
from world.ports.host import CpuTimes
from world.ports.libvirt import EngineCpu
from world.ports.sanlock import Renewal

MONITORS = SETTINGS.monitors
INTERVAL_S = MONITORS.interval_s
VALID_S = VALID_INTERVALS * INTERVAL_S + MONITORS.timeout_s
GIB = 1 << 30
XML = "<domain><name>HostedEngine</name><memory unit='GiB'>16</memory>{more}</domain>"


def config(more: str = "", bridge: str = "br0", **monitors: Any) -> SharedConfig:
    """A shared configuration with a bridge and an engine of 16 GiB."""
    settings = replace(
        SETTINGS,
        network=replace(SETTINGS.network, bridge=bridge),
        monitors=replace(MonitorSettings(), **monitors),
    )
    return replace(CONFIG, settings=settings, domain_xml=XML.format(more=more))


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(config())


@pytest.fixture
def host(cluster: Cluster, tmp_path: Path) -> Host:
    """One that has joined and measured everything once."""
    host = cluster.host(1, tmp_path)
    cluster.run(JOIN_S + INTERVAL_S)
    return host


def host_with(found: SharedConfig, tmp_path: Path) -> Host:
    cluster = Cluster(found)
    host = cluster.host(1, tmp_path)
    cluster.run(JOIN_S + INTERVAL_S)
    return host


# --- under which names, in which units ------------------------------------------------


def test_monitors_keep_the_names_and_units_that_readers_know(host: Host) -> None:
    """They stand so in the socket's JSON and in the metrics."""
    told = [f"{view.name} {view.unit.value}" for view in host.snapshot.monitors]
    assert told == [
        "network fraction",
        "bridge boolean",
        "mem-free bytes",
        "cpu-load fraction",
        "storage-renewal seconds",
        "storage-space bytes",
        "guest-agent boolean",
        "storage-latency seconds",
        "storage-write-age seconds",
    ]
    assert [(view.name, view.unit) for view in host.snapshot.monitors] == [
        (kind.name, kind.unit) for kind in BUILT_IN
    ]


@pytest.mark.parametrize("up", [True, False])
def test_a_bridge_that_is_told_as_a_number_is_read_as_what_it_was(
    cluster: Cluster, host: Host, up: bool
) -> None:
    host.vitals.bridge_up = up
    cluster.run(INTERVAL_S)
    sent = snapshot_to_data(host.snapshot)
    assert view_of(BRIDGE, snapshot_from_data(sent).monitors).flag is up
    assert [one["value"] for one in sent["monitors"] if one["name"] == "bridge"] == [float(up)]


@pytest.mark.parametrize(
    ("answered", "failed"), [(None, None), (1.0, 0.0), (0.8, 1.0 - 0.8), (0.0, 1.0)]
)
def test_a_network_is_told_by_what_answered_and_judged_by_what_failed(
    answered: Optional[float], failed: Optional[float]
) -> None:
    assert network_failed_fraction([MonitorView("network", value=answered)]) == failed
    assert network_failed_fraction([]) is None


# --- the bridge -----------------------------------------------------------------------


def test_the_bridge_goes_down_and_up(cluster: Cluster, host: Host) -> None:
    assert (host.monitor("bridge").value, host.monitor("bridge").detail) == (1, "br0 is up")
    host.vitals.bridge_up = False
    cluster.run(INTERVAL_S)
    assert (host.monitor("bridge").value, host.monitor("bridge").detail) == (0, "br0 is down")
    host.vitals.bridge_up = True
    cluster.run(INTERVAL_S)
    assert host.monitor("bridge").value == 1


def test_without_a_bridge_in_the_settings_there_is_no_word_on_it(tmp_path: Path) -> None:
    host = host_with(config(bridge=""), tmp_path)
    assert (host.monitor("bridge").value, host.monitor("bridge").detail) == (None, "not configured")
    assert "monitor:bridge" not in host.runner.submitted


def test_the_hosts_own_bridge_comes_first(tmp_path: Path) -> None:
    cluster = Cluster(config())
    host = cluster.host(1, tmp_path, bridge="own0")
    cluster.run(INTERVAL_S)
    assert host.monitor("bridge").detail == "own0 is up"


def test_a_look_that_fails_leaves_the_last_word_for_a_while(cluster: Cluster, host: Host) -> None:
    def refuse(_what: str) -> None:
        raise WorldError("look at br0", "not permitted")

    host.vitals.before_call = refuse
    cluster.run(INTERVAL_S)
    assert host.monitor("bridge").value == 1
    assert host.monitor("bridge").trouble == "can't look at br0: not permitted"
    cluster.run(VALID_S)
    assert host.monitor("bridge").value is None
    assert host.monitor("bridge").detail == "can't look at br0: not permitted"


def test_a_word_ends_between_two_looks_that_fail(tmp_path: Path) -> None:
    cluster = Cluster(config(timeout_s=13.0))
    host = cluster.host(1, tmp_path)
    cluster.run(INTERVAL_S)

    def refuse(_what: str) -> None:
        raise WorldError("look at br0", "not permitted")

    seen_at_s = host.monitor("bridge").seen_at_s
    assert seen_at_s == cluster.clock.monotonic_s()
    host.vitals.before_call = refuse
    cluster.run(3 * INTERVAL_S + 10)
    assert host.monitor("bridge").value == 1
    cluster.run(TICK_S)
    assert host.monitor("bridge").value is None


# --- memory ---------------------------------------------------------------------------


def test_memory_is_held_against_what_the_domain_needs(cluster: Cluster, host: Host) -> None:
    host.vitals.available_bytes = 20 * GIB
    cluster.run(INTERVAL_S)
    memory = host.monitor("mem-free")
    assert (memory.value, memory.limit) == (20 * GIB, 16 * GIB)
    assert memory.detail == "20480 MiB available for an engine of 16384 MiB"


def test_the_settings_may_say_what_is_needed(tmp_path: Path) -> None:
    host = host_with(config(memory_needed_mib=1024), tmp_path)
    assert host.monitor("mem-free").limit == GIB


HUGE = "<memoryBacking><hugepages>{pages}</hugepages></memoryBacking>"


@pytest.mark.parametrize(
    ("pages", "free", "kind"),
    [
        ("<page size='1' unit='GiB'/>", 3 * GIB, "1048576 KiB"),
        ("<page size='2' unit='MiB'/>", 5 * GIB, "2048 KiB"),
        ("<page size='1' unit='GiB'/><page size='2048'/>", 8 * GIB, "2048 KiB and 1048576 KiB"),
        ("<page size='64'/>", 0, "64 KiB"),
        ("", 5 * GIB, "2048 KiB"),
    ],
)
def test_free_huge_pages_of_the_named_size_count(
    tmp_path: Path, pages: str, free: int, kind: str
) -> None:
    cluster = Cluster(config(more=HUGE.format(pages=pages)))
    host = cluster.host(1, tmp_path)
    host.vitals.huge_free_bytes = ((2 << 20, 5 * GIB), (1 << 30, 3 * GIB))
    host.vitals.usual_huge_page = 2 << 20
    cluster.run(2 * INTERVAL_S)
    memory = host.monitor("mem-free")
    assert (memory.value, memory.limit) == (free, 16 * GIB)
    assert f"in free huge pages of {kind} for" in memory.detail


def test_huge_pages_count_for_a_need_from_the_settings_too(tmp_path: Path) -> None:
    cluster = Cluster(config(more=HUGE.format(pages=""), memory_needed_mib=512))
    host = cluster.host(1, tmp_path)
    cluster.run(2 * INTERVAL_S)
    memory = host.monitor("mem-free")
    assert (memory.value, memory.limit) == (0, 512 << 20)
    assert "huge pages of no size" in memory.detail


def test_what_is_needed_may_not_be_known(tmp_path: Path) -> None:
    cluster = Cluster(None)
    host = cluster.host(1, tmp_path)
    cluster.run(INTERVAL_S)
    memory = host.monitor("mem-free")
    assert memory.value is None
    assert memory.detail == "the shared configuration has not been read yet"
    cluster.put_config(replace(config(), domain_xml="<domain/>"))
    cluster.run(60 + 2 * INTERVAL_S)
    assert "has 0 <memory>" in host.monitor("mem-free").detail


def test_a_new_configuration_may_need_more(cluster: Cluster, host: Host) -> None:
    assert host.monitor("mem-free").limit == 16 * GIB
    grown = replace(config(), sequence=CONFIG.sequence + 1)
    cluster.put_config(replace(grown, domain_xml=grown.domain_xml.replace("16", "24")))
    cluster.run(60 + INTERVAL_S)
    assert host.monitor("mem-free").limit == 24 * GIB


# --- CPUs: what lies between two samples ------------------------------------------------


def sample(
    busy_s: float, total_s: float, engine: Optional[EngineCpu] = None, cpus: int = 4
) -> Sample:
    return Sample(CpuTimes(busy_s, total_s, cpus), engine)


def test_the_engines_share_is_left_out() -> None:
    found = stretch(sample(10, 100, EngineCpu(7, 1.0)), sample(30, 140, EngineCpu(7, 16.0)))
    assert found == Stretch(others_s=5, total_s=40)


def test_without_an_engine_all_counts() -> None:
    assert stretch(sample(10, 100), sample(30, 140)) == Stretch(20, 40)


def test_the_engine_never_makes_a_host_idler_than_idle() -> None:
    """The two clocks tick apart, so a full host may seem to have used less than its engine."""
    found = stretch(sample(10, 100, EngineCpu(7, 1.0)), sample(30, 140, EngineCpu(7, 21.5)))
    assert found == Stretch(0, 40)
    assert stretch(sample(10, 100), sample(51, 140)) == Stretch(40, 40)


NOT_REAL = {
    "started": (sample(1, 10), sample(2, 20, EngineCpu(7, 5.0)), "was started or ended"),
    "ended": (sample(1, 10, EngineCpu(7, 5.0)), sample(2, 20), "was started or ended"),
    "other process": (
        sample(1, 10, EngineCpu(7, 5.0)),
        sample(2, 20, EngineCpu(8, 6.0)),
        "was started or ended",
    ),
    "none at the beginning": (
        sample(1, 10, EngineCpu(7, None)),
        sample(2, 20, EngineCpu(7, 6.0)),
        "libvirt does not tell",
    ),
    "none at the end": (
        sample(1, 10, EngineCpu(7, 5.0)),
        sample(2, 20, EngineCpu(7, None)),
        "libvirt does not tell",
    ),
    "no process to be found": (
        sample(1, 10, EngineCpu(None, 5.0)),
        sample(2, 20, EngineCpu(None, 6.0)),
        "libvirt does not tell",
    ),
    "backwards": (
        sample(1, 10, EngineCpu(7, 5.0)),
        sample(2, 20, EngineCpu(7, 4.0)),
        "does not go on",
    ),
    "stands still": (
        sample(1, 10, EngineCpu(7, 5.0)),
        sample(2, 20, EngineCpu(7, 5.0)),
        "does not go on",
    ),
    "a CPU came": (sample(1, 10), sample(2, 20, cpus=5), "number of CPUs"),
    "no time passed": (sample(1, 10), sample(1, 10), "CPU times do not go on"),
    "busy backwards": (sample(2, 10), sample(1, 20), "CPU times do not go on"),
}


@pytest.mark.parametrize("name", NOT_REAL)
def test_numbers_that_are_not_real_give_nothing(name: str) -> None:
    before, after, why = NOT_REAL[name]
    found = stretch(before, after)
    assert isinstance(found, str)
    assert why in found


# --- CPUs: the monitor ----------------------------------------------------------------


@pytest.fixture
def loaded(cluster: Cluster, host: Host) -> Host:
    """A host whose others have used half of its CPUs for long enough."""
    host.vitals.cpu_load = 0.5
    cluster.run(70)
    return host


def load(host: Host) -> Optional[float]:
    return host.monitor("cpu-load").value


def test_there_is_no_value_before_half_a_minute_was_seen(cluster: Cluster, tmp_path: Path) -> None:
    host = cluster.host(1, tmp_path)
    host.vitals.cpu_load = 1.0
    cluster.run(29)
    assert load(host) is None
    assert host.monitor("cpu-load").detail == "not measured for long enough yet"
    cluster.run(2 * INTERVAL_S)
    assert load(host) == pytest.approx(1.0)


def test_the_load_is_a_fraction_of_all_cpus(loaded: Host) -> None:
    assert load(loaded) == pytest.approx(0.5)
    assert loaded.monitor("cpu-load").detail == "50% without the engine"


def test_a_spike_is_spread_over_a_minute(cluster: Cluster, loaded: Host) -> None:
    loaded.vitals.cpu_load = 1.0
    cluster.run(INTERVAL_S)
    loaded.vitals.cpu_load = 0.5
    cluster.run(INTERVAL_S)
    highest = load(loaded)
    assert highest is not None
    assert highest == pytest.approx(0.5 + 0.5 / 6, abs=0.01)
    cluster.run(60)
    assert load(loaded) == pytest.approx(0.5)


def test_the_engines_own_load_does_not_count(cluster: Cluster, loaded: Host) -> None:
    loaded.hypervisor.cpus_used = 2.0
    loaded.hypervisor.start("<domain/>")
    cluster.run(120)
    busy = loaded.vitals.cpu_times()
    cluster.run(10)
    assert (loaded.vitals.cpu_times().busy_s - busy.busy_s) / 40 == pytest.approx(1.0)
    assert load(loaded) == pytest.approx(0.5)


def test_the_start_itself_is_left_out(cluster: Cluster, loaded: Host) -> None:
    loaded.hypervisor.cpus_used = 2.0
    cluster.run(INTERVAL_S / 2)
    loaded.hypervisor.start("<domain/>")
    for _ in range(12):
        cluster.run(INTERVAL_S / 2)
        assert load(loaded) == pytest.approx(0.5)


def test_ninety_seconds_without_numbers_are_no_load(cluster: Cluster, loaded: Host) -> None:
    loaded.hypervisor.cpus_used = 2.0
    loaded.hypervisor.cpu_unknown_s = 90
    loaded.hypervisor.start("<domain/>")
    seen = set()
    for _ in range(14):
        cluster.run(INTERVAL_S)
        seen.add(load(loaded))
    assert None in seen
    assert all(value is None or value == pytest.approx(0.5) for value in seen)
    assert load(loaded) == pytest.approx(0.5)


def test_why_there_is_no_value_is_told(cluster: Cluster, loaded: Host) -> None:
    loaded.hypervisor.cpu_unknown_s = 1000
    loaded.hypervisor.start("<domain/>")
    cluster.run(60)
    assert load(loaded) is None
    assert loaded.monitor("cpu-load").detail == "libvirt does not tell the engine's CPU time"


def test_a_hanging_libvirt_delays_nobody_else(cluster: Cluster, loaded: Host) -> None:
    loaded.hypervisor.hang()
    loaded.vitals.bridge_up = False
    cluster.run(INTERVAL_S + MONITORS.timeout_s + TICK_S)
    assert host_is_watched(loaded)
    assert "no result since" in loaded.monitor("cpu-load").trouble
    cluster.run(VALID_S)
    assert load(loaded) is None
    loaded.hypervisor.heal()
    cluster.run(60)
    assert load(loaded) == pytest.approx(0.5)


def host_is_watched(host: Host) -> bool:
    seen_at_s = host.monitor("bridge").seen_at_s
    recent = seen_at_s is not None and host.snapshot.taken_at_s - seen_at_s <= INTERVAL_S
    return recent and host.monitor("bridge").value == 0


def test_what_was_long_ago_says_nothing_of_now(cluster: Cluster, loaded: Host) -> None:
    loaded.runner.hang("monitor:cpu-load")
    loaded.vitals.cpu_load = 1.0
    cluster.run(10 * INTERVAL_S)
    loaded.vitals.cpu_load = 0.25
    loaded.runner.release("monitor:cpu-load")
    cluster.run(1)
    assert load(loaded) is None
    cluster.run(4 * INTERVAL_S)
    assert load(loaded) == pytest.approx(0.25)


def test_nothing_is_measured_before_the_domain_is_known(tmp_path: Path) -> None:
    cluster = Cluster(None)
    host = cluster.host(1, tmp_path)
    cluster.run(60)
    assert load(host) is None
    assert host.monitor("cpu-load").detail == "the engine's domain name is not known yet"


def test_a_rare_look_is_a_window_of_its_own(tmp_path: Path) -> None:
    cluster = Cluster(config(interval_s=120.0))
    host = cluster.host(1, tmp_path)
    host.vitals.cpu_load = 0.25
    cluster.run(300)
    assert load(host) == pytest.approx(0.25)


# --- the storage ------------------------------------------------------------------------


def test_reading_takes_what_it_takes(cluster: Cluster, host: Host) -> None:
    host.store.latency_s = 0.25
    cluster.run(2 * TICK_S)
    latency = host.monitor("storage-latency")
    assert latency.value is not None
    assert latency.value >= 0.25
    assert latency.limit == IO_TIMEOUT_S


def test_a_read_that_hangs_takes_longer_and_longer(cluster: Cluster, host: Host) -> None:
    host.store.hang()
    cluster.run(30)
    latency = host.monitor("storage-latency")
    assert latency.value is not None
    assert 25 <= latency.value <= 30
    assert "reading has not ended" in latency.trouble


def test_a_new_broker_has_read_and_written_nothing(cluster: Cluster, tmp_path: Path) -> None:
    host = cluster.host(1, tmp_path)
    for name, detail in (("latency", "not read yet"), ("write-age", "not written yet")):
        view = host.monitor(f"storage-{name}")
        assert (view.value, view.detail) == (None, detail)


def test_the_age_of_the_last_good_write(cluster: Cluster, host: Host) -> None:
    host.publish()
    cluster.run(1)
    host.store.fail(5)
    host.publish()
    cluster.run(30)
    age = host.monitor("storage-write-age")
    assert age.value is not None
    assert 30 <= age.value <= 31.5
    assert age.limit == SETTINGS.timing.alive_s
    assert "writing this host's slot" in age.trouble


def test_what_sanlocks_renewal_took(cluster: Cluster, host: Host) -> None:
    host.lockspace.renewal_takes_s = 0.5
    cluster.run(5 * IO_TIMEOUT_S)
    renewal = host.monitor("storage-renewal")
    assert (renewal.value, renewal.limit) == (0.5, 6 * IO_TIMEOUT_S)
    assert renewal.detail.startswith("read 0.250 s, written 0.250 s, in the last ")
    assert renewal.detail.endswith(" renewals 0 attempts timed out, 0 failed")


def test_a_renewal_that_is_overdue(cluster: Cluster, host: Host) -> None:
    cluster.run(2 * IO_TIMEOUT_S)
    host.lockspace.hang_storage()
    cluster.run(6 * IO_TIMEOUT_S)
    renewal = host.monitor("storage-renewal")
    assert renewal.value is not None
    assert IO_TIMEOUT_S <= renewal.value <= 5 * IO_TIMEOUT_S
    assert "attempts timed out and 0 failed" in renewal.detail


def test_no_renewals_before_the_host_has_joined(cluster: Cluster, tmp_path: Path) -> None:
    host = cluster.host(1, tmp_path)
    cluster.run(INTERVAL_S)
    renewal = host.monitor("storage-renewal")
    assert (renewal.value, renewal.trouble) == (None, "")
    assert renewal.detail == "sanlock has renewed nothing yet"


def test_sanlock_is_not_asked_more_often_than_it_renews(cluster: Cluster, host: Host) -> None:
    asked: list[str] = []
    host.lockspace.before_call = asked.append
    cluster.run(200)
    assert asked.count("ask for the renewals") == 200 / (2 * IO_TIMEOUT_S)


def test_a_history_that_can_not_be_had_is_told(
    cluster: Cluster, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> list[Renewal]:
        raise LockspaceError("ask sanlock for its renewals", "no command sanlock", 2)

    monkeypatch.setattr(host.lockspace, "renewals", refuse)
    cluster.run(2 * IO_TIMEOUT_S)
    told = host.monitor("storage-renewal").trouble
    assert told == "can't ask sanlock for its renewals: no command sanlock"


def test_free_room(cluster: Cluster, host: Host) -> None:
    assert host.monitor("storage-space").value == 100 * GIB
    assert host.monitor("storage-space").detail == "102400 of 204800 MiB are free"
    host.vitals.on_block_device = True
    cluster.run(INTERVAL_S)
    space = host.monitor("storage-space")
    assert (space.value, space.detail) == (None, "a block device: it has no room of its own")


def test_a_file_system_that_tells_nothing_is_not_full(cluster: Cluster, host: Host) -> None:
    host.vitals.free_bytes = 0
    host.vitals.total_bytes = 0
    cluster.run(INTERVAL_S)
    space = host.monitor("storage-space")
    assert (space.value, space.detail) == (None, "the file system does not tell its room")


def test_a_full_file_system_has_no_room(cluster: Cluster, host: Host) -> None:
    host.vitals.free_bytes = 0
    cluster.run(INTERVAL_S)
    assert host.monitor("storage-space").value == 0
