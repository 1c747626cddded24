# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""This host's settings and its broker, as the other commands need them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ha_broker.api import paths
from ha_broker.api.client import (
    BrokerClient,
    BrokerDeniedError,
    BrokerError,
    BrokerRefusedError,
)
from hosted_engine.errors import CommandError, NotDeployedError
from metadata.settings.parse import HostSettings, SettingsError

START_THE_BROKER = "see 'systemctl status ha-broker'"


def host_settings() -> HostSettings:
    """``host.yaml``; raises NotDeployedError when there is none, else CommandError."""
    from world.host_file import read_host_settings  # needs YAML, which takes its time

    try:
        settings = read_host_settings(paths.host_settings_file())
    except SettingsError as error:
        raise CommandError("; ".join(error.problems)) from error
    if settings is None:
        raise NotDeployedError()
    return settings


@contextmanager
def broker(timeout_s: float = 5.0) -> Iterator[BrokerClient]:
    """The broker of this host; its errors become one line that says what to do."""
    client = BrokerClient(timeout_s=timeout_s)
    try:
        yield client
    except BrokerError as error:
        answered = isinstance(error, (BrokerRefusedError, BrokerDeniedError))
        text = str(error) if answered else f"{error}; {START_THE_BROKER}"
        raise CommandError(text) from error
    finally:
        client.close()
