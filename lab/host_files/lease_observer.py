# Runs in a surviving host and says, from sanlock alone, when the engine's lease can be had:
# first a line "owner ID", then, when that host is dead or gone for sanlock, a line "free".
import sys
import time

import sanlock

lockspace, resource, leases, offset = sys.argv[1:]
free = (sanlock.HOST_DEAD, sanlock.HOST_FREE)


def owner():
    disks = [(leases, int(offset))]
    owners = sanlock.read_resource_owners(lockspace.encode(), resource.encode(), disks)
    return owners[0]["host_id"] if owners else None


first = owner()
print("owner", first, flush=True)
while first is not None:
    hosts = sanlock.get_hosts(lockspace.encode(), first)
    if not hosts or hosts[0]["flags"] in free:
        break
    time.sleep(0.1)
print("free", flush=True)
