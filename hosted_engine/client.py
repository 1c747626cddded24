"""The cluster's picture and its maintenance for other programs on this host.

::

    from hosted_engine.client import HAClient

    client = HAClient()
    if client.is_deployed():
        own = client.get_all_stats(timeout=5)[client.get_local_host_id()]
        print(own["score"], own["live-data"])

It asks this host's broker, which answers from its memory: neither the storage nor libvirt is
waited for. Every call has a connection of its own and one deadline for all of it, connecting
included, so it may be used from any thread. It needs neither libvirt nor sanlock.

Errors::

    OSError              errno ENOENT: there is no broker; ECONNREFUSED: it just ended;
                         ETIMEDOUT: it does not answer in time
    BrokerRefusedError   the broker said no, `why` tells the reason
    BrokerError          its answer makes no sense (another version)
    ValueError           a mode, a flag or a value that there is none of; settings that are wrong
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional, Union

from ha_broker.api import paths
from ha_broker.api.client import BrokerClient, BrokerTimeoutError
from ha_broker.api.snapshot import HostView
from hosted_engine.cluster.cluster_status import ClusterStatus, engine_status, host_data
from hosted_engine.cluster.from_broker import cluster_status
from hosted_engine.errors import NotDeployedError
from hosted_engine.host.deployed import check_deployed
from metadata.engine_status import status_to_json

STATS_TIMEOUT_S = 5.0
MAINTENANCE_TIMEOUT_S = 60.0

Stats = dict[int, dict[str, Any]]
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class BrokerSilentError(BrokerTimeoutError, OSError):
    """The broker did not answer in time; `errno` is ETIMEDOUT."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(what, why)
        self.errno = errno.ETIMEDOUT


class HAClient:
    """What this host knows of the cluster, and the switches for maintenance.

    The arguments are those that callers have always given, and change nothing.
    """

    class StatModes:
        """What `get_all_stats` shall return."""

        ALL = "ALL"
        HOST = "HOST"
        GLOBAL = "GLOBAL"

    class GlobalMdFlags:
        """What holds for all hosts; also its key in the statistics of "host" 0."""

        MAINTENANCE = "maintenance"

    class MaintenanceMode:
        """Whose maintenance: this host's, or the whole cluster's.

        LOCAL_MANUAL is another name for LOCAL: maintenance knows no second kind here.
        """

        LOCAL = "LOCAL"
        LOCAL_MANUAL = "LOCAL_MANUAL"
        GLOBAL = "GLOBAL"

    def __init__(self, log: bool = False, **_more: Any) -> None:
        pass

    # --- looking --------------------------------------------------------------------------

    def is_deployed(self) -> bool:
        """Does this host have settings? Nobody is asked."""
        try:
            check_deployed()
        except NotDeployedError:
            return False
        return True

    def get_local_host_id(self) -> Optional[int]:
        """This host's id from its settings; None where it is not deployed. Nobody is asked."""
        # Imported here: it takes PyYAML, which the other calls do without.
        from world.host_file import read_host_settings

        settings = read_host_settings(paths.host_settings_file())
        return None if settings is None else settings.host_id

    def get_all_stats(self, mode: str = StatModes.ALL, timeout: float = STATS_TIMEOUT_S) -> Stats:
        """What is known of each host, by its id; 0 is what holds for all hosts.

        0 is missing while global maintenance is not known. ``engine-status`` is JSON text;
        a host without live data says ``unknown`` there, whatever it said last. Waits at most
        `timeout` seconds.
        """
        if mode not in (self.StatModes.ALL, self.StatModes.HOST, self.StatModes.GLOBAL):
            raise ValueError(f"mode: {mode!r} is refused; allowed: ALL, HOST, GLOBAL")
        status = _status(timeout)
        stats: Stats = {}
        if mode != self.StatModes.HOST and status.global_maintenance is not None:
            stats[0] = {self.GlobalMdFlags.MAINTENANCE: status.global_maintenance}
        if mode != self.StatModes.GLOBAL:
            stats.update({host.host_id: _host_stats(host) for host in status.hosts})
        return stats

    def get_all_host_stats(self, timeout: float = STATS_TIMEOUT_S) -> Stats:
        """The same of the hosts alone."""
        return self.get_all_stats(self.StatModes.HOST, timeout)

    def get_local_host_score(self, timeout: float = STATS_TIMEOUT_S) -> int:
        """This host's score; 0 while its record is not live."""
        host_id = self.get_local_host_id()
        own = [host for host in _status(timeout).hosts if host.host_id == host_id]
        return own[0].record.score if own and own[0].is_current and own[0].record else 0

    # --- maintenance ----------------------------------------------------------------------

    def set_maintenance_mode(
        self, mode: str, value: Union[bool, str], timeout: float = MAINTENANCE_TIMEOUT_S
    ) -> None:
        """Switch the maintenance of this host or of the cluster; the other one stays.

        Returns once it stands: the cluster's was read back from the storage. Waits at most
        `timeout` seconds, and a moment for the broker to say why it took longer.
        """
        on = _as_bool(value)
        if mode == self.MaintenanceMode.GLOBAL:
            with _broker(timeout) as client:
                client.set_global_maintenance(on, timeout)
        elif mode in (self.MaintenanceMode.LOCAL, self.MaintenanceMode.LOCAL_MANUAL):
            with _broker(timeout) as client:
                client.set_local_maintenance(on)
        else:
            raise ValueError(f"mode: {mode!r} is refused; allowed: LOCAL, GLOBAL")

    def set_global_md_flag(
        self, flag: str, value: Union[bool, str], timeout: float = MAINTENANCE_TIMEOUT_S
    ) -> None:
        """Switch a flag of all hosts; there is one, `GlobalMdFlags.MAINTENANCE`."""
        if flag != self.GlobalMdFlags.MAINTENANCE:
            raise ValueError(f"flag: {flag!r} is refused; allowed: maintenance")
        self.set_maintenance_mode(self.MaintenanceMode.GLOBAL, value, timeout)


def _status(timeout_s: float) -> ClusterStatus:
    with _broker(timeout_s) as client:
        return cluster_status(client.status(), time.monotonic())


def _host_stats(host: HostView) -> dict[str, Any]:
    return {**host_data(host), "engine-status": status_to_json(engine_status(host))}


@contextmanager
def _broker(timeout_s: float) -> Iterator[BrokerClient]:
    client = BrokerClient(timeout_s=timeout_s)
    try:
        yield client
    except BrokerTimeoutError as error:
        raise BrokerSilentError(error.what, error.why) from None
    finally:
        client.close()


def _as_bool(value: Union[bool, str]) -> bool:
    """Callers give True, or the text of it."""
    found = _WORDS.get(str(value).lower())
    if found is None:
        raise ValueError(f"value: {value!r} is refused; allowed: True, False")
    return found
