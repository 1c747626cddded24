# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The lab's own promises: clear refusals, and faults that touch one host alone."""

from pathlib import Path

import pytest

from lab.lan import GATEWAY_MAC
from lab.settings import BRIDGE, host_address
from tests.lab.verbs import LabVerbs, scaled

HOST_CABLE = "host0"  # systemd-nspawn names it
NET_ADDR_SET = 3  # linux/netdevice.h: given by a person, not to be changed by the kernel


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("power-off", "h9"), "h9"),
        (("storage", "h1", "explode"), "explode"),
        (("bridge", "h9", "down"), "h9"),
        (("bridge", "h1", "explode"), "explode"),
        (("engine", "explode"), "explode"),
        (("explode",), "explode"),
        (("up", "--hosts", "0"), "0"),
        (("up",), "up already"),
        (("power-on", "h1"), "h1 is on"),
        (("gateway", "up"), "gateway is up"),
        (("wait", "--healthy", "--timeout", "soon"), "soon"),
        (("on", "h1"), "no command"),
        (("clock", "h1", "60"), "60"),
    ],
)
def test_refusals_are_one_line(built_lab: LabVerbs, words: tuple[str, ...], named: str) -> None:
    done = built_lab.attempt(*words)
    assert done.returncode != 0
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_on_passes_output_and_exit_code(built_lab: LabVerbs) -> None:
    done = built_lab.attempt("on", "h1", "sh", "-c", "hostname; exit 7")
    assert (done.stdout, done.returncode) == ("h1\n", 7)


def test_gateway_stays_the_same_whoever_comes_and_goes(built_lab: LabVerbs) -> None:
    """A bridge without an address of its own takes its ports', so hosts lost sight of it."""
    bridge = Path("/sys/class/net") / BRIDGE
    assert (bridge / "address").read_text().strip() == GATEWAY_MAC
    assert int((bridge / "addr_assign_type").read_text()) == NET_ADDR_SET


def test_service_stops_and_starts_while_the_vm_lives(lab: LabVerbs) -> None:
    before = lab.engine_identity()
    lab("engine", "stop-service")
    assert not lab.status()["engine"]["healthy"]
    lab("engine", "start-service")
    assert lab.status()["engine"]["healthy"]
    assert lab.engine_identity() == before


@pytest.mark.parametrize(("fault", "carrier"), [("cut", "0"), ("drop", "1")])
def test_gateway_and_network_faults_do_not_stop_the_engine(
    lab: LabVerbs, fault: str, carrier: str
) -> None:
    before = lab.engine_identity()
    lab("gateway", "down")
    lab("gateway", "up")
    lab("network", before[0], fault)
    status = lab.status()
    assert (status["engine"]["healthy"], status["hosts"][before[0]]["network"]) == (False, fault)
    assert lab.on(before[0], "cat", f"/sys/class/net/{HOST_CABLE}/carrier").strip() == carrier
    lab("network", before[0], "heal")
    lab.wait_healthy(20)
    assert lab.engine_identity() == before


LISTENS = """
import socket, sys
from pathlib import Path

told = Path("/run/listens")
with socket.create_connection((sys.argv[1], 16509), 10) as sock:
    sock.settimeout(float(sys.argv[2]))
    told.write_text("connected")
    try:
        told.write_text("ended" if not sock.recv(1) else "heard")
    except socket.timeout:
        told.write_text("silent")
    except OSError as error:
        told.write_text(str(error))
"""


def test_of_a_host_without_power_nothing_more_is_heard(lab: LabVerbs) -> None:
    """Its kernel does not say goodbye: who is connected to it waits."""
    here = lab.engine_host()
    other = next(host for host in lab.status()["hosts"] if host != here)
    patience_s = str(scaled(5))
    listens = ("python3", "-c", LISTENS, host_address(other), patience_s)
    lab.on(here, "rm", "-f", "/run/listens")
    lab.on(here, "systemd-run", "--collect", *listens)
    lab.wait_until("a connection", lambda: _told(lab, here) == "connected", scaled(20))
    lab("power-off", other)
    try:
        over = scaled(30)
        lab.wait_until("its end", lambda: _told(lab, here) != "connected", over)
        assert _told(lab, here) == "silent"
    finally:
        lab("power-on", other)


def _told(lab: LabVerbs, host: str) -> str:
    return lab.on(host, "sh", "-c", "cat /run/listens 2> /dev/null || true")
