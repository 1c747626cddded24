# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""--deploy and --vm-status --metadata on a real volume, with a real sanlock daemon per host."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml

from metadata import layout
from metadata.domain_xml import lease_element
from metadata.layout import CONFIG_SIZE, slot_address, storage_parts
from metadata.records import HostRecord
from metadata.shared_config import SharedConfig, decode_area
from metadata.wire import decode_slot
from tests.integration.hosted_engine import (
    JSON_STARTS,
    TEXT_STARTS,
    children_cpu_s,
    in_interpreter_starts,
)
from tests.typist import CTRL_D, Typist, typing

pytest.importorskip("sanlock", reason="needs the package python3-sanlock")
if shutil.which("sanlock") is None:
    pytest.skip("needs the sanlock daemon (package sanlock)", allow_module_level=True)

ROOT = Path(__file__).resolve().parent.parent.parent
TIME_FACTOR = float(os.environ.get("HE_TIME_FACTOR", "1"))
IO_TIMEOUT_S = 1


def wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    end_s = time.monotonic() + 10 * TIME_FACTOR
    while not condition():
        assert time.monotonic() < end_s, otherwise
        time.sleep(0.05)


@dataclass
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class Host:
    """One host: its sanlock daemon, its name, its settings file."""

    name: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.settings = self.folder / "host.yaml"
        self.environment = {
            **os.environ,
            "SANLOCK_RUN_DIR": str(self.folder),
            "SANLOCK_PRIVILEGED": "0",
            "HE_SETTINGS": str(self.settings),
            "HE_BROKER_SOCKET": str(self.folder / "broker.sock"),
            "TEST_HOST_NAME": self.name,
        }
        self.daemon = self._start_daemon(["-e", self.name])

    def _start_daemon(self, name: list[str]) -> subprocess.Popen[bytes]:
        command = ["sanlock", "daemon", "-D", "-w", "0", "-h", "0", "-l", "0", *name]
        daemon = subprocess.Popen(
            command,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(lambda: "daemon" in self._sanlock_status(), "sanlock does not come up")
        return daemon

    def cut_power(self) -> None:
        """The daemon is gone at once; what it wrote stays."""
        os.killpg(self.daemon.pid, signal.SIGKILL)
        self.daemon.wait()

    def restart_daemon_without_name(self) -> None:
        self.cut_power()
        self.daemon = self._start_daemon([])

    @contextmanager
    def lease_held(self, lab: Lab) -> Iterator[None]:
        """A process of this host holds the engine's lease, as qemu does."""
        place = lab.parts.lease
        lease = f"hosted-engine:engine:{place.path}:{place.offset}"
        command = ["sanlock", "client", "command", "-r", lease, "-c", "/bin/sleep", "600"]
        holder = subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: lease in self._sanlock_status(), "the lease is not acquired")
            yield
        finally:
            holder.kill()
            holder.wait()

    @contextmanager
    def daemon_as(self, uid: int) -> Iterator[None]:
        """As if sanlock's daemon were a process of that user: the file with its pid says so."""
        pid_file = self.folder / "sanlock.pid"
        before = pid_file.read_bytes()
        sleeper = subprocess.Popen(["sleep", "600"], user=uid, group=uid, extra_groups=[])
        pid_file.write_text(f"{sleeper.pid}\n")
        try:
            yield
        finally:
            pid_file.write_bytes(before)
            sleeper.kill()
            sleeper.wait()

    def _sanlock_status(self) -> str:
        return subprocess.run(
            ["sanlock", "client", "status"],
            env=self.environment, capture_output=True, text=True, check=False,
        ).stdout  # fmt: skip

    def start_deploy(self, answers: Path, *options: str) -> subprocess.Popen[str]:
        words = (f"--config-append={answers}", *options)
        return self._start("tests.integration.command_host", "deploy", *words)

    def deploy(self, answers: Path, *options: str) -> Result:
        return _finish(self.start_deploy(answers, *options))

    def leave(self, volume: Path, host_id: int) -> None:
        command = ("tests.integration.command_host", "leave", str(volume), str(host_id))
        assert _finish(self._start(*command)).code == 0

    def command(self, *arguments: str) -> Result:
        return _finish(self._start("hosted_engine.main", *arguments))

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=self.environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def host_id(self) -> int:
        return int(yaml.safe_load(self.settings.read_text())["host_id"])


def _finish(process: subprocess.Popen[str]) -> Result:
    out, err = process.communicate(timeout=120 * TIME_FACTOR)
    return Result(process.returncode, out, err)


class Lab:
    """A volume and some hosts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.volume = folder / "leases"
        self.parts = storage_parts(str(self.volume))
        self.hosts: list[Host] = []
        self.make_volume(layout.required_size(self.parts))

    def make_volume(self, size: int) -> None:
        with self.volume.open("wb") as file:
            file.truncate(size)

    def host(self, name: str) -> Host:
        host = Host(name, self.folder / name)
        self.hosts.append(host)
        return host

    def close(self) -> None:
        for host in self.hosts:
            if host.daemon.poll() is None:
                host.cut_power()

    def creating(self, **changes: Any) -> Path:
        xml = self.folder / "engine.xml"
        if not xml.exists():
            self.write_xml(xml, lease_element(self.parts))
        data = {
            "storage": {"path": str(self.volume)},
            "host": {"bridge": "ovirtmgmt", "gateway": "198.51.100.1"},
            "engine": {"domain_xml_file": str(xml), "health_url": "http://198.51.100.2/health"},
            "sanlock": {"io_timeout_s": IO_TIMEOUT_S},
            **changes,
        }
        return self._write("creating.yaml", data)

    def joining(self, **changes: Any) -> Path:
        return self._write("joining.yaml", {"storage": {"path": str(self.volume)}, **changes})

    def _write(self, name: str, data: Any) -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump(data))
        return path

    @staticmethod
    def write_xml(path: Path, device: str) -> None:
        path.write_text(
            f"<domain type='qemu'><name>HostedEngine</name><devices>{device}</devices></domain>"
        )

    def read(self, offset: int, size: int) -> bytes:
        with self.volume.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def write(self, offset: int, data: bytes) -> None:
        with self.volume.open("r+b") as file:
            file.seek(offset)
            file.write(data)

    def config(self) -> SharedConfig:
        config = decode_area(self.read(self.parts.shared_config.offset, CONFIG_SIZE))
        assert isinstance(config, SharedConfig), config
        return config

    def name_in_slot(self, host_id: int) -> str:
        slot = decode_slot(host_id, self.read(slot_address(self.parts, host_id).offset, 4096))
        assert isinstance(slot, HostRecord), slot
        return slot.hostname

    def owned_ids(self) -> list[int]:
        """Host ids in use in the lockspace, as sanlock's own tool reads them."""
        dump = subprocess.run(
            ["sanlock", "direct", "dump", f"{self.volume}:0:{layout.MIB}"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        rows = re.findall(r"^\d+\s+hosted-engine\s+\S+\s+(\d+)\s+(\d+)", dump, re.MULTILINE)
        return [int(owner) for stamp, owner in rows if int(stamp)]


@pytest.fixture
def lab() -> Iterator[Lab]:
    # Not in tmp_path: that may be a tmpfs, which takes no direct I/O.
    with tempfile.TemporaryDirectory(prefix="he-", dir="/var/tmp") as folder:
        lab = Lab(Path(folder))
        yield lab
        lab.close()


def create(lab: Lab, name: str = "h1") -> Host:
    host = lab.host(name)
    result = host.deploy(lab.creating())
    assert result.code == 0, result
    return host


# --- the main path ----------------------------------------------------------------------------


def test_first_host_creates_and_the_next_ones_join(lab: Lab) -> None:
    first = create(lab)
    second, third = lab.host("h2"), lab.host("h3")
    running = [host.start_deploy(lab.joining()) for host in (second, third)]  # at the same moment
    results = [_finish(process) for process in running]
    assert [result.code for result in results] == [0, 0], results

    assert first.host_id == 1
    assert {second.host_id, third.host_id} == {2, 3}
    for host in (first, second, third):
        assert lab.name_in_slot(host.host_id) == host.name
        settings = yaml.safe_load(host.settings.read_text())
        assert (settings["bridge"], settings["gateway"]) == ("ovirtmgmt", "198.51.100.1")
        assert host.settings.stat().st_mode & 0o777 == 0o644
    assert sorted(lab.owned_ids()) == [1, 2, 3]
    config = lab.config()
    assert config.settings.engine.domain_name == "HostedEngine"
    assert config.settings.timing.io_timeout_s == IO_TIMEOUT_S
    assert lease_element(lab.parts) in config.domain_xml


def test_deploy_again_says_so_and_changes_nothing(lab: Lab) -> None:
    host = create(lab)
    before = (host.settings.read_bytes(), lab.read(2 * layout.MIB, 9 * layout.MIB))
    result = host.deploy(lab.creating())
    assert result.code == 0
    assert "deployed already, as h1 (id 1)" in result.out
    assert (host.settings.read_bytes(), lab.read(2 * layout.MIB, 9 * layout.MIB)) == before


def test_host_that_lost_its_settings_gets_its_former_id(lab: Lab) -> None:
    create(lab)
    second = lab.host("h2")
    assert second.deploy(lab.joining()).code == 0
    second.settings.unlink()
    assert second.deploy(lab.joining()).code == 0
    assert second.host_id == 2


def test_creation_that_was_killed_is_finished_by_the_next_run(lab: Lab) -> None:
    host = lab.host("h1")
    process = host.start_deploy(lab.creating())
    assert process.stdout is not None
    for line in process.stdout:
        if "joining the lockspace" in line:
            break
    process.kill()
    process.communicate()
    assert not host.settings.exists()
    result = host.deploy(lab.creating())
    assert result.code == 0, result
    assert (host.host_id, lab.name_in_slot(1)) == (1, "h1")
    assert lab.owned_ids() == [1]


def test_sectors_of_4096_bytes_are_found_again_by_the_next_host(lab: Lab) -> None:
    lab.parts = storage_parts(str(lab.volume), 4096)
    lab.make_volume(layout.required_size(lab.parts))
    first, second = lab.host("h1"), lab.host("h2")
    storage = {"path": str(lab.volume), "sector_size": 4096}
    created = first.deploy(lab.creating(storage=storage))
    assert created.code == 0, created
    joined = second.deploy(lab.joining())
    assert joined.code == 0, joined
    assert lab.name_in_slot(2) == "h2"
    assert yaml.safe_load(second.settings.read_text())["storage"]["sector_size"] == 4096


# --- on a terminal ----------------------------------------------------------------------------


@contextmanager
def typing_on(host: Host, *options: str) -> Iterator[Typist]:
    command = (sys.executable, "-m", "tests.integration.command_host", "deploy", *options)
    with typing(command, host.environment) as typist:
        yield typist


def test_first_host_and_the_next_one_are_deployed_by_hand(lab: Lab) -> None:
    lab.creating()  # the engine's XML
    first, second = lab.host("h1"), lab.host("h2")
    with typing_on(first) as typist:
        typist.answer("Shared storage", str(lab.folder / "nowhere"))
        typist.answer("Shared storage", str(lab.volume))
        typist.answer("Name of this host [h1]", "")
        typist.answer("Host id [1]", "")
        typist.answer("Management bridge (- for none) [ovirtmgmt]", "")
        typist.answer("Gateway", "198.51.100.1")
        typist.answer("domain XML", str(lab.folder / "engine.xml"))
        typist.answer("The engine's host name", "localhost")
        typist.answer("io_timeout in seconds [10]", "many")
        typist.answer("io_timeout in seconds [10]", str(IO_TIMEOUT_S))
        typist.answer("Go on? [y/N]", "y")
        assert typist.end() == 0, typist.screen
    screen = typist.screen
    # What follows depends on the file system of this machine's temporary directory.
    assert re.search(r"nowhere does not exist[,;].*\bmake it\b", screen), screen
    assert "it holds nothing yet: a new cluster is made" in screen
    assert "'many' is refused; allowed: an integer from 1 to 120" in screen
    config = lab.config()
    assert config.settings.engine.fqdn == "localhost"
    assert config.settings.timing.io_timeout_s == IO_TIMEOUT_S

    with typing_on(second, f"--config-append={first.folder / 'answers.yaml'}") as typist:
        assert typist.end() == 0, typist.screen
    assert (first.host_id, second.host_id) == (1, 2)
    assert sorted(lab.owned_ids()) == [1, 2]


@pytest.mark.parametrize(
    ("leave", "expected"),
    [
        (Typist.interrupt, "interrupted: nothing"),
        (lambda typist, question: typist.press(question, CTRL_D), "the input ended: nothing"),
    ],
)
def test_questions_can_be_left_at_any_time(
    lab: Lab, leave: Callable[[Typist, str], None], expected: str
) -> None:
    host = lab.host("h1")
    with typing_on(host) as typist:
        typist.answer("Shared storage", str(lab.volume))
        leave(typist, "Name of this host")
        assert typist.end() == 1
    assert f"{expected} was changed\n" in typist.screen
    assert "Traceback" not in typist.screen
    assert not any(lab.read(0, layout.required_size(lab.parts)))
    assert not (host.folder / "host.yaml").exists()


# --- checks -----------------------------------------------------------------------------------


def test_check_tells_all_of_a_host_and_changes_nothing(lab: Lab) -> None:
    host = lab.host("h1")
    before = sorted(host.folder.iterdir())
    result = host.deploy(lab.creating(), "--check", "--json")
    document = json.loads(result.out)
    found = {one["name"]: one for one in document["checks"]}
    assert (result.code, result.err, document["ok"]) == (0, "", True)
    assert found["plan"]["detail"] == "--deploy would create a cluster, with this host as h1"
    assert re.search(r"read [0-9.]+ ms, write [0-9.]+ ms", found["storage speed"]["detail"])
    assert found["watchdog"]["result"] == "warn"  # the daemon runs with -w 0
    assert not any(lab.read(0, layout.required_size(lab.parts)))
    assert sorted(host.folder.iterdir()) == before


def test_check_finds_what_sanlock_may_not_open(lab: Lab) -> None:
    host = lab.host("h1")
    nobody = 65534
    with host.daemon_as(nobody):
        result = host.deploy(lab.creating(), "--check")
    assert result.code == 1
    assert "[fail] storage access: sanlock's user can't write to" in result.out
    assert "Permission denied" in result.out
    assert f"chown sanlock:sanlock {lab.volume}" in result.out


# --- refusals: the storage --------------------------------------------------------------------


def refused(lab: Lab, result: Result, *expected: str) -> None:
    assert result.code == 1
    assert result.err.count("\n") == 1
    for text in expected:
        assert text in result.err


def test_used_storage_is_refused_with_what_it_holds(lab: Lab) -> None:
    create(lab)
    before = lab.read(layout.MIB, 10 * layout.MIB)
    second = lab.host("h2")
    refused(lab, second.deploy(lab.creating()), "hosts h1 (id 1)", "--force")
    assert lab.read(layout.MIB, 10 * layout.MIB) == before
    assert not second.settings.exists()


@pytest.mark.parametrize(
    ("offset", "data", "expected"),
    [
        (1080, b"\x53\xef", "a file system (ext2)"),
        (0, b"QFI\xfb", "a qcow2 image"),
        (3_000_001, b"\xc3\x28", "data of an unknown kind (first at byte 902849)"),
    ],
)
def test_foreign_data_is_refused_and_kept_and_force_formats(
    lab: Lab, offset: int, data: bytes, expected: str
) -> None:
    lab.write(offset, data)
    host = lab.host("h1")
    refused(lab, host.deploy(lab.creating()), expected, "--force")
    refused(lab, host.deploy(lab.joining(), "--force"), expected)
    assert lab.read(offset, len(data)) == data
    result = host.deploy(lab.creating(), "--force")
    assert result.code == 0, result
    assert f"[lost] what is destroyed now: {expected}" in result.out
    assert lab.name_in_slot(1) == "h1"


def test_other_lockspace_is_refused(lab: Lab) -> None:
    subprocess.run(
        ["sanlock", "direct", "init", "-s", f"other:0:{lab.volume}:0"],
        check=True, capture_output=True,
    )  # fmt: skip
    result = lab.host("h1").deploy(lab.creating())
    refused(lab, result, "the sanlock lockspace 'other'")


def test_small_missing_and_odd_volumes_are_refused_with_what_to_do(lab: Lab) -> None:
    host = lab.host("h1")
    lab.make_volume(layout.MIB)
    result = host.deploy(lab.creating())
    refused(lab, result, "has 1048576 bytes, 12582912 (12 MiB) are needed", "truncate -s 12M")
    assert lab.volume.stat().st_size == layout.MIB
    lab.volume.unlink()
    refused(lab, host.deploy(lab.creating()), "does not exist", "truncate -s 12M", "chown sanlock")
    lab.volume.mkdir()
    refused(lab, host.deploy(lab.creating()), str(lab.volume))


# --- force and life ---------------------------------------------------------------------------


def test_force_never_formats_under_a_living_host(lab: Lab) -> None:
    create(lab)
    second = lab.host("h2")
    before = lab.read(layout.MIB, 10 * layout.MIB)
    refused(lab, second.deploy(lab.creating(), "--force"), "h1 (id 1) lives", "stop it first")
    assert lab.read(layout.MIB, 10 * layout.MIB) == before
    assert lab.owned_ids() == [1]


def test_force_formats_when_the_other_host_has_left(lab: Lab) -> None:
    first = create(lab)
    first.leave(lab.volume, 1)
    second = lab.host("h2")
    result = second.deploy(lab.creating(), "--force")
    assert result.code == 0, result
    assert "[lost] what is destroyed now: a hosted-engine cluster with hosts h1 (id 1)" in (
        result.out
    )
    assert lab.name_in_slot(1) == "h2"


def test_force_formats_after_a_look_when_the_other_host_is_dead(lab: Lab) -> None:
    create(lab).cut_power()
    second = lab.host("h2")
    began_s = time.monotonic()
    result = second.deploy(lab.creating(), "--force")
    assert result.code == 0, result
    assert "no sign of life of h1 (id 1)" in result.out
    assert time.monotonic() - began_s >= 4 * IO_TIMEOUT_S


def test_storage_is_not_formatted_under_a_running_engine_of_this_host(lab: Lab) -> None:
    host = create(lab)
    with host.lease_held(lab):
        refused(lab, host.deploy(lab.creating(), "--force"), "a process of this host holds")
        second = lab.host("h2")
        refused(lab, second.deploy(lab.creating()), "hosts h1 (id 1), engine lease held by h1")
    assert lab.owned_ids() == [1]


def test_host_formats_its_own_cluster_anew(lab: Lab) -> None:
    host = create(lab)
    result = host.deploy(lab.creating(), "--force")
    assert result.code == 0, result
    assert lab.owned_ids() == [1]


# --- refusals: ids and settings ---------------------------------------------------------------


def test_second_machine_of_the_same_name_does_not_take_the_id(lab: Lab) -> None:
    create(lab)
    clone = lab.folder / "clone"
    clone.mkdir()
    twin = Host("h1", clone / "h1")
    lab.hosts.append(twin)
    refused(lab, twin.deploy(lab.joining()), "h1 (id 1) lives")
    assert not twin.settings.exists()


def test_wanted_id_of_another_host_is_refused(lab: Lab) -> None:
    create(lab)
    result = lab.host("h2").deploy(lab.joining(host={"host_id": 1}))
    refused(lab, result, "host.host_id: 1 is refused", "h1 (id 1)")


def test_other_cluster_wide_settings_are_refused(lab: Lab) -> None:
    create(lab)
    result = lab.host("h2").deploy(lab.joining(sanlock={"io_timeout_s": 7}))
    refused(lab, result, "sanlock.io_timeout_s: 7 (the cluster has 1)")


def test_domain_without_its_lease_is_refused_with_the_element_to_add(lab: Lab) -> None:
    lab.write_xml(lab.folder / "engine.xml", "")
    result = lab.host("h1").deploy(lab.creating())
    refused(lab, result, lease_element(lab.parts), "nothing was changed")
    assert not any(lab.read(0, layout.required_size(lab.parts)))


def test_random_sanlock_name_and_missing_lock_manager_are_refused_at_once(lab: Lab) -> None:
    host = lab.host("h1")
    host.restart_daemon_without_name()
    host.environment["TEST_LOCK_MANAGER"] = "lockd"
    result = host.deploy(lab.creating())
    refused(lab, result, "our_host_name", "/etc/sanlock/sanlock.conf", 'lock_manager = "sanlock"')


def test_sanlock_that_does_not_run_is_refused(lab: Lab) -> None:
    host = lab.host("h1")
    host.cut_power()
    refused(lab, host.deploy(lab.creating()), "systemctl enable --now sanlock")


# --- reading the volume -----------------------------------------------------------------------


def test_volume_is_read_without_any_daemon(lab: Lab) -> None:
    host = create(lab)
    host.cut_power()
    lab.write(slot_address(lab.parts, 5).offset, b"\xfe" + os.urandom(511) + b"\xff\xff")
    volume = f"{lab.volume}:2M"
    result = host.command("--vm-status", "--json", "--timeout=0", "--metadata", volume)
    data = json.loads(result.out)
    assert (result.code, result.err) == (0, "")
    assert list(data) == ["1", "5", "global_maintenance"]
    assert (data["1"]["hostname"], data["1"]["live-data"]) == ("h1", False)
    assert data["5"]["error"].startswith("slot 5: ")
    plain = host.command("--vm-status", "--metadata", str(lab.volume))
    assert (plain.code, plain.err) == (0, "")
    assert "--== Host h1 (id: 1) status ==--" in plain.out


def test_truncated_volume_is_a_clear_error(lab: Lab) -> None:
    host = create(lab)
    host.cut_power()
    with lab.volume.open("r+b") as file:
        file.truncate(layout.MIB)
    result = host.command("--vm-status", "--json", "--metadata", str(lab.volume))
    assert (result.code, result.err) == (1, "")
    assert "the volume ends before its parts" in json.loads(result.out)["error"]


@pytest.mark.parametrize(
    ("options", "allowed"), [(["--json"], JSON_STARTS), ([], TEXT_STARTS)], ids=["json", "text"]
)
def test_status_is_light(lab: Lab, options: list[str], allowed: float) -> None:
    host = create(lab)
    words = ["--vm-status", *options, "--timeout=0", "--metadata", str(lab.volume)]

    def run() -> float:
        before_s = children_cpu_s()
        assert host.command(*words).code == 0
        return children_cpu_s() - before_s

    assert in_interpreter_starts(run) < allowed
