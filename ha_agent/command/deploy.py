"""``hosted-engine --deploy``: make this host the first, or one more, of a cluster.

Look (nothing is changed) -> plan (`deploy_plan`, pure) -> carry out (`deploy_steps`).
"""

from __future__ import annotations

import argparse
from typing import Optional

from ha_agent.command import deploy_checks, deploy_steps
from ha_agent.command.deploy_answers import Answers, read_answers, storage_parts
from ha_agent.command.deploy_plan import (
    FIRST_HOST_ID,
    Create,
    Deployed,
    Join,
    NewEngine,
    Plan,
    Refused,
    ThisHost,
    plan,
)
from ha_agent.command.deploy_survey import Survey, survey
from ha_agent.command.deploy_world import DeployWorld, block_sector_size, real_world
from ha_agent.command.errors import EXIT_OK, CommandError, UsageError
from ha_agent.command.sanlock_disk import parse_record
from ha_broker.world.host_file import read_host_settings
from ha_broker.world.ports import LockspaceAdmin, Membership, WorldError
from metadata.domain_xml import lease_problems
from metadata.layout import LOCKSPACE_NAME, SECTOR_SIZES, SLOT_SIZE
from metadata.metrics_settings import MetricsSettings
from metadata.records import VolumeAddress
from metadata.settings import HostSettings, SettingsError, StorageParts

OWN_JOIN_S = 300.0
LOOK_EVERY_S = 0.5


def run_command(options: argparse.Namespace) -> int:
    """`run` with the options of the command line."""
    if options.config_append is None:
        raise UsageError("--deploy needs --config-append=FILE with the answers (YAML)")
    return run(options.config_append, options.force)


def run(answers_file: str, force: bool) -> int:
    """Deploy this host; raises CommandError."""
    return deploy(real_world(), read_answers(answers_file), force)


def deploy(world: DeployWorld, answers: Answers, force: bool) -> int:
    """Look, plan and carry out; raises CommandError."""
    try:
        _deploy(world, answers, force)
    except WorldError as error:
        raise CommandError(f"{error.what}: {error.why}") from error
    return EXIT_OK


def _deploy(world: DeployWorld, answers: Answers, force: bool) -> None:
    deployed = _deployed(world)
    parts = storage_parts(answers, _sector_size(world, answers))
    lockspace = world.lockspace(parts)
    engine = _check(world, answers, parts, lockspace)
    found, host = _look(world, lockspace, parts, deployed)
    world.say(f"[ ok ] {answers.path} holds {found.found or 'nothing yet'}")
    chosen = plan(answers, found, host, engine, force)
    uri = str(answers.host.get("libvirt_uri", deploy_checks.DEFAULT_LIBVIRT_URI))
    metrics = answers.host.get("metrics", MetricsSettings())
    _carry_out(deploy_steps.Site(world, lockspace, found, host, uri, metrics), chosen)


def _carry_out(site: deploy_steps.Site, chosen: Plan) -> None:
    say = site.world.say
    if isinstance(chosen, Refused):
        raise CommandError(chosen.why)
    if isinstance(chosen, Deployed):
        host = chosen.settings
        say(f"[ ok ] this host is deployed already, as {host.host_name} (id {host.host_id})")
        deploy_steps.complete(site, chosen)
    elif isinstance(chosen, Create):
        _warn_without_gateway(site, chosen.settings.network.gateway)
        deploy_steps.create(site, chosen)
        say(f"Done: the cluster is created, and this is host {chosen.host_name}.")
    else:
        _join(site, chosen)


def _join(site: deploy_steps.Site, chosen: Join) -> None:
    assert site.survey.config is not None
    problems = lease_problems(site.survey.config.domain_xml, site.parts)
    if problems:
        raise CommandError(
            f"the engine could not run on this host: {'; '.join(problems)} (the storage must have "
            "the same path on all hosts)"
        )
    _warn_without_gateway(site, chosen.gateway)
    deploy_steps.join(site, chosen)
    site.world.say(f"Done: host {chosen.host_name} is one of the cluster.")


def _warn_without_gateway(site: deploy_steps.Site, gateway: str) -> None:
    if gateway:
        site.world.say(f"[ ok ] gateway {gateway}")
    else:
        site.world.say(
            "[warn] no gateway: the answers name none (host.gateway) and this host has no default "
            "route, so the network will not be watched"
        )


# --- looking ----------------------------------------------------------------------------------


def _check(
    world: DeployWorld, answers: Answers, parts: StorageParts, lockspace: LockspaceAdmin
) -> Optional[NewEngine]:
    checks = deploy_checks.Checks(world.say)
    engines: list[NewEngine] = []

    def domain_xml() -> str:
        engines.append(deploy_checks.read_engine(answers, parts))
        return f"domain {engines[0].domain_name}, with its lease"

    checks.run("storage", lambda: deploy_checks.check_storage(world, parts, answers.creates))
    checks.run("sanlock", lambda: deploy_checks.check_sanlock(lockspace))
    checks.run("libvirt", lambda: deploy_checks.check_libvirt(world, answers))
    if answers.creates:
        checks.run("engine", domain_xml)
    checks.finish()
    return engines[0] if engines else None


def _deployed(world: DeployWorld) -> Optional[HostSettings]:
    try:
        return read_host_settings(world.settings_file)
    except SettingsError as error:
        raise CommandError(
            f"{'; '.join(error.problems)}; mend or remove the file, then deploy again"
        ) from error


def _sector_size(world: DeployWorld, answers: Answers) -> int:
    """What sanlock wrote there, else the device's own."""
    try:
        record = parse_record(world.store.read(VolumeAddress(answers.path, 0), SLOT_SIZE))
    except WorldError:
        record = None  # the storage check will say what is wrong
    ours = record is not None and record.lockspace == LOCKSPACE_NAME
    if record is not None and ours and record.sector_size in SECTOR_SIZES:
        return record.sector_size
    size = block_sector_size(answers.path)
    return size if size in SECTOR_SIZES else max(SECTOR_SIZES)


def _look(
    world: DeployWorld,
    lockspace: LockspaceAdmin,
    parts: StorageParts,
    deployed: Optional[HostSettings],
) -> tuple[Survey, ThisHost]:
    """The storage and this host's place in it, once no join of its own is under way.

    sanlock goes on with a join whose asker was killed, and then the storage still changes.
    """
    name = lockspace.daemon_host_name()
    end_s = world.clock.monotonic_s() + OWN_JOIN_S
    while True:
        found = survey(world.store, parts)
        joined_id, membership = _own_membership(lockspace, found, name, deployed)
        if membership is not Membership.JOINING:
            break
        if world.clock.monotonic_s() > end_s:
            raise CommandError(
                f"this host has been joining the lockspace as host id {joined_id} for more than "
                f"{OWN_JOIN_S:.0f} s; see 'sanlock client status' and run the same --deploy again"
            )
        world.sleep(LOOK_EVERY_S)
    return found, ThisHost(
        name=world.host_name,
        sanlock_name=name,
        joined_id=joined_id,
        gateway=world.gateway,
        deployed=deployed,
    )


def _own_membership(
    lockspace: LockspaceAdmin, found: Survey, name: str, deployed: Optional[HostSettings]
) -> tuple[Optional[int], Membership]:
    """The id with which this host's daemon is, or is about to be, in the lockspace.

    Asked for the ids under its own name, and, in case the storage was wiped under it, for the
    one that it most likely has.
    """
    likely = {host_id for host_id, owner in found.ids_in_use.items() if owner.resource == name}
    likely.add(deployed.host_id if deployed else FIRST_HOST_ID)
    for host_id in sorted(likely):
        membership = lockspace.membership(host_id)
        if membership is not Membership.OUT:
            return host_id, membership
    return None, Membership.OUT
