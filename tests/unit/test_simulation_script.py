# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The script of a simulation: its commands, its times, its mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hosted_engine.simulate.grammar import KINDS, VERBS, CommandRefusedError, Verb, parse_command
from hosted_engine.simulate.script import Script, dump_script, load_script, parse_script
from simulation.errors import InputError
from tests.unit.simulation_strategies import HOSTS, command_texts, scripts

GOOD = """\
- {at: 10, do: "power-off h1"}
- at: 10
  do: engine   kill
- {at: 20.5, do: "on h2 hosted-engine --set-maintenance --mode=global"}
- {until: 300}
"""


def refusal(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        parse_script(text, HOSTS)
    return caught.value.problems


def test_script_is_read_with_the_lines_of_its_commands() -> None:
    script = parse_script(GOOD, HOSTS)
    assert script.until_s == 300
    assert [(event.at_s, event.command.text, event.line) for event in script.events] == [
        (10, "power-off h1", 1),
        (10, "engine kill", 3),
        (20.5, "on h2 hosted-engine --set-maintenance --mode=global", 4),
    ]


def test_script_without_events() -> None:
    assert parse_script("- until: 5", HOSTS) == Script((), 5)


@given(scripts())
def test_what_is_written_is_read_back(script: Script) -> None:
    assert parse_script(dump_script(script.events, script.until_s), HOSTS) == script


def test_whole_seconds_are_written_as_such() -> None:
    script = parse_script(GOOD, HOSTS)
    assert dump_script(script.events, script.until_s) == (
        "- {at: 10, do: power-off h1}\n"
        "- {at: 10, do: engine kill}\n"
        "- {at: 20.5, do: on h2 hosted-engine --set-maintenance --mode=global}\n"
        "- {until: 300}\n"
    )


def test_every_problem_at_once_in_the_order_of_the_lines() -> None:
    problems = refusal(
        '- {at: 10, do: "power-off h1"}\n'
        '- {at: 5, do: "pover-off h1"}\n'
        "- 7\n"
        "- {at: 20, do: 5}\n"
        "- {until: 3}\n"
        '- {at: -1, do: "power-off h9"}\n'
        "- {at: 30, when: 3}\n"
        '- {at: 40, do: "gateway up"}\n'
    )
    assert [problem.split(";")[0] for problem in problems] == [
        "script.yaml:2: unknown verb 'pover-off'",
        "script.yaml:2: at: 5 goes back in time",
        "script.yaml:3: 7 is refused",
        "script.yaml:4: do: 5 is refused",
        "script.yaml:5: until is the last item",
        "script.yaml:6: at: -1 is refused",
        "script.yaml:6: unknown host 'h9'",
        "script.yaml:7: do is missing",
        "script.yaml:7: unknown key 'when'",
        "script.yaml:8: the last item must say when it ends",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "script.yaml: empty"),
        ("[]", "script.yaml:1: [] is refused; allowed: a list of {at: SECONDS, do:"),
        ("until: 3", "script.yaml:1: {'until': 3} is refused; allowed: a list of"),
        ("- {until: x}", "script.yaml:1: until: 'x' is refused; allowed: a number from 0 to"),
        ("- {until: 5, do: x}", "script.yaml:1: unknown key 'do'; allowed: until"),
        (
            "- {at: 9, do: engine kill}\n- {until: 8}",
            "script.yaml:2: until: 8 goes back in time; allowed: 9 or later",
        ),
        ("- {at: 9, at: 8}", "script.yaml:1: no valid YAML: the key 'at' stands here for the"),
        ("- {until: 5", "no valid YAML"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, expected: str) -> None:
    assert any(expected in problem for problem in refusal(text)), refusal(text)


def test_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(GOOD)
    assert load_script(str(path), HOSTS) == parse_script(GOOD, HOSTS)
    with pytest.raises(InputError) as caught:
        load_script(str(tmp_path), HOSTS)
    assert caught.value.problems == [f"{tmp_path}: can't be read: Is a directory"]


# --- the commands ------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.pattern)
@given(data=st.data())
def test_verb_is_read_as_itself(verb: Verb, data: st.DataObject) -> None:
    text = data.draw(command_texts(verb))
    command = parse_command(text, HOSTS)
    assert command.verb == verb
    assert command.text == text


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("power-off h1", ("h1",)),
        ("clock h2 +90", ("h2", 90)),
        ("clock h2 -90", ("h2", -90)),
        ("storage h1 slow 0.25", ("h1", 0.25)),
        ("slot 0 garbage", (0, "garbage")),
        ("daemon h1 ha-agent kill after 3 calls", ("h1", "ha-agent", "kill", 3)),
        ("migrate h1 h2 fails", ("h1", "h2")),
        (
            "on h1 virsh migrate --live --p2p HostedEngine qemu+tcp://h2/system",
            ("h1", "h2"),
        ),
        (
            "on h1 systemctl restart ha-agent.service libvirtd",
            ("h1", "restart", "ha-agent", "libvirtd"),
        ),
        ("on h1 systemctl kill sanlock", ("h1", "sanlock")),
        (
            "on h1 systemctl kill --signal=SIGSTOP ha-broker",
            ("h1", "--signal=SIGSTOP", "ha-broker"),
        ),
        ("on h3 hosted-engine --set-maintenance --mode=none", ("h3", "--mode=none")),
        ("on h3 hosted-engine --vm-status --metadata /a/b:2M", ("h3", "/a/b:2M")),
    ],
)
def test_arguments_are_handed_on(text: str, arguments: tuple[object, ...]) -> None:
    assert parse_command(text, HOSTS).arguments == arguments


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no command; allowed: power-off, power-on,"),
        ("pover-off h1", "unknown verb 'pover-off'; allowed: power-off, power-on,"),
        ("power-off", "power-off: not complete; allowed: HOST (HOST: a host of this world)"),
        ("power-off h9", "unknown host 'h9'; allowed: h1, h2, h3"),
        ("power-off h1 now", "'now' is too much; allowed: power-off h1"),
        ("on h1", "on h1: not complete; allowed: hosted-engine --set-maintenance"),
        ("storage h1 burn", "'burn' is refused; allowed: hang, fail, heal, slow SECONDS, flap"),
        ("storage h1 slow 0", "SECONDS: seconds, above 0 and at most 86400"),
        ("storage h1 slow 1e3", "'1e3' is refused"),
        ("clock h1 90", "SHIFT: seconds with a sign, such as +90 or -90"),
        ("slot 2001 torn", "SLOT: a whole number from 0 to 2000"),
        ("migrate h1 h4 fails", "unknown host 'h4'; allowed: h1, h2, h3"),
        (
            "on h1 virsh migrate --live --p2p HostedEngine qemu+tcp://h7/system",
            "TARGET: qemu+tcp://HOST/system with a host of this world",
        ),
        ("on h1 systemctl restart", "UNIT...: one or more of ha-agent, ha-broker, sanlock, lib"),
        ("on h1 systemctl restart foo", "'foo' is refused"),
        ("on h1 rm -rf /", "on h1: 'rm' is refused; allowed: hosted-engine"),
        ("engine kill\tnow", "'now' is too much; allowed: engine kill"),
        ("engine k\x1bll", "'k\\x1bll' is refused"),
    ],
)
def test_a_command_that_is_none_says_what_is_allowed(text: str, expected: str) -> None:
    with pytest.raises(CommandRefusedError) as caught:
        parse_command(text, HOSTS)
    assert expected in str(caught.value)


def test_every_kind_of_argument_is_used() -> None:
    used = {token for verb in VERBS for token in verb.tokens}
    assert set(KINDS) <= used
