# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The `ha-broker` process: deployed or not, killed and restarted, stopped in order."""

from __future__ import annotations

import grp
import os
import pwd
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from ha_broker.api.client import BrokerClient, BrokerRefusedError, BrokerTimeoutError
from ha_broker.api.snapshot import LeaseState, Snapshot
from metadata.liveness import Liveness
from metadata.records import GlobalRecord, HostRecord
from metadata.settings.parse import ClusterSettings
from metadata.wire import decode_global
from tests.contract.places import direct_io_directory
from tests.contract.sanlock_hosts import Binding, SanlockHost, need_sanlock
from tests.integration.broker_process import FACTOR, PUBLICATION, SETTINGS, Site, wait_for
from tests.unit.other_user import NOBODY, as_compat_client, needs_root
from world.ports.libvirt import DomainState
from world.ports.sanlock import Membership


@pytest.fixture
def site() -> Iterator[Site]:
    """A host without sanlock; no traceback may stand in the log in the end."""
    with direct_io_directory() as directory:
        site = Site(directory)
        try:
            yield site
            assert "Traceback" not in site.log_text(), site.log_text()
        finally:
            site.close()


@pytest.fixture
def member() -> Iterator[tuple[Site, SanlockHost]]:
    """A deployed host with a sanlock daemon."""
    with member_by(Binding.PYTHON) as member:
        yield member


@contextmanager
def member_by(binding: Binding) -> Iterator[tuple[Site, SanlockHost]]:
    need_sanlock(binding)
    with direct_io_directory() as directory:
        site = Site(directory, directory / "sanlock")
        site.make_volume()
        site.deploy()
        sanlock = SanlockHost(directory / "sanlock", "h1", site.parts, binding=binding)
        try:
            sanlock.call("format_lockspace", 1)
            sanlock.call("format_lease")
            yield site, sanlock
            assert "Traceback" not in site.log_text(), site.log_text()
        finally:
            site.close()
            sanlock.close()


def joined(site: Site) -> Snapshot:
    client = site.serving()

    def look() -> object:
        snapshot = client.status()
        known = snapshot.lease.state != LeaseState.UNKNOWN and snapshot.storage.last_read_at_s
        return snapshot if known and snapshot.engine.domain == DomainState.ABSENT else None

    found = wait_for("joined, lease and domain known", look, 40)
    assert isinstance(found, Snapshot)
    return found


def global_slot(site: Site) -> object:
    with site.volume.open("rb") as file:
        file.seek(site.parts.metadata.offset)
        return decode_global(file.read(4096))


# --- with sanlock --------------------------------------------------------------------------------


def test_a_life_with_kills_and_an_orderly_end(member: tuple[Site, SanlockHost]) -> None:
    site, sanlock = member
    process = site.start()
    snapshot = joined(site)
    assert snapshot.lockspace.membership == Membership.JOINED
    assert snapshot.lease.state == LeaseState.FREE
    assert snapshot.config.sequence == 1

    client = site.client()
    wait_for("seen living", lambda: client.status().hosts[0].liveness == Liveness.LIVE)
    assert client.shared_config().settings == SETTINGS
    client.publish(replace(PUBLICATION, score=1234))
    wait_for("the record on the volume", lambda: _score(site) == 1234)
    client.set_global_maintenance(True, timeout_s=10 * FACTOR)
    assert global_slot(site) == GlobalRecord(True)
    client.set_local_maintenance(True)

    process.kill()
    process.wait()
    site.forget()
    restarted = site.start()
    again = joined(site)
    assert again.lockspace.membership == Membership.JOINED
    assert again.sequence > snapshot.sequence
    assert again.global_maintenance is True
    assert again.local_maintenance is True
    assert client.status().local_maintenance is True  # the same client reconnects
    client.set_local_maintenance(False)
    client.set_global_maintenance(False, timeout_s=10 * FACTOR)

    restarted.send_signal(signal.SIGTERM)
    assert restarted.wait(20 * FACTOR) == 0
    assert sanlock.call("membership", 1) == Membership.JOINED
    assert not site.socket.exists()
    assert "STOPPING=1" in site.told()
    assert any(line.startswith("STATUS=host 1 (h1); lockspace joined") for line in site.told())
    assert any(line == "WATCHDOG=1" for line in site.told())


def _score(site: Site) -> object:
    seen = site.slot(1)
    return seen.score if isinstance(seen, HostRecord) else seen


def test_a_stop_never_takes_the_lease_from_a_process_here(
    member: tuple[Site, SanlockHost],
) -> None:
    site, sanlock = member
    process = site.start()
    joined(site)
    holder = sanlock.acquire()
    client = site.client()
    wait_for("held here", lambda: client.status().lease.owner_id == 1)
    with pytest.raises(BrokerRefusedError, match="holds the engine's lease"):
        client.set_local_maintenance(True)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20 * FACTOR) == 0
    assert sanlock.call("membership", 1) == Membership.JOINED
    assert sanlock.call("process_holds_lease", holder)
    sanlock.release(holder)


def test_a_host_that_shuts_down_leaves_without_a_broker(
    member: tuple[Site, SanlockHost],
) -> None:
    site, sanlock = member
    process = site.start()
    joined(site)
    assert _leave(site) == 1
    assert "the broker runs, and would join it again" in site.log_text()
    process.kill()
    process.wait()
    site.forget()
    holder = sanlock.acquire()
    leaving = site.start("--leave-lockspace")
    with pytest.raises(subprocess.TimeoutExpired):
        leaving.wait(2.0)
    assert sanlock.call("process_holds_lease", holder)
    sanlock.release(holder)
    assert leaving.wait(20 * FACTOR) == 0
    site.forget()
    assert sanlock.call("membership", 1) == Membership.OUT
    assert _leave(site) == 0  # there is nothing left to do


def test_a_host_that_is_not_deployed_has_nothing_to_leave(site: Site) -> None:
    assert _leave(site) == 0


def _leave(site: Site) -> int:
    return site.start("--leave-lockspace").wait(20 * FACTOR)


def test_a_change_of_the_lease_ends_the_long_poll(member: tuple[Site, SanlockHost]) -> None:
    site, sanlock = member
    site.start()
    snapshot = joined(site)
    found: list[Snapshot] = []
    client = site.client()

    def poll() -> None:
        sequence = snapshot.sequence
        while not found or found[-1].lease.state != LeaseState.HELD:
            found.append(client.wait_for_change(sequence, 30))
            sequence = found[-1].sequence

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    holder = sanlock.acquire()
    thread.join(10 * FACTOR)
    assert found
    assert (found[-1].lease.state, found[-1].lease.owner_id) == (LeaseState.HELD, 1)
    sanlock.release(holder)


def test_sanlock_that_dies_is_said_and_the_broker_goes_on(
    member: tuple[Site, SanlockHost],
) -> None:
    site, sanlock = member
    process = site.start()
    joined(site)
    client = site.client()
    sanlock.kill_daemon()
    wait_for("the error", lambda: client.status().lockspace.error)
    assert client.status().lease.state == LeaseState.UNKNOWN
    client.publish(PUBLICATION)
    assert process.poll() is None
    sanlock.start_daemon()
    wait_for("joined again", lambda: client.status().lockspace.error == "", 60)


def test_without_sanlocks_python_binding_the_broker_takes_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on EL 10: joined, sees hosts and holder, says that sanlock died, leaves the lockspace."""
    (tmp_path / "sanlock.py").write_text("raise ImportError('no binding here')")
    with member_by(Binding.LIBRARY) as (site, sanlock):
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        process = site.start()
        assert joined(site).lockspace.membership == Membership.JOINED
        libraries = Path(f"/proc/{process.pid}/maps").read_text()
        assert "/libsanlock" in libraries and "/sanlock.cpython" not in libraries

        client = site.client()
        wait_for("seen living", lambda: client.status().hosts[0].liveness == Liveness.LIVE)
        holder = sanlock.acquire()
        wait_for("held here", lambda: client.status().lease.owner_id == 1)
        sanlock.release(holder)
        wait_for("free again", lambda: client.status().lease.state == LeaseState.FREE)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20 * FACTOR) == 0
        assert sanlock.call("membership", 1) == Membership.JOINED
        assert _leave(site) == 0
        assert sanlock.call("membership", 1) == Membership.OUT

        site.forget()
        site.start()
        joined(site)
        sanlock.kill_daemon()
        wait_for("said", lambda: "sanlock" in client.status().lockspace.error)


# --- without it ----------------------------------------------------------------------------------


def test_without_sanlock_it_serves_and_says_so(site: Site) -> None:
    site.make_volume()
    site.deploy()
    process = site.start()
    client = site.serving()
    wait_for("the error", lambda: client.status().lockspace.error)
    wait_for("read", lambda: client.status().storage.last_read_at_s)
    client.publish(PUBLICATION)
    wait_for("the record on the volume", lambda: isinstance(site.slot(1), HostRecord))
    client.set_global_maintenance(True, timeout_s=10 * FACTOR)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20 * FACTOR) == 0


def test_not_deployed_waits_quietly_and_starts_when_it_is(site: Site) -> None:
    process = site.start()
    wait_for("STATUS", lambda: any("not deployed: run hosted-engine" in t for t in site.told()))
    assert "READY=1" in site.told()
    assert process.poll() is None
    assert not site.socket.exists()
    site.make_volume()
    site.deploy()
    wait_for("the socket", site.socket.exists)
    assert site.client().status().host_name == "h1"
    assert site.log_text().count("not deployed") == 1


def test_not_deployed_can_be_stopped(site: Site) -> None:
    process = site.start()
    wait_for("STATUS", lambda: any("not deployed" in told for told in site.told()))
    process.send_signal(signal.SIGTERM)
    assert process.wait(10 * FACTOR) == 0


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"host_id": 2001}, "host_id"), ({"hots_name": "x"}, "hots_name"), ({"host_id": "1"}, "'1'")],
)
def test_invalid_settings_end_it_with_the_reason(
    site: Site, changes: dict[str, object], word: str
) -> None:
    site.deploy(**changes)
    assert site.start().wait(10 * FACTOR) == 1
    assert word in site.log_text()
    assert str(site.settings_file) in site.log_text()


def test_settings_that_are_no_yaml(site: Site) -> None:
    site.settings_file.write_bytes(b"\xff{{")
    assert site.start().wait(10 * FACTOR) == 1
    assert str(site.settings_file) in site.log_text()


def test_a_second_broker_does_not_steal_the_socket(site: Site) -> None:
    site.make_volume()
    site.deploy()
    first = site.start()
    client = site.serving()
    assert site.start().wait(10 * FACTOR) == 1
    assert "ha-broker runs on this host already" in site.log_text()
    assert first.poll() is None
    assert client.status().host_id == 1


def test_a_frozen_broker_costs_a_client_its_time_out_only(site: Site) -> None:
    site.make_volume()
    site.deploy()
    process = site.start()
    client = site.serving()
    client.status()
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(BrokerTimeoutError):
        BrokerClient(str(site.socket), timeout_s=0.5).status()
    process.send_signal(signal.SIGCONT)
    wait_for("it answers again", lambda: client.status().host_id == 1)


def test_a_missing_volume_is_an_error_in_the_status(site: Site) -> None:
    site.deploy()
    process = site.start()
    client = site.serving()
    wait_for("the error", lambda: "No such file" in client.status().storage.error)
    assert "waits for the shared configuration" not in client.status().storage.error
    process.send_signal(signal.SIGTERM)
    assert process.wait(20 * FACTOR) == 0


def test_a_volume_full_of_garbage(site: Site) -> None:
    site.make_volume(ClusterSettings())
    site.deploy()
    with site.volume.open("r+b") as file:
        file.seek(site.parts.metadata.offset)
        file.write(b"\xfe\x00|garbage" * 1_000_000)
    before = site.volume.read_bytes()
    process = site.start()
    client = site.serving()
    wait_for("the errors", lambda: len(client.status().hosts) > 100)
    assert client.status().global_error
    assert site.volume.read_bytes() == before
    process.send_signal(signal.SIGTERM)
    assert process.wait(20 * FACTOR) == 0


def test_version_and_help(site: Site) -> None:
    assert site.start("--version").wait(10 * FACTOR) == 0
    assert site.start("--help").wait(10 * FACTOR) == 0
    assert site.start("--colour").wait(10 * FACTOR) == 2
    assert "ha-broker" in site.log_text()


# --- one broker on a host ------------------------------------------------------------------------

PAIRS = 12


def ended_of(pair: list[subprocess.Popen[bytes]]) -> list[subprocess.Popen[bytes]]:
    return [one for one in pair if one.poll() is not None]


def test_of_two_brokers_started_together_one_lives(site: Site) -> None:
    for _ in range(PAIRS):
        pair = [site.start(), site.start()]
        wait_for("one of them ends", partial(ended_of, pair))
        site.serving()
        (ended,) = ended_of(pair)
        (living,) = [one for one in pair if one is not ended]
        assert ended.returncode == 1
        (line,) = [line for line in site.log_text().splitlines() if "runs on this host" in line]
        # At this very moment the other one may have locked it and not yet written who it is.
        assert f"process {living.pid} has locked" in line or "another process has locked" in line
        living.send_signal(signal.SIGTERM)
        assert living.wait(timeout=20 * FACTOR) == 0
        site.forget()
        site.log.unlink()


def test_a_group_that_is_not_there_keeps_no_broker_from_its_work(site: Site) -> None:
    site.make_volume()
    site.deploy(socket_group="no-such-group")
    process = site.start()
    assert site.serving().status().host_name == "h1"
    assert process.poll() is None
    assert stat.S_IMODE(site.socket.stat().st_mode) == 0o600
    told = f"{site.settings_file}: socket_group: 'no-such-group' is refused; allowed: the name of"
    assert site.log_text().count(told) == 1


def test_the_group_of_the_settings_gets_the_socket(site: Site) -> None:
    own = grp.getgrgid(os.getegid())
    site.make_volume()
    site.deploy(socket_group=own.gr_name)
    site.start()
    site.serving()
    found = site.socket.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, own.gr_gid)


@needs_root
def test_a_user_of_the_settings_commands_and_one_that_is_not_there_ends_nothing(
    member: tuple[Site, SanlockHost],
) -> None:
    site, _ = member
    user = pwd.getpwuid(NOBODY)
    group = grp.getgrgid(user.pw_gid)
    site.deploy(socket_group=group.gr_name, command_users=["no-such-user", user.pw_name])
    site.socket.parent.chmod(0o755)
    process = site.start()
    joined(site)
    for mode, on in (("GLOBAL", True), ("LOCAL", True), ("LOCAL", False), ("GLOBAL", False)):
        assert as_compat_client(str(site.socket), mode, on, group.gr_gid) == "done"
        done = f"{mode.lower()} maintenance {'on' if on else 'off'}, asked for by uid {NOBODY}, pid"
        assert done in site.log_text()
    assert global_slot(site) == GlobalRecord(False)
    assert process.poll() is None
    told = f"{site.settings_file}: command_users: 'no-such-user' is refused; allowed: names of"
    assert site.log_text().count(told) == 1
