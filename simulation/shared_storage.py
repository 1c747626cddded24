# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What all simulated hosts share: time, the storage, the gateway, whoever takes mails."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable

from metadata.domain_xml import lease_element
from metadata.layout import CONFIG_SIZE, required_size, storage_parts
from metadata.records import VolumeAddress
from metadata.settings.parse import ClusterSettings
from metadata.shared_config import SharedConfig, copy_offset, decode_area, encode_copy
from simulation.settings import WorldSettings
from simulation.world import SimPostOffice, SimSan, VirtualClock
from simulation.world.network import SILENT
from simulation.world.volume import SparseVolume

VOLUME = "/shared/leases"
DARK = (False, SILENT)
HEALTH_URL = "http://engine/health"
ENGINE_MEMORY_MIB = 16_384


class SharedWorld:
    """The volume is formatted, deployed and unused.

    `page_from` is what the host of that name sees of the engine's page where it runs elsewhere.
    """

    def __init__(self, settings: WorldSettings) -> None:
        self.settings = settings
        self.engine = settings.engine
        self.clock = VirtualClock()
        self.gateway_up = True
        self.page_from: Callable[[str], tuple[bool, str]] = lambda _name: DARK
        self.post_office = SimPostOffice()
        self.parts = storage_parts(VOLUME)
        self.volumes = {VOLUME: SparseVolume(required_size(self.parts))}
        self.san = SimSan(self.clock)
        self.san.lockspace_io_timeout_s = settings.cluster.timing.io_timeout_s
        self.cluster = _with_health_page(settings)
        self.domain_xml = (
            f"<domain><name>{self.cluster.engine.domain_name}</name>"
            f"<memory unit='MiB'>{ENGINE_MEMORY_MIB}</memory>"
            f"<devices>{lease_element(self.parts)}</devices></domain>"
        )
        self._put_config(SharedConfig(1, self.cluster, self.domain_xml))

    @property
    def now_s(self) -> float:
        """Seconds of the world."""
        return self.clock.now_s

    def put_config_back(self) -> None:
        """The first version, unless one stands there."""
        place = self.parts.shared_config
        if not isinstance(decode_area(self.get(place, CONFIG_SIZE)), SharedConfig):
            self._put_config(SharedConfig(1, self.cluster, self.domain_xml))

    def _put_config(self, config: SharedConfig) -> None:
        place = self.parts.shared_config
        self.put(
            VolumeAddress(place.path, place.offset + copy_offset(config.sequence)),
            encode_copy(config),
        )

    def put(self, address: VolumeAddress, data: bytes) -> None:
        """Write bytes past everybody."""
        self.volumes[address.path][address.offset : address.offset + len(data)] = data

    def get(self, address: VolumeAddress, size: int) -> bytes:
        """The bytes that stand there."""
        return self.volumes[address.path][address.offset : address.offset + size]


def _with_health_page(settings: WorldSettings) -> ClusterSettings:
    cluster = settings.cluster
    # No certificate is simulated: an authority without one would be refused.
    url = HEALTH_URL if settings.engine.page else ""
    engine = replace(cluster.engine, health_url=url, health_ca_file="")
    if not url:
        engine = replace(engine, fqdn="")
    return replace(cluster, engine=engine)
