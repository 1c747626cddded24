# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Monitors that somebody else has written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable, Optional, Protocol

from metadata.value_class import value_class

PLUGIN_START_S = 10.0  # what a plug-in may take to start, beside the time of its measurement


@value_class(frozen=True)
class PluginWord:
    """One measurement of a plug-in: `share` (0..1) of its points is lost; None: not known."""

    share: Optional[float]
    detail: str


class Plugin(Protocol):
    """A further monitor, which somebody else wrote."""

    def measure(self, timeout_s: float) -> PluginWord:
        """Ask it once; raises WorldError when there is no measurement."""

    def close(self) -> None:
        """End it; quick, and from any thread."""


PluginMaker = Callable[[str, Mapping[str, str]], Plugin]
