"""Making a host one of the cluster."""

from __future__ import annotations

from hosted_engine.cli.catalogue.base import JSON, Command, Group, Option, path

GROUP = Group(
    "Deployment",
    (
        Command(
            "--deploy",
            run="hosted_engine.deploy.command:run_command",
            summary="make this host the first, or one more, of a cluster",
            text=(
                "The first host formats the shared storage and stores there the cluster's "
                "settings and the engine's domain; every other host joins with the next free "
                "host id. Which of the two it is, the storage decides. On a terminal without "
                "--config-append the answers are asked for, each with what is usual here.\n\n"
                "Before anything is changed, storage, sanlock, watchdog, libvirt, memory, bridge "
                "and network are looked at, and what is not as it should be is told with how to "
                "mend it. [warn] deploys all the same, [fail] changes nothing. Then it is said "
                "what will be done; who answered on a terminal is asked once more.\n\n"
                "Cut off at any moment, the same --deploy again goes on; on a host that is "
                "deployed it only sees to it that all is in place. Storage that a living host "
                "uses is never formatted, with --force neither."
            ),
            options=(
                Option(
                    "--config-append",
                    metavar="FILE",
                    type=path,
                    completes="file",
                    help="the answers, in YAML; on a terminal only what is missing is asked for",
                ),
                Option("--check", help="only look whether all is ready, and change nothing"),
                JSON,
                Option("--yes", help="do not ask whether to go on"),
                Option(
                    "--write-answers",
                    metavar="FILE",
                    type=path,
                    completes="file",
                    aliases=("--generate-answer",),
                    help="where the answers for the next host go (default: answers.yaml beside "
                    "host.yaml)",
                ),
                Option(
                    "--force",
                    help="format storage anew that is in use: what it holds is destroyed",
                ),
            ),
            examples=(
                ("hosted-engine --deploy", "Asks its questions on the terminal."),
                (
                    "hosted-engine --deploy --check --config-append=answers.yaml",
                    "Is this host ready? Exit code 0 when nothing would keep it.",
                ),
                (
                    "hosted-engine --deploy --config-append=answers.yaml",
                    "Takes all from a file, and asks nothing where nobody sits.",
                ),
                (
                    "hosted-engine --deploy --config-append=answers.yaml --check --json",
                    "The same look for scripts: one document with every check and how to mend it.",
                ),
            ),
        ),
    ),
)
