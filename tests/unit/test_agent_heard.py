# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Two hosts that write first and read then: what each knows of the other."""

from __future__ import annotations

import pytest

from fsm.observation import Peer, Vm
from ha_agent.host_shutdown import Arrival, HostShutdown, is_sent_to
from ha_agent.publication.heard import Heard
from ha_broker.api.snapshot import StorageView
from metadata.liveness import Liveness
from metadata.settings.parse import MigrationSettings
from metadata.states import State

MIGRATION = MigrationSettings(shutdown_s=100.0)
SENT = Peer(1, "h1", Liveness.LIVE, fresh=True, moving_to="h2", moving_limit_s=40.0)


def test_it_is_heard_once_the_others_were_read_after_the_write() -> None:
    heard = Heard()
    assert not heard.look("", StorageView(9.0, 8.0))
    assert not heard.look("h2", StorageView(9.0, 10.0))
    # It is written again with each tick, at the same time as the others are read.
    assert heard.look("h2", StorageView(10.0, 15.0))
    assert not heard.look("h3", StorageView(15.0, 15.5))
    assert not heard.look("", StorageView(20.0, 15.5))
    assert not Heard().look("h2", StorageView(None, None))


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        ({}, True),
        ({"moving_to": "h3"}, False),
        ({"fresh": False}, False),
        ({"liveness": Liveness.DEAD}, False),
    ],
)
def test_an_engine_is_on_its_way_while_a_living_host_says_so(changes: dict, sent: bool) -> None:
    peer = Peer(**{**vars(SENT), **changes})
    assert is_sent_to("h2", (peer,)) is sent


@pytest.mark.parametrize(
    ("arrival", "after_s", "waits"),
    [
        (Arrival(), 0.0, False),
        (Arrival(comes=True), 99.0, True),
        (Arrival(comes=True), 101.0, False),
        (Arrival(unheard_s=10.0), 10.0, True),
        (Arrival(unheard_s=10.0), 10.1, False),
    ],
)
def test_a_host_without_the_engine_waits_for_one_that_may_come(
    arrival: Arrival, after_s: float, waits: bool
) -> None:
    shutdown = HostShutdown()
    shutdown.begin(1000.0)
    found = shutdown.waits(1000.0 + after_s, MIGRATION, Vm.ABSENT, State.ENGINE_DOWN, arrival)
    assert found is waits
