"""Where this host's metrics are served beside the unix socket: ``metrics`` in host.yaml.

::

    metrics:
      listen: 127.0.0.1:9177     # nothing: on the unix socket alone
      certificate_file: /etc/hosted-engine-ha/metrics.pem
      key_file: /etc/hosted-engine-ha/metrics.key
      user: prometheus           # with password_file; or token_file alone
      password_file: /etc/hosted-engine-ha/metrics.password
      token_file: /etc/hosted-engine-ha/metrics.token
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from metadata.schema import Reader, Rule, text


@dataclass(frozen=True)
class MetricsSettings:
    """TCP service of the metrics; empty `listen`: none."""

    listen: str = ""
    certificate_file: str = ""
    key_file: str = ""
    user: str = ""
    password_file: str = ""
    token_file: str = ""


_FILE = text(r"|/[^\x00-\x1f\x7f]+", "an absolute path, or nothing", max_bytes=1023)
_RULES: dict[str, Rule] = {
    "listen": text(
        r"|(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}",
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
    return MetricsSettings(**reader.section(data, _RULES, key))


def metrics_to_data(settings: MetricsSettings) -> dict[str, Any]:
    """Plain data that `read_metrics` reads back."""
    return asdict(settings)
