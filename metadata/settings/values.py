# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The settings as frozen values; `metadata.settings.parse` reads, checks and writes them.

They stand apart so that the layout and the timing rules can use them without the parser.
Import them from `metadata.settings.parse`.
"""

from __future__ import annotations

from dataclasses import field
from typing import Optional

from metadata.settings.metrics import MetricsSettings
from metadata.settings.monitors import MonitorSettings
from metadata.settings.notifications import NotificationSettings
from metadata.settings.storage_connection import StorageConnection
from metadata.storage_parts import StorageParts
from metadata.value_class import value_class


@value_class(frozen=True)
class HostSettings:
    """``host.yaml``: what is local to this host.

    `connection` None: somebody else sees to it that the storage is there. `socket_group` is the
    name of the group whose members may ask the broker; empty: root alone. `command_users` are the
    names of users who may also have it do something, sorted. `migration_address` is the name or IP
    address by which the other hosts' libvirt reaches the one here; empty: the host's name.
    """

    host_id: int
    host_name: str
    storage: StorageParts
    bridge: str = ""
    gateway: str = ""
    libvirt_uri: str = "qemu:///system"
    socket_group: str = ""
    command_users: tuple[str, ...] = ()
    connection: Optional[StorageConnection] = None
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    migration_address: str = ""

    @property
    def reached_at(self) -> str:
        """The name or address by which another host's libvirt reaches this one's."""
        return self.migration_address or self.host_name


@value_class(frozen=True)
class EngineSettings:
    """What the engine is and how its health is seen.

    Without a `health_url` the page is the usual one of the engine named `fqdn`. With
    `health_ca_file` an HTTPS page's certificate is verified. `guest_agent`: the domain has one
    that can be asked whether the guest lives.
    """

    domain_name: str = "HostedEngine"
    fqdn: str = ""
    health_url: str = ""
    health_text: str = "DB Up"
    health_timeout_s: float = 5.0
    health_ca_file: str = ""
    guest_agent: bool = False

    @property
    def page_url(self) -> str:
        """Where the engine's health is asked for; empty: nowhere."""
        if self.health_url or not self.fqdn:
            return self.health_url
        return f"http://{self.fqdn}/ovirt-engine/services/health"


@value_class(frozen=True)
class Timing:
    """The cluster's times, in seconds; `check_timing` says which combinations are safe.

    `turn_s` is how long the next in rank waits for the one before it to take a free lease;
    `isolated_s` how long nobody may reach an engine's host that is cut off the network.
    `migration_s` and `save_s` are how long libvirt may hold the VM paused: for a migration, and
    while it saves, dumps, snapshots or restores it.
    """

    tick_s: float = 5.0
    alive_s: float = 60.0
    start_s: float = 60.0
    starting_s: float = 600.0
    bad_health_s: float = 300.0
    stop_s: float = 300.0
    away_s: float = 40.0
    unexpected_down_s: float = 560.0
    retry_window_s: float = 600.0
    turn_s: float = 25.0
    migration_s: float = 600.0
    save_s: float = 600.0
    io_timeout_s: int = 10
    isolated_s: float = 60.0


@value_class(frozen=True)
class ScoreWeights:
    """Points; penalties are subtracted from `base`."""

    base: int = 3400
    network: int = 1600
    cpu_load: int = 1000
    cpu_load_from: float = 0.4
    cpu_load_full: float = 0.9
    vm_config_outdated: int = 1000
    bridge_down: int = 600
    memory_low: int = 400
    failed_start: int = 50
    failed_starts_to_zero: int = 3


@value_class(frozen=True)
class NetworkSettings:
    """How hosts look whether their network works.

    bridge, gateway   what a host that joins takes as its own when it is given nothing else
    test              what is tried: "ping", "dns", "tcp" or "none"
    target            what is asked: an address (ping), a name server (dns), host:port (tcp);
                      empty: the host's gateway, or the name servers of its resolv.conf
    probes            how many of the latest count
    """

    bridge: str = ""
    gateway: str = ""
    test: str = "ping"
    target: str = ""
    probes: int = 5
    probe_timeout_s: float = 5.0


@value_class(frozen=True)
class MigrationSettings:
    """How the engine is moved to another host while it runs.

    uri               where a host's libvirt is reached; {address} stands for its migration_address
    bandwidth_mib_s   at most so many MiB a second; 0: as fast as it goes
    downtime_ms       how long libvirt may pause the VM for the last step
    limit_s           given up after so many seconds: the engine stays
    auto_converge     the guest is slowed down when its memory changes faster than it is copied
    post_copy         it may go on at the target before all of its memory is there. When either
                      host dies then, the VM is lost
    encrypt           the memory goes over the network with TLS of qemu's own. Without it, it goes
                      in clear, whatever `uri` says: that is how the two libvirt talk
    tries             of one move, over all targets, at most
    at_shutdown       what becomes of the engine when its host is shut down: "migrate" (moved alive,
                      or shut down where no host can take it), "stop" (shut down) or "leave"
    shutdown_s        so long the shutdown waits for that at the most
    better_points     a host with so many points more than the engine's gets it alive; 0: never
    better_s          ... once that has lasted for so long without a break
    better_per_day    ... at most so often within 24 hours, all hosts together
    out_of_reach_s    an engine that nobody reaches is moved alive for so long, over all targets,
                      before it is stopped; 0: it is stopped at once
    """

    uri: str = "qemu+tls://{address}/system"
    bandwidth_mib_s: int = 0
    downtime_ms: int = 300
    limit_s: float = 120.0
    auto_converge: bool = True
    post_copy: bool = False
    encrypt: bool = False
    tries: int = 3
    at_shutdown: str = "migrate"
    shutdown_s: float = 180.0
    better_points: int = 800
    better_s: float = 1800.0
    better_per_day: int = 3
    out_of_reach_s: float = 30.0


@value_class(frozen=True)
class ClusterSettings:
    """All cluster-wide settings."""

    engine: EngineSettings = field(default_factory=EngineSettings)
    timing: Timing = field(default_factory=Timing)
    score: ScoreWeights = field(default_factory=ScoreWeights)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    monitors: MonitorSettings = field(default_factory=MonitorSettings)
    notifications: NotificationSettings = field(default_factory=NotificationSettings)
    migration: MigrationSettings = field(default_factory=MigrationSettings)
