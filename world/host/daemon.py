# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What both daemons' processes do alike: options, the wait for a deployment, the version."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence
from types import FrameType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Callable, Optional

from metadata.program import VERSION
from metadata.settings.parse import HostSettings
from world.host.journal import LEVELS
from world.host.wake import Wake
from world.host_file import read_host_settings
from world.ports.host import ServiceManager

if TYPE_CHECKING:
    import argparse

LOOK_FOR_SETTINGS_S = 5.0
NOT_DEPLOYED = "not deployed: run hosted-engine --deploy (waiting for {path})"


_STOPS = (signal.SIGTERM, signal.SIGINT)
MORE, AS_BEFORE = signal.SIGUSR1, signal.SIGUSR2
"""More lines in the log (all that there are), and as many as it began with."""

# Without a word on it, it would end the process at once, in the midst of what it does.
_LEFT_ALONE = signal.SIGHUP


def heed_signals(on_stop: Callable[[], None], log: logging.Logger) -> None:
    """Have `on_stop` called for SIGTERM and SIGINT; SIGHUP changes nothing.

    SIGUSR1 lowers the log's level to debug, SIGUSR2 takes it back. A terminal that is closed, or a
    tool that rotates logs, shall end no daemon; and what could be read anew, host.yaml, takes a
    restart.
    """
    root = logging.getLogger()
    began_with = root.level

    def stop(_number: int, _frame: Optional[FrameType]) -> None:
        on_stop()

    def go_on(number: int, _frame: Optional[FrameType]) -> None:
        log.info("%s changes nothing: restart the service", signal.Signals(number).name)

    def set_level(number: int, _frame: Optional[FrameType]) -> None:
        level = logging.DEBUG if number == MORE else began_with
        root.setLevel(level)
        # Whoever asked sees it whatever the level is.
        name = signal.Signals(number).name
        log.log(level, "%s: the log has level %s now", name, logging.getLevelName(level).lower())

    for number in _STOPS:
        signal.signal(number, stop)
    for number in (MORE, AS_BEFORE):
        signal.signal(number, set_level)
    signal.signal(_LEFT_ALONE, go_on)


DEFAULT_LEVEL = "info"


def options_in(
    argv: Optional[Sequence[str]],
    parser: Callable[[], argparse.ArgumentParser],
    settings_path: str,
    **defaults: Any,
) -> Any:
    """The options as `parser` reads them. Where there are none, as the units start the daemons, it
    is not even loaded, for it would stay: `defaults`, beside those that both daemons have."""
    words = sys.argv[1:] if argv is None else argv
    if words:
        return parser().parse_args(words)
    return SimpleNamespace(settings=settings_path, log_level=DEFAULT_LEVEL, **defaults)


def daemon_parser(prog: str, description: str, settings_path: str) -> argparse.ArgumentParser:
    """A parser with the options that both daemons have: settings, log level, version."""
    import argparse  # noqa: PLC0415  # see `options_in`

    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument(
        "--settings",
        metavar="PATH",
        default=settings_path,
        help="settings of this host (default: %(default)s)",
    )
    parser.add_argument("--log-level", choices=LEVELS, default=DEFAULT_LEVEL)
    version = f"%(prog)s {VERSION}"
    parser.add_argument("--version", action="version", version=version, help="show the version")
    return parser


def wait_for_settings(
    path: str,
    services: ServiceManager,
    wake: Wake,
    log: logging.Logger,
    stop_requested: Callable[[], bool],
) -> Optional[HostSettings]:
    """This host's settings as soon as there are any; None: told to stop before.

    A host that is not deployed yet is no failure: the service is up and says what it waits
    for. Raises SettingsError.
    """
    waiting = False
    while not stop_requested():
        host = read_host_settings(path)
        if host is not None:
            return host
        if not waiting:
            waiting = True
            _say_not_deployed(path, services, log)
        services.alive()
        wake.wait(LOOK_FOR_SETTINGS_S)
    return None


def _say_not_deployed(path: str, services: ServiceManager, log: logging.Logger) -> None:
    text = NOT_DEPLOYED.format(path=path)
    log.info("%s", text)
    services.status(text)
    services.ready()
