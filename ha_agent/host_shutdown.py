# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What becomes of the engine as this host is shut down, and for how long the shutdown waits. Pure.

systemd stops the agent before libvirt's guests, so an agent that does not end yet holds up the
shutdown for as long as it needs. Half of that time is for a move alive, half for the guest to
shut down. An engine that is on its way here when the shutdown begins is waited for, too, and leaves
again.

A guest that is to shut down is asked a tick later than it could be: the others read this host's
record each tick, and whoever has read that the engine is about to end notices its end at once
(ADR 70).
"""

from __future__ import annotations

from typing import NamedTuple, Optional

from fsm.observation import HostStop, Peer, Vm
from metadata.settings.parse import MigrationSettings, Timing
from metadata.start_notes import HOST_SHUTS_DOWN
from metadata.states import State

# What an agent that holds up the shutdown asks systemd for, again and again: much longer than the
# time between two ticks. The unit's own time-out is for an agent that hangs.
STOP_EXTENSION_S = 30.0
# A cluster may tick slowly, and the shutdown have little time.
TELLING_SHARE = 0.25
WHY = HOST_SHUTS_DOWN
# Where nobody moves or stops the engine by himself, or nobody can.
_NOT_WAITED_IN = (State.GLOBAL_MAINTENANCE, State.AGENT_STOPPED)


# For so many ticks at the most a host without the engine makes certain that none is on its way.
HEARING_TICKS = 2


class Arrival(NamedTuple):
    """`comes`: an engine is on its way here. `unheard_s`: that is not known yet, and is waited for
    so many seconds after the shutdown began; None: it is known."""

    comes: bool = False
    unheard_s: Optional[float] = None


NOTHING_COMES = Arrival()


def is_sent_to(name: str, peers: tuple[Peer, ...]) -> bool:
    """Does a living host say that it moves the engine to the host `name`?"""
    return any(peer.moving_to == name and peer.fresh and peer.may_live for peer in peers)


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

    def told_at_s(self, timing: Timing, settings: MigrationSettings) -> Optional[float]:
        """When all others have had the time to read of it, or it is not waited for any more."""
        if self._since_s is None:
            return None
        return self._since_s + min(timing.tick_s, settings.shutdown_s * TELLING_SHARE)

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

    def waits(
        self,
        now_s: float,
        settings: MigrationSettings,
        vm: Vm,
        state: State,
        arrival: Arrival = NOTHING_COMES,
    ) -> bool:
        """Does the shutdown wait for the engine's VM? Once it does not, it never does again."""
        unheard_s = -1.0 if arrival.unheard_s is None else arrival.unheard_s
        comes = arrival.comes or now_s - (self._since_s or 0.0) <= unheard_s
        gone = vm is Vm.ABSENT and state is not State.ENGINE_START and not comes
        stays = state in _NOT_WAITED_IN or vm is Vm.PAUSED
        self._over = self._over or gone or stays or self.wanted(now_s, settings) is None
        return not self._over
