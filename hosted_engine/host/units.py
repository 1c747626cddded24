# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The services of this host, through systemctl."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from hosted_engine.errors import CommandError
from hosted_engine.host.tools import Done, run_tool, shown
from metadata.error_words import reason
from world.durable import replace_file

BROKER = "ha-broker.service"
AGENT = "ha-agent.service"
# The agent asks the broker: it is stopped first and started last.
IN_STARTING_ORDER = (BROKER, AGENT)
# Connects the storage at boot, where host.yaml says how.
STORAGE = "hosted-engine-storage.service"
# oVirt's own daemons, and those of ours that have their names as aliases.
_OVIRT = {"ovirt-ha-broker.service": BROKER, "ovirt-ha-agent.service": AGENT}
WRITABLE = ("/srv", "/mnt", "/media", "/rhev", "/dev")
"""Below these the broker's unit lets it write; a test compares them with its ReadWritePaths."""

_DROP_IN = Path("ha-broker.service.d/hosted-engine-storage.conf")
_DROP_IN_HEAD = "# Written by hosted-engine --deploy: the shared storage lies there.\n[Service]\n"
# A unit's own TimeoutStopSec is 30 s.
_DEADLINE_S = 120.0


class Units(Protocol):
    """The service manager, as far as commands need it."""

    def available(self) -> bool:
        """Does a service manager run here?"""

    def active(self) -> tuple[str, ...]:
        """Those of our services that run or are about to, in starting order."""

    def of_ovirt(self) -> tuple[str, ...]:
        """oVirt's own daemons that run here or will at the next boot."""

    def start(self, units: tuple[str, ...]) -> None:
        """Start them; raises CommandError."""

    def stop(self, units: tuple[str, ...]) -> None:
        """Stop them in the reverse order; raises CommandError."""

    def disable(self) -> None:
        """Start neither at the next boot; raises CommandError."""

    def enable(self) -> None:
        """Start both, now and at every boot; raises CommandError."""

    def connect_at_boot(self, wanted: bool) -> None:
        """Have the storage connected at each boot, or not; raises CommandError."""

    def let_write(self, volumes: Iterable[str]) -> bool:
        """Let the broker's unit write to these files from its next start on, and to no others
        beside `WRITABLE`; False: so it was already. Raises CommandError."""


class SystemdUnits:
    """systemd; `folder` has the administrator's units and drop-ins."""

    def __init__(self, folder: Path = Path("/etc/systemd/system")) -> None:
        self._folder = folder

    def available(self) -> bool:
        """As sd_booted(3) decides it."""
        return Path("/run/systemd/system").is_dir()

    def active(self) -> tuple[str, ...]:
        """None where there is no systemd."""
        return tuple(unit for unit in IN_STARTING_ORDER if self._is_active(unit))

    def of_ovirt(self) -> tuple[str, ...]:
        """Ours have their names, too, once they are enabled (``Alias=``)."""
        return tuple(
            name
            for name, own in _OVIRT.items()
            if not self._is_the_same(name, own)
            and (self._is_active(name) or self._is_enabled(name))
        )

    def start(self, units: tuple[str, ...]) -> None:
        """All at once: systemd orders them."""
        _systemctl("start", *units)

    def stop(self, units: tuple[str, ...]) -> None:
        """One after the other: the agent's last record goes through the broker."""
        for unit in reversed(units):
            _systemctl("stop", unit)

    def disable(self) -> None:
        """Units that are disabled already, or not even there, are fine."""
        enabled = [unit for unit in (*IN_STARTING_ORDER, STORAGE) if self._is_enabled(unit)]
        if enabled:
            _systemctl("disable", *enabled)

    def enable(self) -> None:
        """All at once: systemd orders them."""
        _systemctl("enable", "--now", *IN_STARTING_ORDER)

    def connect_at_boot(self, wanted: bool) -> None:
        """Now it is connected already."""
        if wanted != self._is_enabled(STORAGE):
            _systemctl("enable" if wanted else "disable", STORAGE)

    def let_write(self, volumes: Iterable[str]) -> bool:
        """By a drop-in, where the unit does not let it by itself."""
        wanted = write_drop_in(volumes)
        path = self._folder / _DROP_IN
        try:
            if wanted == (path.read_text(encoding="utf-8") if path.exists() else ""):
                return False
            if wanted:
                path.parent.mkdir(parents=True, exist_ok=True)
                replace_file(path, wanted.encode(), mode=0o644)
            else:
                path.unlink()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{path}: can't be written: {reason(error)}") from error
        if self.available():
            _systemctl("daemon-reload")
        return True

    def _is_the_same(self, alias: str, unit: str) -> bool:
        """Is `alias` a name of that unit? What systemd does not know is called by its own name."""
        if not self.available():
            return False
        return _run("show", "--value", "--property=Id", alias).output.strip() == unit

    def _is_enabled(self, unit: str) -> bool:
        return self.available() and _run("is-enabled", unit).output.strip().startswith("enabled")

    def _is_active(self, unit: str) -> bool:
        """Also one that systemd is starting, stopping or about to start anew."""
        if not self.available():
            return False
        state = _run("is-active", unit).output.strip()
        return state in ("active", "activating", "deactivating", "reloading")


def write_drop_in(volumes: Iterable[str]) -> str:
    """What lets the broker write to these files beside those below `WRITABLE`; empty: nothing.

    The folder is named, not the file, for a file may be made anew. It need not be there when the
    service starts.
    """
    folders = {os.path.dirname(os.path.realpath(path)) for path in volumes}  # noqa: PTH120
    lines = [
        f'ReadWritePaths="-{folder.replace("%", "%%")}"\n'
        for folder in sorted(folders)
        if not any(f"{folder}/".startswith(f"{each}/") for each in WRITABLE)
    ]
    return f"{_DROP_IN_HEAD}{''.join(lines)}" if lines else ""


def _systemctl(*arguments: str) -> None:
    done = _run(*arguments)
    if done.code != 0:
        raise CommandError(f"{shown(('systemctl', *arguments))}: {done.words}")


def _run(*arguments: str) -> Done:
    return run_tool(("systemctl", *arguments), _DEADLINE_S)
