# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The checks of --deploy: what each finds, how bad that is, and that none stops the others."""

from __future__ import annotations

import errno
import grp
import inspect
import os
import pwd
import re
import select
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Callable, NoReturn, Optional

import pytest

from hosted_engine.deploy import checks as all_checks
from hosted_engine.deploy.check_input import Subject, look_at_storage
from hosted_engine.deploy.checks import (
    _checks,
    check_command_users,
    check_libvirt,
    check_libvirt_password,
    check_lock_manager,
    check_other_lockspace,
    check_ovirt_services,
    check_sanlock,
    check_sleep,
    check_socket_group,
    check_watchdog,
    findings,
)
from hosted_engine.deploy.checks_engine import (
    check_bridge,
    check_engine,
    check_memory,
    check_network,
    check_page,
)
from hosted_engine.deploy.checks_storage import (
    IoTimes,
    check_access,
    check_volumes,
    judge,
    measure,
    spare_block,
)
from hosted_engine.deploy.findings import (
    Check,
    Finding,
    Level,
    fail,
    failures_text,
    finding_lines,
    findings_data,
    ok,
    run_checks,
    warn,
)
from hosted_engine.errors import CommandError
from hosted_engine.host.mounts import mount_above
from hosted_engine.host.probes import RAM_DISK, HostProbes, parse_libvirt_conf, parse_user
from hosted_engine.host.storage_deadline import with_storage
from hosted_engine.host.tools import Done
from metadata import layout
from metadata.domain_xml import lease_element
from metadata.layout import SLOT_SIZE, extents, required_size
from metadata.records import HostRecord, VolumeAddress
from metadata.settings.parse import HostSettings
from simulation.world import SimStore
from tests.unit import apart_jobs
from tests.unit.deploy_scene import Scene
from tests.unit.test_command_deploy import (
    CONFIG,
    CREATING,
    JOINING,
    PARTS,
    PATH,
    answers,
    cluster_store,
    put,
    store,
)
from tests.unit.test_command_volume import leader
from world import service_user
from world.ports.errors import HypervisorGoneError, LockspaceGoneError, WorldError
from world.ports.libvirt import Domain, DomainState
from world.ports.network import HealthReading
from world.storage.sanlock_lockspace import parse_daemon_settings
from world.vm.libvirt_login import NAME_A_FILE

DOCS = Path(__file__).resolve().parents[2] / "docs"

DOMAIN = (
    "<domain type='kvm'><name>HostedEngine</name><memory unit='MiB'>4096</memory>"
    "<os><type>hvm</type></os>"
    f"<devices>{lease_element(PARTS)}</devices></domain>"
)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    (tmp_path / "engine.xml").write_text(DOMAIN)
    return Scene(tmp_path, store())


def creating(scene: Scene, **changes: Any) -> Subject:
    engine = {"domain_xml_file": str(scene.settings_file.parent / "engine.xml")}
    data = {**CREATING, **changes}
    return subject(scene, {**data, "engine": {**data["engine"], **engine}})


def subject(scene: Scene, data: object, deployed: Optional[HostSettings] = None) -> Subject:
    world, given = scene.world(), answers(data)
    lockspace: Any = scene.lockspace
    return Subject(world, given, look_at_storage(world, given), lockspace, deployed)


def on(kind: str) -> Callable[[str], str]:
    """Everything lies on this type of file system."""
    return lambda _path: kind


FACTOR = float(os.environ.get("HE_TIME_FACTOR", "1"))


def expect(found: Finding, level: Level, *texts: str) -> None:
    assert found.level is level, found
    for text in texts:
        assert text in "\n".join([found.detail, *found.mend])


# --- running them -----------------------------------------------------------------------------


def test_every_check_is_told_in_their_order_whatever_the_others_do() -> None:
    def refuse() -> NoReturn:
        raise CommandError("first")

    def fail_in_the_system() -> NoReturn:
        raise OSError(errno.EIO, "Input/output error")

    checks = [
        Check("one", refuse),
        Check("two", lambda: ok("fine")),
        Check("three", fail_in_the_system),
    ]
    found = list(run_checks(checks, 30))
    assert [(one.name, one.level.value) for one in found] == [
        ("one", "fail"),
        ("two", "ok"),
        ("three", "fail"),
    ]
    assert failures_text(found) == "one: first; three: Input/output error"


def test_check_that_hangs_is_given_up_and_stops_no_other() -> None:
    def hang() -> Finding:
        threading.Event().wait()
        return ok("at last")

    checks = [Check("hangs", hang)] * 6 + [Check("works", lambda: ok(""))]
    deadline_s = 2.0 * FACTOR
    began_s = time.monotonic()
    found = list(run_checks(checks, deadline_s))
    assert time.monotonic() - began_s < 5 * deadline_s  # and not 6 times
    assert [one.level for one in found] == [Level.FAIL] * 6 + [Level.OK]
    assert "has not answered" in found[0].detail


def test_checks_begin_no_thread() -> None:
    """A process with threads can't safely be copied, and each check is done by a copy."""
    before = set(threading.enumerate())
    checks = [Check(str(number), lambda: ok(str(threading.active_count()))) for number in range(3)]
    for found in run_checks(checks, 30):
        assert found.detail == "1"
        assert set(threading.enumerate()) <= before


def test_check_that_is_given_up_takes_along_what_it_began(tmp_path: Path) -> None:
    """A check reads the storage in a process of its own, which then has nobody to tell."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    def hang() -> Finding:
        with_storage(partial(apart_jobs.hold, str(pipe)))
        return ok("at last")

    (found,) = run_checks([Check("storage", hang)], 3.0 * FACTOR)
    assert found.level is Level.FAIL
    assert os.read(reading, 100) == b"here"
    assert select.select([reading], [], [], 10 * FACTOR)[0], "it still holds the pipe"
    assert os.read(reading, 100) == b""
    os.close(reading)


def test_bug_in_a_check_is_no_finding() -> None:
    def crash() -> NoReturn:
        raise ZeroDivisionError

    with pytest.raises(RuntimeError, match=r"ZeroDivisionError: "):
        list(run_checks([Check("one", crash)], 30))


def test_finding_is_told_with_every_way_to_mend_it() -> None:
    (found,) = run_checks([Check("disk", lambda: warn("slow", "Debian: a", "EL: b"))], 30)
    assert finding_lines(found) == [
        "[warn] disk: slow",
        "       mend: Debian: a",
        "       mend: EL: b",
    ]
    assert findings_data([found]) == {
        "ok": True,
        "checks": [
            {"name": "disk", "result": "warn", "detail": "slow", "mend": ["Debian: a", "EL: b"]}
        ],
    }
    assert findings_data([fail("gone")])["ok"] is False


def test_host_on_which_all_is_well_has_no_complaint(scene: Scene) -> None:
    found = list(findings(creating(scene)))
    assert [one.text for one in found if one.level is not Level.OK] == []
    assert [one.name for one in found] == [
        *("storage", "storage access", "storage speed", "service user", "sanlock"),
        *("other lockspace", "other agents", "watchdog", "watchdog time"),
        *(
            "sleep",
            "libvirt",
            "lock manager",
            "migration",
            "engine",
            "domain XML",
            "memory",
            "health page",
            "bridge",
        ),
        "network",
    ]


def test_storage_that_can_not_be_read_leaves_the_other_checks(scene: Scene) -> None:
    scene.volume.fail(errno.EIO)
    found = list(findings(creating(scene)))
    assert found[0].level is Level.FAIL
    assert [one.name for one in found[1:] if one.level is Level.FAIL] == []
    assert {"sanlock", "libvirt", "bridge"} <= {one.name for one in found}


def test_nothing_is_changed_by_looking(scene: Scene) -> None:
    before = bytes(scene.volume.volumes[PATH])
    list(findings(creating(scene)))
    assert bytes(scene.volume.volumes[PATH]) == before
    assert not scene.settings_file.exists()


# --- storage ----------------------------------------------------------------------------------


def test_volume_that_is_missing_or_small_says_how_to_make_it(scene: Scene) -> None:
    scene.volume.volumes.clear()
    expect(
        check_volumes(scene.volume, PARTS, on("nfs4")),
        Level.FAIL,
        "does not exist",
        "truncate -s 12M",
        "chown",
    )
    scene.volume.add(PATH, layout.MIB)
    expect(
        check_volumes(scene.volume, PARTS, on("nfs4")),
        Level.FAIL,
        "1048576 bytes, 12582912 (12 MiB) are needed",
        "12M",
    )


def test_storage_that_is_not_connected_yet_is_told_from_one_that_is_missing(scene: Scene) -> None:
    scene.volume.volumes.clear()
    connection = {"type": "nfs", "server": "f", "export": "/x", "mount_point": "/shared"}
    data = {"storage": {"path": PATH, "connection": connection}}
    expect(subject(scene, data).look.volumes, Level.FAIL, "--check connects nothing")
    mend = subject(scene, JOINING).look.volumes.mend
    assert "--check connects nothing" not in " ".join(mend)


def test_cluster_without_room_for_the_writers_lock_can_be_joined(scene: Scene) -> None:
    scene.volume.add(PATH, required_size(PARTS) - layout.MIB)
    found = check_volumes(scene.volume, PARTS, on("nfs4"), creates=False)
    expect(found, Level.OK, "room for what lies on it (12 MiB for a change of its settings)")
    short = "ends before its parts"
    expect(check_volumes(scene.volume, PARTS, on("nfs4"), creates=True), Level.FAIL, short)
    expect(subject(scene, JOINING).look.volumes, Level.OK)
    expect(creating(scene).look.volumes, Level.FAIL, short)


@pytest.mark.parametrize("creates", [True, False])
@pytest.mark.parametrize(("sector_size", "size_mib"), [(512, 12), (4096, 40)])
def test_one_size_is_told_whoever_asks(
    scene: Scene, sector_size: int, size_mib: int, creates: bool
) -> None:
    """For founding a cluster and for joining one, in the check, its advice and the documents."""
    parts = layout.storage_parts(PATH, sector_size)
    needed = size_mib * layout.MIB
    assert required_size(parts) == needed
    scene.volume.add(PATH, layout.MIB)
    told = (f"{PATH} has 1048576 bytes, {needed} ({size_mib} MiB)", f"truncate -s {size_mib}M")
    expect(check_volumes(scene.volume, parts, on("nfs4"), creates), Level.FAIL, *told)
    scene.volume.volumes.clear()
    expect(check_volumes(scene.volume, parts, on("nfs4"), creates), Level.FAIL, told[1])
    scene.volume.add(PATH, needed)
    room = f"has the {size_mib} MiB that are needed"
    expect(check_volumes(scene.volume, parts, on("nfs4"), creates), Level.OK, room)
    for name in ("deploy.md", "shared-settings.md"):
        assert f"{size_mib} MiB" in (DOCS / name).read_text(encoding="utf-8")


def test_the_page_tells_of_each_check_in_their_order() -> None:
    """`plan` is what `--check` adds at the end."""
    source = inspect.getsource(all_checks)
    made = re.findall(r'(?:Check\(|name=)"([^"]+)"', source)
    section = (DOCS / "deploy.md").read_text(encoding="utf-8").partition("## What the checks mean")
    rows = re.findall(r"^\| ([a-zA-Z ]+) \|", section[2].partition("\n## ")[0], re.MULTILINE)
    assert rows == ["check", *made, "plan"]


def test_sanlock_that_may_not_write_is_let_in(scene: Scene) -> None:
    scene.probes.refused_to_sanlock = "Permission denied"
    found = check_access(scene.world(), PARTS)
    expect(found, Level.FAIL, "Permission denied", f"chown sanlock:sanlock {PATH}")
    device = check_access(scene.world(), layout.storage_parts("/dev/disk/by-id/x"))
    expect(device, Level.FAIL, "udev", 'SYMLINK=="disk/by-id/x"')


@pytest.mark.parametrize("kind", ["xfs", "ext4", "btrfs", "zfs", "vfat", "overlay", "aufs"])
def test_storage_of_this_host_alone_is_told(scene: Scene, kind: str) -> None:
    scene.probes.file_system_type = kind
    expect(check_access(scene.world(), PARTS), Level.WARN, f"lies on {kind}", "no other host")


@pytest.mark.parametrize("kind", ["nfs4", "fuse.glusterfs", "ceph", "gfs2", "fuse", ""])
def test_storage_that_others_may_see_is_no_matter(scene: Scene, kind: str) -> None:
    scene.probes.file_system_type = kind
    expect(check_access(scene.world(), PARTS), Level.OK)
    expect(check_volumes(scene.volume, PARTS, on(kind)), Level.OK)


def test_each_part_s_place_is_looked_at(scene: Scene) -> None:
    scene.probes.file_system_types = {"/local/lease": "xfs"}
    parts = replace(PARTS, lease=VolumeAddress("/local/lease", 0))
    expect(check_access(scene.world(), parts), Level.WARN, "/local/lease lies on xfs")


IN_MEMORY = ["tmpfs", "devtmpfs", "ramfs", "hugetlbfs", RAM_DISK]


@pytest.mark.parametrize("kind", IN_MEMORY)
def test_storage_in_memory_is_none(scene: Scene, kind: str) -> None:
    """Though it takes direct I/O and is large enough, or too small, or takes none."""
    for size in (required_size(PARTS), layout.MIB):
        scene.volume.add(PATH, size)
        found = check_volumes(scene.volume, PARTS, on(kind))
        expect(found, Level.FAIL, f"{PATH} lies in this host's memory ({kind})", "NFS")
        assert "truncate" not in found.text
    scene.volume.fail(errno.EINVAL)
    expect(check_volumes(scene.volume, PARTS, on(kind)), Level.FAIL, "this host's memory")


@pytest.mark.parametrize(
    "path",
    ["/dev/mapper/leases", "/dev/disk/by-id/x", "/dev//vg/lv", "/srv/../dev/sdb", "/dev/./sdb"],
)
@pytest.mark.parametrize("kind", [*IN_MEMORY, "ext4", "nfs4", ""])
def test_missing_device_is_never_made(scene: Scene, path: str, kind: str) -> None:
    parts = layout.storage_parts(path)
    found = check_volumes(scene.volume, parts, on(kind))
    expect(found, Level.FAIL, f"{path} does not exist: this host has no such device", "rescan")
    assert "truncate" not in found.text


def test_link_to_a_missing_device_is_one(scene: Scene, tmp_path: Path) -> None:
    link = tmp_path / "leases"
    link.symlink_to("/dev/no-such-device")
    found = check_volumes(scene.volume, layout.storage_parts(str(link)), on("ext4"))
    expect(found, Level.FAIL, "no such device", "rescan")
    assert "truncate" not in found.text


def test_file_that_took_a_device_s_place_is_told(scene: Scene) -> None:
    path = "/dev/mapper/leases"
    scene.volume.add(path, required_size(PARTS))
    found = check_volumes(scene.volume, layout.storage_parts(path), on("devtmpfs"))
    expect(found, Level.FAIL, "devtmpfs", f"a file where a device belongs: rm {path}", "rescan")


@pytest.mark.parametrize("kind", IN_MEMORY)
def test_missing_file_is_not_made_in_memory(scene: Scene, kind: str) -> None:
    for path in ("/run/leases", "/dev/shm/leases"):
        found = check_volumes(scene.volume, layout.storage_parts(path), on(kind))
        expect(found, Level.FAIL, f"{path} does not exist", kind, "mount the shared storage")
        assert "truncate" not in found.text


@pytest.mark.parametrize("kind", ["ext4", "overlay"])
def test_missing_file_on_a_disk_of_this_host_may_lack_its_mount(scene: Scene, kind: str) -> None:
    scene.volume.volumes.clear()
    found = check_volumes(scene.volume, PARTS, on(kind))
    expect(found, Level.FAIL, f"its folder lies on {kind}", "truncate -s 12M")
    assert found.mend[0].startswith("mount the shared storage there first")


@pytest.mark.parametrize(
    ("times", "io_timeout_s", "level"),
    [
        (IoTimes(0.09, 0.09), 1, Level.OK),
        (IoTimes(0.11, 0.01), 1, Level.WARN),
        (IoTimes(0.01, 0.11), 1, Level.WARN),
        (IoTimes(0.11, None), 2, Level.OK),
        (IoTimes(1.0, 0.0), 1, Level.FAIL),
        (IoTimes(0.0, 10.0), 10, Level.FAIL),
    ],
)
def test_speed_is_held_against_what_sanlock_bears(
    times: IoTimes, io_timeout_s: int, level: Level
) -> None:
    expect(judge(times, io_timeout_s), level, f"io_timeout at {io_timeout_s} s")


@pytest.mark.parametrize("sector_size", [512, 4096])
def test_writing_is_tried_where_no_part_lies(sector_size: int) -> None:
    parts = layout.storage_parts(PATH, sector_size)
    spare = spare_block(parts)
    assert spare is not None
    assert spare.offset % SLOT_SIZE == 0
    for extent in extents(parts):
        assert spare.offset + SLOT_SIZE <= extent.address.offset or spare.offset >= extent.end
    assert spare.offset < max(extent.end for extent in extents(parts))


def test_writing_is_not_tried_in_a_layout_of_ones_own() -> None:
    assert spare_block(replace(PARTS, shared_config=VolumeAddress(PATH, 64 << 20))) is None


def test_measuring_writes_zeros_over_zeros_only() -> None:
    volume = cluster_store()
    before, spare = bytes(volume.volumes[PATH]), spare_block(PARTS)
    assert spare is not None
    ticks = iter(range(1000))
    times = measure(volume, PARTS, spare, lambda: float(next(ticks)))
    assert times == IoTimes(1.0, 1.0)
    assert bytes(volume.volumes[PATH]) == before
    assert {place.offset for place, _ in volume.writes} == {spare.offset}


def test_measuring_leaves_a_block_alone_that_is_not_blank() -> None:
    volume, spare = store(), spare_block(PARTS)
    assert spare is not None
    put(volume, spare.offset + 100, b"mine")
    assert measure(volume, PARTS, spare, lambda: 0.0).write_s is None
    assert volume.writes == []


def test_nothing_is_written_to_what_is_not_ours(scene: Scene) -> None:
    put(scene.volume, 0, b"XFSB")
    found = {one.name: one for one in findings(creating(scene))}
    assert "write not tried" in found["storage speed"].detail
    assert scene.volume.writes == []


def test_slow_storage_is_not_measured_for_ever() -> None:
    volume = SimStore()
    volume.add(PATH, required_size(PARTS))
    ticks = iter(range(0, 100_000, 10))
    measure(volume, PARTS, None, lambda: float(next(ticks)))
    assert len(volume.reads) == 1


# --- sanlock ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["5b7e5f3c-4a9e-4c6b-8f7e-0123456789ab.vm", "localhost", "localhost.localdomain"]
)
def test_sanlock_without_a_name_of_its_own_is_refused(scene: Scene, name: str) -> None:
    scene.lockspace.host_name = name
    expect(check_sanlock(subject(scene, JOINING)), Level.FAIL, name, "our_host_name")


def test_sanlock_with_another_hosts_name_is_refused(tmp_path: Path) -> None:
    scene = Scene(tmp_path, cluster_store())
    scene.lockspace.host_name = "h1"  # it owns id 1, whose record says h1; this host is h9
    expect(check_sanlock(subject(scene, JOINING)), Level.FAIL, "h1 (id 1)", "our_host_name")
    named = {**JOINING, "host": {"host_name": "h1"}}
    expect(check_sanlock(subject(scene, named)), Level.OK)


@pytest.mark.parametrize(
    ("own_id", "stopped", "level"),
    [(1, True, Level.OK), (1, False, Level.FAIL), (2, True, Level.FAIL)],
)
def test_sanlock_with_the_name_of_a_host_that_was_renamed(
    tmp_path: Path, own_id: int, stopped: bool, level: Level
) -> None:
    """The record of its id carries the former name until its broker has replaced it."""
    scene = Scene(tmp_path, cluster_store())
    scene.lockspace.host_name = "h1"
    given = subject(scene, JOINING)
    found = given.look.survey
    assert found is not None
    record = found.slots[1]
    assert isinstance(record, HostRecord)
    renamed = replace(found, slots={1: replace(record, hostname="former", stopped=stopped)})
    deployed = HostSettings(own_id, "newname", PARTS)
    given = replace(given, look=replace(given.look, survey=renamed), deployed=deployed)
    expect(check_sanlock(given), level)


def test_sanlock_that_is_gone_is_refused_with_what_to_do(scene: Scene) -> None:
    def gone() -> NoReturn:
        raise LockspaceGoneError("ask", "gone", errno.ECONNREFUSED)

    scene.lockspace.daemon_host_name = gone  # type: ignore[method-assign]
    expect(check_sanlock(subject(scene, JOINING)), Level.FAIL, "systemctl enable --now sanlock")


def test_a_host_in_another_lockspace_of_the_name_is_refused(scene: Scene) -> None:
    expect(check_other_lockspace(subject(scene, JOINING)), Level.OK)
    other = "hosted-engine:1:/rhev/lockspace:0"
    scene.lockspace.other_lockspace = other
    found = check_other_lockspace(subject(scene, JOINING))
    expect(found, Level.FAIL, other, f"sanlock client rem_lockspace -s {other}")
    refused = [one.name for one in findings(creating(scene)) if one.level is Level.FAIL]
    assert "other lockspace" in refused


def test_a_host_with_ovirts_daemons_is_refused(scene: Scene) -> None:
    expect(check_ovirt_services(scene.world()), Level.OK)
    scene.units.ovirts = ("ovirt-ha-agent.service",)
    command = "systemctl disable --now ovirt-ha-agent.service"
    expect(check_ovirt_services(scene.world()), Level.FAIL, "service of oVirt runs here", command)
    refused = [one.name for one in findings(creating(scene)) if one.level is Level.FAIL]
    assert "other agents" in refused


def test_host_without_a_watchdog_is_told_what_is_lost(scene: Scene) -> None:
    scene.probes.sanlock = {"use_watchdog": "0"}
    found = check_watchdog(scene.world())
    expect(found, Level.WARN, "nothing resets this host", "softdog", "-w 0", "leave enabled=0")


def test_watchdog_that_sanlock_waits_for_in_vain_is_refused(scene: Scene) -> None:
    scene.probes.wdmd_runs = False
    found = check_watchdog(scene.world())
    expect(found, Level.FAIL, "systemctl enable --now wdmd", "leave enabled=0")


def test_what_sanlock_runs_with_is_read_from_its_status() -> None:
    status = (
        "daemon h1\n    our_host_name=h1\n    use_watchdog=0\np -1 helper\n    use_watchdog=9\n"
    )
    assert parse_daemon_settings(status) == {"our_host_name": "h1", "use_watchdog": "0"}


def test_user_of_a_process_is_its_effective_one() -> None:
    user = parse_user("Name:\tsanlock\nUid:\t0\t179\t0\t0\nGid:\t0\t178\t0\t0\nGroups:\t6 178 \n")
    assert (user.uid, user.gid, user.groups) == (179, 178, (6, 178))
    with pytest.raises(ValueError, match="no status"):
        parse_user("Name:\tx\n")


# --- libvirt ----------------------------------------------------------------------------------


def test_libvirt_that_is_gone_is_refused(scene: Scene) -> None:
    scene.libvirt.disappear()
    found = check_libvirt(scene.world(), "qemu:///system")
    expect(found, Level.FAIL, "Debian: systemctl enable --now libvirtd", "EL: ", "virtqemud")


@pytest.mark.parametrize(
    ("unit", "start", "other"),
    [
        ("libvirtd", "systemctl enable --now libvirtd", "virtqemud"),
        ("virtqemud", "systemctl enable --now virtqemud.socket", "libvirtd"),
    ],
)
def test_the_service_that_is_there_is_named(
    scene: Scene, unit: str, start: str, other: str
) -> None:
    scene.probes.libvirt_service = unit
    scene.libvirt.disappear()
    found = [check_libvirt(scene.world(), "qemu:///system")]
    assert found[0].mend == (start,)
    scene.libvirt.reappear()
    scene.libvirt.set_domain(Domain(DomainState.UNKNOWN))
    found.append(check_libvirt(scene.world(), "qemu:///system"))
    scene.has_lock_manager = False
    found.append(check_lock_manager(scene.world()))
    for one in found[1:]:
        assert any(f"systemctl restart {unit}" in line for line in one.mend)
    assert not [line for one in found for line in one.mend if other in line]


def test_libvirt_that_asks_for_a_password_is_not_told_to_start(scene: Scene) -> None:
    def ask(what: str) -> None:
        raise HypervisorGoneError(what, f"no connection to qemu:///system: {NAME_A_FILE}")

    scene.libvirt.before_call = ask
    found = check_libvirt(scene.world(), "qemu:///system")
    expect(found, Level.FAIL, "qemu:///system does not answer: ", "authfile=/etc/hosted-engine-ha/")
    assert found.mend == ()


def test_a_password_file_that_only_root_can_read_is_refused(scene: Scene) -> None:
    path = "/etc/hosted-engine-ha/libvirt-auth.conf"
    expect(check_libvirt_password(scene.world(), path), Level.OK, path)
    scene.probes.refused_to_service = "Permission denied"
    found = check_libvirt_password(scene.world(), path)
    told = (
        f"user {service_user.USER} of ha-broker and ha-agent can't read {path}: Permission denied"
    )
    expect(found, Level.FAIL, told, f"chgrp {service_user.USER} {path} && chmod 640 {path}")


@pytest.mark.parametrize("asked", [False, True])
def test_a_libvirt_that_asks_is_this_hosts_own_all_the_same(scene: Scene, asked: bool) -> None:
    path = "/etc/hosted-engine-ha/libvirt-auth.conf"
    uri = f"qemu:///system?authfile={path}" if asked else "qemu:///system"
    subject = creating(scene, host={"libvirt_uri": uri})
    names = [check.name for check in _checks(subject)]
    assert ("libvirt password" in names) is asked
    assert {"libvirt", "lock manager", "migration"} <= set(names)


def test_libvirt_that_does_not_know_is_refused(scene: Scene) -> None:
    scene.libvirt.set_domain(Domain(DomainState.UNKNOWN))
    expect(check_libvirt(scene.world(), "qemu:///system"), Level.FAIL, "does not know its domains")


def test_libvirt_that_is_frozen_is_given_up(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    forever = threading.Event()

    monkeypatch.setattr("hosted_engine.host.deadline.LIBVIRT_DEADLINE_S", 0.05)
    scene.libvirt.before_call = lambda _what: forever.wait() and None
    with pytest.raises(CommandError, match=r"libvirt .* has not answered"):
        check_libvirt(scene.world(), "qemu:///system")
    forever.set()


def test_libvirt_without_its_lock_manager_is_refused(scene: Scene) -> None:
    scene.has_lock_manager = False
    found = check_lock_manager(scene.world())
    expect(found, Level.FAIL, 'lock_manager = "sanlock"', "libvirt-sanlock", "libvirt-lock-sanlock")


@pytest.mark.parametrize(
    ("conf", "level", "expected"),
    [
        ({"require_lease_for_disks": "0"}, Level.OK, ""),
        ({"require_lease_for_disks": "0", "auto_disk_leases": "0"}, Level.OK, ""),
        ({"require_lease_for_disks": "1"}, Level.WARN, "require_lease_for_disks = 0"),
        ({}, Level.WARN, "require_lease_for_disks = 0"),
        (None, Level.WARN, "require_lease_for_disks = 0"),
        ({"auto_disk_leases": "1"}, Level.WARN, "auto_disk_leases = 0"),
    ],
)
def test_lock_manager_that_hinders_other_vms_is_told(
    scene: Scene, conf: Optional[dict[str, str]], level: Level, expected: str
) -> None:
    scene.probes.qemu_sanlock_conf = conf
    expect(check_lock_manager(scene.world()), level, expected)


def test_libvirts_own_files_are_read() -> None:
    text = '# auto_disk_leases = 1\nauto_disk_leases=0 # no\nuser = "a b"\n\n'
    assert parse_libvirt_conf(text) == {"auto_disk_leases": "0", "user": "a b"}


# --- the engine -------------------------------------------------------------------------------


def test_engine_without_its_lease_is_refused(scene: Scene) -> None:
    file = scene.settings_file.parent / "engine.xml"
    file.write_text("<domain><name>x</name><devices/></domain>")
    with pytest.raises(CommandError, match="has no lease 'engine'"):
        check_engine(creating(scene))


def test_cluster_that_lies_at_another_path_on_its_hosts_is_refused(tmp_path: Path) -> None:
    scene = Scene(tmp_path, cluster_store())  # its domain is none that could run here
    found = check_engine(subject(scene, JOINING))
    expect(found, Level.FAIL, "could not run on this host")
    assert not any("to the same path" in line for line in found.mend)  # it names no lease at all


def test_a_lease_at_another_path_than_here_is_told_how_to_be_the_same(tmp_path: Path) -> None:
    elsewhere = lease_element(layout.storage_parts("/srv/other"))
    xml = f"<domain><name>x</name><devices>{elsewhere}</devices></domain>"
    scene = Scene(tmp_path, cluster_store(replace(CONFIG, domain_xml=xml)))
    found = check_engine(subject(scene, JOINING))
    expect(found, Level.FAIL, "/srv/other", "to the same path on all hosts")


@pytest.mark.parametrize(
    ("free_mib", "level"), [(4096, Level.OK), (4095, Level.FAIL)], ids=["enough", "short"]
)
def test_first_host_needs_the_engines_memory(scene: Scene, free_mib: int, level: Level) -> None:
    scene.probes.free_mib = free_mib
    expect(check_memory(creating(scene)), level, f"{free_mib} MiB available", "needs 4096 MiB")


def test_memory_that_the_settings_ask_for_goes_before_the_domains(scene: Scene) -> None:
    found = check_memory(creating(scene, monitors={"memory_needed_mib": 9000}))
    expect(found, Level.FAIL, "8192 MiB available, the engine needs 9000 MiB")


def test_huge_pages_are_counted_where_the_engine_takes_them(scene: Scene) -> None:
    backing = "<memoryBacking><hugepages/></memoryBacking><devices>"
    file = scene.settings_file.parent / "engine.xml"
    file.write_text(DOMAIN.replace("<devices>", backing))
    expect(check_memory(creating(scene)), Level.FAIL, "1024 MiB in huge pages")


def test_deployed_hosts_memory_may_be_the_engines(scene: Scene) -> None:
    scene.probes.free_mib = 1
    home = HostSettings(9, "h9", PARTS)
    expect(check_memory(subject(scene, JOINING, home)), Level.OK, "not looked at")


def test_page_that_can_not_be_found_is_told(scene: Scene) -> None:
    expect(check_page(creating(scene)), Level.OK, "http://engine/health")
    scene.probes.names_resolve = False
    expect(check_page(creating(scene)), Level.WARN, "resolve engine", "/etc/hosts")


@pytest.mark.parametrize(
    ("reading", "level", "told"),
    [
        (
            HealthReading(True, "", seen="192.0.2.7: HTTP status 200, page 'DB Up!'"),
            Level.OK,
            ["192.0.2.7: HTTP status 200, page 'DB Up!'"],
        ),
        (
            HealthReading(False, "192.0.2.7: no answer within 5 s"),
            Level.OK,
            ["no answer within 5 s", "as long as no engine runs"],
        ),
        (
            HealthReading(False, "HTTP status 401, it asks for a login", known=False),
            Level.WARN,
            ["asks for a login", "the engine's health is not known"],
        ),
        (
            HealthReading(
                False, "HTTP status 404", answered=True, seen="HTTP status 404, page 'x'"
            ),
            Level.WARN,
            ["HTTP status 404, page 'x'", "engine.health_url and engine.health_text"],
        ),
    ],
)
def test_page_is_asked_once_and_what_it_said_is_shown(
    scene: Scene, reading: HealthReading, level: Level, told: list[str]
) -> None:
    scene.probes.page.reading = reading
    expect(check_page(creating(scene)), level, "http://engine/health", *told)
    assert scene.probes.page.calls == ["http://engine/health"]


def test_silent_page_of_a_cluster_that_there_is_is_told(tmp_path: Path) -> None:
    scene = Scene(tmp_path, cluster_store())
    found = check_page(subject(scene, JOINING))
    expect(found, Level.WARN, "Connection refused", "hosted-engine --vm-status")


def test_engine_without_a_page_is_told(scene: Scene) -> None:
    found = check_page(creating(scene, engine={"domain_xml_file": "/x"}))
    expect(found, Level.WARN, "engine.fqdn")


# --- the network ------------------------------------------------------------------------------


def test_bridge_that_is_missing_is_refused_with_those_that_there_are(scene: Scene) -> None:
    expect(check_bridge(scene.world(), "br7"), Level.FAIL, "no br7", "ovirtmgmt", "host.bridge")


def test_bridge_that_is_down_is_told(scene: Scene) -> None:
    scene.probes.bridge_states = {"ovirtmgmt": False}
    expect(check_bridge(scene.world(), "ovirtmgmt"), Level.WARN, "ovirtmgmt is down")
    expect(check_bridge(scene.world(), ""), Level.OK)


def test_gateway_that_does_not_answer_is_told_with_what_it_costs(scene: Scene) -> None:
    scene.probes.probe.answers = False
    expect(check_network(creating(scene)), Level.WARN, "ping to 198.51.100.1", "1600 points")
    assert scene.probes.probe.calls == ["ping 198.51.100.1"] * 3


@pytest.mark.parametrize(
    ("network", "asked"),
    [
        ({"test": "tcp", "target": "[2001:db8::1]:22"}, ["tcp 2001:db8::1 22"]),
        ({"test": "dns", "target": "198.51.100.53"}, ["dns 198.51.100.53"]),
        ({"test": "dns"}, ["dns "]),
        ({"target": "198.51.100.7"}, ["ping 198.51.100.7"]),
        ({"test": "none"}, []),
    ],
)
def test_network_is_tried_as_the_settings_say(
    scene: Scene, network: dict[str, str], asked: list[str]
) -> None:
    expect(check_network(creating(scene, network=network)), Level.OK)
    assert scene.probes.probe.calls == asked


def test_host_without_a_gateway_is_told(scene: Scene) -> None:
    expect(check_network(creating(scene, host={})), Level.WARN, "no gateway", "host.gateway")


HOME = HostSettings(
    9, "h9", PARTS, bridge="br0", gateway="192.0.2.9", libvirt_uri="test:///default"
)


@pytest.mark.parametrize("deployed", [None, HOME], ids=["new", "deployed"])
@pytest.mark.parametrize("data", [CREATING, JOINING], ids=["creating", "joining"])
def test_what_the_answers_say_of_this_host_is_what_is_looked_at(
    scene: Scene, data: Mapping[str, Any], deployed: Optional[HostSettings]
) -> None:
    host = {"bridge": "br7", "gateway": "203.0.113.7", "libvirt_uri": "test:///other"}
    looked = subject(scene, {**data, "host": host}, deployed)
    assert (looked.bridge, looked.gateway, looked.libvirt_uri) == tuple(host.values())
    nothing = subject(scene, {**data, "host": {"bridge": "", "gateway": ""}}, deployed)
    assert (nothing.bridge, nothing.gateway) == ("", "")


def test_what_the_answers_leave_out_is_as_the_deployed_host_has_it(scene: Scene) -> None:
    kept = subject(scene, JOINING, HOME)
    assert (kept.bridge, kept.gateway, kept.libvirt_uri) == ("br0", "192.0.2.9", "test:///default")


def test_joining_host_is_measured_by_the_clusters_settings(tmp_path: Path) -> None:
    scene = Scene(tmp_path, cluster_store())
    found = {one.name: one for one in findings(subject(scene, JOINING))}
    assert found["bridge"].detail == "ovirtmgmt is up"
    assert found["network"].detail == "ping to 198.51.100.1 is answered"
    assert "io_timeout at 2 s" in found["storage speed"].detail


# --- what is read -----------------------------------------------------------------------------


def test_name_that_has_no_address_is_an_error_of_the_world() -> None:
    HostProbes().resolve("localhost")
    with pytest.raises(WorldError, match="resolve xxx"):
        HostProbes().resolve("x" * 64)


def test_bridge_that_is_not_there_is_none_and_every_bridge_is_found() -> None:
    probes = HostProbes()
    assert probes.bridge("no-such-bridge") is None
    assert all(probes.bridge(name) is not None for name in [*probes.bridges(), "lo"])


def test_file_system_is_that_of_what_exists_or_would(tmp_path: Path) -> None:
    probes = HostProbes()
    assert probes.file_system("/dev/shm/no-such-file") == "tmpfs"
    assert probes.file_system("/proc/no/such/file") == "proc"
    link = tmp_path / "link"
    link.symlink_to("/proc/nothing")
    assert probes.file_system(str(link)) == "proc"
    assert probes.file_system(str(tmp_path)) == probes.file_system(str(tmp_path / "not/yet"))


def test_block_device_may_be_memory_or_a_file_of_this_host(tmp_path: Path) -> None:
    probes = HostProbes()
    for name in ("ram0", "ram12", "zram0"):
        assert probes.device_medium(tmp_path / name) == RAM_DISK
    for name in ("sda", "dm-3", "nvme0n1", "loop7", "rbd0", "ramp", "xram0"):
        assert probes.device_medium(tmp_path / name) == ""
    backing = tmp_path / "loop8/loop/backing_file"
    backing.parent.mkdir(parents=True)
    backing.write_text("/dev/shm/image\n")
    assert probes.device_medium(tmp_path / "loop8") == "tmpfs"


def test_file_system_is_that_of_the_deepest_mount_and_the_latest(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"
        "61 22 0:44 / /srv/san rw shared:2 - nfs4 filer:/x rw,vers=4.2\n"
        "62 22 0:45 / /srv/a\\040b rw - ceph mon:/ rw\n"
        "63 22 0:46 / /var rw - xfs /dev/sdb rw\n"
        "64 22 0:47 / /var rw - btrfs /dev/sdc rw\n"
    )
    kinds = {
        "/srv/san/leases": "nfs4", "/srv/san": "nfs4", "/srv/sandwich": "ext4", "/": "ext4",
        "/srv/a b/x": "ceph", "/var/x": "btrfs",
    }  # fmt: skip
    for path, kind in kinds.items():
        mount = mount_above(path, table)
        assert mount is not None and mount.kind == kind, path
    table.write_text("")
    assert mount_above("/x", table) is None


def test_sectors_that_sanlock_wrote_are_found_again(tmp_path: Path) -> None:
    parts = layout.storage_parts(PATH, 4096)
    volume = SimStore()
    volume.add(PATH, required_size(parts))
    record = bytearray(leader(timestamp=5))
    record[12:16] = (4096).to_bytes(4, "little")
    put(volume, 0, bytes(record))
    scene = Scene(tmp_path, volume)
    assert look_at_storage(scene.world(), answers(JOINING)).parts == parts


# --- sleep --------------------------------------------------------------------------------------


def test_targets_that_put_the_host_to_sleep_are_named_with_the_command(scene: Scene) -> None:
    expect(check_sleep(scene.world()), Level.OK)
    scene.probes.may_sleep_by = ["suspend.target", "hybrid-sleep.target"]
    found = check_sleep(scene.world())
    expect(found, Level.WARN, "suspend.target, hybrid-sleep.target")
    assert found.mend == ("systemctl mask suspend.target hybrid-sleep.target",)


@pytest.mark.parametrize(
    ("state", "names"), [("masked", 0), ("masked-runtime", 0), ("static", 4), ("", 0)]
)
def test_a_target_counts_unless_it_is_masked_or_unknown(
    monkeypatch: pytest.MonkeyPatch, state: str, names: int
) -> None:
    asked: list[tuple[str, ...]] = []

    def run(command: tuple[str, ...], _deadline_s: float) -> Done:
        asked.append(command)
        return Done(1, f"{state}\n", "")

    monkeypatch.setattr("hosted_engine.host.probes.run_tool", run)
    assert len(HostProbes().sleep_targets()) == names
    assert [command[:2] for command in asked] == [("systemctl", "is-enabled")] * 4


def test_without_systemctl_nothing_is_said_of_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_asked: object) -> NoReturn:
        raise CommandError("there is no command systemctl; install it")

    monkeypatch.setattr("hosted_engine.host.probes.run_tool", missing)
    assert HostProbes().sleep_targets() == []


# --- who may ask the broker -----------------------------------------------------------------


def test_group_of_the_socket_is_looked_for_where_one_is_named(scene: Scene) -> None:
    some = grp.getgrall()[0].gr_name
    expect(check_socket_group(some), Level.OK, some, "change nothing")
    missing = check_socket_group("no-such-group")
    expect(missing, Level.WARN, "socket_group: 'no-such-group'", "getent group no-such-group")
    named = {"storage": {"path": PATH}, "host": {"socket_group": "no-such-group"}}
    found = [check.name for check in _checks(subject(scene, named))]
    assert "socket group" in found
    plain = [check.name for check in _checks(subject(scene, {"storage": {"path": PATH}}))]
    assert "socket group" not in plain


USER, GROUP = pwd.getpwuid(65534).pw_name, grp.getgrgid(pwd.getpwuid(65534).pw_gid).gr_name
OTHERS = next(one.gr_name for one in grp.getgrall() if one.gr_name != GROUP and not one.gr_mem)
NO_USER, NO_GROUP = "no-such-user", "no-such-group"


@pytest.mark.parametrize(
    ("name", "group", "told", "mend"),
    [
        (NO_USER, GROUP, ": this host has no such user", "getent passwd"),
        (USER, "", " can't connect to the broker: socket_group names no group",
         "host.socket_group"),
        (USER, NO_GROUP, f" can't connect to the broker: this host has no group '{NO_GROUP}'",
         "host.socket_group"),
        (USER, OTHERS, f" can't connect to the broker: not in group '{OTHERS}' (socket_group)",
         f"usermod -aG {OTHERS} {USER}"),
    ],
)  # fmt: skip
def test_what_keeps_a_user_from_commanding(name: str, group: str, told: str, mend: str) -> None:
    found = check_command_users([name], group)
    expect(found, Level.WARN, f"command_users: '{name}'{told}", mend)


def test_users_who_can_command() -> None:
    root = pwd.getpwuid(0).pw_name
    expect(check_command_users([USER, root], GROUP), Level.OK, USER, root, "may command the broker")
    expect(check_command_users([root], ""), Level.OK, root)  # root needs no group


def test_each_user_that_can_not_command_is_named() -> None:
    found = check_command_users([NO_USER, USER, "nor-this"], OTHERS)
    expect(found, Level.WARN, f"'{NO_USER}'", f"'{USER}' can't connect", "'nor-this'")
    assert len(found.mend) == 3


def test_users_who_may_command_are_looked_at_where_some_are_named(scene: Scene) -> None:
    def found(subject: Subject) -> list[Finding]:
        return [check.look() for check in _checks(subject) if check.name == "command users"]

    def given(**host: Any) -> Subject:
        return subject(scene, {"storage": {"path": PATH}, "host": host})

    (alone,) = found(given(command_users=[USER]))
    expect(alone, Level.WARN, "socket_group names no group")
    (both,) = found(given(command_users=[USER], socket_group=GROUP))
    expect(both, Level.OK, USER)
    deployed = HostSettings(1, "h1", PARTS, socket_group=GROUP, command_users=(USER,))
    (kept,) = found(replace(given(), deployed=deployed))
    expect(kept, Level.OK, USER)
    assert found(replace(given(command_users=[]), deployed=deployed)) == []
    assert found(given()) == []
