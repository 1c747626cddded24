# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""How the engine is moved alive: the section ``migration`` of the cluster's settings.

::

    migration:
      uri: qemu+tls://{address}/system   # {address}: the target's migration_address
      bandwidth_mib_s: 0                 # 0: as fast as it goes
      downtime_ms: 300
      limit_s: 120                       # given up after so many seconds
      auto_converge: true
      post_copy: false
      encrypt: false                     # the memory itself, by qemu's own TLS
      tries: 3                           # of one move, over all targets
      at_shutdown: migrate               # of the engine's host: migrate, stop or leave
      shutdown_s: 180                    # so long it waits at the most
      better_points: 800                 # a host with so many more gets the engine; 0: never
      better_s: 1800                     # once that has lasted for so long
      better_per_day: 3                  # at most so often in 24 hours
      out_of_reach_s: 30                 # so long it is moved before it is stopped; 0: not moved
"""

from __future__ import annotations

from typing import Any

from metadata.settings.schema import Reader, Rule, integer, number, text
from metadata.settings.timing import longest_migration_limit_s
from metadata.settings.values import MigrationSettings, Timing

_ADDRESS = "{address}"
# A host writes its whole address into a line of its record, which has room for 300 characters and
# takes "=" for a separator; `migration_address` may have 200 of them.
_URI = text(
    r"(?=.*\{address\})(?!.*\{address\}.*\{address\})[a-z][a-z0-9+]*://[!-<>-~]+",
    "a libvirt address with {address} in it once, such as qemu+tls://{address}/system, of at most "
    "90 printable ASCII characters without blanks and '='",
    max_bytes=90,
)
_SWITCH = Rule("true or false", lambda value: type(value) is bool)
_RULES: dict[str, Rule] = {
    "uri": _URI,
    "bandwidth_mib_s": integer(0, 1_000_000),
    "downtime_ms": integer(1, 60_000),
    "limit_s": number(0.1, 86_400),
    "auto_converge": _SWITCH,
    "post_copy": _SWITCH,
    "encrypt": _SWITCH,
    "tries": integer(1, 100),
    "at_shutdown": text("migrate|stop|leave", "migrate, stop or leave"),
    "shutdown_s": number(10, 3600),
    "better_points": integer(0, 100_000),
    "better_s": number(60, 7 * 86_400),
    "better_per_day": integer(1, 100),
    "out_of_reach_s": number(0, 3600),
}


def read_migration(reader: Reader, data: object, key: str, timing: Timing) -> MigrationSettings:
    """The section as a value; problems go to `reader`.

    Settings made before there was this section stay good, however short their migration_s is.
    """
    given: dict[str, Any] = reader.section(data, _RULES, key)
    usual_s = min(MigrationSettings().limit_s, longest_migration_limit_s(timing))
    return MigrationSettings(**{"limit_s": usual_s, **given})


def address_on(uri: str, host: str) -> str:
    """The address of libvirt on `host`, a name or an IP address."""
    return uri.replace(_ADDRESS, f"[{host}]" if ":" in host else host)
