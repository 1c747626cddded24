# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Taking secrets out of texts.

Two ways, for either alone would miss some: what looks like a secret is taken out wherever it
stands, and what this host knows as a secret (the content of the files that its settings name) is
taken out whatever it looks like.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit
from xml.sax.saxutils import escape

from hosted_engine.support_archive.named_values import HIDDEN, without_named_values
from metadata.secret_names import names_secret
from world.regular_file import open_regular

# Shorter ones would blot out half of the text, and protect nothing.
LEAST_LENGTH = 3
_LEAST_PATH = 12
_MOST_BYTES = 4096
_MOST_INSIDE = 20_000

_ADDRESS = r"(\bhttps?://[^/\s\"'<>\\]+/)[^\s\"'<>,\\]+"
_PATTERNS = (
    # of a qemu command line
    (re.compile(r"(\bsecret,[^\s]{0,200}?\bdata=)[^\s,]+"), rf"\1{HIDDEN}"),
    # credentials in an address, up to the last '@' before its path
    (re.compile(r"(://)[^/\s\"'<>]{1,500}@"), rf"\1{HIDDEN}@"),
    (
        re.compile(r"((?<![\w-])(?:-u|--user|--proxy-user)[= ]['\"]?[^\s:'\"]{1,200}:)[^\s'\"]+"),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(\bsshpass\s+-p\s*)\S+"), rf"\1{HIDDEN}"),
    (re.compile(r"(--base64[= ])\S+"), rf"\1{HIDDEN}"),
    # of protocols
    (
        re.compile(r"(\bAuthorization\\*[\"']?\s*[:=]\s*\\*[\"']?\w+\s+)[^\s\"'\\]+", re.I),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(\bBearer\s+)[\w.~+/=-]{6,}", re.I), rf"\1{HIDDEN}"),
    (re.compile(r"(\bAUTH\s+(?:PLAIN|LOGIN|XOAUTH2|CRAM-MD5)\s+)\S+"), rf"\1{HIDDEN}"),
    (re.compile(r"(\blogin\s+\S{1,200}\s+password\s+)\S+"), rf"\1{HIDDEN}"),
    (
        re.compile(
            r"(\b(?:password|passphrase|secret|token)\s+(?:is|was)\s+)([\"'])[^\"'\n]+\2", re.I
        ),
        rf"\1\2{HIDDEN}\2",
    ),
    (re.compile(r"(\bIDENTIFIED\s+BY\s+)'[^'\n]*'", re.I), rf"\1'{HIDDEN}'"),
    # what tells by its form alone that it is one
    (re.compile(r"\$(?:1|2[abxy]|5|6|7|y|gy|argon2(?:id?|d))\$[^\s:\"']+"), HIDDEN),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), HIDDEN),
    (
        re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AGE-SECRET-KEY-)[\w-]{8,}"),
        HIDDEN,
    ),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), HIDDEN),
    (re.compile(r"(\bkey\s*=\s*)AQ[\w+/]{20,}={0,2}"), rf"\1{HIDDEN}"),
    # who knows a webhook's whole address may use it, one of an earlier version of the settings, too
    (
        re.compile(
            rf"((?:\bwebhook |\bPOST |(?<![\w])url\\*[\"']?\s*[:=]\s*\\*[\"']?)){_ADDRESS}", re.I
        ),
        rf"\1\2{HIDDEN}",
    ),
    (
        re.compile(
            r"(\bhttps?://[^/\s\"'<>\\]{0,250}hook[^/\s\"'<>\\]{0,250}/)[^\s\"'<>,\\]+", re.I
        ),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(
            r"(\bhttps?://[^/\s\"'<>\\]{1,250}/)[^\s\"'<>,\\]{0,500}hooks?/[^\s\"'<>,\\]+", re.I
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(\bhttps?://api\.telegram\.org/)[^\s\"'<>,\\]+", re.I), rf"\1{HIDDEN}"),
)
_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_ENDS = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_S_END = re.compile(r"\A[A-Za-z0-9+/=\s]{1,20000}(?=-----END [A-Z0-9 ]{0,40}PRIVATE KEY)")
_ELEMENT = re.compile(r"<([A-Za-z][\w.:-]{0,60})(?:\s[^<>]{0,500})?(?<!/)>")
_IN_XML = re.compile(r"(?<![\w.-])([A-Za-z][\w.-]{0,60})\s*=\s*([\"'])(.*?)\2")
_BASE64_RUN = r"[A-Za-z0-9+/_=-]*"
_LEAST_CORE = 6


def without_secrets(text: str, known: Sequence[str] = ()) -> str:
    """`text` with each secret replaced; `known` are some of this host's."""
    for secret in sorted(known, key=len, reverse=True):
        text = _without(text, secret)
    text = _without_elements(without_named_values(_without_keys(text)))
    for pattern, by in _PATTERNS:
        text = pattern.sub(by, text)
    return text


def data_without_secrets(data: Any, known: Sequence[str] = ()) -> Any:
    """The same for plain data: what its keys call a secret, and what stands in its texts."""
    if isinstance(data, Mapping):
        return {
            without_secrets(str(key), known): (
                _hidden(value) if names_secret(str(key)) else data_without_secrets(value, known)
            )
            for key, value in data.items()
        }
    if isinstance(data, (list, tuple)):
        return [data_without_secrets(item, known) for item in data]
    return without_secrets(data, known) if isinstance(data, str) else data


def _hidden(value: Any) -> Any:
    return value if value is None or isinstance(value, bool) or value == "" else HIDDEN


def _without(text: str, secret: str) -> str:
    """Without this one in any form in which it may stand."""
    for form in _forms(secret):
        text = text.replace(form, HIDDEN)
    for core in _base64_cores(secret.encode("utf-8", "replace")):
        if core in text:
            text = re.sub(f"{_BASE64_RUN}{re.escape(core)}{_BASE64_RUN}", HIDDEN, text)
    return text


@lru_cache(maxsize=64)
def _forms(secret: str) -> tuple[str, ...]:
    """As it is, in JSON, in JSON within JSON, in XML, in an address, in hexadecimal digits; the
    longest first."""
    once = json.dumps(secret)[1:-1]
    raw = secret.encode("utf-8", "replace")
    forms = {
        *(secret, once, json.dumps(once)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]),
        *(escape(secret), escape(secret, {'"': "&quot;"}), escape(secret, {"'": "&apos;"})),
        escape(secret, {'"': "&quot;", "'": "&apos;"}),
        *(quote(secret, safe=safe) for safe in ("", "/")),
        *(quote_plus(secret), secret.replace("'", "'\\''"), secret.replace("'", "''")),
    }
    if len(raw) >= _LEAST_CORE:
        forms |= {raw.hex(), raw.hex().upper()}
    return tuple(sorted(forms, key=len, reverse=True))


@lru_cache(maxsize=64)
def _base64_cores(raw: bytes) -> tuple[str, ...]:
    """What base64 makes of it wherever it stands among other bytes (``user:password``)."""
    if len(raw) < _LEAST_CORE:
        return ()
    cores = set()
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw)
        whole = (before + len(raw)) // 3 * 4
        core = encoded[-(-before * 8 // 6) : whole].decode("ascii")
        cores |= {core, core.replace("+", "-").replace("/", "_")}
    return tuple(cores)


def _without_keys(text: str) -> str:
    """Without private keys, also encrypted ones with their head; of one that is cut off without
    what is there."""
    text = _KEY_S_END.sub(f"{HIDDEN}\n", text)
    pieces, at = [], 0
    for begin in _KEY_BEGINS.finditer(text):
        if begin.start() < at:
            continue
        most = min(len(text), begin.end() + _MOST_INSIDE)
        end = _KEY_ENDS.search(text, begin.end(), most)
        pieces += [text[at : begin.end()], HIDDEN]
        at = end.start() if end else most
    return "".join([*pieces, text[at:]])


def _without_elements(text: str) -> str:
    """Without what stands in elements of XML whose names stand for secrets."""
    pieces, at = [], 0
    for match in _ELEMENT.finditer(text):
        if match.start() < at or not names_secret(match[1].rpartition(":")[2]):
            continue
        end = text.find(f"</{match[1]}>", match.end(), match.end() + _MOST_INSIDE)
        if end > match.end():
            pieces += [text[at : match.end()], HIDDEN]
            at = end
    return "".join([*pieces, text[at:]])


def known_secrets(settings: Iterable[object]) -> list[str]:
    """The secrets behind these settings (plain data): in files that they name, in webhooks'
    addresses and in the domain XML."""
    found = {secret for key, value in _texts(settings) for secret in _behind(key, value)}
    return sorted(secret for secret in found if len(secret) >= LEAST_LENGTH)


def _texts(data: object) -> Iterator[tuple[str, str]]:
    """Every text in it with its key."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            if isinstance(value, str):
                yield str(key), value
            else:
                yield from _texts(value)
    elif isinstance(data, (list, tuple)):
        for item in data:
            yield from _texts(item)


def _behind(key: str, value: str) -> list[str]:
    if key.endswith("_file"):
        return [_content(value)]
    if key == "url":
        return _of_address(value)
    if key == "domain_xml":
        return [found[2] for found in _IN_XML.findall(value) if names_secret(found[0])]
    return [value] if names_secret(key) else []


def _content(path: str) -> str:
    """Of the secret's file, as far as it can be read at once."""
    try:
        with open_regular(path, follow_links=True) as file:
            return file.read(_MOST_BYTES).decode("utf-8", "replace").strip()
    except (OSError, ValueError):
        return ""


def _of_address(url: str) -> list[str]:
    """All of it behind the scheme; its path alone only where that is no usual word."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return [url]
    path = url.partition(parts.netloc)[2].strip("/")
    whole = url.partition("://")[2]
    return [whole, path] if len(path) >= _LEAST_PATH else [whole] if path else []
