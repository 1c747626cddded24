# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The cluster's picture and its maintenance for other programs on this host.

::

    from hosted_engine.client import HAClient

    client = HAClient()
    if client.is_deployed():
        own = client.get_all_stats(timeout=5)[client.get_local_host_id()]
        print(own["score"], own["live-data"])

Three kinds of calls, each with a deadline for all of it, and to be used from any thread:

broker    the cluster's picture and maintenance: this host's broker answers from its memory, so that
          neither the storage nor libvirt is waited for. Who may ask is said in docs/security.md.
storage   ``..._direct``: the records as they stand on the storage, read by a process of its own
          without any broker. Whoever may read the storage may do that.
command   the shared settings, the lockspace, connecting the storage: what ``hosted-engine`` does
          with the command of that name, by that command. All but reading settings is root's.

The first two need neither libvirt nor sanlock.

Errors::

    OSError              errno ENOENT: there is no broker; ECONNREFUSED: it just ended;
                         ETIMEDOUT: it does not answer in time
    BrokerRefusedError   the broker said no, `why` tells the reason
    BrokerError          its answer makes no sense (another version)
    CommandError         storage or command: why it could not be done, or was refused
    KeyError             a setting, or a type of settings, that there is none of
    ValueError           a mode, a flag or a value that there is none of; settings that are wrong
"""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Optional, Union

from ha_broker.api import paths
from ha_broker.api.client import BrokerClient, BrokerTimeoutError
from ha_broker.api.snapshot import HostView
from hosted_engine.cluster.cluster_status import ClusterStatus, engine_status, host_data
from hosted_engine.cluster.from_broker import cluster_status
from hosted_engine.errors import NotDeployedError, UsageError
from hosted_engine.host.deployed import check_deployed
from metadata.engine_status import status_to_json
from metadata.error_words import shown
from metadata.plain_json import parse_json

STATS_TIMEOUT_S = 5.0
MAINTENANCE_TIMEOUT_S = 60.0
"""What a time-out of None stands for: every call ends."""

CONNECT_TIMEOUT_S = 900
SETTINGS_TIMEOUT_S = 120.0
DIRECT_READ_S = 5.0

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

    def get_all_stats(self, mode: str = StatModes.ALL, timeout: Optional[float] = None) -> Stats:
        """What is known of each host, by its id; 0 is what holds for all hosts.

        0 is missing while global maintenance is not known. ``engine-status`` is JSON text;
        a host without live data says ``unknown`` there, whatever it said last. Waits at most
        `timeout` seconds (None: 5).
        """
        self._check_mode(mode)
        return self._stats(_status(timeout), mode)

    def get_all_host_stats(self, timeout: Optional[float] = None) -> Stats:
        """The same of the hosts alone."""
        return self.get_all_stats(self.StatModes.HOST, timeout)

    def get_all_stats_direct(self, mode: str = StatModes.ALL) -> Stats:
        """What stands on the storage, in the same form, without any broker.

        It is watched until every host that says its agent runs has written once more, at most
        11 s: only then ``live-data`` is true. Raises CommandError, NotDeployedError.
        """
        from hosted_engine.cluster.from_volume import DEFAULT_WATCH_S, watch_area
        from hosted_engine.host.anew import within_deadline_anew
        from hosted_engine.host.local_host import host_settings

        self._check_mode(mode)
        place = host_settings().storage.metadata
        look = partial(watch_area, place, DEFAULT_WATCH_S)
        whom = f"{place.path}: the storage"
        status = within_deadline_anew(look, whom, DEFAULT_WATCH_S + DIRECT_READ_S)
        return self._stats(status, mode)

    def get_all_host_stats_direct(self) -> Stats:
        """The same of the hosts alone."""
        return self.get_all_stats_direct(self.StatModes.HOST)

    def _check_mode(self, mode: str) -> None:
        if mode not in (self.StatModes.ALL, self.StatModes.HOST, self.StatModes.GLOBAL):
            raise ValueError(f"mode: {shown(mode)} is refused; allowed: ALL, HOST, GLOBAL")

    def _stats(self, status: ClusterStatus, mode: str) -> Stats:
        stats: Stats = {}
        if mode != self.StatModes.HOST and status.global_maintenance is not None:
            stats[0] = {self.GlobalMdFlags.MAINTENANCE: status.global_maintenance}
        if mode != self.StatModes.GLOBAL:
            stats.update({host.host_id: _host_stats(host) for host in status.hosts})
        return stats

    def get_local_host_score(self, timeout: Optional[float] = None) -> int:
        """This host's score; 0 while its record is not live."""
        host_id = self.get_local_host_id()
        own = [host for host in _status(timeout).hosts if host.host_id == host_id]
        return own[0].record.score if own and own[0].is_current and own[0].record else 0

    # --- maintenance ----------------------------------------------------------------------

    def set_maintenance_mode(
        self, mode: str, value: Union[bool, str], timeout: Optional[float] = None
    ) -> None:
        """Switch the maintenance of this host or of the cluster; the other one stays.

        Returns once it stands: the cluster's was read back from the storage. Waits at most
        `timeout` seconds (None: 60), and a moment for the broker to say why it took longer.
        """
        on = _as_bool(value)
        limit_s = MAINTENANCE_TIMEOUT_S if timeout is None else timeout
        if mode == self.MaintenanceMode.GLOBAL:
            with _broker(limit_s) as client:
                client.set_global_maintenance(on, limit_s)
        elif mode in (self.MaintenanceMode.LOCAL, self.MaintenanceMode.LOCAL_MANUAL):
            with _broker(limit_s) as client:
                client.set_local_maintenance(on)
        else:
            allowed = "LOCAL, LOCAL_MANUAL, GLOBAL"
            raise ValueError(f"mode: {shown(mode)} is refused; allowed: {allowed}")

    def set_global_md_flag(
        self, flag: str, value: Union[bool, str], timeout: Optional[float] = None
    ) -> None:
        """Switch a flag of all hosts; there is one, `GlobalMdFlags.MAINTENANCE`."""
        if flag != self.GlobalMdFlags.MAINTENANCE:
            raise ValueError(f"flag: {shown(flag)} is refused; allowed: maintenance")
        self.set_maintenance_mode(self.MaintenanceMode.GLOBAL, value, timeout)

    # --- settings ---------------------------------------------------------------------------

    def get_shared_config(self, key: str, config_type: Optional[str] = None) -> list[str]:
        """A setting as ``--get-shared-config`` shows it, and the type that it belongs to.

        `key` and `config_type` (None: he_shared) are that command's, the older tool's names among
        them; a list or a section is YAML. Raises KeyError, CommandError for what is not set.
        """
        from hosted_engine.config.get_set import plain_text
        from hosted_engine.host.own_command import run_own_command

        kind = [] if config_type is None else [f"--type={config_type}"]
        try:
            told = run_own_command(
                ["--get-shared-config", key, *kind, "--json"], SETTINGS_TIMEOUT_S
            )
        except UsageError as error:
            raise KeyError(error.message) from error
        found = parse_json(told)
        return [plain_text(found["value"]), found["type"]]

    def set_shared_config(self, key: str, value: object, config_type: Optional[str] = None) -> None:
        """Write a version of the shared settings, or of host.yaml (he_local), with another value.

        A text is taken as ``--set-shared-config`` takes it: YAML, or @FILE for vm_conf. Returns
        once it is written. Raises KeyError, ValueError for a value that is no YAML, CommandError.
        """
        from hosted_engine.host.own_command import run_own_command

        kind = _checked_type(key, config_type)
        text = value if isinstance(value, str) else json.dumps(value)
        words = ["--set-shared-config", key, text, f"--type={kind}"]
        try:
            run_own_command(words, SETTINGS_TIMEOUT_S)
        except UsageError as error:
            raise ValueError(error.message) from error

    def get_all_config_keys(self, config_type: Optional[str] = None) -> dict[str, list[str]]:
        """All keys that can be given, sorted, by their type; of one type when it is named.

        Raises KeyError for a type that there is none of. Nobody is asked.
        """
        from hosted_engine.config.key_types import TYPES, all_keys

        kinds = TYPES if config_type is None else (_known_type(config_type),)
        return {kind: all_keys(kind) for kind in kinds}

    # --- the storage ------------------------------------------------------------------------

    def reset_lockspace(self, force: bool = False, timeout: Optional[float] = None) -> None:
        """``--reinitialize-lockspace``: make sanlock's lockspace and the engine's lease anew.

        Refused wherever a second engine could start, with `force` too. It takes as long as
        sanlock needs to be sure of the old lease's holder; after `timeout` seconds it is
        interrupted and starts this host's services again. Raises CommandError.
        """
        from hosted_engine.host.own_command import run_own_command

        words = ["--reinitialize-lockspace", *(["--force"] if force else [])]
        run_own_command(words, timeout)

    def connect_storage_server(self, timeout: Optional[float] = CONNECT_TIMEOUT_S) -> None:
        """``--connect-storage``, within `timeout` seconds. Raises CommandError."""
        _storage_command("--connect-storage", timeout)

    def disconnect_storage_server(self, timeout: Optional[float] = CONNECT_TIMEOUT_S) -> None:
        """``--disconnect-storage``, within `timeout` seconds. Raises CommandError."""
        _storage_command("--disconnect-storage", timeout)


def _storage_command(name: str, limit_s: Optional[float]) -> None:
    """Each of the system's tools gets less than all, so that it is named when it takes too long."""
    from hosted_engine.host.own_command import run_own_command

    words = [] if limit_s is None else [f"--timeout={min(limit_s * 0.9, 3600):.3f}"]
    run_own_command([name, *words], limit_s)


def _checked_type(key: str, config_type: Optional[str]) -> str:
    """The type of a key that there is; raises KeyError."""
    from hosted_engine.config.key_types import HE_SHARED, check_name

    kind = HE_SHARED if config_type is None else _known_type(config_type)
    try:
        check_name(key, kind)
    except UsageError as error:
        raise KeyError(error.message) from error
    return kind


def _known_type(config_type: str) -> str:
    from hosted_engine.config.key_types import TYPES

    if config_type not in TYPES:
        raise KeyError(f"type: {shown(config_type)} is refused; allowed: {', '.join(TYPES)}")
    return config_type


def _status(timeout_s: Optional[float]) -> ClusterStatus:
    with _broker(STATS_TIMEOUT_S if timeout_s is None else timeout_s) as client:
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
        raise ValueError(f"value: {shown(value)} is refused; allowed: True, False")
    return found
