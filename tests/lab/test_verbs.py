# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The lab's own promises: clear refusals, and faults that touch one host alone."""

from pathlib import Path

import pytest

from lab.lan import GATEWAY_MAC
from lab.settings import BRIDGE
from tests.lab.verbs import LabVerbs

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


def test_gateway_and_network_faults_do_not_stop_the_engine(lab: LabVerbs) -> None:
    before = lab.engine_identity()
    lab("gateway", "down")
    lab("gateway", "up")
    lab("network", before[0], "cut")
    assert not lab.status()["engine"]["healthy"]
    lab("network", before[0], "heal")
    lab.wait_healthy(20)
    assert lab.engine_identity() == before
