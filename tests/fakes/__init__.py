"""Stand-ins for the world, driven by virtual time; the contract suite keeps them honest.

Everything hangs on one `FakeClock`::

    clock = FakeClock()
    runner = InlineRunner(clock)
    san = FakeSan(clock)                        # one for all hosts
    lockspace = FakeLockspace(san, "h1")        # one per host
    hypervisor = FakeHypervisor(lockspace)      # one per host
    store = FakeStore()                         # or FakeStore(volumes) to share bytes

`clock.advance(seconds)` renews host ids, finds hosts dead and kills lease holders, as sanlock
does. A call that takes time (a join) spends it on the clock; inside a job of the
`InlineRunner` the job's outcome appears that much later instead.
"""

from tests.fakes.clock import FakeClock
from tests.fakes.hypervisor import FakeHypervisor
from tests.fakes.lockspace import FakeLockspace, FakeSan
from tests.fakes.network import FakeGateway, FakeHealthPage
from tests.fakes.runner import InlineRunner
from tests.fakes.services import FakeServiceManager
from tests.fakes.store import FakeStore

__all__ = [
    "FakeClock",
    "FakeGateway",
    "FakeHealthPage",
    "FakeHypervisor",
    "FakeLockspace",
    "FakeSan",
    "FakeServiceManager",
    "FakeStore",
    "InlineRunner",
]
