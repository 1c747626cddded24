"""What happened, what would happen, and help for those who help."""

from __future__ import annotations

from ha_agent.command.catalogue.base import Command, Group

GROUP = Group(
    "History and support",
    (
        Command(
            "--test-notification",
            run="ha_agent.command.notification:run_command",
            summary="send a test to every mail server and webhook of the settings",
            text="Says for each target whether it took the test, in its own words. Exit code 1 "
            "when one of them did not.",
            examples=(("hosted-engine --test-notification", "Does the mail get through?"),),
        ),
        Command(
            "--simulate",
            run="ha_agent.command.simulate:run_command",
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
            run="ha_agent.command.version:run_command",
            summary="show the version",
            examples=(("hosted-engine --version", "The name and the version."),),
        ),
    ),
)
