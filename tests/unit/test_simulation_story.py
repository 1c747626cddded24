# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A story from its script to its last line, and each command of the grammar carried out."""

from __future__ import annotations

import inspect
from operator import attrgetter

import pytest

from hosted_engine.simulate import operator, verbs
from hosted_engine.simulate.grammar import VERBS, Verb, parse_command
from hosted_engine.simulate.run import Story, tell
from hosted_engine.simulate.script import parse_script
from simulation.cluster import SimCluster
from simulation.errors import SimulationError
from simulation.settings import WorldSettings, counted_hosts, parse_world

TWO_HOSTS = parse_world("hosts: 2\ncluster: {timing: {io_timeout_s: 2}}\n")


def story(script: str, world: WorldSettings = TWO_HOSTS) -> Story:
    hosts = [host.name for host in world.hosts]
    return tell(world, parse_script(script, hosts))


@pytest.fixture(scope="module")
def told() -> Story:
    return story(
        '- {at: 10, do: "engine kill"}\n'
        '- {at: 12, do: "power-on h2"}\n'
        '- {at: 40, do: "on h2 hosted-engine --vm-status"}\n'
        "- {until: 50}\n"
    )


def test_story_begins_with_where_the_hosts_stand(told: Story) -> None:
    assert told.lines[:2] == (
        "    0.0 h1  EngineUp, score 3400",
        "    0.0 h2  EngineDown, score 3400",
    )


def test_what_is_done_what_happens_and_what_the_agents_do_stand_in_this_order(
    told: Story,
) -> None:
    first = told.lines.index("   10.0 --  engine kill")
    assert told.lines[first + 1] == "   10.0 h1  engine: VM ended (qemu died)"
    assert told.lines[first + 2].startswith("   10.0 h1  EngineUp => EngineDown: the VM crashed")


def test_what_cannot_be_done_is_told_and_the_story_goes_on(told: Story) -> None:
    assert "   12.0 --  power-on h2: refused: h2 is on already" in told.lines
    assert any(line.startswith("   40.0 --") for line in told.lines)


def test_what_a_command_prints_stands_below_it(told: Story) -> None:
    asked = told.lines.index("   40.0 --  on h2 hosted-engine --vm-status")
    assert told.lines[asked + 1] == " " * 12 + "--== Host h1 (id: 1) status ==--"


def test_story_ends_with_the_sum(told: Story) -> None:
    assert told.lines[-6:] == (
        "   50.0 --  the end",
        "   50.0 h1  EngineUp, score 3400",
        "   50.0 h2  EngineDown, score 3400",
        "engine healthy 30.0 s, not healthy 20.0 s",
        "starts: h1 1, h2 0",
        "the engine ran nowhere twice; no rule was broken",
    )
    assert told.violations == ()


def test_the_same_story_is_told_again_word_by_word(told: Story) -> None:
    script = '- {at: 10, do: "power-off h1"}\n- {until: 200}\n'
    assert story(script).lines == story(script).lines


def test_lines_are_handed_on_while_they_happen() -> None:
    heard: list[str] = []
    told = tell(TWO_HOSTS, parse_script("- {until: 5}", ["h1", "h2"]), heard.append)
    assert tuple(heard) == told.lines


def test_cold_world_begins_with_the_power_on() -> None:
    world = parse_world("hosts: 1\nstart: cold\ncluster: {timing: {io_timeout_s: 2}}\n")
    lines = story("- {until: 80}", world).lines
    assert lines[0] == "    0.0 h1  booting"
    assert any("EngineDown => EngineStart" in line for line in lines)


def test_score_is_told_with_its_reason_when_it_changes() -> None:
    lines = story('- {at: 5, do: "network h2 cut"}\n- {until: 60}\n').lines
    told = [line for line in lines if " score 3400 => " in line]
    assert told
    assert "h2" in told[0]
    assert "of the latest probes failed" in told[0]


def test_a_broken_rule_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def second_qemu(cluster: SimCluster) -> None:
        cluster.hosts["h2"].vm.has_lock_manager = False
        cluster.hosts["h2"].vm.start("<domain/>")

    monkeypatch.setattr(SimCluster, "gateway_down", second_qemu)
    told = story('- {at: 5, do: "gateway down"}\n- {until: 7}\n')
    assert len(told.violations) == 1
    assert "one-engine" in told.violations[0]
    assert told.lines[-1] == f"RULE BROKEN: {told.violations[0]}"


def test_a_world_that_does_not_come_up_is_an_error() -> None:
    world = WorldSettings(hosts=counted_hosts(2), start="running")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("simulation.cluster.BRING_UP_LIMIT_S", 20.0)
        with pytest.raises(SimulationError, match="did not come up"):
            tell(world, parse_script("- {until: 5}", ["h1", "h2"]))


# --- the commands ----------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.pattern)
def test_every_verb_leads_somewhere(verb: Verb, cluster: SimCluster) -> None:
    owner, _, name = verb.action.partition(".")
    arguments = sum(1 for token in verb.tokens if token.isupper() or "|" in token)
    arguments += len(verb.extra) + sum(1 for token in verb.tokens if token == "UNIT...")
    if owner == "verbs":
        signature, given = inspect.signature(verbs._VERBS[name]), arguments + 1
    elif owner == "host":
        action = attrgetter(name)(cluster.host("h1"))
        signature, given = inspect.signature(action), arguments - 1  # the host is bound
    elif owner == "operator":
        signature, given = inspect.signature(getattr(operator, name)), arguments
    else:
        signature, given = inspect.signature(getattr(SimCluster, name)), arguments + 1
    signature.bind(*range(given))


@pytest.fixture(scope="module")
def cluster() -> SimCluster:
    made = SimCluster(TWO_HOSTS)
    made.bring_up()
    return made


def refusal(cluster: SimCluster, text: str) -> str:
    with pytest.raises(SimulationError) as caught:
        verbs.carry_out(parse_command(text, list(cluster.hosts)), cluster)
    return str(caught.value)


def test_what_cannot_be_done_says_why(cluster: SimCluster) -> None:
    assert refusal(cluster, "power-on h1") == "h1 is on already"
    assert refusal(cluster, "on h1 systemctl restart sanlock") == (
        "sanlock: restart is not simulated; allowed: start or --signal=SIGKILL"
    )
    assert "offset" in refusal(cluster, "on h1 hosted-engine --vm-status --metadata /a:3")
    assert "can't be read" in refusal(cluster, "on h1 hosted-engine --vm-status --metadata /a")


def test_a_refusal_that_takes_its_time_is_told_when_it_is_there() -> None:
    lines = story(
        '- {at: 2, do: "memory h2 1"}\n'
        '- {at: 60, do: "on h1 hosted-engine --set-maintenance --mode=local"}\n'
        '- {at: 65, do: "on h1 hosted-engine --vm-migrate --to h2"}\n'
        "- {until: 70}\n"
    ).lines
    for name in ("local maintenance on", "vm-migrate to h2"):
        assert any(f" h1  {name}: refused: " in line for line in lines)


def test_status_needs_power_a_broker_and_a_storage_that_answers() -> None:
    cluster = SimCluster(TWO_HOSTS)
    cluster.run_for(60)
    status = "on h1 hosted-engine --vm-status"
    volume = f"{status} --metadata /shared/leases:2M"
    cluster.host("h1").storage.hang()
    assert refusal(cluster, volume) == "/shared/leases:2M: the storage has not answered"
    cluster.host("h1").service("ha-broker", "freeze")
    assert "systemctl status ha-broker" in refusal(cluster, status)
    cluster.host("h1").power_off()
    assert refusal(cluster, status) == "h1 is off"
    assert refusal(cluster, volume) == "h1 is off"


def test_volume_is_watched_as_the_command_does(cluster: SimCluster) -> None:
    before_s = cluster.now_s
    command = parse_command("on h1 hosted-engine --vm-status --metadata /shared/leases:2M", ["h1"])
    lines = verbs.carry_out(command, cluster)
    assert 1 <= cluster.now_s - before_s <= 11
    assert lines.count("Status up-to-date                  : True") == 2


def test_units_are_told_apart() -> None:
    cluster = SimCluster(TWO_HOSTS)
    cluster.run_for(60)
    host = cluster.host("h2")

    def do(text: str) -> None:
        verbs.carry_out(parse_command(text, list(cluster.hosts)), cluster)

    do("on h2 systemctl stop ha-agent.service libvirtd")
    cluster.run_for(10)
    assert host.agent is None
    assert not host.vm.answers
    do("on h2 systemctl start libvirtd ha-agent")
    do("on h2 systemctl kill --signal=SIGKILL ha-broker")
    assert host.broker is None
    do("on h2 systemctl kill --signal=SIGSTOP ha-agent")
    assert host.vm.answers
    assert host.agent_process.frozen
    do("on h2 systemctl kill ha-agent")
    cluster.run_for(60)
    assert host.agent is not None
    assert host.broker is not None


def test_broker_is_stopped_after_the_agent_has_written_its_last_record() -> None:
    lines = story(
        '- {at: 10, do: "on h1 systemctl stop ha-broker ha-agent"}\n'
        '- {at: 30, do: "on h2 hosted-engine --vm-status"}\n- {until: 31}\n'
    ).lines
    ended = [line.split()[2] for line in lines if line.endswith("has ended")]
    assert ended == ["ha-agent", "ha-broker"]
    assert " " * 12 + "stopped                            : True" in lines


def test_daemons_that_stop_and_start_are_told() -> None:
    lines = story(
        '- {at: 10, do: "on h2 systemctl kill --signal=SIGSTOP ha-agent"}\n'
        '- {at: 20, do: "on h2 systemctl kill --signal=SIGKILL ha-broker"}\n- {until: 50}\n'
    ).lines
    told = [line for line in lines if " ha-" in line and "--" not in line]
    assert told == [
        "   10.0 h2  ha-agent stands still",
        "   20.0 h2  ha-broker has ended",
        "   25.0 h2  ha-broker has started",
        "   40.0 h2  ha-agent has ended",
        "   42.0 h2  ha-agent has started",
    ]


def test_both_daemons_are_restarted_in_the_order_of_their_units() -> None:
    lines = story(
        '- {at: 10, do: "on h2 systemctl restart ha-agent ha-broker"}\n- {until: 40}\n'
    ).lines
    told = [line.split(" ", 3)[-1].split("h2  ")[-1] for line in lines if " ha-" in line]
    assert told[1:] == [
        "ha-agent has ended",
        "ha-broker has ended",
        "ha-broker has started",
        "ha-agent has started",
    ]


def test_daemon_that_goes_on_is_told_from_one_that_was_restarted() -> None:
    lines = story(
        '- {at: 10, do: "on h2 systemctl kill --signal=SIGSTOP ha-broker"}\n'
        '- {at: 20, do: "on h2 systemctl kill --signal=SIGCONT ha-broker"}\n- {until: 30}\n'
    ).lines
    assert "   20.0 h2  ha-broker goes on" in lines


def test_restarted_agent_knows_nothing_of_a_broker_that_is_gone() -> None:
    lines = story(
        '- {at: 10, do: "on h2 systemctl stop ha-broker"}\n'
        '- {at: 15, do: "on h2 systemctl kill --signal=SIGKILL ha-agent"}\n- {until: 40}\n'
    ).lines
    started = lines.index("   17.0 h2  ha-agent has started")
    assert "=>" not in "".join(line for line in lines[started:] if " h2 " in line)


def test_start_where_the_engine_runs_elsewhere_names_the_host() -> None:
    lines = story('- {at: 5, do: "on h2 hosted-engine --vm-start"}\n- {until: 10}\n').lines
    assert any("the engine's lease is held by host h1 (id 1)" in line for line in lines)


def test_maintenance_is_set_at_once() -> None:
    lines = story(
        '- {at: 6.5, do: "on h2 hosted-engine --set-maintenance --mode=local"}\n- {until: 10}\n'
    ).lines
    assert "    6.5 h2  local maintenance on: done" in lines


def test_a_cluster_with_its_own_page_authority_and_plugins_is_simulated() -> None:
    world = parse_world(
        "hosts: 1\n"
        "cluster:\n"
        "  engine: {health_url: 'https://engine/x', health_ca_file: /ca.pem, guest_agent: true}\n"
        "  monitors: {plugins: {raid: {points: 100}}}\n"
        "  network: {test: tcp, target: '192.0.2.1:22'}\n"
    )
    found = story("- {until: 30}\n", world)
    assert found.lines[0] == "    0.0 h1  EngineUp, score 3400"
    assert "engine healthy 30.0 s, not healthy 0.0 s" in found.lines
