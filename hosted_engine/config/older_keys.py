# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The names that settings have in oVirt's own tools, where the setting is there here, too. Pure.

Those of broker.conf come with their section, as ``--get-shared-config`` has them there
(``email.smtp-server``), or without it. The values are texts in that tool's form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable

from hosted_engine.config.keys import MISSING, Path, find, parse_value, with_value
from hosted_engine.errors import UsageError
from metadata.settings.network_target import host_and_port
from metadata.settings.notifications import ALL, NONE, TRANSITION_RULE
from metadata.settings.parse import NetworkSettings

Settings = Mapping[str, Any]

_SMTP: Path = ("notifications", "smtp")
_TO: Path = (*_SMTP, "to")
_RULES: Path = ("notifications", "rules")
_TEST: Path = ("network", "test")
_TARGET: Path = ("network", "target")
_COMMAS = re.compile(r" *, *")

# What mails go by there while nobody has set anything.
_SMTP_AT_FIRST = {
    "server": "localhost",
    "from": "root@localhost",
    "to": ["root@localhost"],
    "security": NONE,
}


@dataclass(frozen=True)
class OlderKey:
    """A setting by its older name.

    kind    the type that it belongs to there and here
    path    where it stands here
    read    from all settings its value in the older form, `MISSING` where it is not set
    change  the stored settings with the value that a text means; raises UsageError
    """

    kind: str
    path: Path
    read: Callable[[Settings], Any]
    change: Callable[[Settings, str], Settings]


def _plain(kind: str, *path: str) -> OlderKey:
    return OlderKey(
        kind,
        path,
        lambda settings: find(settings, path),
        lambda settings, text: with_value(settings, path, parse_value(text, path)),
    )


# --- mails ----------------------------------------------------------------------------------


def _with_mail(settings: Settings) -> Settings:
    """One value alone can't be set where there is no mail server yet."""
    if isinstance(find(settings, _SMTP), Mapping):
        return settings
    return with_value(settings, _SMTP, dict(_SMTP_AT_FIRST))


def _mail(name: str) -> OlderKey:
    plain = _plain("broker", *_SMTP, name)
    return OlderKey(
        plain.kind,
        plain.path,
        plain.read,
        lambda settings, text: plain.change(_with_mail(settings), text),
    )


def _read_recipients(settings: Settings) -> Any:
    found = find(settings, _TO)
    return found if found is MISSING else ",".join(found)


def _set_recipients(settings: Settings, text: str) -> Settings:
    return with_value(_with_mail(settings), _TO, _COMMAS.split(text.strip()))


def _read_transitions(settings: Settings) -> Any:
    rules = find(settings, _RULES)
    found = [rule for rule in rules if rule.startswith(TRANSITION_RULE)]
    return found[0][len(TRANSITION_RULE) :] if found else MISSING


def _set_transitions(settings: Settings, text: str) -> Settings:
    """It decides what is told, so it takes the place of the rule that tells everything."""
    rules = find(settings, _RULES)
    others = [] if rules is MISSING else [rule for rule in rules if not _is_replaced(rule)]
    return with_value(settings, _RULES, [*others, f"{TRANSITION_RULE}{text}"])


def _is_replaced(rule: object) -> bool:
    return rule == ALL or str(rule).startswith(TRANSITION_RULE)


# --- the network's test -----------------------------------------------------------------------


def _tcp_target(settings: Settings) -> tuple[str, str]:
    """Raises ValueError while the test is another one."""
    usual = NetworkSettings()
    test, target = find(settings, _TEST), find(settings, _TARGET)
    if (usual.test if test is MISSING else test) != "tcp":
        raise ValueError("the test is no tcp")
    host, port = host_and_port(str(target))
    return host, str(port)


def _tcp(place: int) -> OlderKey:
    def read(settings: Settings) -> Any:
        try:
            return _tcp_target(settings)[place]
        except ValueError:
            return MISSING

    def change(settings: Settings, text: str) -> Settings:
        try:
            parts = list(_tcp_target(settings))
        except ValueError:
            raise UsageError(
                "address and port of the network's test are one setting here, and set together "
                "with it: --set-shared-config network '{test: tcp, target: \"HOST:PORT\"}'"
            ) from None
        parts[place] = text
        host, port = parts
        return with_value(
            settings, _TARGET, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        )

    return OlderKey("he_shared", _TARGET, read, change)


# --- all ------------------------------------------------------------------------------------

_MAILS = {
    "smtp-server": _mail("server"),
    "smtp-port": _mail("port"),
    "smtp-timeout": _mail("timeout_s"),
    "source-email": _mail("from"),
    "destination-emails": OlderKey("broker", _TO, _read_recipients, _set_recipients),
}
_TRANSITIONS = OlderKey("broker", _RULES, _read_transitions, _set_transitions)

OLDER_KEYS: Mapping[str, OlderKey] = {
    "fqdn": _plain("he_shared", "engine", "fqdn"),
    "gateway": _plain("he_shared", "network", "gateway"),
    "bridge": _plain("he_shared", "network", "bridge"),
    "network_test": _plain("he_shared", *_TEST),
    "tcp_t_address": _tcp(0),
    "tcp_t_port": _tcp(1),
    **_MAILS,
    **{f"email.{name}": key for name, key in _MAILS.items()},
    "state_transition": _TRANSITIONS,
    "notify.state_transition": _TRANSITIONS,
}
