# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which adapters the daemon runs with; tests hand in a maker of their own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Callable, Protocol

from ha_broker.api import paths
from ha_broker.cycle.part import BrokerPorts
from metadata.layout import required_sizes
from metadata.settings.notifications import SmtpSettings, WebhookSettings
from metadata.settings.parse import HostSettings
from world.ports.host import ServiceManager
from world.ports.libvirt import MeasuredHypervisor
from world.ports.notifications import Message, Receipt

if TYPE_CHECKING:
    from metadata.shared_config import StoredConfig


class WorldMaker(Protocol):
    """Makes the adapters."""

    def services(self) -> ServiceManager:
        """The service manager, needed before there are settings."""

    def world(self, host: HostSettings, wake: Callable[[], None]) -> BrokerPorts:
        """Everything; `wake` is called from any thread when a job has ended."""


class BrokerAdapters:
    """This machine. Adapters are imported when they are made, so a host that is not deployed
    needs neither sanlock nor libvirt."""

    def services(self) -> ServiceManager:
        """systemd's notification socket."""
        from world.host.systemd import SystemdServiceManager  # noqa: PLC0415

        return SystemdServiceManager()

    def world(self, host: HostSettings, wake: Callable[[], None]) -> BrokerPorts:
        """This machine's storage, sanlock, libvirt and network."""
        from world.host.clock import SystemClock  # noqa: PLC0415
        from world.host.host_vitals import KernelVitals  # noqa: PLC0415
        from world.host.plugin_supervisor import PluginChild  # noqa: PLC0415
        from world.host.thread_runner import ThreadRunner  # noqa: PLC0415
        from world.network.health_page import HttpHealthPage  # noqa: PLC0415
        from world.network.network_probe import SocketNetworkProbe  # noqa: PLC0415
        from world.storage.direct_store import DirectStore  # noqa: PLC0415
        from world.storage.sanlock_lockspace import SanlockLockspace  # noqa: PLC0415

        clock = SystemClock()
        return BrokerPorts(
            clock=clock,
            runner=ThreadRunner(clock, wake),
            store=DirectStore(needed=required_sizes(host.storage)),
            lockspace=SanlockLockspace(host.storage),
            hypervisor=lambda name: _libvirt(host.libvirt_uri, name),
            health_page=HttpHealthPage(),
            network=SocketNetworkProbe(),
            vitals=KernelVitals(),
            notification_sender=LateSender(),
            services=self.services(),
            plugins=PluginChild,
            restore=partial(_restore, host),
        )


def _restore(host: HostSettings, held: StoredConfig) -> bool:
    """A `Restore`; imported where there is something to restore, which is hardly ever."""
    from world.storage.config_restore import ConfigRestorer  # noqa: PLC0415

    return ConfigRestorer(host)(held)


class LateSender:
    """Imports the libraries for mail, HTTP and TLS, some megabytes, with the first message."""

    def mail(self, server: SmtpSettings, letter: Message) -> Receipt:
        """As `NotificationSender.mail`."""
        from world.network.notification_sender import NetNotificationSender  # noqa: PLC0415

        return NetNotificationSender(paths.secrets_dir()).mail(server, letter)

    def post(self, webhook: WebhookSettings, body: bytes) -> Receipt:
        """As `NotificationSender.post`."""
        from world.network.notification_sender import NetNotificationSender  # noqa: PLC0415

        return NetNotificationSender(paths.secrets_dir()).post(webhook, body)


def _libvirt(uri: str, domain_name: str) -> MeasuredHypervisor:
    from world.vm.libvirt_hypervisor import LibvirtHypervisor  # noqa: PLC0415

    return LibvirtHypervisor(uri, domain_name)
