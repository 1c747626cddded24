# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The shared configuration, from the broker or, when it is gone, from the storage itself."""

from __future__ import annotations

from functools import partial

from ha_broker.api.client import BrokerClient, BrokerDeniedError, BrokerError
from hosted_engine.errors import CommandError
from hosted_engine.host.anew import within_deadline_anew
from hosted_engine.host.error_lines import told
from metadata.layout import CONFIG_SIZE, required_sizes
from metadata.settings.parse import StorageParts
from metadata.shared_config import SharedConfig, decode_area, describe_config_error
from world.storage.direct_store import DirectStore

READ_DEADLINE_S = 5.0


def shared_config(client: BrokerClient, parts: StorageParts) -> SharedConfig:
    """Settings and domain XML; raises CommandError when neither way leads to them."""
    try:
        return client.shared_config()
    except BrokerDeniedError as denied:
        try:
            return _read_config(parts)
        except CommandError:
            raise CommandError(str(denied)) from denied
    except BrokerError:
        return _read_config(parts)


def _read_config(parts: StorageParts) -> SharedConfig:
    """Read it from the storage; raises CommandError."""
    path = parts.shared_config.path
    read = partial(
        DirectStore(read_only=True, needed=required_sizes(parts)).read,
        parts.shared_config,
        CONFIG_SIZE,
    )
    whom = f"the broker is not there, and the storage {path}"
    with told():
        config = decode_area(within_deadline_anew(read, whom, READ_DEADLINE_S))
    if not isinstance(config, SharedConfig):
        raise CommandError(f"{path}: {describe_config_error(config)}")
    return config
