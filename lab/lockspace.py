# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What sanlock says on a host, asked of sanlock itself and not of the product."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from lab import host
from lab.errors import LabError
from lab.processes import machine_clock_s
from lab.settings import HOST_LEASES, LEASE_OFFSET, LOCKSPACE, RESOURCE, Places

ANSWER_TIMEOUT_S = 5.0
LIST_LIVE = (
    "import sys, sanlock; "
    "hosts = sanlock.get_hosts(sys.argv[1].encode()); "
    "print(*(one['host_id'] for one in hosts if one['flags'] == sanlock.HOST_LIVE))"
)


def live_hosts(places: Places, name: str) -> list[str]:
    """The hosts that sanlock on one host calls alive, itself included; none when it is no member.

    A host that has just joined calls nobody alive before it has seen two renewals.
    """
    try:
        answer = host.run_in(
            places, name, ["/usr/bin/python3", "-c", LIST_LIVE, LOCKSPACE], ANSWER_TIMEOUT_S
        )
    except LabError:
        return []
    return [f"h{number}" for number in answer.split()]


def all_know_all(places: Places, hosts: Sequence[str]) -> bool:
    """Whether sanlock on every host calls every host alive."""
    return all(sorted(live_hosts(places, name)) == sorted(hosts) for name in hosts)


def clock_origin_s(places: Places, name: str) -> float:
    """The machine's clock when the monotonic clock of a host was zero."""
    pid = host.require_leader(places, name)
    return machine_clock_s() - time.monotonic() - _offset_s(Path(f"/proc/{pid}/timens_offsets"))


def last_renewal_s(places: Places, reader: str, dead: str, origin_s: float) -> float:
    """The machine's clock at a host's last renewal, as another host reads it from the storage.

    sanlock writes whole seconds of the dead host's clock: the renewal was up to 1 s later.
    """
    lease = f"{LOCKSPACE}:{dead[1:]}:{HOST_LEASES}:0"
    return origin_s + _written_s(places, reader, ["-s", lease])


def lease_taken_s(places: Places, owner: str) -> float:
    """The machine's clock when the engine's lease was taken by its present owner.

    sanlock writes whole seconds of the owner's clock as it commits: up to 1 s later in truth.
    """
    lease = f"{LOCKSPACE}:{RESOURCE}:{HOST_LEASES}:{LEASE_OFFSET}"
    return clock_origin_s(places, owner) + _written_s(places, owner, ["-r", lease])


def _written_s(places: Places, reader: str, what: list[str]) -> int:
    answer = host.run_in(places, reader, ["sanlock", "direct", "read_leader", *what])
    for line in answer.splitlines():
        key, _, value = line.partition(" ")
        if key == "timestamp" and value.isdigit():
            return int(value)
    raise LabError(f"{reader}: sanlock names no time for {what[-1]}: {answer.strip()!r}")


def _offset_s(table: Path) -> float:
    """How far the monotonic clock of a time namespace is ahead of the machine's."""
    try:
        lines = table.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return 0.0
    fields = next(line.split() for line in lines if line.startswith("monotonic"))
    return int(fields[1]) + int(fields[2]) / 1e9
