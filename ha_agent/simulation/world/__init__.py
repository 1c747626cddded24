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

from ha_agent.simulation.world.clock import CallHangs, HostClock, ProcessEnded, VirtualClock
from ha_agent.simulation.world.courier import SimCourier, SimPostOffice
from ha_agent.simulation.world.history import SimHistory
from ha_agent.simulation.world.hypervisor import Guest, SimHypervisor
from ha_agent.simulation.world.lockspace import SimLockspace, SimSan
from ha_agent.simulation.world.memory import SimMemoryStore, SimProcesses
from ha_agent.simulation.world.network import SimHealthPage, SimNetworkProbe
from ha_agent.simulation.world.runner import InlineRunner
from ha_agent.simulation.world.services import SimServiceManager
from ha_agent.simulation.world.store import SimStore
from ha_agent.simulation.world.vitals import SimVitals

__all__ = [
    "CallHangs",
    "Guest",
    "HostClock",
    "InlineRunner",
    "ProcessEnded",
    "SimCourier",
    "SimHealthPage",
    "SimHistory",
    "SimHypervisor",
    "SimLockspace",
    "SimMemoryStore",
    "SimNetworkProbe",
    "SimPostOffice",
    "SimProcesses",
    "SimSan",
    "SimServiceManager",
    "SimStore",
    "SimVitals",
    "VirtualClock",
]
