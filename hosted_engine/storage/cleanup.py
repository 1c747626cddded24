# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine-cleanup``: take this host out of its cluster, undoing ``--deploy``.

Each step may have been done before: a run that was cut off is finished by the next one, for
which host.yaml goes last. The shared storage is never formatted, and of it only this host's own
slot is written.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Callable, Optional

from ha_broker.api import paths
from hosted_engine.cli.catalogue.storage import CLEANUP
from hosted_engine.cli.parser import parse_command
from hosted_engine.errors import EXIT_FAILURE, EXIT_OK, CommandError, UsageError, say_error
from hosted_engine.host.alone import this_is_a_command
from hosted_engine.host.environment import DeployedHost, deployed_host
from hosted_engine.host.rights import check_right
from hosted_engine.host.settings_file import ANSWERS_NAME, TYPED_ANSWERS_NAME
from hosted_engine.host.units import AGENT, SystemdUnits, Units
from hosted_engine.storage.clean_metadata import zero_slot
from hosted_engine.storage.connect import ConnectSite, disconnect
from hosted_engine.storage.in_use import leave_lockspace, refuse_broker, refuse_engine_here
from metadata.error_words import reason_with_file
from metadata.records import HostRecord, SlotAbsent
from metadata.settings.parse import HostSettings, SettingsError
from world.durable import sync_directory
from world.ports.errors import WorldError

PROGRAM = "hosted-engine-cleanup"
MAINTENANCE_FLAG = "local-maintenance"
STATE_FILES = (MAINTENANCE_FLAG, "told.json", "notifications.jsonl")
HISTORY_FOLDER = "history"

Ask = Callable[[str], str]


@dataclass(frozen=True)
class Given:
    """What the command line says; `ask` is None where nobody sits at a terminal."""

    yes: bool
    force: bool
    ask: Optional[Ask]


@dataclass(frozen=True)
class Remains:
    """What of this host is outside of the storage's world, so that tests can have their own."""

    settings_file: Path
    state_folder: Path
    units: Units
    site: ConnectSite
    say: Callable[[str], None]


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command; returns its exit code. Without `argv` this process is the command's own."""
    if argv is None:
        this_is_a_command()
    try:
        options = parse_command(CLEANUP, sys.argv[1:] if argv is None else argv, PROGRAM)
        check_right("")
        _run(options)
    except CommandError as error:
        say_error(error.message, PROGRAM)
        return error.exit_code
    except SystemExit as done:  # argparse's way out of --help
        return int(done.code or 0)
    except KeyboardInterrupt:
        say_error("interrupted; run it again to finish", PROGRAM)
        return EXIT_FAILURE
    except OSError as error:  # the system refused something: its words
        say_error(f"{reason_with_file(error)}; mend that and run it again", PROGRAM)
        return EXIT_FAILURE
    return EXIT_OK


def _run(options: SimpleNamespace) -> None:
    from world.host_file import read_host_settings

    site = ConnectSite()
    remains = Remains(
        settings_file=Path(paths.host_settings_file()),
        state_folder=Path(paths.state_dir()),
        units=SystemdUnits(),
        site=site,
        say=site.say,
    )
    given = Given(options.yes, options.force, input if sys.stdin.isatty() else None)
    try:
        settings = read_host_settings(str(remains.settings_file))
    except SettingsError as error:
        raise CommandError(
            f"{'; '.join(error.problems)}; mend it first: it says which host this is, and where "
            "the storage is"
        ) from error
    clean_up(remains, given, deployed_host(settings) if settings is not None else None)


def clean_up(remains: Remains, given: Given, world: Optional[DeployedHost]) -> None:
    """Undo the deployment; `world` is None on a host without settings. Raises CommandError."""
    if world is not None:
        refuse_engine_here(world)
        _refuse_serving(world, remains, given)
    _confirm(given, world.settings if world is not None else None)
    _stop(remains)
    if world is not None:
        refuse_broker(world)
        # The agent may have begun a start in the moment before it was stopped.
        refuse_engine_here(world)
        _leave(world)
        _clean_slot(world)
        _disconnect(world.settings, remains, given)
    _remove_files(remains)
    remains.say("Done: this host is one of no cluster; the shared storage is as it was otherwise.")


def _refuse_serving(world: DeployedHost, remains: Remains, given: Given) -> None:
    if given.force or AGENT not in world.units.active() or _in_maintenance(world, remains):
        return
    raise CommandError(
        "this host's agent runs, and the host is not in local maintenance: it may start the "
        "engine at any moment; nothing was done; hosted-engine --set-maintenance --mode=local "
        "first, or add --force"
    )


def _in_maintenance(world: DeployedHost, remains: Remains) -> bool:
    snapshot = world.broker()
    if snapshot is not None:
        return snapshot.local_maintenance
    return (remains.state_folder / MAINTENANCE_FLAG).is_file()


def _confirm(given: Given, settings: Optional[HostSettings]) -> None:
    if given.yes or given.force:
        return
    if given.ask is None:
        raise UsageError("nobody can be asked here whether to go on; add --yes")
    who = f"host {settings.host_name} (id {settings.host_id})" if settings else "this host"
    try:
        answer = given.ask(f"Remove {who} from its cluster? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was done")


# --- the steps --------------------------------------------------------------------------------


def _stop(remains: Remains) -> None:
    units = remains.units
    if not units.available():
        remains.say("[skip] no systemd runs here")
        return
    active = units.active()
    units.stop(active)
    units.disable()
    units.let_write(())
    what = " and ".join(active)
    remains.say(f"[ ok ] {f'{what} stopped, ' if what else ''}both services are disabled")


def _leave(world: DeployedHost) -> None:
    """Storage that is gone must not keep the host in the cluster."""
    try:
        leave_lockspace(world)
    except (CommandError, WorldError) as error:
        world.say(f"[warn] the lockspace was not left in order: {error}")


def _clean_slot(world: DeployedHost) -> None:
    host_id, name = world.settings.host_id, world.settings.host_name
    try:
        found = world.slot(host_id)
        if isinstance(found, SlotAbsent):
            world.say(f"[ ok ] slot {host_id} is empty already")
        elif isinstance(found, HostRecord) and found.hostname != name:
            world.say(f"[skip] slot {host_id} belongs to host {found.hostname} now")
        else:
            zero_slot(world, host_id)
            world.say(f"[ ok ] slot {host_id} is empty now")
    except (CommandError, WorldError) as error:
        world.say(
            f"[warn] this host's record stays on the storage ({error}); on another host: "
            f"hosted-engine --clean-metadata --host-id={host_id}"
        )


def _disconnect(settings: HostSettings, remains: Remains, given: Given) -> None:
    if settings.connection is None:
        return
    try:
        disconnect(settings, settings.connection, remains.site)
    except CommandError as error:
        if not given.force:
            raise CommandError(
                f"{error.message}; mend that and run this again, or add --force to leave the "
                "storage connected"
            ) from error
        remains.say(f"[warn] the storage stays connected: {error.message}")


def _remove_files(remains: Remains) -> None:
    removed = [name for name in STATE_FILES if _removed(remains.state_folder / name)]
    for name in STATE_FILES:
        _removed(remains.state_folder / f"{name}.new")
    if (remains.state_folder / HISTORY_FOLDER).is_dir():
        shutil.rmtree(remains.state_folder / HISTORY_FOLDER)
        removed.append(HISTORY_FOLDER)
    if removed:
        remains.say(f"[ ok ] removed from {remains.state_folder}: {', '.join(removed)}")
    if _removed(remains.settings_file):
        sync_directory(remains.settings_file.parent)
        remains.say(f"[ ok ] removed {remains.settings_file}")
    else:
        remains.say(f"[ ok ] there is no {remains.settings_file}")
    typed = remains.settings_file.with_name(TYPED_ANSWERS_NAME)
    if _removed(typed):
        remains.say(f"[ ok ] removed {typed}")
    answers = remains.settings_file.with_name(ANSWERS_NAME)
    if answers.is_file():
        remains.say(f"[keep] {answers}: with it --deploy makes a host one of that cluster again")


def _removed(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
