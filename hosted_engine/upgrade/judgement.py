# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""May this host be upgraded now, and in which order do the hosts go? Pure.

A reason says no: something is under way that is better waited for, or another host goes first. A
warning says what is so while versions are mixed, and keeps nobody from upgrading: that may be the
very remedy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ha_broker.api.snapshot import way_out_of_two
from ha_broker.api.takers import cannot_take, not_chosen, refusals, takers
from hosted_engine.cli.wording import clause, listed, span
from hosted_engine.cluster.facts import Cluster, HostFacts, HostLife
from hosted_engine.upgrade.programs import HostProgram, program_of
from metadata.liveness import Liveness
from metadata.moving_note import moving_to
from metadata.program import VERSION
from metadata.records import Health
from metadata.settings.known_since import refused_by
from metadata.states import State
from world.ports.sanlock import Membership

LOCAL = "'hosted-engine --set-maintenance --mode=local --wait'"
NONE = "'hosted-engine --set-maintenance --mode=none'"

_MOVES = (State.ENGINE_MIGRATING_AWAY, State.LOCAL_MAINTENANCE_MIGRATE_VM)
_CHANGES = (
    State.ENGINE_START,
    State.ENGINE_STARTING,
    State.ENGINE_STOP,
    State.ENGINE_FORCE_STOP,
    State.ENGINE_MAYBE_AWAY,
)
_GONE = {
    HostLife.DEAD: "is dead for sanlock",
    HostLife.LEFT: "has left in order",
    HostLife.STOPPED: "has stopped its agent",
    HostLife.SILENT: "has not reported for a while",
}


@dataclass(frozen=True)
class HostLook:
    """One host. `cannot_take` is what stands against moving the engine there alive; empty:
    nothing. `refused_settings` are the keys in the shared settings that its program refuses."""

    facts: HostFacts
    program: HostProgram
    cannot_take: str
    refused_settings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As it calls itself; its id where that is not known."""
        return self.facts.name

    @property
    def counts(self) -> bool:
        """Is it there, and its agent at work? Then it waits for its upgrade, or has had it."""
        return self.facts.this or (self.facts.speaks and not self.facts.stopped)


@dataclass(frozen=True)
class Judgement:
    """`order` are the hosts that go now, one after the other, the engine's own last."""

    cluster: Cluster
    hosts: tuple[HostLook, ...]
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    order: tuple[HostLook, ...]

    @property
    def may(self) -> bool:
        """May this host be upgraded now?"""
        return not self.reasons


def judge(cluster: Cluster, stored: Optional[Mapping[str, Any]]) -> Judgement:
    """`stored` are the shared settings as they stand on the storage, without what was left out;
    None: not known."""
    look = _HostsLook(cluster, stored)
    return Judgement(
        cluster=cluster,
        hosts=look.hosts,
        reasons=tuple(text for reason in _REASONS for text in reason(look)),
        warnings=tuple(text for warning in _WARNINGS for text in warning(look)),
        order=_order(look),
    )


class _HostsLook:
    def __init__(self, cluster: Cluster, stored: Optional[Mapping[str, Any]]) -> None:
        self.cluster = cluster
        self.snapshot = cluster.snapshot
        self.stored = stored
        self.hosts = tuple([self._host(facts) for facts in cluster.hosts])
        self.this = next(host for host in self.hosts if host.facts.this)
        self.others = tuple([host for host in self.hosts if host is not self.this])
        runner = cluster.runner
        self.runner = next((host for host in self.hosts if host.facts is runner), None)
        self.peers = tuple([host for host in self.others if host.counts])

    def _host(self, facts: HostFacts) -> HostLook:
        program = program_of(facts.view)
        # Nothing is said of one whose record can't be read.
        known = program.parse_version is not None and not program.too_new
        refused = refused_by(program.version, self.stored or {}) if known else ()
        return HostLook(facts, program, clause(cannot_take(facts.view)), refused)


# --- reasons ----------------------------------------------------------------------------------


def _blind(look: _HostsLook) -> list[str]:
    blind_s = look.cluster.blind_s
    if blind_s is None:
        return []
    return [
        f"the shared storage was last read {span(blind_s)} ago, so nothing is known of the other "
        "hosts now"
    ]


def _not_at_work(look: _HostsLook) -> list[str]:
    found = []
    if look.cluster.agent_silent_s is not None or look.this.facts.stopped:
        found.append("this host's agent says nothing: see 'systemctl status ha-agent'")
    lockspace = look.snapshot.lockspace
    if lockspace.membership is not Membership.JOINED:
        why = f": {clause(lockspace.error)}" if lockspace.error else ""
        found.append(f"this host is not in sanlock's lockspace{why}")
    return found


def _global_maintenance(look: _HostsLook) -> list[str]:
    on = look.snapshot.global_maintenance
    if on is None:
        return ["whether global maintenance is on is not known"]
    if not on:
        return []
    return [
        "global maintenance is on, in which nobody moves the engine or starts it again: wait until "
        f"it is ended, or end it with {NONE}"
    ]


def _moves(look: _HostsLook) -> list[str]:
    found = [
        f"the engine is moving away from {host.name}: wait until it has arrived"
        for host in look.hosts
        if _is_moving(look, host)
    ]
    if look.snapshot.move_order is not None and not found:
        found.append("somebody has ordered a move of the engine away from here: wait for its end")
    return found


def _is_moving(look: _HostsLook, host: HostLook) -> bool:
    if host.facts.this:
        agent = look.snapshot.agent
        report = agent.move if agent is not None else None
        under_way = report is not None and not report.is_over
        return host.facts.known_state in _MOVES or under_way
    record = host.facts.view.fresh_record
    if record is None or not host.facts.speaks:
        return False
    return host.facts.known_state in _MOVES or moving_to(record.notes) is not None


def _engine(look: _HostsLook) -> list[str]:
    """A takeover, a start, a stop, or an illness that may lead to one."""
    if _moves(look) or look.cluster.blind_s is not None:
        return []
    why = way_out_of_two(look.snapshot) or _unwell(look.runner)
    return [why] if why else []


def _unwell(runner: Optional[HostLook]) -> str:
    """Why the engine that is on `runner` is not to be taken for one that stays as it is."""
    if runner is None:
        return (
            "no host says that the engine runs there: it is down or being taken over; wait until "
            "it is healthy"
        )
    engine, name = runner.facts.engine, runner.name
    if engine.paused:
        return f"the engine's VM is paused on {name}"
    if runner.facts.known_state in _CHANGES:
        return f"the engine is being started or stopped on {name} ({runner.facts.state})"
    if engine.health is Health.GOOD:
        return ""
    how = "not healthy" if engine.health is Health.BAD else "not known to be healthy"
    return f"the engine on {name} is {how}: it may be started anew or elsewhere"


def _others_out(look: _HostsLook) -> list[str]:
    """One host after the other; and nobody knows yet what becomes of one that is failing."""
    found = [
        f"{host.name} is in local maintenance: one host after the other; it is ended there with "
        f"{NONE}"
        for host in look.peers
        if host.facts.maintenance
    ]
    for host in look.others:
        if host.facts.view.undecided:
            found.append(f"whether {host.name} lives is not decided yet: wait a moment")
        elif host.facts.liveness is Liveness.FAIL:
            found.append(f"sanlock has not heard of {host.name} for a while: it may be dying")
    return found


def _engine_here(look: _HostsLook) -> list[str]:
    if look.runner is not look.this:
        return []
    rank = look.this.program.rank
    first = [host for host in look.peers if host.program.rank <= rank]
    found = []
    if first:
        names = listed([f"{host.name} ({host.program.text()})" for host in first])
        found.append(
            f"the engine runs here, and its host goes last: before it {names}; once they "
            f"are done, {LOCAL} moves it to one of them"
        )
    if not takers(look.snapshot):
        found.append(f"no other host can take the engine alive: {clause(refusals(look.snapshot))}")
    return found


def _configurations(look: _HostsLook) -> list[str]:
    """While a change is on its way to the hosts; it is a minute at most."""
    ours = look.snapshot.config
    if ours.sequence is None or ours.error:
        return []
    return [
        f"{host.name} goes by version {theirs} of the shared configuration, and this host by "
        f"version {ours.sequence}: wait until both have the same, a minute at most"
        for host in look.peers
        if (theirs := host.program.config_version) is not None
        and theirs != ours.sequence
        and not host.refused_settings
    ]


_REASONS = (
    _blind,
    _not_at_work,
    _global_maintenance,
    _moves,
    _engine,
    _others_out,
    _engine_here,
    _configurations,
)


# --- warnings ---------------------------------------------------------------------------------


def _not_there(look: _HostsLook) -> list[str]:
    found = []
    for host in look.others:
        if host.program.too_new:
            found.append(
                f"{host.name} writes a newer format, which this host can't read: {host.facts.error}"
            )
        elif host.facts.life is HostLife.UNREADABLE:
            why = f": {clause(host.facts.error)}" if host.facts.error else ""
            found.append(f"nothing can be read of {host.name}{why}")
        elif host.facts.life in _GONE:
            what = _GONE[host.facts.life]
            found.append(f"{host.name} {what}: if it is being upgraded just now, wait for it")
    return found


def _nobody_left(look: _HostsLook) -> list[str]:
    """While this host is out. Of the engine's own host the reasons say it."""
    runner = look.runner
    if runner is None or runner is look.this:
        return []
    rest = [host for host in look.others if host is not runner]
    if any(not not_chosen(host.facts.view) for host in rest):
        return []
    reasons = [f"{host.name}: {clause(not_chosen(host.facts.view))}" for host in rest]
    why = f" ({'; '.join(reasons)})" if reasons else ""
    return [f"while this host is out, no other one can take the engine from {runner.name}{why}"]


def _older(look: _HostsLook) -> list[str]:
    older = [host for host in look.peers if not host.program.tells_takes]
    found = [
        f"{host.name} runs an older program: the engine can't be moved to it alive, nor away from "
        "it; see docs/upgrade.md"
        for host in older
        if not host.program.too_new
    ]
    found += [
        f"the shared settings hold {listed(host.refused_settings)}, which the program of "
        f"{host.name} refuses: it goes by the version that it read before, and by none once its "
        "services are restarted; upgrade it next, or take the setting out with "
        f"'hosted-engine --set-shared-config {host.refused_settings[0]} null'"
        for host in look.peers
        if host.refused_settings
    ]
    if look.stored is None and older:
        found.append(
            "whether the shared settings hold keys that an older program refuses is not known: "
            "this host's broker does not tell how they are stored"
        )
    return found


def _untold_configurations(look: _HostsLook) -> list[str]:
    found = []
    if look.snapshot.config.error:
        found.append(
            f"the shared configuration can't be read here: {clause(look.snapshot.config.error)}"
        )
    silent = [host.name for host in look.peers if host.program.config_version is None]
    if silent:
        found.append(f"which shared configuration it goes by is not told by {listed(silent)}")
    return found


def _newer(look: _HostsLook) -> list[str]:
    return [
        f"the record of {host.name} holds what only a newer program writes "
        f"({_signs(host.program)}), which this one passes over"
        for host in look.peers
        if host.program.is_newer_format
    ]


def _signs(program: HostProgram) -> str:
    parts = [f"feature version {program.feature_version}", *program.unknown_notes]
    return ", ".join(parts)


def _services_older(look: _HostsLook) -> list[str]:
    """A package was installed whose scripts have not restarted the services."""
    runs = look.this.program
    if look.this.facts.view.fresh_record is None or runs.told == VERSION:
        return []
    return [
        f"this host's services run program {runs.text()}, and {VERSION} is installed: 'systemctl "
        "restart ha-broker ha-agent', which neither stops nor moves the engine"
    ]


_WARNINGS = (
    _not_there,
    _nobody_left,
    _older,
    _untold_configurations,
    _newer,
    _services_older,
)


# --- order ------------------------------------------------------------------------------------


def _order(look: _HostsLook) -> tuple[HostLook, ...]:
    """Those that are behind the newest; all, where all run the same. One that is in local
    maintenance already goes on."""
    here = [host for host in look.hosts if host.counts]
    newest = max(host.program.rank for host in here)
    behind = [host for host in here if host.program.rank < newest] or here
    behind.sort(
        key=lambda host: (host is look.runner, not host.facts.maintenance, host.facts.host_id)
    )
    return tuple(behind)
