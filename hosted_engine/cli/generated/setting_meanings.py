# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What each setting means, for the reference. A test holds it against the keys that there are."""

from __future__ import annotations

from collections.abc import Mapping

_PARTS = {
    "lockspace": "sanlock's lockspace",
    "lease": "the engine's lease",
    "metadata": "the hosts' records",
    "shared_config": "the shared configuration",
    "config_lease": "the lock of those who write the shared configuration",
}

CLUSTER: Mapping[str, str] = {
    "engine.domain_name": "the engine's VM in libvirt; the name in its domain XML",
    "engine.fqdn": "the engine's host name; its page is /ovirt-engine/services/health there",
    "engine.health_url": "another page to ask for the engine's health",
    "engine.health_text": "what that page must hold",
    "engine.health_timeout_s": "how long it may take to answer",
    "engine.health_ca_file": "the authority of an https page, on each host; without it its "
    "certificate is not verified",
    "engine.guest_agent": "ask the guest agent, too, whether the guest lives",
    "timing.tick_s": "how often each host reads, writes and decides",
    "timing.alive_s": "a host whose record has not changed for so long is passed over",
    "timing.start_s": "how long libvirt may take to start the VM",
    "timing.starting_s": "how long the guest may take to become healthy; then it is stopped",
    "timing.bad_health_s": "how long the engine may be ill, paused or out of reach; then it is "
    "stopped",
    "timing.stop_s": "how long the guest may take to shut down; then it is switched off",
    "timing.away_s": "how long to wait for the host to which the VM has left",
    "timing.unexpected_down_s": "how long a host lets others go first after the engine was "
    "powered off from inside, or crashed twice",
    "timing.retry_window_s": "how long crashes and failed starts are remembered",
    "timing.turn_s": "how long the next host waits for the one before it to take a free lease",
    "timing.migration_s": "how long a migration may last before it counts as one that hangs",
    "timing.save_s": "how long libvirt may hold the VM paused to save, dump or snapshot it",
    "timing.io_timeout_s": "sanlock's I/O time-out; fixed when the cluster is made",
    "timing.isolated_s": "how long nobody may reach an engine whose host is cut off the network",
    "score.base": "the points of a host without fault",
    "score.network": "what a network costs whose probes are all lost; a part of them costs a part",
    "score.cpu_load": "what a full load of the CPUs costs, without the engine's own",
    "score.cpu_load_from": "from this load on it costs something",
    "score.cpu_load_full": "from this load on it costs all of it",
    "score.vm_config_outdated": "what it costs not to have the newest shared configuration",
    "score.bridge_down": "what a bridge costs that is down",
    "score.memory_low": "what it costs when the engine would not fit into the free memory",
    "score.failed_start": "what each start that failed costs",
    "score.failed_starts_to_zero": "after so many of them the score is 0, for `retry_window_s`",
    "network.bridge": "what a host that joins takes for its `bridge`",
    "network.gateway": "what a host that joins takes for its `gateway`",
    "network.test": "how a host looks whether its network works",
    "network.target": "what is asked for that; none: the gateway, or the name servers of "
    "resolv.conf",
    "network.probes": "how many of the latest probes count",
    "network.probe_timeout_s": "how long each may take",
    "monitors.interval_s": "how often the host itself is measured",
    "monitors.timeout_s": "how long a measurement may take",
    "monitors.memory_needed_mib": "the memory that the engine needs; 0: what its domain XML says",
    "monitors.plugins.NAME.points": "what the plug-in NAME can cost",
    "monitors.plugins.NAME.interval_s": "how often it is asked",
    "monitors.plugins.NAME.timeout_s": "how long it may take",
    "monitors.plugins.NAME.options": "what is handed to it: names and texts",
    "notifications.smtp.server": "the mail server",
    "notifications.smtp.from": "the sender of mails",
    "notifications.smtp.to": "who gets them",
    "notifications.smtp.port": "its port; 0: 25, 587 or 465, by the security",
    "notifications.smtp.security": "whether, and how, the connection is encrypted",
    "notifications.smtp.user": "the name to log in with; with `password_file`",
    "notifications.smtp.password_file": "the file with its password, on each host",
    "notifications.smtp.ca_file": "the server's authority; none: the system's",
    "notifications.smtp.subject": "the subject; what stands in braces is filled in",
    "notifications.smtp.body": "the text, likewise",
    "notifications.smtp.timeout_s": "how long sending may take",
    "notifications.smtp.helo": "the name by which hosts introduce themselves; none: each its own",
    "notifications.webhooks": "the addresses that get each notification as JSON",
    "notifications.webhooks[0].url": "the address",
    "notifications.webhooks[0].secret_file": "the file with the secret that signs, on each host",
    "notifications.webhooks[0].ca_file": "its authority; none: the system's",
    "notifications.webhooks[0].timeout_s": "how long sending may take",
    "notifications.rules": "what is told",
    "notifications.daily_limit": "how many one host tells in 24 hours",
    "notifications.hold_s": "a change is told once it has held for so long",
    "notifications.queue_size": "how many wait on one host while they can't be delivered",
    "migration.uri": "where libvirt of a host is reached; {address}: its `migration_address`",
    "migration.bandwidth_mib_s": "at most so many MiB a second; 0: as fast as it goes",
    "migration.downtime_ms": "how long the VM may be paused for the last step",
    "migration.limit_s": "a move is given up after so long; the engine stays",
    "migration.auto_converge": "slow the guest down when its memory changes faster than it goes",
    "migration.post_copy": "it may go on at the target before all of its memory is there; when "
    "either host dies then, the VM is lost",
    "migration.encrypt": "send the memory by qemu's own TLS; without it, it goes in clear",
    "migration.tries": "how many hosts are tried for one move",
    "migration.at_shutdown": "what becomes of the engine when its host is shut down: moved (or "
    "shut down where no host takes it), shut down, or left",
    "migration.shutdown_s": "how long the shutdown waits for that",
    "migration.better_points": "a host with so many points more than the engine's gets the engine "
    "alive; 0: never",
    "migration.better_s": "... once it has been so for so long without a break",
    "migration.better_per_day": "... at most so often within 24 hours, all hosts together",
    "migration.out_of_reach_s": "how long an engine that nobody reaches is moved alive, over all "
    "hosts, before it is stopped; 0: it is stopped at once",
}

HOST: Mapping[str, str] = {
    "host_id": "the host's number in sanlock's lockspace and its slot",
    "host_name": "its name in the cluster",
    "storage.path": "the file or block device that all hosts share",
    "storage.sector_size": "of the storage, in bytes",
    **{
        f"storage.{name}.{key}": text.format(what)
        for name, what in _PARTS.items()
        for key, text in (
            ("path", "where {} lies; none: on `storage.path`"),
            ("offset", "where {} begins there, in bytes; none: the usual place"),
        )
    },
    "bridge": "the network bridge that is watched",
    "gateway": "the gateway that is asked",
    "libvirt_uri": "this host's libvirt",
    "socket_group": "who may ask the broker, beside root",
    "command_users": "who of them may also set maintenance, and move the engine",
    "migration_address": "how the other hosts' libvirt reaches the one here",
    "metrics.listen": "where Prometheus may ask; none: on the unix socket alone",
    "metrics.certificate_file": "for https; it may hold the key, too",
    "metrics.key_file": "its key",
    "metrics.user": "who may read; with `password_file`",
    "metrics.password_file": "the file with the password",
    "metrics.token_file": "the file with a token, in place of both",
}

CONNECTION: Mapping[str, str] = {
    "storage.connection.server": "the server",
    "storage.connection.export": "what it exports",
    "storage.connection.volume": "its volume",
    "storage.connection.mount_point": "where it is mounted: a folder above `storage.path`",
    "storage.connection.options": "as `mount -o` takes them",
    "storage.connection.device": "the device",
    "storage.connection.vfs_type": "its file system",
    "storage.connection.portal": "the ways to the target",
    "storage.connection.target": "the target",
    "storage.connection.lun": "the unit that is waited for; none: `storage.path`",
    "storage.connection.user": "the name to log in with; with `password_file`",
    "storage.connection.password_file": "the file with its password, root's alone",
}
