"""The two services of this host, through systemctl."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from hosted_engine.errors import CommandError
from hosted_engine.host.tools import Done, run_tool, shown

BROKER = "ha-broker.service"
AGENT = "ha-agent.service"
# The agent asks the broker: it is stopped first and started last.
IN_STARTING_ORDER = (BROKER, AGENT)
# A unit's own TimeoutStopSec is 30 s.
_DEADLINE_S = 120.0


class Units(Protocol):
    """The service manager, as far as commands need it."""

    def available(self) -> bool:
        """Does a service manager run here?"""

    def active(self) -> tuple[str, ...]:
        """Those of our services that run or are about to, in starting order."""

    def start(self, units: tuple[str, ...]) -> None:
        """Start them; raises CommandError."""

    def stop(self, units: tuple[str, ...]) -> None:
        """Stop them in the reverse order; raises CommandError."""

    def disable(self) -> None:
        """Start neither at the next boot; raises CommandError."""

    def enable(self) -> None:
        """Start both, now and at every boot; raises CommandError."""


class SystemdUnits:
    """systemd."""

    def available(self) -> bool:
        """As sd_booted(3) decides it."""
        return Path("/run/systemd/system").is_dir()

    def active(self) -> tuple[str, ...]:
        """None where there is no systemd."""
        return tuple(unit for unit in IN_STARTING_ORDER if self._is_active(unit))

    def start(self, units: tuple[str, ...]) -> None:
        """All at once: systemd orders them."""
        _systemctl("start", *units)

    def stop(self, units: tuple[str, ...]) -> None:
        """One after the other: the agent's last record goes through the broker."""
        for unit in reversed(units):
            _systemctl("stop", unit)

    def disable(self) -> None:
        """Units that are disabled already, or not even there, are fine."""
        enabled = [unit for unit in IN_STARTING_ORDER if self._is_enabled(unit)]
        if enabled:
            _systemctl("disable", *enabled)

    def enable(self) -> None:
        """All at once: systemd orders them."""
        _systemctl("enable", "--now", *IN_STARTING_ORDER)

    def _is_enabled(self, unit: str) -> bool:
        return self.available() and _run("is-enabled", unit).output.strip().startswith("enabled")

    def _is_active(self, unit: str) -> bool:
        """Also one that systemd is starting, stopping or about to start anew."""
        if not self.available():
            return False
        state = _run("is-active", unit).output.strip()
        return state in ("active", "activating", "deactivating", "reloading")


def _systemctl(*arguments: str) -> None:
    done = _run(*arguments)
    if done.code != 0:
        raise CommandError(f"{shown(('systemctl', *arguments))}: {done.words}")


def _run(*arguments: str) -> Done:
    return run_tool(("systemctl", *arguments), _DEADLINE_S)
