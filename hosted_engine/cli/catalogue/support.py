# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What happened, what would happen, and help for those who help."""

from __future__ import annotations

from hosted_engine.cli.catalogue.base import (
    JSON,
    Command,
    Group,
    Option,
    path,
    seconds,
    whole_number,
)


def _since(text: str) -> object:
    """Parsed where it is needed: the catalogue stays light."""
    from hosted_engine.cli.since import moment

    return moment(text)


def _count(text: str) -> int:
    """1 to 100000; raises ValueError."""
    return whole_number(text, 1, 100_000, "a number")


_HISTORY = Command(
    "--history",
    run="hosted_engine.history.command:run_command",
    anybody=True,
    summary="tell what happened here and what this host saw of others, or draw it",
    text="Tells from this host's own files what its agent did, with how long the state before had "
    "lasted, the score and the reason, and what it saw change on all hosts: states, the engine's "
    "health, the lease's owner, maintenance, and who was silent or dead. No daemon is needed. The "
    "history survives restarts and power cuts and goes back for weeks; each host keeps its own.\n\n"
    "--plot draws it: a lane for each host with its state and the engine on it, the lease, and "
    "dashed lines where nothing was known. Without --since it draws the latest day. An SVG needs "
    "nothing else; a PNG needs rsvg-convert.",
    options=(
        Option("--host", metavar="NAME|ID", help="only what concerns this host"),
        Option(
            "--since",
            metavar="TIME",
            type=_since,
            help="not what was before: 30m, 2h or 3d (ago), HH:MM[:SS], YYYY-MM-DD or "
            "'YYYY-MM-DD HH:MM[:SS]', in local time",
        ),
        Option(
            "--last",
            metavar="N",
            type=_count,
            help="only the latest N changes (default 50; with --since all of them)",
        ),
        Option(
            "--plot",
            metavar="FILE",
            type=path,
            completes="file",
            help="draw it into FILE, *.svg or *.png, which is replaced",
        ),
        JSON,
    ),
    examples=(
        ("hosted-engine --history", "The latest 50 changes, the newest below."),
        ("hosted-engine --history --since 2h --host h2", "What h2 did within the last two hours."),
        ("hosted-engine --history --since 02:30 --plot night.svg", "The night for the report."),
    ),
)

_EXPORT = Command(
    "--export-status",
    run="hosted_engine.support_archive.command:run_command",
    anybody=True,
    arguments=("FILE",),
    completes="file",
    summary="collect what somebody who helps needs, in one archive",
    text="FILE (*.tar.gz) gets the status and the explanation, the settings and the engine's "
    "domain XML, the logs, what sanlock and libvirt know, the history, versions, addresses, routes "
    "and mounts. Each piece has a deadline and a size of its own, and what hangs stops no other: "
    "manifest.json in the archive says of each piece whether it could be had and, if not, why. It "
    "works without daemons, and on a host that is not deployed.\n\n"
    "Passwords, tokens, secrets and the addresses of webhooks are taken out; names and addresses "
    "of hosts are not. Only the file's owner may read it.",
    options=(
        Option("--force", help="replace FILE if it is there already"),
        Option(
            "--timeout",
            metavar="S",
            type=seconds,
            help="take what there is after so many seconds (default 60)",
        ),
        JSON,
    ),
    examples=(
        ("hosted-engine --export-status /root/h1.tar.gz", "For the ticket."),
        (
            "hosted-engine --export-status /root/h1.tgz --force --timeout 20",
            "Again, with what can be had within 20 seconds.",
        ),
    ),
)

GROUP = Group(
    "History and support",
    (
        _HISTORY,
        _EXPORT,
        Command(
            "--test-notification",
            run="hosted_engine.notification:run_command",
            summary="send a test to every mail server and webhook of the settings",
            text="Says for each target whether it took the test, in its own words. Exit code 1 "
            "when one of them did not. Beside root, the users may ask whom command_users of "
            "host.yaml names.",
            anybody=True,  # the broker knows who may
            examples=(("hosted-engine --test-notification", "Does the mail get through?"),),
        ),
        Command(
            "--simulate",
            run="hosted_engine.simulate.command:run_command",
            anybody=True,
            arguments=("WORLD", "SCRIPT"),
            completes="file",
            summary="tell what would happen: simulated hosts, and what is done to them",
            text="Runs the agents and brokers themselves in virtual time on the simulated hosts "
            "of WORLD (YAML) and does to them what SCRIPT (YAML) says. Nothing of this host is "
            "touched; with 'cluster: deployed' in WORLD its shared configuration is read.",
            examples=(
                (
                    "hosted-engine --simulate world.yaml power-cut.yaml",
                    "What would happen if a host lost its power?",
                ),
            ),
        ),
        Command(
            "--version",
            run="hosted_engine.version:run_command",
            anybody=True,
            summary="show the version",
            examples=(("hosted-engine --version", "The name and the version."),),
        ),
    ),
)
