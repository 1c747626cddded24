# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Maintenance, the engine's VM and its console."""

from __future__ import annotations

from hosted_engine.cli.catalogue.base import JSON, Command, Group, Option, host, path, seconds
from metadata.error_words import shown

WAIT = Option("--wait", help="follow it to its end, with lines of progress")
VM_CONF = Option(
    "--vm-conf",
    metavar="FILE",
    type=path,
    completes="file",
    help="a domain XML for this start only, in place of the shared configuration's",
)


def _timeout(default_s: int, what: str) -> Option:
    return Option(
        "--timeout",
        metavar="S",
        type=seconds,
        help=f"with --wait: {what} (default {default_s})",
    )


def _lifetime(text: str) -> float:
    """1 to 3600 seconds; raises ValueError."""
    value = seconds(text)
    if value < 1:
        raise ValueError(f"{shown(text)} is refused; allowed: seconds from 1 to 3600")
    return value


GROUP = Group(
    "The engine and maintenance",
    (
        Command(
            "--set-maintenance",
            run="hosted_engine.vm.maintenance:run_command",
            summary="switch maintenance (with --mode)",
            text="In global maintenance no host of the cluster starts, stops or moves the engine: "
            "it is yours alone. The command is done when that was read back from the shared "
            "storage; the agents notice within their tick (--wait shows when they have).\n\n"
            "In local maintenance this host runs no engine and its score is 0. An engine that runs "
            "here is moved to another host first, while it runs. Where no other host can take it, "
            "that is refused with each host's reason; where none has taken it in the end, the "
            "agent ends this host's maintenance again, and the engine stays. In global "
            "maintenance, where nothing moves by itself, it is refused while the engine is here "
            "(see --vm-migrate).\n\n"
            "The two are apart: asking for one while the other is on leaves both on. In both, no "
            "host acts on the engine, and this host's score is 0. --mode=none ends both, this "
            "host's own and the cluster's; another host's local maintenance is ended there.\n\n"
            "Setting what is set already is no error. Beside root, the users may ask whom "
            "command_users of host.yaml names.",
            anybody=True,  # the broker knows who may
            options=(
                Option(
                    "--mode",
                    metavar="MODE",
                    choices=("global", "local", "none"),
                    help="global: nobody touches the engine; local: this host runs no engine; "
                    "none: end both",
                ),
                Option(
                    "--wait",
                    help="until the agents say so: with global those of all living hosts, else "
                    "this host's; a move of the engine is shown with target and progress",
                ),
                _timeout(120, "how long to wait for the agents"),
            ),
            examples=(
                (
                    "hosted-engine --set-maintenance --mode=global --wait",
                    "Nobody touches the engine, and every host has heard of it.",
                ),
                (
                    "hosted-engine --set-maintenance --mode=local --wait --timeout=60",
                    "This host can be worked on; exit code 3 if that is not so after a minute.",
                ),
                (
                    "hosted-engine --set-maintenance --mode=none",
                    "Back to work: ends this host's maintenance and the cluster's.",
                ),
            ),
        ),
        Command(
            "--vm-start",
            run="hosted_engine.vm.start:run_start_command",
            summary="start the engine's VM on this host",
            text="The engine's lease on the shared storage decides: while another host holds it, "
            "the start is refused and that host named; nothing can start a second engine. Where "
            "the lease's owner has fallen silent, the start waits until sanlock is sure that it "
            "is dead.\n\n"
            "An XML given with --vm-conf must have the engine's domain name and its lease, and "
            "libvirt checks it against its schema.",
            options=(
                VM_CONF,
                Option("--wait", help="until the engine is healthy, with lines of progress"),
                _timeout(600, "how long to wait for that, once the VM runs"),
            ),
            examples=(
                (
                    "hosted-engine --vm-start --wait",
                    "Starts it here and comes back when the engine is healthy.",
                ),
                (
                    "hosted-engine --vm-start --vm-conf=/root/rescue.xml",
                    "Starts it from another XML, this once: with a rescue disk, for example.",
                ),
            ),
        ),
        Command(
            "--vm-start-paused",
            run="hosted_engine.vm.start:run_start_paused_command",
            summary="create the engine's VM on this host, and let nothing of it run yet",
            text="For a look at the boot from its first moment. It needs global maintenance, for "
            "else this host's agent switches a paused VM off.\n\n"
            "A paused VM holds no lease: libvirt takes it when the VM is resumed, and does not "
            "resume it while another host holds the lease. The command says how to resume it.",
            options=(
                VM_CONF,
                Option("--wait", help="follow it until it was resumed and the engine is healthy"),
                _timeout(600, "how long to wait for that"),
            ),
            examples=(
                (
                    "hosted-engine --vm-start-paused",
                    "Then: hosted-engine --console in another terminal, and virsh resume.",
                ),
            ),
        ),
        Command(
            "--vm-shutdown",
            run="hosted_engine.vm.stop:run_shutdown_command",
            summary="ask the engine's VM on this host to power off",
            text="Outside global maintenance the hosts start the engine again afterwards; the "
            "command says so.",
            options=(WAIT, _timeout(300, "how long to wait for the VM to end")),
            examples=(
                (
                    "hosted-engine --vm-shutdown --wait",
                    "Comes back when it has ended; exit code 3 when the guest does not obey.",
                ),
            ),
        ),
        Command(
            "--vm-poweroff",
            run="hosted_engine.vm.stop:run_poweroff_command",
            summary="switch the engine's VM on this host off at once",
            text="As pulling the plug: what the guest has not written is lost. Outside global "
            "maintenance the hosts start the engine again afterwards.",
            options=(WAIT, _timeout(300, "how long to wait for the VM to end")),
            examples=(
                ("hosted-engine --vm-poweroff", "When the guest does not answer --vm-shutdown."),
            ),
        ),
        Command(
            "--vm-migrate",
            run="hosted_engine.vm.migrate:run_command",
            summary="move the engine to another host while it runs",
            text="On the host where the engine runs; elsewhere the command names that host. This "
            "host's agent moves it, to the best host that can take it or to the one that is "
            "named. Each host says itself whether it can (--explain shows it), and libvirt there "
            "is asked before anything moves. The engine's users notice a moment at most. When a "
            "move fails, the engine runs on here.\n\n"
            "In global maintenance, too: nothing moves by itself then, and this does not. Before "
            "this host is worked on, --set-maintenance --mode=local moves the engine and keeps it "
            "away.",
            options=(
                Option(
                    "--to",
                    metavar="HOST",
                    type=host,
                    help="its name or id (default: the best one that can take it)",
                ),
                WAIT,
                _timeout(300, "how long to wait for the end of the move"),
                JSON,
            ),
            examples=(
                (
                    "hosted-engine --vm-migrate --wait",
                    "Comes back when the engine runs on another host; exit code 1, with each "
                    "host's reason, when none took it.",
                ),
                ("hosted-engine --vm-migrate --to h2", "Gives the order and says how it begins."),
                (
                    "hosted-engine --vm-migrate --wait --json",
                    "For programs: one document with phase, target, tries, refusals, took_s, "
                    "downtime_s and copied_bytes.",
                ),
            ),
        ),
        Command(
            "--console",
            run="hosted_engine.vm.console:run_command",
            summary="the engine's serial console, in this terminal",
            text="On the host where the engine runs; elsewhere the command names that host. The "
            "VM needs a serial port of the type pty. Ctrl and ] leave the console. Over ssh it "
            "takes a terminal: ssh -t.",
            options=(
                Option("--force", help="take the console over from whoever is connected to it"),
            ),
            examples=(
                ("hosted-engine --console", "Type Enter to see the login prompt."),
                ("hosted-engine --console --force", "When somebody left it open elsewhere."),
            ),
        ),
        Command(
            "--add-console-password",
            run="hosted_engine.vm.console_password:run_command",
            summary="set a password for the engine's VNC or SPICE display, for a short while",
            text="It is asked for twice and not shown, or taken from the environment variable "
            "HE_CONSOLE_PASSWORD (or OVIRT_HOSTED_ENGINE_CONSOLE_PASSWORD). It counts for the VM "
            "that runs on this host now, and new viewers are let in with it until it expires; who "
            "is in then stays in. VNC passwords have at most 8 characters. The command says where "
            "a viewer connects to.",
            options=(
                Option(
                    "--password",
                    metavar="PASSWORD",
                    help="the password itself; everybody on this host can read it in the list of "
                    "processes meanwhile",
                ),
                Option("--generate", help="make one and print it"),
                Option(
                    "--valid-for",
                    metavar="S",
                    type=_lifetime,
                    help="how many seconds it lets new viewers in (default 120)",
                ),
            ),
            examples=(
                (
                    "hosted-engine --add-console-password",
                    "Asks for the password and says where to connect to.",
                ),
                (
                    "hosted-engine --add-console-password --generate --valid-for=30",
                    "Prints a new password, good for half a minute.",
                ),
            ),
        ),
        Command(
            "--check-deployed",
            run="hosted_engine.checks:run_deployed_command",
            anybody=True,
            summary="exit code 0 when this host is deployed, else 1",
            options=(JSON,),
            examples=(
                ("hosted-engine --check-deployed", "In scripts: is this host one of a cluster?"),
            ),
        ),
        Command(
            "--check-liveliness",
            run="hosted_engine.checks:run_liveliness_command",
            anybody=True,
            summary="ask the engine's health page; exit code 0 when it is up",
            options=(JSON,),
            examples=(
                ("hosted-engine --check-liveliness", "Is the engine up, wherever it runs?"),
                (
                    "hosted-engine --check-liveliness --json",
                    'For programs: {"up": true, "detail": "what the page said"}.',
                ),
            ),
        ),
    ),
)
