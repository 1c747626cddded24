"""Which adapters the daemon runs with; tests hand in a maker of their own."""

from __future__ import annotations

from typing import Callable, Protocol

from ha_broker.parts import World
from ha_broker.world.ports import Letter, MeasuredHypervisor, Receipt, ServiceManager
from metadata.notification_settings import SmtpSettings, WebhookSettings
from metadata.settings import HostSettings


class WorldMaker(Protocol):
    """Makes the adapters."""

    def services(self) -> ServiceManager:
        """The service manager, needed before there are settings."""

    def world(self, host: HostSettings, wake: Callable[[], None]) -> World:
        """Everything; `wake` is called from any thread when a job has ended."""


class RealWorld:
    """This machine. Adapters are imported when they are made, so a host that is not deployed
    needs neither sanlock nor libvirt."""

    def services(self) -> ServiceManager:
        """systemd's notification socket."""
        from ha_broker.world.systemd import SystemdServiceManager  # noqa: PLC0415

        return SystemdServiceManager()

    def world(self, host: HostSettings, wake: Callable[[], None]) -> World:
        """This machine's storage, sanlock, libvirt and network."""
        from ha_broker.world.clock import SystemClock  # noqa: PLC0415
        from ha_broker.world.config_restore import ConfigRestorer  # noqa: PLC0415
        from ha_broker.world.direct_store import DirectStore  # noqa: PLC0415
        from ha_broker.world.health_page import HttpHealthPage  # noqa: PLC0415
        from ha_broker.world.kernel_vitals import KernelVitals  # noqa: PLC0415
        from ha_broker.world.network_probe import SocketNetworkProbe  # noqa: PLC0415
        from ha_broker.world.plugin_child import PluginChild  # noqa: PLC0415
        from ha_broker.world.runner import ThreadRunner  # noqa: PLC0415
        from ha_broker.world.sanlock_lockspace import SanlockLockspace  # noqa: PLC0415

        clock = SystemClock()
        return World(
            clock=clock,
            runner=ThreadRunner(clock, wake),
            store=DirectStore(),
            lockspace=SanlockLockspace(host.storage),
            hypervisor=lambda name: _libvirt(host.libvirt_uri, name),
            health_page=HttpHealthPage(),
            network=SocketNetworkProbe(),
            vitals=KernelVitals(),
            courier=LateCourier(),
            services=self.services(),
            plugins=PluginChild,
            restore=ConfigRestorer(host),
        )


class LateCourier:
    """Imports the libraries for mail, HTTP and TLS, some megabytes, with the first message."""

    def mail(self, server: SmtpSettings, letter: Letter) -> Receipt:
        """As `Courier.mail`."""
        from ha_broker.world.courier import NetCourier  # noqa: PLC0415

        return NetCourier().mail(server, letter)

    def post(self, webhook: WebhookSettings, body: bytes) -> Receipt:
        """As `Courier.post`."""
        from ha_broker.world.courier import NetCourier  # noqa: PLC0415

        return NetCourier().post(webhook, body)


def _libvirt(uri: str, domain_name: str) -> MeasuredHypervisor:
    from ha_broker.world.libvirt_hypervisor import LibvirtHypervisor  # noqa: PLC0415

    return LibvirtHypervisor(uri, domain_name)
