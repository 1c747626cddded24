# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A VM that a move has left paused with its lease: nothing lets it go on, so it is started anew.

sanlock answers one question about a process at a time, and refuses libvirt the lease's release
while somebody else asks about qemu. Here somebody asks without a pause.
"""

import contextlib
import time
from collections.abc import Iterator

from tests.lab.real_story import DOMAIN
from tests.lab.test_moves import COMMAND
from tests.lab.verbs import LabError, LabVerbs, scaled

ASKERS = 3
ASK = """import sanlock, sys
while True:
    try:
        sanlock.inquire(pid=int(sys.argv[1]))
    except sanlock.SanlockException:
        pass
"""
PID_FILE = f"/run/libvirt/qemu/{DOMAIN}.pid"
# A move may get through between two questions, or libvirt is refused before it pauses the VM.
MOST_MOVES = 8
MOVE_S = 15.0
# timing.away_s, the agent's looks, and the guest's boot.
AWAY_S, LOOKS_S, BOOT_S = 40.0, 20.0, 60.0


@contextlib.contextmanager
def asked_all_the_time(lab: LabVerbs, host: str) -> Iterator[None]:
    """sanlock has hardly a moment for libvirt there, as far as the engine's process goes."""
    lab.on(host, "sh", "-c", f"cat > /root/ask.py <<'END'\n{ASK}END\n")
    pid = lab.on(host, "cat", PID_FILE).strip()
    units = [f"ask-sanlock-{number}" for number in range(ASKERS)]
    try:
        for unit in units:
            asker = ("python3", "/root/ask.py", pid)
            lab.on(host, "systemd-run", "--quiet", "--collect", f"--unit={unit}", *asker)
        yield
    finally:
        lab.attempt("on", host, "systemctl", "stop", *units)


def move_that_strands_it(lab: LabVerbs) -> tuple[str, str]:
    """Where the VM is paused with its lease now, and its boot."""
    for _ in range(MOST_MOVES):
        source, _, boot = lab.engine_identity()
        target = next(name for name in lab.status()["hosts"] if name != source)
        with asked_all_the_time(lab, source):
            ordered = lab.attempt("on", source, COMMAND, "--vm-migrate", f"--to={target}")
            if ordered.returncode == 0 and ends_stranded(lab, source):
                return source, str(boot)
        lab.wait_settled()
    raise LabError(f"none of {MOST_MOVES} moves has left it paused")


def ends_stranded(lab: LabVerbs, source: str) -> bool:
    """Or has it left, or runs on, as libvirt was refused at another moment?"""
    deadline_s = time.monotonic() + scaled(MOVE_S)
    while time.monotonic() < deadline_s:
        shown = lab.attempt("on", source, "virsh", "domstate", "--reason", DOMAIN).stdout
        job = lab.attempt("on", source, "virsh", "domjobinfo", DOMAIN).stdout
        if "paused" in shown and "None" in job:
            return True
        if "running" not in shown and "paused" not in shown:
            return False
        time.sleep(0.5)
    return False


def test_a_vm_left_paused_with_its_lease_is_started_anew(lab: LabVerbs) -> None:
    source, boot = move_that_strands_it(lab)
    began_s = time.monotonic()
    pid = lab.on(source, "cat", PID_FILE).strip()
    held = lab.on(source, "sanlock", "client", "status")
    assert f"p {pid}\n" in held[held.index("r hosted-engine:engine:") :], held

    def is_another_boot() -> bool:
        engine = lab.status()["engine"]
        return bool(engine["healthy"]) and engine["boot_id"] not in (None, boot)

    lab.wait_until("the engine runs anew", is_another_boot, scaled(AWAY_S + LOOKS_S + BOOT_S))
    took_s = time.monotonic() - began_s
    print(f"healthy {took_s:.1f} s after it was left paused (away_s {AWAY_S:g})")
    assert took_s >= AWAY_S - LOOKS_S
    told = lab.on(source, "journalctl", "--no-pager", "--identifier=ha-agent", "--since=-10min")
    assert "EngineStop => EngineForceStop: the VM is paused for good" in told
    # Neither the host nor the guest is blamed for it.
    assert lab.status()["hosts"][source]["score"] == 3400
