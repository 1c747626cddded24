"""Who is told of what: the section ``notifications`` of the cluster's settings.

Secrets stand in files on the hosts, never on the shared storage.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from metadata.schema import Reader, Rule, integer


@dataclass(frozen=True)
class NotificationSettings:
    """Mails and webhooks."""

    daily_limit: int = 100


_RULES: dict[str, Rule] = {"daily_limit": integer(1, 100_000)}


def read_notifications(reader: Reader, data: object, key: str) -> NotificationSettings:
    """The section as a value; problems go to `reader`."""
    return NotificationSettings(**reader.section(data, _RULES, key))


def notifications_to_data(settings: NotificationSettings) -> dict[str, Any]:
    """Plain data that `read_notifications` reads back."""
    return asdict(settings)
