# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A host about to be deployed, and the little world around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional

from hosted_engine.cluster.storage_survey import survey
from hosted_engine.deploy.answers import local_settings
from hosted_engine.deploy.plan import ThisHost
from hosted_engine.deploy.steps import DeploySite
from hosted_engine.host.environment import Environment
from hosted_engine.host.probes import DeviceLimits
from metadata.layout import SLOT_SIZE, slot_address
from metadata.wire import decode_slot, encode_host
from simulation.world import (
    SimHealthPage,
    SimHypervisor,
    SimNetworkProbe,
    SimStore,
    VirtualClock,
)
from tests.unit.command_environment import environment
from tests.unit.storage_scene import Sanlock, Services
from tests.unit.test_command_deploy import JOINING, PARTS, PATH, answers, put, record
from world.ports.certificates import CertificateFiles, CertificateLook, Certificates, Use
from world.ports.errors import WorldError
from world.ports.host import BridgeLook, MemoryFree


class Probes:
    """A host on which all is well: what a test changes here, is not."""

    def __init__(self) -> None:
        self.probe = SimNetworkProbe()
        self.names_resolve = True
        self.page = SimHealthPage()
        self.bridge_states = {"ovirtmgmt": True}
        self.free_mib = 8192
        self.missing: set[str] = set()
        self.file_system_type = "nfs4"
        self.file_system_types: dict[str, str] = {}
        self.sanlock: dict[str, str] = {"use_watchdog": "1"}
        self.refused_to_sanlock = ""
        self.refused_to_service = ""
        self.service_lacks: Optional[tuple[str, ...]] = ()
        self.wdmd_runs = True
        self.device_limits: Optional[DeviceLimits] = None
        self.may_sleep_by: list[str] = []
        self.libvirt_service = ""
        self.libvirt_conf: dict[str, dict[str, str]] = {}
        self.certificate_files = CertificatesOf()
        self.qemu_sanlock_conf: Optional[dict[str, str]] = {"require_lease_for_disks": "0"}

    def network(self) -> SimNetworkProbe:
        return self.probe

    def health_page(self) -> SimHealthPage:
        return self.page

    def resolve(self, name: str) -> None:
        if not self.names_resolve:
            raise WorldError(f"resolve {name}", "Name or service not known")

    def bridges(self) -> list[str]:
        return list(self.bridge_states)

    def bridge(self, name: str) -> Optional[BridgeLook]:
        up = self.bridge_states.get(name)
        return None if up is None else BridgeLook(up, f"{name} is {'up' if up else 'down'}")

    def memory(self) -> MemoryFree:
        return MemoryFree(self.free_mib << 20, ((2 << 20, 1 << 30),), 2 << 20)

    def file_system(self, path: str) -> str:
        return self.file_system_types.get(path, self.file_system_type)

    def is_missing(self, path: str) -> bool:
        return path in self.missing

    def watchdog_limits(self) -> Optional[DeviceLimits]:
        return self.device_limits

    def sanlock_settings(self) -> Mapping[str, str]:
        return self.sanlock

    def sanlock_can_not_open(self, _path: str) -> str:
        return self.refused_to_sanlock

    def service_can_not_open(self, _path: str) -> str:
        return self.refused_to_service

    def service_can_not_read(self, _path: str) -> str:
        return self.refused_to_service

    def service_user_lacks(self) -> Optional[tuple[str, ...]]:
        return self.service_lacks

    def watchdog_runs(self) -> bool:
        return self.wdmd_runs

    def sleep_targets(self) -> list[str]:
        return self.may_sleep_by

    def libvirt_unit(self) -> str:
        return self.libvirt_service

    def lock_manager_settings(self) -> Optional[Mapping[str, str]]:
        return self.qemu_sanlock_conf

    def libvirt_settings(self, name: str) -> Mapping[str, str]:
        return self.libvirt_conf.get(name, {})

    def certificates(self) -> Certificates:
        return self.certificate_files


class CertificatesOf:
    """All certificates are good but those with a problem here, by their path."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}
        self.looks: list[tuple[CertificateFiles, Use, str]] = []

    def look(self, files: CertificateFiles, use: Use, name: str = "") -> CertificateLook:
        self.looks.append((files, use, name))
        problem = self.problems.get(files.certificate, "")
        return CertificateLook(problem, "" if problem else "Nov 28 20:00:00 2027 GMT")


class Scene:
    """A host about to be deployed."""

    def __init__(self, folder: Path, volume: SimStore, **host: Any) -> None:
        self.volume = volume
        self.clock = VirtualClock()
        self.orders: list[str] = []
        self.lockspace = Sanlock(volume, PARTS, self.clock, "h9", [])
        self.units = Services(self.orders)
        self.probes = Probes()
        self.said: list[str] = []
        self.while_asleep: Callable[[], None] = lambda: None
        self.settings_file = folder / "host.yaml"
        self.has_lock_manager = True
        self.libvirt = SimHypervisor(self.lockspace)
        self.this_host = ThisHost("h9", "h9", **host)

    def world(self) -> Environment:
        return environment(
            store=self.volume,
            lockspaces=lambda _parts: self.lockspace,
            hypervisor=lambda _uri, _name: self.libvirt,
            uses_sanlock=lambda: self.has_lock_manager,
            units=self.units,
            probes=self.probes,
            clock=self.clock,
            sleep=self._sleep,
            host_name="h9",
            gateway="",
            settings_file=str(self.settings_file),
            say=self.said.append,
        )

    def site(self, **host: Any) -> DeploySite:
        """With what the answers say of the `host`."""
        return DeploySite(
            self.world(),
            self.lockspace,
            survey(self.volume, PARTS),
            self.this_host,
            local_settings(answers({**JOINING, "host": host}), PARTS),
        )

    def slot(self, host_id: int) -> Any:
        start = slot_address(PARTS, host_id).offset
        return decode_slot(host_id, bytes(self.volume.volumes[PATH][start : start + SLOT_SIZE]))

    def _sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.while_asleep()


def put_record(volume: SimStore, host_id: int, name: str) -> None:
    put(volume, slot_address(PARTS, host_id).offset, encode_host(record(host_id, name)))
