"""What a host's score is lessened by: as the agent decides by it, and as people are told it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class Penalty:
    """Points off the base score. `reason` is a sentence part for people.

    value, threshold   the number behind it and what it is held against, in `unit`
                       ("fraction", "bytes", "count"; empty: it is about no number)
    began_at_s         since when it has cost anything at all; None where nothing is told of that:
                       a decision does not go by it
    ends_at_s          when it is over, or less, by time alone (monotonic seconds; None: never)
    """

    name: str
    points: int
    reason: str
    value: Optional[float] = None
    threshold: Optional[float] = None
    unit: str = ""
    began_at_s: Optional[float] = None
    ends_at_s: Optional[float] = None
