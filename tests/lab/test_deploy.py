# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""--deploy on real hosts: what it looks at, and a host deployed by hand."""

import json
import os

from tests.lab.verbs import LAB, LabVerbs
from tests.typist import typing

HOST_YAML = "/etc/hosted-engine-ha/host.yaml"


def test_host_tells_in_a_document_that_it_is_ready(lab: LabVerbs) -> None:
    document = json.loads(lab.on("h2", "hosted-engine", "--deploy", "--check", "--json"))
    found = {one["name"]: one for one in document["checks"]}
    assert document["ok"] is True
    known = "this host is deployed already, as h2 (id 2) on /srv/san/leases"
    assert found["plan"]["detail"] == known
    # The hosts have no watchdog of their own, and move the engine over plain TCP.
    warned = [name for name, one in found.items() if one["result"] != "ok"]
    assert warned == ["watchdog", "migration"]
    assert "qemu+tcp://h2/system answers" in found["migration"]["detail"]


def test_host_is_deployed_again_by_hand(lab: LabVerbs) -> None:
    before = lab.engine_identity()
    host = [name for name in lab.status()["hosts"] if name != before[0]][-1]
    settings = lab.on(host, "cat", HOST_YAML)
    lab.on(host, "systemctl", "stop", "ha-agent", "ha-broker")
    lab.on(host, "mv", HOST_YAML, "/root/kept.yaml")
    try:
        with typing([str(LAB), "on", host, "hosted-engine", "--deploy"], os.environ) as typist:
            typist.answer("Shared storage", "/srv/san/nowhere")
            typist.answer("Shared storage", "/srv/san/leases")
            typist.answer(f"Name of this host [{host}]", "")
            typist.answer(f"Host id [{host[1:]}]", "")
            typist.answer("Management bridge (- for none) [ovirtmgmt]", "")
            typist.answer("Gateway (- for none) [198.51.100.1]", "")
            typist.answer("Go on? [y/N]", "y")
            assert typist.end() == 0, typist.screen
        assert "/srv/san/nowhere does not exist; make it" in typist.screen
        assert f"Done: host {host} is one of the cluster." in typist.screen
        number = f"host_id: {host[1:]}\n"
        assert number in settings and number in lab.on(host, "cat", HOST_YAML)
    finally:
        lab.on(host, "mv", "/root/kept.yaml", HOST_YAML)
        lab.on(host, "systemctl", "restart", "ha-broker", "ha-agent")
    lab.wait_settled()
    assert lab.engine_identity() == before
