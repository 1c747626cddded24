# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the checks of ``--deploy`` look at: this host, the answers, and what the storage holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Optional

from hosted_engine.cluster.storage_survey import Survey, survey
from hosted_engine.deploy.answers import Answers, storage_parts
from hosted_engine.deploy.checks_storage import check_volumes
from hosted_engine.deploy.findings import Finding, Level, fail
from hosted_engine.deploy.plan import NewEngine
from hosted_engine.errors import CommandError
from hosted_engine.host.anew import within_deadline_anew
from hosted_engine.host.environment import Environment, FormatStore
from hosted_engine.host.probes import Probes, block_sector_size
from metadata.domain_xml import domain_name, lease_problems
from metadata.error_words import reason
from metadata.errors import DomainXmlError
from metadata.layout import LOCKSPACE_NAME, SECTOR_SIZES, SLOT_SIZE
from metadata.records import VolumeAddress
from metadata.sanlock_disk import parse_record
from metadata.settings.parse import (
    ClusterSettings,
    HostSettings,
    StorageParts,
    parse_cluster_settings,
)
from world.ports.errors import StorageError, WorldError
from world.ports.sanlock import LockspaceAdmin

READ_ENGINE_DEADLINE_S = 10.0


@dataclass(frozen=True)
class CheckedStorage:
    """Where the parts lie, whether the volumes can be used, and, where they can, what is there."""

    parts: StorageParts
    volumes: Finding
    survey: Optional[Survey] = None


def look_at_storage(world: Environment, answers: Answers) -> CheckedStorage:
    """Never raises WorldError, and CommandError for impossible answers only."""
    try:
        return world.in_new(partial(_look_at_storage, world.store, world.probes, answers))
    except (WorldError, CommandError) as error:
        parts = storage_parts(answers, min(SECTOR_SIZES))
        return CheckedStorage(parts, fail(f"{answers.path}: {error}"))


def _look_at_storage(store: FormatStore, probes: Probes, answers: Answers) -> CheckedStorage:
    parts = storage_parts(answers, _sector_size(store, answers))
    volumes = check_volumes(store, parts, probes.file_system, answers.creates)
    if volumes.level is Level.OK:
        return CheckedStorage(parts, volumes, survey(store, parts))
    if answers.storage.get("connection"):
        first = (
            "--check connects nothing; without it, --deploy does first what storage.connection says"
        )
        volumes = replace(volumes, mend=(first, *volumes.mend))
    return CheckedStorage(parts, volumes)


def _sector_size(store: FormatStore, answers: Answers) -> int:
    """What sanlock wrote there, else the device's own."""
    try:
        record = parse_record(store.read(VolumeAddress(answers.path, 0), SLOT_SIZE))
    except StorageError:
        record = None  # the look at the volumes will say what is wrong
    ours = record is not None and record.lockspace == LOCKSPACE_NAME
    if record is not None and ours and record.sector_size in SECTOR_SIZES:
        return record.sector_size
    size = block_sector_size(answers.path)
    return size if size in SECTOR_SIZES else max(SECTOR_SIZES)


# --- all of it ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """What the checks look at: this host and, as far as it could be read, the storage."""

    world: Environment
    answers: Answers
    look: CheckedStorage
    lockspace: LockspaceAdmin
    deployed: Optional[HostSettings] = None

    @property
    def parts(self) -> StorageParts:
        """Where everything lies."""
        return self.look.parts

    @property
    def joins(self) -> bool:
        """Is there a cluster to be joined, and none to be created?"""
        return not self.answers.creates and self.shared_settings is not None

    @property
    def shared_settings(self) -> Optional[ClusterSettings]:
        """Those of the cluster on the storage."""
        config = self.look.survey.config if self.look.survey else None
        return config.settings if config else None

    @property
    def cluster(self) -> ClusterSettings:
        """The settings that this host is to run with."""
        if self.shared_settings is not None and not self.answers.creates:
            return self.shared_settings
        return parse_cluster_settings(self.answers.cluster, self.answers.source)

    @property
    def gateway(self) -> str:
        """As the plan will have it."""
        return self.own("gateway", self.cluster.network.gateway or self.world.gateway)

    @property
    def bridge(self) -> str:
        """As the plan will have it."""
        return self.own("bridge", self.cluster.network.bridge)

    @property
    def libvirt_uri(self) -> str:
        """Where libvirt is."""
        return self.own("libvirt_uri", HostSettings.libvirt_uri)

    @property
    def command_users(self) -> tuple[str, ...]:
        """The users who shall be able to command the broker."""
        if "command_users" in self.answers.host:
            return tuple(self.answers.host["command_users"])
        return self.deployed.command_users if self.deployed is not None else ()

    def own(self, key: str, otherwise: str) -> str:
        """This host's own value: what the answers say, else host.yaml, else `otherwise`."""
        if key in self.answers.host:
            return str(self.answers.host[key])
        kept = getattr(self.deployed, key) if self.deployed is not None else ""
        return str(kept or otherwise)

    def given_domain_xml(self) -> str:
        """The engine's, whether it can be used or not."""
        if self.answers.creates:
            return read_domain_xml(self.answers)
        return self.domain_xml()

    def domain_xml(self) -> str:
        """The engine's, from its file or from the storage; empty: there is none."""
        if self.answers.creates:
            return read_engine(self.answers, self.parts).domain_xml
        config = self.look.survey.config if self.look.survey else None
        return config.domain_xml if config else ""


# --- the engine's domain ----------------------------------------------------------------------


def read_domain_xml(answers: Answers) -> str:
    """The text in the file that the answers name; raises CommandError."""
    path = str(answers.domain_xml_file)
    whom = f"engine.domain_xml_file: the storage of {path}"
    return within_deadline_anew(partial(_read_domain_xml, path), whom, READ_ENGINE_DEADLINE_S)


def _read_domain_xml(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(
            f"engine.domain_xml_file: {path} can't be read: {reason(error)}"
        ) from error


def read_engine(answers: Answers, parts: StorageParts) -> NewEngine:
    """The domain that the answers name, with its lease; raises CommandError."""
    path, xml = answers.domain_xml_file, read_domain_xml(answers)
    try:
        name = domain_name(xml)
    except DomainXmlError as error:
        raise CommandError(f"{path}: {error.why}") from error
    problems = lease_problems(xml, parts)
    if problems:
        raise CommandError(f"{path}: {'; '.join(problems)}")
    return NewEngine(name, xml)
