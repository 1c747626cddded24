# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Findings -> plan: what ``--deploy`` will do, decided before anything is changed. Pure.

Which job it is, the storage decides:

=============== ============================== ==============================================
storage holds   answers with `engine`          answers without
=============== ============================== ==============================================
nothing         create                         refused: there is no cluster to join
half-made       create (after a look for life) refused
a cluster       refused, but for the very one  join
                that this host was creating
broken cluster  refused                        refused
something else  refused                        refused
=============== ============================== ==============================================

With ``--force`` and `engine` it is always create, after a look for life: while any host of a
lockspace renews its id nothing is formatted, forced or not, for a formatted lease is free and
a second engine could start beside the first. The volumes of oVirt's own tools are refused, forced
or not: its engine's lease lies elsewhere, so that nothing on them tells whether it runs.

A host that is deployed stays on its storage, forced or not: answers that name another place are
more often a slip of the pen than a move, and with host.yaml the host would forget its cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Union

from hosted_engine.cluster.storage_survey import AreaKind, Survey
from hosted_engine.deploy.answers import (
    Answers,
    created_settings,
    differing_keys,
    host_name,
    storage_parts,
)
from metadata.error_words import shown
from metadata.errors import ConfigTooLargeError
from metadata.host_notes import longest_fire_timeout_s
from metadata.layout import MAX_HOSTS, extents
from metadata.own_slot import rival
from metadata.records import HostRecord, VolumeAddress
from metadata.sanlock_usual import USUAL_FIRE_TIMEOUT_S
from metadata.settings.metrics import metrics_to_data
from metadata.settings.parse import (
    ClusterSettings,
    HostSettings,
    StorageParts,
    host_settings_to_data,
)
from metadata.settings.timing import lease_floor_s, renewal_shows_s
from metadata.shared_config import SharedConfig, encode_copy

FIRST_HOST_ID = 1
FIRST_SEQUENCE = 1
MAX_CANDIDATES = 64
"""Ids that are tried at most; each that is taken meanwhile costs one join."""


@dataclass(frozen=True)
class ThisHost:
    """What is known of this host.

    `sanlock_name` is the name of its sanlock daemon; `joined_id` the id with which that
    daemon is in the lockspace now; `gateway` the default route's; `fire_timeout_s` sanlock's
    watchdog_fire_timeout.
    """

    name: str
    sanlock_name: str
    joined_id: Optional[int] = None
    gateway: str = ""
    deployed: Optional[HostSettings] = None
    fire_timeout_s: int = USUAL_FIRE_TIMEOUT_S


@dataclass(frozen=True)
class NewEngine:
    """The domain that the answers name, read from its file."""

    domain_name: str
    domain_xml: str


@dataclass(frozen=True)
class LifeWatch:
    """Host ids that must not be renewed by anybody for `wait_s` seconds before we go on."""

    host_ids: tuple[int, ...]
    wait_s: float


@dataclass(frozen=True)
class Create:
    """Format the storage and become its first host. `lost` says what is lost by it."""

    host_id: int
    host_name: str
    settings: ClusterSettings
    domain_xml: str
    watch: LifeWatch
    lost: str = ""


@dataclass(frozen=True)
class Join:
    """Become a host of the cluster, with the first of `candidates` that can be had."""

    candidates: tuple[int, ...]
    host_name: str
    watch: LifeWatch
    bridge: str = ""
    gateway: str = ""


@dataclass(frozen=True)
class Deployed:
    """Nothing to do but to see that all is in place."""

    settings: HostSettings


@dataclass(frozen=True)
class Refused:
    """Why nothing is done, and what to do."""

    why: str


Plan = Union[Create, Join, Deployed, Refused]


def plan(
    answers: Answers,
    survey: Survey,
    host: ThisHost,
    engine: Optional[NewEngine] = None,
    force: bool = False,
) -> Plan:
    """Decide; raises CommandError for answers that make no settings."""
    elsewhere = elsewhere_text(answers, host.deployed)
    if elsewhere:
        return Refused(elsewhere)
    if engine is not None and survey.others:
        # Nothing seen there tells whether their engine runs, and their hosts would write over ours.
        return Refused(
            f"{answers.path} is in use: it holds {survey.found}: {survey.others}; no cluster is "
            "made on it, with --force neither: name a blank volume, or, once oVirt's agents and "
            "brokers are stopped for good on every host, zero this one (docs/from-ovirt.md)"
        )
    if engine is not None and force:
        return _create(answers, survey, host, engine)
    if host.deployed is not None and survey.kind is not AreaKind.BLANK:
        return _deployed(answers, survey, host, host.deployed, engine)
    if engine is not None:
        return _plan_first(answers, survey, host, engine)
    return _plan_next(answers, survey, host)


# --- the first host -------------------------------------------------------------------------


def _plan_first(answers: Answers, survey: Survey, host: ThisHost, engine: NewEngine) -> Plan:
    if survey.kind in (AreaKind.BLANK, AreaKind.HALF_MADE):
        return _create(answers, survey, host, engine)
    if survey.kind is AreaKind.CLUSTER and _is_own_creation(answers, survey, host, engine):
        return _join(answers, survey, host)
    is_cluster = survey.kind is AreaKind.CLUSTER
    join = "to join that cluster leave `engine` out of the answers, " if is_cluster else ""
    return Refused(
        f"{answers.path} is in use: it holds {survey.found}; {join}to destroy what is there and "
        "create a new cluster add --force"
    )


def _is_own_creation(answers: Answers, survey: Survey, host: ThisHost, engine: NewEngine) -> bool:
    """This very cluster, and its creation here was cut off after the storage was done."""
    name = host_name(answers, host.name)
    ours = not survey.slots or _former_id(survey, name) is not None
    return ours and not _unlike(answers, survey, engine)


def _create(answers: Answers, survey: Survey, host: ThisHost, engine: NewEngine) -> Plan:
    gateway = answers.host.get("gateway", host.gateway)
    settings = created_settings(answers, engine.domain_name, gateway)
    try:
        encode_copy(SharedConfig(FIRST_SEQUENCE, settings, engine.domain_xml))
    except ConfigTooLargeError as error:
        return Refused(f"{answers.domain_xml_file} is too large: {error}")
    return Create(
        host_id=answers.host.get("host_id", FIRST_HOST_ID),
        host_name=host_name(answers, host.name),
        settings=settings,
        domain_xml=engine.domain_xml,
        watch=_watch_everybody(survey, host),
        lost=survey.found,
    )


def _watch_everybody(survey: Survey, host: ThisHost) -> LifeWatch:
    """Two renewals of the slowest; a lease's owner is given sanlock's whole time to be dead."""
    others = {
        host_id: record
        for host_id, record in survey.ids_in_use.items()
        if host_id != host.joined_id
    }
    waits = [renewal_shows_s(record.io_timeout_s) for record in others.values()]
    owner = survey.lease_owner and others.get(survey.lease_owner.owner_id)
    if owner:
        records = [slot for slot in survey.slots.values() if isinstance(slot, HostRecord)]
        fire_timeout_s = longest_fire_timeout_s(records, host.fire_timeout_s)
        waits.append(round(lease_floor_s(owner.io_timeout_s, fire_timeout_s)))
    return LifeWatch(tuple(sorted(others)), max(waits, default=0))


# --- the next hosts -------------------------------------------------------------------------


def _plan_next(answers: Answers, survey: Survey, host: ThisHost) -> Plan:
    if survey.kind is AreaKind.CLUSTER:
        return _join(answers, survey, host)
    found = survey.found or "nothing"
    if survey.kind is AreaKind.BROKEN_CLUSTER:
        return Refused(f"{answers.path} can't be joined: it holds {found}")
    return Refused(
        f"{answers.path} holds {found}, so no cluster to join; deploy the first host with "
        "answers that have engine.domain_xml_file"
    )


def _join(answers: Answers, survey: Survey, host: ThisHost) -> Plan:
    assert survey.config is not None
    differing = differing_keys(answers, survey.config.settings)
    if differing:
        return Refused(
            "the answers differ from the cluster's settings, which a joining host can't change: "
            f"{'; '.join(differing)}; leave them out"
        )
    name = host_name(answers, host.name)
    candidates = _candidates(answers, survey, host, name)
    if isinstance(candidates, Refused):
        return candidates
    network = survey.config.settings.network
    return Join(
        candidates=candidates,
        host_name=name,
        watch=_watch_own(survey, host, candidates),
        bridge=answers.host.get("bridge", network.bridge),
        gateway=answers.host.get("gateway", network.gateway or host.gateway),
    )


def _candidates(
    answers: Answers, survey: Survey, host: ThisHost, name: str
) -> Union[tuple[int, ...], Refused]:
    former = _former_id(survey, name)
    wanted = answers.host.get("host_id")
    if wanted is not None:
        return _wanted(survey, host, name, former, wanted)
    if former is not None:
        return (former,)
    free = [host_id for host_id in range(1, MAX_HOSTS + 1) if _is_free(survey, host, host_id)]
    if not free:
        return Refused(f"all {MAX_HOSTS} host ids of the cluster are taken")
    if host.joined_id in free:
        return (host.joined_id,)
    return tuple(free[:MAX_CANDIDATES])


def _wanted(
    survey: Survey, host: ThisHost, name: str, former: Optional[int], wanted: int
) -> Union[tuple[int, ...], Refused]:
    if former not in (None, wanted):
        return Refused(
            f"host.host_id: {wanted} is refused: host {name} has the id {former} in this cluster; "
            "leave host_id out"
        )
    if former is None and not _is_free(survey, host, wanted):
        return Refused(
            f"host.host_id: {wanted} is refused: it belongs to {survey.describe_host(wanted)}; "
            "leave host_id out to take the next free one"
        )
    return (wanted,)


def _former_id(survey: Survey, name: str) -> Optional[int]:
    """The id whose slot carries this host's name."""
    for host_id, record in sorted(survey.slots.items()):
        if isinstance(record, HostRecord) and record.hostname == name:
            return host_id
    return None


def _is_free(survey: Survey, host: ThisHost, host_id: int) -> bool:
    """No record in its slot, and nobody else owns the id in the lockspace."""
    owner = survey.ids_in_use.get(host_id)
    return host_id not in survey.slots and (owner is None or owner.resource == host.sanlock_name)


def _watch_own(survey: Survey, host: ThisHost, candidates: tuple[int, ...]) -> LifeWatch:
    """sanlock gives an id to whoever comes with its owner's name, even while that one lives.

    So ids under our own sanlock name, and a former id, are looked at first: a second machine
    of the same name (a clone) must not take the id, and with it the lease, from the first.
    """
    suspects = {
        host_id: record
        for host_id, record in survey.ids_in_use.items()
        if host_id != host.joined_id
        and (record.resource == host.sanlock_name or candidates == (host_id,))
    }
    waits = [renewal_shows_s(record.io_timeout_s) for record in suspects.values()]
    return LifeWatch(tuple(sorted(suspects)), max(waits, default=0))


# --- a host that is deployed already ----------------------------------------------------------


def _deployed(
    answers: Answers,
    survey: Survey,
    host: ThisHost,
    deployed: HostSettings,
    engine: Optional[NewEngine],
) -> Plan:
    unlike = _differing_places(survey.parts, deployed.storage) + _unlike_host(answers, deployed)
    if survey.kind is AreaKind.CLUSTER:
        unlike += _unlike(answers, survey, engine)
    if unlike:
        differing = "; ".join(unlike)
        return Refused(f"{deployed_text(deployed)}, and the answers differ: {differing}")
    if survey.kind is not AreaKind.CLUSTER:
        return Refused(f"{deployed_text(deployed)}, but that holds {survey.found}")
    found = survey.slots.get(deployed.host_id)
    record = found if isinstance(found, HostRecord) and found.hostname else None
    other = rival(record, deployed.host_name, host.joined_id == deployed.host_id)
    if other is not None and other.stopped:
        return Refused(
            f"this host is deployed as {deployed.host_name} with id {deployed.host_id}, whose "
            f"record is that of {other.hostname}, which has stopped: where that is this host's "
            "former name, 'systemctl start ha-broker ha-agent' replaces it; else remove this "
            "host's host.yaml and deploy again to take another id"
        )
    if other is not None:
        return Refused(
            f"this host is deployed as id {deployed.host_id}, which belongs to {other.hostname} "
            "now; remove this host's host.yaml and deploy again to take another id"
        )
    return Deployed(deployed)


def elsewhere_text(answers: Answers, deployed: Optional[HostSettings]) -> str:
    """Why a deployed host is not deployed on the answers' storage; empty: it is the same place."""
    if deployed is None:
        return ""
    # Where the answers don't say it, the device does, which need not be there to be asked.
    parts = storage_parts(answers, deployed.storage.sector_size)
    differing = _differing_places(parts, deployed.storage)
    if not differing:
        return ""
    return (
        f"{deployed_text(deployed)}, and the answers name another storage: {'; '.join(differing)}; "
        "correct the answers, or take this host out of its cluster first: hosted-engine-cleanup"
    )


def deployed_text(deployed: HostSettings) -> str:
    """``this host is deployed already, as h2 (id 2) on /srv/a``."""
    name, path = deployed.host_name, deployed.storage.lockspace.path
    return f"this host is deployed already, as {name} (id {deployed.host_id}) on {path}"


def _differing_places(given: StorageParts, own: StorageParts) -> list[str]:
    """By the answers' keys; the path alone where that is another one."""
    if given.lockspace.path != own.lockspace.path:
        return [_differing("storage.path", given.lockspace.path, own.lockspace.path)]
    if given.sector_size != own.sector_size:
        return [_differing("storage.sector_size", given.sector_size, own.sector_size)]
    return [
        f"storage.{one.name}: {_place_text(one.address)} (host.yaml has {_place_text(two.address)})"
        for one, two in zip(extents(given), extents(own))
        if one.address != two.address
    ]


def _place_text(place: VolumeAddress) -> str:
    return f"{place.path}:{place.offset}"


def _differing(key: str, given: object, own: object) -> str:
    return f"{key}: {shown(given)} (host.yaml has {shown(own)})"


def _unlike_host(answers: Answers, deployed: HostSettings) -> list[str]:
    given, own = dict(answers.host), host_settings_to_data(deployed)
    metrics = metrics_to_data(given.pop("metrics", deployed.metrics))
    pairs = [(f"host.{key}", value, own[key]) for key, value in given.items()]
    pairs += [(f"host.metrics.{key}", metrics[key], own["metrics"][key]) for key in metrics]
    return [_differing(key, value, has) for key, value, has in pairs if value != has]


def _unlike(answers: Answers, survey: Survey, engine: Optional[NewEngine]) -> list[str]:
    """In what the cluster on the storage is not the one that the answers describe."""
    assert survey.config is not None
    unlike = differing_keys(answers, survey.config.settings)
    if engine is not None and engine.domain_xml != survey.config.domain_xml:
        unlike.append("engine.domain_xml_file (the cluster has another domain XML)")
    return unlike
