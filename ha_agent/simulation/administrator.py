"""What an administrator's commands do on a simulated host, and how a daemon sees libvirt."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Optional

from ha_agent.command.vm.lease_holder import held_by_text, held_text, host_text, other_owner
from ha_agent.engine_vm import WHAT, start_engine
from ha_agent.simulation.shared import SharedWorld
from ha_agent.simulation.world import SimHypervisor, SimLockspace
from ha_broker.desk import Refusal, Ticket
from ha_broker.snapshot import Snapshot
from ha_broker.world.ports import (
    Domain,
    DomainState,
    Ending,
    HypervisorError,
    LeaseHeldError,
)


def start_vm(
    vm: SimHypervisor,
    lockspace: SimLockspace,
    shared: SharedWorld,
    host_id: int,
    snapshot: Optional[Snapshot],
) -> str:
    """``--vm-start``: by the same way as the agent's. Raises WorldError."""
    state = vm.domain().state
    if state in (DomainState.RUNNING, DomainState.PAUSED):
        raise HypervisorError(WHAT, f"it is {state.value} on this host already")
    owner = other_owner(lockspace, host_id)
    if owner is not None and owner.lives:
        raise HypervisorError(WHAT, held_by_text(host_text(snapshot, owner.host_id)))
    try:
        start_engine(vm, lockspace, shared.domain_xml, shared.parts)
    except LeaseHeldError as error:
        raise HypervisorError(WHAT, held_text(lockspace, snapshot)) from error
    return "the VM was started"


def stop_vm(vm: SimHypervisor, graceful: bool) -> str:
    """``--vm-shutdown`` and ``--vm-poweroff``. Raises WorldError."""
    if vm.domain().state == DomainState.ABSENT:
        raise HypervisorError("stop the engine's VM", "it does not run on this host")
    if graceful:
        vm.shutdown_by_user()
        return "the VM was asked to power off"
    vm.end(Ending.STOPPED)
    return "the VM was switched off"


def answer_of(ticket: Ticket) -> Optional[str]:
    """What became of a request for maintenance; None: nothing yet."""
    try:
        return "done" if ticket.is_done() else None
    except Refusal as refusal:
        return f"refused: {refusal.why}"


class HypervisorOf:
    """libvirt as one process sees it: it knows nothing of what ended before it came."""

    def __init__(self, vm: SimHypervisor, since_s: float) -> None:
        self._vm = vm
        self._since_s = since_s
        self.shutdown = vm.shutdown
        self.destroy = vm.destroy
        self.on_change = vm.on_change

    def domain(self) -> Domain:
        """As `Hypervisor.domain`."""
        found = self._vm.domain()
        ended_at_s = self._vm.ended_at_s
        long_ago = ended_at_s is not None and ended_at_s < self._since_s
        if found.state == DomainState.ABSENT and long_ago:
            return replace(found, ending=Ending.NONE)
        return found

    def start(
        self, domain_xml: str, before_run: Callable[[Optional[int]], None] = lambda _pid: None
    ) -> Domain:
        """As `Hypervisor.start`."""
        return self._vm.start(domain_xml, before_run)
