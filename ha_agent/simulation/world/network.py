"""The engine's health page and the gateway."""

from __future__ import annotations

from typing import Callable

from ha_broker.world.ports import HealthReading


class SimHealthPage:
    """A `HealthPage` that says `reading`."""

    def __init__(self, good: bool = False, detail: str = "Connection refused") -> None:
        self.reading = HealthReading(good, detail)
        self.calls: list[str] = []

    def set(self, good: bool, detail: str = "") -> None:
        self.reading = HealthReading(good, detail)

    def check(self, url: str, expected_text: str, timeout_s: float) -> HealthReading:
        self.calls.append(url)
        return self.reading


class SimGateway:
    """A `Gateway`; `answers` is what it does, or `script` gives the next answers first."""

    def __init__(self, answers: bool = True) -> None:
        self.answers = answers
        self.script: list[bool] = []
        self.calls: list[str] = []
        self.before_answer: Callable[[], None] = lambda: None

    def probe(self, address: str, timeout_s: float) -> bool:
        self.calls.append(address)
        self.before_answer()
        return self.script.pop(0) if self.script else self.answers
