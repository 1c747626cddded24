# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What commands do apart while they have threads: each is a program of its own.

``python -m tests.integration.threaded_commands NAME``

Run in a folder of its own. A fork is an error here, as is a process without another thread.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Callable, Optional

from ha_broker.api.client import BrokerClient
from hosted_engine.errors import CommandError
from hosted_engine.host import storage_deadline as deploy_deadline
from hosted_engine.host.deadline import within_deadline
from metadata import wire
from metadata.domain_xml import lease_element
from metadata.layout import required_size, slot_address, storage_parts
from metadata.records import EngineStatus, HostRecord, SlotAbsent, VolumeAddress
from metadata.settings.parse import ClusterSettings, HostSettings, StorageParts
from metadata.settings.storage_connection import FcConnection
from metadata.shared_config import SharedConfig, copy_offset, encode_copy
from world.ports.errors import LockspaceError, StorageError, WorldError
from world.ports.sanlock import LeaseOwner
from world.vm.libvirt_hypervisor import LibvirtHypervisor

LONG_S = 60.0
NOWHERE = storage_parts("/nowhere/leases")

SANLOCK = """
import os

class SanlockException(Exception):
    pass

def read_resource_owners(*_positional, **_named):
    return [{"host_id": 4, "generation": os.getpid()}]
"""


def forbid_forks() -> None:
    def refuse(event: str, _arguments: object) -> None:
        if event in ("os.fork", "os.forkpty"):
            raise RuntimeError(f"a process with {threads()} threads was forked")

    sys.addaudithook(refuse)


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def begin_threads() -> None:
    """One that is given up, and libvirt's own where there is libvirt."""
    with suppress(CommandError):
        within_deadline(partial(os.read, os.pipe()[0], 1), "the storage", 0.01)
    with suppress(WorldError):
        LibvirtHypervisor("test:///default", "HostedEngine").domain()


def volume() -> StorageParts:
    """With host 1's record and a shared configuration, in this folder."""
    parts = storage_parts(str(Path.cwd() / "leases"))
    xml = f"<domain><name>HostedEngine</name><devices>{lease_element(parts)}</devices></domain>"
    place, config = parts.shared_config, SharedConfig(1, ClusterSettings(), xml)
    with Path(parts.lockspace.path).open("wb") as file:
        file.truncate(required_size(parts))
        file.seek(place.offset + copy_offset(1))
        file.write(encode_copy(config))
        file.seek(slot_address(parts, 1).offset)
        file.write(wire.encode_host(HostRecord(1, 5, 3400, EngineStatus(), "h1")))
    return parts


def refusal(kind: type[Exception], call: Callable[[], object]) -> Any:
    """The error of exactly that type that it raises."""
    try:
        call()
    except Exception as error:
        assert type(error) is kind, repr(error)
        return error
    raise AssertionError(f"no {kind.__name__}")


# --- the commands of the VM -------------------------------------------------------------------


def lease() -> None:
    begin_threads()
    owner = owner_of(volume())
    assert owner is not None
    assert owner.host_id == 4
    assert owner.generation != os.getpid()


def owner_of(parts: StorageParts) -> Optional[LeaseOwner]:
    """As the commands do, on a thread that may have to be given up."""
    from hosted_engine.host.patient_lockspace import PatientLockspace
    from hosted_engine.vm.engine_access import ask_sanlock

    owner: Optional[LeaseOwner] = ask_sanlock(PatientLockspace(parts).lease_owner)
    return owner


def lease_that_is_refused() -> None:
    begin_threads()
    error = refusal(LockspaceError, lambda: owner_of(NOWHERE))
    assert error.errno == errno.ENOENT
    assert error.what == "read the owner of the lease"


def lease_that_hangs() -> None:
    begin_threads()
    deploy_deadline.STORAGE_DEADLINE_S = 0.5
    os.mkfifo("pipe")
    error = refusal(CommandError, lambda: owner_of(storage_parts("pipe")))
    assert "the storage" in error.message
    assert "has not answered" in error.message


def vm_elsewhere() -> None:
    """As --vm-shutdown on a host without the VM, whose broker is gone."""
    from hosted_engine.vm.engine_access import domain_here, engine_here

    deployed(volume())
    engine = engine_here()
    error = refusal(CommandError, lambda: domain_here(engine))
    assert error.message.endswith("not run on this host; its lease belongs to host id 4")


def deployed(parts: StorageParts) -> HostSettings:
    from hosted_engine.host.settings_file import write_host_settings

    settings = HostSettings(1, "h1", parts, libvirt_uri="test:///default")
    write_host_settings(os.environ["HE_SETTINGS"], settings)
    return settings


# --- the storage's own commands -----------------------------------------------------------------


def store() -> None:
    from hosted_engine.host.environment import StoreApart

    begin_threads()
    parts = volume()
    place, apart = slot_address(parts, 7), StoreApart({})
    apart.write(place, b"x" * 1_048_576)
    assert apart.read(place, 1_048_576) == b"x" * 1_048_576
    assert apart.size(place.path) == required_size(parts)
    for call in (
        lambda: apart.read(NOWHERE.metadata, 4096),
        lambda: apart.write(NOWHERE.metadata, bytes(4096)),
        lambda: apart.size(NOWHERE.metadata.path),
    ):
        assert refusal(StorageError, call).errno == errno.ENOENT
    assert refusal(StorageError, lambda: apart.read(place, 100)).errno == errno.EINVAL


def store_that_hangs() -> None:
    from hosted_engine.host.environment import StoreApart

    begin_threads()
    deploy_deadline.STORAGE_DEADLINE_S = 0.5
    os.mkfifo("pipe")
    error = refusal(CommandError, lambda: StoreApart({}).read(VolumeAddress("pipe"), 4096))
    assert "has not answered" in error.message


def cleanup() -> None:
    """libvirt is asked before the storage is written, and again while no broker runs."""
    from hosted_engine.host.environment import deployed_host
    from hosted_engine.storage.clean_metadata import zero_slot
    from hosted_engine.storage.in_use import refuse_engine_here

    world = deployed_host(HostSettings(1, "h1", volume(), libvirt_uri="test:///default"))
    world = replace(world, lockspaces=lambda _parts: NoHolders())  # type: ignore[arg-type]
    refuse_engine_here(world)
    assert threads() > 1
    refuse_engine_here(world)
    assert world.cluster() == ClusterSettings()
    assert isinstance(world.slot(1), HostRecord)
    zero_slot(world, 1)
    assert isinstance(world.slot(1), SlotAbsent)


class NoHolders:
    def holders(self) -> list[int]:
        return []


def shared_configuration() -> None:
    from hosted_engine.host.shared_config import shared_config

    begin_threads()
    assert shared_config(BrokerClient(), volume()).sequence == 1
    message = refusal(CommandError, lambda: shared_config(BrokerClient(), NOWHERE)).message
    assert message.endswith("No such file or directory")


def connecting() -> None:
    from hosted_engine.storage.connect import ConnectSite, connect

    begin_threads()
    parts = volume()
    there = FcConnection(device=parts.lockspace.path)
    said: list[str] = []
    connect(HostSettings(1, "h1", parts), there, ConnectSite(said.append))
    assert said == [f"[ ok ] connected already: {there.device}"]
    elsewhere = HostSettings(1, "h1", NOWHERE)
    assert (
        "there is no /nowhere"
        in refusal(
            CommandError, lambda: connect(elsewhere, there, ConnectSite(said.append))
        ).message
    )


# --- deploying ----------------------------------------------------------------------------------


def deploying() -> None:
    """All that touches the storage: looking, measuring, formatting and writing."""
    from hosted_engine.deploy import steps
    from hosted_engine.deploy.answers import local_settings, parse_answers
    from hosted_engine.deploy.check_input import look_at_storage, read_engine
    from hosted_engine.deploy.checks_storage import check_speed
    from hosted_engine.deploy.plan import ThisHost
    from hosted_engine.host.environment import real_environment

    begin_threads()
    parts = volume()
    xml = Path("engine.xml")
    xml.write_text(f"<domain><name>E</name><devices>{lease_element(parts)}</devices></domain>")
    data = {"storage": {"path": parts.lockspace.path}, "engine": {"domain_xml_file": str(xml)}}
    answers = parse_answers(data, "answers")
    world = replace(real_environment(), say=lambda _line: None)
    look = look_at_storage(world, answers)
    assert look.survey is not None
    assert look.volumes.level.value == "ok"
    assert read_engine(answers, parts).domain_name == "E"
    assert "read" in check_speed(world, parts, look.survey, 10).detail
    site = steps.DeploySite(
        world, NoHolders(), look.survey, ThisHost("h9", "h9"), local_settings(answers, parts)  # type: ignore[arg-type]
    )  # fmt: skip
    steps._zero(site, parts.metadata, 4096 * 3)
    steps._write_config(site, SharedConfig(2, ClusterSettings(), xml.read_text()))
    steps.write_first_record(site, 2, "h9")
    assert steps._has_name(site, 2, "h9")
    steps._withdraw(site, 2, "h9")
    assert isinstance(steps._read_slot(site, 2), SlotAbsent)
    assert steps._ids_in_use(site) == {}
    assert steps.look_again(world, parts).found


def engine_file_that_hangs() -> None:
    from hosted_engine.deploy import check_input
    from hosted_engine.deploy.answers import parse_answers

    begin_threads()
    check_input.READ_ENGINE_DEADLINE_S = 1.0
    os.mkfifo("engine.xml")
    data = {"storage": {"path": "/x"}, "engine": {"domain_xml_file": "engine.xml"}}
    before = threads()
    error = refusal(
        CommandError, lambda: check_input.read_engine(parse_answers(data, "answers"), NOWHERE)
    )
    assert "engine.xml has not answered" in error.message
    assert threads() == before


PATHS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        lease,
        lease_that_is_refused,
        lease_that_hangs,
        vm_elsewhere,
        store,
        store_that_hangs,
        cleanup,
        shared_configuration,
        connecting,
        deploying,
        engine_file_that_hangs,
    )
}


def main(name: str) -> None:
    os.environ["HE_SETTINGS"] = str(Path.cwd() / "host.yaml")
    os.environ["HE_BROKER_SOCKET"] = "/nowhere/broker.sock"
    Path("binding").mkdir()
    Path("binding", "sanlock.py").write_text(SANLOCK)
    sys.path.insert(0, str(Path.cwd() / "binding"))
    forbid_forks()
    PATHS[name]()
    assert threads() > 1, "nothing was shown: there was no other thread"
    print("done")


if __name__ == "__main__":
    main(sys.argv[1])
