# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The lab's picture of hosts and engine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lab import deploy, engine, heartbeat, host, lan, lockspace, san, state
from lab.processes import machine_clock_s
from lab.settings import HEALTH_URL, Places, metrics_url
from lab.state import Lab

# A boot that has not written for this long is not alive now.
FRESH_HEARTBEAT_S = 2.0


def collect(places: Places, lab: Lab) -> dict[str, Any]:
    """Everything `lab status` shows."""
    with ThreadPoolExecutor(max_workers=len(lab.hosts) + 1) as pool:
        healthy = pool.submit(lan.engine_is_healthy)
        hosts = dict(zip(lab.hosts, pool.map(lambda name: _host(places, name), lab.hosts)))
        return {
            "engine": _engine(places, lab, healthy.result()),
            "hosts": hosts,
            "gateway": "up" if lan.gateway_is_up() else "down",
            "io_timeout_s": lab.io_timeout_s,
            "fire_timeout_s": lab.fire_timeout_s,
            "lease_floor_s": lab.lease_floor_s,
            "accelerator": lab.accelerator,
            "guest_boot_s": state.noted_value(places, "guest-boot-s"),
        }


def as_text(status: dict[str, Any]) -> str:
    """The same for people."""
    vm = status["engine"]
    where = ", ".join(vm["hosts"]) or "no host"
    lines = [
        f"engine: {'healthy' if vm['healthy'] else 'NOT healthy'}, runs on {where}",
        *(f"        and is paused on {name}" for name in vm["paused_on"]),
        f"        {vm['health_url']}",
        f"gateway: {status['gateway']}",
    ]
    for name, one in status["hosts"].items():
        score = "-" if one["score"] is None else one["score"]
        faults = [f"storage: {one['storage']}"] if one["storage"] != "ok" else []
        faults += [f"network: {one['network']}"] if one["network"] != "ok" else []
        if one["power"] == "on" and one["sees_alive"] != list(status["hosts"]):
            faults.append(f"sanlock sees alive: {', '.join(one['sees_alive']) or 'nobody'}")
        lines.append(
            f"{name}: power {one['power']}, state {one['state'] or '-'}, score {score}"
            + "".join(f", {fault}" for fault in faults)
        )
    return "\n".join(lines)


def _engine(places: Places, lab: Lab, healthy: bool) -> dict[str, Any]:
    found = engine.running(places, lab)
    running = {one.host for one in found}
    idle = [one.host for one in engine.processes_of(places, lab) if one.host not in running]
    # Two at once is what must never be: then there is no such thing as "the" host.
    only = found[0] if len(found) == 1 else None
    return {
        "host": only.host if only else None,
        "hosts": [one.host for one in found],
        "paused_on": idle,
        "healthy": healthy,
        "health_url": HEALTH_URL,
        "pid": only.process.pid if only else None,
        "started_s": only.process.started_s if only else None,
        "boot_id": living_boot(places),
    }


def living_boot(places: Places) -> str | None:
    """The boot that wrote the last heartbeat, if that was just now."""
    beats = list(heartbeat.read_all(places.engine_disk))
    last = max(beats, key=lambda beat: beat.at_s, default=None)
    if last is None or machine_clock_s() - last.at_s > FRESH_HEARTBEAT_S + last.error_s:
        return None
    return last.boot


def _host(places: Places, name: str) -> dict[str, Any]:
    on = host.leader(places, name) is not None
    record = deploy.own_record(places, name) if on else {}
    return {
        "power": "on" if on else "off",
        "state": deploy.state_in(record),
        "score": record.get("score"),
        "sees_alive": lockspace.live_hosts(places, name) if on else [],
        "storage": san.fault_of(places, name) or "ok",
        "network": host.network_state(places, name),
        "metrics_url": metrics_url(name),
    }
