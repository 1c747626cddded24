# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Carrying out a script's commands on a simulated cluster."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from operator import attrgetter
from typing import Callable, Optional, cast

from ha_broker.api.client import BrokerGoneError
from ha_broker.api.snapshot import Snapshot
from hosted_engine.cluster.cluster_status import ClusterStatus, status_json
from hosted_engine.cluster.facts import Cluster
from hosted_engine.cluster.from_broker import cluster_status, unanswered
from hosted_engine.cluster.from_volume import DEFAULT_WATCH_S, watch_volume
from hosted_engine.errors import CommandError
from hosted_engine.explain.command import place_text, without_broker_text
from hosted_engine.explain.text import explain, explanation_text
from hosted_engine.simulate import operator
from hosted_engine.simulate.grammar import ParsedCommand
from hosted_engine.status.text import status_text
from metadata.records import VolumeAddress
from metadata.settings.parse import ClusterSettings
from simulation.cluster import SimCluster
from simulation.errors import SimulationError
from simulation.host import AGENT, BROKER, SimHost
from simulation.world import CallHangs

SANLOCK, LIBVIRT = "sanlock", "libvirtd"
POLL_S = 0.1
_NO_BROKER = BrokerGoneError("ask the broker", "no answer", 0)
KILL, FREEZE, THAW = "--signal=SIGKILL", "--signal=SIGSTOP", "--signal=SIGCONT"


def carry_out(command: ParsedCommand, cluster: SimCluster) -> list[str]:
    """Do it; returns what it prints. Raises SimulationError when it can't be done now."""
    owner, _, name = command.verb.action.partition(".")
    arguments = [*command.arguments, *command.verb.extra]
    if owner == "verbs":
        return _VERBS[name](cluster, *arguments)
    if owner == "cluster":
        getattr(cluster, name)(*arguments)
        return []
    host = cluster.host(str(arguments.pop(0)))
    if owner == "operator":
        getattr(operator, name)(host, *arguments)
    else:
        attrgetter(name)(host)(*arguments)
    return []


# --- hosted-engine ------------------------------------------------------------------------


def _set_maintenance(cluster: SimCluster, name: str, option: str) -> list[str]:
    mode = option.partition("=")[2]
    host = cluster.host(name)
    # `none` ends both, the host's own first, as the command does.
    wanted = [("local", False), ("global", False)] if mode == "none" else [(mode, True)]
    for scope, on in wanted:
        operator.set_maintenance(host, scope, on)
    return []


def _vm_status(cluster: SimCluster, name: str) -> list[str]:
    return status_text(_known_to_broker(cluster.host(name))).splitlines()


def _vm_status_json(cluster: SimCluster, name: str) -> list[str]:
    return [status_json(_known_to_broker(cluster.host(name)))]


def _known_to_broker(host: SimHost) -> ClusterStatus:
    snapshot = _snapshot_of(host)
    if snapshot is None:
        raise SimulationError(unanswered(_NO_BROKER))
    return cluster_status(snapshot, host.clock.monotonic_s())


def _snapshot_of(host: SimHost) -> Optional[Snapshot]:
    """What its broker answers; None: nothing."""
    host.need_awake()
    return host.snapshot if host.broker_process.running else None


def _explain(cluster: SimCluster, name: str) -> list[str]:
    host = cluster.host(name)
    snapshot = _snapshot_of(host)
    if snapshot is None or host.broker is None:
        gone = BrokerGoneError("ask for the status", "nobody answers at its socket", 0)
        place = place_text(cluster.shared.parts.metadata)
        return without_broker_text(gone, place).splitlines()
    config = host.broker.mailbox.config()
    settings = config.settings if config else ClusterSettings()
    known = Cluster(snapshot, settings, host.clock.monotonic_s(), host.clock.wall_s())
    return explanation_text(explain(known)).splitlines()


def _volume_status(cluster: SimCluster, name: str, address: str) -> list[str]:
    """Takes its time, as the command does: it watches which records change."""
    host = cluster.host(name)
    host.need_awake()
    reader = _StorageReader(cluster, host)
    try:
        found = watch_volume(
            lambda _path: reader, address, DEFAULT_WATCH_S, host.clock, cluster.run_for
        )
    except CommandError as error:
        raise SimulationError(error.message) from error
    except CallHangs:
        raise SimulationError(f"{address}: the storage has not answered") from None
    return status_text(found).splitlines()


class _StorageReader:
    """The shared storage as a command on `host` reads it."""

    def __init__(self, cluster: SimCluster, host: SimHost) -> None:
        self._shared = cluster.shared
        self._host = host

    def read(self, address: VolumeAddress, size: int) -> bytes:
        self.size(address.path)
        return self._shared.get(address, size)

    def size(self, path: str) -> int:
        return self._host.store.size(path)


# --- systemctl ----------------------------------------------------------------------------


def _systemctl(cluster: SimCluster, name: str, what: str, *units: str) -> list[str]:
    host = cluster.host(name)
    stops_both = what in ("stop", "restart") and {AGENT, BROKER} <= set(units)
    for unit in units:
        if unit not in (AGENT, BROKER):
            _others(host, unit, what)
        elif not stops_both:
            host.service(unit, _SERVICE_VERBS[what])
        elif unit == AGENT:
            host.service(AGENT, "stop")
    if stops_both:
        _stop_both(cluster, host, what == "restart")
    return []


def _stop_both(cluster: SimCluster, host: SimHost, start_again: bool) -> None:
    """The units' order: the broker is stopped after the agent, and started before it."""
    _when(cluster, lambda: host.agent is None, lambda: _stop_broker(cluster, host, start_again))


def _stop_broker(cluster: SimCluster, host: SimHost, start_again: bool) -> None:
    host.service(BROKER, "stop")
    if start_again:
        _when(cluster, lambda: host.broker is None, lambda: _start_both(host))


def _start_both(host: SimHost) -> None:
    host.service(BROKER, "start")
    host.service(AGENT, "start")


def _when(
    cluster: SimCluster, holds: Callable[[], bool], do: Callable[[], None], within_s: float = 60.0
) -> None:
    """Look again and again until it holds; unless something else was ordered meanwhile."""
    if holds():
        with suppress(SimulationError):  # the host may have lost its power
            do()
    elif within_s > 0:
        again = partial(_when, cluster, holds, do, within_s - POLL_S)
        cluster.at(cluster.now_s + POLL_S, again)


def _systemctl_kill(cluster: SimCluster, name: str, *units: str) -> list[str]:
    """SIGTERM: each of them stops in order, and the service manager starts it again."""
    for unit in units:
        _systemctl(cluster, name, "restart", unit)
    return []


def _others(host: SimHost, unit: str, what: str) -> None:
    action = _OTHERS.get((unit, what))
    if action is None:
        known = " or ".join(known for name, known in _OTHERS if name == unit)
        raise SimulationError(f"{unit}: {what} is not simulated; allowed: {known}")
    action(host)()


_SERVICE_VERBS = {
    "start": "start",
    "stop": "stop",
    "restart": "restart",
    KILL: "kill",
    FREEZE: "freeze",
    THAW: "thaw",
}
_OTHERS: dict[tuple[str, str], Callable[[SimHost], Callable[[], None]]] = {
    (SANLOCK, "start"): attrgetter("sanlock.start"),
    (SANLOCK, KILL): attrgetter("sanlock.kill"),
    (LIBVIRT, "start"): attrgetter("libvirt.start"),
    (LIBVIRT, "stop"): attrgetter("libvirt.stop"),
    (LIBVIRT, "restart"): attrgetter("libvirt.restart"),
    (LIBVIRT, KILL): attrgetter("libvirt.restart"),
    (LIBVIRT, FREEZE): attrgetter("libvirt.hang"),
    (LIBVIRT, THAW): attrgetter("libvirt.heal"),
}
_VERBS = cast(
    dict[str, Callable[..., list[str]]],
    {
        "set_maintenance": _set_maintenance,
        "vm_status": _vm_status,
        "explain": _explain,
        "vm_status_json": _vm_status_json,
        "volume_status": _volume_status,
        "systemctl": _systemctl,
        "systemctl_kill": _systemctl_kill,
    },
)
