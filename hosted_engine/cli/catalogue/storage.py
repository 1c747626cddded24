# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The shared storage, and leaving the cluster."""

from __future__ import annotations

from hosted_engine.cli.catalogue.base import Command, Group, Option, host_id, seconds

_TIMEOUT = Option(
    "--timeout",
    metavar="S",
    type=seconds,
    help="how many seconds each of the system's tools may take (default 60)",
)

GROUP = Group(
    "The shared storage",
    (
        Command(
            "--clean-metadata",
            run="hosted_engine.storage.clean_metadata:run_command",
            summary="remove the record of a host that is gone for good",
            text="""Zeroes the slot of one host on the shared storage, this host's without
            --host-id, so that no status shows it any more. No other slot is touched. Works with
            the services running and without.

            Refused while that host lives: sanlock calls it alive, or has missed it for a while
            only, or its agent still writes its record. Without a broker this is found by
            watching the storage for some seconds. A slot that is empty already is success.

            --force-clean does not ask whether the host lives. A living host's agent writes its
            record again with its next tick. It is still refused for the living host that holds
            the engine's lease, and while this host's own agent runs.""",
            options=(
                Option(
                    "--host-id",
                    metavar="N",
                    type=host_id,
                    help="the id of the host (default: this one)",
                ),
                Option(
                    "--force-clean",
                    help="do not ask whether the host lives",
                    aliases=("--force-cleanup",),
                ),
            ),
            examples=(
                (
                    "hosted-engine --clean-metadata --host-id=3",
                    "Host 3 was scrapped: no status shows it any more.",
                ),
                (
                    "hosted-engine --clean-metadata --host-id=7 --force-clean",
                    "The same without a look whether it lives.",
                ),
            ),
        ),
        Command(
            "--reinitialize-lockspace",
            run="hosted_engine.storage.reinitialize:run_command",
            summary="make a damaged sanlock lockspace anew",
            text="""Writes sanlock's lockspace and the engine's lease anew, for storage on which
            they were damaged. Records, maintenance and the shared configuration stay as they are.

            A new lockspace forgets who lives, and a new lease is free. So before anything is
            written: global maintenance, the agents of all hosts stopped (by their records), and
            no other host may renew its place in the lockspace. When the old lease was held, or
            can't be read, the look at the storage lasts as long as sanlock needs to be sure that
            its holder has ended: 8 x io_timeout + sanlock's watchdog time (usually 60 s).

            The services of this host are stopped for the time, if they run, and started again
            at the end; the broker then joins by itself. A run that was cut off is finished by the
            next one; until then no host can start the engine.

            --force does without global maintenance and stopped agents, and takes the lockspace
            from hosts that live. It is still refused where a second engine could start: the
            engine runs on this host, or that is not known; the lease's holder lives; a living
            host says that the engine runs there; any host lives and the lease can't be read.""",
            options=(
                Option("--force", help="also outside of maintenance, and with hosts that live"),
            ),
            examples=(
                (
                    "hosted-engine --reinitialize-lockspace",
                    "In global maintenance, with ha-agent and ha-broker stopped on all other "
                    "hosts.",
                ),
                (
                    "hosted-engine --reinitialize-lockspace --force",
                    "For scripts that set up the first host.",
                ),
            ),
        ),
        Command(
            "--connect-storage",
            run="hosted_engine.storage.connect:run_connect_command",
            summary="mount the shared storage, or log in to it, as host.yaml says",
            text="""host.yaml says how this host reaches the storage (storage.connection: nfs,
            nfs4, glusterfs, posix, iscsi or fc). The system's own tools do it; each command line
            is shown, and what they say is passed on. Connected already is success.""",
            options=(_TIMEOUT,),
            examples=(("hosted-engine --connect-storage", "After the filer came back, for one."),),
        ),
        Command(
            "--disconnect-storage",
            run="hosted_engine.storage.connect:run_disconnect_command",
            summary="unmount the shared storage, or log out of it",
            text="""The way back of --connect-storage. Refused while the engine runs on this host,
            while ha-agent or ha-broker runs, or sanlock is still in the lockspace; an iSCSI target
            with other units that this host uses stays connected, too. Not connected is success.""",
            options=(_TIMEOUT,),
            examples=(
                (
                    "hosted-engine --disconnect-storage",
                    "Before work on the storage, after 'systemctl stop ha-agent ha-broker "
                    "ha-lockspace'.",
                ),
            ),
        ),
    ),
)

CLEANUP = Command(
    "",
    run="hosted_engine.storage.cleanup:main",
    summary="take this host out of its hosted-engine cluster",
    text="""Undoes hosted-engine --deploy on this host: stops and disables ha-agent and ha-broker,
    leaves sanlock's lockspace, empties this host's slot, disconnects the storage where host.yaml
    says how it was connected, and removes the host's state, history and settings. What is there
    for all hosts stays: the storage is never formatted, the engine's domain XML and disk are not
    touched.

    Refused while the engine runs on this host, and while its agent runs outside of local
    maintenance. On a terminal it asks before it begins. It may be run again at any time; where
    there is nothing left to do it says so. With the storage gone it cleans this host and says what
    is left to do on another one.""",
    options=(
        Option("--yes", help="do not ask", aliases=("-q",)),
        Option(
            "--force",
            help="do not ask, go on outside of local maintenance, and leave storage connected "
            "that can't be disconnected; never with the engine on this host",
        ),
    ),
    examples=(
        (
            "hosted-engine --set-maintenance --mode=local && hosted-engine-cleanup",
            "The engine stays away first, then the host leaves.",
        ),
        ("hosted-engine-cleanup --yes", "In scripts."),
    ),
)
