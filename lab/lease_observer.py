# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Runs in a surviving host and says, from sanlock alone, when the engine's lease can be had.

Its source is handed to the host's own python3, which has no other file of the lab. First comes a
line ``owner ID``, and when that host is dead or gone for sanlock, a line ``free``.
"""

import sys
import time
from typing import Optional

import sanlock


def owner(lockspace: bytes, resource: bytes, leases: str, offset: int) -> Optional[int]:
    """The host id that the lease on the storage names."""
    owners = sanlock.read_resource_owners(lockspace, resource, [(leases, offset)])
    return int(owners[0]["host_id"]) if owners else None


def is_gone(lockspace: bytes, host_id: int) -> bool:
    """Whether a host's leases can be taken over."""
    hosts = sanlock.get_hosts(lockspace, host_id)
    return not hosts or hosts[0]["flags"] in (sanlock.HOST_DEAD, sanlock.HOST_FREE)


def main(lockspace: str, resource: str, leases: str, offset: str) -> None:
    """Watch until the lease is free."""
    holder = owner(lockspace.encode(), resource.encode(), leases, int(offset))
    print("owner", holder, flush=True)
    while holder is not None and not is_gone(lockspace.encode(), holder):
        time.sleep(0.1)
    print("free", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
