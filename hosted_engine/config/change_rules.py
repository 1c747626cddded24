# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What may be changed in the shared configuration, and when. Pure; the reasons stand in ADR 19.

Hosts take a new version up at different moments, up to a minute apart, so for a while some run
with the old one and some with the new. Safety never hangs on that: the lease decides about a
start, and the one time of ours that safety hangs on goes by sanlock's own times, which are
fixed here. What is left are mixtures in which healthy hosts look dead or overtake each other.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Optional

from metadata.domain_xml import domain_name, lease_problems
from metadata.error_words import shown
from metadata.errors import DomainXmlError
from metadata.sanlock_usual import USUAL_FIRE_TIMEOUT_S
from metadata.settings.notifications import secret_files
from metadata.settings.parse import ClusterSettings, StorageParts, Timing, check_timing
from metadata.settings.timing import floor_problems
from metadata.shared_config import SharedConfig
from world.secret_file import lies_below

MAINTENANCE_FIRST = "set global maintenance first (hosted-engine --set-maintenance --mode=global)"

_DAY_S = 86400.0
# What one host holds against what another one does. The other times of ours are held against
# the same host's own only; here they get values that no rule minds.
_BETWEEN_HOSTS = ("tick_s", "alive_s", "start_s", "away_s", "unexpected_down_s", "turn_s")
_OWN = (
    *("starting_s", "bad_health_s", "stop_s", "retry_window_s", "isolated_s"),
    *("migration_s", "save_s"),
)


@dataclass(frozen=True)
class Situation:
    """What is so at the moment: None where it is not known.

    `engine_held_by` names the owner of the engine's lease; empty: nobody has it.
    """

    global_maintenance: Optional[bool] = None
    engine_held_by: Optional[str] = None
    fire_timeout_s: int = USUAL_FIRE_TIMEOUT_S


def is_renamed(before: SharedConfig, after: SharedConfig) -> bool:
    """Does the engine's domain get another name?"""
    return before.settings.engine.domain_name != after.settings.engine.domain_name


def refusals(
    before: SharedConfig, after: SharedConfig, parts: StorageParts, now: Situation
) -> list[str]:
    """Why `after` may not follow on `before`, in sentences that say what to do; empty: it may."""
    return [
        *fixed_problems(before.settings, after.settings.timing.io_timeout_s),
        *_xml_problems(after, parts),
        *_rename_problems(before, after, now),
        *_fire_problems(after.settings.timing, now),
        *_mixture_problems(before.settings.timing, after.settings.timing, now),
    ]


def secret_problems(before: ClusterSettings, after: ClusterSettings, below: str) -> list[str]:
    """Files with secrets that are newly named and that no host would read: see `world.secret_file`.

    `below` is the directory in which they must lie. What was there before keeps no other change.
    """
    known = secret_files(before.notifications).values()
    return [
        f"{key}: {shown(path)} is refused; allowed: a file below {below}"
        for key, path in secret_files(after.notifications).items()
        if path not in known and not lies_below(path, below)
    ]


def checks_page(before: ClusterSettings, after: ClusterSettings) -> bool:
    """Will the engine's health be seen in another way?"""
    return bool(after.engine.page_url) and _page(before) != _page(after)


def _page(settings: ClusterSettings) -> tuple[object, ...]:
    engine = settings.engine
    return engine.page_url, engine.health_text, engine.health_timeout_s, engine.health_ca_file


def fixed_problems(before: ClusterSettings, io_timeout_s: object) -> list[str]:
    """The agent of a host whose sanlock has died goes by it until others may have the lease."""
    old_s = before.timing.io_timeout_s
    if io_timeout_s == old_s:
        return []
    return [
        f"timing.io_timeout_s: {shown(io_timeout_s)} is refused, the cluster was made with "
        f"{old_s}: hosts are in the lockspace with it, and with another one in their settings a "
        "second engine could start; it changes only with a cluster made anew (--deploy --force "
        "with sanlock: {io_timeout_s: ...} in the answers)"
    ]


def _xml_problems(after: SharedConfig, parts: StorageParts) -> list[str]:
    problems = lease_problems(after.domain_xml, parts)
    if problems:
        return problems
    wanted = after.settings.engine.domain_name
    try:
        found = domain_name(after.domain_xml)
    except DomainXmlError as error:
        return [error.why]
    if found == wanted:
        return []
    return [
        f"engine.domain_name: {shown(wanted)} is refused, the domain XML's <name> is "
        f"{shown(found)}; both change together with --edit-vm-conf"
    ]


def _rename_problems(before: SharedConfig, after: SharedConfig, now: Situation) -> list[str]:
    """A host that knows the new name only would not see the VM that still has the old one."""
    if not is_renamed(before, after):
        return []
    what = "the engine's domain gets another name"
    problems = []
    if now.global_maintenance is not True:
        problems.append(f"{what}: {MAINTENANCE_FIRST}")
    if now.engine_held_by != "":
        owner = now.engine_held_by or "a host that can't be told"
        problems.append(
            f"{what}, and the engine's lease is held by {owner}: shut the engine down first "
            "(hosted-engine --vm-shutdown)"
        )
    return problems


def _fire_problems(after: Timing, now: Situation) -> list[str]:
    """With sanlock's usual watchdog time the settings were found good before."""
    problems = floor_problems(after, now.fire_timeout_s)
    return [
        f"sanlock's watchdog_fire_timeout is {now.fire_timeout_s} s on this host, and with that "
        f"{problem}"
        for problem in problems
    ]


def _mixture_problems(before: Timing, after: Timing, now: Situation) -> list[str]:
    """In global maintenance nobody acts, so no mixture matters there."""
    if now.global_maintenance is True:
        return []
    for mixed in _mixtures(before, after):
        problems = check_timing(mixed, fire_timeout_s=now.fire_timeout_s)
        if problems:
            return [
                "while some hosts have the new times and others still the old ones, they would "
                f"not fit together ({problems[0]}); {MAINTENANCE_FIRST}, or change them one by one"
            ]
    return []


def _mixtures(before: Timing, after: Timing) -> Iterator[Timing]:
    """Every mixture of the times that one host holds against another's."""
    unminded: dict[str, Any] = dict.fromkeys(_OWN, _DAY_S)
    pairs = [tuple({getattr(before, key), getattr(after, key)}) for key in _BETWEEN_HOSTS]
    for values in itertools.product(*pairs):
        yield replace(after, **unminded, **dict(zip(_BETWEEN_HOSTS, values)))
