# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Where notifications go: the mail server and the webhooks of the settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional, Protocol

from ha_broker.notifications.message import Notice, letter, payload
from metadata.secret_names import without_paths
from metadata.settings.notifications import (
    MOST_WEBHOOKS,
    NotificationSettings,
    SmtpSettings,
    WebhookSettings,
)
from metadata.value_class import value_class
from world.ports.notifications import NotificationSender, Receipt

MAIL = "mail"
MAIL_SLOT = "notify:mail"
SLOTS = (MAIL_SLOT, *(f"notify:webhook-{number}" for number in range(MOST_WEBHOOKS)))


class Target(Protocol):
    """One of them.

    name    as it stands in the queue, whatever the order of the settings
    label   for people
    """

    @property
    def name(self) -> str:
        """See above."""

    @property
    def label(self) -> str:
        """See above."""

    @property
    def timeout_s(self) -> float:
        """How long one delivery may take."""

    def deliver(
        self,
        notification_sender: NotificationSender,
        notice: Notice,
        to: tuple[str, ...],
        wall_s: float,
    ) -> Receipt:
        """Hand it over (`to`: only to these; empty: to all); may block; raises DeliveryError."""


@value_class(frozen=True)
class MailTarget:
    """The mail server."""

    server: SmtpSettings
    name: str = MAIL

    @property
    def label(self) -> str:
        """Recipients and server."""
        server = self.server
        return f"mail to {', '.join(server.to)} through {server.server}:{server.usual_port}"

    @property
    def timeout_s(self) -> float:
        """As `Target.timeout_s`."""
        return self.server.timeout_s

    def deliver(
        self,
        notification_sender: NotificationSender,
        notice: Notice,
        to: tuple[str, ...],
        wall_s: float,
    ) -> Receipt:
        """As `Target.deliver`; who is no recipient any more gets nothing."""
        left = tuple(address for address in to if address in self.server.to) or self.server.to
        return notification_sender.mail(self.server, letter(notice, self.server, left, wall_s))


@value_class(frozen=True)
class WebhookTarget:
    """A webhook; `place` is its number in the settings where its host alone does not name it."""

    webhook: WebhookSettings
    place: Optional[int] = None

    @property
    def name(self) -> str:
        """Its address."""
        return self.webhook.url

    @property
    def label(self) -> str:
        """Its scheme and host: who knows its whole address may use it."""
        which = "" if self.place is None else f" (webhooks[{self.place}])"
        return f"webhook {without_paths(self.webhook.url)}{which}"

    @property
    def timeout_s(self) -> float:
        """As `Target.timeout_s`."""
        return self.webhook.timeout_s

    def deliver(
        self,
        notification_sender: NotificationSender,
        notice: Notice,
        to: tuple[str, ...],
        wall_s: float,
    ) -> Receipt:
        """As `Target.deliver`."""
        return notification_sender.post(self.webhook, payload(notice))


def targets_of(settings: NotificationSettings) -> dict[str, Target]:
    """All of them, each with the slot in which it works; slots are independent of each other."""
    return dict(_targets(settings))


def _targets(settings: NotificationSettings) -> Iterator[tuple[str, Target]]:
    if settings.smtp is not None:
        yield MAIL_SLOT, MailTarget(settings.smtp)
    hosts = [without_paths(webhook.url) for webhook in settings.webhooks]
    for place, webhook in enumerate(settings.webhooks):
        shares_host = hosts.count(hosts[place]) > 1
        yield SLOTS[1 + place], WebhookTarget(webhook, place if shares_host else None)
