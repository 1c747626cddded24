# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What an administrator does on a simulated host: ``hosted-engine`` and ``virsh``.

Each raises SimulationError when it can't be done now.
"""

from __future__ import annotations

from functools import partial
from typing import Callable, Optional

from ha_agent.actions.start_engine import WHAT, start_engine
from ha_broker.api.snapshot import Snapshot
from ha_broker.broker import Broker
from ha_broker.server.mailbox import Refusal, Ticket
from hosted_engine.cluster.lease_holder import held_by_text, held_text, host_text, other_owner
from simulation.errors import SimulationError
from simulation.host import SimHost
from world.ports.errors import HypervisorError, LeaseHeldError, WorldError
from world.ports.libvirt import DomainState, Ending, Pause

# --- virsh --------------------------------------------------------------------------------


def suspend(host: SimHost) -> None:
    """``virsh suspend``."""
    host.need_vm(DomainState.RUNNING)
    host.vm.pause(Pause.USER)


def resume(host: SimHost) -> None:
    """``virsh resume``."""
    host.need_vm(DomainState.PAUSED)
    try:
        host.vm.resume()
    except WorldError as error:
        raise SimulationError(str(error)) from error


def destroy(host: SimHost) -> None:
    """``virsh destroy``."""
    host.need_vm()
    host.vm.end(Ending.STOPPED)


def shutdown(host: SimHost) -> None:
    """``virsh shutdown``: libvirt tells it from a power-off inside the guest by nothing."""
    host.need_vm(DomainState.RUNNING)
    host.vm.shutdown_by_user()
    host.plan()


# --- hosted-engine; what became of it is told when it is done ---------------------------------


def vm_start(host: SimHost) -> None:
    """``hosted-engine --vm-start``."""
    host.order("vm-start", _Start(host, host.snapshot))


def vm_shutdown(host: SimHost) -> None:
    """``hosted-engine --vm-shutdown``."""
    host.order("vm-shutdown", partial(_stop, host, graceful=True))


def vm_poweroff(host: SimHost) -> None:
    """``hosted-engine --vm-poweroff``."""
    host.order("vm-poweroff", partial(_stop, host, graceful=False))


def vm_migrate(host: SimHost, to: Optional[str] = None) -> None:
    """``hosted-engine --vm-migrate``; `to`: the host that it names."""
    name = "vm-migrate" if to is None else f"vm-migrate to {to}"
    _ask(host, name, lambda broker: broker.mailbox.ask_move(to))


def set_maintenance(host: SimHost, scope: str, on: bool) -> None:
    """Ask the broker for "global" or "local" maintenance."""
    name = f"{scope} maintenance {'on' if on else 'off'}"
    _ask(host, name, lambda broker: broker.mailbox.ask_maintenance(scope, on))


def _ask(host: SimHost, name: str, ask: Callable[[Broker], Ticket]) -> None:
    host.need_running()
    if host.broker is None:
        raise SimulationError("there is no broker")
    try:
        ticket = ask(host.broker)
    except Refusal as refusal:
        raise SimulationError(refusal.why) from refusal
    host.await_answer(name, ticket)


class _Start:
    """By the same way as the agent's; called again until it returns. Raises WorldError."""

    def __init__(self, host: SimHost, snapshot: Optional[Snapshot]) -> None:
        self._host = host
        self._snapshot = snapshot
        self._is_given = False

    def __call__(self) -> str:
        host = self._host
        # Never after the order: a VM that is made keeps all looks at it waiting.
        if not self._is_given:
            self._check()
        self._is_given = True
        try:
            start_engine(host.vm, host.lockspace, host.shared.domain_xml, host.shared.parts)
        except LeaseHeldError as error:
            raise HypervisorError(WHAT, held_text(host.lockspace, self._snapshot)) from error
        return "the VM was started"

    def _check(self) -> None:
        host = self._host
        state = host.vm.domain().state
        if state in (DomainState.RUNNING, DomainState.PAUSED):
            raise HypervisorError(WHAT, f"it is {state.value} on this host already")
        owner = other_owner(host.lockspace, host.host_id)
        if owner is not None and owner.lives:
            raise HypervisorError(WHAT, held_by_text(host_text(self._snapshot, owner.host_id)))


def _stop(host: SimHost, graceful: bool) -> str:
    """Raises WorldError."""
    if host.vm.domain().state == DomainState.ABSENT:
        raise HypervisorError("stop the engine's VM", "it does not run on this host")
    if graceful:
        host.vm.shutdown_by_user()
        return "the VM was asked to power off"
    host.vm.end(Ending.STOPPED)
    return "the VM was switched off"
