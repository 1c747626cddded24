# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Where the parts of the shared storage lie: apart from the settings, for those who only read."""

from __future__ import annotations

from typing import Optional

from metadata.records import VolumeAddress
from metadata.value_class import value_class


@value_class(frozen=True)
class StorageParts:
    """Where each part of the shared storage lies; made by `metadata.layout`.

    Without a place of its own `config_lease` lies behind the other parts, see
    `metadata.layout.config_lease_address`.
    """

    lockspace: VolumeAddress
    lease: VolumeAddress
    metadata: VolumeAddress
    shared_config: VolumeAddress
    sector_size: int = 512
    config_lease: Optional[VolumeAddress] = None
