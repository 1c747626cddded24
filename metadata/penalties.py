# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a host's score is lessened by: as the agent decides by it, and as people are told it.

The names stand in its record's text, in mails and metrics. What each costs is in `fsm.score`, with
the weights of the cluster's settings.
"""

from __future__ import annotations

from enum import Enum
from typing import Optional

from metadata.value_class import value_class


class PenaltyName(str, Enum):
    """A penalty of this program's own."""

    NETWORK = "network"  # some of the latest probes failed
    CPU_LOAD = "cpu-load"  # others than the engine use the CPUs
    CONFIG = "config"  # the shared configuration that is held is not the newest
    BRIDGE = "bridge"  # the management bridge is down
    MEMORY = "memory"  # less is free than the engine needs
    FAILED_STARTS = "failed-starts"  # the engine could not be started here lately
    OUT_OF_REACH = "out-of-reach"  # given away, for nobody reached it here
    LOCAL_MAINTENANCE = "local-maintenance"
    UNEXPECTEDLY_DOWN = "unexpectedly-down"  # the engine went down here by itself
    AGENT_STOPPED = "agent-stopped"


@value_class(frozen=True)
class Penalty:
    """Points off the base score. `reason` is a sentence part for people.

    value, threshold   the number behind it and what it is held against, in `unit`
                       ("fraction", "bytes", "count"; empty: it is about no number)
    began_at_s         since when it has cost anything at all; None where nothing is told of that:
                       a decision does not go by it
    ends_at_s          when it is over, or less, by time alone (monotonic seconds; None: never)
    """

    name: str
    points: int
    reason: str
    value: Optional[float] = None
    threshold: Optional[float] = None
    unit: str = ""
    began_at_s: Optional[float] = None
    ends_at_s: Optional[float] = None


def plugin_penalty(plugin: str) -> str:
    """The name of what the plug-in `plugin` costs."""
    return f"plugin-{plugin}"
