"""The engine's health page and the gateway."""

from __future__ import annotations

from typing import Callable, Optional

from ha_broker.world.ports import HealthReading


class SimHealthPage:
    """A `HealthPage` that says `reading`, or what `answer` gives: good or not, and why."""

    def __init__(
        self, good: bool = False, detail: str = "Connection refused", keep_log: bool = True
    ) -> None:
        self.reading = HealthReading(good, detail)
        self.answer: Optional[Callable[[], tuple[bool, str]]] = None
        self.calls: list[str] = []
        self._keep_log = keep_log

    def set(self, good: bool, detail: str = "") -> None:
        self.reading = HealthReading(good, detail)

    def check(self, url: str, expected_text: str, timeout_s: float) -> HealthReading:
        if self._keep_log:
            self.calls.append(url)
        return self.reading if self.answer is None else HealthReading(*self.answer())


class SimGateway:
    """A `Gateway`; `answers` is what it does, or `script` gives the next answers first."""

    def __init__(self, answers: bool = True, keep_log: bool = True) -> None:
        self.answers = answers
        self._keep_log = keep_log
        self.script: list[bool] = []
        self.calls: list[str] = []
        self.before_answer: Callable[[], None] = lambda: None

    def probe(self, address: str, timeout_s: float) -> bool:
        if self._keep_log:
            self.calls.append(address)
        self.before_answer()
        return self.script.pop(0) if self.script else self.answers
