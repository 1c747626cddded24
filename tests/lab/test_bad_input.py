# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What must not happen when what the hosts find is wrong: on real hosts, seen from outside."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, Optional

from tests.lab.verbs import LabError, LabVerbs, is_settled, scaled

LEASES = "/srv/san/leases"
METADATA_OFFSET = 2 * 1024 * 1024
SLOT_SIZE = 4096
QEMU_CONF = "/etc/libvirt/qemu.conf"
HOST_YAML = "/etc/hosted-engine-ha/host.yaml"
ANSWERS = "/root/answers.yaml"
# Not random: a first byte that happens to be NUL would be a slot of nobody.
GARBAGE = r"tr '\000' '\377' </dev/zero"


def wait_until(what: str, look: Callable[[], Optional[str]], timeout_s: float) -> None:
    """Until `look` has nothing to complain of."""
    deadline_s = time.monotonic() + scaled(timeout_s)
    while (complaint := look()) is not None:
        if time.monotonic() > deadline_s:
            raise LabError(f"{what}: {complaint}")
        time.sleep(0.5)


def refused(lab: LabVerbs, host: str, *command: str) -> str:
    """A command that must fail with one line of standard error, which is returned."""
    done = lab.attempt("on", host, *command)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def hosts_json(lab: LabVerbs, host: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lab.on(host, "hosted-engine", "--vm-status", "--json"))
    return found


def scribble(lab: LabVerbs, host: str, slot: int, source: str) -> None:
    """Overwrite one slot, past everything that would mind."""
    offset = METADATA_OFFSET // SLOT_SIZE + slot
    lab.on(host, "sh", "-c", f"{source} | dd of={LEASES} bs={SLOT_SIZE} seek={offset} count=1 "
           "iflag=fullblock oflag=direct conv=notrunc status=none")  # fmt: skip


def other_than(lab: LabVerbs, host: str) -> list[str]:
    return [name for name in lab.status()["hosts"] if name != host]


@contextmanager
def global_maintenance(lab: LabVerbs, host: str) -> Iterator[None]:
    lab.on(host, "hosted-engine", "--set-maintenance", "--mode=global")
    try:
        yield
    finally:
        lab.on(host, "hosted-engine", "--set-maintenance", "--mode=none")


def test_garbage_in_a_slot_is_named_and_hides_no_host(lab: LabVerbs) -> None:
    before = lab.engine_identity()
    scribble(lab, "h1", 7, GARBAGE)
    try:
        # Slots of nobody are looked at by the command that reads the volume itself.
        volume = f"{LEASES}:{METADATA_OFFSET}"
        shown = lab.on("h1", "hosted-engine", "--vm-status", "--json", "--metadata", volume)
        found = json.loads(shown)
        assert "slot 7" in found["7"]["error"]
        assert [found[name]["hostname"] for name in ("1", "2", "3")] == ["h1", "h2", "h3"]
        assert all(found[name]["live-data"] for name in ("1", "2", "3"))
    finally:
        scribble(lab, "h1", 7, "head -c 4096 /dev/zero")
    assert is_settled(lab.status())
    assert lab.engine_identity() == before


def test_a_host_repairs_its_own_slot_and_no_other(lab: LabVerbs) -> None:
    before = lab.engine_identity()
    victim = other_than(lab, before[0])[-1]
    number = victim[1:]
    scribble(lab, before[0], int(number), GARBAGE)

    def look() -> Optional[str]:
        host = hosts_json(lab, before[0]).get(number, {})
        whole = host.get("hostname") == victim and host.get("live-data") and "error" not in host
        return None if whole else str(host)

    wait_until("the slot is whole again", look, 30)
    assert lab.engine_identity() == before


def test_a_corrupt_slot_0_neither_moves_the_engine_nor_lasts(lab: LabVerbs) -> None:
    before = lab.engine_identity()
    scribble(lab, "h1", 0, GARBAGE)
    time.sleep(scaled(12))  # two cycles of everybody, in which nothing may happen
    assert lab.engine_identity() == before
    lab.on("h1", "hosted-engine", "--set-maintenance", "--mode=global")
    lab.wait_for("global maintenance", lambda status: all(
        host["state"] == "GlobalMaintenance" for host in status["hosts"].values()), 30)  # fmt: skip
    lab.on("h1", "hosted-engine", "--set-maintenance", "--mode=none")
    lab.wait_settled()
    assert lab.engine_identity() == before


def test_a_second_start_is_refused_with_the_holders_name(lab: LabVerbs) -> None:
    before = lab.engine_identity()
    here = refused(lab, before[0], "hosted-engine", "--vm-start")
    assert before[0] in here or "already" in here
    elsewhere = refused(lab, other_than(lab, before[0])[0], "hosted-engine", "--vm-start")
    assert before[0] in elsewhere
    assert lab.engine_identity() == before


def test_local_maintenance_is_refused_where_nobody_can_take_the_engine(lab: LabVerbs) -> None:
    before = lab.engine_identity()
    others = other_than(lab, before[0])
    try:
        for other in others:
            lab.on(other, "hosted-engine", "--set-maintenance", "--mode=local")
        lab.wait_for(
            "local maintenance",
            lambda status: (
                {status["hosts"][other]["state"] for other in others} == {"LocalMaintenance"}
            ),
            30,
        )
        assert hosts_json(lab, others[0])["global_maintenance"] is False
        # A tick later the engine's host knows it, too.
        lab.wait_for("their records", lambda _status: _all_say_so(lab, before[0], others), 30)
        why = refused(lab, before[0], "hosted-engine", "--set-maintenance", "--mode=local")
        for other in others:
            assert f"{other}: it is in local maintenance" in why
    finally:
        for other in others:
            lab.on(other, "hosted-engine", "--set-maintenance", "--mode=none")
    lab.wait_settled()
    assert lab.engine_identity() == before


def _all_say_so(lab: LabVerbs, viewer: str, others: list[str]) -> bool:
    views = lab.snapshot(viewer)["hosts"]
    return all(view["record"]["maintenance"] for view in views
               if view["record"]["hostname"] in others)  # fmt: skip


def test_storage_in_use_is_not_formatted(lab: LabVerbs) -> None:
    before = lab.engine_identity()
    newcomer = other_than(lab, before[0])[0]
    settings = lab.on(newcomer, "cat", HOST_YAML)
    for words in ((), ("--force",)):
        # The answers are for creating a cluster; the host that asks is a member already, so
        # its settings are put aside to make it ask at all.
        lab.on(newcomer, "mv", HOST_YAML, "/root/aside.yaml")
        try:
            lab.on("h1", "true")
            answers = lab.on("h1", "cat", ANSWERS)
            lab.on(newcomer, "sh", "-c", f"cat > /root/create.yaml <<'EOF'\n{answers}\nEOF")
            command = ("hosted-engine", "--deploy", "--config-append=/root/create.yaml", *words)
            done = lab.attempt("on", newcomer, *command)
            assert done.returncode == 1, done.stdout + done.stderr
            assert "Traceback" not in done.stdout + done.stderr
        finally:
            lab.on(newcomer, "mv", "/root/aside.yaml", HOST_YAML)
    assert lab.on(newcomer, "cat", HOST_YAML) == settings
    assert lab.engine_identity() == before


def test_libvirt_without_its_lock_manager_runs_no_guest(lab: LabVerbs) -> None:
    host = lab.engine_host()
    careless = other_than(lab, host)[-1]
    with global_maintenance(lab, host):
        lab.on(host, "hosted-engine", "--vm-poweroff")
        lab.wait_for("the engine is off", lambda status: not status["engine"]["hosts"], 30)
        lab.on(careless, "sed", "-i.kept", "s/^lock_manager/#lock_manager/", QEMU_CONF)
        lab.on(careless, "systemctl", "restart", "libvirtd")
        try:
            why = refused(lab, careless, "hosted-engine", "--vm-start")
            assert "lock_manager" in why
            status = lab.status()["engine"]
            assert not status["hosts"] + status["paused_on"]
        finally:
            lab.on(careless, "mv", f"{QEMU_CONF}.kept", QEMU_CONF)
            lab.on(careless, "systemctl", "restart", "libvirtd")
    lab.wait_settled()


def test_a_wrong_host_id_stays_without_effect_on_its_owner(lab: LabVerbs) -> None:
    before = lab.engine_identity()
    wrong, owner = other_than(lab, before[0])
    settings = lab.on(wrong, "cat", HOST_YAML)
    number, taken = wrong[1:], owner[1:]
    lab.on(wrong, "systemctl", "stop", "ha-agent", "ha-broker")
    lab.on(wrong, "sed", "-i", f"s/^host_id: {number}$/host_id: {taken}/", HOST_YAML)
    assert f"host_id: {taken}\n" in lab.on(wrong, "cat", HOST_YAML)
    lab.on(wrong, "systemctl", "start", "ha-broker", "ha-agent")
    try:
        time.sleep(scaled(15))  # three cycles in which nothing may be overwritten
        slot = hosts_json(lab, before[0])[taken]
        assert (slot["hostname"], slot["live-data"]) == (owner, True)
        since = f"--since=-{scaled(15) + 10:.0f}s"
        log = lab.on(wrong, "journalctl", "-u", "ha-broker", since, "--no-pager")
        assert f"another machine uses the same host id, {owner} " in log, log
        assert "Traceback" not in log
    finally:
        lab.on(wrong, "systemctl", "stop", "ha-agent", "ha-broker")
        lab.on(wrong, "sh", "-c", f"cat > {HOST_YAML} <<'EOF'\n{settings}EOF")
        lab.on(wrong, "systemctl", "start", "ha-broker", "ha-agent")
    lab.wait_settled()
    assert lab.engine_identity() == before


def test_unknown_settings_are_named_and_the_service_comes_back(lab: LabVerbs) -> None:
    before = lab.engine_identity()
    host = other_than(lab, before[0])[0]
    settings = lab.on(host, "cat", HOST_YAML)
    lab.on(host, "sh", "-c", f"echo 'colour: blue' >> {HOST_YAML}")
    try:
        lab.attempt("on", host, "systemctl", "restart", "ha-broker")

        def look() -> Optional[str]:
            log = lab.on(host, "journalctl", "-u", "ha-broker", "--since=-30s", "--no-pager")
            assert "Traceback" not in log
            return None if "colour" in log and "allowed" in log else log

        wait_until("the log names the key and what is allowed", look, 20)
    finally:
        lab.on(host, "sh", "-c", f"cat > {HOST_YAML} <<'EOF'\n{settings}EOF")
    lab.wait_settled()
    assert lab.engine_identity() == before
