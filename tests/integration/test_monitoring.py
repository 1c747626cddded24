# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The metrics of a real broker process, and Prometheus' own word on them and on the rules."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import signal
import socket
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.contract.places import direct_io_directory
from tests.integration.broker_process import FACTOR, PUBLICATION, Site, wait_for
from tests.unit.certificates import Authority
from tests.unit.metrics_text import Scrape
from tests.unit.monitoring_files import DIRECTORY, dashboard_queries


@pytest.fixture
def site() -> Iterator[Site]:
    """A host without sanlock; no traceback may stand in the log in the end."""
    with direct_io_directory() as directory:
        site = Site(directory)
        site.make_volume()
        try:
            yield site
            assert "Traceback" not in site.log_text(), site.log_text()
        finally:
            site.close()


def promtool(*arguments: str, text: bytes = b"", cwd: Path = DIRECTORY) -> str:
    """Its output; fails when it complains."""
    if shutil.which("promtool") is None:
        pytest.skip("no promtool: apt-get install prometheus")
    done = subprocess.run(
        ["promtool", *arguments], input=text, cwd=cwd, capture_output=True, check=False
    )
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def over_unix(path: Path) -> bytes:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    with contextlib.closing(connection):
        connection.sock.connect(str(path))
        connection.request("GET", "/metrics")
        return connection.getresponse().read()


# --- the files ---------------------------------------------------------------------------------


def test_the_alerts_fire_when_they_are_to() -> None:
    promtool("check", "rules", "alerts.yml")
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yml")


def test_prometheus_understands_every_query_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"dashboard:query_{number}", "expr": expr}
        for number, (expr, _) in enumerate(dashboard_queries())
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "d", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", "rules.yml", cwd=tmp_path)


# --- the process -------------------------------------------------------------------------------


def test_a_scrape_of_the_socket_is_clean(site: Site) -> None:
    site.deploy()
    site.start()
    client = site.serving()
    client.publish(PUBLICATION)
    wait_for("written", lambda: client.status().storage.last_write_at_s)
    text = over_unix(site.socket)
    assert promtool("check", "metrics", text=text) == ""
    seen = Scrape(text)
    assert seen.value("host_info", host_id="1", host="h1") == 1
    assert seen.value("score") == PUBLICATION.score
    assert seen.value("storage_io_duration_seconds_count", operation="write") == 1
    assert (seen.value("api_requests_total", resource="/v1/record", status="200") or 0) >= 1
    assert seen.value("storage_failing") == 0
    assert seen.value("lockspace_failing") == 1


def test_over_tls_with_a_password(site: Site, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    certificate = authority.certificate("IP:127.0.0.1")
    (tmp_path / "password").write_text("s3cret\n")
    (tmp_path / "password").chmod(0o600)
    url = f"https://127.0.0.1:{free_port()}/metrics"
    site.deploy(
        metrics={
            "listen": url.split("/")[2],
            "certificate_file": str(certificate),
            "user": "prometheus",
            "password_file": str(tmp_path / "password"),
        }
    )
    process = site.start()
    site.serving()
    wait_for("metrics", lambda: "metrics are served" in site.log_text())
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    passwords.add_password(None, url, "prometheus", "s3cret", is_authenticated=True)
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=authority.file)),
        urllib.request.HTTPBasicAuthHandler(passwords),
    )
    with opener.open(url, timeout=10 * FACTOR) as answer:
        assert Scrape(answer.read()).value("host_info", host="h1") == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(20 * FACTOR) == 0


def test_an_address_in_use_harms_nothing_else(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        site.deploy(metrics={"listen": listen})
        process = site.start()
        client = site.serving()
        why = f"not served at {listen}: Address already in use"
        wait_for("the reason in the status", lambda: client.status().metrics_error == why)
    client.publish(PUBLICATION)
    wait_for("written", lambda: client.status().storage.last_write_at_s)
    assert any(f"; metrics: {why}" in told for told in site.told())
    assert f"ERROR metrics: {why}" in site.log_text()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20 * FACTOR) == 0


@pytest.mark.parametrize(
    ("metrics", "word"),
    [
        ({"listen": "9177"}, "metrics.listen: '9177' is refused; allowed: an address and a port"),
        ({"token_file": "/t"}, "metrics: token_file without listen"),
    ],
)
def test_impossible_settings_end_it_with_the_reason(
    site: Site, metrics: dict[str, str], word: str
) -> None:
    site.deploy(metrics=metrics)
    assert site.start().wait(10 * FACTOR) == 1
    assert f"{site.settings_file}: {word}" in site.log_text()
