"""Looking at the cluster."""

from __future__ import annotations

from ha_agent.command.catalogue.base import JSON, Command, Group, Option, path, seconds

GROUP = Group(
    "The cluster's picture",
    (
        Command(
            "--vm-status",
            run="ha_agent.command.vm_status:run_command",
            summary="show the engine and all hosts",
            text="Shows what this host's broker knows, from its memory, however the storage is.",
            options=(
                Option("--json", help="one line of JSON, errors too"),
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
            examples=(("hosted-engine --vm-status", "All hosts, for people."),),
        ),
        Command(
            "--explain",
            run="ha_agent.command.explain:run_command",
            summary="say in plain words why the engine runs where it runs, or why nowhere",
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
    ),
)
