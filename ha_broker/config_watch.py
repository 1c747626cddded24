"""Reads the shared configuration, and notices cheaply when it has changed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import Optional, Union, cast

from ha_broker.parts import Settings, Task, Teller, World, error_text
from ha_broker.snapshot import ConfigView
from ha_broker.world.ports import BlockStore, Outcome
from metadata.layout import CONFIG_SIZE
from metadata.pace import with_ticks_s
from metadata.records import VolumeAddress
from metadata.shared_config import (
    ConfigError,
    SharedConfig,
    copy_offset,
    decode_area,
    describe_config_error,
)

CONFIG = "config"
INTERVAL_S = 60.0
INTERVAL_WITHOUT_S = 10.0
HEAD_SIZE = 4096

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ConfigRead:
    """The heads of both copies, and what the area holds (None: as before)."""

    heads: bytes
    found: Union[SharedConfig, ConfigError, None]


class ConfigWatch:
    """The last good configuration stays in use while the area can't be read or decoded."""

    keys = (CONFIG,)

    def __init__(self, world: World, settings: Settings, teller: Teller) -> None:
        self._world = world
        self._settings = settings
        self._teller = teller
        self._task = Task(world.runner, CONFIG)
        self._heads: Optional[bytes] = None
        self._error = ""

    def view(self, now_s: float) -> ConfigView:
        """The sequence number in use, and what is wrong."""
        config = self._settings.config
        return ConfigView(config.sequence if config else None, self._error_now(now_s))

    def hurry(self, now_s: float) -> None:
        """Read all of it again, soon."""
        self._heads = None
        self._task.hurry(now_s)

    def harvest(self, outcome: Outcome[object]) -> None:
        """A job of this part ended."""
        if outcome.error is not None:
            self._error = f"reading the shared configuration: {error_text(outcome.error)}"
            self._retry_soon(outcome.finished_at_s)
            return
        read = cast(ConfigRead, outcome.value)
        if isinstance(read.found, SharedConfig):
            self._use(read.found)
            self._heads, self._error = read.heads, ""
        elif read.found is not None:
            self._error = describe_config_error(read.found)
            self._retry_soon(outcome.finished_at_s)

    def work(self, now_s: float) -> None:
        """Submit what is due."""
        if self._task.is_due(now_s):
            address = self._settings.host.storage.shared_config
            job = partial(read_config, self._world.store, address, self._heads)
            interval_s = with_ticks_s(self._settings.timing.tick_s, INTERVAL_S)
            self._task.start(now_s, job, interval_s)
        self._teller.tell("shared configuration", self._error_now(now_s))

    def next_due_s(self, now_s: float) -> float:
        """When there is something to do again, if nothing else happens."""
        return self._task.next_due_s(now_s, self._settings.timing.io_timeout_s)

    def _error_now(self, now_s: float) -> str:
        stuck = self._task.stuck_since_s(now_s, self._settings.timing.io_timeout_s)
        if stuck is not None and self._settings.config is None:
            return "reading the shared configuration has not ended"
        return self._error

    def _retry_soon(self, now_s: float) -> None:
        self._heads = None
        self._task.hurry(now_s + INTERVAL_WITHOUT_S)

    def _use(self, config: SharedConfig) -> None:
        if config != self._settings.config:
            log.info("shared configuration: sequence %d is in use", config.sequence)
            self._settings.use(config)


def read_config(
    store: BlockStore, address: VolumeAddress, known_heads: Optional[bytes]
) -> ConfigRead:
    """Read 8 KiB, and the whole 1 MiB only when sequence numbers or checksums changed.

    Each copy begins with its sequence number and checksum, so equal heads are equal copies.
    """
    heads = b"".join(_head(store, address, copy_offset(number)) for number in (0, 1))
    if heads == known_heads:
        return ConfigRead(heads, None)
    return ConfigRead(heads, decode_area(store.read(address, CONFIG_SIZE)))


def _head(store: BlockStore, address: VolumeAddress, offset: int) -> bytes:
    return store.read(VolumeAddress(address.path, address.offset + offset), HEAD_SIZE)
