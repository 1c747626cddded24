# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --clean-metadata [--host-id=N] [--force-clean]``: remove a host's record.

A host that is gone for good is shown until its slot is zeroed. Nothing else of it is shown: a
dead host's place in sanlock's lockspace stays (only its owner may free it) and harms nobody.
"""

from __future__ import annotations

import argparse
from typing import Optional

from hosted_engine.cluster.signs_of_life import signs_of_life
from hosted_engine.errors import EXIT_OK, CommandError
from hosted_engine.host.environment import DeployedHost, deployed_host
from hosted_engine.host.error_lines import told
from hosted_engine.host.local_host import host_settings
from hosted_engine.host.units import AGENT
from metadata.layout import SLOT_SIZE, slot_address
from metadata.records import DecodedSlot, HostRecord, SlotAbsent, describe_slot_error
from metadata.sanlock_disk import lease_owner
from world.ports.errors import StorageError

FORGOTTEN_WITHIN_S = 15.0
LOOK_EVERY_S = 0.25


def run_command(options: argparse.Namespace) -> int:
    """Clean one slot; raises CommandError."""
    settings = host_settings()
    clean(deployed_host(settings), options.host_id or settings.host_id, options.force_clean)
    return EXIT_OK


def clean(world: DeployedHost, host_id: int, force: bool) -> None:
    """Zero the slot of `host_id`, unless that host lives; raises CommandError."""
    found = world.slot(host_id)
    if isinstance(found, SlotAbsent):
        world.say(f"[ ok ] slot {host_id} is empty already")
    else:
        _refuse_living(world, host_id, found, force)
        zero_slot(world, host_id)
        world.say(f"[ ok ] slot {host_id} is empty now; it held {_described(found)}")
    world.reread()
    _wait_until_forgotten(world, host_id)


def zero_slot(world: DeployedHost, host_id: int) -> None:
    """Write zeros and see that they are there; raises CommandError."""
    address = slot_address(world.settings.storage, host_id)
    try:
        world.storage.write(address, bytes(SLOT_SIZE))
    except StorageError as error:
        raise CommandError(f"slot {host_id}: {error}") from error
    if not isinstance(world.slot(host_id), SlotAbsent):
        raise CommandError(
            f"slot {host_id} was zeroed and is not empty: its host writes there; stop its agent"
        )


def _described(slot: DecodedSlot) -> str:
    if isinstance(slot, HostRecord):
        return f"the record of host {slot.hostname}"
    assert not isinstance(slot, SlotAbsent)
    return f"no record of ours ({describe_slot_error(slot)})"


def _refuse_living(world: DeployedHost, host_id: int, found: DecodedSlot, force: bool) -> None:
    if host_id == world.settings.host_id and AGENT in world.units.active():
        raise CommandError(
            "this host's agent runs and would write its record again; nothing was done; "
            "systemctl stop ha-agent first"
        )
    # By what stands on the storage; a lease that can't be read is nobody's here.
    with told():
        owner = lease_owner(world.storage.read(world.settings.storage.lease, SLOT_SIZE))
    is_owner = owner is not None and owner.owner_id == host_id
    if force and not is_owner:
        world.say(f"[warn] whether host id {host_id} lives was not asked (--force-clean)")
        return
    life = signs_of_life(world, host_id, found)
    if not life:
        return
    if is_owner:
        raise CommandError(
            f"host id {host_id} lives ({life}) and holds the engine's lease: by its record the "
            "others tell what the engine does; nothing was done"
        )
    raise CommandError(
        f"host id {host_id} lives: {life}; nothing was done; stop its services (there: systemctl "
        "stop ha-agent ha-broker ha-lockspace), or add --force-clean"
    )


def _wait_until_forgotten(world: DeployedHost, host_id: int) -> None:
    """This host's broker shows what it read last; `--vm-status` shall be right at once."""
    end_s = world.clock.monotonic_s() + FORGOTTEN_WITHIN_S
    while (known := _known(world, host_id)) and world.clock.monotonic_s() < end_s:
        world.sleep(LOOK_EVERY_S)
    if known is None:
        world.say(
            "[skip] no broker runs here; those of the other hosts see it with their next look"
        )
    elif known:
        world.say(f"[warn] this host's broker still shows host id {host_id}: does it write again?")
    else:
        world.say(f"[ ok ] this host's broker shows host id {host_id} no more")


def _known(world: DeployedHost, host_id: int) -> Optional[bool]:
    """Does the broker show something of that slot? None: there is no broker."""
    snapshot = world.broker()
    if snapshot is None:
        return None
    view = snapshot.host(host_id)
    return view is not None and (view.record is not None or bool(view.error))
