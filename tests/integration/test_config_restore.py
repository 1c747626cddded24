"""A shared configuration that is lost under a real broker, with a real sanlock."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from metadata.layout import CONFIG_SIZE
from metadata.shared_config import SharedConfig, decode_area
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


def on_storage(site: Site) -> object:
    with site.volume.open("rb") as file:
        file.seek(site.parts.shared_config.offset)
        return decode_area(file.read(CONFIG_SIZE))


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
    client.reread()  # it must have read it as a member
    wait_for("read as a member", lambda: "config-version" in _notes(site))
    wait_for("a look", lambda: client.status().config.error == "")
    client.reread()
    site.write(site.parts.shared_config.offset, byte * CONFIG_SIZE)
    client.reread()
    wait_for("the loss is seen", lambda: client.status().config.error)
    wait_for("written back", lambda: isinstance(on_storage(site), SharedConfig), 60)
    assert on_storage(site) == before
    wait_for("no error", lambda: client.status().config.error == "", 30)
    wait_for("the lock is free", lambda: sanlock.call("config_lease_owner") is None)
    assert "was written back" in site.log_text()


def _notes(site: Site) -> dict[str, str]:
    return dict(getattr(site.slot(1), "notes", ()))
