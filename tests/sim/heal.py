# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Ends every fault of a simulated cluster, as a person would: with the words of a script."""

from __future__ import annotations

from collections.abc import Iterator

from metadata.layout import slot_address
from simulation.cluster import SimCluster
from simulation.host import SimHost

AGENT, BROKER = "ha-agent", "ha-broker"
NO_MODE = "hosted-engine --set-maintenance --mode=none"


def first_words(cluster: SimCluster) -> Iterator[str]:
    """Said once; what is not broken refuses, and that is fine."""
    yield "gateway up"
    yield "engine never-shuts-down off"
    yield "config backup"
    yield "moves end finishes"
    yield f"engine boots-in {max(cluster.settings.engine.boot_s, 0.1):g}"
    for pair in list(cluster.parted):
        yield f"network {' '.join(sorted(pair))} heal"
    for name in cluster.hosts:
        yield f"power-on {name}"
        yield f"resume {name}"
        yield f"storage {name} heal"
        yield f"network {name} heal"
        yield f"uplink {name} heal"
        yield f"gateway {name} up"
        yield f"bridge {name} up"
        yield f"cpu {name} 0"
        yield f"memory {name} 65536"
        yield f"start {name} works"
        yield f"libvirt {name} heal"


def missing_words(cluster: SimCluster) -> list[str]:
    """What is still to be said, from the facts; empty: all is well."""
    return [words for host in cluster.hosts.values() for words in _host_words(host)] or list(
        _global_words(cluster)
    )


def is_settling(cluster: SimCluster) -> bool:
    """Is something on its way that nobody can stop any more?"""
    return any(
        not host.is_awake
        or host.is_changing
        or host.lockspace.reset_is_due
        or host.lockspace.kill_is_due
        or host.has_orders
        or host.broker is None
        or host.broker.mailbox.snapshot().move_order is not None
        for host in cluster.hosts.values()
    )


def forget_traps(cluster: SimCluster) -> None:
    """No daemon ends or freezes any more after some calls."""
    for host in cluster.hosts.values():
        for process in (host.agent_process, host.broker_process):
            process.after_calls("", 0)


def _host_words(host: SimHost) -> Iterator[str]:
    if not host.power:
        yield f"power-on {host.name}"
        return
    if not host.is_awake:
        yield f"resume {host.name}"
        return
    if host.is_changing:
        return
    if not host.lockspace.daemon_runs:
        yield f"on {host.name} systemctl start sanlock"
    for unit, process in ((AGENT, host.agent_process), (BROKER, host.broker_process)):
        if process.frozen:
            yield f"on {host.name} systemctl kill --signal=SIGCONT {unit}"
        elif process.core is None:
            yield f"on {host.name} systemctl start {unit}"
    if not host.vm.answers:
        yield f"libvirt {host.name} heal"
    if host.snapshot is not None and host.snapshot.local_maintenance:
        yield f"on {host.name} {NO_MODE}"


def _global_words(cluster: SimCluster) -> Iterator[str]:
    """Slot 0 must say "no", or nothing at all; what can't be read is set anew."""
    slot = cluster.shared.get(slot_address(cluster.shared.parts, 0), 4096)
    if slot[0] and not slot.startswith(b"maintenance=0\0"):
        ready = [host.name for host in cluster.hosts.values() if host.broker_process.running]
        yield from (f"on {name} {NO_MODE}" for name in ready[:1])
