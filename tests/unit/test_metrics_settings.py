# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``metrics`` in host.yaml: what is accepted, and which combinations are refused."""

from __future__ import annotations

import pytest
import yaml

from metadata.error_words import shown
from metadata.settings.metrics import MetricsSettings
from metadata.settings.parse import SettingsError, host_settings_to_data, parse_host_settings

HOST = {"host_id": 1, "host_name": "h1", "storage": {"path": "/leases"}}
LISTEN = {"listen": "127.0.0.1:9177"}


def parsed(metrics: object) -> MetricsSettings:
    host = parse_host_settings({**HOST, "metrics": metrics}, "host.yaml")
    again = parse_host_settings(host_settings_to_data(host), "again")
    assert again == host
    return host.metrics


def problems(metrics: object) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse_host_settings({**HOST, "metrics": metrics}, "host.yaml")
    return caught.value.problems


@pytest.mark.parametrize(
    "listen", ["", "127.0.0.1:9177", "[::1]:1", "[::]:65535", "host-1.example:9", "0.0.0.0:80"]
)
def test_listen(listen: str):
    assert parsed({"listen": listen}) == MetricsSettings(listen)


@pytest.mark.parametrize(
    "listen", ["9177", ":9177", "::1:9177", "a:0", "a:65536", "a:", "a b:1", 9177, None, "a:01"]
)
def test_what_is_no_address(listen: object):
    (problem,) = problems({"listen": listen})
    assert problem.startswith(f"host.yaml: metrics.listen: {shown(listen)} is refused; allowed: ")


def test_all_of_it():
    text = """
        listen: "[::]:9177"
        certificate_file: /etc/metrics.pem
        key_file: /etc/metrics.key
        user: prometheus
        password_file: /etc/metrics.password
    """
    found = parsed(yaml.safe_load(text))
    assert found.user == "prometheus"
    assert parsed({**LISTEN, "token_file": "/t"}).token_file == "/t"
    assert parsed({**LISTEN, "certificate_file": "/both.pem"}).key_file == ""


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"token_file": "/t"}, "token_file without listen; allowed: "),
        ({**LISTEN, "key_file": "/k"}, "key_file without certificate_file; allowed: "),
        ({**LISTEN, "user": "p"}, "user and password_file belong together; allowed: "),
        ({**LISTEN, "password_file": "/p"}, "user and password_file belong together; allowed: "),
        (
            {**LISTEN, "user": "p", "password_file": "/p", "token_file": "/t"},
            "token_file beside user; allowed: ",
        ),
    ],
)
def test_combinations_that_are_refused(given: dict[str, str], why: str):
    (problem,) = problems(given)
    assert problem.startswith(f"host.yaml: metrics: {why}")


def test_a_refused_value_is_told_alone():
    (problem,) = problems({"listen": "x", "token_file": "/t"})
    assert problem.startswith("host.yaml: metrics.listen: 'x'")


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"certificate_file": "relative"}, "certificate_file"),
        ({"user": "a:b"}, "user"),
        ({"user": "a b"}, "user"),
        ({"token": "secret"}, "token"),
        (["listen"], ""),
    ],
)
def test_other_refusals(given: object, key: str):
    (problem,) = problems(given)
    assert problem.startswith(f"host.yaml: metrics{'.' + key if key else ''}: ")
