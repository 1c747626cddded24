# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The wheels: what they are called, and the compatibility package as its callers import it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.places import direct_io_directory
from tests.integration.broker_process import PUBLICATION, Site, wait_for
from tests.integration.distributions import ROOT, build_wheel, environment, top_level_names

# The host daemon's way of asking, in an environment where neither library can be imported.
AS_THE_HOST_DAEMON = """
import sys
sys.modules["libvirt"] = sys.modules["sanlock"] = None
import errno
import ovirt_hosted_engine_ha.client.client as haClient

def ha_info():
    found = {"configured": False, "active": False, "score": 0, "global": None, "local": None}
    instance = haClient.HAClient()
    host_id = instance.get_local_host_id()
    if not host_id:
        return found
    found["configured"] = True
    stats = instance.get_all_stats(timeout=5)
    if 0 in stats:
        found["global"] = stats[0].get(haClient.HAClient.GlobalMdFlags.MAINTENANCE, False)
    if host_id in stats:
        found["active"] = stats[host_id]["live-data"]
        found["score"] = stats[host_id]["score"]
        found["local"] = stats[host_id]["maintenance"]
    return found

try:
    print(haClient.HAClient().is_deployed(), ha_info())
except IOError as error:
    print("IOError", error.errno == errno.ENOENT)
"""

AS_SETUP = """
from ovirt_hosted_engine_ha.agent import constants
from ovirt_hosted_engine_ha.client import client
from ovirt_hosted_engine_ha.lib.exceptions import BrokerConnectionError, DisconnectionError
try:
    print(client.HAClient().get_all_stats(client.HAClient.StatModes.GLOBAL)[0])
except (BrokerConnectionError, DisconnectionError) as error:
    print(type(error).__name__)
print(constants.BASE_SCORE, constants.METADATA_PARSE_VERSION, constants.SERVICE_TYPE)
"""

PACKAGES = ("metadata", "world", "fsm", "ha_broker", "ha_agent", "simulation", "hosted_engine")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with both wheels and nothing else of this checkout."""
    directory = tmp_path_factory.mktemp("wheels")
    wheels = [build_wheel(ROOT, directory), build_wheel(ROOT / "compat", directory)]
    assert top_level_names(wheels[0]) == set(PACKAGES)
    assert top_level_names(wheels[1]) == {"ovirt_hosted_engine_ha"}
    return environment(directory, *wheels)


def test_pages_and_completion_come_with_the_wheel(python: Path) -> None:
    share = python.parents[1] / "share"
    for name in (
        "man/man8/hosted-engine.8",
        "man/man8/hosted-engine-cleanup.8",
        "bash-completion/completions/hosted-engine",
        "zsh/site-functions/_hosted-engine",
        "fish/vendor_completions.d/hosted-engine.fish",
    ):
        assert (share / name).stat().st_size > 0


@pytest.fixture
def site() -> Iterator[Site]:
    with direct_io_directory() as directory:
        site = Site(directory)
        try:
            yield site
        finally:
            site.close()


def run(python: Path, site: Site, program: str) -> str:
    """What the program prints; it must find none of the checkout's own sources."""
    places = {"HE_BROKER_SOCKET": str(site.socket), "HE_SETTINGS": str(site.settings_file)}
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), "-c", program],
        capture_output=True,
        text=True,
        env={**environ, **places},
        cwd=site.volume.parent,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_callers_find_the_wheel_and_not_the_checkout(python: Path, site: Site) -> None:
    told = run(python, site, "import ovirt_hosted_engine_ha, ha_agent; print(ha_agent.__file__)")
    assert told.startswith(str(python.parents[1]))


def test_host_daemon_sees_a_host_that_is_not_deployed(python: Path, site: Site) -> None:
    assert run(python, site, AS_THE_HOST_DAEMON).startswith("False {'configured': False,")


def test_host_daemon_sees_a_missing_broker_as_enoent(python: Path, site: Site) -> None:
    site.deploy()
    assert run(python, site, AS_THE_HOST_DAEMON) == "IOError True\n"


def test_setup_sees_a_missing_broker_by_its_own_name_for_it(python: Path, site: Site) -> None:
    site.deploy()
    assert run(python, site, AS_SETUP) == "BrokerGoneError\n3400 1 hosted-engine\n"


def test_callers_get_what_the_broker_knows(python: Path, site: Site) -> None:
    site.make_volume()
    site.deploy()
    site.start()
    client = site.serving()
    client.publish(PUBLICATION)
    wait_for("own record read back", lambda: any(host.fresh for host in client.status().hosts))
    known = {"configured": True, "active": True, "score": 3400, "global": False, "local": False}
    assert run(python, site, AS_THE_HOST_DAEMON) == f"True {known}\n"
    assert run(python, site, AS_SETUP).startswith("{'maintenance': False}\n")
