# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Runs in a host and says, from the storage alone, who holds the engine's lease.

Its source is handed to the host's own python3, which has no other file of the lab. A line for each
change: the owner's host id, or 0 while nobody holds it. It ends when its input does: a signal would
reach the program that has entered the host, and not this one.
"""

import select
import sys

import sanlock

EVERY_S = 0.05


def main(lockspace: str, resource: str, leases: str, offset: str) -> None:
    """Until the input ends."""
    told = ""
    ended = False
    while not ended:
        names = lockspace.encode(), resource.encode()
        owners = sanlock.read_resource_owners(*names, [(leases, int(offset))])
        held = str(owners[0]["host_id"]) if owners else "0"
        if held != told:
            print(held, flush=True)
            told = held
        ended = bool(select.select([sys.stdin], [], [], EVERY_S)[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
