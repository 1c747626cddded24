# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""One notification: what is told, in every form in which it is told. Pure but for `time`'s
calendar."""

from __future__ import annotations

import json
import time
from dataclasses import field
from typing import Any, Optional

from ha_broker.api.event import Event
from ha_broker.api.times import utc_time
from ha_broker.events.text import detail, outage_text, sentence
from ha_broker.events.transitions import StateChange
from metadata.plain_text import SEVERAL_LINES
from metadata.settings.notifications import SmtpSettings
from metadata.value_class import value_class
from world.ports.notifications import Message

TRANSITION, TEST, LIMIT = "state-transition", "test", "daily-limit"


@value_class(frozen=True)
class Notice:
    """What one host tells.

    id        the same for all targets, so that a receiver can see that it has it already
    kind      an event's name, or "state-transition", "test", "daily-limit"
    text      one sentence without an end; `detail`: what else is known
    host      the host that it is about; empty: the cluster
    engine    the engine's name
    sender    the host that tells it
    wall_s    when it happened, in seconds since the epoch: for people
    outage_s  how long the engine was not healthy; None: not known, or about something else
    """

    id: str
    kind: str
    text: str
    detail: str = field(metadata=SEVERAL_LINES)
    host: str
    engine: str
    sender: str
    wall_s: float
    host_id: Optional[int] = None
    outage_s: Optional[float] = None

    @property
    def time(self) -> str:
        """When it happened, in words."""
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", utc_time(self.wall_s))

    def fields(self) -> dict[str, str]:
        """What a template may name (`metadata.settings.notifications.TEMPLATE_FIELDS`)."""
        return {
            "text": self.text,
            "kind": self.kind,
            "detail": self.detail,
            "host": self.host,
            "engine": self.engine,
            "outage": outage_text(self.outage_s),
            "time": self.time,
            "sender": self.sender,
            "id": self.id,
        }


@value_class(frozen=True)
class Origin:
    """Who tells, and what makes its notices' ids unique."""

    sender: str
    engine: str
    wall_s: float
    number: int

    @property
    def id(self) -> str:
        """Unlike that of any other notice."""
        return f"{int(self.wall_s * 1000):x}.{self.number:x}"


def event_notice(event: Event, origin: Origin, wall_s: float) -> Notice:
    """An event that happened at `wall_s`."""
    return Notice(
        id=origin.id,
        kind=event.kind.value,
        text=sentence(event),
        detail=detail(event),
        host=event.host_name,
        engine=origin.engine,
        sender=origin.sender,
        wall_s=wall_s,
        host_id=event.host_id,
        outage_s=event.outage_s,
    )


def plain_notice(kind: str, text: str, more: str, origin: Origin) -> Notice:
    """Anything else that this host tells of itself, now."""
    return Notice(
        id=origin.id,
        kind=kind,
        text=text,
        detail=more,
        host=origin.sender,
        engine=origin.engine,
        sender=origin.sender,
        wall_s=origin.wall_s,
    )


def change_notice(change: StateChange, origin: Origin) -> Notice:
    """A change of this host's agent."""
    return plain_notice(TRANSITION, f"{origin.sender}: {change.name}", change.why, origin)


# --- as a mail ----------------------------------------------------------------------------


def subject(notice: Notice, server: SmtpSettings) -> str:
    """The mail's subject: one line."""
    return " ".join(server.subject.format_map(notice.fields()).split())


def letter(notice: Notice, server: SmtpSettings, to: tuple[str, ...], wall_s: float) -> Message:
    """The mail to the recipients `to`, sent at `wall_s`."""
    # More than a megabyte, which a broker has no use for until it sends one.
    from email import policy  # noqa: PLC0415
    from email.message import EmailMessage  # noqa: PLC0415
    from email.utils import formatdate  # noqa: PLC0415

    # 7 bit: what any mail server takes.
    mail = EmailMessage(policy=policy.SMTP.clone(cte_type="7bit"))
    mail["Date"] = formatdate(wall_s)
    # The same at each try: a mail that came through twice is one to mail programs.
    mail["Message-ID"] = f"<{notice.id}.{_domain_part(notice.sender)}@hosted-engine-ha.invalid>"
    mail["From"] = server.sender
    mail["To"] = ", ".join(server.to)
    mail["Subject"] = subject(notice, server)
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Hosted-Engine-Event"] = notice.kind
    mail["X-Hosted-Engine-Id"] = notice.id
    mail["X-Hosted-Engine-Host"] = notice.sender
    mail.set_content(server.body.format_map(notice.fields()), charset="utf-8")
    return Message(server.sender, to, mail.as_bytes())


def _domain_part(name: str) -> str:
    return "".join(character for character in name if character.isalnum() or character in "-._")


# --- as JSON ------------------------------------------------------------------------------


def payload(notice: Notice) -> bytes:
    """The body of a webhook's request."""
    data: dict[str, Any] = {
        "id": notice.id,
        "kind": notice.kind,
        "text": notice.text,
        "detail": notice.detail,
        "host": notice.host,
        "host_id": notice.host_id,
        "engine": notice.engine,
        "outage_s": None if notice.outage_s is None else round(notice.outage_s, 1),
        "time": notice.time,
        "sender": notice.sender,
    }
    return json.dumps(data).encode("utf-8")
