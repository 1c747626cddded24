"""What becomes of the engine as this host is shut down, and for how long the shutdown waits. Pure.

systemd stops the agent before libvirt's guests, so an agent that does not end yet holds up the
shutdown for as long as it needs. Half of that time is for a move alive, half for the guest to
shut down.
"""

from __future__ import annotations

from typing import Optional

from fsm.observation import HostStop, Vm
from metadata.settings.parse import MigrationSettings
from metadata.states import State

# What an agent that holds up the shutdown asks systemd for, again and again: much longer than the
# time between two ticks. The unit's own time-out is for an agent that hangs.
STOP_EXTENSION_S = 30.0
WHY = "this host is being shut down"
# Where nobody moves or stops the engine by himself, or nobody can.
_NOT_WAITED_IN = (State.GLOBAL_MAINTENANCE, State.AGENT_STOPPED)


def delay_why(vm: Vm, state: State, settings: MigrationSettings) -> str:
    """Why a shutdown of this host takes a while, for people; empty: the engine is no reason."""
    deed = {"migrate": "moves to another host first", "stop": "is shut down first"}
    if vm is not Vm.RUNNING or state in _NOT_WAITED_IN or settings.at_shutdown not in deed:
        return ""
    at_most = f"{settings.shutdown_s:g} s at the most"
    return f"the engine VM runs here and {deed[settings.at_shutdown]}, {at_most}"


class HostShutdown:
    """The shutdown of this host, once it has begun."""

    def __init__(self) -> None:
        self._since_s: Optional[float] = None
        self._over = False

    def begin(self, now_s: float) -> None:
        """The host is being shut down since `now_s` (monotonic)."""
        if self._since_s is None:
            self._since_s = now_s

    @property
    def has_begun(self) -> bool:
        """Is the host being shut down?"""
        return self._since_s is not None

    def wanted(self, now_s: float, settings: MigrationSettings) -> Optional[HostStop]:
        """What is to become of an engine that is here; None: it is left as it is."""
        if self._since_s is None or self._over or settings.at_shutdown == "leave":
            return None
        lasted_s = now_s - self._since_s
        if lasted_s >= settings.shutdown_s:
            return None
        late = lasted_s >= settings.shutdown_s / 2
        return HostStop.STOP if late or settings.at_shutdown == "stop" else HostStop.MIGRATE

    def waits(self, now_s: float, settings: MigrationSettings, vm: Vm, state: State) -> bool:
        """Does the shutdown wait for the engine's VM? Once it does not, it never does again."""
        gone = vm is Vm.ABSENT and state is not State.ENGINE_START
        stays = state in _NOT_WAITED_IN or vm is Vm.PAUSED
        self._over = self._over or gone or stays or self.wanted(now_s, settings) is None
        return not self._over
