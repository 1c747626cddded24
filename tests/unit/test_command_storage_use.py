# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Who uses the storage on this host: nobody takes it away from under them."""

from __future__ import annotations

import errno

import pytest

from hosted_engine.errors import CommandError
from hosted_engine.storage.in_use import refuse_while_used
from tests.unit.storage_scene import AGENT, BROKER, Scene
from world.ports.errors import LockspaceError, LockspaceGoneError
from world.ports.libvirt import DomainState
from world.ports.sanlock import Membership


@pytest.fixture
def scene() -> Scene:
    return Scene()


def refusal(scene: Scene) -> str:
    with pytest.raises(CommandError) as caught:
        refuse_while_used(scene.world())
    assert scene.log == []
    return caught.value.message


def test_an_idle_host_may_be_disconnected(scene: Scene) -> None:
    refuse_while_used(scene.world())


def test_a_host_without_sanlock_may_be_disconnected(scene: Scene) -> None:
    scene.sanlock.error = LockspaceGoneError("ask sanlock", "no daemon", errno.ECONNREFUSED)
    refuse_while_used(scene.world())


@pytest.mark.parametrize("unit", [BROKER, AGENT])
def test_a_running_service_uses_it(scene: Scene, unit: str) -> None:
    scene.services.running = (unit,)
    why = refusal(scene)
    assert (
        f"{unit} runs on this host" in why
        and "systemctl stop ha-agent ha-broker ha-lockspace" in why
    )


def test_a_broker_uses_it_whoever_started_it(scene: Scene) -> None:
    scene.with_broker()
    assert "a broker runs on this host" in refusal(scene)


def test_a_member_of_the_lockspace_uses_it(scene: Scene) -> None:
    scene.sanlock.begin_join(1, takes_s=5)
    assert "is still in the lockspace" in refusal(scene)
    scene.clock.advance(5)
    assert scene.sanlock.membership(1) is Membership.JOINED
    assert "is still in the lockspace" in refusal(scene)


def test_the_engine_uses_it(scene: Scene) -> None:
    scene.domain = DomainState.PAUSED
    assert "paused on this host" in refusal(scene)


def test_what_is_not_known_keeps_it_connected(scene: Scene) -> None:
    scene.libvirt_error = "libvirt has not answered for 15 s"
    assert "not known" in refusal(scene)
    scene.libvirt_error = ""
    scene.sanlock.error = LockspaceError("ask sanlock", "refused", errno.EPERM)
    assert "not known (can't ask sanlock: refused)" in refusal(scene)
