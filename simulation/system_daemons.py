# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""sanlock and libvirtd as services of a simulated host: killed, stopped, started, made to hang."""

from __future__ import annotations

from typing import Callable

from simulation.errors import SimulationError
from simulation.world import SimHypervisor, SimLockspace
from world.ports.errors import HypervisorError
from world.ports.libvirt import DomainState, Pause

LIBVIRT_RESTART_S = 3.0

Step = Callable[[], None]


class Sanlock:
    """sanlock's daemon on the host `name`. `need_running` raises SimulationError when it is off;
    `wake` is called when the daemon has changed.
    """

    def __init__(self, name: str, lockspace: SimLockspace, need_running: Step, wake: Step) -> None:
        self._name = name
        self._lockspace = lockspace
        self._need_running = need_running
        self._wake = wake

    def kill(self) -> None:
        """It dies."""
        self._need_running()
        if not self._lockspace.is_alive:
            raise SimulationError(f"sanlock does not run on {self._name}")
        self._lockspace.kill_daemon()
        self._wake()

    def start(self) -> None:
        """It is started anew and has joined nothing. Nothing, when it runs."""
        self._need_running()
        if self._lockspace.daemon_runs:
            return
        if self._lockspace.is_alive:
            raise SimulationError(f"sanlock runs on {self._name} already")
        self._lockspace.start_daemon()
        self._wake()

    def be_busy(self, answers: int) -> None:
        """Its next `answers` to questions about a process are that it is busy."""
        self._need_running()
        self._lockspace.busy_answers = answers


class Libvirt:
    """libvirtd; its guests run on, whatever happens to it. `step_in` does something later."""

    def __init__(
        self,
        name: str,
        vm: SimHypervisor,
        need_running: Step,
        step_in: Callable[[float, Step], None],
    ) -> None:
        self._name = name
        self._vm = vm
        self._need_running = need_running
        self._step_in = step_in

    def hang(self) -> None:
        """It takes calls and never answers."""
        self._need_running()
        self._vm.hang()

    def lose_events(self) -> None:
        """It reports no more events, and forgets why a domain ended."""
        self._need_running()
        self._vm.loses_events = True

    def heal(self) -> None:
        """It works as usual."""
        self._need_running()
        self._vm.heal()
        self._vm.reappear()

    def stop(self) -> None:
        """It is stopped."""
        self._need_running()
        self._vm.disappear()

    def start(self) -> None:
        """It is started."""
        self.heal()

    def restart(self) -> None:
        """It is restarted."""
        self.stop()
        self._step_in(LIBVIRT_RESTART_S, self.heal)

    def hold(self, kind: str) -> None:
        """It pauses the VM for a `kind` of its own doings, and never comes to an end with it."""
        self._need_running()
        if self._vm.now.state != DomainState.RUNNING:
            raise SimulationError(f"the engine's VM does not run on {self._name}")
        self._vm.pause(Pause(kind))

    def start_fails(self, fails: bool) -> None:
        """From now on it refuses to create the domain, or does not."""
        why = "the emulator can't be run"
        self._vm.start_error = HypervisorError("create the domain", why) if fails else None
