# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The engine's VM as the commands on this host reach it, whatever hangs.

Shared by ``--vm-start`` and its like, the console and its password.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Callable, Optional, TypeVar

from ha_broker.api.client import BrokerClient, BrokerError
from ha_broker.api.snapshot import Snapshot
from hosted_engine.cluster.lease_holder import owner_text
from hosted_engine.errors import CommandError, NotReachedError
from hosted_engine.host import deadline
from hosted_engine.host.deadline import look_at_domain, within_deadline
from hosted_engine.host.error_lines import told
from hosted_engine.host.libvirt_unit import libvirt_hint
from hosted_engine.host.local_host import host_settings
from hosted_engine.host.shared_config import shared_config
from metadata.settings.parse import ClusterSettings, StorageParts
from world.ports.libvirt import AdministeredHypervisor, Domain, DomainState
from world.ports.sanlock import Lockspace

T = TypeVar("T")

# More than reading the lease may take on its own.
SANLOCK_DEADLINE_S = 40.0
STATUS_WITHIN_S = 5.0

SANLOCK = "sanlock (see 'systemctl status sanlock')"


@dataclass(frozen=True)
class EngineAccess:
    """The engine as this host reaches it.

    `ask_broker` returns None when the broker does not answer.
    """

    hypervisor: AdministeredHypervisor
    lockspace: Lockspace
    parts: StorageParts
    domain_xml: str
    host_id: int
    host_name: str = ""
    libvirt_uri: str = ""
    settings: ClusterSettings = field(default_factory=ClusterSettings)
    ask_broker: Callable[[], Optional[Snapshot]] = lambda: None

    @property
    def name(self) -> str:
        """The domain's name."""
        return self.settings.engine.domain_name


def engine_here(*, strict: bool = False) -> EngineAccess:
    """This host's; raises CommandError. `strict`: libvirt checks the XML of a start."""
    from hosted_engine.host.patient_lockspace import PatientLockspace
    from world.vm.libvirt_hypervisor import LibvirtHypervisor

    host = host_settings()
    client = BrokerClient()
    try:
        config = shared_config(client, host.storage)
    finally:
        client.close()
    name = config.settings.engine.domain_name
    return EngineAccess(
        hypervisor=LibvirtHypervisor(host.libvirt_uri, name, strict=strict, keepalive=True),
        lockspace=PatientLockspace(host.storage),
        parts=host.storage,
        domain_xml=config.domain_xml,
        host_id=host.host_id,
        host_name=host.host_name,
        libvirt_uri=host.libvirt_uri,
        settings=config.settings,
        ask_broker=_status,
    )


def _status() -> Optional[Snapshot]:
    client = BrokerClient(timeout_s=STATUS_WITHIN_S)
    try:
        return client.status()
    except BrokerError:
        return None
    finally:
        client.close()


# --- where it is ----------------------------------------------------------------------------


def look(engine: EngineAccess, within_s: float = math.inf) -> Domain:
    """libvirt's word on the VM here; raises CommandError, also when it takes too long."""
    with told():
        return look_at_domain(engine.hypervisor, within_s)


def domain_here(engine: EngineAccess) -> Domain:
    """The VM on this host; raises CommandError where it is not, naming the host that has it."""
    domain = look(engine)
    if domain.state is DomainState.ABSENT:
        raise CommandError(f"the engine's VM does not run on this host{elsewhere(engine)}")
    return domain


def elsewhere(engine: EngineAccess) -> str:
    """Part of a sentence: whose the lease is; empty when nobody's, or sanlock can't tell."""
    try:
        owner = ask_sanlock(lambda: owner_text(engine.lockspace, engine.ask_broker()))
    except CommandError as error:  # what else there is to say must be said
        return f"; whose its lease is can't be found out: {error.message}"
    return f"; its lease belongs to {owner}" if owner else ""


# --- asking and ordering --------------------------------------------------------------------


def ask_sanlock(question: Callable[[], T]) -> T:
    """Its answer; raises CommandError when it takes too long."""
    return within_deadline(question, SANLOCK, SANLOCK_DEADLINE_S)


def ask_libvirt(question: Callable[[], T]) -> T:
    """Its answer; raises CommandError, also when it takes too long."""
    with told():
        return within_deadline(question, libvirt_hint(), deadline.LIBVIRT_DEADLINE_S)


def order(job: Callable[[], T], limit_s: float) -> T:
    """Have libvirt do something; raises WorldError.

    Raises NotReachedError when it has not ended in time: it can't be called back.
    """
    try:
        return within_deadline(job, libvirt_hint(), limit_s)
    except CommandError as error:
        raise NotReachedError(
            f"{error.message}; it may still do what it was told (see hosted-engine --vm-status)"
        ) from error
