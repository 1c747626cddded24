# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Who is told of what: the section ``notifications`` of the cluster's settings.

::

    notifications:
      smtp:
        server: mail.example.com
        security: starttls              # or tls, none
        port: 587                       # 0: 25, 587 or 465, by the security
        user: ha
        password_file: /etc/hosted-engine-ha/mail.password
        ca_file: ""                     # empty: the system's authorities
        from: ha@example.com
        to: [admin@example.com]
        subject: "[hosted engine] {text}"
      webhooks:
        - {url: https://hooks.example.com/ha, secret_file: /etc/hosted-engine-ha/hook.secret}
      rules: [taken-over, stopped, host-lost, "state_transition=maintenance|start"]
      daily_limit: 100
      hold_s: 30

Secrets stand in files on the hosts, never here: this section lies on the shared storage.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Optional

from metadata.settings.schema import Reader, Rule, integer, number, text, told, without_empty
from metadata.value_class import value_class

TRANSITION_RULE = "state_transition="
ALL = "all"
EVENT_RULES = (
    *("started", "stopped", "taken-over", "moved", "unhealthy", "healthy", "maintenance"),
    *("host-lost", "host-back", "storage-lost", "storage-back", "two-engines"),
    *("unattended", "attended"),
)
# What a template may name; each is a text.
TEMPLATE_FIELDS = ("text", "kind", "detail", "host", "engine", "outage", "time", "sender", "id")

NONE, STARTTLS, TLS = "none", "starttls", "tls"
DEFAULT_PORTS = {NONE: 25, STARTTLS: 587, TLS: 465}
MOST_WEBHOOKS = 8
MOST_RECIPIENTS = 50
MOST_RULES = 50

DEFAULT_SUBJECT = "[{engine}] {text}"
DEFAULT_BODY = "{text}.\n\n{detail}\n\nwhen: {time}\nevent: {kind}\ntold by: {sender}\n"


@value_class(frozen=True)
class SmtpSettings:
    """A mail server, and whom it is to reach. `sender` is the key ``from``.

    helo  the name by which hosts introduce themselves (EHLO); empty: each by its own full one
    """

    server: str
    sender: str
    to: tuple[str, ...]
    port: int = 0
    security: str = STARTTLS
    user: str = ""
    password_file: str = ""
    ca_file: str = ""
    subject: str = DEFAULT_SUBJECT
    body: str = DEFAULT_BODY
    timeout_s: float = 30.0
    helo: str = ""

    @property
    def usual_port(self) -> int:
        """`port`, or the one that goes with the security."""
        return self.port or DEFAULT_PORTS[self.security]


@value_class(frozen=True)
class WebhookSettings:
    """An address that gets each notification as JSON; signed where there is a secret."""

    url: str
    secret_file: str = ""
    ca_file: str = ""
    timeout_s: float = 15.0


@value_class(frozen=True)
class NotificationSettings:
    """Mails and webhooks.

    rules        which events are told, and which changes of an agent's state
    hold_s       an event counts once what it says has held for so long
    daily_limit  how many one host tells in 24 hours
    queue_size   how many wait on one host while they can't be delivered, for all targets
    """

    smtp: Optional[SmtpSettings] = None
    webhooks: tuple[WebhookSettings, ...] = ()
    rules: tuple[str, ...] = (ALL,)
    daily_limit: int = 100
    hold_s: float = 30.0
    queue_size: int = 200


_FILE = text(r"|/[^\x00-\x1f\x7f]+", "an absolute path, or nothing", max_bytes=1023)
_ADDRESS = text(
    r"[!-~]{1,64}@[A-Za-z0-9._-]{1,255}|[A-Za-z0-9._+-]{1,64}",
    "a mail address in ASCII without a name, such as ha@example.com (other domains as xn--…)",
    max_bytes=254,
)
_TIMEOUT = number(1, 120)


def _names_fields(template: str) -> bool:
    """Only plain {names} of `TEMPLATE_FIELDS`, no formats, no attributes."""
    try:
        found = list(string.Formatter().parse(template))
    except ValueError:
        return False
    return all(
        name is None or (name in TEMPLATE_FIELDS and not form and conversion is None)
        for _, name, form, conversion in found
    )


def _template(pattern: str, what: str, max_bytes: int) -> Rule:
    plain = text(pattern, what, max_bytes)
    names = ", ".join(f"{{{name}}}" for name in TEMPLATE_FIELDS)
    return Rule(
        f"{what} with no other fields than {names} (a brace itself: {{{{ or }}}})",
        lambda value: bool(plain.accepts(value)) and _names_fields(value),
    )


def _or_beyond_ascii(plain: Rule) -> Rule:
    """Also a name that the DNS has in another form (IDNA), if that one is allowed."""

    def accepts(value: Any) -> bool:
        if not isinstance(value, str) or value.isascii():
            return bool(plain.accepts(value))
        try:
            return bool(plain.accepts(value.encode("idna").decode("ascii")))
        except UnicodeError:
            return False

    return Rule(plain.allowed, accepts)


_SMTP_REQUIRED: dict[str, Rule] = {
    "server": _or_beyond_ascii(
        text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}|[0-9A-Fa-f:]{2,45}", "a host name or an IP address")
    ),
    "from": _ADDRESS,
}
_SMTP: dict[str, Rule] = {
    **_SMTP_REQUIRED,
    "port": integer(0, 65535),
    "security": text(f"{NONE}|{STARTTLS}|{TLS}", f"{NONE}, {STARTTLS} or {TLS}"),
    "user": text(r"[^\x00-\x1f\x7f]{0,255}", "at most 255 printable characters"),
    "password_file": _FILE,
    "ca_file": _FILE,
    "subject": _template(r"[^\x00-\x1f\x7f]{1,500}", "one line of at most 500 characters", 2000),
    "body": _template(
        r"[^\x00-\x08\x0b-\x1f\x7f]{1,4000}", "a text of at most 4000 characters", 8000
    ),
    "timeout_s": _TIMEOUT,
    "helo": _or_beyond_ascii(
        text(
            r"|(?=.{1,253}\Z)(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+"
            r"(?!\d+\Z)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?",
            "a host name with its domain, such as h1.example.org, or nothing: each host's own",
        )
    ),
}
# Credentials in the address would be a secret on the shared storage.
_WEBHOOK: dict[str, Rule] = {
    "url": text(
        r"(?=[!-~]{1,1000}\Z)https?://(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\])"
        r"(?::(?:[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5]))?"
        r"(?:[/?][!-~]*)?",
        "an http:// or https:// address without a user and a password",
    ),
    "secret_file": _FILE,
    "ca_file": _FILE,
    "timeout_s": _TIMEOUT,
}
_PLAIN: dict[str, Rule] = {
    "daily_limit": integer(1, 100_000),
    "hold_s": number(0, 3600),
    "queue_size": integer(1, 10_000),
}
SECTIONS = ("smtp", "webhooks", "rules")


# No repetitions and no groups: such a pattern can't take long, whoever wrote it.
_ALTERNATIVES = r"[A-Za-z0-9.^$-]{1,80}(?:\|[A-Za-z0-9.^$-]{1,80}){0,49}"
_RULE = text(
    rf"{ALL}|{'|'.join(EVENT_RULES)}|{TRANSITION_RULE}{_ALTERNATIVES}",
    f"{', '.join(EVENT_RULES)}, {ALL}, or {TRANSITION_RULE}PATTERN with a pattern of "
    "alternatives such as maintenance|start|stop|up|down",
)


def is_rule(value: str) -> bool:
    """May it stand among the rules?"""
    return bool(_RULE.accepts(value))


def read_notifications(reader: Reader, data: object, key: str) -> NotificationSettings:
    """The section as a value; problems go to `reader`."""
    top = reader.mapping(data, key)
    if top is None:
        return NotificationSettings()
    top = without_empty(top, SECTIONS)
    reader.unknown_keys(top, [*SECTIONS, *_PLAIN], key)
    fields = reader.fields(top, _PLAIN, key)
    if "smtp" in top:
        fields["smtp"] = _read_smtp(reader, top["smtp"], f"{key}.smtp")
    if "webhooks" in top:
        fields["webhooks"] = _read_webhooks(reader, top["webhooks"], f"{key}.webhooks")
    if "rules" in top:
        rules = reader.items(_RULE, top["rules"], f"{key}.rules", most=MOST_RULES)
        fields["rules"] = tuple(dict.fromkeys(rules))
    return NotificationSettings(**fields)


def secret_files(settings: NotificationSettings) -> dict[str, str]:
    """The files with secrets that the settings name, by their keys."""
    smtp = settings.smtp
    found = {"notifications.smtp.password_file": smtp.password_file} if smtp else {}
    for place, webhook in enumerate(settings.webhooks):
        found[f"notifications.webhooks[{place}].secret_file"] = webhook.secret_file
    return {key: path for key, path in found.items() if path}


def notifications_to_data(settings: NotificationSettings) -> dict[str, Any]:
    """Plain data that `read_notifications` reads back."""
    data = asdict(settings)
    data["rules"] = list(settings.rules)
    data["webhooks"] = [asdict(webhook) for webhook in settings.webhooks]
    if settings.smtp is not None:
        data["smtp"] = _smtp_to_data(settings.smtp)
    return data


def _smtp_to_data(smtp: SmtpSettings) -> dict[str, Any]:
    data = asdict(smtp)
    data["from"] = data.pop("sender")
    data["to"] = list(smtp.to)
    if not smtp.helo:
        del data["helo"]  # a program that is older than the key would refuse it
    return data


def _read_smtp(reader: Reader, data: object, key: str) -> Optional[SmtpSettings]:
    before = len(reader.problems)
    top = reader.mapping(data, key)
    if top is None:
        return None
    reader.unknown_keys(top, [*_SMTP, "to"], key)
    reader.required(top, {**_SMTP_REQUIRED, "to": _ADDRESS}, key)
    fields = reader.fields(top, _SMTP, key)
    to: list[str] = []
    if "to" in top:
        to = reader.items(_ADDRESS, top["to"], f"{key}.to", most=MOST_RECIPIENTS, least=1)
    if len(reader.problems) > before:
        return None
    smtp = SmtpSettings(sender=fields.pop("from"), to=tuple(dict.fromkeys(to)), **fields)
    _check_login(reader, smtp, key)
    return smtp


def _check_login(reader: Reader, smtp: SmtpSettings, key: str) -> None:
    if bool(smtp.user) != bool(smtp.password_file):
        given, lacks = ("user", "password_file") if smtp.user else ("password_file", "user")
        reader.problem(f"{key}.{lacks}", f"is missing; allowed: both or none ({given} is given)")
    if smtp.user and smtp.security == NONE:
        why = f"'{NONE}' is refused together with user: the password would be sent in the clear"
        reader.problem(f"{key}.security", f"{why}; allowed: {STARTTLS} or {TLS}")


def _read_webhooks(reader: Reader, data: object, key: str) -> tuple[WebhookSettings, ...]:
    if not isinstance(data, (list, tuple)) or len(data) > MOST_WEBHOOKS:
        why = f"a list of at most {MOST_WEBHOOKS} webhooks, each with at least url"
        reader.problem(key, f"{told(key, data)} is refused; allowed: {why}")
        return ()
    found = [_read_webhook(reader, item, f"{key}[{place}]") for place, item in enumerate(data)]
    return tuple(dict.fromkeys(webhook for webhook in found if webhook is not None))


def _read_webhook(reader: Reader, data: object, key: str) -> Optional[WebhookSettings]:
    top: Optional[Mapping[Any, Any]] = reader.mapping(data, key)
    if top is None:
        return None
    reader.required(top, {"url": _WEBHOOK["url"]}, key)
    fields = reader.section(top, _WEBHOOK, key)
    return WebhookSettings(**fields) if "url" in fields else None
