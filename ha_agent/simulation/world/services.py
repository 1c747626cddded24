"""The service manager."""

from __future__ import annotations


class SimServiceManager:
    """A `ServiceManager` that remembers what it was told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.status_text = ""

    def ready(self) -> None:
        self.calls.append("READY=1")

    def status(self, text: str) -> None:
        self.calls.append(f"STATUS={text}")
        self.status_text = text

    def alive(self) -> None:
        self.calls.append("WATCHDOG=1")

    def stopping(self) -> None:
        self.calls.append("STOPPING=1")
