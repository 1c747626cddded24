# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Stand-ins for the world, driven by virtual time; the contract suite keeps them honest.

Everything hangs on one `VirtualClock`::

    clock = VirtualClock()
    runner = InlineRunner(clock)
    san = SimSan(clock)                        # one for all hosts
    lockspace = SimLockspace(san, "h1")        # one per host
    hypervisor = SimHypervisor(lockspace)      # one per host
    store = SimStore()                         # or SimStore(volumes) to share bytes

`clock.advance(seconds)` renews host ids, finds hosts dead and kills lease holders, as sanlock
does. A call that takes time (a join) spends it on the clock; inside a job of the
`InlineRunner` the job's outcome appears that much later instead.
"""

from simulation.world.clock import CallHangs, HostClock, ProcessEnded, VirtualClock
from simulation.world.domain_reader import SimDomainReader
from simulation.world.history import SimHistory
from simulation.world.host_vitals import SimVitals
from simulation.world.hypervisor import Guest, SimHypervisor
from simulation.world.lockspace import SimLockspace, SimSan
from simulation.world.memory import SimMemoryStore, SimProcesses
from simulation.world.network import SimHealthPage, SimNetworkProbe
from simulation.world.notification_sender import SimNotificationSender, SimPostOffice
from simulation.world.runner import InlineRunner
from simulation.world.sanlock_sectors import SanlockSectors, leader_record
from simulation.world.services import SimServiceManager
from simulation.world.store import SimStore

__all__ = [
    "CallHangs",
    "Guest",
    "HostClock",
    "InlineRunner",
    "ProcessEnded",
    "SanlockSectors",
    "SimDomainReader",
    "SimHealthPage",
    "SimHistory",
    "SimHypervisor",
    "SimLockspace",
    "SimMemoryStore",
    "SimNetworkProbe",
    "SimNotificationSender",
    "SimPostOffice",
    "SimProcesses",
    "SimSan",
    "SimServiceManager",
    "SimStore",
    "SimVitals",
    "VirtualClock",
    "leader_record",
]
