# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The `ha-agent` daemon: makes the world, then ticks the agent until it is told to stop."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Optional

from ha_agent.adapters import AgentAdapters, AgentWorld
from ha_agent.agent import Agent
from ha_agent.host_shutdown import STOP_EXTENSION_S, WHY
from ha_agent.observation.broker_poller import BrokerWatch
from ha_agent.observation.engine_domain import EngineDomain
from ha_agent.ports import AgentPorts
from ha_broker.api.lean_client import LeanClient
from ha_broker.api.paths import host_settings_file, state_dir
from metadata.error_words import reason_with_file
from metadata.errors import SettingsError
from metadata.settings.parse import ClusterSettings, HostSettings
from world.host.daemon import daemon_parser, heed_signals, options_in, wait_for_settings
from world.host.journal import log_setup, set_always
from world.host.only_one import OnlyOne
from world.host.wake import Wake
from world.ports.errors import WorldError
from world.ports.host import ServiceManager
from world.ports.log_fields import fields

if TYPE_CHECKING:
    import argparse

log = logging.getLogger("ha_agent")

OK, FAILED = 0, 1

ALONE = "this host is not being shut down, so the engine is left as it is and nothing is moved"

# The service manager hears of us at least this often, whatever the tick is.
LONGEST_SLEEP_S = 5.0


def main(argv: Optional[Sequence[str]] = None, world: Optional[AgentWorld] = None) -> int:
    """Run the daemon; returns its exit code: 0 after a requested stop, else 1."""
    arguments = _arguments(argv)
    log_setup(arguments.log_level, program="ha-agent")
    try:
        return AgentDaemon(arguments.settings, arguments.socket, world or AgentAdapters()).run()
    except SettingsError as error:
        for problem in error.problems:
            log.error("%s", problem)
    except (WorldError, OSError) as error:
        log.error("%s", reason_with_file(error))
    except Exception:
        log.exception("the agent failed")
    return FAILED


class AgentDaemon:
    """The parts of the running process, and its loop."""

    def __init__(self, settings_path: str, socket_path: Optional[str], world: AgentWorld) -> None:
        self._settings_path = settings_path
        self._socket_path = socket_path
        self._world = world
        self._services: ServiceManager = world.services()
        self._wake = Wake()
        self._stop_requested = False
        self._stop_passed_on = False
        self._agent: Optional[Agent] = None

    def run(self) -> int:
        """Wait for a deployment, then tick until a requested stop is done.

        Two agents would publish into one slot: raises AnotherRunsError.
        """
        self._only_one = OnlyOne(state_dir(), "ha-agent")
        heed_signals(self._on_stop, log)
        host = wait_for_settings(
            self._settings_path, self._services, self._wake, log, lambda: self._stop_requested
        )
        if host is not None:
            self._run_agent(host)
        log.info("the agent has stopped")
        return OK

    def _on_stop(self) -> None:
        self._stop_requested = True
        self._wake.wake()

    def _run_agent(self, host: HostSettings) -> None:
        watch = self._make_watch()
        self._agent = self._make_agent(host, watch)
        watch.start()
        try:
            self._loop(self._agent)
        finally:
            self._services.stopping()
            watch.stop()

    def _make_watch(self) -> BrokerWatch:
        clock = self._world.clock()
        return BrokerWatch(LeanClient(self._socket_path), clock, self._wake.wake)

    def _make_agent(self, host: HostSettings, watch: BrokerWatch) -> Agent:
        world = self._world
        domain = EngineDomain(lambda name: world.hypervisor(host, name))
        ports = AgentPorts(
            clock=world.clock(),
            runner=world.runner(self._wake.wake),
            hypervisor=domain,
            lockspace=world.lockspace(host),
            broker=watch,
            services=self._services,
            history=world.history(),
            memory=world.memory(),
            processes=world.processes(),
        )

        def on_settings(settings: ClusterSettings) -> None:
            domain.set_name(settings.engine.domain_name)
            watch.set_wait_s(settings.timing.tick_s)

        agent = Agent(ports, host, on_settings)

        def on_domain_change() -> None:
            agent.domain_changed()
            self._wake.wake()

        domain.on_change(on_domain_change)
        set_always(fields(host_id=host.host_id))
        log.info("agent of %s (host id %d)", host.host_name, host.host_id)
        return agent

    def _loop(self, agent: Agent) -> None:
        self._pass_stop_on(agent)
        agent.tick()
        self._services.ready()
        while not agent.finished:
            due_in_s = agent.next_due_s - self._world.clock().monotonic_s()
            self._wake.wait(min(due_in_s, LONGEST_SLEEP_S))
            self._pass_stop_on(agent)
            agent.tick()

    def _pass_stop_on(self, agent: Agent) -> None:
        if self._stop_requested and not self._stop_passed_on:
            self._stop_passed_on = True
            with_host = self._services.machine_stops()
            log.info("told to stop: %s", WHY if with_host else ALONE)
            agent.request_stop(with_host=with_host)
        if agent.holds_up_shutdown:
            self._services.extend_timeout(STOP_EXTENSION_S)


def _arguments(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    found: argparse.Namespace = options_in(argv, _parser, host_settings_file(), socket=None)
    return found


def _parser() -> argparse.ArgumentParser:
    parser = daemon_parser(
        "ha-agent",
        "Decides on this host where the engine VM runs, and starts and stops it.",
        host_settings_file(),
    )
    parser.add_argument("--socket", metavar="PATH", help="the broker's unix socket")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
