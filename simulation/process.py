# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A daemon of a simulated host, under the service manager's care.

The cores are the real ones. What the service manager does is in the unit files: a process that
ends unasked is started again after RestartSec, one that does not show that it lives is killed
after WatchdogSec, and one that does not stop in time is killed after TimeoutStopSec.
"""

from __future__ import annotations

import math
from typing import Callable, Optional, Protocol

from ha_agent.agent import Agent
from ha_agent.host_shutdown import STOP_EXTENSION_S
from ha_broker.broker import Broker
from simulation.world import HostClock, InlineRunner, ProcessEnded

WATCHDOG_S = 30.0
STOP_TIMEOUT_S = 30.0
RESTART_S = {"ha-agent": 2.0, "ha-broker": 5.0}
# The broker's loop lets jobs that were begun together end together (`ha_broker.running`).
GATHER_S = {"ha-broker": 0.02}


class Core(Protocol):
    """A daemon's core, driven step by step."""

    def tick(self) -> float:
        """One turn; returns when the next one is due (monotonic seconds of the host)."""

    def begin_stop(self, with_host: bool) -> None:
        """It shall stop; `with_host`: as its host is being shut down."""

    @property
    def extends_stop(self) -> bool:
        """Does it ask for more time to stop?"""

    @property
    def stopped(self) -> bool:
        """Has it?"""


class AgentCore:
    """The agent as `Core`."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    def tick(self) -> float:
        """As `Agent.tick`."""
        self.agent.tick()
        return self.agent.next_due_s

    def begin_stop(self, with_host: bool) -> None:
        """As `Agent.request_stop`."""
        self.agent.request_stop(with_host=with_host)

    @property
    def extends_stop(self) -> bool:
        """As `Agent.holds_up_shutdown`."""
        return self.agent.holds_up_shutdown

    @property
    def stopped(self) -> bool:
        """As `Agent.finished`."""
        return self.agent.finished


class BrokerCore:
    """The broker as `Core`."""

    extends_stop = False

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.tick = broker.tick

    def begin_stop(self, with_host: bool) -> None:
        """As `Broker.begin_stop`."""
        self.broker.begin_stop()

    @property
    def stopped(self) -> bool:
        """As `Broker.stopped`."""
        return self.broker.stopped


Make = Callable[[InlineRunner], Core]


class SimProcess:
    """One daemon: running, frozen, stopping, waiting for its restart, or stopped.

    `make` builds a core around a new runner. Times are the host's monotonic seconds.
    """

    def __init__(
        self, unit: str, clock: HostClock, make: Make, died: Callable[[], None] = lambda: None
    ) -> None:
        self.unit = unit
        self.core: Optional[Core] = None
        self.frozen = False
        self.started_at_s = 0.0
        self._clock = clock
        self._make = make
        self._died = died
        self._runner = InlineRunner(clock)
        self._gather_s = GATHER_S.get(unit, 0.0)
        self._wake_at_s = math.inf
        self._turn_at_s = math.inf
        self._restart_at_s = math.inf
        self._kill_at_s = math.inf
        self._stopping = False
        self._then_start = False
        self._is_to_stop = False
        self._fault = ""
        self._calls_left = 0

    # --- what the service manager is asked ------------------------------------------------

    def start(self) -> None:
        """Start it, if it does not run."""
        self._is_to_stop = False
        self._then_start = self._stopping
        if self.core is None:
            self._begin()

    def stop(self, with_host: bool = False) -> None:
        """Ask it to stop; killed when it takes longer than it asks for."""
        self._restart_at_s = math.inf
        self._then_start = False
        if self.core is None or self._stopping:
            return
        self._stopping = True
        self._kill_at_s = min(self._kill_at_s, self._clock.monotonic_s() + STOP_TIMEOUT_S)
        self.core.begin_stop(with_host)
        self.wake()

    def await_stop(self) -> None:
        """It is stopped later, after others; systemd does not start it again until then."""
        self._is_to_stop = True
        self._restart_at_s = math.inf

    def restart(self) -> None:
        """Stop, then start."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """SIGKILL: gone at once, and started again unless it was stopping."""
        if self.core is None:
            return
        restart = (not self._stopping or self._then_start) and not self._is_to_stop
        self.vanish()
        if restart:
            self._restart_at_s = self._clock.monotonic_s() + RESTART_S[self.unit]

    def freeze(self) -> None:
        """SIGSTOP; the watchdog kills it in the end."""
        if self.core is None or self.frozen:
            return
        self.frozen = self._runner.frozen = True
        self._kill_at_s = min(self._kill_at_s, self._clock.monotonic_s() + WATCHDOG_S)

    def thaw(self) -> None:
        """SIGCONT: it goes on with what it was about to do."""
        if not self.frozen:
            return
        self.frozen = self._runner.frozen = False
        if not self._stopping:
            self._kill_at_s = math.inf
        self.wake()

    def vanish(self) -> None:
        """It is gone, and nobody starts it again (its host has lost its power)."""
        if self.core is not None:
            self.core = None
            self._died()
        self.frozen = self._stopping = self._then_start = False
        self._turn_at_s = self._wake_at_s = math.inf
        self._restart_at_s = self._kill_at_s = math.inf
        self._fault = ""

    def after_calls(self, fault: str, calls: int) -> None:
        """ "kill" or "freeze" it right before the call to the world that follows so many."""
        self._fault, self._calls_left = fault, calls

    def note_call(self) -> None:
        """It is about to call something outside itself."""
        if not self._fault:
            return
        self._calls_left -= 1
        if self._calls_left >= 0:
            return
        fault, self._fault = self._fault, ""
        if fault == "kill":
            raise ProcessEnded(self.unit)
        self.freeze()

    # --- running it -----------------------------------------------------------------------

    def wake(self) -> None:
        """Something happened that it waits for."""
        self._wake_at_s = min(self._wake_at_s, self._clock.monotonic_s() + self._gather_s)
        self._turn_at_s = min(self._turn_at_s, self._wake_at_s)

    @property
    def running(self) -> bool:
        """Does the process exist and run?"""
        return self.core is not None and not self.frozen

    @property
    def is_stopping(self) -> bool:
        """Was it asked to stop, and has it not ended yet?"""
        return self._stopping

    @property
    def is_due(self) -> bool:
        """Would `run_if_due` do something? Asked far more often than it would."""
        return self.next_s() <= self._clock.monotonic_s()

    def run_if_due(self) -> bool:
        """Do what is due now, once; False: nothing was."""
        now_s = self._clock.monotonic_s()
        if self._kill_at_s <= now_s:
            self.kill()
            return True
        if self._restart_at_s <= now_s:
            self._begin()
            return True
        core = self.core
        if core is None or self.frozen or self._turn_at_s > now_s:
            return False
        self._turn(core)
        return True

    def next_s(self) -> float:
        """When `run_if_due` has something to do, if nothing else happens; may be now."""
        at_s = min(self._restart_at_s, self._kill_at_s)
        if self._turn_at_s < at_s and self.core is not None and not self.frozen:
            return self._turn_at_s
        return at_s

    def _begin(self) -> None:
        self._restart_at_s = self._kill_at_s = math.inf
        self._stopping = self._then_start = False
        self.started_at_s = self._clock.monotonic_s()
        self._runner = InlineRunner(self._clock, self.wake, self._before_submit, keep_log=False)
        self.core = self._make(self._runner)
        self._turn_at_s = self.started_at_s

    def _before_submit(self, _key: str) -> None:
        self.note_call()

    def _turn(self, core: Core) -> None:
        self._wake_at_s = math.inf
        try:
            due_s = core.tick()
        except ProcessEnded:
            self.kill()
            return
        self._turn_at_s = self._next_turn_s(due_s)
        if self._stopping and core.extends_stop:
            self._kill_at_s = self._clock.monotonic_s() + STOP_EXTENSION_S
        if self._stopping and core.stopped:
            again = self._then_start
            self.vanish()
            if again:
                self._begin()

    def _next_turn_s(self, due_s: float) -> float:
        """Nothing but a wake makes it earlier until then."""
        end_s, try_s = self._runner.next_end_s(), self._runner.next_try_s()
        due_s = min(due_s, self._wake_at_s)
        if end_s is not None and end_s + self._gather_s < due_s:
            due_s = end_s + self._gather_s
        if try_s is not None and try_s < due_s:
            due_s = try_s
        return due_s
