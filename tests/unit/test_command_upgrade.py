# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""--upgrade-check as a command: what it asks, prints and returns."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ha_broker.api.snapshot import Snapshot, StorageView
from ha_broker.api.snapshot_json import snapshot_to_data
from ha_broker.server.mailbox import Refusal
from hosted_engine.main import main
from metadata.settings.parse import ClusterSettings, cluster_settings_to_data
from metadata.shared_config import SharedConfig, StoredConfig, encode_stored
from tests.unit.command_broker import HOST_YAML, FakeBroker, undeployed
from tests.unit.test_upgrade_judgement import OLDER_HOST, engines_host, peer, seen

CONFIG = SharedConfig(1, ClusterSettings(), "<domain/>")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    undeployed(tmp_path, monkeypatch).write_text(HOST_YAML)
    return tmp_path


@pytest.fixture
def broker(place: Path) -> Iterator[FakeBroker]:
    server = FakeBroker(str(place / "broker.sock"))
    tell(server, seen())
    store(server, {})
    yield server
    server.stop()


def tell(broker: FakeBroker, given: Snapshot) -> None:
    now_s = time.monotonic()
    aged = replace(given, storage=StorageView(last_read_at_s=now_s), agent_published_at_s=now_s)
    broker.answers["/v1/status"] = lambda: snapshot_to_data(aged, now_s)


def store(broker: FakeBroker, settings: dict[str, Any]) -> None:
    copy = base64.b64encode(encode_stored(StoredConfig(CONFIG, settings))).decode()
    broker.answers["/v1/config/copy"] = lambda: {"copy": copy}


def refuse() -> Any:
    raise Refusal(503, "not read yet")


def test_yes_is_exit_code_0(broker: FakeBroker, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--upgrade-check"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.startswith("h1 may be upgraded now.\n")
    assert "\nThe order\n  - h1, then h3, then h2 (the engine's host, last)" in printed.out


def test_no_is_exit_code_1_with_the_reasons(
    broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(broker, seen(global_maintenance=True))
    assert main(["--upgrade-check"]) == 1
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.startswith("Not h1 now:\n  - global maintenance is on")


@pytest.mark.parametrize("maintenance", [False, True])
def test_the_json_form_is_one_document(
    broker: FakeBroker, capsys: pytest.CaptureFixture[str], maintenance: bool
) -> None:
    tell(broker, seen(global_maintenance=maintenance))
    assert main(["--upgrade-check", "--json"]) == int(maintenance)
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    document = json.loads(printed)
    assert document["may_upgrade"] is not maintenance
    assert len(document["reasons"]) == int(maintenance)
    assert document["global_maintenance"] is maintenance
    assert document["order"] == ["h1", "h3", "h2"]
    assert (document["host"], document["engine_host"]) == ("h1", "h2")
    h1, h2, h3 = document["hosts"]
    assert (h1["this_host"], h2["engine_here"], h3["can_take_engine"]) == (True, True, True)
    assert (h3["program"], h3["parse_version"], h3["feature_version"]) == ("0.1.0", 1, 1)
    assert h3["config_version"] == 1


@pytest.mark.parametrize("migration", [False, True])
def test_it_goes_by_the_settings_as_they_are_stored(
    broker: FakeBroker, capsys: pytest.CaptureFixture[str], migration: bool
) -> None:
    """Not by the defaults of those that were left out."""
    tell(broker, seen(engines_host(), peer(4), OLDER_HOST))
    data = cluster_settings_to_data(CONFIG.settings)
    store(broker, data if migration else {"timing": data["timing"]})
    assert main(["--upgrade-check", "--json"]) == 0
    hosts = json.loads(capsys.readouterr().out)["hosts"]
    found = {host["name"]: host["refused_settings"] for host in hosts}
    assert found.pop("h3") == (["migration"] if migration else [])
    assert set(map(len, found.values())) == {0}


def test_a_broker_that_does_not_tell_its_settings(
    broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(broker, seen(engines_host(), peer(4), OLDER_HOST))
    broker.answers["/v1/config/copy"] = broker.answers["/v1/config"] = refuse
    assert main(["--upgrade-check"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "keys that an older program refuses is not known" in printed


def test_without_a_broker(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--upgrade-check"]) == 1
    assert "systemctl status ha-broker" in capsys.readouterr().err
    assert main(["--upgrade-check", "--json"]) == 1
    assert "there is no broker" in json.loads(capsys.readouterr().out)["error"]


def test_a_host_that_is_not_deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    undeployed(tmp_path, monkeypatch)
    assert main(["--upgrade-check", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"error": "You must run deploy first"}


@pytest.mark.parametrize("wrong", ["--wait", "--mode=local", "h2"])
def test_wrong_options(place: Path, wrong: str) -> None:
    assert main(["--upgrade-check", wrong]) == 2
