# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""--vm-migrate: what is asked of the broker, how it is followed, what comes out."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest

from ha_broker.api.snapshot import EngineView, MoveOrder, MovePhase, MoveReport, Publication
from ha_broker.api.snapshot_json import snapshot_to_data
from ha_broker.server.mailbox import Refusal
from hosted_engine.main import main
from tests.unit.command_broker import HOST_YAML, UP, FakeBroker, snapshot, undeployed
from world.ports.libvirt import DomainState

ORDER = MoveOrder("move-5.000-1", 2, 5.0)
MOVES = MoveReport(ORDER.request_id, MovePhase.MOVING, "h2", 1, copied=0.5)
MOVED = MoveReport(
    ORDER.request_id,
    MovePhase.MOVED,
    "h2",
    1,
    took_s=1.6,
    downtime_s=0.64,
    copied_bytes=150_000_000,
)
REFUSED = replace(MOVES, phase=MovePhase.REFUSED, copied=None, refusals=("h2: no room",))


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBroker]:
    settings = undeployed(tmp_path, monkeypatch)
    settings.write_text(HOST_YAML)
    monkeypatch.setattr("hosted_engine.cli.wait.LOOK_EVERY_S", 0.01)
    monkeypatch.setattr("hosted_engine.vm.move_progress.SHORT_LOOK_S", 0.2)
    server = FakeBroker(str(tmp_path / "broker.sock"))
    server.answers["/v1/move"] = lambda: {"request_id": ORDER.request_id, "to_id": 2}
    yield server
    server.stop()


def says(broker: FakeBroker, *pages: tuple[Optional[MoveOrder], Optional[MoveReport]]) -> None:
    """What the broker shows, look by look; the last page stays."""
    left = list(pages)

    def answer() -> Any:
        order, move = left.pop(0) if len(left) > 1 else left[0]
        at_s = time.monotonic() + 1
        agent = Publication(3400, UP, "EngineUp", move=move)
        here = EngineView(DomainState.RUNNING)
        seen = snapshot(engine=here, agent=agent, agent_published_at_s=at_s, move_order=order)
        return snapshot_to_data(seen, at_s)

    broker.answers["/v1/status"] = answer


def ordered(broker: FakeBroker) -> list[Any]:
    return [body for method, target, body in broker.requests if (method, target) == PUT]


PUT = ("PUT", "/v1/move")


@pytest.mark.parametrize(
    ("options", "body"),
    [([], None), (["--to", "h2"], "h2"), (["--to=2"], "2")],
)
def test_the_order_names_the_host_as_it_was_typed(
    options: list[str], body: Optional[str], broker: FakeBroker
) -> None:
    says(broker, (None, MOVED))
    assert main(["--vm-migrate", *options]) == 0
    assert ordered(broker) == [{"to": body}]


def test_it_is_followed_to_its_end(broker: FakeBroker, capsys: pytest.CaptureFixture[str]) -> None:
    waiting = replace(MOVES, phase=MovePhase.WAITING, target="", tries=0, copied=None)
    says(broker, (ORDER, None), (ORDER, waiting), (ORDER, MOVES), (None, MOVED))
    assert main(["--vm-migrate", "--to", "h2", "--wait"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "The engine is to move to h2.",
        "    0 s  waiting for this host's agent to take the order up",
        "    0 s  looking for a host that takes the engine",
        "    0 s  the engine moves to h2, 50% copied",
        "Reached: the engine has moved to h2 in 0 s (it stood still for 0.64 s).",
    ]


@pytest.mark.parametrize("wait", [["--wait"], []])
def test_a_move_that_nobody_took_is_a_failure_with_the_reasons(
    wait: list[str], broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    says(broker, (ORDER, None), (None, REFUSED))
    assert main(["--vm-migrate", *wait]) == 1
    expected = "hosted-engine: no host took the engine, which runs on here: h2: no room\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_what_the_broker_refuses_is_told_in_its_words(
    as_json: list[str], broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    why = "the engine's VM is not on this host; it is on h3: give the order there"

    def refuse() -> None:
        raise Refusal(409, why)

    broker.answers["/v1/move"] = refuse
    assert main(["--vm-migrate", "--wait", *as_json]) == 1
    output = capsys.readouterr()
    if as_json:
        assert json.loads(output.out) == {"error": f"can't move the engine: {why}"}
    else:
        assert (output.out, output.err) == ("", f"hosted-engine: can't move the engine: {why}\n")


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ((ORDER, MOVES), "The engine moves to h2, 50% copied. It goes on by itself"),
        ((ORDER, None), "The order is given; this host's agent has not taken it up yet. It goes"),
        ((None, MOVED), "Done: the engine has moved to h2 in 0 s"),
    ],
)
def test_without_a_wait_a_short_look_says_how_it_begins(
    page: tuple[Optional[MoveOrder], Optional[MoveReport]],
    told: str,
    broker: FakeBroker,
    capsys: pytest.CaptureFixture[str],
) -> None:
    says(broker, page)
    assert main(["--vm-migrate"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(told)


@pytest.mark.parametrize(
    ("pages", "why"),
    [
        ([(replace(ORDER, request_id="move-9.000-2"), None)], "a newer order has taken the place"),
        ([(None, None)], "the order was dropped before it was begun; the engine stays"),
        ([(None, replace(MOVES, what_for="maintenance"))], "the order was dropped before"),
        # A broker that was restarted knows of no order, and the agent looks no further.
        ([(ORDER, MOVES), (None, replace(MOVES, phase=MovePhase.WAITING))], "was dropped before"),
    ],
)
def test_an_order_that_is_gone_is_not_waited_for(
    pages: list[tuple[Optional[MoveOrder], Optional[MoveReport]]],
    why: str,
    broker: FakeBroker,
    capsys: pytest.CaptureFixture[str],
) -> None:
    says(broker, *pages)
    assert main(["--vm-migrate", "--wait"]) == 1
    assert why in capsys.readouterr().err


def test_a_move_goes_on_over_a_brokers_restart(broker: FakeBroker) -> None:
    says(broker, (ORDER, MOVES), *[(None, None)] * 3, *[(None, MOVES)] * 30, (None, MOVED))
    assert main(["--vm-migrate", "--wait"]) == 0


def test_one_that_takes_too_long_is_exit_code_3(
    broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    says(broker, (ORDER, MOVES))
    assert main(["--vm-migrate", "--wait", "--timeout=0.05"]) == 3
    told = capsys.readouterr().err
    assert "not reached within 0.05 s: the engine runs on another host; the engine moves" in told


@pytest.mark.parametrize(
    ("page", "options", "expected"),
    [
        (
            (None, MOVED),
            ["--wait"],
            {
                "request_id": ORDER.request_id,
                "phase": "moved",
                "target": "h2",
                "tries": 1,
                "refusals": [],
                "copied": None,
                "took_s": 1.6,
                "downtime_s": 0.64,
                "copied_bytes": 150_000_000,
            },
        ),
        ((ORDER, None), [], {"phase": "ordered", "target": None, "tries": 0, "took_s": None}),
        ((ORDER, MOVES), [], {"phase": "moving", "target": "h2", "copied": 0.5}),
    ],
)
def test_for_programs_there_is_one_document(
    page: tuple[Optional[MoveOrder], Optional[MoveReport]],
    options: list[str],
    expected: dict[str, Any],
    broker: FakeBroker,
    capsys: pytest.CaptureFixture[str],
) -> None:
    says(broker, page)
    assert main(["--vm-migrate", "--json", *options]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    document = json.loads(output.out)
    assert {key: document[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--to", ""], "'' is refused; allowed: a host's name or id"),
        (["--to", " "], "' ' is refused"),
        (["--timeout=5"], "--timeout goes with --wait"),
        (["--wait", "--timeout=-1"], "allowed: seconds from 0 to 3600"),
    ],
)
def test_wrong_options_order_nothing(
    options: list[str], why: str, broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--vm-migrate", *options]) == 2
    assert why in capsys.readouterr().err
    assert broker.requests == []
