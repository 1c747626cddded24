# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which names stand for secrets, for whoever shows settings, logs or other people's files. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

# A part of a name (between '_', '-', '.' or in camelCase) that ends so is a secret ...
_ENDINGS = (
    *("password", "passwords", "passwd", "passphrase", "passcode", "pass", "pwd", "pw"),
    *("secret", "secrets", "token", "tokens", "credential", "credentials", "cookie"),
    *("apikey", "psk", "otp", "authorization"),
)
_HARMLESS = ("bypass", "compass")
# ... and so are keys of these kinds.
_KEYS = ("access", "account", "api", "auth", "encryption", "preshared", "private",
         "secret", "shared", "signing", "ssh", "storage")  # fmt: skip
# Said of a secret, and none itself.
_ABOUT = frozenset(
    {
        *("file", "files", "path", "dir", "directory", "folder", "url", "uri", "id", "ids", "type"),
        *("valid", "to", "until", "expires", "expiry", "expire", "age", "length", "count", "limit"),
        *("policy", "usage", "required", "enabled", "changed", "prompt", "hint", "format", "uuid"),
    }
)
_ADDRESS = re.compile(r"(\bhttps?://)(?:[^/\s\"'<>]*@)?([^/?#\s\"'<>]+)[/?#][^\s\"'<>]*")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def without_paths(text: str) -> str:
    """Each web address in `text` by its scheme and host alone.

    Who knows the whole address of a webhook may use it.
    """
    return _ADDRESS.sub(r"\1\2", text)


@lru_cache(maxsize=4096)
def names_secret(name: str) -> bool:
    """``DB_PASS``, ``node.session.auth.password_in``, ``userPassword``; no ``password_file``."""
    parts = [part.lower() for part in _PART.findall(name)]
    if not parts or parts[-1] in _ABOUT:
        return False
    pairs = zip(parts, parts[1:])
    return any(map(_is_word, parts)) or any(
        second in ("key", "keys") and first in _KEYS for first, second in pairs
    )


def _is_word(part: str) -> bool:
    return (part.endswith(_ENDINGS) and part not in _HARMLESS) or part == "sig"
