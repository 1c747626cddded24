# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Where this host's metrics are served beside the unix socket: ``metrics`` in host.yaml.

::

    metrics:
      listen: 127.0.0.1:9177     # nothing: on the unix socket alone
      certificate_file: /etc/hosted-engine-ha/metrics.pem
      key_file: /etc/hosted-engine-ha/metrics.key
      user: prometheus           # with password_file; or token_file instead of both
      password_file: /etc/hosted-engine-ha/metrics.password

A combination that would serve less safely than it looks is refused: one half of a pair, two
ways to identify oneself at once, anything without `listen`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from metadata.settings.schema import Reader, Rule, text
from metadata.value_class import value_class


@value_class(frozen=True)
class MetricsSettings:
    """TCP service of the metrics; empty `listen`: none.

    The certificate's file may hold its key too. Who may read: everybody, or who knows `user`
    and the password, or who has the token.
    """

    listen: str = ""
    certificate_file: str = ""
    key_file: str = ""
    user: str = ""
    password_file: str = ""
    token_file: str = ""


_FILE = text(r"|/[^\x00-\x1f\x7f]+", "an absolute path, or nothing", max_bytes=1023)
_PORT = r"(?:[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5])"
_RULES: dict[str, Rule] = {
    "listen": text(
        rf"|(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):{_PORT}",
        "an address and a port, such as 127.0.0.1:9177 or [::1]:9177, or nothing",
    ),
    "certificate_file": _FILE,
    "key_file": _FILE,
    "user": text(r"[^\x00-\x20\x7f:]{0,100}", "at most 100 characters without blank and ':'"),
    "password_file": _FILE,
    "token_file": _FILE,
}


def read_metrics(reader: Reader, data: object, key: str) -> MetricsSettings:
    """The section as a value; problems go to `reader`."""
    before = len(reader.problems)
    settings = MetricsSettings(**reader.section(data, _RULES, key))
    if len(reader.problems) == before:  # combinations of refused values would only confuse
        for why in _impossible(settings):
            reader.problem(key, why)
    return settings


def _impossible(settings: MetricsSettings) -> list[str]:
    given = [name for name, value in asdict(settings).items() if value]
    problems = []
    if given and not settings.listen:
        problems.append(f"{', '.join(given)} without listen; allowed: listen with them, or none")
    if settings.key_file and not settings.certificate_file:
        problems.append("key_file without certificate_file; allowed: both, or neither")
    if bool(settings.user) != bool(settings.password_file):
        problems.append("user and password_file belong together; allowed: both, or neither")
    if settings.token_file and settings.user:
        problems.append("token_file beside user; allowed: a token, or a user with a password")
    return problems


def metrics_to_data(settings: MetricsSettings) -> dict[str, Any]:
    """Plain data that `read_metrics` reads back."""
    return asdict(settings)
