# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""How many notifications one host tells in 24 hours. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from metadata.value_class import value_class

DAY_S = 86400.0


@value_class(frozen=True)
class DailyCount:
    """What was told, and what was not, since `began_at_s` (None: nothing was)."""

    began_at_s: Optional[float] = None
    told: int = 0
    dropped: int = 0

    def is_over(self, now_s: float) -> bool:
        """Is the day over?"""
        return self.began_at_s is not None and now_s - self.began_at_s >= DAY_S

    def left_s(self, now_s: float) -> float:
        """How long the day still lasts."""
        return DAY_S if self.began_at_s is None else self.began_at_s + DAY_S - now_s

    def tell(self, now_s: float) -> DailyCount:
        """One more is told."""
        began_at_s = now_s if self.began_at_s is None else self.began_at_s
        return replace(self, began_at_s=began_at_s, told=self.told + 1)

    def drop(self) -> DailyCount:
        """One more is not told."""
        return replace(self, dropped=self.dropped + 1)
