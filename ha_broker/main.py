# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The program `ha-broker`: its options, and what they ask for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Optional

from ha_broker.api import paths
from metadata.error_words import reason_with_file
from metadata.errors import SettingsError
from world.host.daemon import daemon_parser, options_in
from world.host.journal import log_setup
from world.ports.errors import WorldError

if TYPE_CHECKING:
    import argparse

    from ha_broker.adapters import WorldMaker

log = logging.getLogger("ha_broker")

FAILED = 1


def main(argv: Optional[Sequence[str]] = None, maker: Optional[WorldMaker] = None) -> int:
    """Run the daemon; returns its exit code: 0 after a requested stop, else 1."""
    arguments = _arguments(argv)
    log_setup(arguments.log_level, program="ha-broker")
    try:
        # Each is much to load, and a host that shuts down waits for the first one.
        if arguments.leave_lockspace:
            from ha_broker.lockspace.leave import leave_host  # noqa: PLC0415

            return leave_host(arguments)
        from ha_broker.running import serve  # noqa: PLC0415

        return serve(arguments, maker)
    except SettingsError as error:
        for problem in error.problems:
            log.error("%s", problem)
    except (WorldError, OSError) as error:
        log.error("%s", reason_with_file(error))
    except Exception:
        log.exception("the broker failed")
    return FAILED


def _arguments(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    found: argparse.Namespace = options_in(
        argv,
        _parser,
        paths.host_settings_file(),
        socket=paths.broker_socket(),
        state_dir=paths.state_dir(),
        leave_lockspace=False,
    )
    return found


def _parser() -> argparse.ArgumentParser:
    parser = daemon_parser(
        "ha-broker",
        "Watches this host, the shared storage and sanlock for the engine's HA.",
        paths.host_settings_file(),
    )
    parser.add_argument(
        "--socket",
        metavar="PATH",
        default=paths.broker_socket(),
        help="unix socket to serve on (default: %(default)s)",
    )
    parser.add_argument(
        "--state-dir",
        metavar="PATH",
        default=paths.state_dir(),
        help="what survives restarts (default: %(default)s)",
    )
    parser.add_argument(
        "--leave-lockspace",
        action="store_true",
        help="leave the lockspace once nothing here holds a lease of it, and end: what "
        "ha-lockspace.service does when the host shuts down",
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
