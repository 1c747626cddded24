# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Prometheus' text format of metrics as `prometheus_client` collects them.

The library's own writer looks at every name and label of each sample anew, whether they are names
at all: most of a scrape's time, for names that stand in this program. What comes out is the same,
byte for byte; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Callable

from prometheus_client.core import Metric
from prometheus_client.utils import floatToGoString

# Whatever the versions of the library say of its types.
_number: Callable[[float], str] = floatToGoString
_TYPES = {"info": "gauge", "stateset": "gauge", "gaugehistogram": "histogram", "unknown": "untyped"}
_SUFFIXES = {"counter": "_total", "info": "_info"}


def text_of(metrics: Iterable[Metric]) -> bytes:
    """The whole of a scrape's body."""
    return "".join([_family(metric) for metric in metrics]).encode()


def _family(metric: Metric) -> str:
    name = metric.name + _SUFFIXES.get(metric.type, "")
    about = metric.documentation.replace("\\", r"\\").replace("\n", r"\n")
    kind = _TYPES.get(metric.type, metric.type)
    lines = [f"{one.name}{_labels(one.labels)} {_number(one.value)}\n" for one in metric.samples]
    return f"# HELP {name} {about}\n# TYPE {name} {kind}\n{''.join(lines)}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    pairs = [f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items())]
    return f"{{{','.join(pairs)}}}"


def _escaped(value: str) -> str:
    if value.isalnum():  # as most are
        return value
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
