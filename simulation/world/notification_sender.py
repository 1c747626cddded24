# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The mail server and the webhooks' receivers, for all hosts, and one host's way to them."""

from __future__ import annotations

from dataclasses import dataclass
from email import message_from_bytes, policy
from typing import Callable

from metadata.plain_json import parse_json
from metadata.secret_names import without_paths
from metadata.settings.notifications import SmtpSettings, WebhookSettings
from simulation.world.clock import VirtualClock
from world.ports.notifications import DeliveryError, Message, Receipt

WORKS, HANGS, REFUSES = "works", "hangs", "refuses"


@dataclass(frozen=True)
class Delivered:
    """One message that arrived. `kind` is the event's; `text` the subject, or the sentence."""

    way: str
    to: tuple[str, ...]
    kind: str
    text: str
    body: str


class SimPostOffice:
    """Takes every message, takes none (`REFUSES`), or does not answer (`HANGS`)."""

    def __init__(self) -> None:
        self.state = WORKS
        self.delivered: list[Delivered] = []


class SimNotificationSender:
    """A `NotificationSender`.

    `is_cut`: this host can't reach the office now; `tell` hears what arrives.
    """

    def __init__(
        self,
        clock: VirtualClock,
        office: SimPostOffice,
        is_cut: Callable[[], bool] = lambda: False,
        tell: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._clock = clock
        self._office = office
        self._is_cut = is_cut
        self._tell = tell

    def mail(self, server: SmtpSettings, letter: Message) -> Receipt:
        self._reach(f"mail through {server.server}", server.timeout_s)
        mail = message_from_bytes(letter.content, policy=policy.default)
        body = mail.get_content()
        # A folded header begins with a blank.
        kind, text = mail["X-Hosted-Engine-Event"].strip(), mail["Subject"].strip()
        self._take(Delivered("mail", letter.to, kind, text, body))
        return Receipt("250 taken")

    def post(self, webhook: WebhookSettings, body: bytes) -> Receipt:
        self._reach(f"POST {without_paths(webhook.url)}", webhook.timeout_s)
        data = parse_json(body)
        text = body.decode("utf-8")
        self._take(Delivered("webhook", (webhook.url,), data["kind"], data["text"], text))
        return Receipt("HTTP status 200 OK")

    def _reach(self, what: str, timeout_s: float) -> None:
        if self._is_cut() or self._office.state == HANGS:
            self._clock.spend(timeout_s)
            raise DeliveryError(what, f"not done within {timeout_s:g} s")
        if self._office.state == REFUSES:
            raise DeliveryError(what, "Connection refused")

    def _take(self, message: Delivered) -> None:
        self._office.delivered.append(message)
        self._tell(f"{message.way}: {message.text}")
