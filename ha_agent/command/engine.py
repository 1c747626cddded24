"""``hosted-engine --vm-start``, ``--vm-shutdown`` and ``--vm-poweroff``, on this host's libvirt.

The lease decides: a VM is started through the agent's own `start_engine`, so a second start,
here or elsewhere, is refused by sanlock and nothing is harmed.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Optional

from ha_agent.command.deadline import look_at_domain
from ha_agent.command.errors import EXIT_OK, CommandError
from ha_agent.command.host import host_settings
from ha_agent.command.shared import shared_config
from ha_agent.engine_vm import start_engine
from ha_broker.client import BrokerClient, BrokerError
from ha_broker.snapshot import Snapshot
from ha_broker.world.ports import (
    Domain,
    DomainState,
    Hypervisor,
    LeaseHeldError,
    Lockspace,
    WorldError,
)
from metadata.settings import StorageParts

STARTED_AGAIN = (
    "The cluster is not in global maintenance: the hosts will start the engine again "
    "(hosted-engine --set-maintenance --mode=global prevents that)."
)
MAINTENANCE_UNKNOWN = (
    "Whether the cluster is in global maintenance is not known, for the broker does not answer: "
    "the hosts may start the engine again."
)


@dataclass(frozen=True)
class Engine:
    """The engine as this host reaches it. `snapshot` is None when the broker is gone."""

    hypervisor: Hypervisor
    lockspace: Lockspace
    parts: StorageParts
    domain_xml: str
    snapshot: Optional[Snapshot]


def run_start_command(_: argparse.Namespace) -> int:
    """``--vm-start``."""
    return run_start()


def run_shutdown_command(_: argparse.Namespace) -> int:
    """``--vm-shutdown``."""
    return run_stop(graceful=True)


def run_poweroff_command(_: argparse.Namespace) -> int:
    """``--vm-poweroff``."""
    return run_stop(graceful=False)


def run_start() -> int:
    """Start the engine's VM here."""
    return start(_engine())


def run_stop(graceful: bool) -> int:
    """Stop the engine's VM here: ask the guest, or switch it off."""
    return stop(_engine(), graceful)


def start(engine: Engine) -> int:
    """Raises CommandError, naming who runs the engine when somebody does."""
    try:
        _refuse_second(look_at_domain(engine.hypervisor))
        domain = start_engine(engine.hypervisor, engine.lockspace, engine.domain_xml, engine.parts)
    except LeaseHeldError as error:
        raise CommandError(held_text(engine)) from error
    except WorldError as error:
        # Another holder may be the cause without being named: this host's agent, for one,
        # removes a VM that it finds paused here while the engine runs elsewhere.
        raise CommandError(f"{error.what}: {error.why}{_elsewhere(engine)}") from error
    print(f"The engine's VM was started on this host (qemu's pid is {domain.pid}).")
    return EXIT_OK


def stop(engine: Engine, graceful: bool) -> int:
    """Raises CommandError when the VM is not here or libvirt refuses."""
    try:
        if look_at_domain(engine.hypervisor).state is DomainState.ABSENT:
            raise CommandError(f"the engine's VM does not run on this host{_elsewhere(engine)}")
        if graceful:
            engine.hypervisor.shutdown()
        else:
            engine.hypervisor.destroy()
    except WorldError as error:
        raise CommandError(f"{error.what}: {error.why}") from error
    print(f"The engine's VM was {'asked to power off' if graceful else 'switched off'}.")
    _warn_of_restart(engine.snapshot)
    return EXIT_OK


def _refuse_second(domain: Domain) -> None:
    if domain.state in (DomainState.RUNNING, DomainState.PAUSED):
        raise CommandError(
            f"the engine's VM is {domain.state.value} on this host already and holds the lease "
            f"(qemu's pid is {domain.pid}); nothing was done"
        )


def held_text(engine: Engine) -> str:
    """Why the VM can't be started: who holds its lease, as far as that is known."""
    return f"the engine's lease is held by {_owner(engine) or 'another host'}; nothing was done"


def _elsewhere(engine: Engine) -> str:
    owner = _owner(engine)
    return f"; its lease belongs to {owner}" if owner else ""


def _owner(engine: Engine) -> str:
    """The owner of the lease for people; empty when it can't be told."""
    try:
        owner = engine.lockspace.lease_owner()
    except WorldError:
        return ""
    return _host_text(engine.snapshot, owner.host_id) if owner else ""


def _host_text(snapshot: Optional[Snapshot], host_id: int) -> str:
    hosts = snapshot.hosts if snapshot else ()
    names = [host.record.hostname for host in hosts if host.host_id == host_id and host.record]
    return f"host {names[0]} (id {host_id})" if names else f"host id {host_id}"


def _warn_of_restart(snapshot: Optional[Snapshot]) -> None:
    if snapshot is None or snapshot.global_maintenance is None:
        print(MAINTENANCE_UNKNOWN)
    elif not snapshot.global_maintenance:
        print(STARTED_AGAIN)


def _engine() -> Engine:
    from ha_broker.world.libvirt_hypervisor import LibvirtHypervisor
    from ha_broker.world.sanlock_lockspace import SanlockLockspace

    settings = host_settings()
    client = BrokerClient()
    try:
        config = shared_config(client, settings.storage)
        return Engine(
            hypervisor=LibvirtHypervisor(settings.libvirt_uri, config.settings.engine.domain_name),
            lockspace=SanlockLockspace(settings.storage),
            parts=settings.storage,
            domain_xml=config.domain_xml,
            snapshot=_snapshot(client),
        )
    finally:
        client.close()


def _snapshot(client: BrokerClient) -> Optional[Snapshot]:
    try:
        return client.status()
    except BrokerError:
        return None
