# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What people want to be told. Pure."""

from __future__ import annotations

import re

from ha_broker.api.event import EventKind
from ha_broker.events.transitions import StateChange
from metadata.settings.notifications import ALL, TRANSITION_RULE

_MAINTENANCE = (EventKind.MAINTENANCE_ON, EventKind.MAINTENANCE_OFF)


def wants_event(rules: tuple[str, ...], kind: EventKind) -> bool:
    """Is an event of this kind told?"""
    name = "maintenance" if kind in _MAINTENANCE else kind.value
    return ALL in rules or name in rules


def wants_change(rules: tuple[str, ...], change: StateChange) -> bool:
    """Is this change of the agent's state told?

    A rule's pattern is searched anywhere in "OldState-NewState", whatever the case.
    """
    patterns = (rule[len(TRANSITION_RULE) :] for rule in rules if rule.startswith(TRANSITION_RULE))
    return any(re.search(pattern, change.name, re.IGNORECASE) for pattern in patterns)
