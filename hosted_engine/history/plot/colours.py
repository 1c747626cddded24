# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which colour means what. Pure."""

from __future__ import annotations

from hosted_engine.history.timeline import DEAD, FREE
from metadata.states import State

INK, PALE_INK, GRID, GAP = "#1f2933", "#5d6875", "#e3e7ec", "#98a2ad"
LIGHT, DARK = "#ffffff", INK

STATES = {
    State.START_STATE.value: "#eef1f5",
    State.REINITIALIZE_FSM.value: "#eef1f5",
    State.ENGINE_DOWN.value: "#d5dbe3",
    State.ENGINE_START.value: "#3d85c6",
    State.ENGINE_STARTING.value: "#8fc3ee",
    State.ENGINE_UP.value: "#2f9e52",
    State.ENGINE_UP_BAD_HEALTH.value: "#ee8f2d",
    State.ENGINE_STOP.value: "#a78bd6",
    State.ENGINE_FORCE_STOP.value: "#7451b5",
    State.ENGINE_MAYBE_AWAY.value: "#7fd0c9",
    State.ENGINE_UNEXPECTEDLY_DOWN.value: "#cf3f3f",
    State.ENGINE_MIGRATING_AWAY.value: "#27a4a0",
    State.LOCAL_MAINTENANCE_MIGRATE_VM.value: "#b9cf6a",
    State.LOCAL_MAINTENANCE.value: "#ecd25e",
    State.GLOBAL_MAINTENANCE.value: "#c4ab72",
    State.UNKNOWN_LOCAL_VM_STATE.value: "#eaa6c8",
    State.AGENT_STOPPED.value: "#7c8694",
    DEAD: "#252a31",
}
_UNKNOWN_STATE = "#c5c4f2"

ENGINE = {
    "healthy": "#2f9e52",
    "not healthy": "#ee8f2d",
    "up": "#8fc3ee",
    "not known": "#eaa6c8",
}
MAINTENANCE = "#ecd25e"
_OWNERS = ("#5b8def", "#e07a5f", "#57a773", "#b07cc6", "#d9a441", "#4fb3bf", "#c75b7a", "#8d8d55")
_NO_OWNER = "#eef1f5"


def state_colour(state: str) -> str:
    """Of a state's band; states of a newer program have one colour."""
    return STATES.get(state, _UNKNOWN_STATE)


def owner_colour(name: str, names: tuple[str, ...]) -> str:
    """Of the lease while `name`, one of `names`, holds it."""
    if name == FREE or name not in names:
        return _NO_OWNER
    return _OWNERS[names.index(name) % len(_OWNERS)]


def ink_on(colour: str) -> str:
    """Black or white, whichever can be read better on `colour`."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return LIGHT if 0.299 * red + 0.587 * green + 0.114 * blue < 140 else DARK
