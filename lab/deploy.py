# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Deploying the product on the hosts, as an administrator does it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lab import engine, host, hostroot
from lab.errors import LabError
from lab.settings import (
    GATEWAY_ADDRESS,
    HEALTH_TEXT,
    HEALTH_URL,
    HOST_LEASES,
    MANAGEMENT_BRIDGE,
    METRICS_PORT,
    USUAL_FIRE_TIMEOUT_S,
    Places,
)
from lab.state import Lab

DEPLOY_TIMEOUT_S = 120.0
STATUS_TIMEOUT_S = 5.0
ANSWERS = Path("root/answers.yaml")
ENGINE_XML = Path("root/engine.xml")
DEPLOY = ("hosted-engine", "--deploy", f"--config-append=/{ANSWERS}")


def write_answers(places: Places, lab: Lab) -> None:
    """Put the answer files for the deployment into the hosts."""
    first, *others = lab.hosts
    write_domain(places, lab, first)
    _answers_file(places, first).write_text(_first_answers(lab), encoding="utf-8")
    for name in others:
        answers = [*_storage_and_host(), ""]
        _answers_file(places, name).write_text("\n".join(answers), encoding="utf-8")


def write_domain(places: Places, lab: Lab, name: str) -> None:
    """Put the engine's domain into one host."""
    xml = hostroot.root(places, name) / ENGINE_XML
    xml.write_text(engine.domain_xml(lab), encoding="utf-8")


def deploy(places: Places, name: str) -> None:
    """Run the product's deployment on one host."""
    try:
        host.run_in(places, name, DEPLOY, DEPLOY_TIMEOUT_S)
    except LabError as error:
        raise LabError(f"deployment failed: {error}") from error


def own_record(places: Places, name: str) -> dict[str, Any]:
    """What a host's own status command says of that host; empty when it says nothing."""
    status = ("hosted-engine", "--vm-status", "--json")
    try:
        answer: dict[str, Any] = json.loads(host.run_in(places, name, status, STATUS_TIMEOUT_S))
    except (LabError, ValueError):
        return {}
    records = [entry for key, entry in answer.items() if key.isdigit() and isinstance(entry, dict)]
    return next((entry for entry in records if entry.get("hostname") == name), {})


def state_in(record: dict[str, Any]) -> str | None:
    """The state among the lines of a record's extra text."""
    for line in str(record.get("extra", "")).splitlines():
        key, _, value = line.partition("=")
        if key == "state":
            return value
    return None


def _answers_file(places: Places, name: str) -> Path:
    return hostroot.root(places, name) / ANSWERS


def _storage_and_host() -> list[str]:
    """What every host is answered. Only the lab's own LAN reaches the metrics."""
    return [
        "storage:",
        f"  path: {HOST_LEASES}",
        "host:",
        f"  metrics: {{listen: '0.0.0.0:{METRICS_PORT}'}}",
    ]


def _times(lab: Lab) -> list[str]:
    """Our own times must fit below the floor; the usual ones do where sanlock's are the usual."""
    if lab.fire_timeout_s == USUAL_FIRE_TIMEOUT_S:
        return []
    tick_s = 2
    return ["timing:", f"  tick_s: {tick_s}", f"  alive_s: {lab.lease_floor_s - 3 * tick_s:g}"]


def _first_answers(lab: Lab) -> str:
    return "\n".join(
        [
            *_storage_and_host(),
            f"  bridge: {MANAGEMENT_BRIDGE}",
            f"  gateway: {GATEWAY_ADDRESS}",
            "engine:",
            f"  domain_xml_file: /{ENGINE_XML}",
            f"  health_url: {HEALTH_URL}",
            f"  health_text: {HEALTH_TEXT}",
            "sanlock:",
            f"  io_timeout_s: {lab.io_timeout_s}",
            *_times(lab),
            # There are only these hosts in the lab's LAN, and no certificates.
            "migration:",
            "  uri: qemu+tcp://{address}/system",
            # All hosts here share the CPUs of one machine: what one of them does, or somebody
            # else on it, is the load of all. It is measured and shall not move the engine.
            "score:",
            "  cpu_load: 0",
            "",
        ]
    )
