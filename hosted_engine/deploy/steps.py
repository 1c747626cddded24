# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Carrying a plan out, step by step.

The order makes every interruption harmless. Creating: the shared configuration goes first and
comes back last, so that half-made storage never looks like a cluster, to nobody; what is cut
off before it is done anew by the next run, what is cut off after it is joined. Until
``host.yaml`` is written a failure leaves the lockspace again.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

from hosted_engine.cluster.life_watch import changed_in_use, looks
from hosted_engine.cluster.storage_survey import (
    AreaKind,
    Survey,
    ids_in_use,
    read_lockspace,
    survey,
)
from hosted_engine.deploy.plan import FIRST_SEQUENCE, Create, Deployed, Join, LifeWatch, ThisHost
from hosted_engine.errors import CommandError
from hosted_engine.host.deadline import within_deadline
from hosted_engine.host.environment import Environment
from hosted_engine.host.settings_file import write_host_settings
from hosted_engine.host.storage_deadline import SANLOCK_DEADLINE_S, progress
from hosted_engine.host.units import BROKER, IN_STARTING_ORDER
from metadata import wire
from metadata.layout import (
    CONFIG_SIZE,
    METADATA_SIZE,
    SLOT_SIZE,
    config_lease_extent,
    required_sizes,
    slot_address,
)
from metadata.records import DecodedSlot, EngineStatus, HostRecord, SlotAbsent, VolumeAddress
from metadata.sanlock_disk import LeaderRecord
from metadata.settings.parse import HostSettings, StorageParts
from metadata.settings.timing import join_s, lease_floor_s
from metadata.shared_config import SharedConfig, copy_offset, decode_area, encode_copy
from world.ports.errors import HOSTID_BUSY, LockspaceError, WorldError
from world.ports.sanlock import LockspaceAdmin, Membership

CLAIM_SETTLES_S = 1.0
_LOOK_EVERY_S = 0.5
_CHUNK_SIZE = 1024 * 1024


@dataclass(frozen=True)
class DeploySite:
    """Where the steps are taken: the world, the findings, and what the answers say of this host.

    `local` has the answers' values for host.yaml; its id, name, bridge and gateway, which the
    plan decides, mean nothing.
    """

    world: Environment
    lockspace: LockspaceAdmin
    survey: Survey
    host: ThisHost
    local: HostSettings

    @property
    def parts(self) -> StorageParts:
        """Where everything lies."""
        return self.survey.parts


# --- create ---------------------------------------------------------------------------------


def create(site: DeploySite, plan: Create) -> None:
    """Format the storage, write the configuration, become the first host."""
    world = site.world
    _refuse_while_serving(site)
    watch_for_life(site, plan.watch)
    _leave(site)
    _check_unchanged(site)
    if plan.lost:
        world.say(f"[lost] what is destroyed now: {plan.lost}")
    with _sanlock_may_open(site):
        _format(site, plan)
    with _left_on_failure(site, plan.host_id):
        _join_as(site, plan.host_id, plan.settings.timing.io_timeout_s)
        _write_config(site, SharedConfig(FIRST_SEQUENCE, plan.settings, plan.domain_xml))
        network = plan.settings.network
        _become_host(site, plan.host_id, plan.host_name, network.bridge, network.gateway)
    start_services(world, site.local)


_HOLDER = (
    "a process of this host holds the engine's lease: the storage can't be formatted under a "
    "running engine; hosted-engine --vm-shutdown first"
)


def _refuse_while_serving(site: DeploySite) -> None:
    """A running broker would join again while we format; a running engine would lose its lease."""
    if site.lockspace.holders():
        raise CommandError(_HOLDER)
    active = site.world.units.active()
    if active:
        raise CommandError(
            f"{' and '.join(active)} must not run on this host while the storage is formatted; "
            f"systemctl stop {' '.join(reversed(IN_STARTING_ORDER))}, then run the same "
            "--deploy again"
        )


def _leave(site: DeploySite) -> None:
    joined_id = site.host.joined_id
    if joined_id is None:
        return
    if not site.lockspace.leave_if_unused(joined_id):
        raise CommandError(_HOLDER)
    site.world.say(f"[ ok ] left the lockspace (host id {joined_id})")


def _check_unchanged(site: DeploySite) -> None:
    """Somebody else may have begun meanwhile; whoever formats second must notice."""
    now = look_again(site.world, site.parts)
    before = set(site.survey.ids_in_use) - {site.host.joined_id}
    if now.kind is site.survey.kind and set(now.ids_in_use) <= before:
        return
    raise CommandError(
        f"{site.parts.lockspace.path} changed meanwhile: it holds {now.found or 'nothing'} now; "
        "is another host being deployed?"
    )


def look_again(world: Environment, parts: StorageParts) -> Survey:
    """What the storage holds now; raises StorageError or CommandError."""
    return world.in_new(partial(survey, world.store, parts))


def _format(site: DeploySite, plan: Create) -> None:
    parts = site.parts
    _zero(site, parts.shared_config, CONFIG_SIZE)
    _zero(site, parts.metadata, METADATA_SIZE)
    lock = config_lease_extent(parts)
    _zero(site, lock.address, lock.size)
    site.lockspace.format_lockspace(plan.settings.timing.io_timeout_s)
    site.lockspace.format_lease()
    site.lockspace.format_config_lease()
    if look_again(site.world, parts).kind is not AreaKind.HALF_MADE:
        raise CommandError(f"{parts.lockspace.path}: what was written does not read back")
    site.world.say("[ ok ] storage formatted: lockspace, lease, metadata")


def _zero(site: DeploySite, address: VolumeAddress, size: int) -> None:
    store = site.world.store
    for start in range(0, size, _CHUNK_SIZE):
        place = VolumeAddress(address.path, address.offset + start)
        count = min(_CHUNK_SIZE, size - start)
        site.world.in_new(partial(store.zero, place, count))


def _write_config(site: DeploySite, config: SharedConfig) -> None:
    place, store = site.parts.shared_config, site.world.store
    copy = VolumeAddress(place.path, place.offset + copy_offset(config.sequence))
    site.world.in_new(partial(store.write, copy, encode_copy(config)))
    if decode_area(site.world.in_new(partial(store.read, place, CONFIG_SIZE))) != config:
        raise CommandError(f"{place.path}: the shared configuration does not read back")
    site.world.say("[ ok ] shared configuration written, with the engine's domain XML")


# --- join -----------------------------------------------------------------------------------


def join(site: DeploySite, plan: Join) -> None:
    """Take a host id and become a host of the cluster."""
    watch_for_life(site, plan.watch)
    assert site.survey.config is not None
    io_timeout_s = site.survey.config.settings.timing.io_timeout_s
    host_id = _take_id(site, plan, io_timeout_s)
    with _left_on_failure(site, host_id):
        _become_host(site, host_id, plan.host_name, plan.bridge, plan.gateway)
    start_services(site.world, site.local)


def _take_id(site: DeploySite, plan: Join, io_timeout_s: int) -> int:
    """sanlock decides who gets an id when several hosts are deployed at once."""
    if site.host.joined_id not in (None, *plan.candidates):
        _leave(site)
    for host_id in plan.candidates:
        if _try_id(site, host_id, plan.host_name, io_timeout_s):
            return host_id
        site.world.say(f"[skip] host id {host_id} was taken by another host meanwhile")
    first, last = plan.candidates[0], plan.candidates[-1]
    tried = str(first) if first == last else f"{first} to {last}"
    raise CommandError(
        f"no host id could be had (tried {tried}): other hosts use them; run the same --deploy "
        "again, or give host.host_id"
    )


def _try_id(site: DeploySite, host_id: int, host_name: str, io_timeout_s: int) -> bool:
    """False when another host has the id."""
    if _taken_meanwhile(site, host_id, host_name):
        return False
    with _claimed(site, host_id, host_name) as is_ours:
        if not is_ours:
            return False
        try:
            _join_as(site, host_id, io_timeout_s)
        except LockspaceError as error:
            if error.errno == HOSTID_BUSY:
                return False
            raise
        if not _taken_meanwhile(site, host_id, host_name):
            return True
        site.lockspace.leave_if_unused(host_id)
        return False


@contextmanager
def _claimed(site: DeploySite, host_id: int, host_name: str) -> Iterator[bool]:
    """Write our name into the slot, and see whether it stands when the others have written too.

    sanlock takes its whole floor to tell the loser of a race for one id. Who loses
    the race for the slot goes on to the next id after a second; sanlock still decides between
    two who both believe they won. The claim is taken back when the id is not joined.
    """
    if not isinstance(_read_slot(site, host_id), SlotAbsent):
        yield True  # our former id
        return
    write_first_record(site, host_id, host_name)
    site.world.sleep(CLAIM_SETTLES_S)
    if not _has_name(site, host_id, host_name):
        yield False
        return
    try:
        yield True
    finally:
        # What went wrong first is what people must hear of.
        with suppress(WorldError, CommandError):
            if site.lockspace.membership(host_id) is Membership.OUT:
                _withdraw(site, host_id, host_name)


def _withdraw(site: DeploySite, host_id: int, host_name: str) -> None:
    if _has_name(site, host_id, host_name):
        place, store = slot_address(site.parts, host_id), site.world.store
        site.world.in_new(partial(store.write, place, bytes(SLOT_SIZE)))


def _has_name(site: DeploySite, host_id: int, host_name: str) -> bool:
    slot = _read_slot(site, host_id)
    return isinstance(slot, HostRecord) and slot.hostname == host_name


def _taken_meanwhile(site: DeploySite, host_id: int, host_name: str) -> bool:
    """Looked at just before a join, for joining an id in use takes minutes to be refused."""
    slot = _read_slot(site, host_id)
    if not isinstance(slot, SlotAbsent):
        return not isinstance(slot, HostRecord) or slot.hostname != host_name
    owner = _ids_in_use(site).get(host_id)
    return owner is not None and owner.resource != site.host.sanlock_name


# --- both -----------------------------------------------------------------------------------


def _join_as(site: DeploySite, host_id: int, io_timeout_s: int) -> None:
    """sanlock needs its time, and more to refuse an id; only storage that hangs needs longer."""
    say, what = site.world.say, f"joining the lockspace as host id {host_id}"
    floor_s = lease_floor_s(io_timeout_s, site.lockspace.fire_timeout_s())
    longest_s = floor_s + join_s(io_timeout_s) + SANLOCK_DEADLINE_S
    whom = (
        f"{what}: sanlock (see 'sanlock client status', and the storage; then run the same "
        "--deploy again, which goes on)"
    )
    say(f"[ .. ] {what}, which takes {join_s(io_timeout_s):.0f} s and more")
    with _sanlock_may_open(site), progress(lambda gone_s: say(f"[ .. ] {what}: {gone_s:.0f} s")):
        within_deadline(lambda: site.lockspace.join(host_id, io_timeout_s), whom, longest_s)
    say(f"[ ok ] joined the lockspace as host id {host_id}")


@contextmanager
def _sanlock_may_open(site: DeploySite) -> Iterator[None]:
    """Say how to mend it when sanlock, which is no root, may not open the storage."""
    try:
        yield
    except LockspaceError as error:
        if abs(error.errno) != errno.EACCES:
            raise
        path = site.parts.lockspace.path
        raise CommandError(
            f"sanlock may not open {path}; chown sanlock:sanlock {path} && chmod 660 {path}"
        ) from error


@contextmanager
def _left_on_failure(site: DeploySite, host_id: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(LockspaceError, CommandError):
            site.lockspace.leave_if_unused(host_id)
        raise


def _become_host(site: DeploySite, host_id: int, host_name: str, bridge: str, gateway: str) -> None:
    write_first_record(site, host_id, host_name)
    settings = replace(
        site.local,
        host_id=host_id,
        host_name=host_name,
        storage=site.parts,
        bridge=bridge,
        gateway=gateway,
    )
    write_host_settings(site.world.settings_file, settings)
    site.world.say(f"[ ok ] {site.world.settings_file} written: host {host_name}, id {host_id}")


def write_first_record(site: DeploySite, host_id: int, host_name: str) -> None:
    """Show the host in the metadata, its agent not running yet; an own record stays."""
    if _has_name(site, host_id, host_name):
        return
    clock = site.world.clock
    record = HostRecord(
        host_id=host_id,
        timestamp_s=int(clock.monotonic_s()),
        score=0,
        engine_status=EngineStatus(),
        hostname=host_name,
        stopped=True,
        wall_time=time.ctime(clock.wall_s()),
    )
    address, store = slot_address(site.parts, host_id), site.world.store
    site.world.in_new(partial(store.write, address, wire.encode_host(record)))
    if not isinstance(_read_slot(site, host_id), HostRecord):
        raise CommandError(f"{address.path}: the record of host id {host_id} does not read back")


def complete(site: DeploySite, plan: Deployed) -> None:
    """See that a deployed host has all it needs."""
    settings = plan.settings
    found = site.survey.slots.get(settings.host_id)
    is_former = isinstance(found, HostRecord) and found.hostname not in ("", settings.host_name)
    if found is None or is_former:
        write_first_record(site, settings.host_id, settings.host_name)
    start_services(site.world, settings)


def start_services(world: Environment, settings: HostSettings) -> None:
    """Enable and start both daemons, and what connects their storage at boot."""
    if not world.units.available():
        world.say(f"[skip] no systemd runs here: start {' and '.join(IN_STARTING_ORDER)} yourself")
        return
    units = world.units
    try:
        changed = units.let_write(required_sizes(settings.storage))
        stale = tuple(unit for unit in units.active() if changed and unit == BROKER)
        units.connect_at_boot(settings.connection is not None)
        units.stop(stale)
        units.enable()
    except CommandError as error:
        raise CommandError(f"{error}; mend that and run the same --deploy again") from error
    world.say(f"[ ok ] {' and '.join(IN_STARTING_ORDER)} enabled and started")


def watch_for_life(site: DeploySite, watch: LifeWatch) -> None:
    """Raise CommandError when one of the watched host ids is renewed meanwhile."""
    if not watch.host_ids:
        return
    hosts = ", ".join(site.survey.describe_host(host_id) for host_id in watch.host_ids)
    site.world.say(f"[ .. ] looking for {watch.wait_s:.0f} s whether {hosts} lives")
    before = {host_id: site.survey.ids_in_use[host_id] for host_id in watch.host_ids}
    for _ in looks(site.world.clock, site.world.sleep, watch.wait_s, _LOOK_EVERY_S):
        living = changed_in_use(before, _ids_in_use(site))
        if living:
            alive = ", ".join(site.survey.describe_host(host_id) for host_id in living)
            raise CommandError(
                f"{alive} lives and uses {site.parts.lockspace.path}: nothing was changed; stop it "
                "first (there: systemctl stop ha-agent ha-broker ha-lockspace, with the engine "
                "shut down), or use another name or storage"
            )
    site.world.say(f"[ ok ] no sign of life of {hosts}")


def _ids_in_use(site: DeploySite) -> dict[int, LeaderRecord]:
    store, parts = site.world.store, site.parts
    return ids_in_use(site.world.in_new(partial(read_lockspace, store, parts)), parts)


def _read_slot(site: DeploySite, host_id: int) -> DecodedSlot:
    place, store = slot_address(site.parts, host_id), site.world.store
    data = site.world.in_new(partial(store.read, place, SLOT_SIZE))
    return wire.decode_slot(host_id, data)
