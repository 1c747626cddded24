"""Making a host one of the cluster."""

from __future__ import annotations

from ha_agent.command.catalogue.base import Command, Group, Option, path

GROUP = Group(
    "Deployment",
    (
        Command(
            "--deploy",
            run="ha_agent.command.deploy:run_command",
            summary="make this host one of the cluster (with --config-append)",
            options=(
                Option(
                    "--config-append",
                    metavar="FILE",
                    type=path,
                    completes="file",
                    help="the answers, in YAML",
                ),
                Option("--force", help="format storage anew that is already in use"),
            ),
            examples=(
                ("hosted-engine --deploy --config-append=answers.yaml", "Takes all from a file."),
            ),
        ),
    ),
)
