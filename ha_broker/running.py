# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The running broker: makes the world, serves the API, and ticks until told to stop."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Callable, Optional

from ha_broker.adapters import BrokerAdapters, WorldMaker
from ha_broker.broker import ALIVE_INTERVAL_S, Broker
from ha_broker.metrics.counters import Counters
from ha_broker.metrics.exporter import Exporter
from ha_broker.metrics.service import MetricsService
from ha_broker.server.access import Access
from ha_broker.server.entrance import Entrance
from ha_broker.server.http_server import SocketError
from ha_broker.server.name_lookup import GROUP, USER, NameLookup
from ha_broker.server.routes import Api
from ha_broker.storage.local_maintenance import StateDirError
from metadata.settings.parse import HostSettings
from world.host.accounts import group_id, user_id
from world.host.daemon import heed_signals, wait_for_settings
from world.host.journal import set_always
from world.host.only_one import OnlyOne
from world.host.wake import Wake
from world.ports.host import ServiceManager
from world.ports.log_fields import fields

if TYPE_CHECKING:
    import argparse

log = logging.getLogger("ha_broker")

Monotonic = Callable[[], float]

OK, FAILED = 0, 1

SHORTEST_PAUSE_S = 0.02  # whatever a part says is due: no busy loop
GATHER_S = 0.02  # jobs begun together end together: one cycle for all of them


def serve(arguments: argparse.Namespace, maker: Optional[WorldMaker] = None) -> int:
    """Run the broker; returns its exit code. Raises SettingsError, WorldError, OSError."""
    try:
        return BrokerDaemon(arguments, maker or BrokerAdapters()).run()
    except (StateDirError, SocketError) as error:
        log.error("%s", error)
    return FAILED


class BrokerDaemon:
    """The parts of the running process, and its loop."""

    def __init__(self, arguments: argparse.Namespace, maker: WorldMaker) -> None:
        self._settings_path: str = arguments.settings
        self._socket_path: str = arguments.socket
        self._state_dir: str = arguments.state_dir
        self._maker = maker
        self._services: ServiceManager = maker.services()
        self._wake = Wake()
        self._stop_requested = False

    def run(self) -> int:
        """Wait for a deployment, then serve until a requested stop is done.

        Two brokers would write one slot, and serve one socket: raises AnotherRunsError.
        """
        self._only_one = OnlyOne(self._state_dir, "ha-broker")
        heed_signals(self._on_stop, log)
        host = wait_for_settings(
            self._settings_path, self._services, self._wake, log, lambda: self._stop_requested
        )
        if host is not None:
            self._serve(host)
        log.info("the broker has stopped")
        return OK

    def _on_stop(self) -> None:
        self._stop_requested = True
        self._wake.wake()

    def _serve(self, host: HostSettings) -> None:
        set_always(fields(host_id=host.host_id))
        world = self._maker.world(host, self._wake.wake)
        monotonic_s = world.clock.monotonic_s
        counters = Counters()
        broker = Broker(world, host, self._state_dir, self._wake.wake, counters)
        exporter = Exporter(broker.mailbox, counters, lambda: broker.renewed_at_s, monotonic_s)
        access = access_of(host, self._settings_path, monotonic_s)
        api = Api(
            broker.mailbox,
            monotonic_s,
            exporter.answer,
            counters.call_answered,
            access,
            network=world.network,
        )
        entrance = Entrance(self._socket_path, api.answer, access)
        metrics = MetricsService(host.metrics, exporter.answer, broker.note_metrics)
        broker.tick()
        entrance.open()
        metrics.start()
        path = self._socket_path
        log.info("broker of %s (host id %d) serves %s", host.host_name, host.host_id, path)
        self._services.ready()
        try:
            self._loop(broker, monotonic_s, counters, entrance)
        finally:
            metrics.stop()
            broker.mailbox.close()
            entrance.close()
        # The engine is left alone, and so is the lockspace: see ha_broker.lockspace.leave.
        broker.begin_stop()

    def _loop(
        self, broker: Broker, monotonic_s: Monotonic, counters: Counters, entrance: Entrance
    ) -> None:
        while not self._stop_requested:
            self._cycle(broker, monotonic_s, counters)
            entrance.keep_open()

    def _cycle(self, broker: Broker, monotonic_s: Monotonic, counters: Counters) -> None:
        begun_at_s = monotonic_s()
        due_s = broker.tick()
        took_s = monotonic_s() - begun_at_s
        counters.cycle_ended(took_s)
        log.debug("a cycle took %.1f ms; the next one is due in %.2f s", took_s * 1e3,
                  due_s - begun_at_s)  # fmt: skip
        # A turn at least so often tells the service manager that the broker is alive.
        pause_s = min(due_s - monotonic_s(), ALIVE_INTERVAL_S)
        if self._wake.wait(max(SHORTEST_PAUSE_S, pause_s)):
            time.sleep(GATHER_S)
            # Whoever called meanwhile has left what the next cycle takes: no further one for that.
            self._wake.forget()


def access_of(host: HostSettings, settings_path: str, monotonic_s: Monotonic) -> Access:
    """What the settings, read from `settings_path`, say."""
    group = NameLookup(GROUP, host.socket_group, group_id, settings_path, monotonic_s)
    users = [
        NameLookup(USER, name, user_id, settings_path, monotonic_s) for name in host.command_users
    ]
    return Access(group, users)
