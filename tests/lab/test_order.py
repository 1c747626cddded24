# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Who starts before whom, and who stops after whom, when a host boots and shuts down: its journal.

Beside the engine's services the host has a VM of its own, which starts with libvirt and takes no
order to shut down: where libvirt-guests is used it waits for it in vain.
"""

import re
from collections.abc import Iterator

import pytest

from tests.lab.verbs import LabVerbs, scaled

GUEST = """<domain type='qemu'><name>Other</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><on_crash>destroy</on_crash>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices></domain>"""
FILE = "/root/other.xml"
GROUPS = "/sys/fs/cgroup"
NO_SCOPES = "cgroup v2 has no controllers on the lab's hosts, so libvirt gives its guests no scope"
GUESTS = "libvirt-guests.service"
AT_BOOT = (
    *("Started lab-leases.service", "Started sanlock.service", "Finished ha-lockspace.service"),
    *("Started libvirtd.service", "Started ha-broker.service", "Started ha-agent.service"),
)
SCOPE = r"machine-qemu\S*Other\.scope"
# libvirt says it of each guest that runs as root, as all do in the lab, as it starts it.
STARTED = rf"Started {SCOPE}|libvirtd\[\d+\]: Domain id=\d+ name='Other' .* is tainted"


def place(journal: str, pattern: str) -> int:
    """The line in which it stands first."""
    lines = journal.splitlines()
    found = [number for number, line in enumerate(lines) if re.search(pattern, line)]
    assert found, f"{pattern} is not in:\n{journal}"
    return found[0]


def in_order(journal: str, *patterns: str) -> None:
    places = [place(journal, pattern) for pattern in patterns]
    assert places == sorted(places), dict(zip(patterns, places))


@pytest.fixture(params=["with libvirt-guests", "without"])
def host(lab: LabVerbs, request: pytest.FixtureRequest) -> Iterator[tuple[str, bool]]:
    """One without the engine, and whether libvirt-guests is used there."""
    status = lab.status()
    name = str(next(one for one in status["hosts"] if one != status["engine"]["host"]))
    used = request.param != "without"
    if not used:
        lab.on(name, "systemctl", "disable", "--now", GUESTS)
    lab.on(name, "sh", "-c", f"cat > {FILE} <<'END'\n{GUEST}\nEND\n")
    lab.on(name, "virsh", "-q", "define", FILE)
    lab.on(name, "virsh", "-q", "autostart", "Other")
    yield name, used
    lab.attempt("on", name, "virsh", "-q", "destroy", "Other")
    lab.on(name, "virsh", "-q", "undefine", "Other")
    lab.on(name, "rm", FILE)
    if not used:
        lab.on(name, "systemctl", "enable", "--now", GUESTS)


def gives_scopes(lab: LabVerbs, host: str) -> bool:
    """Does libvirt give a guest a scope of its own there?

    It takes a cgroup2 without controllers, where there is no other hierarchy, for none at all
    (`virCgroupV2Available`), and leaves its guests in the group of its own service.
    """
    kind = lab.on(host, "stat", "--file-system", "--format=%T", GROUPS).strip()
    return kind != "cgroup2fs" or lab.on(host, "cat", f"{GROUPS}/cgroup.controllers").strip() != ""


def other_runs(lab: LabVerbs, host: str) -> bool:
    asked = lab.attempt("on", host, "virsh", "-q", "domstate", "Other")
    return asked.stdout.strip() == "running"


def is_booted(lab: LabVerbs, host: str) -> bool:
    """Has its start ended, and has it joined the lockspace? Units that failed do not matter."""
    asked = lab.attempt("on", host, "systemctl", "is-system-running")
    joined = f"hosted-engine:{host[1:]}:" in lab.on(host, "sanlock", "client", "status")
    return joined and asked.stdout.strip() in ("running", "degraded")


def test_a_host_starts_and_stops_in_order(lab: LabVerbs, host: tuple[str, bool]) -> None:
    name, with_guests = host
    lab("shutdown", name)
    lab("power-on", name)
    lab.wait_until("the other VM runs", lambda: other_runs(lab, name), scaled(60))
    # A boot that is under way is no state to shut down from: it would be cut short.
    lab.wait_until("the boot is over", lambda: is_booted(lab, name), scaled(60))
    boot = lab.on(name, "journalctl", "--boot", "--no-pager")
    in_order(boot, *AT_BOOT)
    in_order(boot, "Started lab-leases.service", "Started sanlock.service", STARTED)
    scoped = gives_scopes(lab, name)

    lab("shutdown", name)
    lab("power-on", name)
    before = lab.on(name, "journalctl", "--boot=-1", "--no-pager")
    stopped = before[before.rindex("Stopping ha-agent.service") :]
    asked = ("Stopped libvirt-guests.service",) if with_guests else ()
    in_order(
        stopped,
        *("Stopped ha-agent.service", *asked),
        *("Stopped ha-broker.service", "is not in the lockspace any more"),
        *("Stopped sanlock.service", "Stopped lab-leases.service"),
    )
    assert ("libvirt-guests.service" in stopped) is with_guests
    assert "sanlock.service: State 'stop-sigterm' timed out" not in stopped
    if not scoped:
        pytest.skip(f"all but when the other guest ends: {NO_SCOPES}")
    in_order(
        stopped,
        *("Stopped ha-agent.service", rf"{SCOPE}: (Deactivated|Succeeded)"),
        *("is not in the lockspace any more", "Stopped sanlock.service"),
    )
