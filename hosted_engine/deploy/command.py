# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --deploy``: make this host the first, or one more, of a cluster.

Answers (a file, or questions on a terminal) -> checks (`checks`; nothing is changed) ->
plan (`plan`, pure) -> `preview` -> carry out (`steps`) -> answers for the next host.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Optional

from hosted_engine.cluster.storage_survey import AreaKind
from hosted_engine.deploy import checks as deploy_checks
from hosted_engine.deploy import steps as deploy_steps
from hosted_engine.deploy.answers import Answers, local_settings, read_data, storage_parts
from hosted_engine.deploy.check_input import Subject, look_at_storage, read_engine
from hosted_engine.deploy.findings import (
    Finding,
    Level,
    fail,
    failures_text,
    finding_lines,
    findings_data,
    ok,
)
from hosted_engine.deploy.lockspace_survey import OWN_JOIN_S, look, sanlock_of
from hosted_engine.deploy.next_host_answers import (
    check_can_write,
    forget_typed,
    keep_typed,
    write_next_answers,
)
from hosted_engine.deploy.plan import (
    Create,
    Deployed,
    Join,
    Plan,
    Refused,
    deployed_text,
    elsewhere_text,
    plan,
)
from hosted_engine.deploy.preview import Preview
from hosted_engine.deploy.questions import Questioner, ask_answers, real_terminal
from hosted_engine.errors import EXIT_FAILURE, EXIT_OK, CommandError, UsageError
from hosted_engine.host.environment import Environment, real_environment
from hosted_engine.host.error_lines import told
from hosted_engine.host.service_rights import give_volume
from hosted_engine.host.settings_file import ANSWERS_NAME, TYPED_ANSWERS_NAME
from hosted_engine.host.volume_advice import is_block_device
from hosted_engine.storage import connect as storage_connect
from metadata.layout import SECTOR_SIZES, required_sizes
from metadata.settings.parse import HostSettings, SettingsError, host_settings_to_data
from world.host_file import read_host_settings
from world.ports.errors import WorldError
from world.service_user import STORAGE_GROUP

_NO_TERMINAL = (
    "--deploy needs --config-append=FILE with the answers (YAML) where there is no terminal to "
    "ask on"
)


@dataclass(frozen=True)
class DeployRequest:
    """What was asked for on the command line; `answers_file` None: questions are asked."""

    answers_file: Optional[str] = None
    force: bool = False
    check: bool = False
    yes: bool = False
    as_json: bool = False
    next_answers_file: Optional[str] = None


def run_command(options: argparse.Namespace) -> int:
    """Deploy with the options of the command line; raises CommandError."""
    request = request_of(options)
    return deploy(real_environment(), request, None if request.as_json else real_terminal())


def request_of(options: argparse.Namespace) -> DeployRequest:
    """What was asked for; raises UsageError."""
    if options.json and not options.check:
        raise UsageError("--json goes with --deploy --check only")
    return DeployRequest(
        answers_file=options.config_append,
        force=options.force,
        check=options.check,
        yes=options.yes,
        as_json=options.json,
        next_answers_file=options.write_answers,
    )


def deploy(
    world: Environment, request: DeployRequest, terminal: Optional[Questioner] = None
) -> int:
    """Look, plan and carry out; returns the exit code and raises CommandError."""
    if request.as_json:
        world = replace(world, say=lambda _line: None)
    try:
        with told():
            return _deploy(world, request, terminal)
    except KeyboardInterrupt:
        raise CommandError("interrupted; the same --deploy goes on where this one was") from None


def _deploy(world: Environment, request: DeployRequest, terminal: Optional[Questioner]) -> int:
    if request.next_answers_file is not None:
        check_can_write(request.next_answers_file)
    deployed = _deployed(world)
    answers, typed = _answers(world, request, deployed, terminal)
    if not request.check:
        # Before anything is asked to be mended on a storage that is not meant.
        why = elsewhere_text(answers, deployed)
        if why:
            raise CommandError(f"nothing was changed: {why}")
        connect_storage(world, answers)
    seen = look_at_storage(world, answers)
    subject = Subject(world, answers, seen, sanlock_of(world, seen.parts), deployed)
    if not request.check:
        prepare_access(subject)
    if request.check:
        return _check_only(subject, request)
    if typed is not None:
        keep_typed(_typed_file(world), typed)
        world.say(f"(--config-append={_typed_file(world)} takes these answers again)")
    _refuse_failures(_findings(subject), on_screen=terminal is not None)
    site, chosen = _decide(subject, request.force)
    usual_file = Path(world.settings_file).with_name(ANSWERS_NAME)
    answers_file = request.next_answers_file or str(usual_file)
    _preview(site, chosen, answers_file)
    ask = terminal if typed is not None and not request.yes else None
    if ask is not None and not ask.agrees("Go on?"):
        raise CommandError("not confirmed: nothing was changed")
    _carry_out(site, chosen)
    forget_typed(_typed_file(world))
    _say_next(world, answers_file)
    return EXIT_OK


def _answers(
    world: Environment,
    request: DeployRequest,
    deployed: Optional[HostSettings],
    terminal: Optional[Questioner],
) -> tuple[Answers, Optional[Mapping[Any, Any]]]:
    """The answers, and what of them was typed now, if anything."""
    given: object = None
    if request.answers_file is not None:
        given = read_data(request.answers_file) or {}
    elif deployed is not None and not request.force:  # what it was given once
        given = {"storage": host_settings_to_data(deployed)["storage"]}
    if given is None and terminal is None:
        raise UsageError(_NO_TERMINAL)
    if given is not None and request.answers_file is None:
        return ask_answers(world, given, None, world.settings_file)
    return ask_answers(world, given, terminal, request.answers_file or "answers", request.force)


def _deployed(world: Environment) -> Optional[HostSettings]:
    try:
        return read_host_settings(world.settings_file)
    except SettingsError as error:
        raise CommandError(
            f"{'; '.join(error.problems)}; mend or remove the file, then deploy again"
        ) from error


def connect_storage(world: Environment, answers: Answers) -> None:
    """What is to be looked at must be there; nothing where the system connects it by itself."""
    settings = local_settings(answers, storage_parts(answers, min(SECTOR_SIZES)))
    if settings.connection is not None:
        site = storage_connect.ConnectSite(world.say)
        storage_connect.connect(settings, settings.connection, site)


def prepare_access(subject: Subject) -> None:
    """Give blank files that are to be the storage to the group by which sanlock and our daemons
    get there. What could not be given is told by the checks."""
    found, probes, say = subject.look.survey, subject.world.probes, subject.world.say
    if found is None or found.kind is not AreaKind.BLANK or not subject.answers.creates:
        return
    for path in required_sizes(subject.parts):
        closed = probes.sanlock_can_not_open(path) or probes.service_can_not_open(path)
        if closed and not is_block_device(path):
            why = subject.world.in_new(partial(give_volume, path))
            say(f"[warn] {path}: {why}" if why else f"[ ok ] {path}: given to {STORAGE_GROUP}")


# --- checks ---------------------------------------------------------------------------------


def _findings(subject: Subject) -> list[Finding]:
    """All of them, each said as soon as it is known."""
    found = []
    for finding in deploy_checks.findings(subject):
        found.append(finding)
        for line in finding_lines(finding):
            subject.world.say(line)
    return found


def _refuse_failures(found: list[Finding], on_screen: bool) -> None:
    """Raise CommandError; who sees the findings needs no more than their names."""
    failed = [finding for finding in found if finding.level is Level.FAIL]
    if failed and on_screen:
        names = ", ".join(finding.name for finding in failed)
        raise CommandError(f"nothing was changed: see what failed above ({names}), and mend it")
    if failed:
        raise CommandError(f"nothing was changed: {failures_text(failed)}")


def _check_only(subject: Subject, request: DeployRequest) -> int:
    found = _findings(subject)
    if not failures_text(found):
        found.append(_plan_finding(subject, request))
        for line in finding_lines(found[-1]):
            subject.world.say(line)
    failed = [finding.name for finding in found if finding.level is Level.FAIL]
    if request.as_json:
        print(json.dumps(findings_data(found)))
        return EXIT_FAILURE if failed else EXIT_OK
    if failed:
        raise CommandError(f"{len(failed)} of {len(found)} checks failed: {', '.join(failed)}")
    return EXIT_OK


def _plan_finding(subject: Subject, request: DeployRequest) -> Finding:
    """What --deploy would do."""
    try:
        _, chosen = _decide(subject, request.force, patience_s=0.0)
    except (CommandError, WorldError) as error:
        return replace(fail(str(error)), name="plan")
    if isinstance(chosen, Create):
        text = f"--deploy would create a cluster, with this host as {chosen.host_name}"
    elif isinstance(chosen, Deployed):
        text = deployed_text(chosen.settings)
    else:
        assert isinstance(chosen, Join)
        text = f"--deploy would join the cluster as {chosen.host_name} (id {chosen.candidates[0]})"
    return replace(ok(text), name="plan")


# --- the rest -------------------------------------------------------------------------------


def _decide(
    subject: Subject, force: bool, patience_s: float = OWN_JOIN_S
) -> tuple[deploy_steps.DeploySite, Plan]:
    """Where the steps are taken, and which; raises CommandError when none are."""
    world, answers, parts, lockspace = (
        subject.world,
        subject.answers,
        subject.parts,
        subject.lockspace,
    )
    found, host = look(world, lockspace, parts, subject.deployed, patience_s)
    engine = read_engine(answers, parts) if answers.creates else None
    chosen = plan(answers, found, host, engine, force)
    if isinstance(chosen, Refused):
        raise CommandError(chosen.why)
    local = local_settings(answers, parts)
    return deploy_steps.DeploySite(world, lockspace, found, host, local), chosen


def _preview(site: deploy_steps.DeploySite, chosen: Plan, answers_file: str) -> None:
    say = site.world.say
    say(f"{site.parts.lockspace.path} holds {site.survey.found or 'nothing yet'}")
    if isinstance(chosen, Deployed):
        say(f"[ ok ] {deployed_text(chosen.settings)}")
    say("What is done now:")
    for line in Preview(site.survey, site.world.settings_file, answers_file).lines(chosen):
        say(f"  - {line}")


def _carry_out(site: deploy_steps.DeploySite, chosen: Plan) -> None:
    say = site.world.say
    if isinstance(chosen, Deployed):
        deploy_steps.complete(site, chosen)
    elif isinstance(chosen, Create):
        deploy_steps.create(site, chosen)
        say(f"Done: the cluster is created, and this is host {chosen.host_name}.")
    else:
        assert isinstance(chosen, Join)
        deploy_steps.join(site, chosen)
        say(f"Done: host {chosen.host_name} is one of the cluster.")


def _typed_file(world: Environment) -> str:
    return str(Path(world.settings_file).with_name(TYPED_ANSWERS_NAME))


def _say_next(world: Environment, path: str) -> None:
    """The host is deployed by now: what fails here makes nothing undone."""
    host = read_host_settings(world.settings_file)
    assert host is not None
    try:
        write_next_answers(path, host)
    except CommandError as error:
        world.say(f"[warn] the answers for the next host: {error}")
        return
    world.say(f"On the next host, with {path} copied there:")
    world.say(f"  hosted-engine --deploy --config-append={Path(path).name}")
