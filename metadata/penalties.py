"""The names of what costs a host points. They stand in its record's text, in mails and metrics.

What each costs is in `fsm.score`, with the weights of the cluster's settings.
"""

from __future__ import annotations

from enum import Enum


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


def plugin_penalty(plugin: str) -> str:
    """The name of what the plug-in `plugin` costs."""
    return f"plugin-{plugin}"
