# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Those who read our output, as they read it, on the output of real processes.

Each test is a reader of its own: their expressions and loops, not ours. They exist already and
must go on without a change on their side.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jinja2
import jmespath
import pytest

from ha_broker.api.client import BrokerClient
from ha_broker.api.snapshot import MovePhase, MoveReport
from hosted_engine.client import HAClient
from metadata.layout import SLOT_SIZE, slot_address
from metadata.records import EngineStatus, EngineVm, Health, HostRecord
from metadata.states import State
from metadata.wire import encode_host
from tests.contract.places import direct_io_directory
from tests.integration.broker_process import FACTOR, PUBLICATION, Site, wait_for
from tests.integration.hosted_engine import environment, hosted_engine

UP = EngineStatus(EngineVm.UP, Health.GOOD, "Up")
DOWN = EngineStatus(EngineVm.DOWN, Health.BAD, "unknown", "vm not running on this host")
BOOTING = EngineStatus(EngineVm.UP, Health.BAD, "Powering up", "failed liveliness check")
ENGINE_HERE = replace(
    PUBLICATION, engine_status=UP, state="EngineUp", notes=(("why", "the engine is healthy"),)
)


class Cluster:
    """A broker on this host, id 1; a host 2 that says nothing any more, and a damaged slot 3.

    Host 2 said last that the engine is up and healthy on it: nobody may believe that now.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        gone = HostRecord(2, 9, 3400, UP, "h2.example.com", state="EngineUp")
        site.write(slot_address(site.parts, 2).offset, encode_host(gone))
        site.write(slot_address(site.parts, 3).offset, b"\xff=" * (SLOT_SIZE // 2))
        site.start()
        self.client: BrokerClient = site.serving()
        self.says(ENGINE_HERE)

    def says(self, publication: Any) -> None:
        """This host's agent says so, and everybody can read it."""
        self.client.publish(publication)
        wait_for("it is read back", lambda: self._told() == publication.engine_status)

    def _told(self) -> object:
        own = [host for host in self.client.status().hosts if host.host_id == 1]
        record = own[0].record if own and own[0].fresh else None
        return record.engine_status if record else None

    def status(self, *words: str) -> str:
        done = hosted_engine(self.site, "--vm-status", *words)
        assert (done.code, done.err) == (0, "")
        return done.out

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.status("--json"))
        return found


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with direct_io_directory() as directory:
        site = Site(directory)
        site.make_volume()
        site.deploy()
        try:
            yield Cluster(site)
        finally:
            site.close()


# --- configuration management ---------------------------------------------------------------

UNTIL_HEALTHY = (
    "result.rc == 0 and 'health' in result.stdout and "
    """result.stdout|from_json|json_query('*."engine-status"."health"')|first=="good" and """
    """result.stdout|from_json|json_query('*."engine-status"."detail"')|first=="Up" """
)


def holds(expression: str, code: int, stdout: str) -> bool:
    """What configuration management's ``until`` and ``when`` make of a command's result."""
    environ = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environ.filters["from_json"] = json.loads
    environ.filters["json_query"] = lambda data, query: jmespath.search(query, data)
    held = environ.compile_expression(expression, undefined_to_none=False)
    return bool(held(result={"rc": code, "stdout": stdout}))


def test_configuration_management_waits_until_the_engine_is_healthy(cluster: Cluster) -> None:
    cluster.says(replace(ENGINE_HERE, engine_status=BOOTING, state="EngineStarting"))
    assert holds(UNTIL_HEALTHY, 0, cluster.status("--json")) is False
    cluster.says(ENGINE_HERE)
    assert holds(UNTIL_HEALTHY, 0, cluster.status("--json")) is True


def test_configuration_management_goes_on_waiting_without_a_broker(cluster: Cluster) -> None:
    """Its expression must not break on what is printed then."""
    cluster.site.close()
    done = hosted_engine(cluster.site, "--vm-status", "--json")
    assert done.code == 1
    assert holds(UNTIL_HEALTHY, done.code, done.out) is False


def test_configuration_management_ends_maintenance(cluster: Cluster) -> None:
    site = cluster.site
    assert hosted_engine(site, "--set-maintenance", "--mode=global").code == 0
    assert cluster.document()["global_maintenance"] is True
    assert hosted_engine(site, "--set-maintenance", "--mode=none").code == 0
    assert cluster.document()["global_maintenance"] is False


def grep(pattern: str, text: str) -> int:
    return subprocess.run(["grep", "-q", pattern], input=text.encode(), check=False).returncode


def test_shutdown_role_searches_for_a_running_engine(cluster: Cluster) -> None:
    assert grep('"vm": "up"', cluster.status("--json")) == 0
    assert grep('"vm": "up"', cluster.status()) == 0
    cluster.says(replace(ENGINE_HERE, engine_status=DOWN, state="EngineDown"))
    assert grep('"vm": "up"', cluster.status("--json")) == 1
    assert grep('"vm": "up"', cluster.status()) == 1


# --- the web page ---------------------------------------------------------------------------

WEB_PAGE = """
const status = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const page = { globalMaintenance: status.global_maintenance, running: null, hosts: [] };
delete status.global_maintenance;
for (const key in status) {
  if (status[key]["engine-status"]["vm"] === "up") {
    page.running = status[key]["hostname"];
  }
}
for (const id in status) {
  const host = status[id];
  page.hosts.push(
    host.hostname + " stopped: " + host.stopped.toString() +
    " maintenance: " + host.maintenance.toString() + " vm: " + host["engine-status"].vm
  );
}
console.log(JSON.stringify(page));
"""


def web_page(text: str) -> dict[str, Any]:
    node = shutil.which("node")
    assert node, "nodejs is missing; tests/levels.py names it for this level"
    done = subprocess.run(
        [node, "-e", WEB_PAGE], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_web_page_shows_the_engines_host_and_no_other(cluster: Cluster) -> None:
    assert web_page(cluster.status("--json")) == {
        "globalMaintenance": False,
        "running": "h1",
        "hosts": [
            "h1 stopped: false maintenance: false vm: up",
            "h2.example.com stopped: false maintenance: false vm: unknown",
            "unknown stopped: false maintenance: false vm: unknown",
        ],
    }


def test_web_page_shows_maintenance(cluster: Cluster) -> None:
    cluster.client.set_global_maintenance(True, timeout_s=10 * FACTOR)
    cluster.client.set_local_maintenance(True)
    cluster.client.publish(ENGINE_HERE)  # as the agent does all the time
    wait_for(
        "this host's own maintenance",
        lambda: "maintenance: true" in web_page(cluster.status("--json"))["hosts"][0],
    )
    assert web_page(cluster.status("--json"))["globalMaintenance"] is True


# --- checks -----------------------------------------------------------------------------------


def test_test_framework_splits_what_hosts_say(cluster: Cluster) -> None:
    status = cluster.document()
    states, names = {}, {}
    for key, data in status.items():
        if key.isdigit():
            lines = data["extra"].split("\n")
            states[key] = dict(line.split("=") for line in lines if line)["state"]
            names[key] = data["hostname"].split(".")[0]
    assert set(status) - set(states) == {"global_maintenance"}
    assert states == {"1": "EngineUp", "2": "EngineUp", "3": "unknown"}
    assert names == {"1": "h1", "2": "h2", "3": "unknown"}
    running = [data for key, data in status.items() if key in states and _is_up(data)]
    assert [data["hostname"] for data in running] == ["h1"]


@pytest.mark.parametrize("state", [State.ENGINE_MIGRATING_AWAY, State.LOCAL_MAINTENANCE_MIGRATE_VM])
def test_an_engine_that_moves_is_told_in_the_words_that_all_of_them_know(
    cluster: Cluster, state: State
) -> None:
    before = cluster.document()
    notes = (("why", "the engine moves to h2"), ("moving", "to h2, others wait 40 s"))
    move = MoveReport("maintenance", MovePhase.MOVING, "h2", 1, ("h3: no room",), 0.34)
    moves = replace(ENGINE_HERE, state=state.value, notes=notes, move=move)
    cluster.says(moves)
    line = f"state={state.value}"
    wait_for("it is told", lambda: line in cluster.document()["1"]["extra"].split("\n"))
    after = cluster.document()
    assert set(after) == set(before)
    assert set(after["1"]) == set(before["1"])
    assert after["1"]["engine-status"] == {"detail": "Up", "health": "good", "vm": "up"}
    lines = dict(line.split("=") for line in after["1"]["extra"].split("\n") if line)
    assert lines["state"] == state.value
    assert "no room" not in cluster.status("--json"), "what is not written is not told here"
    assert holds(UNTIL_HEALTHY, 0, cluster.status("--json"))


def _is_up(data: dict[str, Any]) -> bool:
    vm: str = data["engine-status"]["vm"]
    return vm.lower() == "up"


def test_node_check_compares_exactly(cluster: Cluster) -> None:
    status = cluster.document()
    assert status["1"]["engine-status"] == {"detail": "Up", "health": "good", "vm": "up"}
    assert status["1"]["score"] == 3400


def test_node_check_evaluates_the_line_as_python(cluster: Cluster) -> None:
    """It does so with these two words, and no third one that JSON knows."""
    names = {"true": True, "false": False, "__builtins__": {}}
    found = eval(cluster.status("--json"), names)
    assert found["1"]["score"] == 3400


@pytest.mark.parametrize(("score", "warns"), [(3400, []), (2800, ["h1"])])
def test_monitoring_warns_of_a_low_score(cluster: Cluster, score: int, warns: list[str]) -> None:
    cluster.says(replace(ENGINE_HERE, score=score))
    wait_for("the score", lambda: cluster.document()["1"]["score"] == score)
    live = [data for data in cluster.document().values() if data and data["live-data"]]
    assert [data["hostname"] for data in live if data["score"] < 3400] == warns


# --- the host daemon --------------------------------------------------------------------------


def test_host_daemon_reports_this_host(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(cluster.site).items():
        monkeypatch.setenv(name, value)
    client = HAClient()
    host_id = client.get_local_host_id()
    assert (client.is_deployed(), host_id) == (True, 1)
    client.set_maintenance_mode(HAClient.MaintenanceMode.GLOBAL, True, timeout=10 * FACTOR)
    stats = client.get_all_stats(timeout=5 * FACTOR)
    assert stats[0].get(HAClient.GlobalMdFlags.MAINTENANCE, False) is True
    own = stats[1]
    assert (own["live-data"], own["score"], own["maintenance"]) == (True, 3400, False)
    client.set_maintenance_mode(HAClient.MaintenanceMode.GLOBAL, False, timeout=10 * FACTOR)
    assert client.get_all_stats(timeout=5 * FACTOR)[0] == {"maintenance": False}


def test_host_daemon_finds_types_and_not_texts(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(cluster.site).items():
        monkeypatch.setenv(name, value)
    own = HAClient().get_all_host_stats()[1]
    assert {key: type(value).__name__ for key, value in own.items()} == {
        "host-id": "int",
        "host-ts": "int",
        "score": "int",
        "engine-status": "str",
        "hostname": "str",
        "maintenance": "bool",
        "stopped": "bool",
        "crc32": "str",
        "conf_on_shared_storage": "bool",
        "local_conf_timestamp": "int",
        "extra": "str",
        "live-data": "bool",
    }
    assert json.loads(own["engine-status"]) == {"vm": "up", "health": "good", "detail": "Up"}


# --- support ----------------------------------------------------------------------------------

LABELS = (
    "Host ID",
    "Host timestamp",
    "Score",
    "Engine status",
    "Hostname",
    "Local maintenance",
    "stopped",
    "crc32",
    "conf_on_shared_storage",
    "local_conf_timestamp",
    "Status up-to-date",
)


def test_support_collects_the_text_it_knows(cluster: Cluster) -> None:
    text = cluster.status()
    block = text.split("--== Host ")[1]
    assert block.startswith("h1 (id: 1) status ==--\n\n")
    labelled = [line for line in block.splitlines() if len(line) > 35 and line[35] == ":"]
    assert tuple(line[:35].rstrip() for line in labelled)[:11] == LABELS
    assert 'Engine status                      : {"vm": "up", "health": "good"' in block
    assert "Extra metadata (valid at timestamp):\n\tmetadata_parse_version=1\n" in block
    silent = text.split("--== Host ")[2]
    # The broker has just started; what it says later is in the unit tests of the text.
    assert "Status up-to-date                  : not decided yet\n" in silent
    assert '"vm": "unknown", "health": "unknown"' in silent


def test_support_sees_global_maintenance_before_and_after(cluster: Cluster) -> None:
    cluster.client.set_global_maintenance(True, timeout_s=10 * FACTOR)
    lines = cluster.status().splitlines()
    banner = "!! Cluster is in GLOBAL MAINTENANCE mode !!"
    assert (lines[0], lines[-1], lines.count(banner)) == (banner, banner, 2)


def test_support_sees_that_a_host_is_not_deployed(cluster: Cluster) -> None:
    cluster.site.settings_file.unlink()
    done = hosted_engine(cluster.site, "--vm-status")
    assert (done.code, done.out, done.err) == (1, "You must run deploy first\n", "")
