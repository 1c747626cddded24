# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What an administrator can do about it: only where something can be done. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Callable

from hosted_engine.cli.wording import command, listed
from hosted_engine.cluster.facts import Cluster, HostFacts, HostLife
from hosted_engine.explain.host_sentences import has_no_config
from metadata.penalties import PenaltyName
from metadata.reach import OUT_OF_REACH
from metadata.records import Health
from metadata.states import State
from world.ports.sanlock import Membership

NOTHING = "Nothing needs to be done."
_QUOTED = re.compile(r"(?<!\w)'[^']+'(?!\w)")
END_MAINTENANCE = command("hosted-engine --set-maintenance --mode=none")
MAINTENANCE = command("hosted-engine --set-maintenance --mode=global")
START = command("hosted-engine --vm-start")
POWER_OFF = command("hosted-engine --vm-poweroff")


def advice(cluster: Cluster) -> list[str]:
    """One line for each thing that can be done; `NOTHING` when all is well."""
    found = [_unbroken(line) for rule in _RULES for line in rule(cluster)]
    host = cluster.runner
    well = host is not None and host.engine.up and host.engine.health is Health.GOOD
    waiting = "Nothing for now: the hosts are at it. Ask again in a moment."
    return found or [NOTHING if well else waiting]


def _unbroken(line: str) -> str:
    """Commands in quotes stay on one line; a quote within a word is none."""
    return _QUOTED.sub(lambda found: command(found.group()), line)


# --- this host ------------------------------------------------------------------------------


def _agent(cluster: Cluster) -> Iterator[str]:
    if cluster.agent_silent_s is not None or cluster.this.stopped:
        yield (
            "This host's agent: 'systemctl status ha-agent' and 'journalctl -u ha-agent' say what "
            "is wrong; 'systemctl start ha-agent' starts it."
        )


def _storage(cluster: Cluster) -> Iterator[str]:
    if cluster.blind_s is not None or cluster.snapshot.storage.error:
        yield (
            "Look after this host's way to the shared storage (cabling, network, storage server); "
            "'journalctl -u ha-broker' has the errors. Once it is back, all goes on by itself."
        )


def _sanlock(cluster: Cluster) -> Iterator[str]:
    place, storage = cluster.snapshot.lockspace, cluster.snapshot.storage
    if cluster.blind_s is not None or storage.error or cluster.snapshot.config.sequence is None:
        return
    if place.membership is Membership.OUT or place.error:
        yield (
            "This host and sanlock: see 'systemctl status sanlock', 'sanlock client status' and "
            "'journalctl -u ha-broker'."
        )


def _config(cluster: Cluster) -> Iterator[str]:
    view = cluster.snapshot.config
    if view.error and cluster.blind_s is None:
        yield (
            "The shared configuration: 'journalctl -u ha-broker' has the error. Where a host still "
            "goes by a good one, 'hosted-engine --restore-shared-config' there writes it back. If "
            "it was never written, 'hosted-engine --deploy --config-append=FILE' writes it."
        )


def _own_id(cluster: Cluster) -> Iterator[str]:
    if cluster.this.error and "also used" in cluster.this.error:
        yield (
            "Two hosts have one id: switch off the one that is a copy of the other, or take it out "
            "('hosted-engine-cleanup --force' there), give it names of its own (docs/renaming.md), "
            "and deploy it: it gets an id of its own."
        )


# --- the cluster ----------------------------------------------------------------------------


def _global_maintenance(cluster: Cluster) -> Iterator[str]:
    if not cluster.snapshot.global_maintenance:
        return
    both = ""
    if cluster.this.maintenance:
        both = f" (on {cluster.this.name} that ends its local maintenance, too)"
    yield f"When your work is done, end global maintenance: {END_MAINTENANCE}{both}"
    if cluster.runner is None:
        yield f"To start the engine before that: {START}, on a host you choose."


def _maintenance_unknown(cluster: Cluster) -> Iterator[str]:
    if cluster.snapshot.global_error and cluster.blind_s is None:
        yield f"If there is no global maintenance, write that anew: {END_MAINTENANCE}"


def _local_maintenance(cluster: Cluster) -> Iterator[str]:
    resting = [host for host in cluster.hosts if host.speaks and host.maintenance]
    if resting:
        names = listed([host.name for host in resting], "or")
        yield f"To have {names} run the engine again, on that host: {END_MAINTENANCE}"


def _stranded(cluster: Cluster) -> Iterator[str]:
    host = cluster.runner
    if host is None or not host.engine.stranded:
        return
    if cluster.snapshot.global_maintenance:
        yield (
            f"To have the engine before that: switch its VM off on {host.name}: {POWER_OFF}; then "
            f"start it, on a host you choose: {START}"
        )
    elif host.maintenance:
        yield f"To have the engine on another host: switch its VM off on {host.name}: {POWER_OFF}"


def _bad_engine(cluster: Cluster) -> Iterator[str]:
    host = cluster.runner
    if host is None or host.known_state is not State.ENGINE_UP_BAD_HEALTH:
        return
    if host.engine.health is Health.GOOD or OUT_OF_REACH in host.engine.detail:
        yield (
            f"Look at the engine's own way to the network on {host.name}: its port on the bridge, "
            "its VLAN, what is set up inside the engine."
        )
        return
    if host.engine.stranded:
        return
    if host.engine.paused:
        domain = cluster.settings.engine.domain_name
        yield (
            f"If you paused it: 'virsh resume {domain}' on {host.name}. An I/O error means that "
            "the VM's disk can't be reached from there."
        )
        return
    yield (
        "Look into the engine itself. If you are working on it, have the hosts leave it alone: "
        f"{MAINTENANCE}"
    )


def _no_page(cluster: Cluster) -> Iterator[str]:
    if not cluster.settings.engine.page_url and cluster.snapshot.config.sequence is not None:
        yield (
            "To have the engine's health looked at, name its page: engine.fqdn or "
            "engine.health_url ('hosted-engine --set-shared-config')."
        )


def _failed_starts(cluster: Cluster) -> Iterator[str]:
    domain = cluster.settings.engine.domain_name
    for host in cluster.hosts:
        costs = [one.name for one in host.penalties]
        if not host.speaks or PenaltyName.FAILED_STARTS not in costs:
            continue
        yield (
            f"Why starts failed on {host.name}: 'journalctl -u ha-agent' and "
            f"/var/log/libvirt/qemu/{domain}.log there. To try at once: {START}"
        )


def _unexpected_end(cluster: Cluster) -> Iterator[str]:
    if cluster.runner is not None:
        return
    down = [host for host in cluster.hosts if _is(host, State.ENGINE_UNEXPECTEDLY_DOWN)]
    if down and not any(host.life is HostLife.SPEAKS and host.score for host in cluster.hosts):
        yield f"To start the engine on {down[0].name} at once: {START}, there."


# --- other hosts ----------------------------------------------------------------------------


def _libvirt(cluster: Cluster) -> Iterator[str]:
    for host in cluster.hosts:
        if has_no_config(cluster, host):
            continue
        if _is(host, State.UNKNOWN_LOCAL_VM_STATE) or (host.this and not host.engine.known):
            unit = cluster.libvirt_unit if host.this else "libvirtd virtqemud"
            yield f"libvirt on {host.name}: see 'systemctl status {unit}' there."


def _services(cluster: Cluster) -> Iterator[str]:
    """Living hosts whose services do not work."""
    if cluster.blind_s is not None:
        return
    owner = cluster.owner
    for host in cluster.hosts:
        if host is owner and host.life is HostLife.STOPPED and not host.this:
            yield (
                f"Nobody looks after the engine on {host.name}: should it fail there, no host can "
                "start it again."
            )
        ill = host.life in (HostLife.SILENT, HostLife.UNREADABLE) and host.view.is_live
        if host.life is HostLife.STOPPED:
            yield f"To have {host.name} take part, there: 'systemctl start ha-broker ha-agent'"
        elif ill and not host.this and not host.error:
            yield f"{host.name}: see 'systemctl status ha-agent ha-broker' there."


def _gone(cluster: Cluster) -> Iterator[str]:
    if cluster.blind_s is not None:
        return
    gone = [host for host in cluster.hosts if host.life in (HostLife.DEAD, HostLife.FAILING)]
    if gone:
        names = listed([host.name for host in gone], "or")
        yield f"If {names} should be running: look at its power, its console and its storage."


def _unreadable(cluster: Cluster) -> Iterator[str]:
    for host in cluster.hosts:
        if host.error and not host.this and "newer version" not in host.error:
            yield (
                f"{host.name}: its record is written anew as soon as its agent runs "
                "('systemctl status ha-agent ha-broker' there)."
            )
        elif host.error and not host.this:
            yield f"Update this program here to the version that {host.name} has."


# --- what costs points ----------------------------------------------------------------------

_REMEDIES: dict[str, str] = {
    PenaltyName.NETWORK: (
        "{host}: look at its network, and at what its probes ask (gateway, name server)."
    ),
    PenaltyName.BRIDGE: "{host}: see 'ip link' for its management bridge.",
    PenaltyName.MEMORY: "{host}: free some memory there, or the engine may not fit.",
    PenaltyName.CPU_LOAD: "{host}: see what loads its CPU ('top'), if that lasts.",
    PenaltyName.CONFIG: (
        "{host}: 'journalctl -u ha-agent' says why it can't load the configuration."
    ),
}


def _costly(cluster: Cluster) -> Iterator[str]:
    for host in cluster.hosts:
        for one in host.penalties if host.speaks else ():
            if one.name in _REMEDIES:
                yield _REMEDIES[one.name].format(host=host.name)


def _is(host: HostFacts, state: State) -> bool:
    return host.speaks and host.known_state is state


_RULES: tuple[Callable[[Cluster], Iterator[str]], ...] = (
    _storage,
    _agent,
    _sanlock,
    _config,
    _own_id,
    _global_maintenance,
    _maintenance_unknown,
    _stranded,
    _bad_engine,
    _no_page,
    _failed_starts,
    _unexpected_end,
    _local_maintenance,
    _libvirt,
    _services,
    _gone,
    _unreadable,
    _costly,
)
