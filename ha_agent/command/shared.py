"""The shared configuration, from the broker or, when it is gone, from the storage itself."""

from __future__ import annotations

from ha_agent.command.apart import within_deadline_apart
from ha_agent.command.errors import CommandError
from ha_broker.client import BrokerClient, BrokerError
from ha_broker.world.direct_store import DirectStore
from ha_broker.world.ports import BlockStore, StorageError
from metadata.layout import CONFIG_SIZE
from metadata.settings import StorageParts
from metadata.shared_config import SharedConfig, decode_area, describe_config_error

READ_DEADLINE_S = 5.0


def shared_config(client: BrokerClient, parts: StorageParts) -> SharedConfig:
    """Settings and domain XML; raises CommandError when neither way leads to them."""
    try:
        return client.shared_config()
    except BrokerError:
        return within_deadline_apart(
            lambda: read_config(DirectStore(read_only=True), parts),
            f"the broker is not there, and the storage {parts.shared_config.path}",
            READ_DEADLINE_S,
        )


def read_config(store: BlockStore, parts: StorageParts) -> SharedConfig:
    """Read it from the storage; raises CommandError."""
    try:
        config = decode_area(store.read(parts.shared_config, CONFIG_SIZE))
    except StorageError as error:
        raise CommandError(f"{error.what}: {error.why}") from error
    if not isinstance(config, SharedConfig):
        raise CommandError(f"{parts.shared_config.path}: {describe_config_error(config)}")
    return config
