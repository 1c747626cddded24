"""The command's options, exit codes and errors; and the commands that ask the broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from ha_agent.command import checks, engine
from ha_agent.command.errors import CommandError
from ha_agent.command.main import main
from ha_agent.simulation.world import (
    SimHealthPage,
    SimHypervisor,
    SimLockspace,
    SimSan,
    VirtualClock,
)
from ha_broker.desk import Refusal
from ha_broker.http_server import ApiServer
from ha_broker.snapshot import HostView, Snapshot, StorageView
from ha_broker.snapshot_json import snapshot_to_data
from ha_broker.world.ports import (
    Domain,
    DomainState,
    HypervisorError,
    Liveness,
)
from metadata.domain_xml import lease_element
from metadata.layout import storage_parts
from metadata.records import EngineStatus, EngineVm, Health, HostRecord
from metadata.settings import EngineSettings
from metadata.wire import decode_slot, encode_host

PARTS = storage_parts("/shared/leases")
XML = f"<domain><name>HostedEngine</name><devices>{lease_element(PARTS)}</devices></domain>"
HOST_YAML = "host_id: 1\nhost_name: h1\nstorage: {path: /shared/leases}\n"
UP = EngineStatus(EngineVm.UP, Health.GOOD, "Up")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where host.yaml would be; every path of the product leads below tmp_path."""
    monkeypatch.setenv("HE_SETTINGS", str(tmp_path / "host.yaml"))
    monkeypatch.setenv("HE_BROKER_SOCKET", str(tmp_path / "broker.sock"))
    return tmp_path / "host.yaml"


@pytest.fixture
def deployed(settings: Path) -> Path:
    settings.write_text(HOST_YAML)
    return settings


class FakeBroker:
    """A real server on the socket, answering what the test wants."""

    def __init__(self, path: str) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.answers: dict[str, Callable[[], Any]] = {}
        self._server = ApiServer(path, self._answer)
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def _answer(self, method: str, target: str, body: bytes) -> Any:
        self.requests.append((method, target, json.loads(body) if body else None))
        return self.answers.get(target, lambda: {})()


@pytest.fixture
def broker(deployed: Path) -> Iterator[FakeBroker]:
    server = FakeBroker(str(deployed.parent / "broker.sock"))
    yield server
    server.stop()


def snapshot(**fields: Any) -> Snapshot:
    slot = decode_slot(1, encode_host(HostRecord(1, 5, 3400, UP, "h1", state="EngineUp")))
    assert isinstance(slot, HostRecord)
    values: dict[str, Any] = {
        "global_maintenance": False,
        "hosts": (HostView(1, Liveness.LIVE, record=slot, fresh=True),),
        "storage": StorageView(last_read_at_s=1e12),
        **fields,
    }
    return Snapshot(1, 100.0, 1, "h1", 50.0, **values)


def answer_status(broker: FakeBroker) -> None:
    broker.answers["/v1/status"] = lambda: snapshot_to_data(snapshot(), 100.0)


# --- options ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "say what to do"),
        (["--nonsense"], "--nonsense"),
        (["--vm-status", "--deploy"], "not allowed with"),
        (["--vm-start", "--timeout=3"], "--timeout goes with --vm-status or --explain only"),
        (["--vm-status", "--mode=local"], "--mode goes with --set-maintenance only"),
        (["--vm-status", "--force"], "--force goes with --deploy only"),
        (["--set-maintenance"], "needs --mode"),
        (["--set-maintenance", "--mode=all"], "'all'"),
        (["--deploy"], "needs --config-append"),
        (["--vm-status", "--timeout", "soon"], "'soon' is refused; allowed: seconds"),
        (["--vm-status", "--timeout=-1"], "'-1' is refused"),
        (["--vm-status", "--metadata", "/dev/x:2Q"], "'2Q' is refused"),
        (["--vm-status", "--metadata="], "--metadata: '' is refused"),
        (["--deploy", "--config-append="], "--config-append: '' is refused"),
        (["--deploy", "--config-append=a", "--config-append=b"], "--config-append: given twice"),
        (["--set-maintenance", "--mode=global", "--mode=none"], "--mode: given twice"),
        (["--vm-start", "--timeout=0"], "--timeout goes with --vm-status or --explain only"),
    ],
)
def test_wrong_options_are_one_line_and_exit_code_2(
    arguments: list[str], expected: str, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert expected in output.err
    assert output.err.startswith("hosted-engine: ")
    assert output.err.count("\n") == 1


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("hosted-engine ")


# --- a host that is not deployed --------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--vm-status"],
        ["--check-deployed"],
        ["--check-liveliness"],
        ["--vm-start"],
        ["--vm-shutdown"],
        ["--vm-poweroff"],
        ["--set-maintenance", "--mode=none"],
    ],
)
def test_undeployed_host_says_so(
    arguments: list[str], settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert capsys.readouterr().out == "You must run deploy first\n"


@pytest.mark.parametrize(
    "arguments", [["--vm-status"], ["--check-deployed"], ["--set-maintenance", "--mode=none"]]
)
def test_settings_that_may_not_be_looked_at_are_named(
    arguments: list[str],
    settings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refused(_path: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.stat", refused)
    code = main(arguments)
    monkeypatch.undo()
    output = capsys.readouterr()
    assert (code, output.out) == (1, "")
    assert output.err == f"hosted-engine: {settings}: can't be looked at: Permission denied\n"


def test_undeployed_host_says_so_in_json(
    settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--vm-status", "--json"]) == 1
    output = capsys.readouterr()
    assert json.loads(output.out) == {"error": "You must run deploy first"}
    assert output.err == ""


def test_deployed_host(deployed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check-deployed"]) == 0
    assert capsys.readouterr().out == ""


def test_broken_settings_are_named(deployed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deployed.write_text("host_id: many\n")
    assert main(["--vm-start"]) == 1
    error = capsys.readouterr().err
    assert "host_id: 'many' is refused" in error
    assert error.count("\n") == 1


# --- --vm-status ------------------------------------------------------------------------------


def test_broker_that_is_gone_is_one_line_with_advice(
    deployed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--vm-status"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert "--metadata" in output.err
    assert "broker.sock" in output.err


def test_broker_that_is_gone_is_one_document_in_json(
    deployed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--vm-status", "--json"]) == 1
    output = capsys.readouterr()
    assert output.err == ""
    assert list(json.loads(output.out)) == ["error"]


@pytest.mark.parametrize("wrong", ["--timeout=x", "--force", "--nonsense", "--vm-start"])
def test_wrong_option_with_json_is_a_document_too(
    wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--vm-status", "--json", wrong]) == 2
    assert list(json.loads(capsys.readouterr().out)) == ["error"]


def test_status_from_the_broker(broker: FakeBroker, capsys: pytest.CaptureFixture[str]) -> None:
    answer_status(broker)
    assert main(["--vm-status", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["1"]["engine-status"] == {"vm": "up", "health": "good", "detail": "Up"}
    assert data["1"]["live-data"] is True
    assert main(["--vm-status"]) == 0
    assert "--== Host h1 (id: 1) status ==--" in capsys.readouterr().out


def test_metadata_needs_no_deployment(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = tmp_path / "metadata"
    volume.write_bytes(bytes(4096 * 2001))
    assert main(["--vm-status", "--json", "--metadata", str(volume)]) == 0
    assert json.loads(capsys.readouterr().out) == {"global_maintenance": False}


def test_bug_is_one_document_too(
    broker: FakeBroker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(_status: object) -> str:
        raise ZeroDivisionError("oops")

    answer_status(broker)
    monkeypatch.setattr("ha_agent.command.vm_status.status_json", crash)
    assert main(["--vm-status", "--json"]) == 1
    assert "unexpected ZeroDivisionError: oops" in json.loads(capsys.readouterr().out)["error"]


# --- output that can't be written, waits that are interrupted --------------------------------


def run_alone(
    *arguments: str, stdout: Any = subprocess.PIPE, unbuffered: str = ""
) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own, whose exit belongs to what is tested."""
    return subprocess.run(
        [sys.executable, "-m", "ha_agent.command.main", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        check=False,
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_reader_that_has_gone_is_no_noise(unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = run_alone("--help", stdout=writing, unbuffered=unbuffered)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_full_disk_behind_stdout_is_one_line(
    unbuffered: str, json_too: list[str], settings: Path
) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run_alone("--vm-status", *json_too, stdout=full, unbuffered=unbuffered)
    assert done.returncode == 1
    assert done.stderr == b"hosted-engine: the output can't be written: No space left on device\n"


def test_refusal_of_the_system_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HE_SETTINGS", "/" + "x" * 300)
    assert main(["--check-deployed"]) == 1
    error = capsys.readouterr().err
    assert "File name too long" in error
    assert "bug" not in error
    assert error.count("\n") == 1


def test_control_characters_never_reach_the_terminal() -> None:
    message = CommandError("it said \x1b[2J\x07\x9b1m, \udcff\nand h\u00f6st").message
    assert message == "it said \\x1b[2J\\x07\\x9b1m, \\udcff and h\u00f6st"


def test_interrupt_is_one_document_in_json(
    broker: FakeBroker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_timeout_s: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ha_agent.command.broker_status.read_from_broker", interrupted)
    assert main(["--vm-status", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"error": "interrupted"}


# --- --set-maintenance ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("global", [("global", True)]),
        ("local", [("local", True)]),
        ("none", [("local", False), ("global", False)]),
    ],
)
def test_maintenance_sets_its_own_scope_only(
    mode: str, expected: list[tuple[str, bool]], broker: FakeBroker
) -> None:
    assert main(["--set-maintenance", f"--mode={mode}"]) == 0
    bodies = [body for method, target, body in broker.requests]
    assert [(body["scope"], body["on"]) for body in bodies] == expected


def test_maintenance_that_is_refused_gives_the_brokers_reason(
    broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise Refusal(409, "the engine runs on this host")

    broker.answers["/v1/maintenance"] = refuse
    assert main(["--set-maintenance", "--mode=local"]) == 1
    error = capsys.readouterr().err
    assert "the engine runs on this host" in error
    assert "systemctl" not in error


# --- --vm-start, --vm-shutdown, --vm-poweroff -------------------------------------------------


class Hosts:
    """Two hosts in virtual time, joined; the engine of the first."""

    def __init__(self) -> None:
        clock = VirtualClock()
        san = SimSan(clock)
        self.lockspaces = [SimLockspace(san, name) for name in ("h1", "h2")]
        self.hypervisors = [SimHypervisor(lockspace) for lockspace in self.lockspaces]
        for host_id, lockspace in enumerate(self.lockspaces, start=1):
            lockspace.join(host_id, 10)
            clock.advance(60)

    def engine(self, index: int, **fields: Any) -> engine.Engine:
        return engine.Engine(
            self.hypervisors[index], self.lockspaces[index], PARTS, XML, snapshot(**fields)
        )


@pytest.fixture
def hosts() -> Hosts:
    return Hosts()


def test_start_takes_the_lease(hosts: Hosts, capsys: pytest.CaptureFixture[str]) -> None:
    assert engine.start(hosts.engine(0)) == 0
    pid = hosts.hypervisors[0].domain().pid
    assert hosts.lockspaces[0].holders == {pid}
    assert str(pid) in capsys.readouterr().out


def test_second_start_here_is_refused_and_harms_nothing(hosts: Hosts) -> None:
    engine.start(hosts.engine(0))
    before = hosts.hypervisors[0].domain()
    with pytest.raises(CommandError, match="running on this host already and holds"):
        engine.start(hosts.engine(0))
    assert hosts.hypervisors[0].domain() == before
    assert hosts.hypervisors[0].calls == ["start"]


def test_second_start_elsewhere_names_the_owner_and_harms_nothing(hosts: Hosts) -> None:
    engine.start(hosts.engine(0))
    before = hosts.hypervisors[0].domain()
    with pytest.raises(CommandError, match=r"held by host h1 \(id 1\)"):
        engine.start(hosts.engine(1))
    assert hosts.hypervisors[0].domain() == before
    assert hosts.hypervisors[1].domain().state is DomainState.ABSENT


def test_start_that_fails_while_another_host_runs_it_names_the_owner(hosts: Hosts) -> None:
    engine.start(hosts.engine(0))
    hosts.hypervisors[1].start_error = HypervisorError("start", "removed while paused")
    with pytest.raises(CommandError, match=r"while paused; its lease belongs to host h1 \(id 1\)"):
        engine.start(hosts.engine(1))


def test_start_that_libvirt_refuses_says_why(hosts: Hosts) -> None:
    hosts.hypervisors[0].start_error = HypervisorError("create the domain", "no such machine")
    with pytest.raises(CommandError, match="create the domain: no such machine"):
        engine.start(hosts.engine(0))


@pytest.mark.parametrize(
    "order",
    [
        engine.start,
        lambda found: engine.stop(found, graceful=True),
        lambda found: engine.stop(found, graceful=False),
    ],
)
def test_libvirt_that_is_frozen_is_given_up_and_nothing_is_done(
    hosts: Hosts, order: Callable[[engine.Engine], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    forever = threading.Event()
    monkeypatch.setattr(hosts.hypervisors[0], "domain", forever.wait)
    monkeypatch.setattr("ha_agent.command.deadline.LIBVIRT_DEADLINE_S", 0.05)
    with pytest.raises(CommandError, match=r"libvirt .* has not answered"):
        order(hosts.engine(0))
    forever.set()
    assert hosts.hypervisors[0].calls == []


def test_paused_engine_is_not_started_over(hosts: Hosts) -> None:
    hosts.hypervisors[0].set_domain(Domain(DomainState.PAUSED, pid=4, detail="ioerror"))
    with pytest.raises(CommandError, match="paused on this host"):
        engine.start(hosts.engine(0))


@pytest.mark.parametrize(("graceful", "call"), [(True, "shutdown"), (False, "destroy")])
def test_stop_says_that_the_hosts_will_start_it_again(
    graceful: bool, call: str, hosts: Hosts, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.start(hosts.engine(0))
    assert engine.stop(hosts.engine(0), graceful) == 0
    assert hosts.hypervisors[0].calls == ["start", call]
    assert engine.STARTED_AGAIN in capsys.readouterr().out


def test_stop_in_global_maintenance_needs_no_warning(
    hosts: Hosts, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.start(hosts.engine(0))
    engine.stop(hosts.engine(0, global_maintenance=True), graceful=True)
    assert "again" not in capsys.readouterr().out


def test_stop_where_it_does_not_run_names_the_host_that_runs_it(hosts: Hosts) -> None:
    engine.start(hosts.engine(0))
    with pytest.raises(CommandError, match=r"does not run on this host; .* h1 \(id 1\)"):
        engine.stop(hosts.engine(1), graceful=False)
    assert hosts.hypervisors[1].calls == []


# --- --check-liveliness -----------------------------------------------------------------------

SETTINGS = EngineSettings(health_url="http://engine/health")


@pytest.mark.parametrize(("good", "code", "text"), [(True, 0, "is up!"), (False, 1, "is not up!")])
def test_liveliness(good: bool, code: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = SimHealthPage(good=good)
    assert checks.look_at_health(page, SETTINGS) == code
    assert capsys.readouterr().out == f"Hosted Engine {text}\n"
    assert page.calls == ["http://engine/health"]


def test_liveliness_says_beside_its_answer_why(capsys: pytest.CaptureFixture[str]) -> None:
    page = SimHealthPage(False, "Connection refused")
    assert checks.look_at_health(page, SETTINGS) == 1
    output = capsys.readouterr()
    assert output.out == "Hosted Engine is not up!\n"
    assert output.err == "hosted-engine: the engine's health page: Connection refused\n"
    assert checks.look_at_health(SimHealthPage(True), SETTINGS) == 0
    assert capsys.readouterr().err == ""


def test_liveliness_without_a_page_says_what_is_missing() -> None:
    with pytest.raises(CommandError, match=r"engine\.health_url"):
        checks.look_at_health(SimHealthPage(), EngineSettings())
