# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --reinitialize-lockspace [--force]``: make a damaged lockspace anew.

Look (nothing is changed) -> `reinitialize_plan` (pure) -> write. The order of writing makes every
interruption harmless: the lease goes first and comes back last, and without a lease on the
storage nobody can start the engine (ADR 20).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_hex
from typing import Optional

from hosted_engine.cluster.life_watch import looks
from hosted_engine.cluster.storage_survey import read_lockspace
from hosted_engine.errors import EXIT_OK, NOTHING_WRITTEN, CommandError
from hosted_engine.host.environment import DeployedHost, deployed_host
from hosted_engine.host.error_lines import told
from hosted_engine.host.local_host import host_settings
from hosted_engine.host.units import AGENT
from hosted_engine.storage import reinitialize_plan as judge
from hosted_engine.storage.in_use import leave_lockspace, refuse_broker, refuse_engine_here
from hosted_engine.storage.reinitialize_plan import SignOfLife, StorageLook
from metadata.layout import (
    LOCKSPACE_NAME,
    MAX_HOSTS,
    config_lease_address,
)
from metadata.settings.parse import Timing
from metadata.settings.timing import lease_floor_s
from world.ports.errors import WorldError
from world.storage.slot_area import read_slots

LOOK_EVERY_S = 1.0
TELL_EVERY_S = 30.0
CLAIM_SETTLES_S = 1.0
SECTORS_READ = 4096  # of a lease: its owner, and what the first hosts say to each other


class OvertakenError(CommandError):
    """Somebody else does the same and has come later, so that one goes on."""


def run_command(options: argparse.Namespace) -> int:
    """Make lockspace and lease anew; raises CommandError."""
    reinitialize(deployed_host(host_settings()), options.force)
    return EXIT_OK


def reinitialize(world: DeployedHost, force: bool) -> None:
    """Look whether it is safe, and do it; raises CommandError."""
    with told():
        refuse_engine_here(world)
        _refuse_known_holder(world)
        _check_readiness(world, force)
        with _services_stopped(world):
            _reinitialize(world, force)


def _reinitialize(world: DeployedHost, force: bool) -> None:
    refuse_broker(world)
    leave_lockspace(world)
    # The agent may have begun a start in the moment before it was stopped.
    refuse_engine_here(world)
    cluster = world.cluster()
    timing = cluster.timing if cluster is not None else Timing()
    before = _look(world)
    io_s = judge.io_timeout_s(before, timing.io_timeout_s)
    fire_s = judge.fire_timeout_s(before, world.sanlock.fire_timeout_s())
    seen = _watch(world, before, judge.watch_s(before, io_s, fire_s, timing.tick_s), force)
    _write(world, seen, io_s, fire_s)
    world.say(
        "Done: lockspace and lease are as new, and hosts can join again; when all is well: "
        "hosted-engine --set-maintenance --mode=none"
    )


# --- before -----------------------------------------------------------------------------------


def _refuse_known_holder(world: DeployedHost) -> None:
    """What this host's broker knows already need not be found out without its services."""
    snapshot = world.broker()
    view = snapshot.host(snapshot.lease.holder_id) if snapshot is not None else None
    if view is not None and view.is_live:
        raise CommandError(
            f"host id {view.host_id} lives and holds the engine's lease; {NOTHING_WRITTEN}; "
            f"{_advice(force=True)}"
        )


def _check_readiness(world: DeployedHost, force: bool) -> None:
    runs = AGENT in world.units.active()
    problems = ["this host's agent runs (systemctl stop ha-agent)"] if runs else []
    seen = _look(world)
    maintenance = world.global_maintenance(world.storage)
    problems += judge.unready(seen, maintenance, world.settings.host_id)
    if problems and not force:
        raise CommandError(
            f"{'; '.join(problems)}; {NOTHING_WRITTEN}; do that first, or add --force"
        )
    for problem in problems:
        world.say(f"[warn] gone on with for --force: {problem}")


@contextmanager
def _services_stopped(world: DeployedHost) -> Iterator[None]:
    """A broker that runs would join again at once; it does so when it is started again."""
    active = world.units.active()
    if active:
        world.say(f"[ .. ] stopping {' and '.join(active)} for the time")
        world.units.stop(active)
    try:
        yield
    finally:
        if active:
            try:
                world.units.start(active)
                world.say(f"[ ok ] {' and '.join(active)} started again")
            except CommandError as error:
                # What went wrong before is what people must hear of, so this is only said.
                world.say(f"[warn] {error.message}: start {' and '.join(active)} yourself")


# --- looking ----------------------------------------------------------------------------------


def _look(world: DeployedHost, known: Optional[StorageLook] = None) -> StorageLook:
    """All of the storage that tells of hosts; of the slots those that `known` has, if given."""
    parts = world.settings.storage
    last = max(known.slots, default=0) if known else MAX_HOSTS
    return StorageLook(
        lockspace=read_lockspace(world.storage, parts),
        lease=world.storage.read(parts.lease, SECTORS_READ),
        slots=read_slots(world.storage, parts, last),
        sector_size=parts.sector_size,
    )


@dataclass(frozen=True)
class Seen:
    """What the look at the storage ended with: who lives, and the latest picture."""

    life: SignOfLife
    look: StorageLook


def _watch(world: DeployedHost, before: StorageLook, wait_s: float, force: bool) -> Seen:
    """Look for `wait_s`; raises CommandError as soon as what is seen forbids to go on."""
    if wait_s:
        world.say(f"[ .. ] looking for {wait_s:.0f} s whether any other host lives")
    seen = Seen(SignOfLife(), before)
    for _ in _moments(world, wait_s):
        look = _look(world, before)
        seen = Seen(seen.life.beside(judge.life_between(before, look)), look)
        why = judge.refusal(before, seen.life, force)
        if why:
            raise CommandError(f"{why}; {NOTHING_WRITTEN}; {_advice(force)}")
    if seen.life.host_ids:
        ids = ", ".join(str(host_id) for host_id in seen.life.host_ids)
        world.say(f"[warn] gone on with for --force: hosts that live lose the lockspace ({ids})")
    else:
        world.say("[ ok ] no sign of life of other hosts")
    return seen


def _advice(force: bool) -> str:
    stop = (
        "stop it there (systemctl stop ha-agent ha-broker ha-lockspace, with the engine shut down)"
    )
    return f"{stop} or switch that host off" if force else stop


def _moments(world: DeployedHost, wait_s: float) -> Iterator[None]:
    """Every now and then until `wait_s` are over, with a word for who waits."""
    begun_s = told_s = world.clock.monotonic_s()
    for _ in looks(world.clock, world.sleep, wait_s, LOOK_EVERY_S):
        yield
        now_s = world.clock.monotonic_s()
        if now_s - told_s >= TELL_EVERY_S and now_s < begun_s + wait_s:
            told_s = now_s
            world.say(f"[ .. ] {begun_s + wait_s - now_s:.0f} s more")


# --- writing ----------------------------------------------------------------------------------


@contextmanager
def _half_done_told() -> Iterator[None]:
    try:
        yield
    except OvertakenError:
        raise
    except (CommandError, WorldError) as error:
        raise CommandError(
            f"{error}; the work is half done, and the engine can't be started anywhere until it "
            "is done: run the same again"
        ) from error


def _write(world: DeployedHost, seen: Seen, io_s: int, fire_s: int) -> None:
    sanlock = world.sanlock
    has_config_lease = sanlock.has_config_lease()
    if world.storage.read(world.settings.storage.lease, SECTORS_READ) != seen.look.lease:
        raise CommandError(f"{judge.LEASE_MOVES}; {NOTHING_WRITTEN}")
    with _half_done_told():
        mark = _claim(world)
        # Nobody lived when we looked; who comes now would lose what is just being joined.
        if (
            not seen.life.host_ids
            and read_lockspace(world.storage, world.settings.storage) != seen.look.lockspace
        ):
            raise CommandError("a host has begun to join the lockspace meanwhile")
        sanlock.format_lockspace(io_s)
        world.say("[ ok ] the lockspace is as new")
        if seen.life.host_ids:
            wait_s = lease_floor_s(io_s, fire_s) + 1
            world.say(
                f"[ .. ] waiting {wait_s:.0f} s until nobody can hold anything of the old "
                "lockspace; until then no host can start the engine"
            )
            for _ in _moments(world, wait_s):
                pass
        _check_claim(world, mark)
        sanlock.format_lease()
        if has_config_lease:
            place = config_lease_address(world.settings.storage)
            world.storage.write(place, bytes(SECTORS_READ))
            world.sanlock.format_config_lease()
        _check_written(world)
    world.say("[ ok ] the engine's lease is as new")


def _claim(world: DeployedHost) -> bytes:
    """Put our mark in the lease's place: sanlock takes it for no lease at all.

    From now on nobody can take the lease. Two hosts that do this at once find it out: the mark
    that was written last stays.
    """
    nonce = token_hex(16)
    mark = f"being made anew by host id {world.settings.host_id}, {nonce}\n".encode()
    place = world.settings.storage.lease
    world.storage.write(place, mark.ljust(SECTORS_READ, b"\0"))
    world.sleep(CLAIM_SETTLES_S)
    _check_claim(world, mark)
    return mark


def _check_claim(world: DeployedHost, mark: bytes) -> None:
    if not world.storage.read(world.settings.storage.lease, SECTORS_READ).startswith(mark):
        raise OvertakenError(
            "another host makes the lockspace anew at the same time: leave it to that one"
        )


def _check_written(world: DeployedHost) -> None:
    lockspace, lease = world.sanlock.read_lockspace(), world.sanlock.read_lease()
    if lockspace is None or lockspace.name != LOCKSPACE_NAME or lease is None:
        path = world.settings.storage.lockspace.path
        raise CommandError(f"{path}: what was written does not read back; run the same again")
