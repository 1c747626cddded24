# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Is the engine up, or is there nobody who could see to it?"""

from __future__ import annotations

from metadata.states import State
from tests.fsm.model.concrete import can_ask
from tests.fsm.model.shape import Agent, Dom, Hold, Host, Left, Life, World
from tests.fsm.model.world import Key, Worlds


def is_goal(worlds: Worlds, key: Key) -> bool:
    return is_at_rest(worlds.world(key))


def is_at_rest(world: World) -> bool:
    """Nothing needs to happen: no VM is to be switched off, and the engine is up or excused."""
    if any(_must_go(host) or _is_to_move(host) for host in world.hosts):
        return False
    return world.maintenance or _is_up(world) or _is_excused(world)


def _acts(host: Host) -> bool:
    """Can its agent do something about a VM here?"""
    return host.on and not host.asleep and host.agent is Agent.RUNS and host.libvirt


def _must_go(host: Host) -> bool:
    """A VM that runs without its lease, whose host can switch it off."""
    if host.hold is Hold.SLEPT and host.life is Life.LIVE:
        return host.runs and _acts(host) and host.broker and can_ask(host)
    unsafe = host.hold is not Hold.YES or host.life in (Life.GONE, Life.LAPSED)
    return host.runs and unsafe and _acts(host)


_MOVING = (State.LOCAL_MAINTENANCE_MIGRATE_VM, State.ENGINE_MIGRATING_AWAY)


def _is_to_move(host: Host) -> bool:
    """A VM is about to leave its host, which is to be so for a while only."""
    if host.mem is None or host.mem.state not in _MOVING or not _acts(host):
        return False
    able = host.broker and host.slot0 and can_ask(host)
    return host.runs and host.hold is Hold.YES and able


def _is_up(world: World) -> bool:
    return any(_runs_well(host) and not _is_left_dark(world, host) for host in world.hosts)


def _is_left_dark(world: World, host: Host) -> bool:
    """Cut off with its host, while another one that is not could run it."""
    others = [other for other in world.hosts if other is not host]
    sees = _able(host) and host.looked and host.unseen and host.poor and not host.slow
    return sees and any(_able(each) and _shows_itself(each) for each in others)


def _shows_itself(host: Host) -> bool:
    """Does its record say that it could take over, and that its network is good?"""
    ready = host.mem is not None and host.mem.state is State.ENGINE_DOWN and host.mem.failed < 2
    return ready and not host.poor and not host.unseen and host.life is Life.LIVE and host.looked


def _runs_well(host: Host) -> bool:
    if host.dom is not Dom.GOOD or host.hold is not Hold.YES:
        return False
    can_see = _acts(host) and host.broker and host.slot0 and not host.local
    up = [State.ENGINE_UP, *([State.ENGINE_UP_BAD_HEALTH] if host.unseen else [])]
    return not can_see or (host.mem is not None and host.mem.state in up)


def _is_excused(world: World) -> bool:
    return not any(_able(host) for host in world.hosts) or _is_kept(world)


def _able(host: Host) -> bool:
    """Could this host run the engine, if not at once then without anybody's help?"""
    joined = host.life in (Life.LIVE, Life.JOINS)
    sees = host.broker and host.storage and host.reads and host.slot0
    return _acts(host) and sees and joined and not host.local


def _is_kept(world: World) -> bool:
    """The lease is a living host's that nobody there can or may do anything about."""
    if not world.lease.owner:
        return False
    owner = world.hosts[world.lease.owner - 1]
    if not owner.on or owner.life in (Life.EXPIRED, Life.DEAD) or not owner.storage:
        return False
    if world.lease.left is Left.STUCK:
        return not _able(owner)
    if world.lease.left is Left.LEFT:
        return False
    watched = _acts(owner) and not owner.local and owner.broker and owner.slot0
    return not watched
