# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Why the engine runs where it runs, or why it runs nowhere: sentences for people. Pure.

The first of the situations that is so is told; each sentence says what is known and from whom.
"""

from __future__ import annotations

from typing import Callable, Optional

from fsm.observation import Peer
from fsm.peers import Ranking, is_candidate
from fsm.table import HEALTHY_AND
from ha_broker.api.snapshot import LeaseState, way_out_of_two
from hosted_engine.cli.wording import capital, clause, listed, span
from hosted_engine.cluster.facts import Cluster, HostFacts, HostLife
from hosted_engine.explain.move_sentences import move_sentences
from hosted_engine.explain.reach_sentences import reach_sentences
from metadata.liveness import Liveness
from metadata.penalties import PenaltyName
from metadata.records import Health
from metadata.start_notes import started_from_text
from metadata.states import State

Told = list[str]

LEASE = "the engine's lease (the lock on the shared storage without which no host can run it)"
# Parts of what a waiting agent says of itself.
HELD = "the engine's lease is held by"
WAITING = "; waiting"
TRIED = "the latest start came to nothing"
_BOOTING = (State.ENGINE_START, State.ENGINE_STARTING)
_STOPPING = (State.ENGINE_STOP, State.ENGINE_FORCE_STOP)


def engine_sentences(cluster: Cluster) -> Told:
    """Where the engine is, why it is there, or what it waits for."""
    told = []
    if cluster.blind_s is not None:
        told.append(
            "This host has not been able to read the shared storage for "
            f"{span(cluster.blind_s)}: what is said here of other hosts is that old."
        )
    two = way_out_of_two(cluster.snapshot)
    if two:
        told.append(f"{capital(two)}.")
    for situation in _SITUATIONS:
        found = situation(cluster)
        if found:
            in_use = cluster.snapshot.config.sequence
            older_starts = [
                started_from_text(host.name, host.started_from, in_use)
                for host in cluster.hosts
                if host.started_from is not None and host.speaks and host.has_vm
            ]
            return [*told, *found, *older_starts]
    raise AssertionError("one of the situations always is so")


# --- what this host can't see -----------------------------------------------------------------


def _is_blind(cluster: Cluster) -> Optional[Told]:
    """Nothing can be said of others but what they said before."""
    if cluster.blind_s is None or cluster.this.has_vm:
        return None
    told = ["Until it can read the storage again, this host starts nothing."]
    here = "does not run on this host" if cluster.this.engine.known else "may run on this host"
    before = [host for host in cluster.hosts if host.has_vm]
    if not before:
        return [f"The engine {here}. Whether it runs on another one is not known here.", *told]
    how = " and was healthy" if before[0].engine.health is Health.GOOD else ""
    return [f"The engine {here}. When last read, it ran on {before[0].name}{how}.", *told]


# --- it is on some host -----------------------------------------------------------------------


def _is_healthy(cluster: Cluster) -> Optional[Told]:
    host = cluster.runner
    if host is None or not host.engine.up or host.engine.health is not Health.GOOD:
        return None
    if host.life is HostLife.QUIET and cluster.blind_s is None:
        tick_s = cluster.settings.timing.tick_s
        told = [
            f"{host.name} said {span(host.silent_s or 0.0)} ago that the engine runs there and is "
            f"healthy, and has said nothing since, though it should every {tick_s:g} s."
        ]
        return told + _if_it_is_gone(cluster, host)
    told = [f"The engine runs on {host.name} and is healthy{_since(cluster, host)}."]
    told += [*_how_it_came(cluster, host), *_lease_of(cluster, host)]
    told += move_sentences(cluster, host)
    if cluster.snapshot.global_maintenance:
        return [*told, "Global maintenance is on: whatever happens to it, no host acts."]
    reach = reach_sentences(cluster, host)
    return told + (reach or _stays(cluster, host))


def _since(cluster: Cluster, host: HostFacts) -> str:
    """Of this host that is known; another one's word has an age."""
    if host.since_s is not None and host.known_state is State.ENGINE_UP:
        return f", since {cluster.moment(cluster.now_s - host.since_s)} ({span(host.since_s)})"
    if host.this or host.silent_s is None:
        return ""
    return f", as {host.name} said {span(host.silent_s)} ago"


def _how_it_came(cluster: Cluster, host: HostFacts) -> Told:
    """Only the host itself knows, and only while its agent lives."""
    agent = cluster.snapshot.agent
    if not host.this or agent is None:
        return []
    comings = [one for one in agent.transitions if one.after == State.ENGINE_STARTING.value]
    # Between two lives of the agent the engine may have gone and come back another way.
    if not comings or comings[-1].number <= 0:
        return []
    latest = comings[-1]
    at = cluster.moment(latest.at_s)
    if latest.before == State.ENGINE_START.value:
        return [f"{host.name} started it at {at}, when its lease could be had and it was its turn."]
    # By live migration, which the host itself sees only as a VM that is there.
    if latest.before == State.ENGINE_DOWN.value:
        return [f"It came to {host.name} while it ran, at {at}."]
    return []


def _stays(cluster: Cluster, host: HostFacts) -> Told:
    """Scores are compared, for that is what people ask about."""
    better = [other for other in ranked(cluster) if (other.score or 0) > (host.score or 0)]
    if host.score is None or not better:
        return []
    names = listed([f"{other.name} ({other.score})" for other in better])
    _, told, what_comes = host.why.partition(HEALTHY_AND)
    if told:
        return [f"{host.name} has {host.score} points, and {what_comes.strip()}."]
    points = cluster.settings.migration.better_points
    least = f"fewer than {points} points (better_points)" if points else "a score"
    return [
        f"It stays there although {names} would have the better score "
        f"({host.name} has {host.score}): a healthy engine is not moved for {least}."
    ]


def _is_on_a_host(cluster: Cluster) -> Optional[Told]:
    """Not healthy, or nobody knows."""
    host = cluster.runner
    if host is None:
        return None
    told = [_how_it_is(cluster, host), *_what_comes_of_it(cluster, host)]
    if host.life is HostLife.QUIET and cluster.blind_s is None:
        told += [f"{host.name} said so {span(host.silent_s or 0.0)} ago, and nothing since."]
    return [*told, *_lease_of(cluster, host), *move_sentences(cluster, host)]


def _how_it_is(cluster: Cluster, host: HostFacts) -> str:
    if host.known_state is State.ENGINE_UP and not cluster.settings.engine.page_url:
        return (
            f"The engine's VM runs on {host.name}. The engine's health is not looked at, as no "
            "health page is configured."
        )
    detail = f": {clause(host.engine.detail)}" if host.engine.detail else ""
    if host.engine.paused:
        return f"The engine's VM is on {host.name}, but it is paused{detail}."
    if host.known_state in _STOPPING:
        why = host.entered_why or host.why
        return f"The engine's VM on {host.name} is being stopped: {clause(why)}."
    if host.known_state in _BOOTING:
        return f"The engine's VM runs on {host.name} and boots; the engine is not healthy yet."
    if host.engine.health is Health.BAD:
        return f"The engine's VM runs on {host.name}, but the engine is not healthy{detail}."
    return f"The engine's VM runs on {host.name}; how the engine is, is not known{detail}."


def _what_comes_of_it(cluster: Cluster, host: HostFacts) -> Told:
    """What the host will do, and when."""
    if host.engine.stranded:
        return [_until_switched_off(cluster, host)]
    if host.known_state is State.GLOBAL_MAINTENANCE or cluster.snapshot.global_maintenance:
        return ["Global maintenance is on, so no host does anything about that."]
    if host.this and cluster.agent_silent_s is not None:
        return ["The agent of this host says nothing, so nobody does anything about that."]
    if host.left_s is None or host.known_state is None:
        return []
    after = _AFTER_ITS_TIME.get(host.known_state)
    return [after.format(left=span(host.left_s), host=host.name)] if after else []


def _until_switched_off(cluster: Cluster, host: HostFacts) -> str:
    """Its lease is that of a process that never runs again."""
    alone = "Global" if cluster.snapshot.global_maintenance else "Local" if host.maintenance else ""
    if not alone:
        return f"{host.name} switches it off; then the best host starts the engine anew."
    return (
        f"No host can start the engine until that VM is switched off. {alone} maintenance is on, "
        f"so {host.name} leaves it alone."
    )


_AFTER_ITS_TIME = {
    State.ENGINE_START: "{host} waits {left} more for libvirt to start it.",
    State.ENGINE_STARTING: "It has {left} more to become healthy (timing.starting_s, longer in "
    "each further round); else {host} stops it, and the best host starts it again.",
    State.ENGINE_UP_BAD_HEALTH: "Unless that changes within {left}, {host} stops it, and the best "
    "host starts it again.",
    State.ENGINE_STOP: "If it has not ended in {left}, {host} switches it off; then the best host "
    "starts it again.",
}


# --- its lease, while it is on some host ------------------------------------------------------


def _lease_of(cluster: Cluster, host: HostFacts) -> Told:
    owner = cluster.owner
    if cluster.snapshot.lease.state == LeaseState.FREE:
        if host.engine.paused:
            return [
                f"libvirt has given back {LEASE} while the VM is paused: another host may take it."
            ]
        return [f"By the latest look nobody holds {LEASE}: the VM has just started, or just ended."]
    if owner is None:
        why = lease_why(cluster)
        return [f"Who holds {LEASE} is not known at this moment{f' ({why})' if why else ''}."]
    if owner.host_id == host.host_id:
        sanlock = _SANLOCK_ON_OWNER.get(owner.liveness, "")
        return [f"{host.name} holds {LEASE}{sanlock}."]
    return [f"{owner.name} holds {LEASE}: the VM is on its way, or one of both words is old."]


def lease_why(cluster: Cluster) -> str:
    """Why nothing is known of the lease, or what is."""
    return clause(cluster.snapshot.lease.why.replace("not joined: ", "not in the lockspace, "))


_SANLOCK_ON_OWNER = {
    Liveness.LIVE: ", and sanlock, which guards it, sees that host alive",
    Liveness.FAIL: ", though sanlock, which guards it, has not heard of that host for a while",
}


# --- it is nowhere: the lease is held ---------------------------------------------------------


def _lease_is_held(cluster: Cluster) -> Optional[Told]:
    owner = cluster.owner
    if owner is None:
        return None
    if owner.this:
        return _held_here(cluster)
    if owner.view.is_live and owner.life is not HostLife.QUIET:
        return _held_by_the_living(owner)
    told = [f"The engine runs on no host that is heard of. {owner.name} still holds {LEASE}."]
    return told + _if_it_is_gone(cluster, owner)


def _held_here(cluster: Cluster) -> Told:
    if not cluster.this.engine.known:
        return [
            f"This host holds {LEASE}, so the engine most likely runs here; libvirt, which would "
            "know, does not answer."
        ]
    turn_s = cluster.settings.timing.turn_s
    return [
        f"The engine runs nowhere. This host still holds {LEASE}, though no VM runs here: so it is "
        "for a moment after each end of the VM.",
        f"If it stays so, this host may start the engine again after {turn_s:g} s.",
    ]


def _held_by_the_living(owner: HostFacts) -> Told:
    told = [f"{owner.name} holds {LEASE}, and sanlock sees that host alive."]
    if owner.speaks and not owner.engine.known:
        return [*told, "So the engine most likely runs there; libvirt there does not say."]
    if owner.speaks:
        return [*told, "It does not show the VM: it has just begun to start, or just ended there."]
    ago = "" if owner.silent_s is None else f" {span(owner.silent_s)} ago"
    silence = f"{owner.name}'s agent was stopped{ago}"
    if not owner.stopped:
        how_long = "" if owner.silent_s is None else f" for {span(owner.silent_s)}"
        silence = f"{owner.name} has not reported{how_long}"
    return [*told, f"So the engine most likely runs there. How it is, is not known: {silence}."]


def _if_it_is_gone(cluster: Cluster, host: HostFacts) -> Told:
    """How long the lease of a host that died stays taken, at the most."""
    floor_s = cluster.floor_s
    when = ""
    if host.silent_s is not None:
        left_s = floor_s + cluster.settings.timing.tick_s - host.silent_s
        when = (
            f", which is in {span(left_s)} at the latest" if left_s > 1 else ", which is about now"
        )
    told = [
        f"If {host.name} has lost its power or the storage, sanlock lets nobody else have the "
        f"lease before {host.name} is surely dead: {floor_s:g} s after its last sign of life{when}."
    ]
    return told + _who_then(cluster, host)


def _who_then(cluster: Cluster, gone: HostFacts) -> Told:
    if cluster.snapshot.global_maintenance:
        return ["Nobody will start it then either, for global maintenance is on."]
    able = [host for host in ranked(cluster) if host.host_id != gone.host_id]
    if not able:
        return ["No other host could start it then, as it is now: see each host."]
    return [f"Then {able[0].name} starts it, as the best of the others (score {able[0].score})."]


# --- it is nowhere: the lease is free, or not known -------------------------------------------


def _somebody_starts(cluster: Cluster) -> Optional[Told]:
    starting = [
        host for host in cluster.hosts if host.speaks and host.known_state is State.ENGINE_START
    ]
    if not starting:
        return None
    names = listed([host.name for host in starting])
    return [f"The engine runs nowhere at this moment; {names} is just starting it."]


def _maintenance(cluster: Cluster) -> Optional[Told]:
    if not cluster.snapshot.global_maintenance:
        return None
    if cluster.snapshot.lease.state == LeaseState.FREE:
        return ["The engine runs nowhere, and no host starts it: global maintenance is on."]
    return [
        "No host shows the engine, and none starts it: global maintenance is on.",
        f"(Whether its lease is free is not known here: {lease_why(cluster) or 'not yet read'}.)",
    ]


def _lease_is_unknown(cluster: Cluster) -> Optional[Told]:
    if cluster.snapshot.lease.state == LeaseState.FREE:
        return None
    why = lease_why(cluster) or "this host has only begun to look"
    return [
        "No host shows the engine, as far as this one knows.",
        f"Whether {LEASE} is free is not known here ({why}). Until that is known this host starts "
        "nothing.",
    ]


def _maintenance_is_unknown(cluster: Cluster) -> Optional[Told]:
    if cluster.snapshot.global_maintenance is not None:
        return None
    why = clause(cluster.snapshot.global_error) or "that part of the storage was not read yet"
    return [
        "The engine runs nowhere, and its lease is free.",
        f"Whether the cluster is in global maintenance is not known ({why}). Until that is known "
        "no host starts the engine.",
    ]


def _lease_is_free(cluster: Cluster) -> Told:
    told = ["The engine runs nowhere, and its lease is free: a host could start it."]
    able = ranked(cluster)
    if not able:
        return told + _nobody_can(cluster)
    best = able[0]
    says = ""
    if best.known_state is State.GLOBAL_MAINTENANCE:
        says = " It has yet to see that global maintenance is over."
    elif best.why and not best.why.startswith(HELD):  # that it said before the lease was free
        says = f" It says: {what_it_waits_for(best)}."
    return [*told, f"First in line is {best.name} (score {best.score}).{says}"]


def what_it_waits_for(host: HostFacts) -> str:
    """A host's reason as part of a sentence about its waiting."""
    why = clause(host.why)
    return why[: -len(WAITING)] if why.endswith(WAITING) else why


def _nobody_can(cluster: Cluster) -> Told:
    """Why, and where time alone ends that, when it does by that host's own clock."""
    tried = [host.name for host in cluster.hosts if _tries_again(host)]
    if tried:
        turn_s = cluster.settings.score.failed_starts_to_zero * cluster.settings.timing.turn_s
        return [
            f"No host has points, so {listed(tried)}, where only failed starts are the reason, "
            f"will try again {span(turn_s)} after the latest try there."
        ]
    told = ["Nobody does at this moment: no host offers itself; see below why."]
    if all(host.maintenance for host in cluster.hosts if host.speaks):
        told = ["Nobody does: every host that is heard of is in local maintenance."]
    moments = [
        f"on {host.name} at {one.until}"
        for host in cluster.hosts
        for one in host.penalties
        if host.speaks and one.until and one.points >= cluster.settings.score.base
    ]
    return [*told, f"Left alone, that ends {listed(moments)}."] if moments else told


def _tries_again(host: HostFacts) -> bool:
    """Do only failed starts stand against it?"""
    waits = host.speaks and host.known_state is State.ENGINE_DOWN
    failed = any(one.name == PenaltyName.FAILED_STARTS for one in host.penalties)
    return waits and failed and not host.score and not host.starts.cannot_start


_SITUATIONS: tuple[Callable[[Cluster], Optional[Told]], ...] = (
    _is_blind,
    _is_healthy,
    _is_on_a_host,
    _somebody_starts,
    _lease_is_held,
    _maintenance,
    _lease_is_unknown,
    _maintenance_is_unknown,
    _lease_is_free,
)


# --- who could --------------------------------------------------------------------------------


def ranked(cluster: Cluster) -> list[HostFacts]:
    """The hosts that offer themselves, in the order in which they would start the engine."""
    ranking = Ranking(cluster.snapshot.lease.owner_id, cluster.settings.score)
    able = [host for host in cluster.hosts if is_candidate(_as_peer(host))]
    return sorted(
        able, key=lambda host: ranking.key(host.host_id, host.score or 0, host.starts.tries)
    )


def _as_peer(host: HostFacts) -> Peer:
    """As the agents of the others take it when they decide who goes first."""
    return Peer(
        host_id=host.host_id,
        liveness=host.liveness,
        fresh=host.speaks,
        score=host.score or 0,
        maintenance=host.maintenance,
        stopped=host.stopped,
        state=host.state or "",
        cannot_start=host.starts.cannot_start,
    )
