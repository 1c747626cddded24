# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Answers of an HTTP server that lives, but is asked for something else than it gives.

A login, a refusal, a page that is elsewhere, too many questions: nothing of that says that the
engine is ill, and restarting it mends none of it. Such an answer is an `OtherAnswerError`, with
what is to be changed. What an ill engine does answer is left: 404, 408, 410, most of 500 to 599,
and a page without the text.
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from metadata.plain_text import ascii_text
from metadata.value_class import value_class

MOST_REDIRECTS = 3
_MOST_SHOWN = 120
_FOLLOWED = (301, 302, 303, 307, 308)
_SET_URL = "set engine.health_url to a page that answers by itself"
_LOGIN = ("asks for a login", _SET_URL)
_OTHERS = {
    401: _LOGIN,
    403: ("refuses this host", "let the hosts see the page, or set engine.health_url to another"),
    407: _LOGIN,
    429: ("is asked too often", "let the hosts ask every timing.tick_s, or set that higher"),
    511: _LOGIN,
}
_NOT_TAKEN = (
    "does not take the question",
    "look at scheme, host, port and path of engine.health_url",
)
_ILL = (404, 408, 410)  # what runs behind the server is not there, or too slow
_NOT_ILL = (501, 505, 511)  # about the question itself


@value_class(frozen=True)
class Answer:
    """What a server said to a question for `url`.

    came_far  redirects led to another page than the one in the settings
    """

    url: str
    status: int
    location: str = ""
    body: bytes = b""
    came_far: bool = False

    def shown(self) -> str:
        """For people: the status and the beginning of the page, nothing that is not printable."""
        text = " ".join(self.body.decode("utf-8", "replace").split())
        page = f", page '{ascii_text(text, _MOST_SHOWN)}'" if text else ", an empty page"
        place = f" at {_shown(self.url)}" if self.came_far else ""
        return f"HTTP status {self.status}{page}{place}"


class OtherAnswerError(Exception):
    """Somebody answers, and says nothing of the engine; `advice` is what to change."""

    def __init__(self, why: str, advice: str) -> None:
        super().__init__(f"{why}: {advice}")


def is_redirect(answer: Answer) -> bool:
    """Does it say where the page is?"""
    return answer.status in _FOLLOWED and bool(answer.location)


def next_url(answer: Answer) -> str:
    """Where a redirect leads; raises OtherAnswerError when that is not followed.

    To the same host only: another one's page says nothing of the engine. And not from https to
    http: what a certificate is asked for would then come without one.
    """
    try:
        url = urljoin(answer.url, answer.location)
        before, after = urlsplit(answer.url), urlsplit(url)
        same_host = _host(before.hostname) == _host(after.hostname)
        usable = after.scheme in ("http", "https") and after.port != 0
    except ValueError:  # a port that is no number, an open bracket
        raise _points_elsewhere(answer, answer.location) from None
    plain = all("!" <= character <= "~" for character in url)
    weaker = before.scheme == "https" and after.scheme == "http"
    if not (same_host and usable and plain) or weaker:
        raise _points_elsewhere(answer, url)
    return url


def too_many_redirects(answer: Answer) -> OtherAnswerError:
    """The error for a page that points on and on."""
    why = f"HTTP status {answer.status}, after {MOST_REDIRECTS} others it points to "
    return OtherAnswerError(f"{why}{_shown(urljoin(answer.url, answer.location))}", _SET_URL)


def same_page(first: str, second: str) -> bool:
    """Is it the same page, though with another scheme or port, or a slash behind it?"""
    one, two = urlsplit(first), urlsplit(second)
    return (one.path.rstrip("/"), one.query) == (two.path.rstrip("/"), two.query)


def check_status(answer: Answer) -> None:
    """Raise OtherAnswerError where the status says nothing of the engine."""
    status = answer.status
    if status == 200 or status in _ILL or (status >= 500 and status not in _NOT_ILL):
        return
    if 300 <= status < 400:
        where = f"points to {_shown(answer.location)}" if answer.location else "has no page"
        why, advice = where, _SET_URL
    elif status < 300:
        why, advice = "gives no page", _SET_URL
    else:
        why, advice = _OTHERS.get(status, _NOT_TAKEN)
    raise OtherAnswerError(f"HTTP status {status}, it {why}", advice)


def check_place(answer: Answer, why: str) -> None:
    """Raise OtherAnswerError where another page than the one in the settings was read."""
    if answer.came_far:
        raise OtherAnswerError(f"{why}; it is the page {_shown(answer.url)}", _SET_URL)


def _points_elsewhere(answer: Answer, url: str) -> OtherAnswerError:
    why = f"HTTP status {answer.status}, it points to {_shown(url)}, which is not followed"
    return OtherAnswerError(why, _SET_URL)


def _host(name: object) -> str:
    return str(name or "").rstrip(".").lower()


def _shown(url: str) -> str:
    """A stranger's text, for a record and a terminal."""
    return ascii_text(url, _MOST_SHOWN)
