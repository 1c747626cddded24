# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What each host does and what it waits for: sentences for people. Pure."""

from __future__ import annotations

from typing import Callable, Optional

from fsm.score import ZERO_STATES
from ha_broker.api.penalties_line import NotedPenalty
from ha_broker.api.snapshot import LeaseState
from hosted_engine.cli.wording import capital, clause, span
from hosted_engine.cluster.facts import STATES_OF_MAINTENANCE, Cluster, HostFacts, HostLife
from hosted_engine.explain.engine_sentences import TRIED, what_it_waits_for
from hosted_engine.explain.move_sentences import cannot_take_sentences
from metadata.error_words import shown
from metadata.liveness import Liveness
from metadata.penalties import PenaltyName
from metadata.records import Health
from metadata.settings.timing import join_s, renewal_fail_s
from metadata.states import State
from world.ports.sanlock import Membership

Told = list[str]

# How the agent begins when something stands against a start; the broker's own words follow then.
_BLOCKED = "can't start the engine"
# What the state itself says already.
_NO_CONFIG = "the shared configuration, which says which VM is the engine's, was not read yet"
_LOCAL_TOO = " It is in local maintenance, too, and stays in that when the global one ends."
_SAID_BY_THE_STATE = frozenset(name for name, _reason in ZERO_STATES.values())


def heading(cluster: Cluster, host: HostFacts) -> str:
    """Who it is, and what it is worth."""
    this = ", this host" if host.this else ""
    about = f"{host.name} (id {host.host_id}{this})"
    if host.score is None:
        return about
    then = "" if host.speaks or host.life is HostLife.STOPPED else " when last heard of"
    return f"{about}: score {host.score} of {cluster.settings.score.base}{then}"


def host_sentences(cluster: Cluster, host: HostFacts) -> Told:
    """What it does, what it waits for and for how long, and what it lacks."""
    takes = cannot_take_sentences(cluster, host)
    if host.this:
        return [*_this_host(cluster, host), *takes, *_penalties(host)]
    if not host.speaks:
        return [_WHILE[host.life](cluster, host), *_slot(host)]
    quiet = []
    if host.life is HostLife.QUIET and host.silent_s is not None and cluster.blind_s is None:
        quiet = [f"That was {span(host.silent_s)} ago, and it has said nothing since."]
    return [*_state(cluster, host), *quiet, *_slot(host), *takes, *_penalties(host)]


# --- the state ------------------------------------------------------------------------------


def _state(cluster: Cluster, host: HostFacts) -> Told:
    if host.state is None:
        return []
    known = host.known_state
    if not host.state:
        return ["Its record names no state of its agent, as those of older versions don't."]
    if known is None:
        return [f"Its agent is in state {shown(host.state)}, which this version does not know."]
    if known in _BY_MORE:
        return [_BY_MORE[known](cluster, host)]
    said, in_time = _BY_ITSELF[known]
    return [said.format(why=_why(host)) + _left(host, in_time)]


def _why(host: HostFacts) -> str:
    return f": {clause(host.why)}" if host.why else ""


def _left(host: HostFacts, text: str) -> str:
    """`text` with the time that is left, where that is known."""
    return "" if host.left_s is None else text.format(left=span(host.left_s))


# What a state says by itself, with its agent's reason; then what comes when its time is over.
_BY_ITSELF = {
    State.START_STATE: ("Its agent has just started{why}.", ""),
    State.REINITIALIZE_FSM: ("Its agent is finding out where things stand{why}.", ""),
    State.ENGINE_START: ("It is starting the engine's VM{why}.", " It gives up in {left}."),
    State.ENGINE_STARTING: (
        "The engine's VM boots on it.",
        " The engine has {left} more to become healthy.",
    ),
    State.ENGINE_UP_BAD_HEALTH: (
        "The engine's VM is on it, but not well{why}.",
        " If that lasts {left} more, it stops the VM.",
    ),
    State.ENGINE_STOP: (
        "It is shutting the engine's VM down{why}.",
        " If that takes {left} more, it switches the VM off.",
    ),
    State.ENGINE_FORCE_STOP: ("It is switching the engine's VM off{why}.", ""),
    State.ENGINE_MIGRATING_AWAY: (
        "It is moving the engine to another host while it runs{why}.",
        " If that takes {left} more, it gives up, and the engine stays.",
    ),
    State.LOCAL_MAINTENANCE_MIGRATE_VM: (
        "It is to be in local maintenance; the engine has to leave it first{why}.",
        "",
    ),
    State.LOCAL_MAINTENANCE: (
        "It is in local maintenance: somebody has told it to run no engine.",
        "",
    ),
    State.AGENT_STOPPED: (
        "Its agent is stopped: it starts and watches nothing; a VM that is there runs on.",
        "",
    ),
}


def _down(cluster: Cluster, host: HostFacts) -> str:
    held = cluster.snapshot.lease.state != LeaseState.FREE
    if held and cluster.runner is not None and cluster.runner is not host:
        if not host.score:
            return "It does not offer itself to run the engine."
        return "It stands by, to start the engine should that be needed."
    if not host.why:
        return "It does not run the engine."
    if host.starts.cannot_start:
        return f"It can't start the engine now: {clause(host.starts.cannot_start)}."
    if not host.score and host.penalties and not host.why.startswith(TRIED):  # they say the rest
        return "It does not offer itself to run the engine."
    return f"It waits: {what_it_waits_for(host)}."


def _up(_cluster: Cluster, host: HostFacts) -> str:
    if host.engine.health is Health.GOOD:
        return "It runs the engine, which is healthy."
    return f"It runs the engine's VM{_why(host)}."


def _maybe_away(_cluster: Cluster, host: HostFacts) -> str:
    because = f" ({clause(host.entered_why)})" if host.entered_why else ""
    left = _left(host, " If none shows it within {left}, this one may start it again.")
    return f"The engine's VM has left this host{because}; another one may have it.{left}"


def _unexpectedly_down(_cluster: Cluster, host: HostFacts) -> str:
    cause = host.entered_why.partition(";")[0]
    because = f" ({clause(cause)})" if cause else ""
    left = _left(host, ": for {left} more, or until it is clear that none can")
    return f"The engine went down on it unexpectedly{because}, so it lets others go first{left}."


def _global_maintenance(cluster: Cluster, host: HostFacts) -> str:
    if cluster.snapshot.global_maintenance is False:
        return "It has yet to see that global maintenance is over."
    whose = " It does run the engine's VM." if host.has_vm else ""
    local = _LOCAL_TOO if host.maintenance else ""
    return f"It leaves the engine alone, for global maintenance is on.{whose}{local}"


def has_no_config(cluster: Cluster, host: HostFacts) -> bool:
    """Without the shared configuration it is not known what to ask libvirt for."""
    return host.this and cluster.snapshot.config.sequence is None


def _libvirt_unknown(cluster: Cluster, host: HostFacts) -> str:
    detail = f": {clause(host.engine.detail)}" if host.engine.detail else ""
    if has_no_config(cluster, host):
        return f"It starts and stops nothing, for {_NO_CONFIG}."
    return f"It starts and stops nothing, for its libvirt does not say what runs{detail}."


_BY_MORE: dict[State, Callable[[Cluster, HostFacts], str]] = {
    State.ENGINE_DOWN: _down,
    State.ENGINE_UP: _up,
    State.ENGINE_MAYBE_AWAY: _maybe_away,
    State.ENGINE_UNEXPECTEDLY_DOWN: _unexpectedly_down,
    State.GLOBAL_MAINTENANCE: _global_maintenance,
    State.UNKNOWN_LOCAL_VM_STATE: _libvirt_unknown,
}


# --- this host ------------------------------------------------------------------------------


def _this_host(cluster: Cluster, host: HostFacts) -> Told:
    """What its broker sees beyond the state."""
    troubles = [text for text in (fact(cluster, host) for fact in _TROUBLES) if text]
    if troubles and host.known_state is State.ENGINE_DOWN and host.why.startswith(_BLOCKED):
        return ["It can't start the engine now.", *troubles]
    told = [*_state(cluster, host), *_agent_silent(cluster, host), *troubles]
    return told or ["Its agent has said nothing yet since the broker's start, a moment ago."]


def _agent_silent(cluster: Cluster, host: HostFacts) -> Told:
    silent_s = cluster.agent_silent_s
    if silent_s is None:
        return []
    since = f"said nothing for {span(silent_s)}"
    if host.stopped:
        since = f"been stopped for {span(silent_s)}"
    runs = " The engine's VM on it runs on, but nobody looks after it." if host.has_vm else ""
    return [f"Its agent has {since}, so this host starts and stops nothing.{runs}"]


def _storage_trouble(cluster: Cluster, host: HostFacts) -> str:
    why = cluster.snapshot.storage.error
    if not why:
        return ""
    vm = " If that lasts, sanlock ends the VM here, so that another host can start it."
    return f"Its access to the shared storage fails: {clause(why)}.{vm if host.has_vm else ''}"


def _not_joined(cluster: Cluster, _host: HostFacts) -> str:
    place = cluster.snapshot.lockspace
    if place.membership is Membership.JOINED and not place.error:
        return ""
    error = place.error.replace("not joined: ", "")
    why = f" ({clause(error)})" if error else ""
    told = "sanlock's lockspace, without which it can hold no lease and start nothing"
    if place.membership is Membership.JOINED:
        return f"Its place in {told}, is doubtful{why}."
    if place.membership is Membership.JOINING:
        takes_s = join_s(cluster.settings.timing.io_timeout_s)
        return f"It is still joining {told}; that takes {takes_s:g} s when all is well{why}."
    return f"It has not joined {told}{why}."


def _config_trouble(cluster: Cluster, _host: HostFacts) -> str:
    view = cluster.snapshot.config
    if not view.error and view.sequence is not None:
        return ""
    why = clause(view.error) or "it was not read yet"
    if view.sequence is not None:
        return f"It goes by the shared configuration read before, for now: {why}."
    return f"It has no shared configuration, which names the engine and how to start it: {why}."


def _maintenance_asked(_cluster: Cluster, host: HostFacts) -> str:
    if not host.maintenance or host.known_state in STATES_OF_MAINTENANCE:
        return ""
    return "It was told to go into local maintenance."


def _libvirt_silent(cluster: Cluster, host: HostFacts) -> str:
    if has_no_config(cluster, host):
        return ""  # which says why libvirt was not even asked
    if host.engine.known or host.known_state is State.UNKNOWN_LOCAL_VM_STATE:
        return ""
    detail = f": {clause(host.engine.detail)}" if host.engine.detail else ""
    return f"Whether the engine's VM is on it, is not known{detail}."


def _own_slot(_cluster: Cluster, host: HostFacts) -> str:
    return f"Its own record: {clause(host.error)}." if host.error else ""


def _own_blocked(cluster: Cluster, host: HostFacts) -> str:
    """What would keep it from starting, which its state alone need not say."""
    failed = [one for one in host.penalties if one.name == PenaltyName.FAILED_STARTS]
    agent = cluster.snapshot.agent
    if not failed or agent is None or host.known_state is not State.ENGINE_DOWN:
        return ""
    ends = [one for one in agent.transitions if one.before == State.ENGINE_START.value]
    if not ends or ends[-1].why in host.why:
        return ""
    return f"What became of its latest start: {clause(ends[-1].why)}."


_TROUBLES: tuple[Callable[[Cluster, HostFacts], str], ...] = (
    _own_slot,
    _storage_trouble,
    _not_joined,
    _config_trouble,
    _libvirt_silent,
    _maintenance_asked,
    _own_blocked,
)


# --- others ---------------------------------------------------------------------------------


# It does not speak, or its word counts no more.


def _dead(cluster: Cluster, _host: HostFacts) -> str:
    return (
        f"sanlock counts it as dead: it has shown no sign of life for {cluster.floor_s:g} s. It is "
        "switched off, or has lost the storage; it holds no lease any more."
    )


def _failing(cluster: Cluster, _host: HostFacts) -> str:
    fail_s = renewal_fail_s(cluster.settings.timing.io_timeout_s)
    return (
        f"sanlock has had no sign of life of it for {fail_s:g} s or more; within "
        f"{cluster.fire_timeout_s} s it counts as dead, unless it comes back."
    )


def _left_in_order(_cluster: Cluster, host: HostFacts) -> str:
    agent = " Its agent was stopped before." if host.stopped else ""
    return f"It has left in good order: its broker was stopped, or the host shut down.{agent}"


def _agent_stopped(_cluster: Cluster, host: HostFacts) -> str:
    ago = "" if host.silent_s is None else f" {span(host.silent_s)} ago"
    return f"Its agent was stopped{ago}: it starts and watches nothing; a VM on it runs on."


def _silent(cluster: Cluster, host: HostFacts) -> str:
    if cluster.blind_s is not None:
        return "What it does now is not known here."
    if host.view.undecided:
        return (
            "Whether it lives is not decided yet: its record had no time to change since this "
            f"host's broker started, and sanlock has no word on it.{_last_written(host)}"
        )
    how_long = f" for {span(host.silent_s)}" if host.silent_s is not None else ""
    if host.silent_s is None:
        watched_s = cluster.now_s - cluster.snapshot.started_at_s
        how_long = f" since this host's broker started, {span(watched_s)} ago"
    return f"It has not reported{how_long}{_SANLOCK_ON_SILENT[host.liveness]}."


def _last_written(host: HostFacts) -> str:
    """What its record says of an engine there; nothing of one that it did not have."""
    record = host.view.record
    if record is None or not record.engine_status.is_up:
        return ""
    healthy = " and was healthy" if record.engine_status.is_healthy else ""
    return f" When it wrote last, the engine's VM ran there{healthy}."


_SANLOCK_ON_SILENT = {
    Liveness.LIVE: "; sanlock sees the host alive, so its agent or its broker is the trouble",
    Liveness.UNKNOWN: ", and sanlock does not see it either",
    Liveness.FREE: "",
    Liveness.FAIL: "",
    Liveness.DEAD: "",
}


def _unreadable(_cluster: Cluster, host: HostFacts) -> str:
    if host.error:
        return "What it says of itself can't be read, so it is left out of account."
    if host.view.is_live:
        return "sanlock sees it alive, but it has written no record: its agent has not run yet."
    return "It has written no record."


_WHILE: dict[HostLife, Callable[[Cluster, HostFacts], str]] = {
    HostLife.DEAD: _dead,
    HostLife.FAILING: _failing,
    HostLife.LEFT: _left_in_order,
    HostLife.STOPPED: _agent_stopped,
    HostLife.SILENT: _silent,
    HostLife.UNREADABLE: _unreadable,
}


def _slot(host: HostFacts) -> Told:
    return [f"{capital(clause(host.error))}."] if host.error else []


# --- penalties ------------------------------------------------------------------------------


def _penalties(host: HostFacts) -> Told:
    return [_penalty(one) for one in host.penalties if one.name not in _SAID_BY_THE_STATE]


def _penalty(one: NotedPenalty) -> str:
    if not one.name:
        return f"Points off: {clause(one.reason)}."
    since = f" since {one.since}" if one.since else ""
    until = f" (until {one.until})" if one.until else ""
    return f"-{one.points} points{since}: {clause(one.reason)}{until}."


def penalty_data(one: NotedPenalty) -> dict[str, Optional[object]]:
    """For the JSON document."""
    return {
        "name": one.name or None,
        "points": one.points,
        "reason": one.reason,
        "since": one.since or None,
        "until": one.until or None,
    }
