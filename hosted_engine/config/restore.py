# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``--restore-shared-config [--force]``: write back what this host's broker goes by.

For a shared configuration that is damaged or gone, where the brokers do not do it by themselves
(ADR 35): after the volume was cut and grown again, the lock of writers is gone, too, and is made
anew here. Nothing newer is ever overwritten; with --force, a number above all that was ever begun
is used, so that every host takes it up.
"""

from __future__ import annotations

import argparse
import contextlib
from dataclasses import replace

from ha_broker.api.client import BrokerClient, BrokerError
from hosted_engine.config.lock import locked
from hosted_engine.config.store import WRITE_DEADLINE_S
from hosted_engine.errors import EXIT_OK, NOTHING_WRITTEN, CommandError
from hosted_engine.host.environment import DeployedHost, deployed_host
from hosted_engine.host.local_host import host_settings
from metadata import config_repair
from metadata.layout import CONFIG_SIZE
from metadata.notes import CONFIG_VERSION, MOST_CONFIG_VERSION, number_in
from metadata.records import HostRecord
from metadata.shared_config import StoredConfig
from world.ports.errors import StorageError
from world.storage.config_restore import write_back
from world.storage.slot_area import read_slots


def run_command(options: argparse.Namespace) -> int:
    """Raises CommandError."""
    client = BrokerClient()
    try:
        held = client.stored_config()
        version = restore(deployed_host(host_settings()), held, options.force)
        with contextlib.suppress(BrokerError):  # it looks by itself within a minute
            client.reread()
    except BrokerError as error:
        raise CommandError(
            f"{error}; what is written back is what a broker goes by that has not been restarted "
            "since; do this on a host where one runs"
        ) from error
    finally:
        client.close()
    print(f"Version {version} of the shared configuration stands on the storage.")
    return EXIT_OK


def restore(world: DeployedHost, held: StoredConfig, force: bool) -> int:
    """Returns the version that stands there then; raises CommandError."""
    whom = f"the storage {world.parts.shared_config.path}"
    return world.in_copy(lambda: _restore(world, held, force), whom, WRITE_DEADLINE_S)


def _restore(world: DeployedHost, held: StoredConfig, force: bool) -> int:
    with locked(world):
        place = world.parts.shared_config
        area = world.store.read(place, CONFIG_SIZE)
        why = config_repair.refusal(area, held.config.sequence) or _newer_record(world, held)
        if config_repair.is_whole(area, held.config.sequence):
            raise CommandError(f"the storage holds a whole configuration; {NOTHING_WRITTEN}")
        if why and not force:
            raise CommandError(
                f"{why}; {NOTHING_WRITTEN}; do it on a host that goes by the newest version, or "
                "add --force if there is none"
            )
        if why:
            known = (held.config.sequence, config_repair.newest_begun(area))
            newest = max(*known, *(version for version, _ in _versions(world)))
            held = replace(held, config=replace(held.config, sequence=newest + 1))
        try:
            write_back(world.store, place, held)
        except StorageError as error:
            raise CommandError(f"{error}; see --shared-config-history") from error
        return held.config.sequence


def _newer_record(world: DeployedHost, held: StoredConfig) -> str:
    newest = max(_versions(world), key=lambda found: found[0], default=(0, ""))
    version, name = newest
    return f"{name} goes by version {version}" if version > held.config.sequence else ""


def _versions(world: DeployedHost) -> list[tuple[int, str]]:
    """Which version each host goes by, as its record last said."""
    found = []
    for record in read_slots(world.store, world.parts).values():
        if isinstance(record, HostRecord):
            version = number_in(dict(record.notes).get(CONFIG_VERSION, ""), MOST_CONFIG_VERSION)
            found.append((version or 0, record.hostname))
    return found
