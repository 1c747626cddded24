# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a simulated world is made of: ``world.yaml``.

Every key may be left out::

    hosts: 3                  # a count (h1, h2, h3), or a mapping of names to what they are:
    # hosts: {h1: {}, h2: {watchdog: false, latency_s: 0.02, version: newer, boot_s: 40}}
    cluster:                  # as on the shared storage; or the word `deployed`
      timing: {tick_s: 5, io_timeout_s: 2}
    engine: {boot_s: 20, shutdown_s: 5}
    start: running            # second 0: the engine is healthy on h1 and all is at rest; or
                              # `cold`: the hosts are switched on at second 0
    seed: 1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Callable, Optional

from metadata.error_words import shown
from metadata.layout import MAX_HOSTS
from metadata.sanlock_usual import USUAL_FIRE_TIMEOUT_S
from metadata.settings.parse import (
    ClusterSettings,
    SettingsError,
    cluster_settings_to_data,
    parse_cluster_settings,
)
from metadata.settings.schema import Reader, Rule, integer, number, without_empty
from metadata.settings.timing import KILL_S
from simulation.errors import InputError
from simulation.yaml_reader import Document, parse_document, read_document
from world.plain_yaml import yaml_text

MOST_HOSTS = 9
HOST_CPUS = 4
HOST_NAMES = tuple(f"h{number}" for number in range(1, MOST_HOSTS + 1))
VERSIONS = ("same", "older", "newer", "too-new")
STARTS = ("running", "cold")
LEASES = ("same", "other")
DEPLOYED = "deployed"

ClusterSource = Callable[[], ClusterSettings]


@dataclass(frozen=True)
class HostTraits:
    """One host.

    watchdog         a hardware watchdog resets the host when sanlock dies or can't renew
    watchdog_fire_timeout_s  sanlock's watchdog_fire_timeout
    copy_of          it is a copy of that host's disk, and takes itself for that one; empty: it is
                     none. A copy is off until it is switched on
    latency_s        what each storage operation takes
    version          how it writes its records: as this program, older, newer or too new
    boot_s           from power-on until its services run
    gateway          has one that it watches
    clock_drift_ppm  how many microseconds a second its wall clock gains
    lease            what its own settings name as the engine's lease: the same as everybody's, or
                     another, so that it refuses the domain
    """

    name: str
    host_id: int
    watchdog: bool = True
    watchdog_fire_timeout_s: int = USUAL_FIRE_TIMEOUT_S
    latency_s: float = 0.005
    version: str = "same"
    boot_s: float = 30.0
    gateway: bool = True
    clock_drift_ppm: float = 0.0
    lease: str = "same"
    copy_of: str = ""


@dataclass(frozen=True)
class EngineTraits:
    """How long the engine's guest takes to become healthy, and to shut down when asked.

    start_s        how long libvirt takes to make its qemu
    kill_s         how long libvirt takes to switch its qemu off (it waits 15 s at the most)
    cpus           how many of its host's four CPUs it keeps busy
    cpu_unknown_s  how long after a start libvirt says that it has used none
    page           false: the settings name no health page
    """

    boot_s: float = 20.0
    shutdown_s: float = 5.0
    kill_s: float = 0.0
    cpus: float = 0.5
    cpu_unknown_s: float = 0.0
    page: bool = True
    start_s: float = 0.0


def counted_hosts(count: int) -> tuple[HostTraits, ...]:
    """h1, h2 ... with nothing special about them."""
    return tuple(HostTraits(HOST_NAMES[index], index + 1) for index in range(count))


@dataclass(frozen=True)
class WorldSettings:
    """A whole world; `start` is "running" or "cold"."""

    hosts: tuple[HostTraits, ...] = counted_hosts(3)
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    engine: EngineTraits = field(default_factory=EngineTraits)
    start: str = "running"
    seed: int = 1


def _word(*words: str) -> Rule:
    return Rule(" or ".join(words), lambda value: isinstance(value, str) and value in words)


_SWITCH = Rule("true or false", lambda value: type(value) is bool)
_SECONDS = number(0, 3600)
_HOST: dict[str, Rule] = {
    "host_id": integer(1, MAX_HOSTS),
    "watchdog": _SWITCH,
    "watchdog_fire_timeout_s": integer(1, 3600),
    "latency_s": number(0, 60),
    "version": _word(*VERSIONS),
    "boot_s": _SECONDS,
    "gateway": _SWITCH,
    "clock_drift_ppm": number(-10_000, 10_000),
    "lease": _word(*LEASES),
    "copy_of": _word(*HOST_NAMES),
}
_ENGINE: dict[str, Rule] = {
    "boot_s": _SECONDS,
    "shutdown_s": _SECONDS,
    "start_s": _SECONDS,
    "kill_s": number(0, KILL_S),
    "cpus": number(0, HOST_CPUS),
    "cpu_unknown_s": _SECONDS,
    "page": _SWITCH,
}
_TOP: dict[str, Rule] = {"start": _word(*STARTS), "seed": integer(0, 2**63 - 1)}
_KEYS = ["hosts", "cluster", "engine", *_TOP]
_COUNT_OR_HOSTS = (
    f"a number of hosts from 1 to {MOST_HOSTS}, or a mapping of the names "
    f"{HOST_NAMES[0]} to {HOST_NAMES[-1]} to what they are"
)


def load_world(path: str, deployed: Optional[ClusterSource] = None) -> WorldSettings:
    """Read ``world.yaml``; `deployed` gives the settings that ``cluster: deployed`` stands for.

    Raises InputError.
    """
    return _world(read_document(path), deployed)


def parse_world(
    text: str, source: str = "world.yaml", deployed: Optional[ClusterSource] = None
) -> WorldSettings:
    """The same from a text; `source` names it in messages. Raises InputError."""
    return _world(parse_document(text, source), deployed)


def dump_world(settings: WorldSettings) -> str:
    """YAML that `parse_world` reads back to the same settings; defaults are left out."""
    whole = WorldSettings()
    data: dict[str, Any] = {"hosts": _hosts_to_data(settings.hosts)}
    cluster = cluster_settings_to_data(settings.cluster)
    data["cluster"] = _differing(cluster, cluster_settings_to_data(whole.cluster))
    data["engine"] = _differing(asdict(settings.engine), asdict(whole.engine))
    data["start"] = settings.start
    data["seed"] = settings.seed
    return yaml_text(data, default_flow_style=None)


# --- reading ------------------------------------------------------------------------------


def _world(document: Document, deployed: Optional[ClusterSource]) -> WorldSettings:
    reader = Reader("")
    top = reader.mapping(document.data, "")
    if top is None:
        raise InputError(document.located(reader.problems))
    top = without_empty(top, ("hosts", "cluster", "engine"))
    reader.unknown_keys(top, _KEYS)
    fields = reader.fields(top, _TOP)
    engine = reader.section(top.get("engine", {}), _ENGINE, "engine")
    hosts = _hosts(reader, top.get("hosts", 3))
    cluster = _cluster(reader, top.get("cluster", {}), deployed)
    if reader.problems:
        raise InputError(document.located(reader.problems))
    return WorldSettings(hosts, cluster, EngineTraits(**engine), **fields)


def _cluster(reader: Reader, data: object, deployed: Optional[ClusterSource]) -> ClusterSettings:
    if not isinstance(data, Mapping):
        return _deployed(reader, data, deployed)
    try:
        return parse_cluster_settings(data, "")
    except SettingsError as error:
        reader.problems += [f"cluster.{problem}" for problem in error.problems]
    return ClusterSettings()


def _deployed(reader: Reader, data: object, deployed: Optional[ClusterSource]) -> ClusterSettings:
    if data != DEPLOYED or deployed is None:
        allowed = f"a mapping, or {DEPLOYED} for the settings that this host runs with"
        reader.problem("cluster", f"{shown(data)} is refused; allowed: {allowed}")
        return ClusterSettings()
    try:
        return deployed()
    except InputError as error:
        for why in error.problems:
            reader.problem("cluster", f"{DEPLOYED}: {why}")
    return ClusterSettings()


def _hosts(reader: Reader, data: object) -> tuple[HostTraits, ...]:
    if type(data) is int and 1 <= data <= MOST_HOSTS:
        return counted_hosts(data)
    if not isinstance(data, Mapping) or not data:
        reader.problem("hosts", f"{shown(data)} is refused; allowed: {_COUNT_OR_HOSTS}")
        return ()
    reader.unknown_keys(data, list(HOST_NAMES), "hosts")
    # Two hosts with one id are a mistake that people make: what happens then can be asked.
    found = [_host(reader, name, data[name]) for name in HOST_NAMES if name in data]
    return tuple(_with_originals_id(reader, host, found) for host in found)


def _host(reader: Reader, name: str, data: object) -> HostTraits:
    fields = reader.section({} if data is None else data, _HOST, f"hosts.{name}")
    return HostTraits(name, **{"host_id": HOST_NAMES.index(name) + 1, **fields})


def _with_originals_id(reader: Reader, host: HostTraits, hosts: Sequence[HostTraits]) -> HostTraits:
    if not host.copy_of:
        return host
    originals = [one for one in hosts if one.name == host.copy_of and not one.copy_of]
    if not originals:
        allowed = "another host of this world that is no copy itself"
        reader.problem(
            f"hosts.{host.name}.copy_of", f"{shown(host.copy_of)} is refused; allowed: {allowed}"
        )
        return host
    return replace(host, host_id=originals[0].host_id)


# --- writing ------------------------------------------------------------------------------


def _hosts_to_data(hosts: tuple[HostTraits, ...]) -> Any:
    if hosts == counted_hosts(len(hosts)):
        return len(hosts)
    return {host.name: _host_to_data(host) for host in hosts}


def _host_to_data(host: HostTraits) -> dict[str, Any]:
    usual = HostTraits(host.name, HOST_NAMES.index(host.name) + 1)
    return _differing(asdict(host), asdict(usual))


def _differing(data: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """What in `data` is not as in `usual`, mappings likewise."""
    found = {}
    for key, value in data.items():
        known = usual.get(key, {})
        if value == known:
            continue
        found[key] = _differing(value, known) if isinstance(value, Mapping) else value
    return found
