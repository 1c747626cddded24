# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Mail servers and webhooks."""

from __future__ import annotations

from typing import Protocol

from metadata.settings.notifications import SmtpSettings, WebhookSettings
from metadata.value_class import value_class
from world.ports.errors import WorldError


class DeliveryError(WorldError):
    """A message was not delivered; `final`: the other side refused this very message."""

    def __init__(self, what: str, why: str, final: bool = False) -> None:
        super().__init__(what, why)
        self.final = final


@value_class(frozen=True)
class Message:
    """A mail: its envelope, and its whole text with headers."""

    sender: str
    to: tuple[str, ...]
    content: bytes


@value_class(frozen=True)
class RefusedRecipient:
    """One who does not get the mail that others got; not `final`: may be tried again."""

    address: str
    why: str
    final: bool


@value_class(frozen=True)
class Receipt:
    """What the other side said when it took a message, and who was refused."""

    words: str
    refused: tuple[RefusedRecipient, ...] = ()


class NotificationSender(Protocol):
    """Takes messages out of the house. Each call may block; none longer than its time-out,
    but for the time that resolving a name takes."""

    def mail(self, server: SmtpSettings, letter: Message) -> Receipt:
        """Hand it to the mail server; raises DeliveryError when nobody gets it."""

    def post(self, webhook: WebhookSettings, body: bytes) -> Receipt:
        """POST the JSON `body`, signed; raises DeliveryError."""
