# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The states of the agent, each with one sentence for people.

The values are wire format: they stand in every host's record and in mails, metrics and histories.
No other file spells one, so that no part of the program can know a state that the table has not.
"""

from __future__ import annotations

from enum import Enum


class State(str, Enum):
    """Where the agent stands; what `SENTENCE` says of each in full.

    Beside a state with a time-out stands its setting of `timing`, with the usual seconds
    (`fsm.guards.time_out_s`); the others last until something is seen.
    """

    START_STATE = "StartState"
    REINITIALIZE_FSM = "ReinitializeFSM"
    ENGINE_DOWN = "EngineDown"
    ENGINE_START = "EngineStart"  # 2 x start_s (60); the start is given up after one
    ENGINE_STARTING = "EngineStarting"  # starting_s (600), longer after boots that were too slow
    ENGINE_UP = "EngineUp"
    ENGINE_UP_BAD_HEALTH = "EngineUpBadHealth"  # bad_health_s (300), then it is stopped
    ENGINE_STOP = "EngineStop"  # stop_s (300), then it is switched off
    ENGINE_FORCE_STOP = "EngineForceStop"
    ENGINE_MAYBE_AWAY = "EngineMaybeAway"  # away_s (40)
    ENGINE_UNEXPECTEDLY_DOWN = "EngineUnexpectedlyDown"  # unexpected_down_s (560), sooner if alone
    ENGINE_MIGRATING_AWAY = "EngineMigratingAway"  # limit_s (120) + 60
    LOCAL_MAINTENANCE = "LocalMaintenance"
    LOCAL_MAINTENANCE_MIGRATE_VM = "LocalMaintenanceMigrateVm"
    GLOBAL_MAINTENANCE = "GlobalMaintenance"
    UNKNOWN_LOCAL_VM_STATE = "UnknownLocalVmState"
    AGENT_STOPPED = "AgentStopped"


SENTENCE: dict[State, str] = {
    State.START_STATE: "The agent has just started and waits for the broker's first look.",
    State.REINITIALIZE_FSM: "The agent finds out anew where things stand.",
    State.ENGINE_DOWN: "The engine does not run on this host; it may be started here.",
    State.ENGINE_START: "libvirt is starting the engine on this host.",
    State.ENGINE_STARTING: "The engine's VM runs here and boots; it is not healthy yet.",
    State.ENGINE_UP: "The engine runs here and is healthy.",
    State.ENGINE_UP_BAD_HEALTH: "The engine's VM is here, but its health is not good.",
    State.ENGINE_STOP: "The engine's VM was asked to shut down.",
    State.ENGINE_FORCE_STOP: "The engine's VM did not shut down and is switched off.",
    State.ENGINE_MAYBE_AWAY: "The VM has left this host and may run on another one.",
    State.ENGINE_UNEXPECTEDLY_DOWN: "The VM went down unexpectedly; other hosts go first.",
    State.ENGINE_MIGRATING_AWAY: "The engine's VM moves to another host while it runs.",
    State.LOCAL_MAINTENANCE_MIGRATE_VM: (
        "This host is to be in maintenance; the engine moves to another host first."
    ),
    State.LOCAL_MAINTENANCE: "This host is in maintenance and starts nothing.",
    State.GLOBAL_MAINTENANCE: "The cluster is in maintenance; the engine is left alone.",
    State.UNKNOWN_LOCAL_VM_STATE: "libvirt does not answer: nothing is stopped or started.",
    State.AGENT_STOPPED: "The agent has stopped; the engine is left as it is.",
}
