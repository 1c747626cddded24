"""Taking secrets out of texts.

Two ways, for either alone would miss some: what looks like a secret is taken out wherever it
stands, and what this host knows as a secret (the content of the files that its settings name) is
taken out whatever it looks like.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import quote, urlsplit
from xml.sax.saxutils import escape

from world.regular_file import open_regular

HIDDEN = "***"
# Shorter ones would blot out half of the text, and protect nothing.
LEAST_LENGTH = 3
_LEAST_PATH = 12
_MOST_BYTES = 4096

_WORD = r"(?:password|passwd|passphrase|secret|token|credentials?|api[_-]?key|private[_-]?key)"
# Not in a path, where the file's name may say what is in it; password_file is no such key either.
_KEY = rf"(?<![\w./-])[\w.-]*{_WORD}"
# A key of JSON may stand in quotes, which may be within another JSON text.
_SET = rf"({_KEY}\\?[\"']?\s*[:=]\s*)"
_PATTERNS = (
    # in quotes: of JSON or YAML, within another JSON text, of XML
    (re.compile(rf"{_SET}([\"'])(?:\\.|(?!\2)[^\\\n])*\2", re.I), rf"\1\2{HIDDEN}\2"),
    (re.compile(rf"{_SET}(\\[\"'])(?:(?!\2).)*\2", re.I), rf"\1\2{HIDDEN}\2"),
    (re.compile(rf"{_SET}([\"'])(?:(?!\2).)*\2", re.I), rf"\1\2{HIDDEN}\2"),
    # in quotes that do not end
    (re.compile(rf"{_SET}\\?[\"'](?!\*\*\*).*", re.I), rf"\1{HIDDEN}"),
    # without quotes: a value of YAML goes on to the line's end, one of a variable does not
    (re.compile(rf"({_KEY}[ \t]*:[ \t]+)(?!\\?[\"'])[^\n\"',}}]+", re.I), rf"\1{HIDDEN}"),
    (re.compile(rf"({_KEY}\s*=\s*)(?!\\?[\"'])[^\s\"',&]+", re.I), rf"\1{HIDDEN}"),
    # an element of XML
    (re.compile(rf"(<({_WORD})\b[^>/]{{0,200}}>)[^<]+(</\2>)", re.I), rf"\1{HIDDEN}\3"),
    # of a qemu command line
    (re.compile(r"(\bsecret,[^\s]{0,200}?\bdata=)[^\s,]+"), rf"\1{HIDDEN}"),
    (
        re.compile(r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)[^-]{0,20000}"),
        rf"\1{HIDDEN}",
    ),
    # credentials in an address
    (re.compile(r"(://)[^/\s@\"']+@"), rf"\1{HIDDEN}@"),
    (re.compile(r"(\bAuthorization:\s*\w+\s+)\S+", re.I), rf"\1{HIDDEN}"),
    # who knows a webhook's whole address may use it
    (re.compile(r"(\bwebhook https?://[^/\s\"']+/)[^\s\"',]+", re.I), rf"\1{HIDDEN}"),
)
_IN_XML = re.compile(rf"{_KEY}\s*=\s*([\"'])(.*?)\1", re.I)


def without_secrets(text: str, known: Sequence[str] = ()) -> str:
    """`text` with each secret replaced; `known` are some of this host's."""
    for secret in sorted(known, key=len, reverse=True):
        for form in (secret, json.dumps(secret)[1:-1], escape(secret), quote(secret)):
            text = text.replace(form, HIDDEN)
    for pattern, by in _PATTERNS:
        text = pattern.sub(by, text)
    return text


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
        return [found[1] for found in _IN_XML.findall(value)]
    return [value] if re.fullmatch(rf"[\w.-]*{_WORD}", key, re.I) else []


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
