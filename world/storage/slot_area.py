# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Reading the metadata area for whoever needs all that is asked for, or an error.

The broker, which goes on with what can be read, has jobs of its own: `ha_broker.storage.slot_io`.
"""

from __future__ import annotations

from metadata.layout import MAX_HOSTS, SLOT_SIZE, slot_address
from metadata.records import DecodedSlot
from metadata.settings.parse import StorageParts
from metadata.slots import PresentSlot, present_slots
from metadata.wire import decode_slot
from world.ports.storage import BlockStore


def read_slot(store: BlockStore, parts: StorageParts, host_id: int) -> DecodedSlot:
    """What stands in a host's slot; raises StorageError."""
    return decode_slot(host_id, store.read(slot_address(parts, host_id), SLOT_SIZE))


def read_slots(
    store: BlockStore, parts: StorageParts, last_id: int = MAX_HOSTS
) -> dict[int, PresentSlot]:
    """What stands in the hosts' slots up to `last_id`, by id; raises StorageError."""
    if last_id == 0:
        return {}
    return present_slots(store.read(slot_address(parts, 1), last_id * SLOT_SIZE), 1)
