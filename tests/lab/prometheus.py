# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A Prometheus of the tests' own: its configuration, its data, its port; no service."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.verbs import scaled
from tests.unit.monitoring_files import DIRECTORY

# The rules are those of the manual; only for how long something must be so is shortened.
FOR = "2s"
START_TIMEOUT_S = 30.0


class Prometheus:
    """The running server, through its HTTP interface alone."""

    def __init__(self, address: str) -> None:
        self._address = address

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The samples of an instant query; fails when Prometheus does not understand it."""
        parameters = urllib.parse.urlencode({"query": expr})
        answer = self._get(f"/api/v1/query?{parameters}")
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def firing(self) -> set[str]:
        """The names of the alerts that fire now."""
        found = self.query('ALERTS{alertstate="firing"}')
        return {one["metric"]["alertname"] for one in found}

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self._address}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _get(self, target: str) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://{self._address}{target}", timeout=10) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{target}: {error.read().decode()}") from None


def wait_for(what: str, condition: Callable[[], Any], timeout_s: float) -> None:
    deadline_s = time.monotonic() + scaled(timeout_s)
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {scaled(timeout_s):g} s: {what}"
        time.sleep(0.5)


@contextlib.contextmanager
def running(directory: Path, targets: list[str]) -> Iterator[Prometheus]:
    """It scrapes `targets` (host:port) and goes by the manual's alerts."""
    if shutil.which("prometheus") is None:
        pytest.skip("no prometheus: apt-get install prometheus")
    _write_files(directory, targets)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    log = directory / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={directory}/prometheus.yml",
             f"--storage.tsdb.path={directory}/data", f"--web.listen-address={address}"],
            stdout=output, stderr=output,
        )  # fmt: skip
    try:
        server = Prometheus(address)
        wait_for(f"Prometheus, see {log}", server.is_ready, START_TIMEOUT_S)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(scaled(10))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _write_files(directory: Path, targets: list[str]) -> None:
    rules = yaml.safe_load((DIRECTORY / "alerts.yml").read_text(encoding="utf-8"))
    for rule in rules["groups"][0]["rules"]:
        rule["for"] = FOR
    (directory / "alerts.yml").write_text(yaml.safe_dump(rules))
    static = [{"targets": targets, "labels": {"cluster": "lab"}}]
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["alerts.yml"],
        "scrape_configs": [{"job_name": "hosted-engine", "static_configs": static}],
    }
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
