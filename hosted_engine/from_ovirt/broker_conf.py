# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""oVirt's broker.conf as the answers' section ``notifications``. Pure."""

from __future__ import annotations

import re
from typing import Any

from hosted_engine.errors import CommandError
from hosted_engine.from_ovirt.items import Fate, Item, changed, dropped, kept
from hosted_engine.from_ovirt.name_value import Assignment
from metadata.error_words import shown
from metadata.settings.notifications import ALL, NONE, TRANSITION_RULE, is_rule

_SMTP = {
    "smtp-server": "server",
    "smtp-port": "port",
    "smtp-timeout": "timeout_s",
    "source-email": "from",
}
_TO, _RULE = "destination-emails", "state_transition"
# What oVirt's broker takes where its file says nothing.
_USUAL: dict[str, Any] = {
    "server": "localhost",
    "port": 25,
    "timeout_s": 10,
    "from": "root@localhost",
    "to": ["root@localhost"],
}
_NUMBER = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")


def notifications_of(found: list[Assignment]) -> tuple[dict[str, Any], list[Item]]:
    """Plain data of the section, empty where the file tells nobody anything, and the items.

    Raises CommandError.
    """
    smtp = {**_USUAL, "security": NONE}
    rules: list[str] = []
    items: list[Item] = []
    for one in found:
        what, place = f"{one.name}={one.value}", (one.section, one.name)
        if place == ("notify", _RULE):
            rules, item = _rules(one.value, what)
            items.append(item)
        elif place == ("email", _TO):
            smtp["to"] = [address.strip() for address in one.value.split(",") if address.strip()]
            items.append(kept(what, "notifications.smtp.to"))
        elif one.section == "email" and one.name in _SMTP:
            smtp[_SMTP[one.name]] = _value(one)
            items.append(kept(what, f"notifications.smtp.{_SMTP[one.name]}"))
        else:
            items.append(dropped(f"[{one.section}] {one.name}", "nothing here knows this key"))
    if not rules:
        told = dropped("[email]", "broker.conf has no state_transition: nobody was told anything")
        return {}, [*(item for item in items if item.fate is Fate.DROPPED), told]
    security = "notifications.smtp.security is none: oVirt's broker knows no TLS"
    return {"smtp": smtp, "rules": rules}, [*items, changed("[email]", security)]


def _rules(pattern: str, what: str) -> tuple[list[str], Item]:
    """A pattern that no rule can have (there it is any regular expression) tells too little."""
    if not pattern:
        return [], dropped(what, "it is empty")
    rule = f"{TRANSITION_RULE}{pattern}"
    if is_rule(rule):
        return [rule], kept(what, "notifications.rules; others say more (docs/notifications.md)")
    return [ALL], changed(what, "notifications.rules is all: a pattern here has alternatives only")


def _value(one: Assignment) -> Any:
    if one.name not in ("smtp-port", "smtp-timeout"):
        return one.value
    if not _NUMBER.fullmatch(one.value):
        raise CommandError(f"{one.name}={shown(one.value)} is refused; allowed: a number")
    number = float(one.value)
    return int(number) if number.is_integer() else number
