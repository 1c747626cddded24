# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""--upgrade-check's judgement: each reason for no, each warning, and the order of the hosts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Callable, Optional

import pytest

from ha_broker.api.snapshot import (
    ConfigView,
    EngineView,
    HostView,
    LockspaceView,
    MoveOrder,
    MovePhase,
    MoveReport,
    Snapshot,
    StorageView,
)
from hosted_engine.cli.paragraphs import WIDTH
from hosted_engine.upgrade.judgement import Judgement, judge
from hosted_engine.upgrade.programs import program_of
from hosted_engine.upgrade.text import judgement_json, judgement_text
from metadata.liveness import Liveness
from metadata.program import VERSION
from metadata.records import EngineStatus, EngineVm, Health, HostRecord
from metadata.settings.known_since import NEW_KEYS, refused_by, version_in
from metadata.settings.parse import ClusterSettings, cluster_settings_to_data
from metadata.states import State
from tests.unit.test_command_explain import HERE, NOW_S, agent, cluster, held, other, snapshot
from world.ports.libvirt import DomainState
from world.ports.sanlock import Membership

OLD, NEW = "0.1.0", "0.2.0"
UP_HERE = EngineView(DomainState.RUNNING, Health.GOOD)
OLDER_STILL: tuple[tuple[str, str], ...] = (("why", "well"),)


def notes(program: str = VERSION, takes: str = "at qemu+tls://h/system", config: str = "1") -> Any:
    """As a host of `program` writes them; empty texts are left out."""
    lines = (("program", program), ("takes", takes), ("config-version", config))
    return tuple(line for line in lines if line[1])


def own(program: str = VERSION, **fields: Any) -> HostView:
    return other(1, notes=notes(program), **fields)


def engines_host(host_id: int = 2, program: str = VERSION, **fields: Any) -> HostView:
    values = {"state": State.ENGINE_UP.value, "engine_status": HERE, **fields}
    takes = "no, the engine's VM is there already"
    return other(host_id, **{"notes": notes(program, takes), **values})


def peer(host_id: int = 3, program: str = VERSION, **fields: Any) -> HostView:
    return other(host_id, **{"notes": notes(program), **fields})


def seen(*others: HostView, this: Optional[HostView] = None, **fields: Any) -> Snapshot:
    """On h1; the engine is on h2 as long as nothing else is said."""
    hosts = (this or own(), *(others or (engines_host(), peer())))
    return snapshot(**{"hosts": hosts, "lease": held(2), **fields})


def seen_here(*others: HostView, program: str = OLD, **fields: Any) -> Snapshot:
    """The engine is on h1 itself."""
    values = {
        "this": own(program, state=State.ENGINE_UP.value, engine_status=HERE),
        "engine": UP_HERE,
        "lease": held(1),
        "agent": agent(State.ENGINE_UP),
    }
    return seen(*others, **{**values, **fields})


def judged(given: Snapshot, stored: Optional[dict[str, Any]] = None) -> Judgement:
    found = judge(cluster(given), {} if stored is None else stored)
    text = judgement_text(found)
    assert text.isascii()
    assert "None" not in text
    assert all(len(line) <= WIDTH for line in text.splitlines())
    document = json.loads(judgement_json(found))
    assert document["may_upgrade"] is found.may
    assert "\n" not in judgement_json(found)
    return found


def order(found: Judgement) -> list[str]:
    return [host.name for host in found.order]


# --- yes --------------------------------------------------------------------------------------


def test_a_host_without_the_engine_may_go_while_all_is_well() -> None:
    found = judged(seen())
    assert (found.reasons, found.warnings) == ((), ())
    assert order(found) == ["h1", "h3", "h2"], "the engine's host goes last"
    text = judgement_text(found)
    assert text.startswith("h1 may be upgraded now.\n")
    assert "h1, then h3, then h2 (the engine's host, last); all run program 0.1.0" in text
    assert "--set-maintenance --mode=local --wait" in text


def test_its_own_local_maintenance_does_not_keep_it() -> None:
    found = judged(seen(local_maintenance=True, agent=agent(State.LOCAL_MAINTENANCE)))
    assert found.may
    assert order(found)[0] == "h1"


def test_the_engines_host_goes_once_all_others_are_newer() -> None:
    found = judged(seen_here(peer(2, NEW), peer(3, NEW)))
    assert found.reasons == ()
    assert order(found) == ["h1"]


def test_one_that_is_done_leaves_the_order_to_the_others() -> None:
    found = judged(seen(engines_host(2, OLD), peer(3, OLD), this=own(NEW)))
    assert found.may
    assert order(found) == ["h3", "h2"]


def test_one_in_local_maintenance_goes_on_before_lower_ids() -> None:
    hosts = (engines_host(2, OLD), peer(3, OLD), peer(4, OLD, maintenance=True))
    assert order(judged(seen(*hosts, this=own(NEW)))) == ["h4", "h3", "h2"]


# --- each reason ------------------------------------------------------------------------------

MOVING = (("moving", "to h3, others wait 40 s"), *notes())
SAYS_ILL = EngineStatus(EngineVm.UP, Health.BAD, "Up", "failed liveliness check")
SAYS_PAUSED = EngineStatus(EngineVm.UP, Health.BAD, "Paused", "paused")
GONE = EngineStatus(EngineVm.DOWN, Health.BAD, "unknown", "vm not running on this host")


def with_move(phase: str) -> Snapshot:
    return seen_here(
        peer(2, NEW),
        peer(3, NEW),
        agent=agent(State.ENGINE_UP, move=MoveReport("maintenance", phase, "h2")),
    )


REASONS: dict[str, tuple[Callable[[], Snapshot], str]] = {
    "blind": (
        lambda: seen(storage=StorageView(last_read_at_s=NOW_S - 100)),
        "the shared storage was last read 100 s ago",
    ),
    "agent silent": (
        lambda: seen(agent_published_at_s=NOW_S - 100),
        "this host's agent says nothing",
    ),
    "agent stopped": (
        lambda: seen(agent=agent(State.AGENT_STOPPED, stopped=True)),
        "this host's agent says nothing",
    ),
    "not joined": (
        lambda: seen(lockspace=LockspaceView(Membership.OUT, "waits for others")),
        "this host is not in sanlock's lockspace: waits for others",
    ),
    "global maintenance": (
        lambda: seen(global_maintenance=True),
        "global maintenance is on, in which nobody moves the engine",
    ),
    "global maintenance not known": (
        lambda: seen(global_maintenance=None),
        "whether global maintenance is on is not known",
    ),
    "moving by its record": (
        lambda: seen(engines_host(notes=MOVING), peer()),
        "the engine is moving away from h2: wait until it has arrived",
    ),
    "moving by its state": (
        lambda: seen(engines_host(state=State.ENGINE_MIGRATING_AWAY.value), peer()),
        "the engine is moving away from h2",
    ),
    "moving for maintenance": (
        lambda: seen(engines_host(state=State.LOCAL_MAINTENANCE_MIGRATE_VM.value), peer()),
        "the engine is moving away from h2",
    ),
    "moving away from here": (
        lambda: with_move(MovePhase.MOVING),
        "the engine is moving away from h1",
    ),
    "a target is looked for": (
        lambda: with_move(MovePhase.WAITING),
        "the engine is moving away from h1",
    ),
    "a move is ordered": (
        lambda: seen_here(peer(2, NEW), move_order=MoveOrder("r1")),
        "somebody has ordered a move of the engine",
    ),
    "nobody has it": (
        lambda: seen(engines_host(engine_status=GONE), peer(), lease=snapshot().lease),
        "no host says that the engine runs there: it is down or being taken over",
    ),
    "its host died": (
        lambda: seen(engines_host(liveness=Liveness.DEAD, fresh=False), peer()),
        "no host says that the engine runs there",
    ),
    "it is paused": (
        lambda: seen(engines_host(engine_status=SAYS_PAUSED), peer()),
        "the engine's VM is paused on h2",
    ),
    "it starts": (
        lambda: seen(engines_host(state=State.ENGINE_STARTING.value), peer()),
        "the engine is being started or stopped on h2 (EngineStarting)",
    ),
    "it is stopped": (
        lambda: seen(engines_host(state=State.ENGINE_STOP.value), peer()),
        "the engine is being started or stopped on h2 (EngineStop)",
    ),
    "it is ill": (
        lambda: seen(engines_host(engine_status=SAYS_ILL), peer()),
        "the engine on h2 is not healthy",
    ),
    "its health is not known": (
        lambda: seen(engines_host(engine_status=EngineStatus(EngineVm.UP)), peer()),
        "the engine on h2 is not known to be healthy",
    ),
    "two have it": (
        lambda: seen(engines_host(), engines_host(3)),
        "h2 and h3 both say that the engine runs there",
    ),
    "another one is in maintenance": (
        lambda: seen(engines_host(), peer(maintenance=True)),
        "h3 is in local maintenance: one host after the other",
    ),
    "one may be dying": (
        lambda: seen(engines_host(), peer(liveness=Liveness.FAIL)),
        "sanlock has not heard of h3 for a while: it may be dying",
    ),
    "one is not decided": (
        lambda: seen(engines_host(), replace(peer(fresh=False), undecided=True)),
        "whether h3 lives is not decided yet",
    ),
    "the engine is here, and others are not done": (
        lambda: seen_here(peer(2, NEW), peer(3, OLD), peer(4, "")),
        "the engine runs here, and its host goes last: before it h3 (0.1.0) and h4 (older, tells "
        "no version)",
    ),
    "the engine is here, and nobody takes it": (
        lambda: seen_here(other(2, notes=notes(NEW, "no, too little free memory"))),
        "no other host can take the engine alive: h2: too little free memory",
    ),
    "the engine is here, and there is nobody else": (
        lambda: seen_here(engines_host(2, NEW, liveness=Liveness.DEAD, fresh=False)),
        "no other host can take the engine alive: h2: sanlock counts it as dead",
    ),
    "settings are on their way": (
        lambda: seen(engines_host(), other(3, notes=notes(config="7"))),
        "h3 goes by version 7 of the shared configuration, and this host by version 1",
    ),
}


@pytest.mark.parametrize("name", REASONS)
def test_each_reason_says_no_and_is_the_only_one(name: str) -> None:
    given, expected = REASONS[name]
    found = judged(given())
    assert not found.may
    (reason,) = found.reasons
    assert expected in reason
    assert judgement_text(found).startswith("Not h1 now:\n  - ")
    assert "What to do here" not in judgement_text(found)


@pytest.mark.parametrize("phase", [MovePhase.MOVED, MovePhase.REFUSED])
def test_a_move_that_is_over_is_no_reason(phase: str) -> None:
    assert judged(with_move(phase)).may


def test_several_reasons_are_told_together() -> None:
    found = judged(seen(engines_host(), peer(maintenance=True), global_maintenance=True))
    assert len(found.reasons) == 2


# --- each warning -----------------------------------------------------------------------------

OLDER_HOST = other(3, notes=OLDER_STILL)
WARNINGS: dict[str, tuple[Callable[[], Snapshot], str]] = {
    "dead": (lambda: seen(engines_host(), peer(), peer(4, liveness=Liveness.DEAD)), "h4 is dead"),
    "left": (
        lambda: seen(
            engines_host(), peer(), peer(4, liveness=Liveness.FREE, stopped=True, fresh=False)
        ),
        "h4 has left in order: if it is being upgraded just now, wait for it",
    ),
    "silent": (
        lambda: seen(engines_host(), peer(), peer(4, liveness=Liveness.LIVE, fresh=False)),
        "h4 has not reported for a while",
    ),
    "unreadable": (
        lambda: seen(engines_host(), peer(), HostView(4, error="slot 4: garbage")),
        "nothing can be read of host 4: slot 4: garbage",
    ),
    "too new": (
        lambda: seen(
            engines_host(),
            peer(),
            HostView(
                4, Liveness.LIVE, error="slot 4: written by a newer version (parse version 2)"
            ),
        ),
        "host 4 writes a newer format, which this host can't read",
    ),
    "nobody is left": (
        lambda: seen(engines_host(), other(3, notes=notes(takes="no, the bridge is down"))),
        "no other one can take the engine from h2 (h3: the bridge is down)",
    ),
    "newer by its feature version": (
        lambda: seen(engines_host(), peer(feature_version=7)),
        "the record of h3 holds what only a newer program writes (feature version 7)",
    ),
    "newer by a line": (
        lambda: seen(engines_host(), other(3, notes=(*notes(), ("from_the_future", "yes")))),
        "(feature version 1, from_the_future)",
    ),
    "its own services are older": (
        lambda: seen(engines_host(), peer(), this=own("0.0.9")),
        "this host's services run program 0.0.9, and 0.1.0 is installed",
    ),
    "its configuration is too new": (
        lambda: seen(config=ConfigView(1, "unknown key migration")),
        "the shared configuration can't be read here: unknown key migration",
    ),
    "a configuration is not told": (
        lambda: seen(engines_host(), other(3, notes=notes(config=""))),
        "which shared configuration it goes by is not told by h3",
    ),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_each_warning_keeps_nobody_from_upgrading(name: str) -> None:
    given, expected = WARNINGS[name]
    found = judged(given())
    assert found.may, found.reasons
    (warning,) = found.warnings
    assert expected in warning
    assert "While versions are mixed" in judgement_text(found)


def test_a_host_of_a_program_before_moves_takes_no_engine_alive() -> None:
    found = judged(seen(engines_host(), peer(), replace(OLDER_HOST, host_id=4)))
    assert found.may
    assert "h3 runs an older program: the engine can't be moved to it alive" in found.warnings[0]
    assert not any("the shared settings hold" in one for one in found.warnings)


def test_one_that_says_that_it_takes_and_tells_no_version_is_no_such_host() -> None:
    found = judged(seen(engines_host(), peer(3, "")), {"migration": {"tries": 2}})
    assert found.warnings == ()
    assert order(found) == ["h3"], "but it goes before those that tell one"


@pytest.mark.parametrize(
    ("stored", "refused"),
    [
        ({}, False),
        ({"timing": {"tick_s": 5}}, False),
        ({"migration": None}, True),
        ({"migration": {}}, True),
        ({"migration": {"tries": 2}, "score": {}}, True),
    ],
)
def test_settings_that_an_older_host_refuses(stored: dict[str, Any], refused: bool) -> None:
    found = judged(seen(engines_host(), peer(), replace(OLDER_HOST, host_id=4)), stored)
    said = [one for one in found.warnings if one.startswith("the shared settings hold migration")]
    assert bool(said) is refused
    assert all("--set-shared-config migration null" in one for one in said)
    assert found.may


def test_a_host_that_refuses_the_settings_is_not_waited_for() -> None:
    """It goes by an older version until it is upgraded."""
    behind = other(3, notes=(("config-version", "1"),))
    given = seen(engines_host(notes=notes(config="4")), behind, config=ConfigView(4))
    assert judged(given, {"migration": {}}).may
    assert not judged(given, {}).may


def test_where_it_is_not_known_how_the_settings_are_stored() -> None:
    older = judge(cluster(seen(engines_host(), peer(), replace(OLDER_HOST, host_id=4))), None)
    assert "keys that an older program refuses is not known" in older.warnings[1]
    assert judge(cluster(seen()), None).warnings == ()


def test_what_strangers_write_is_only_text() -> None:
    name = other(3, hostname="h\x1b[31m3", maintenance=True, notes=notes())
    found = judged(seen(engines_host(), name))
    assert "\x1b" not in judgement_text(found)


# --- programs and settings --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("0.1.0", (0, 1, 0)),
        ("1.10", (1, 10)),
        ("1.2.3rc1", (1, 2, 3)),
        ("2.0+dev", (2, 0)),
        ("", None),
        ("soon", None),
        ("1..2", None),
        (".1", None),
    ],
)
def test_versions(text: str, version: Optional[tuple[int, ...]]) -> None:
    assert version_in(text) == version


def test_programs_in_their_order() -> None:
    too_new = HostView(2, error="slot 2: written by a newer version (parse version 2)")
    views = [
        OLDER_HOST,
        peer(3, "0.1.0"),
        peer(3, "0.2.0"),
        peer(3, "0.10.0"),
        peer(3, "1.0"),
        too_new,
    ]
    ranks = [program_of(view).rank for view in views]
    assert ranks == sorted(set(ranks))


def test_a_record_names_its_program_and_formats() -> None:
    program = program_of(peer(3, NEW))
    assert (program.told, program.parse_version, program.feature_version) == (NEW, 1, 1)
    assert (program.config_version, program.unknown_notes) == (1, ())
    assert isinstance(peer().record, HostRecord)


# What the first program of this table knew; whoever adds a key puts it into NEW_KEYS.
KNOWN_BEFORE = {
    "engine": "domain_name fqdn health_url health_text health_timeout_s health_ca_file guest_agent",
    "timing": "tick_s alive_s start_s starting_s bad_health_s stop_s away_s unexpected_down_s "
    "retry_window_s turn_s migration_s save_s io_timeout_s isolated_s",
    "score": "base network cpu_load cpu_load_from cpu_load_full vm_config_outdated bridge_down "
    "memory_low failed_start failed_starts_to_zero",
    "network": "bridge gateway test target probes probe_timeout_s",
    "monitors": "interval_s timeout_s memory_needed_mib plugins",
    "notifications": "smtp webhooks rules hold_s daily_limit queue_size",
}


def test_every_new_key_is_in_the_table_and_every_one_in_the_table_is_a_key() -> None:
    data = cluster_settings_to_data(ClusterSettings())
    new = [key for _, keys in NEW_KEYS for key in keys]
    assert set(refused_by((), data)) == set(new)
    known = {f"{section}.{key}" for section, keys in KNOWN_BEFORE.items() for key in keys.split()}
    leaves = {f"{section}.{key}" for section, keys in data.items() for key in keys}
    added = {
        leaf for leaf in leaves - known if not any(f"{leaf}.".startswith(f"{key}.") for key in new)
    }
    assert added == set()


def test_a_program_refuses_what_came_after_it() -> None:
    data = {"migration": {"tries": 2}}
    assert refused_by((), data) == ("migration",)
    assert refused_by((0, 0, 9), data) == ("migration",)
    assert refused_by((0, 1, 0), data) == ()
    assert refused_by((1,), data) == ()
