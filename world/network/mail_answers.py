# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a mail server's refusal means, and which setting to change for it.

RFC 5321 4.2 for the codes, RFC 3463 for the numbers behind them. Servers refuse at the first
command that they look at closely: a bad name in EHLO is most often told with the recipient.
"""

from __future__ import annotations

import re
from enum import Enum


class Stage(Enum):
    """What the server was asked when it refused."""

    HELLO = "hello"
    LOGIN = "login"
    SENDER = "sender"
    RECIPIENT = "recipient"
    CONTENT = "content"


_HELO = "set notifications.smtp.helo to a full name that the server takes, such as h1.example.org"
_STARTTLS = "set notifications.smtp.security to starttls or tls"
_LOGIN = "look at notifications.smtp.user, and at what its password_file holds on this host"
_RELAY = (
    "let the server relay for the hosts, or give notifications.smtp.user and password_file "
    "(another notifications.smtp.port may ask for them)"
)
_FROM = "set notifications.smtp.from to an address that the server lets this host send from"
_TO = "look at notifications.smtp.to"
_CONTENT = "look at notifications.smtp.from, subject and body, and at the server's rules"

_IS_HELO = re.compile(r"\b(helo|ehlo)\b|fully[- ]qualified|\bfqdn\b", re.IGNORECASE)
_IS_STARTTLS = re.compile(r"\bstarttls\b|\btls (is )?required", re.IGNORECASE)
_IS_RELAY = re.compile(r"relay", re.IGNORECASE)
_IS_SENDER = re.compile(r"\bsender\b", re.IGNORECASE)
# 5.7.x: security or policy, so not about this address but about us.
_IS_POLICY = re.compile(r"^\d{3}[ -]5\.7\.\d")

_USUAL = {
    Stage.HELLO: _HELO,
    Stage.LOGIN: _LOGIN,
    Stage.SENDER: _FROM,
    Stage.RECIPIENT: _TO,
    Stage.CONTENT: _CONTENT,
}


def advice(stage: Stage, code: int, reply: str) -> str:
    """What to change, for the whole `reply` with its code; empty where time may mend it."""
    if code < 500:
        return ""
    if stage is Stage.LOGIN:
        return _LOGIN
    told = (
        (_HELO, _is_helo(code, reply)),
        (_STARTTLS, _IS_STARTTLS.search(reply)),
        (_RELAY, code == 530 or _IS_RELAY.search(reply)),
        (_FROM, stage is Stage.RECIPIENT and _IS_SENDER.search(reply)),
    )
    return next((mend for mend, applies in told if applies), _USUAL[stage])


def is_final(stage: Stage, code: int, reply: str) -> bool:
    """Is there no sense in trying this very message, or this recipient, again?

    Settings, rules and reputations change: only a refusal that is about the recipient's address or
    the mail itself stays.
    """
    if stage not in (Stage.RECIPIENT, Stage.CONTENT) or code < 500:
        return False
    if code == 530 or _is_helo(code, reply):
        return False
    return not (
        _IS_POLICY.match(reply)
        or _IS_STARTTLS.search(reply)
        or _IS_RELAY.search(reply)
        or _IS_SENDER.search(reply)
    )


def _is_helo(code: int, reply: str) -> bool:
    return code == 504 or bool(_IS_HELO.search(reply))
