# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Carrying a change of the shared configuration out: checks, the write, and who has it then."""

from __future__ import annotations

import contextlib
import getpass
import io
import json
import os
from dataclasses import dataclass
from typing import Callable, Optional

from ha_broker.api.client import BrokerClient, BrokerError
from hosted_engine.config.change_rules import MAINTENANCE_FIRST, checks_page
from hosted_engine.config.rollout import Rollout
from hosted_engine.config.store import check, describe_change, write
from hosted_engine.errors import NOTHING_WRITTEN, CommandError, say_error
from hosted_engine.host.deadline import LIBVIRT_DEADLINE_S
from hosted_engine.host.domain_look import DomainLook, look_at_xml
from hosted_engine.host.environment import DeployedHost
from hosted_engine.host.libvirt_unit import libvirt_hint
from metadata.settings.parse import ClusterSettings, HostSettings
from metadata.shared_config import SharedConfig, StoredConfig
from world.network.health_page import HttpHealthPage
from world.ports.network import HealthPage, HealthReading
from world.vm.libvirt_hypervisor import LibvirtHypervisor

WAIT_S = 120.0
"""Every broker looks once a minute, every agent once a tick."""

_RESOLVER_S = 10.0


@dataclass(frozen=True)
class ChangeContext:
    """What a change is carried out with, beside the storage.

    `look` says what of a domain XML this host has not; it raises WorldError and DomainXmlError.
    """

    world: DeployedHost
    client: BrokerClient
    look: Callable[[str], DomainLook]
    page: HealthPage


def change_context(world: DeployedHost, host: HostSettings) -> ChangeContext:
    """This host's broker and libvirt."""

    def look(domain_xml: str) -> DomainLook:
        hypervisor = LibvirtHypervisor(host.libvirt_uri, "")
        return look_at_xml(domain_xml, world.probes, hypervisor, lambda question: question())

    return ChangeContext(world, BrokerClient(), look, HttpHealthPage())


@dataclass(frozen=True)
class Telling:
    """How the result is told: in JSON, and after waiting `wait_s` for all hosts to have it."""

    as_json: bool = False
    wait_s: Optional[float] = None


def examine(context: ChangeContext, before: StoredConfig, after: StoredConfig) -> None:
    """All that speaks against the change before anything is locked; raises CommandError."""
    now = check(context.world, before, after)
    if before.config.domain_xml != after.config.domain_xml:
        for line in _examined_xml(context, after.config.domain_xml):
            say_error(line)
    old, new = before.config.settings, after.config.settings
    if now.global_maintenance is not True and checks_page(old, new):
        _examine_page(context, new)


def _examined_xml(context: ChangeContext, domain_xml: str) -> list[str]:
    """What this host says of it, in lines for people; raises CommandError where libvirt refuses it.

    The XML is for all hosts: what is missing on this one is told and refuses nothing, for another
    host may have it. What libvirt refuses, as it does every XML whose emulator is missing, starts
    nowhere.
    """
    whom = f"{libvirt_hint()}, or the storage of a path that the XML names,"
    try:
        look = context.world.in_copy(lambda: context.look(domain_xml), whom, LIBVIRT_DEADLINE_S)
    except CommandError as error:
        raise CommandError(
            f"the domain XML is refused: {error.message}; {NOTHING_WRITTEN}"
        ) from error
    if look.refusal or look.is_unjudged or not look.has_emulator:
        told = "; ".join([*look.refusal, *look.missing, *look.marks, *look.doubts, *look.mends])
        raise CommandError(f"the domain XML is refused: {told}; {NOTHING_WRITTEN}")
    lines = []
    if look.missing:
        lacks = "; ".join(look.missing)
        lines.append(f"this host could not start the engine from the new domain XML: {lacks}")
    lines += [f"the new domain XML: {text}" for text in (*look.marks, *look.doubts)]
    return [*lines, *(f"  what to do: {mend}" for mend in look.mends)]


def _examine_page(context: ChangeContext, settings: ClusterSettings) -> None:
    """A mistyped address would have every engine stopped that runs well."""
    engine = settings.engine
    url, limit_s = engine.page_url, engine.health_timeout_s

    def look() -> HealthReading:
        return context.page.check(url, engine.health_text, limit_s, engine.health_ca_file)

    reading = context.world.in_copy(look, f"the health page {url}", limit_s + _RESOLVER_S)
    if not reading.good:
        raise CommandError(
            f"the engine's health page would be {url}, and it is not good ({reading.detail}); with "
            f"it, hosts would stop the engine after {settings.timing.bad_health_s:g} s; mend it, "
            f"or {MAINTENANCE_FIRST}; {NOTHING_WRITTEN}"
        )


def tell_unchanged(version: Optional[int], said: str, as_json: bool) -> None:
    """That `version`, the one in use, stays; `said` is why, as a sentence's beginning."""
    if as_json:
        print(json.dumps({"version": version, "changes": "", "hosts": {}}))
    else:
        print(f"{said}; {NOTHING_WRITTEN}.")


def carry_out(
    context: ChangeContext, before: StoredConfig, after: StoredConfig, what: str, telling: Telling
) -> StoredConfig:
    """Write it, have this host's broker read it, tell who has it.

    Raises CommandError when it was not written, NotReachedError when it was and not all hosts
    have it in time.
    """
    rollout = Rollout(context.client)
    written = write(context.world, before, after, user_name(), what)
    rollout.written(written.config.sequence)
    with contextlib.suppress(BrokerError):  # `rollout` says that it is not there
        context.client.reread()
    _tell(rollout, telling, before.config, written.config)
    return written


def user_name() -> str:
    """Who asks: behind sudo, too."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container without names
        return f"uid {os.getuid()}"


def _tell(rollout: Rollout, telling: Telling, before: SharedConfig, written: SharedConfig) -> None:
    version, changes = written.sequence, describe_change(before, written)
    if telling.as_json:
        with contextlib.redirect_stdout(io.StringIO()):  # progress is for people
            _await(rollout, telling.wait_s)
        print(json.dumps({"version": version, "changes": changes, "hosts": rollout.hosts}))
        return
    print(f"Version {version} of the shared configuration is written: {changes}.", flush=True)
    _await(rollout, telling.wait_s)
    print(rollout.text())
    if before.domain_xml != written.domain_xml:
        print(rollout.next_start_text())


def _await(rollout: Rollout, wait_s: Optional[float]) -> None:
    rollout.settle()
    if wait_s is not None:
        rollout.wait(wait_s)
