# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The engine VM as the lab sees it from outside: its process, its health, its misfortunes."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from lab import host, lan, processes
from lab.errors import LabError
from lab.processes import Process, run, wait_until
from lab.settings import (
    CONTROL_PORT,
    ENGINE_ADDRESS,
    ENGINE_NAME,
    HOST_FABRIC,
    HOST_GUEST_FILES,
    HOST_LEASES,
    LEASE_OFFSET,
    LOCKSPACE,
    RESOURCE,
    Places,
)
from lab.state import Lab
from lab.templates import render

# What is done from inside the guest, and by which qemu process state or page it is seen done.
GUEST_DEEDS = ("crash", "hang", "shutdown", "fill-memory", "start-service", "stop-service")
DEEDS = ("kill", *GUEST_DEEDS)
DEED_TIMEOUT_S = 20.0
FILL_TIMEOUT_S = 120.0
LIBVIRT_TIMEOUT_S = 3.0
FETCH = (
    "import sys, urllib.request as request; "
    "direct = request.build_opener(request.ProxyHandler({})); "
    "print(direct.open(sys.argv[1], timeout=5).read().decode())"
)
# Both releases' qemu have it. Under a name that means each one's own newest, the newer qemu could
# not send a guest to the older one.
MACHINE = "pc-i440fx-7.2"
_CPU = {"kvm": "<cpu mode='host-passthrough'/>", "tcg": ""}
_TYPE = {"kvm": "kvm", "tcg": "qemu"}


@dataclass(frozen=True)
class Running:
    """One live qemu process of the engine, and the host it is in."""

    host: str
    process: Process


def domain_xml(lab: Lab) -> str:
    """The engine's domain, the same on every host."""
    values = {
        "TYPE": _TYPE[lab.accelerator],
        "MACHINE": MACHINE,
        "CPU": _CPU[lab.accelerator],
        "NAME": ENGINE_NAME,
        "MEMORY_MIB": lab.memory_mib,
        "GUEST_FILES": HOST_GUEST_FILES,
        "FABRIC": HOST_FABRIC,
        "LEASES": HOST_LEASES,
        "LOCKSPACE": LOCKSPACE,
        "RESOURCE": RESOURCE,
        "LEASE_OFFSET": LEASE_OFFSET,
    }
    return render("host_files/engine.xml", values)


def processes_of(places: Places, lab: Lab) -> list[Running]:
    """Every live qemu process of the engine, found without asking the product or libvirt."""
    leaders = {name: host.leader(places, name) for name in lab.hosts}
    by_namespace = {
        processes.namespace(pid, "pid"): name for name, pid in leaders.items() if pid is not None
    }
    found = []
    for process in processes.processes():
        if _is_engine(process):
            name = by_namespace.get(processes.namespace(process.pid, "pid"))
            if name is not None:
                found.append(Running(name, process))
    return found


def running(places: Places, lab: Lab) -> list[Running]:
    """The qemu processes in which the engine may be executing.

    Of several, those that libvirt keeps paused do not count: a paused one has lost its lease
    and cannot go on before it has it back.
    """
    found = processes_of(places, lab)
    return found if len(found) < 2 else [one for one in found if not is_paused(places, one.host)]


def let_libvirt_look(places: Places, name: str) -> None:
    """Let a host's libvirt examine its qemu, as it does before the first domain's start."""
    host.run_in(places, name, ["virsh", "domcapabilities", "--virttype", "qemu"])


def is_paused(places: Places, name: str) -> bool:
    """Whether a host's libvirt says that its engine is paused."""
    try:
        state = host.run_in(places, name, ["virsh", "domstate", ENGINE_NAME], LIBVIRT_TIMEOUT_S)
    except LabError:
        return False
    return state.strip() == "paused"


def the_only_one(places: Places, lab: Lab) -> Running:
    """The engine's qemu process; an error when there is none, or more than one."""
    found = running(places, lab)
    if len(found) != 1:
        where = ", ".join(one.host for one in found) or "no host"
        raise LabError(f"the engine VM runs on {where}: nothing done")
    return found[0]


def do(places: Places, lab: Lab, deed: str) -> None:
    """Do something to the engine and wait until it is seen done."""
    engine = the_only_one(places, lab)
    if deed == "kill":
        processes.send(engine.process.pid, signal.SIGKILL)
    else:
        _ask_guest(places, engine.host, deed)
    if deed == "fill-memory":
        wait_until("memory filled", lambda: _is_filled(places, engine.host), FILL_TIMEOUT_S, 1.0)
    else:
        _wait_done(engine, deed)


def _is_filled(places: Places, name: str) -> bool:
    """A guest that is busy with it may not answer in time."""
    try:
        _ask_guest(places, name, "filled")
    except LabError:
        return False
    return True


def _wait_done(engine: Running, deed: str) -> None:
    pid = engine.process.pid
    if deed in ("kill", "crash", "shutdown"):
        if not processes.wait_gone(pid, DEED_TIMEOUT_S):
            raise LabError(f"engine {deed}: its qemu process {pid} is still there")
    elif deed == "start-service":
        wait_until("engine service answers", lan.engine_is_healthy, DEED_TIMEOUT_S)
    else:
        wait_until("engine service silent", lambda: not lan.engine_is_healthy(), DEED_TIMEOUT_S)
        if processes.process(pid) is None:
            raise LabError(f"engine {deed}: its qemu process {pid} is gone")


def _ask_guest(places: Places, name: str, deed: str) -> None:
    """Ask the guest's own control page, from its host's side of any cut cable."""
    url = f"http://{ENGINE_ADDRESS}:{CONTROL_PORT}/cgi-bin/control?{deed}"
    pid = host.require_leader(places, name)
    fetch = ["/usr/bin/python3", "-c", FETCH, url]
    try:
        answer = run(["nsenter", f"--target={pid}", "--net", "--", *fetch], timeout_s=10)
    except LabError as error:
        raise LabError(f"engine {deed}: the guest does not answer") from error
    if answer.split() != ["done"]:
        raise LabError(f"engine {deed}: the guest says {answer.strip()!r}")


def _is_engine(process: Process) -> bool:
    return process.program.startswith("qemu-system") and any(
        word.startswith(f"guest={ENGINE_NAME},") for word in process.command
    )
