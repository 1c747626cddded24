# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Writes the version of the shared configuration that this host goes by back to the storage.

Under the lock of writers, and only where `metadata.config_repair` sees nothing newer and nothing
that somebody else decided (ADR 35). The broker has it done by a process of its own
(``python -m world.storage.config_restore``, which reads one JSON document and answers with one):
who holds a lease is ended by sanlock with the lockspace, and a write that hangs can't be ended.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from contextlib import suppress
from typing import Any

from metadata import config_repair
from metadata.layout import CONFIG_SIZE, required_sizes
from metadata.plain_json import parse_json
from metadata.records import VolumeAddress
from metadata.settings.parse import HostSettings, host_settings_to_data, parse_host_settings
from metadata.shared_config import (
    StoredConfig,
    copy_offset,
    decode_copy,
    decode_stored,
    encode_stored,
)
from world.host.interpreter import module_command
from world.ports.errors import LockspaceError, StorageError, WorldError
from world.ports.sanlock import WriterLock
from world.ports.storage import BlockStore
from world.storage.direct_store import DirectStore
from world.storage.sanlock_lockspace import SanlockLockspace

WHAT = "write the shared configuration back"
DEADLINE_S = 30.0
MODULE = "world.storage.config_restore"


class ConfigRestorer:
    """The `Restore` of the real world."""

    def __init__(self, host: HostSettings) -> None:
        self._host = host

    def __call__(self, held: StoredConfig) -> bool:
        """As `restore_config`, in time; a child that can't be ended is left behind."""
        request = {
            "host": host_settings_to_data(self._host),
            "copy": base64.b64encode(encode_stored(held)).decode("ascii"),
        }
        child = subprocess.Popen(
            module_command(MODULE),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            said, _ = child.communicate(json.dumps(request).encode(), DEADLINE_S)
        except subprocess.TimeoutExpired as error:
            child.kill()
            raise StorageError(WHAT, f"it has not ended for {DEADLINE_S:.0f} s") from error
        return _result(said)


def _result(said: bytes) -> bool:
    try:
        answer = parse_json(said)
    except ValueError as error:
        raise StorageError(WHAT, "its process ended without a word") from error
    if "error" in answer:
        raise WorldError(WHAT, str(answer["error"]))
    return bool(answer["written"])


def main() -> None:
    """The child's life."""
    print(json.dumps(_answer(parse_json(sys.stdin.buffer.read()))))


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    host = parse_host_settings(request["host"], "settings")
    held = decode_copy(base64.b64decode(request["copy"]))
    if not isinstance(held, StoredConfig):
        return {"error": "what was to be written is no configuration"}
    place, lock = host.storage.shared_config, SanlockLockspace(host.storage)
    store = DirectStore(needed=required_sizes(host.storage))
    try:
        return {"written": restore_config(store, lock, place, held)}
    except WorldError as error:
        return {"error": str(error)}


def restore_config(
    store: BlockStore, lock: WriterLock, place: VolumeAddress, held: StoredConfig
) -> bool:
    """False: there was nothing to do any more. Raises StorageError, LockspaceError."""
    lock.take_config_lease()
    try:
        return write_back(store, place, held)
    finally:
        with suppress(LockspaceError):  # sanlock lets it go with this process at the latest
            lock.drop_config_lease()


def write_back(store: BlockStore, place: VolumeAddress, held: StoredConfig) -> bool:
    """The same, for who holds the lock already."""
    sequence = held.config.sequence
    area = store.read(place, CONFIG_SIZE)
    if config_repair.is_whole(area, sequence):
        return False
    why = config_repair.refusal(area, sequence)
    if why:
        raise StorageError(WHAT, why)
    offset = place.offset + copy_offset(sequence)
    store.write(VolumeAddress(place.path, offset), encode_stored(held))
    if decode_stored(store.read(place, CONFIG_SIZE)) != held:
        raise StorageError(WHAT, f"version {sequence} does not read back as it was written")
    return True


if __name__ == "__main__":
    main()
