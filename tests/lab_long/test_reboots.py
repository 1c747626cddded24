# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Each host is restarted by the administrator's ordinary command, with the engine on it."""

from tests.lab.test_moves import COMMAND, LONGEST_GAP_S
from tests.lab.verbs import LabVerbs, scaled
from tests.lab.watching import watched_while

WHO = "hosted-engine-ha"
SHOWN_S = 10.0


def test_each_host_restarts_in_turn_and_the_engine_stays_up(lab: LabVerbs) -> None:
    _, _, boot = lab.engine_identity()
    for host in lab.status()["hosts"]:
        _bring_it_to(lab, host)
        gap_s = watched_while(lab, lambda name=host: print(lab("reboot", name).strip()))
        moved_to, _, boot_after = lab.engine_identity()
        print(f"{host} => {moved_to}: longest gap {gap_s:.2f} s")
        assert moved_to != host
        assert boot_after == boot
        assert gap_s <= scaled(LONGEST_GAP_S)
        lab.wait_settled()


def test_logind_names_the_engines_host_alone_as_one_that_takes_a_while(lab: LabVerbs) -> None:
    engine_host = lab.engine_host()
    for host in lab.status()["hosts"]:
        _bring_it_to(lab, host)
        lab.wait_until("the lock", lambda name=host: _is_shown(lab, name), scaled(SHOWN_S))
        others = [name for name in lab.status()["hosts"] if name != host]
        for name in others:
            lab.wait_until("no lock", lambda name=name: not _is_shown(lab, name), scaled(SHOWN_S))
    _bring_it_to(lab, engine_host)


def _is_shown(lab: LabVerbs, host: str) -> bool:
    shown = lab.on(host, "systemd-inhibit", "--list", "--no-legend")
    return any(
        line.split()[0] == WHO and "moves to another host first" in line and "delay" in line
        for line in shown.splitlines()
        if line.strip()
    )


def _bring_it_to(lab: LabVerbs, host: str) -> None:
    where = lab.engine_host()
    if where != host:
        lab.on(where, COMMAND, "--vm-migrate", f"--to={host}", "--wait", "--timeout=60")
        lab.wait_settled()
