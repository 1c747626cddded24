# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The storage's own commands on a real volume, with a real sanlock daemon for each host.

Two hosts are deployed once for all tests; who takes something away puts it back.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from metadata.layout import MIB, slot_address
from metadata.records import GlobalRecord, SlotAbsent
from metadata.sanlock_disk import host_ids_in_use, lease_owner
from metadata.wire import decode_slot, encode_global
from tests.integration.test_command_deploy import (
    IO_TIMEOUT_S,
    TIME_FACTOR,
    Host,
    Lab,
    Result,
    _finish,
    wait_until,
)

LIBVIRT = {"libvirt_uri": "test:///default"}
GARBAGE = bytes(range(1, 256)) * (MIB // 255 + 1)


class Cluster(Lab):
    """Hosts h1 and h2, deployed and joined, without services; in global maintenance."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.first, self.second = self.host("h1"), self.host("h2")
        for host in self.hosts:
            host.environment["HE_STATE_DIR"] = str(host.folder / "state")
        usual = {"bridge": "ovirtmgmt", "gateway": "198.51.100.1", **LIBVIRT}
        created = self.first.deploy(self.creating(host=usual, timing={"tick_s": 1}))
        assert created.code == 0, created
        self.deploy_second()
        slot_0 = encode_global(GlobalRecord(maintenance=True))
        self.write(slot_address(self.parts, 0).offset, slot_0)

    def deploy_second(self) -> None:
        joined = self.second.deploy(self.joining(host=LIBVIRT))
        assert joined.code == 0, joined

    def join(self, host: Host) -> None:
        place = f"hosted-engine:{host.host_id}:{self.volume}:0"
        done = sanlock(host, "add_lockspace", "-s", place, "-o", str(IO_TIMEOUT_S))
        assert done.returncode == 0, done

    def wreck(self) -> None:
        """Again and again: a renewal under way writes its host's place whole again."""
        self.write(0, GARBAGE[:MIB])

    def owned(self) -> list[int]:
        return sorted(host_ids_in_use(self.read(0, MIB), 512))

    def owner(self) -> int:
        found = lease_owner(self.read(MIB, 4096))
        return found.owner_id if found is not None else 0

    def present(self) -> list[int]:
        slots = {
            host_id: self.read(slot_address(self.parts, host_id).offset, 4096)
            for host_id in range(1, 4)
        }
        return [
            host_id
            for host_id, data in slots.items()
            if not isinstance(decode_slot(host_id, data), SlotAbsent)
        ]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="he-", dir="/var/tmp") as folder:
        cluster = Cluster.__new__(Cluster)
        try:
            cluster.__init__(Path(folder))  # type: ignore[misc]
            yield cluster
        finally:
            cluster.close()


def sanlock(host: Host, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sanlock", "client", *words],
        env=host.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def is_member(host: Host) -> bool:
    return "s hosted-engine:" in sanlock(host, "status").stdout


def holds(host: Host) -> bool:
    return "r hosted-engine:engine:" in sanlock(host, "status").stdout


@contextmanager
def held(cluster: Cluster, host: Host) -> Iterator[None]:
    """sanlock lists a lease while it is still being taken; only the storage tells that it is."""
    with host.lease_held(cluster):
        wait_until(lambda: cluster.owner() == host.host_id, "the lease is not written")
        yield


def cleanup(host: Host, *words: str) -> Result:
    return _finish(host._start("hosted_engine.storage.cleanup", *words))


def refused(result: Result, expected: str) -> None:
    assert (result.code, result.err.count("\n")) == (1, 1), result
    assert expected in result.err


# --- what is refused --------------------------------------------------------------------------


def test_living_member_keeps_its_lockspace_and_its_record(cluster: Cluster) -> None:
    result = cluster.first.command("--reinitialize-lockspace")
    refused(result, "host h2 (id 2) lives and uses the lockspace")
    cluster.join(cluster.first)  # its broker would do that
    refused(
        cluster.first.command("--clean-metadata", "--host-id=2"),
        "its place in sanlock's lockspace was renewed just now",
    )
    assert (cluster.owned(), cluster.present()) == ([1, 2], [1, 2])


def test_holder_elsewhere_forbids_it_with_force_too(cluster: Cluster) -> None:
    with held(cluster, cluster.second):
        result = cluster.first.command("--reinitialize-lockspace", "--force")
        refused(result, "host h2 (id 2) lives and holds the engine's lease")
        assert (cluster.owner(), holds(cluster.second)) == (2, True)
    cluster.join(cluster.first)


def reset_by_client(host: Host, force: bool) -> subprocess.CompletedProcess[str]:
    """As oVirt's set-up has it done."""
    program = f"from hosted_engine.client import HAClient; HAClient().reset_lockspace({force})"
    return subprocess.run(
        [sys.executable, "-c", program],
        env=host.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("force", "why"),
    [
        (False, "host h2 (id 2) lives and uses the lockspace"),
        (True, "host h2 (id 2) lives and holds the engine's lease"),
    ],
)
def test_the_client_s_reset_is_refused_in_the_same_words(
    cluster: Cluster, force: bool, why: str
) -> None:
    with held(cluster, cluster.second) if force else nullcontext():
        done = reset_by_client(cluster.first, force)
        assert (cluster.owner() == 2) == force
    assert done.stderr.splitlines()[-1].startswith("hosted_engine.errors.CommandError: ")
    assert why in done.stderr
    cluster.join(cluster.first)


def test_holder_on_this_host_forbids_whatever_would_take_the_storage_away(
    cluster: Cluster,
) -> None:
    expected = "holds the engine's lease, so the engine runs here"
    with held(cluster, cluster.second):
        refused(cluster.second.command("--reinitialize-lockspace", "--force"), expected)
        refused(cleanup(cluster.second, "--force"), expected)
        assert is_member(cluster.second) and cluster.second.settings.exists()
    assert cluster.present() == [1, 2]


# --- leaving ----------------------------------------------------------------------------------


def test_a_host_leaves_twice_and_comes_back(cluster: Cluster) -> None:
    for _ in range(2):
        result = cleanup(cluster.second, "--yes")
        assert result.code == 0, result
        assert not cluster.second.settings.exists()
        assert (cluster.present(), cluster.owned()) == ([1], [1])
    cluster.deploy_second()
    assert cluster.second.host_id == 2
    assert (cluster.present(), cluster.owned()) == ([1, 2], [1, 2])


# --- a wrecked lockspace ----------------------------------------------------------------------


@pytest.mark.parametrize("by_client", [False, True])
def test_sanlock_drops_a_wrecked_lockspace_and_it_is_made_anew(
    cluster: Cluster, by_client: bool
) -> None:
    wait_until(lambda: cluster.wreck() or not any(map(is_member, cluster.hosts)), "still members")
    before = cluster.read(2 * MIB, 9 * MIB)
    if by_client:
        done = reset_by_client(cluster.first, False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    else:
        result = cluster.first.command("--reinitialize-lockspace")
        assert result.code == 0, result
    assert cluster.read(2 * MIB, 9 * MIB) == before
    for host in cluster.hosts:
        cluster.join(host)
    assert cluster.owned() == [1, 2]
    with held(cluster, cluster.second):
        pass


# --- without coming back -----------------------------------------------------------------------


def test_a_host_leaves_though_its_storage_is_gone(cluster: Cluster) -> None:
    cluster.second.leave(cluster.volume, 2)
    aside = Path(f"{cluster.volume}.aside")
    cluster.volume.rename(aside)
    try:
        result = cleanup(cluster.second, "--yes")
    finally:
        aside.rename(cluster.volume)
    assert result.code == 0, result
    assert "hosted-engine --clean-metadata --host-id=2" in result.out
    assert not cluster.second.settings.exists()
    done = cluster.first.command("--clean-metadata", "--host-id=2")
    assert done.code == 0, done
    assert cluster.present() == [1]


def test_sanlock_ends_the_holder_whose_lockspace_is_wrecked(cluster: Cluster) -> None:
    """Why a holder that can't be seen has ended when the floor is over; the last test here."""
    with held(cluster, cluster.first):
        began_s = time.monotonic()
        wait_until(lambda: cluster.wreck() or not holds(cluster.first), "the holder lives on")
        assert time.monotonic() - began_s < 8 * IO_TIMEOUT_S * TIME_FACTOR
