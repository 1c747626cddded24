# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --vm-shutdown`` and ``--vm-poweroff``, on this host's libvirt."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Optional

from hosted_engine.cli.wait import follow, wait_s
from hosted_engine.errors import EXIT_OK, CommandError
from hosted_engine.host.error_lines import told
from hosted_engine.vm.engine_access import EngineAccess, domain_here, engine_here, look, order
from world.ports.libvirt import Domain, DomainState

WAIT_S = 300.0
# libvirt asks qemu to end, kills it after 10 s, and gives up some time later.
ORDER_LIMIT_S = 60.0

ENDED = "the engine's VM has ended on this host"
STARTED_AGAIN = (
    "The cluster is not in global maintenance: the hosts will start the engine again "
    "(hosted-engine --set-maintenance --mode=global prevents that)."
)
MAINTENANCE_UNKNOWN = (
    "Whether the cluster is in global maintenance is not known, for the broker does not answer: "
    "the hosts may start the engine again."
)


def run_shutdown_command(options: argparse.Namespace) -> int:
    """``--vm-shutdown``."""
    timeout_s = wait_s(options, WAIT_S)
    return stop(engine_here(), graceful=True, timeout_s=timeout_s)


def run_poweroff_command(options: argparse.Namespace) -> int:
    """``--vm-poweroff``."""
    timeout_s = wait_s(options, WAIT_S)
    return stop(engine_here(), graceful=False, timeout_s=timeout_s)


def stop(engine: EngineAccess, graceful: bool, timeout_s: Optional[float] = None) -> int:
    """Ask the guest to power off, or switch it off; follow it when a time for that is given.

    Raises CommandError when the VM is not here or libvirt refuses.
    """
    domain = domain_here(engine)
    if graceful and domain.state is DomainState.PAUSED:
        raise CommandError(
            f"the engine's VM is paused ({domain.detail or 'no reason given'}), so its guest "
            f"can't power off: let it run (virsh -c {engine.libvirt_uri} resume {engine.name}) or "
            "switch it off (hosted-engine --vm-poweroff)"
        )
    with told():
        order(engine.hypervisor.shutdown if graceful else engine.hypervisor.destroy, ORDER_LIMIT_S)
    print(f"The engine's VM was {'asked to power off' if graceful else 'switched off'}.")
    snapshot = engine.ask_broker()
    if snapshot is None or snapshot.global_maintenance is None:
        print(MAINTENANCE_UNKNOWN, flush=True)
    elif not snapshot.global_maintenance:
        print(STARTED_AGAIN, flush=True)
    if timeout_s is not None:
        follow_stop(engine, domain, graceful, timeout_s)
    return EXIT_OK


def follow_stop(engine: EngineAccess, domain: Domain, graceful: bool, timeout_s: float) -> None:
    """Until this VM is gone; raises NotReachedError."""
    goal = f"{ENDED} (hosted-engine --vm-poweroff switches it off)" if graceful else ENDED
    follow(partial(_missing, engine, domain), goal, timeout_s)
    print(f"Reached: {ENDED}.")


def _missing(engine: EngineAccess, stopped: Domain, allowed_s: float) -> str:
    """Another process is another life: the hosts may have started the engine again, here too."""
    now = look(engine, allowed_s)
    another = stopped.pid is not None and now.pid not in (None, stopped.pid)
    if now.state is DomainState.ABSENT or another:
        return ""
    return f"the VM is {now.state.value} still"
