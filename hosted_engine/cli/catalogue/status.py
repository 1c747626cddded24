# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Looking at the cluster."""

from __future__ import annotations

from hosted_engine.cli.catalogue.base import JSON, Command, Group, Option, path, seconds

GROUP = Group(
    "The cluster's picture",
    (
        Command(
            "--vm-status",
            run="hosted_engine.status.command:run_command",
            anybody=True,
            summary="show the engine and all hosts",
            text="Shows what this host's broker knows, from its memory, however the storage is. "
            "A terminal gets a table first and then what each host says of itself; a pipe or a "
            "file gets the latter alone, so that it can be searched. What a host said last "
            "counts no more once it has been silent for too long: it is marked as stale, and "
            "nothing is said of the engine on it.\n\n"
            "Colours are left out when NO_COLOR is set or TERM is dumb.",
            options=(
                Option("--json", help="one line of JSON, errors too"),
                Option(
                    "--watch",
                    help="go on, with each change, until Ctrl-C: on a terminal in place, else "
                    "one picture after the other (with --json one line each)",
                ),
                Option(
                    "--metadata",
                    metavar="PATH[:OFFSET]",
                    type=path,
                    completes="file",
                    help="read the volume itself, with no daemon; OFFSET is where the metadata "
                    "area begins, in bytes or with K, M, G (default: the usual place behind a "
                    "sanlock lockspace, else 0)",
                ),
                Option(
                    "--timeout",
                    metavar="S",
                    type=seconds,
                    help="wait this long for the broker (default 5), or watch the volume for this "
                    "long to tell live records from old ones (default 11; 0: one look)",
                ),
            ),
            examples=(
                ("hosted-engine --vm-status", "All hosts, for people."),
                ("hosted-engine --vm-status --watch", "The same, live; Ctrl-C ends it."),
                ("hosted-engine --vm-status --json", "All hosts, for programs."),
                (
                    "hosted-engine --vm-status --metadata /srv/san/leases",
                    "What stands on the storage, where no broker runs.",
                ),
            ),
        ),
        Command(
            "--explain",
            run="hosted_engine.explain.command:run_command",
            anybody=True,
            summary="say in plain words why the engine runs where it runs, or why nowhere",
            text="Says what this host's broker knows in sentences: what the engine does and why, "
            "for each host its state, how long it lasts and what its score lost, and what can be "
            "done. Where the broker does not answer, it says what that means for the engine "
            "(exit code 1).",
            options=(
                JSON,
                Option(
                    "--timeout",
                    metavar="S",
                    type=seconds,
                    help="wait this long for the broker (default 5)",
                ),
            ),
            examples=(("hosted-engine --explain", "Why, what each host waits for, what to do."),),
        ),
        Command(
            "--upgrade-check",
            run="hosted_engine.upgrade.command:run_command",
            summary="say whether this host may be upgraded now, and which goes next",
            text="Says from what this host's broker knows whether this host may be upgraded now "
            "(exit code 0) or not (exit code 1, with the reasons): the engine's own host goes "
            "last, one host goes after the other, and a move, a takeover, a change of the shared "
            "configuration or global maintenance is waited for. It also says of each host which "
            "version of the program and of its record's format it shows, and what an older one "
            "can't do meanwhile. Nothing is changed. docs/upgrade.md has the whole way.",
            options=(JSON,),
            examples=(("hosted-engine --upgrade-check", "Is it this host's turn?"),),
            exit_codes=((1, "not now, or it could not be found out"),),
        ),
    ),
)
