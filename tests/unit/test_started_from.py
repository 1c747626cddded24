# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A VM whose domain XML is not the one in use says from which version it was started."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Optional

import pytest

from ha_agent.agent import Agent
from ha_agent.kept_memory import encode, recall
from ha_agent.ports import AgentPorts
from ha_agent.started_from import StartedFrom, StartWatch, checksum
from ha_broker.api.snapshot import ConfigView, EngineView, HostView, LeaseState, LeaseView
from hosted_engine.cluster.from_broker import cluster_status
from hosted_engine.status.text import status_text
from metadata.liveness import Liveness
from metadata.records import EngineStatus, EngineVm, Health, HostRecord
from metadata.shared_config import SharedConfig
from metadata.start_notes import STARTED_FROM, started_from_in, started_from_notes
from simulation.world import SimMemoryStore, SimProcesses
from tests.unit.agent_host import HOST, SETTINGS, AgentHost, domain_xml, snapshot
from tests.unit.test_command_explain import HERE, agent, engine, explained, held, other
from world.ports.libvirt import Domain, DomainState, Ending

OTHER_XML = domain_xml().replace("<devices>", "<memory>5</memory><devices>")


class KeepingHost(AgentHost):
    """Its agent knows processes, and keeps what it has learnt."""

    def _new_agent(self) -> Agent:
        self.store = getattr(self, "store", None) or SimMemoryStore()
        ports = AgentPorts(
            self.clock, self.runner, self.vm, self.lockspace, self.broker, self.services,
            self.history, self.store, SimProcesses(self.vm, self.clock, self.clock.monotonic_s),
        )  # fmt: skip
        return Agent(ports, HOST)

    def use(self, version: int, xml: str, **settings: Any) -> None:
        self.broker.config = SharedConfig(version, replace(SETTINGS, **settings), xml)
        self.run_for(12)

    @property
    def told(self) -> Optional[int]:
        return started_from_in(self.last_published().notes)


@pytest.fixture
def host() -> KeepingHost:
    host = KeepingHost()
    host.bring_engine_up()
    host.run_for(12)
    return host


def test_it_is_told_only_while_the_domain_xml_differs(host: KeepingHost) -> None:
    assert host.told is None
    host.use(2, domain_xml())  # only a setting has changed
    assert host.told is None
    host.use(3, OTHER_XML)
    assert host.told == 1
    host.use(4, domain_xml())  # a rollback
    assert host.told is None


def test_the_next_start_ends_it(host: KeepingHost) -> None:
    host.use(2, OTHER_XML)
    assert host.told == 1
    host.vm.end(Ending.CRASHED)
    host.run_until(lambda: host.vm.now.state is DomainState.RUNNING, 120)
    host.run_for(12)
    assert host.told is None
    host.use(3, domain_xml())
    assert host.told == 2


def test_it_outlives_the_agent_and_no_other_process_inherits_it(host: KeepingHost) -> None:
    host.restart_agent()
    host.run_for(12)
    host.use(2, OTHER_XML)
    assert host.told == 1
    host.restart_agent()
    host.run_for(12)
    assert host.told == 1
    kept = json.loads(host.store.data or b"{}")
    kept["started_from"][0] = "another process"
    host.store.data = json.dumps(kept).encode()
    host.restart_agent()
    host.run_for(12)
    assert host.told is None


def test_a_vm_of_unknown_origin_says_nothing() -> None:
    host = KeepingHost()
    host.use(1, OTHER_XML)
    watch = StartWatch()
    watch.look(Domain(DomainState.RUNNING, pid=7), "7/1")
    assert watch.older_version("7/1", OTHER_XML) is None
    watch.ordered(3, OTHER_XML)
    watch.ended(None)  # the start failed, and somebody else's VM is here
    watch.look(Domain(DomainState.RUNNING, pid=8), "8/1")
    assert watch.known is None


@pytest.mark.parametrize(
    "damaged",
    [None, 5, [], ["x", "1", 2], ["x", -1, 2], ["x", 10**18 + 1, 2], ["x", True, 2], [1, 2, 3]],
)
def test_a_damaged_word_costs_nothing_else(host: KeepingHost, damaged: Any) -> None:
    store = SimMemoryStore()
    memory = replace(host.agent.memory, tries=3)
    known = StartedFrom("7/1", 4, checksum(OTHER_XML))
    data = json.loads(encode(memory, store.boot_id(), 1, known))
    store.write(json.dumps(data).encode())
    assert recall(store, 1, 1e9).started_from == known
    store.write(json.dumps({**data, "started_from": damaged}).encode())
    found = recall(store, 1, 1e9)
    assert (found.started_from, found.memory.tries, found.why) == (None, 3, "")
    del data["started_from"]  # an older agent's
    store.write(json.dumps(data).encode())
    assert recall(store, 1, 1e9).memory.tries == 3


# --- what people see --------------------------------------------------------------------------

SENTENCE = (
    "The engine's VM on {} was started from version 3 of the shared configuration, and version 5 "
    "is in use: its domain XML holds from the engine's next start."
)
RUNS = EngineStatus(EngineVm.UP, Health.GOOD, "Up")


@pytest.mark.parametrize("value", ["3", "", "x", "9" * 30])
def test_the_status_says_it_in_one_line(value: str) -> None:
    record = HostRecord(2, 7, 3400, RUNS, "h2", notes=((STARTED_FROM, value),))
    seen = snapshot(
        9.0,
        hosts=(HostView(2, Liveness.LIVE, record=record, fresh=True),),
        config=ConfigView(sequence=5),
    )
    text = status_text(cluster_status(seen, 10.0))
    assert text.count(SENTENCE.format("h2")) == (value == "3")
    stale = replace(seen, hosts=(HostView(2, Liveness.DEAD, record=record),))
    assert "was started from version" not in status_text(cluster_status(stale, 10.0))


def test_explain_says_it_of_this_host_and_of_others() -> None:
    notes = started_from_notes(3)
    here = explained(
        other(),
        engine=EngineView(DomainState.RUNNING, Health.GOOD, "", 999.0),
        lease=held(1),
        agent=replace(agent(engine_status=HERE), notes=notes),
        config=ConfigView(sequence=5),
    )
    assert SENTENCE.format("h1") in engine(here)
    there = explained(
        other(engine_status=HERE, notes=notes),
        lease=LeaseView(LeaseState.HELD, 2, seen_at_s=999.0),
        config=ConfigView(sequence=5),
    )
    assert SENTENCE.format("h2") in engine(there)
