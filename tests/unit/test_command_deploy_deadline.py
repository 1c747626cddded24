# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The deadlines of --deploy: storage, sanlock, and a join that does not end."""

from __future__ import annotations

import errno
import os
import threading
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

from hosted_engine.deploy import steps as deploy_steps
from hosted_engine.deploy.plan import Join, LifeWatch
from hosted_engine.deploy.steps import join
from hosted_engine.errors import CommandError
from hosted_engine.host import storage_deadline as deploy_deadline
from hosted_engine.host.storage_deadline import bounded, progress, with_storage
from metadata.records import HostRecord
from tests.unit import apart_jobs
from tests.unit.deploy_scene import Scene
from tests.unit.test_command_deploy import cluster_store
from world.ports.errors import LockspaceError, StorageError
from world.ports.sanlock import Membership

JOINING = Join((2,), "h9", LifeWatch((), 0), "br0", "10.0.0.1")


class Slow:
    """Something that does not answer before it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def ask(self, what: str, loud: bool = False) -> str:
        return f"{what}{'!' if loud else ''}"

    def refuse(self) -> NoReturn:
        raise LockspaceError("join", "refused", errno.EACCES)

    def hang(self) -> None:
        self.let_go.wait()


def test_storage_is_touched_by_another_process() -> None:
    assert with_storage(os.getpid) != os.getpid()


def test_storages_refusal_comes_back_as_what_it_is() -> None:
    with pytest.raises(StorageError, match="read 4096 bytes: no such device") as caught:
        with_storage(partial(apart_jobs.refuse_storage, errno.ENXIO))
    assert caught.value.errno == errno.ENXIO


def test_storage_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy_deadline, "STORAGE_DEADLINE_S", 0.1)
    with pytest.raises(CommandError, match=r"the storage \(.*\) has not answered for"):
        with_storage(apart_jobs.hang)


def test_bounded_thing_answers_as_the_thing_itself() -> None:
    slow = bounded(Slow(), "sanlock", 30)
    assert slow.ask("what", loud=True) == "what!"
    with pytest.raises(LockspaceError, match="refused"):
        slow.refuse()


def test_bounded_thing_is_given_up() -> None:
    thing = Slow()
    with pytest.raises(CommandError, match="sanlock has not answered for"):
        bounded(thing, "sanlock", 0.1).hang()
    thing.let_go.set()


def test_method_that_is_left_alone_has_no_deadline_of_this_kind() -> None:
    thing = Slow()
    threading.Timer(0.3, thing.let_go.set).start()
    bounded(thing, "sanlock", 0.1, but=("hang",)).hang()
    assert thing.let_go.is_set()


def test_progress_is_told_until_the_work_ends() -> None:
    told: list[float] = []
    heard = threading.Event()

    def tell(gone_s: float) -> None:
        told.append(gone_s)
        if len(told) == 3:
            heard.set()

    with progress(tell, every_s=0.01):
        assert heard.wait(30)
    assert "progress" not in [thread.name for thread in threading.enumerate()]
    assert told == sorted(told)


def test_join_that_never_ends_is_given_up_and_goes_on_with_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, cluster_store())
    forever = threading.Event()
    scene.lockspace.on_join = lambda _host_id: forever.wait() and None
    scene.lockspace.membership = lambda _host_id: Membership.JOINING  # type: ignore[method-assign]
    for name in ("lease_floor_s", "join_s"):
        monkeypatch.setattr(deploy_steps, name, lambda *_seconds: 0.0)
    monkeypatch.setattr(deploy_steps, "SANLOCK_DEADLINE_S", 0.1)
    with pytest.raises(CommandError, match="run the same --deploy again, which goes on"):
        join(scene.site(), JOINING)
    forever.set()
    assert isinstance(scene.slot(2), HostRecord)  # the claim stays: sanlock may yet have the id
    assert not scene.settings_file.exists()
