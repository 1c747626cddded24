# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the agent's core needs from outside: the world's ports, and the broker."""

from __future__ import annotations

from typing import Optional, Protocol

from ha_agent.history.entry import HistoryStore
from ha_agent.kept_memory import MemoryStore
from ha_broker.api.snapshot import Publication, Snapshot
from metadata.shared_config import SharedConfig
from metadata.value_class import value_class
from world.ports.host import Processes, ServiceManager
from world.ports.jobs import Clock, Runner
from world.ports.libvirt import Hypervisor
from world.ports.sanlock import Lockspace


@value_class(frozen=True)
class BrokerLook:
    """The latest that was heard of the broker.

    `received_at_s` is the monotonic second at which `snapshot` arrived; `error` says why
    nothing arrives now (empty: the broker answers).
    """

    snapshot: Optional[Snapshot] = None
    received_at_s: Optional[float] = None
    error: str = ""

    @property
    def word(self) -> tuple[object, ...]:
        """Differs from that of another look where one of them brings news: whatever else differs,
        an agent need not look at it before its next tick."""
        known = self.snapshot
        return (self.error, *(() if known is None else (known.sequence, known.started_at_s)))

    def age_s(self, now_s: float) -> Optional[float]:
        """Age of what is known; None: nothing ever arrived.

        The older of the two moments counts: a broker whose API still answers with what its
        frozen core knew long ago must not look alive.
        """
        if self.snapshot is None or self.received_at_s is None:
            return None
        return now_s - min(self.received_at_s, self.snapshot.taken_at_s)


class BrokerPort(Protocol):
    """The broker. The look never blocks and never raises; all others block."""

    def latest_snapshot(self) -> BrokerLook:
        """From memory, at once."""

    def publish(self, publication: Publication) -> None:
        """Hand over this host's record; raises `ha_broker.api.client.BrokerError`."""

    def shared_config(self) -> SharedConfig:
        """Fetch settings and domain XML; raises `ha_broker.api.client.BrokerError`."""

    def end_local_maintenance(self, why: str) -> None:
        """Switch this host's local maintenance off for good, and have the reason logged.

        Raises `ha_broker.api.client.BrokerError`.
        """

    def not_reached_why(self, address: str) -> str:
        """Why nobody takes a connection at a libvirt's `address`, the end of a sentence.

        Empty: somebody does, or nobody can say. Never raises; blocks for some seconds at most.
        """


@value_class(frozen=True)
class AgentPorts:
    """All that the agent reaches; `clock.wall_s` is used for texts only.

    `history`, `memory` None: none is kept; `processes` None: nothing is known of them.
    """

    clock: Clock
    runner: Runner
    hypervisor: Hypervisor
    lockspace: Lockspace
    broker: BrokerPort
    services: ServiceManager
    history: Optional[HistoryStore] = None
    memory: Optional[MemoryStore] = None
    processes: Optional[Processes] = None
