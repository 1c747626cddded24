"""Which colour means what. Pure."""

from __future__ import annotations

from hosted_engine.history.timeline import DEAD, FREE

INK, PALE_INK, GRID, GAP = "#1f2933", "#5d6875", "#e3e7ec", "#98a2ad"
LIGHT, DARK = "#ffffff", INK

STATES = {
    "StartState": "#eef1f5",
    "ReinitializeFSM": "#eef1f5",
    "EngineDown": "#d5dbe3",
    "EngineStart": "#3d85c6",
    "EngineStarting": "#8fc3ee",
    "EngineUp": "#2f9e52",
    "EngineUpBadHealth": "#ee8f2d",
    "EngineStop": "#a78bd6",
    "EngineForceStop": "#7451b5",
    "EngineMaybeAway": "#7fd0c9",
    "EngineMigratingAway": "#2f8f88",
    "EngineUnexpectedlyDown": "#cf3f3f",
    "LocalMaintenance": "#ecd25e",
    "LocalMaintenanceMigrateVm": "#d3ab25",
    "GlobalMaintenance": "#c4ab72",
    "UnknownLocalVmState": "#eaa6c8",
    "AgentStopped": "#7c8694",
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
