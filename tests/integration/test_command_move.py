# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""--vm-migrate and local maintenance as processes, beside a real broker with libvirt's word."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from metadata.layout import slot_address
from metadata.records import EngineStatus, EngineVm, Health, HostRecord
from metadata.states import State
from metadata.wire import encode_host
from tests.contract.places import direct_io_directory
from tests.integration.broker_process import FACTOR, PUBLICATION, Site, wait_for
from tests.integration.hosted_engine import hosted_engine
from world.ports.libvirt import DomainState

UP = EngineStatus(EngineVm.UP, Health.GOOD, "Up")
HERE = replace(PUBLICATION, engine_status=UP, state=State.ENGINE_UP.value)
TAKES = (("takes", "at qemu+tls://h2/system"),)
# libvirt's own driver for tests runs what its file names.
ENGINE_RUNS = """<node><domain type='test'><name>HostedEngine</name><memory>8192</memory>
<os><type>hvm</type></os></domain></node>"""


@pytest.fixture
def site() -> Iterator[Site]:
    with direct_io_directory() as directory:
        found = Site(directory)
        found.make_volume()
        record = HostRecord(2, 9, 3400, PUBLICATION.engine_status, "h2", notes=TAKES)
        found.write(slot_address(found.parts, 2).offset, encode_host(record))
        try:
            yield found
        finally:
            found.close()


def test_where_the_engine_is_not_both_say_so(site: Site) -> None:
    site.deploy()
    site.start()
    client = site.serving()
    wait_for("libvirt's word", lambda: client.status().engine.domain is DomainState.ABSENT)
    done = hosted_engine(site, "--vm-migrate", "--wait")
    assert (done.code, done.out) == (1, "")
    assert "move the engine: the engine's VM is not on this host; no host says" in done.err
    document = hosted_engine(site, "--vm-migrate", "--to=h2", "--json").document()
    assert "is not on this host" in document["error"]
    done = hosted_engine(site, "--set-maintenance", "--mode=local")
    assert (done.code, done.err) == (0, "")
    assert done.out == "Local maintenance of this host is on.\n"


def test_where_nobody_can_take_it_each_host_is_named_with_its_reason(site: Site) -> None:
    node = site.settings_file.with_name("node.xml")
    node.write_text(ENGINE_RUNS)
    site.deploy(libvirt_uri=f"test://{node}")
    site.start()
    client = site.serving()
    wait_for("the VM", lambda: client.status().engine.domain is DomainState.RUNNING)
    client.publish(HERE)
    wait_for("its record", lambda: (own := client.status().own) is not None and own.agent_speaks)
    # Its record has not changed since this broker's start, and there is no sanlock to ask.
    why = "h2: it has not reported for a while"
    for words in (["--vm-migrate"], ["--set-maintenance", "--mode=local"]):
        done = hosted_engine(site, *words)
        assert (done.code, done.out) == (1, "")
        assert why in done.err
        assert done.err.count("\n") == 1
    assert "and no other host can take it: " in done.err
    assert "Let another host run it first, with a stop: " in done.err
    snapshot = client.status()
    assert (snapshot.local_maintenance, snapshot.move_order) == (False, None)
    client.set_global_maintenance(True, timeout_s=10 * FACTOR)
    wait_for("global maintenance", lambda: client.status().global_maintenance)
    done = hosted_engine(site, "--set-maintenance", "--mode=local")
    assert done.code == 1
    assert done.err.endswith("with 'hosted-engine --vm-migrate', or end global maintenance first\n")
