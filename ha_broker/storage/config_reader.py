# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Reads the shared configuration, and notices cheaply when it has changed."""

from __future__ import annotations

import logging
from functools import partial
from typing import Callable, Optional, Union, cast

from ha_broker.api.snapshot import ConfigView
from ha_broker.cycle.part import BrokerPorts, ChangeLog, Settings, error_text
from ha_broker.cycle.task import Task
from metadata.layout import CONFIG_SIZE
from metadata.records import VolumeAddress
from metadata.schedule import with_ticks_s
from metadata.shared_config import (
    ConfigError,
    StoredConfig,
    copy_offset,
    decode_stored,
    describe_config_error,
)
from metadata.value_class import value_class
from world.ports.jobs import Outcome
from world.ports.log_fields import fields
from world.ports.storage import BlockStore

CONFIG, RESTORE = "config", "config-restore"
INTERVAL_S = 60.0
INTERVAL_WITHOUT_S = 10.0
HEAD_SIZE = 4096
LOST_TICKS = 3  # one to publish, one to write, one to read

log = logging.getLogger(__name__)


@value_class(frozen=True)
class ConfigRead:
    """The heads of both copies, and what the area holds (None: as before)."""

    heads: bytes
    found: Union[StoredConfig, ConfigError, None]


class ConfigWatch:
    """The last good configuration stays in use while the area can't be read or decoded.

    Where the area is damaged, or nothing stands there any more, and this host has been a member of
    the lockspace since it read what it has, that is written back (ADR 35).
    """

    keys = (CONFIG, RESTORE)

    def __init__(
        self,
        world: BrokerPorts,
        settings: Settings,
        change_log: ChangeLog,
        is_member: Callable[[], bool] = lambda: False,
        newer_elsewhere: Callable[[int], str] = lambda _sequence: "",
    ) -> None:
        self._world = world
        self._settings = settings
        self._change_log = change_log
        self._task = Task(world.runner, CONFIG)
        self._heads: Optional[bytes] = None
        self._error = ""
        self._is_member = is_member
        self._newer_elsewhere = newer_elsewhere
        self._held: Optional[StoredConfig] = None
        self._is_ours = False  # read while a member, and a member ever since
        self._restore = Task(world.runner, RESTORE)
        self._restore_wanted = False
        self._restore_error = ""
        self._lost_since_s: Optional[float] = None

    @property
    def held(self) -> Optional[StoredConfig]:
        """What this host goes by, as it stood on the storage."""
        return self._held

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
        if outcome.key == RESTORE:
            return self._harvest_restore(outcome)
        if outcome.error is not None:
            self._error = f"reading the shared configuration: {error_text(outcome.error)}"
            return self._retry_soon(outcome.finished_at_s)
        read = cast(ConfigRead, outcome.value)
        error = "" if read.found is None else self._unusable_why(read.found)
        self._error = error
        self._restore_wanted = self._is_lost(bool(error), outcome.finished_at_s)
        if error:
            return self._retry_soon(outcome.finished_at_s)
        if isinstance(read.found, StoredConfig):
            self._use(read.found)
        self._heads, self._restore_error = read.heads, ""
        self._is_ours = self._is_member()
        return None

    def _is_lost(self, unusable: bool, now_s: float) -> bool:
        """Long enough that whoever goes by a newer version has told so in its record."""
        if not unusable:
            self._lost_since_s = None
            return False
        if self._lost_since_s is None:
            self._lost_since_s = now_s
        told_s = LOST_TICKS * self._settings.timing.tick_s
        return self._held is not None and now_s - self._lost_since_s >= told_s

    def _unusable_why(self, found: Union[StoredConfig, ConfigError]) -> str:
        if not isinstance(found, StoredConfig):
            return describe_config_error(found)
        held, version = self._held, found.config.sequence
        if held is None or version >= held.config.sequence or not self._is_ours:
            return ""
        return (
            f"the storage holds version {version} of the shared configuration, and this host goes "
            f"by version {held.config.sequence}, which is newer"
        )

    def _harvest_restore(self, outcome: Outcome[object]) -> None:
        self._restore_error = "" if outcome.error is None else error_text(outcome.error)
        if outcome.error is None:
            if outcome.value and self._held is not None:
                sequence = self._held.config.sequence
                log.warning("shared configuration: version %d was written back", sequence)
            self._heads = None
            self._task.hurry(outcome.finished_at_s)

    def work(self, now_s: float) -> None:
        """Submit what is due."""
        if self._task.is_due(now_s):
            address = self._settings.host.storage.shared_config
            job = partial(read_config, self._world.store, address, self._heads)
            interval_s = with_ticks_s(self._settings.timing.tick_s, INTERVAL_S)
            self._task.start(now_s, job, interval_s)
        self._is_ours = self._is_ours and self._is_member()
        self._write_back(now_s)
        self._change_log.tell("shared configuration", self._error_now(now_s))

    def next_due_s(self, now_s: float) -> float:
        """When there is something to do again, if nothing else happens."""
        return self._task.next_due_s(now_s, self._settings.timing.io_timeout_s)

    def _write_back(self, now_s: float) -> None:
        """Once for each look that found nothing to go by."""
        held = self._held
        if not self._restore_wanted or held is None or not self._restore.is_due(now_s):
            return
        self._restore_wanted = False
        self._restore_error = self._restore_refusal(held.config.sequence)
        if not self._restore_error:
            self._restore.start(now_s, partial(self._world.restore, held), 0.0)

    def _restore_refusal(self, sequence: int) -> str:
        if not self._is_ours:
            return "this host has not been in the lockspace all the time since it read its version"
        return self._newer_elsewhere(sequence)

    def _error_now(self, now_s: float) -> str:
        stuck = self._task.stuck_since_s(now_s, self._settings.timing.io_timeout_s)
        if stuck is not None and self._settings.config is None:
            return "reading the shared configuration has not ended"
        if self._error and self._restore_error:
            return f"{self._error}; not written back: {self._restore_error}"
        return self._error

    def _retry_soon(self, now_s: float) -> None:
        self._heads = None
        self._task.hurry(now_s + INTERVAL_WITHOUT_S)

    def _use(self, stored: StoredConfig) -> None:
        config, self._held = stored.config, stored
        if config != self._settings.config:
            log.info(
                "shared configuration: sequence %d is in use",
                config.sequence,
                extra=fields(config_sequence=config.sequence),
            )
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
    return ConfigRead(heads, decode_stored(store.read(address, CONFIG_SIZE)))


def _head(store: BlockStore, address: VolumeAddress, offset: int) -> bytes:
    return store.read(VolumeAddress(address.path, address.offset + offset), HEAD_SIZE)
