# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""docs/settings.md: every setting with its default, what is allowed, and what it means."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from hosted_engine.cli.generated.setting_keys import (
    Key,
    cluster_keys,
    connection_keys,
    host_keys,
)
from hosted_engine.cli.generated.setting_meanings import CLUSTER, CONNECTION, HOST

_HEAD = """\
# The settings

Made from the readers of the settings; do not edit. Times that end with `_s` are in seconds. "none"
is nothing at all: an empty text or list, or no such key. Which times fit together is checked
before anything is written.

## The shared settings

On the shared storage, for all hosts: `hosted-engine --get-shared-config all`. How they are changed:
[shared-settings.md](shared-settings.md).
"""
_HOST_HEAD = """\
## host.yaml

`/etc/hosted-engine-ha/host.yaml`, for this host alone. `hosted-engine --deploy` writes it. A change
holds after `systemctl restart ha-broker ha-agent`.
"""
_CONNECTION_HEAD = """\
## storage.connection

In host.yaml, only where `hosted-engine` shall connect the storage:
[storage.md](storage.md#how-this-host-reaches-it).
"""
_TABLE = ["| key | default | allowed | what it is |", "|---|---|---|---|"]


def settings_page() -> str:
    """The whole page, in Markdown."""
    lines = [_HEAD]
    for section, shared in groupby(cluster_keys(), lambda key: key.name.partition(".")[0]):
        lines += [f"### {section}", "", *_table(shared, CLUSTER)]
    lines += [_HOST_HEAD, *_table(host_keys(), HOST), _CONNECTION_HEAD]
    for kind, keys in connection_keys().items():
        lines += [f"### type: {_kinds(kind)}", "", *_table(keys, CONNECTION)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _kinds(kind: str) -> str:
    return "nfs, nfs4" if kind == "nfs" else kind


def _table(keys: Iterable[Key], meanings: Mapping[str, str]) -> list[str]:
    return [*_TABLE, *(_row(key, meanings.get(key.name, "")) for key in keys), ""]


def _row(key: Key, meaning: str) -> str:
    name = key.name.replace("[0]", "[]")
    default = "must be given" if key.must else _default(key.default)
    cells = [f"`{name}`", default, key.allowed, meaning]
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _default(value: Any) -> str:
    if value in (None, "", [], {}):
        return "none"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{value if isinstance(value, str) and value.isprintable() else json.dumps(value)}`"
