# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --vm-start`` and ``--vm-start-paused``, on this host's libvirt.

The lease decides: a VM is started through the agent's own `start_engine`, so a second start,
here or elsewhere, is refused by sanlock and nothing is harmed. A look at the lease's owner
comes first, for the sake of a clear answer.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Optional

from ha_agent.actions.start_engine import start_engine, start_engine_paused
from hosted_engine.cli.wait import EndedError, follow, wait_s
from hosted_engine.cluster.lease_holder import (
    NOTHING_DONE,
    held_by_text,
    host_text,
    other_owner,
    owner_text,
)
from hosted_engine.errors import EXIT_OK, CommandError
from hosted_engine.vm.engine_access import (
    EngineAccess,
    ask_sanlock,
    elsewhere,
    engine_here,
    look,
    order,
)
from metadata.domain_xml import domain_name, lease_problems
from metadata.error_words import reason, shown
from metadata.errors import DomainXmlError
from metadata.records import Health
from metadata.settings.parse import StorageParts
from metadata.settings.timing import lease_floor_s
from world.ports.errors import LeaseHeldError, WorldError
from world.ports.libvirt import Domain, DomainState
from world.vm.domain_endings import ENDING_WORDS

WAIT_S = 600.0
# What a start takes beside waiting for a dead owner's lease: qemu on a busy host.
START_LIMIT_S = 120.0

PAUSE_NEEDS_MAINTENANCE = (
    "a paused VM is one that this host's agent switches off, unless the cluster is in global "
    f"maintenance; {NOTHING_DONE}. First: hosted-engine --set-maintenance --mode=global --wait"
)
UNWATCHED = (
    "This host is in local maintenance: its agent does not look after the engine "
    "(hosted-engine --set-maintenance --mode=none ends that)."
)
ENGINE_IS_HEALTHY = "the engine is healthy on this host"


def run_start_command(options: argparse.Namespace) -> int:
    """``--vm-start``."""
    timeout_s = wait_s(options, WAIT_S)
    engine = _with_vm_conf(options.vm_conf)
    domain = start(engine)
    snapshot = engine.ask_broker()
    if snapshot is not None and snapshot.local_maintenance:
        print(UNWATCHED, flush=True)
    if timeout_s is not None:
        follow_start(engine, domain, timeout_s)
    return EXIT_OK


def run_start_paused_command(options: argparse.Namespace) -> int:
    """``--vm-start-paused``."""
    timeout_s = wait_s(options, WAIT_S)
    engine = _with_vm_conf(options.vm_conf)
    domain = start_paused(engine)
    if timeout_s is not None:
        follow_start(engine, domain, timeout_s)
    return EXIT_OK


def start(engine: EngineAccess) -> Domain:
    """Start the VM; raises CommandError, naming who runs the engine when somebody does."""
    refuse_second(engine)
    job = partial(
        start_engine, engine.hypervisor, engine.lockspace, engine.domain_xml, engine.parts
    )
    domain = _start(engine, job)
    print(f"The engine's VM was started on this host (qemu's pid is {domain.pid}).", flush=True)
    return domain


def start_paused(engine: EngineAccess) -> Domain:
    """Create the VM and let nothing of it run; raises CommandError."""
    snapshot = engine.ask_broker()
    if snapshot is None or snapshot.global_maintenance is not True:
        raise CommandError(PAUSE_NEEDS_MAINTENANCE)
    refuse_second(engine)
    job = partial(
        start_engine_paused, engine.hypervisor, engine.lockspace, engine.domain_xml, engine.parts
    )
    domain = _start(engine, job)
    print(f"The engine's VM is paused on this host (qemu's pid is {domain.pid}).")
    print(
        "It holds no lease as long as it is paused: libvirt takes the lease when it is resumed, "
        "and does not resume it while another host has it.\n"
        f"To let it run: {_resume(engine)}\n"
        "Do that before global maintenance ends: then the hosts start the engine elsewhere, and "
        "this host's agent switches a paused VM off.",
        flush=True,
    )
    return domain


def refuse_second(engine: EngineAccess) -> None:
    """Raises CommandError while the engine surely is somewhere; sanlock would refuse it later."""
    domain = look(engine)
    if domain.state is DomainState.RUNNING:
        raise CommandError(
            "the engine's VM is running on this host already and holds the lease "
            f"(qemu's pid is {domain.pid}); {NOTHING_DONE}"
        )
    if domain.state is DomainState.PAUSED:
        raise CommandError(
            f"the engine's VM is paused on this host already ({domain.detail or 'no reason given'}"
            f"); {NOTHING_DONE}. To let it run: {_resume(engine)}; to remove it: "
            "hosted-engine --vm-poweroff"
        )
    _refuse_while_other_owns(engine)


def _refuse_while_other_owns(engine: EngineAccess) -> None:
    owner = ask_sanlock(lambda: other_owner(engine.lockspace, engine.host_id))
    if owner is None or owner.lives is False:
        return
    name = host_text(engine.ask_broker(), owner.host_id)
    if owner.lives:
        raise CommandError(held_by_text(name))
    print(
        f"The engine's lease stands on {name}, which is silent: the start waits until sanlock "
        f"is sure that it is dead (at most {_floor_s(engine):.0f} s).",
        flush=True,
    )


def _start(engine: EngineAccess, job: partial[Domain]) -> Domain:
    try:
        return order(job, _floor_s(engine) + START_LIMIT_S)
    except LeaseHeldError as error:
        why = error
        raise CommandError(ask_sanlock(lambda: _held_text(engine, why))) from error
    except WorldError as error:
        # Another holder may be the cause without being named: this host's agent, for one,
        # removes a VM that it finds paused here while the engine runs elsewhere.
        raise CommandError(f"{error}{elsewhere(engine)}") from error


def _held_text(engine: EngineAccess, error: LeaseHeldError) -> str:
    """Who has the lease; nobody where this host itself is still letting it go."""
    owner = owner_text(engine.lockspace, engine.ask_broker())
    return held_by_text(owner) if owner else f"{error}; {NOTHING_DONE}"


def _floor_s(engine: EngineAccess) -> float:
    fire_timeout_s = ask_sanlock(engine.lockspace.fire_timeout_s)
    return lease_floor_s(engine.settings.timing.io_timeout_s, fire_timeout_s)


def _with_vm_conf(path: Optional[str]) -> EngineAccess:
    if path is None:
        return engine_here()
    engine = engine_here(strict=True)
    xml = xml_for_one_start(path, engine.name, engine.parts)
    print(f"This start uses {path}; every other one uses the shared configuration.", flush=True)
    return replace(engine, domain_xml=xml)


def _resume(engine: EngineAccess) -> str:
    return f"virsh -c {engine.libvirt_uri} resume {engine.name}"


def xml_for_one_start(path: str, name: str, parts: StorageParts) -> str:
    """The domain XML in file `path`, by the rules for the cluster's own: for a domain called
    `name`, with the lease in `parts`; raises CommandError naming the file."""
    try:
        xml = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: can't be read: {reason(error)}") from error
    try:
        found = domain_name(xml)
    except DomainXmlError as error:
        raise CommandError(f"{path}: {error.why}") from error
    problems = lease_problems(xml, parts)
    if found != name:
        problems.insert(0, f"the domain's name is {shown(found)}, must be {shown(name)}")
    if problems:
        raise CommandError(f"{path}: {'; '.join(problems)}")
    return xml


# --- following ------------------------------------------------------------------------------


def follow_start(engine: EngineAccess, domain: Domain, timeout_s: float) -> None:
    """Until the engine is healthy here; raises NotReachedError, EndedError when the VM ends.

    An engine without a health page is one that runs.
    """
    if not engine.settings.engine.page_url:
        print("Whether it is healthy nobody can tell: the configuration names no health page.")
        return
    began_s = time.monotonic()
    follow(partial(_start_missing, engine, domain, began_s), ENGINE_IS_HEALTHY, timeout_s)
    print(f"Reached: {ENGINE_IS_HEALTHY}.")


def _start_missing(engine: EngineAccess, started: Domain, began_s: float, allowed_s: float) -> str:
    now = look(engine, allowed_s)
    if now.state is DomainState.ABSENT or now.pid != started.pid:
        raise EndedError(
            f"the engine's VM has ended again ({now.detail or ENDING_WORDS[now.ending]})"
        )
    if now.state is not DomainState.RUNNING:
        return f"the VM is {now.state.value} ({now.detail or 'no reason given'})"
    snapshot = engine.ask_broker()
    if snapshot is None:
        return "the VM runs; this host's broker does not answer (see 'systemctl status ha-broker')"
    view = snapshot.engine
    if view.seen_at_s is None or view.seen_at_s < began_s:
        return "the VM runs; its health was not checked yet"
    if view.health is Health.GOOD:
        return ""
    return f"the VM runs; its health is {view.health.value} ({view.detail or 'no reason given'})"
