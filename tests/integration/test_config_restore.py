# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A shared configuration that is lost under a real broker, with a real sanlock."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ha_broker.api.client import BrokerClient
from metadata.layout import CONFIG_SIZE
from metadata.shared_config import decode_area
from tests.contract.places import direct_io_directory
from tests.contract.sanlock_hosts import SanlockHost, need_sanlock
from tests.integration.broker_process import PUBLICATION, Site, wait_for


@pytest.fixture
def member() -> Iterator[tuple[Site, SanlockHost]]:
    """A deployed host with a sanlock daemon, in a cluster with a lock of writers."""
    need_sanlock()
    with direct_io_directory() as directory:
        site = Site(directory, directory / "sanlock")
        site.make_volume()
        site.deploy()
        sanlock = SanlockHost(directory / "sanlock", "h1", site.parts)
        try:
            sanlock.call("format_lockspace", 1)
            sanlock.call("format_lease")
            sanlock.call("format_config_lease")
            yield site, sanlock
        finally:
            site.close()
            sanlock.close()


REFUSED = "this host has not been in the lockspace all the time"


def area(site: Site) -> bytes:
    with site.volume.open("rb") as file:
        file.seek(site.parts.shared_config.offset)
        return file.read(CONFIG_SIZE)


def decoded(site: Site) -> object:
    return decode_area(area(site))


def _error(client: BrokerClient) -> str:
    return client.status().config.error


@pytest.mark.parametrize("byte", [b"\xa5", b"\0"])
def test_a_broker_writes_back_what_it_goes_by(
    member: tuple[Site, SanlockHost], byte: bytes
) -> None:
    site, sanlock = member
    site.start()
    client = site.serving()
    wait_for("joined", lambda: client.status().lockspace.membership.value == "joined", 40)
    before = client.shared_config()
    client.publish(PUBLICATION)
    whole = area(site)
    # What it has not read as a member it rightly does not write back: then it gets it once more.
    for _ in range(2):
        site.write(site.parts.shared_config.offset, byte * CONFIG_SIZE)
        client.reread()
        wait_for("the loss is seen", lambda: client.status().config.error)
        wait_for("an end", lambda: decoded(site) == before or REFUSED in _error(client), 60)
        if decoded(site) == before:
            break
        site.write(site.parts.shared_config.offset, whole)
        client.reread()
        wait_for("read as a member", lambda: _error(client) == "", 30)
    assert decoded(site) == before
    wait_for("no error", lambda: client.status().config.error == "", 30)
    wait_for("the lock is free", lambda: sanlock.call("config_lease_owner") is None)
    assert "was written back" in site.log_text()
