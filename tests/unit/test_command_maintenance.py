# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""--set-maintenance: what is asked of the broker, and who is waited for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest

from ha_broker.api.snapshot import (
    MAINTENANCE,
    EngineView,
    HostView,
    MovePhase,
    MoveReport,
    Publication,
)
from ha_broker.api.snapshot_json import snapshot_to_data
from ha_broker.server.mailbox import Refusal
from hosted_engine.main import main
from hosted_engine.vm.maintenance import _host_missing, _missing_local, _missing_none
from metadata.liveness import Liveness
from tests.unit.command_broker import HOST_YAML, UP, FakeBroker, record, snapshot, undeployed
from world.ports.libvirt import DomainState

NOW_S = 1000.0


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBroker]:
    settings = undeployed(tmp_path, monkeypatch)
    settings.write_text(HOST_YAML)
    monkeypatch.setattr("hosted_engine.cli.wait.LOOK_EVERY_S", 0.01)
    server = FakeBroker(str(tmp_path / "broker.sock"))
    server.tell()
    yield server
    server.stop()


def _taker() -> HostView:
    found = replace(record(2, "h2", "EngineDown"), notes=(("takes", "at qemu+tls://h2/system"),))
    return HostView(2, Liveness.LIVE, record=found, fresh=True)


TAKER = _taker()


def asked(broker: FakeBroker) -> list[tuple[str, bool]]:
    bodies = [body for method, _target, body in broker.requests if method == "PUT"]
    return [(body["scope"], body["on"]) for body in bodies]


# --- setting ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "expected", "text"),
    [
        ("global", [("global", True)], "Global maintenance is on."),
        ("local", [("local", True)], "Local maintenance of this host is on."),
        (
            "none",
            [("local", False), ("global", False)],
            "Maintenance is off, this host's own and the cluster's.",
        ),
    ],
)
def test_maintenance_sets_its_own_scope_only(
    mode: str,
    expected: list[tuple[str, bool]],
    text: str,
    broker: FakeBroker,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--set-maintenance", f"--mode={mode}"]) == 0
    assert asked(broker) == expected
    assert capsys.readouterr().out == f"{text}\n"


def was(broker: FakeBroker, *before: Optional[bool]) -> None:
    """What the broker finds, one request after the other."""
    found = iter(before)
    broker.answers["/v1/maintenance"] = lambda: {"before": next(found)}


@pytest.mark.parametrize("remembered", [True, False], ids=["on in memory", "off in memory"])
@pytest.mark.parametrize(
    ("mode", "before", "already"),
    [
        ("global", [True], True),
        ("global", [False], False),
        ("global", [None], False),
        ("local", [True], True),
        ("local", [False], False),
        ("none", [False, False], True),
        ("none", [True, False], False),
        ("none", [False, True], False),
        ("none", [False, None], False),
    ],
)
def test_what_is_set_already_is_success_and_told_from_what_was_found(
    mode: str,
    before: list[Optional[bool]],
    already: bool,
    remembered: bool,
    broker: FakeBroker,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Another administrator may have changed it since the broker looked."""
    broker.tell(global_maintenance=remembered, local_maintenance=remembered)
    was(broker, *before)
    assert main(["--set-maintenance", f"--mode={mode}"]) == 0
    assert ("(it was already)" in capsys.readouterr().out) is already
    assert len(asked(broker)) == len(before), "asked for in any case"


@pytest.mark.parametrize("mode", ["global", "local"])
def test_asking_for_one_while_the_other_is_on_says_that_both_hold(
    mode: str, broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    broker.tell(global_maintenance=mode == "local", local_maintenance=mode == "global")
    assert main(["--set-maintenance", f"--mode={mode}"]) == 0
    told = capsys.readouterr().out
    assert "too: both hold, and neither ends the other" in told
    assert "--mode=none' on this host ends both" in told
    assert told.count("\n") == 1


def test_ending_names_who_is_in_local_maintenance_still(
    broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    def resting(host_id: int, **fields: Any) -> HostView:
        view = host(host_id, "LocalMaintenance", **fields)
        assert view.record is not None
        return replace(view, record=replace(view.record, maintenance=True))

    broker.tell(hosts=(resting(1), resting(2), host(3, "EngineUp"), resting(4, fresh=False)))
    assert main(["--set-maintenance", "--mode=none"]) == 0
    told = capsys.readouterr().out
    assert told.endswith("In local maintenance still, to be ended there: h2.\n")


def test_ending_that_stops_half_way_says_what_is_off(
    broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    refusals = iter([None, Refusal(503, "writing slot 0: I/O error")])

    def answer() -> Any:
        refusal = next(refusals)
        if refusal is not None:
            raise refusal
        return {"before": True}

    broker.answers["/v1/maintenance"] = answer
    assert main(["--set-maintenance", "--mode=none"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "I/O error; this host's own local maintenance is off, global" in output.err


@pytest.mark.parametrize(
    ("domain", "advice"),
    [
        (DomainState.RUNNING, "Let another host run it first, with a stop: on this host "),
        (DomainState.UNKNOWN, "see 'hosted-engine --explain'"),
    ],
)
def test_maintenance_that_is_refused_gives_the_brokers_reason_and_what_to_do(
    domain: DomainState, advice: str, broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise Refusal(409, "the engine's VM is here")

    broker.tell(engine=EngineView(domain))
    broker.answers["/v1/maintenance"] = refuse
    assert main(["--set-maintenance", "--mode=local"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "set local maintenance on: the engine's VM is here. " in output.err
    assert advice in output.err
    assert output.err.count("\n") == 1


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ({"global_maintenance": True}, ""),
        ({"hosts": (TAKER,)}, ". see 'hosted-engine --explain', and ask again later"),
    ],
    ids=["global maintenance", "somebody takes it"],
)
def test_a_refusal_that_is_no_matter_of_targets_has_no_recipe(
    fields: dict[str, Any], advice: str, broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise Refusal(409, "the engine's VM is here")

    broker.tell(engine=EngineView(DomainState.RUNNING), **fields)
    broker.answers["/v1/maintenance"] = refuse
    assert main(["--set-maintenance", "--mode=local"]) == 1
    assert capsys.readouterr().err.endswith(f"the engine's VM is here{advice}\n")


def test_time_without_a_wait_is_refused_before_anything_is_done(
    broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--set-maintenance", "--mode=global", "--timeout=5"]) == 2
    assert "--timeout goes with --wait" in capsys.readouterr().err
    assert broker.requests == []


# --- following --------------------------------------------------------------------------------


def host(host_id: int, state: str, **fields: Any) -> HostView:
    view = HostView(
        host_id,
        Liveness.LIVE,
        record=record(host_id, f"h{host_id}", state),
        fresh=True,
        changed_at_s=NOW_S,
    )
    return replace(view, **fields)


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (host(2, "GlobalMaintenance"), ""),
        (host(2, "EngineUp"), "h2 (EngineUp)"),
        (host(2, "UnknownLocalVmState"), "h2 (UnknownLocalVmState)"),
        (host(2, "GlobalMaintenance", changed_at_s=NOW_S - 1), "h2 (whose news is old)"),
        (host(2, "GlobalMaintenance", changed_at_s=None), "h2 (whose news is old)"),
        (host(2, "EngineDown", fresh=False), "h2 (whose agent is silent)"),
        (host(2, "EngineDown", fresh=False, liveness=Liveness.DEAD), ""),
        (host(2, "EngineDown", fresh=False, liveness=Liveness.UNKNOWN), ""),
        (host(2, "EngineDown", liveness=Liveness.UNKNOWN), "h2 (EngineDown)"),
        (host(2, "", record=None, error="garbage"), "host 2 (garbage)"),
        (host(2, "", record=None), "host 2 (which has not written its record yet)"),
        (host(2, "", record=replace(record(2, "h2", "AgentStopped"), stopped=True)), ""),
    ],
)
def test_who_is_waited_for_in_global_maintenance(view: HostView, expected: str) -> None:
    assert _host_missing(view, NOW_S) == expected


def agent(state: str, stopped: bool = False) -> Publication:
    return Publication(3400, UP, state, stopped=stopped)


@pytest.mark.parametrize(
    ("state", "both", "expected"),
    [
        ("LocalMaintenance", False, ""),
        ("EngineDown", False, "this host's agent is in EngineDown"),
        ("GlobalMaintenance", False, "this host's agent is in GlobalMaintenance"),
        ("GlobalMaintenance", True, ""),
        ("AgentStopped", False, "this host's agent is in AgentStopped"),
    ],
)
def test_local_maintenance_is_reached_when_this_hosts_agent_says_so(
    state: str, both: bool, expected: str
) -> None:
    seen = snapshot(agent=agent(state), agent_published_at_s=NOW_S, global_maintenance=both)
    assert _missing_local(seen, NOW_S) == expected
    assert "agent to report" in _missing_local(seen, NOW_S + 1)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("EngineDown", ""),
        ("ReinitializeFSM", ""),
        ("GlobalMaintenance", "this host's agent is in GlobalMaintenance"),
        ("LocalMaintenance", "this host's agent is in LocalMaintenance"),
        ("LocalMaintenanceMigrateVm", "this host's agent is in LocalMaintenanceMigrateVm"),
        ("AgentStopped", "this host's agent is in AgentStopped"),
    ],
)
def test_maintenance_is_left_when_this_hosts_agent_has_gone_on(state: str, expected: str) -> None:
    told = agent(state, stopped=state == "AgentStopped")
    seen = snapshot(agent=told, agent_published_at_s=NOW_S)
    assert _missing_none(seen, NOW_S) == expected
    assert "agent to report" in _missing_none(seen, NOW_S + 1)
    assert "agent to report" in _missing_none(snapshot(), NOW_S)


def test_following_tells_who_is_missing_until_nobody_is(
    broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    looks = iter(
        [
            None,
            (host(1, "EngineUp"), host(2, "EngineDown")),
            (host(1, "GlobalMaintenance"), host(2, "EngineDown")),
        ]
    )

    def answer() -> Any:
        hosts = next(looks, (host(1, "GlobalMaintenance"), host(2, "GlobalMaintenance")))
        later_s = time.monotonic() + 1
        views = () if hosts is None else tuple(replace(v, changed_at_s=later_s) for v in hosts)
        return snapshot_to_data(snapshot(hosts=views), later_s)

    broker.answers["/v1/status"] = answer
    assert main(["--set-maintenance", "--mode=global", "--wait"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Global maintenance is on.",
        "    0 s  waiting for h1 (EngineUp) and h2 (EngineDown)",
        "    0 s  waiting for h2 (EngineDown)",
        "Reached: all living hosts are in global maintenance.",
    ]


@pytest.mark.parametrize(("before", "code"), [(False, 3), (True, 0)], ids=["news", "no news"])
def test_what_agents_said_before_counts_only_where_nothing_changed(
    before: bool, code: int, broker: FakeBroker
) -> None:
    old = host(1, "GlobalMaintenance", changed_at_s=time.monotonic() - 1)
    broker.tell(hosts=(old,), global_maintenance=not before)  # an old memory
    was(broker, before)
    asked_for = ["--set-maintenance", "--mode=global", "--wait", "--timeout=0.05"]
    assert main(asked_for) == code


def test_following_that_takes_too_long_is_exit_code_3(
    broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    broker.tell(hosts=(host(3, "EngineUp"),))
    assert main(["--set-maintenance", "--mode=global", "--wait", "--timeout=0.05"]) == 3
    output = capsys.readouterr()
    assert output.out.startswith("Global maintenance is on.\n")
    assert "not reached within 0.05 s" in output.err
    assert "waiting for h3 (EngineUp)" in output.err
    assert output.err.count("\n") == 1


def test_broker_that_is_restarted_meanwhile_is_waited_out(
    broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: Iterator[Optional[Refusal]] = iter([None, Refusal(503, "not ready yet")])

    def answer() -> Any:
        refusal = next(answers, None)
        if refusal is not None:
            raise refusal
        told = agent("LocalMaintenance")
        later_s = time.monotonic() + 1
        return snapshot_to_data(snapshot(agent=told, agent_published_at_s=later_s), later_s)

    broker.answers["/v1/status"] = answer
    assert main(["--set-maintenance", "--mode=local", "--wait"]) == 0
    assert "not ready yet" in capsys.readouterr().out


# --- where the engine has to leave first -------------------------------------------------------


class Story:
    """Snapshots one after the other, each a second younger than the command; the last one stays."""

    def __init__(self, broker: FakeBroker) -> None:
        self.pages: list[dict[str, Any]] = []
        broker.answers["/v1/status"] = self._answer
        self.then(EngineView(DomainState.RUNNING), "EngineUp", local=False)

    def then(
        self,
        engine: EngineView,
        state: str,
        *,
        local: bool = True,
        move: Optional[MoveReport] = None,
        at_s: Optional[float] = None,
    ) -> Story:
        said = replace(agent(state), move=move)
        self.pages.append(
            {"engine": engine, "agent": said, "local_maintenance": local, "at_s": at_s}
        )
        return self

    def _answer(self) -> Any:
        page = dict(self.pages.pop(0) if len(self.pages) > 1 else self.pages[0])
        at_s = page.pop("at_s") or time.monotonic() + 1
        return snapshot_to_data(snapshot(agent_published_at_s=at_s, **page), at_s)


HERE, AWAY = EngineView(DomainState.RUNNING), EngineView(DomainState.ABSENT)
LOOKING = MoveReport(MAINTENANCE, MovePhase.WAITING)
MOVES = MoveReport(MAINTENANCE, MovePhase.MOVING, "h2", 1, copied=0.34)
AGAIN = MoveReport(MAINTENANCE, MovePhase.MOVING, "h3", 2, ("h2: no room",))
MOVED = MoveReport(MAINTENANCE, MovePhase.MOVED, "h3", 2, ("h2: no room",), downtime_s=0.64)
REFUSED = MoveReport(MAINTENANCE, MovePhase.REFUSED, "h3", 2, ("h2: no room", "h3: bridge down"))
SET = "Local maintenance of this host is on. The engine moves to another host first."


def test_a_move_is_followed_with_target_percent_tries_and_refusals(
    broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    story = Story(broker).then(HERE, "EngineUp").then(HERE, "EngineUp", move=LOOKING)
    story.then(HERE, "EngineMigratingAway", move=MOVES)
    story.then(HERE, "EngineMigratingAway", move=replace(MOVES, copied=0.9))
    story.then(HERE, "EngineMigratingAway", move=AGAIN)
    story.then(AWAY, "LocalMaintenance", move=MOVED)
    assert main(["--set-maintenance", "--mode=local", "--wait"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        SET,
        "    0 s  this host's agent is in EngineUp",
        "    0 s  looking for a host that takes the engine",
        "    0 s  the engine moves to h2, 34% copied",
        "    0 s  the engine moves to h2, 90% copied",
        "    0 s  the engine moves to h3, try 2; refused: h2: no room",
        "Reached: the engine has moved to h3 in 0 s; this host is in local maintenance (it stood "
        "still for 0.64 s).",
    ]


@pytest.mark.parametrize("wait", [["--wait"], []], ids=["wait", "short look"])
def test_maintenance_that_the_agent_takes_back_is_a_failure_with_all_refusals(
    wait: list[str], broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    story = Story(broker).then(HERE, "EngineUp")
    if wait:
        story.then(HERE, "EngineMigratingAway", move=AGAIN).then(HERE, "EngineUp", move=REFUSED)
    story.then(HERE, "EngineUp", local=False, move=REFUSED)
    assert main(["--set-maintenance", "--mode=local", *wait]) == 1
    output = capsys.readouterr()
    assert output.out.splitlines()[0] == SET
    assert output.err == (
        "hosted-engine: local maintenance of this host was taken back: no host took the engine, "
        "which runs on here: h2: no room; h3: bridge down\n"
    )


@pytest.mark.parametrize("looks", [3, 30])
def test_the_end_of_the_move_is_waited_for_a_moment(
    looks: int, broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    story = Story(broker).then(HERE, "EngineMigratingAway", move=MOVES)
    for _ in range(looks):
        story.then(AWAY, "LocalMaintenance", move=MOVES)
    story.then(AWAY, "LocalMaintenance", move=MOVED)
    assert main(["--set-maintenance", "--mode=local", "--wait"]) == 0
    told = capsys.readouterr().out.splitlines()[-1]
    assert told.startswith("Reached: the engine has moved to h3") is (looks == 3)
    assert "this host is in local maintenance" in told


def test_where_the_engine_left_another_way_no_move_is_told(
    broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    Story(broker).then(AWAY, "LocalMaintenance", move=LOOKING)
    assert main(["--set-maintenance", "--mode=local", "--wait"]) == 0
    assert capsys.readouterr().out.endswith("\nReached: this host is in local maintenance.\n")


def test_a_refusal_of_an_earlier_time_is_none_of_this_one(
    broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    old_s = time.monotonic() - 5
    story = Story(broker).then(HERE, "EngineUp", move=REFUSED, at_s=old_s)
    story.then(HERE, "EngineUp", local=False, move=REFUSED, at_s=old_s)
    assert main(["--set-maintenance", "--mode=local", "--wait"]) == 1
    assert "is off again: somebody has ended it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("move", "told"),
    [
        (MOVES, "The engine moves to h2, 34% copied. It goes on by itself: 'hosted-engine --expl"),
        (LOOKING, "Looking for a host that takes the engine. It goes on by itself"),
        (None, "It goes on by itself: 'hosted-engine --explain' says how far it is."),
    ],
)
def test_without_a_wait_a_short_look_says_how_it_begins(
    move: Optional[MoveReport],
    told: str,
    broker: FakeBroker,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("hosted_engine.vm.move_progress.SHORT_LOOK_S", 0.2)
    Story(broker).then(HERE, "EngineUp").then(HERE, "EngineUp", move=move)
    assert main(["--set-maintenance", "--mode=local"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == SET
    assert second.startswith(told)


def test_a_move_that_takes_too_long_is_exit_code_3(
    broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    Story(broker).then(HERE, "EngineMigratingAway", move=MOVES)
    assert main(["--set-maintenance", "--mode=local", "--wait", "--timeout=0.05"]) == 3
    told = capsys.readouterr().err
    assert "not reached within 0.05 s: this host is in local maintenance; the engine moves" in told
