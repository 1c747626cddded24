# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What should be true before ``--deploy`` changes anything; what is not says how to mend it.

All is looked at, beside each other and each with a deadline, so that one run tells everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from hosted_engine.deploy import checks_storage as storage
from hosted_engine.deploy.answers import Answers
from hosted_engine.deploy.check_input import Subject
from hosted_engine.deploy.checks_engine import (
    check_bridge,
    check_domain,
    check_engine,
    check_memory,
    check_network,
    check_page,
)
from hosted_engine.deploy.checks_migration import check_migration
from hosted_engine.deploy.findings import Check, Finding, fail, ok, run_checks, warn
from hosted_engine.deploy.plan import deployed_text, elsewhere_text
from hosted_engine.host.deadline import LIBVIRT_DEADLINE_S, look_at_domain
from hosted_engine.host.environment import Environment
from hosted_engine.host.libvirt_unit import MODULAR, MONOLITHIC
from metadata.error_words import shown
from metadata.host_notes import fire_timeout_in
from metadata.own_slot import rival
from metadata.records import HostRecord
from metadata.settings.parse import EngineSettings, HostSettings
from metadata.settings.timing import SHORTEST_FIRE_TIMEOUT_S, floor_problems, lease_floor_s
from world.host.accounts import group_id, is_member, user_id
from world.ports.errors import WorldError
from world.ports.libvirt import DomainState
from world.service_user import GROUPS, USER
from world.vm.libvirt_login import NAME_A_FILE, auth_file, without_auth_file

DEADLINE_S = LIBVIRT_DEADLINE_S + 5.0

# sanlock's own choice where nobody set a name: a random UUID before the machine's name.
_RANDOM_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\..*)?", re.IGNORECASE)
_COMMON_NAME = re.compile(r"localhost(\..*)?|\(none\)", re.IGNORECASE)
_SET_FIRE_TIMEOUT = (
    "set watchdog_fire_timeout in /etc/sanlock/sanlock.conf alike on all hosts (sanlock 3.9 or "
    "later), and restart wdmd and sanlock while no engine runs there"
)
_SET_NAME = (
    "set our_host_name = NAME in /etc/sanlock/sanlock.conf (Debian brings neither file nor folder: "
    "make them): systemctl restart sanlock"
)
# The first step of Debian 12's unit is written for another value, and fails.
_WDMD_ENABLED = "Debian 12: leave enabled=0 in /etc/default/wdmd, with 1 its wdmd.service fails"


def findings(subject: Subject) -> Iterator[Finding]:
    """All of them, in an order in which people mend."""
    if subject.deployed is not None:
        yield replace(check_deployed(subject.answers, subject.deployed), name="deployed")
    yield replace(subject.look.volumes, name="storage")
    yield from run_checks(list(_checks(subject)), DEADLINE_S)


def _checks(subject: Subject) -> Iterator[Check]:
    world, parts, found = subject.world, subject.parts, subject.look.survey
    if found is not None:
        io_timeout_s = subject.cluster.timing.io_timeout_s
        yield Check("storage access", lambda: storage.check_access(world, parts))
        yield Check("storage speed", lambda: storage.check_speed(world, parts, found, io_timeout_s))
    yield Check("service user", lambda: check_service_user(world))
    yield Check("sanlock", lambda: check_sanlock(subject))
    yield Check("other lockspace", lambda: check_other_lockspace(subject))
    yield Check("other agents", lambda: check_ovirt_services(world))
    yield Check("watchdog", lambda: check_watchdog(world))
    yield Check("watchdog time", lambda: check_watchdog_time(subject))
    yield Check("sleep", lambda: check_sleep(world))
    yield Check("libvirt", lambda: check_libvirt(world, subject.libvirt_uri))
    password = auth_file(subject.libvirt_uri)
    if password is not None:
        yield Check("libvirt password", lambda: check_libvirt_password(world, password))
    if without_auth_file(subject.libvirt_uri) == HostSettings.libvirt_uri:
        yield Check("lock manager", lambda: check_lock_manager(world))
        yield Check("migration", lambda: check_migration(subject))
    if subject.answers.creates or subject.joins:
        yield Check("engine", lambda: check_engine(subject))
        yield Check("domain XML", lambda: check_domain(subject))
        yield Check("memory", lambda: check_memory(subject))
        yield Check("health page", lambda: check_page(subject))
    yield Check("bridge", lambda: check_bridge(world, subject.bridge))
    yield Check("network", lambda: check_network(subject))
    group = subject.own("socket_group", "")
    if group:
        yield Check("socket group", lambda: check_socket_group(group))
    users = subject.command_users
    if users:
        yield Check("command users", lambda: check_command_users(users, group))


def check_deployed(answers: Answers, deployed: HostSettings) -> Finding:
    """A deployed host's answers name the storage that it is on."""
    why = elsewhere_text(answers, deployed)
    return fail(why) if why else ok(deployed_text(deployed))


def check_service_user(world: Environment) -> Finding:
    """The user of the daemons is there, in the groups that let it ask sanlock and libvirt."""
    lacks = world.probes.service_user_lacks()
    if lacks is None:
        mend = "the package makes it; by hand: systemd-sysusers hosted-engine-ha.conf"
        return warn(f"there is no user {USER}, whom the units of ha-broker and ha-agent name", mend)
    if lacks:
        return fail(
            f"user {USER} of ha-broker and ha-agent is not in group {' and '.join(lacks)}",
            f"usermod -aG {','.join(lacks)} {USER}",
        )
    return ok(f"{USER}, in groups {' and '.join(GROUPS)}")


def check_socket_group(name: str) -> Finding:
    """The group whose members may ask the broker is there; it may come later."""
    if group_id(name) is not None:
        return ok(f"members of {name} may ask the broker, and change nothing")
    return warn(
        f"socket_group: {shown(name)}: this host has no such group, so root alone may "
        "ask the broker",
        f"getent group {name}; the broker looks again every minute once it is there",
    )


def check_command_users(names: Sequence[str], group: str) -> Finding:
    """The users that may command the broker are there, and can connect to it."""
    found = [_check_command_user(name, group) for name in names]
    problems = [(problem, mend) for problem, mend in found if problem]
    if not problems:
        return ok(f"{', '.join(names)} may command the broker: maintenance and test notifications")
    return warn(
        f"command_users: {'; '.join(problem for problem, _ in problems)}",
        *dict.fromkeys(mend for _, mend in problems),
    )


def _check_command_user(name: str, group: str) -> tuple[str, str]:
    """What keeps that user from commanding and how to mend it; both empty: nothing does."""
    uid = user_id(name)
    if uid is None:
        mend = f"getent passwd {name}; the broker looks again every minute once it is there"
        return f"{shown(name)}: this host has no such user", mend
    if uid == 0:
        return "", ""
    gid = group_id(group) if group else None
    if gid is None:
        lacks = f"this host has no group {shown(group)}" if group else "socket_group names no group"
        mend = "name a group of theirs in socket_group (host.socket_group in the answers)"
        return f"{shown(name)} can't connect to the broker: {lacks}", mend
    if is_member(name, gid):
        return "", ""
    mend = f"usermod -aG {group} {name}, and restart what runs as {name}"
    return (
        f"{shown(name)} can't connect to the broker: not in group {shown(group)} (socket_group)",
        mend,
    )


# --- sanlock --------------------------------------------------------------------------------


def check_sanlock(subject: Subject) -> Finding:
    """The daemon runs and has a name that stays and that no other host has."""
    try:
        name = subject.lockspace.daemon_host_name()
    except WorldError as error:
        return fail(str(error), "systemctl enable --now sanlock")
    if _RANDOM_NAME.fullmatch(name):
        return fail(
            f"sanlock's host name is a random one ({name}), with which this host would wait "
            "minutes after each restart",
            _SET_NAME,
        )
    other = _other_host_named(subject, name)
    if _COMMON_NAME.fullmatch(name) or other:
        whose = f", which is that of {other} too" if other else ""
        return fail(f"sanlock's host name {name}{whose} is not this host's own", _SET_NAME)
    return ok(f"its name of this host is {name}")


def _other_host_named(subject: Subject, name: str) -> str:
    """A host of the cluster that has our sanlock name and is surely not this one."""
    found = subject.look.survey
    if found is None:
        return ""
    deployed = subject.deployed
    own = subject.own("host_name", "")
    for host_id, owner in sorted(found.ids_in_use.items()):
        record = found.slots.get(host_id)
        if owner.resource != name or not isinstance(record, HostRecord) or not record.hostname:
            continue
        is_own_id = deployed is not None and deployed.host_id == host_id
        if rival(record, own or subject.world.host_name, is_own_id) is not None:
            return found.describe_host(host_id)
    return ""


def check_other_lockspace(subject: Subject) -> Finding:
    """sanlock lets this host into one lockspace of our name only, and oVirt's has it, too."""
    other = subject.lockspace.joined_elsewhere()
    if not other:
        return ok("this host is in no other lockspace of that name")
    return fail(
        f"this host is in another lockspace of that name, {other}: sanlock lets it into one only",
        "stop what has joined it on this host (oVirt's ovirt-ha-agent and ovirt-ha-broker), with "
        "its engine",
        f"then, if sanlock client status still shows it: sanlock client rem_lockspace -s {other}",
    )


def check_ovirt_services(world: Environment) -> Finding:
    """Two programs that start the same engine make two of it: their leases are not the same."""
    found = world.units.of_ovirt()
    if not found:
        return ok("neither ovirt-ha-agent nor ovirt-ha-broker runs here or starts at boot")
    return fail(
        f"{' and '.join(found)} of oVirt {'run' if len(found) > 1 else 'runs'} here or "
        f"{'start' if len(found) > 1 else 'starts'} at boot; its lease is another one, so both "
        "programs could start the engine",
        f"on every host: systemctl disable --now {' '.join(found)} (docs/from-ovirt.md)",
    )


def check_watchdog(world: Environment) -> Finding:
    """sanlock's way to reset a host that it can't help otherwise."""
    if world.probes.sanlock_settings().get("use_watchdog") != "1":
        return warn(
            "sanlock runs without one: when sanlock itself dies here, nothing resets this host, "
            "and only the agent switches the engine off before another host starts it",
            "hardware without a watchdog: echo softdog > /etc/modules-load.d/softdog.conf && "
            "modprobe softdog",
            "Debian: take -w 0 out of /etc/default/sanlock, where Debian 12 has it from the start",
            _WDMD_ENABLED,
            "where there is one: take use_watchdog = 0 out of /etc/sanlock/sanlock.conf",
            "then, while no engine runs here: systemctl enable --now wdmd; "
            "systemctl restart sanlock",
        )
    if not world.probes.watchdog_runs():
        return fail(
            "sanlock is to use the watchdog, but wdmd does not run: it could join nothing",
            "systemctl enable --now wdmd",
            "hardware without a watchdog, before that: modprobe softdog",
            _WDMD_ENABLED,
        )
    return ok("sanlock uses it through wdmd")


def check_watchdog_time(subject: Subject) -> Finding:
    """sanlock's watchdog_fire_timeout: the device can do it, the cluster's times allow it, and
    the other hosts have the same."""
    seconds = subject.lockspace.fire_timeout_s()
    told = f"sanlock's watchdog_fire_timeout is {seconds} s"
    if seconds < SHORTEST_FIRE_TIMEOUT_S:
        why = f"{told}, and wdmd looks only every {SHORTEST_FIRE_TIMEOUT_S} s"
        return fail(why, f"set {SHORTEST_FIRE_TIMEOUT_S} or more; {_SET_FIRE_TIMEOUT}")
    device = subject.world.probes.watchdog_limits()
    if device is not None and not device.allows(seconds):
        why = f"{told}, which the watchdog's device can't be set to ({device.text()})"
        return fail(why, _SET_FIRE_TIMEOUT, "or use another watchdog (wdmd -w PATH)")
    problems = floor_problems(subject.cluster.timing, seconds)
    if problems:
        return fail(f"{told}; with that {problems[0]}", _SET_FIRE_TIMEOUT, "or change the timing")
    other = _other_fire_timeout(subject, seconds)
    if other:
        return fail(f"{told}, and {other}: all hosts must have the same", _SET_FIRE_TIMEOUT)
    floor_s = lease_floor_s(subject.cluster.timing.io_timeout_s, seconds)
    return ok(f"{told}: the lease of a dead host is free after {floor_s:g} s")


def _other_fire_timeout(subject: Subject, seconds: int) -> str:
    """A host of the cluster whose record says another time; stopped and dead hosts don't count:
    nobody can mend theirs."""
    found = subject.look.survey
    own_id = subject.deployed.host_id if subject.deployed else None
    slots = found.slots if found and subject.joins else {}
    for host_id, record in slots.items():
        if not isinstance(record, HostRecord) or record.stopped or host_id == own_id:
            continue
        other_s = fire_timeout_in(record)
        if other_s is not None and other_s != seconds:
            return f"{other_s} s on {record.hostname}"
    return ""


def check_sleep(world: Environment) -> Finding:
    """Nothing puts this host to sleep: its engine would run on beside another one for a moment."""
    found = world.probes.sleep_targets()
    if not found:
        return ok("systemd can't put this host to sleep")
    return warn(
        "this host can be put to sleep; after a sleep longer than the engine's lease lasts its "
        f"engine runs beside the next one until it is noticed: {', '.join(found)}",
        f"systemctl mask {' '.join(found)}",
    )


# --- libvirt --------------------------------------------------------------------------------


def check_libvirt(world: Environment, uri: str) -> Finding:
    """libvirt answers, and knows its domains."""
    try:
        domain = look_at_domain(world.hypervisor(uri, EngineSettings.domain_name))
    except WorldError as error:
        told = f"{uri} does not answer: {error.why}"
        if NAME_A_FILE in error.why:
            return fail(told)
        return fail(told, *_start_libvirt(world.probes.libvirt_unit()))
    if domain.state is DomainState.UNKNOWN:
        unit = world.probes.libvirt_unit()
        mend = f"systemctl restart {unit}" if unit else "restart libvirt"
        return fail(f"{uri} does not know its domains", mend)
    return ok(f"{uri} answers")


def check_libvirt_password(world: Environment, path: str) -> Finding:
    """The daemons, which are not root, may read the file with libvirt's name and password."""
    why = world.probes.service_can_not_read(path)
    if why:
        return fail(
            f"user {USER} of ha-broker and ha-agent can't read {path}: {why}",
            f"chgrp {USER} {path} && chmod 640 {path}",
        )
    return ok(f"user {USER} may read {path}")


def _start_libvirt(unit: str) -> tuple[str, ...]:
    """Where neither of its services is installed it depends on what will be."""
    start = {
        MONOLITHIC: f"systemctl enable --now {MONOLITHIC}",
        MODULAR: f"systemctl enable --now {MODULAR}.socket",
    }
    return (start[unit],) if unit else (f"Debian: {start[MONOLITHIC]}", f"EL: {start[MODULAR]}")


def check_lock_manager(world: Environment) -> Finding:
    """libvirt takes leases through sanlock, and lets VMs without leases run."""
    unit = world.probes.libvirt_unit()
    both = f"Debian: systemctl restart {MONOLITHIC}, EL: systemctl restart {MODULAR}"
    restart = f"then {f'systemctl restart {unit}' if unit else both}"
    if not world.uses_sanlock():
        return fail(
            "libvirt's lock manager is not sanlock",
            "Debian: apt-get install libvirt-sanlock",
            "EL: dnf install libvirt-lock-sanlock",
            'set lock_manager = "sanlock" in /etc/libvirt/qemu.conf, and auto_disk_leases = 0 '
            f"and require_lease_for_disks = 0 in /etc/libvirt/qemu-sanlock.conf; {restart}",
        )
    return _judge_leases(world.probes.lock_manager_settings() or {}, restart)


def _judge_leases(settings: Mapping[str, str], restart: str) -> Finding:
    """The plug-in's own defaults are: no automatic leases, none starts without a lease."""
    where = "/etc/libvirt/qemu-sanlock.conf"
    if settings.get("auto_disk_leases", "0") != "0":
        return warn(
            "libvirt takes leases for disks by itself (auto_disk_leases), with host ids of its own",
            f"set auto_disk_leases = 0 in {where}; {restart}",
        )
    if settings.get("require_lease_for_disks", "1") != "0":
        return warn(
            "sanlock, but other VMs with disks and without leases can't start here",
            f"set require_lease_for_disks = 0 in {where}; {restart}",
        )
    return ok("sanlock, for VMs that have leases")
