# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

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
        Command(
            "--import-ovirt",
            run="hosted_engine.from_ovirt.command:run_command",
            summary="make answers and a domain XML of oVirt's own hosted-engine files",
            text=(
                "Reads oVirt's hosted-engine.conf, broker.conf and vm.conf, or the running "
                "domain's XML, and makes answers for --deploy and a domain XML with the engine's "
                "own lease in place of oVirt's. Each thing that was kept, changed or dropped is "
                "told with why, and what is left to do. Nothing of oVirt's is changed.\n\n"
                "A vm.conf without the domain XML in it is used where each of its lines is "
                "certain; otherwise the running domain's XML is asked for.\n\n"
                "One host with oVirt's agent and one with this one are no cluster: their leases "
                "differ, and two engines would run. docs/from-ovirt.md says in which order to go."
            ),
            options=(
                Option(
                    "--storage-path",
                    metavar="PATH",
                    type=path,
                    completes="file",
                    help="the blank volume for the new cluster (storage.path); needed, and never "
                    "one of oVirt's",
                ),
                Option(
                    "--mount-point",
                    metavar="FOLDER",
                    type=path,
                    completes="file",
                    help="NFS and GlusterFS: mount oVirt's storage here, and find the engine's "
                    "disk below it",
                ),
                Option(
                    "--domain-xml",
                    metavar="FILE",
                    type=path,
                    completes="file",
                    help="the running domain's XML (virsh -r dumpxml HostedEngine); goes before "
                    "vm.conf",
                ),
                *(
                    Option(
                        f"--{name.replace('.', '-')}",
                        metavar="FILE",
                        type=path,
                        completes="file",
                        help=f"oVirt's {name} (default: {folder}/{name})",
                    )
                    for name, folder in (
                        ("hosted-engine.conf", "/etc/ovirt-hosted-engine"),
                        ("broker.conf", "/var/lib/ovirt-hosted-engine-ha"),
                        ("vm.conf", "/var/run/ovirt-hosted-engine-ha"),
                    )
                ),
                Option(
                    "--write-answers",
                    metavar="FILE",
                    type=path,
                    completes="file",
                    help="where the answers go (default: from-ovirt-answers.yaml)",
                ),
                Option(
                    "--write-xml",
                    metavar="FILE",
                    type=path,
                    completes="file",
                    help="where the domain XML goes (default: from-ovirt-engine.xml)",
                ),
                Option("--check", help="only tell, and write nothing"),
                Option("--force", help="write over files that are there"),
            ),
            examples=(
                (
                    "hosted-engine --import-ovirt --check --storage-path=/srv/engine/leases "
                    "--mount-point=/srv/engine",
                    "What would become of oVirt's files?",
                ),
                (
                    "hosted-engine --import-ovirt --storage-path=/dev/mapper/leases "
                    "--domain-xml=engine-now.xml",
                    "Writes both files, with the XML of the running engine.",
                ),
            ),
        ),
    ),
)
