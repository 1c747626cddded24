"""Maintenance, the engine's VM and its console."""

from __future__ import annotations

from ha_agent.command.catalogue.base import Command, Group, Option

GROUP = Group(
    "The engine and maintenance",
    (
        Command(
            "--set-maintenance",
            run="ha_agent.command.maintenance:run_command",
            summary="switch maintenance (with --mode)",
            options=(
                Option(
                    "--mode",
                    metavar="MODE",
                    choices=("global", "local", "none"),
                    help="global: nobody touches the engine; local: this host runs no engine; "
                    "none: end both",
                ),
            ),
            examples=(
                ("hosted-engine --set-maintenance --mode=global", "Nobody touches the engine."),
            ),
        ),
        Command(
            "--vm-start",
            run="ha_agent.command.engine:run_start_command",
            summary="start the engine's VM on this host",
            examples=(
                ("hosted-engine --vm-start", "Starts it here; refused while it runs anywhere."),
            ),
        ),
        Command(
            "--vm-shutdown",
            run="ha_agent.command.engine:run_shutdown_command",
            summary="ask the engine's VM on this host to power off",
            examples=(("hosted-engine --vm-shutdown", "Ends it in order."),),
        ),
        Command(
            "--vm-poweroff",
            run="ha_agent.command.engine:run_poweroff_command",
            summary="switch the engine's VM on this host off at once",
            examples=(("hosted-engine --vm-poweroff", "The last resort."),),
        ),
        Command(
            "--check-deployed",
            run="ha_agent.command.checks:run_deployed_command",
            summary="exit code 0 when this host is deployed, else 1",
            examples=(
                ("hosted-engine --check-deployed", "In scripts: is this host one of a cluster?"),
            ),
        ),
        Command(
            "--check-liveliness",
            run="ha_agent.command.checks:run_liveliness_command",
            summary="ask the engine's health page; exit code 0 when it is up",
            examples=(("hosted-engine --check-liveliness", "Is the engine up, wherever it runs?"),),
        ),
    ),
)
