# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The configuration that all hosts share."""

from __future__ import annotations

from hosted_engine.cli.catalogue.base import JSON, Command, Group, Option, path, seconds

_TYPE = Option(
    "--type",
    metavar="TYPE",
    choices=("he_shared", "he_local", "ha", "broker", "vm_conf"),
    help="where KEY belongs: he_shared (the cluster's settings and vm_conf; the default), he_local "
    "(this host's host.yaml), ha (timing, score, network, monitors, migration), broker "
    "(notifications, whose name may be left out), vm_conf (the engine's domain XML)",
)
_WAIT = Option("--wait", help="return once every host whose agent speaks goes by the new version")
_TIMEOUT = Option(
    "--timeout", metavar="S", type=seconds, help="with --wait: wait this long (default 120)"
)
_NOT_REACHED = ((3, "written, and not every host goes by it within the time"),)

GROUP = Group(
    "The shared configuration",
    (
        Command(
            "--get-shared-config",
            run="hosted_engine.config.get_set:run_get",
            anybody=True,
            summary="show a setting of the cluster, or the engine's domain XML",
            text="KEY is dotted, as in the settings: timing.tick_s, notifications.smtp.server; a "
            "section (timing) is shown whole, as YAML, and 'all' shows everything. The key vm_conf "
            "is the engine's domain XML. What is shown stands on the shared storage; where that "
            "can't be read, it is what this host's broker read last.\n\n"
            "With --type a single value is shown as 'KEY : VALUE, type : TYPE'. Names that oVirt's "
            "own tools have for settings are taken, too: email.smtp-server, network_test.",
            arguments=("KEY",),
            options=(_TYPE, JSON),
            examples=(
                ("hosted-engine --get-shared-config timing.tick_s", "One setting."),
                ("hosted-engine --get-shared-config notifications --json", "A section, as JSON."),
                ("hosted-engine --get-shared-config vm_conf", "The domain XML."),
                ("hosted-engine --get-shared-config gateway --type=he_local", "Of this host."),
            ),
        ),
        Command(
            "--set-shared-config",
            run="hosted_engine.config.get_set:run_set",
            summary="change a setting of the cluster",
            text="VALUE is a YAML or JSON value: a number, a text, a list, a mapping; null takes "
            "the key away, so that its default holds. A mapping for a section (timing) sets the "
            "keys that are in it together. vm_conf takes @FILE. All settings are "
            "checked together, and nothing is written when one of them does not fit. The change "
            "is a new version, which every host takes up within a minute; the version before it "
            "stays in the history.\n\n"
            "Two changes at once do not mix: the second one is told and writes nothing. "
            "timing.io_timeout_s can't be changed while there is a cluster; times that would not "
            "fit together while hosts still have the old ones, and a health page that does not "
            "answer, are refused outside of global maintenance.\n\n"
            "With --type=he_local, host.yaml of this host is changed: bridge, gateway, "
            "libvirt_uri, socket_group, command_users, metrics, migration_address. That holds once "
            "ha-broker and ha-agent are restarted.",
            arguments=("KEY", "VALUE"),
            options=(_TYPE, _WAIT, _TIMEOUT, JSON),
            examples=(
                ("hosted-engine --set-shared-config network.test dns", "Another network test."),
                (
                    "hosted-engine --set-shared-config notifications.rules '[taken-over, stopped]'",
                    "A list.",
                ),
                (
                    "hosted-engine --set-shared-config network '{test: dns, probes: 3}' --wait",
                    "Two keys together; returns when all hosts have them.",
                ),
                ("hosted-engine --set-shared-config vm_conf @engine.xml", "The domain XML."),
            ),
            exit_codes=_NOT_REACHED,
        ),
        Command(
            "--edit-vm-conf",
            run="hosted_engine.config.edit:run_command",
            summary="edit the engine's domain XML",
            text="Opens it in $VISUAL, $EDITOR or vi, has libvirt look at the result, checks that "
            "it carries the engine's lease, shows the difference and asks before it writes a new "
            "version. The engine gets it at its next start. A text that is refused stays in a "
            "file, which is named. Another <name> is possible in global maintenance with the "
            "engine shut down.\n\n"
            "With --from-ovf no editor is opened: what was changed in oVirt's portal (memory, "
            "CPUs, the network cards' addresses, models and links) is taken from the engine's OVF, "
            "or from a copy of the OVF_STORE, in which the engine is found by its UUID. Each "
            "change is told, and so is what is not taken; checks, difference and question are the "
            "same.",
            options=(
                Option(
                    "--from-ovf",
                    metavar="FILE",
                    type=path,
                    completes="file",
                    help="take the changes from this OVF, or OVF_STORE (a tar, or its volume)",
                ),
                Option("--yes", help="write it without asking"),
                _WAIT,
                _TIMEOUT,
            ),
            examples=(
                ("hosted-engine --edit-vm-conf", "Edit, look at the difference, say yes."),
                ("hosted-engine --edit-vm-conf --yes", "In a script, with a program as EDITOR."),
                (
                    "hosted-engine --edit-vm-conf --from-ovf=engine.ovf",
                    "What was changed in oVirt's portal.",
                ),
            ),
            exit_codes=_NOT_REACHED,
        ),
        Command(
            "--shared-config-history",
            run="hosted_engine.config.history:run_history",
            anybody=True,
            summary="show who changed the shared configuration, when, and what",
            text="The last 20 versions are kept on the shared storage, fewer where they are large. "
            "The newest comes first.",
            options=(JSON,),
            examples=(("hosted-engine --shared-config-history", "Who changed what?"),),
        ),
        Command(
            "--shared-config-rollback",
            run="hosted_engine.config.history:run_rollback",
            summary="write an earlier version of the shared configuration as a new one",
            text="VERSION is a number that --shared-config-history shows. Settings and domain XML "
            "are those of that version; the same rules hold as for any other change.",
            arguments=("VERSION",),
            options=(_WAIT, _TIMEOUT, JSON),
            examples=(("hosted-engine --shared-config-rollback 7", "Back to version 7."),),
            exit_codes=_NOT_REACHED,
        ),
        Command(
            "--restore-shared-config",
            run="hosted_engine.config.restore:run_command",
            summary="write the configuration that this host goes by back to the storage",
            text="For a shared configuration that is damaged or gone: what this host's broker has "
            "read before, and still goes by, is written back. The brokers do that by themselves, "
            "unless the lock of writers is gone with it (the volume was cut and grown again), or a "
            "newer version was begun. A whole configuration on the storage is never overwritten.",
            options=(
                Option(
                    "--force",
                    help="also when a newer version was begun that no host has; it gets a number "
                    "above that",
                ),
            ),
            examples=(("hosted-engine --restore-shared-config", "From this host's broker."),),
        ),
    ),
)
