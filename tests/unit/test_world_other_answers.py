# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Answers of a server that lives and is asked for something else: not known, and in reach.

What an ill engine answers stays bad.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Callable, Optional

import pytest

from tests.unit.test_world_health_page import LONG_S, Answer, Server, says
from world.network.health_page import HttpHealthPage
from world.network.other_answers import MOST_REDIRECTS
from world.ports.network import HealthReading

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nDB Up!"


def status(code: int, header: str = "", body: bytes = b"") -> bytes:
    head = f"HTTP/1.1 {code} X\r\n{header}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def moved(location: str, code: int = 302) -> bytes:
    return status(code, f"Location: {location}\r\n")


def pages(answers: dict[str, bytes]) -> Answer:
    """By path; `Server.asked` holds the request that is being answered last."""

    def answer(client: socket.socket, _over: threading.Event) -> None:
        path = current().split()[1].decode()
        client.sendall(answers.get(path, status(404)))

    def current() -> bytes:
        return server[0].asked[-1]

    server: list[Server] = []
    answer.server = server  # type: ignore[attr-defined]
    return answer


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(answer: Answer) -> Server:
        servers.append(Server(answer))
        getattr(answer, "server", []).append(servers[-1])
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def look(server: Server, path: str = "/health") -> HealthReading:
    return HttpHealthPage().check(f"http://127.0.0.1:{server.port}{path}", "DB Up", LONG_S)


@pytest.mark.parametrize(
    ("code", "why", "advice"),
    [
        (401, "asks for a login", "engine.health_url"),
        (407, "asks for a login", "engine.health_url"),
        (511, "asks for a login", "engine.health_url"),
        (403, "refuses this host", "let the hosts see the page"),
        (429, "is asked too often", "timing.tick_s"),
        (400, "does not take the question", "scheme, host, port and path"),
        (405, "does not take the question", "engine.health_url"),
        (421, "does not take the question", "engine.health_url"),
        (426, "does not take the question", "engine.health_url"),
        (451, "does not take the question", "engine.health_url"),
        (505, "does not take the question", "engine.health_url"),
        (204, "gives no page", "engine.health_url"),
        (103, "gives no page", "engine.health_url"),
        (300, "has no page", "engine.health_url"),
        (304, "has no page", "engine.health_url"),
        (302, "has no page", "engine.health_url"),
    ],
)
def test_what_says_nothing_of_the_engine(
    serve: Callable[..., Server], code: int, why: str, advice: str
) -> None:
    reading = look(serve(says(status(code))))
    assert (reading.good, reading.known, reading.answered) == (False, False, True)
    assert reading.detail.startswith(f"127.0.0.1: HTTP status {code}, it {why}: ")
    assert advice in reading.detail


@pytest.mark.parametrize("code", [404, 408, 410, 500, 502, 503, 504, 599])
def test_what_an_ill_engine_answers_is_bad(serve: Callable[..., Server], code: int) -> None:
    reading = look(serve(says(status(code))))
    assert reading == HealthReading(False, f"127.0.0.1: HTTP status {code}", answered=True)
    assert reading.known


# --- redirects ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/health/", "http://127.0.0.1:{port}/new?x=1", "../new?x=1"])
def test_one_to_the_same_host_is_followed(
    serve: Callable[..., Server], code: int, location: str
) -> None:
    answers: dict[str, bytes] = {"/health/": GOOD, "/new?x=1": GOOD}
    server = serve(pages(answers))
    answers["/health"] = moved(location.format(port=server.port), code)
    assert look(server) == HealthReading(True, "")
    assert len(server.asked) == 2


def test_one_to_another_port_of_the_same_host_is_followed(serve: Callable[..., Server]) -> None:
    other = serve(says(GOOD))
    server = serve(says(moved(f"http://127.0.0.1:{other.port}/health")))
    assert look(server).good


@pytest.mark.parametrize(
    "location",
    [
        "http://other.example.org/health",
        "https://127.0.0.2/health",
        "//other.example.org/x",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "http://127.0.0.1:port/",
        "http://127.0.0.1:0/",
        "http://[::1/",
        "http://127.0.0.1@other.example.org/",
        "http://127.0.0.1.example.org/",
        "/a b",
        "/\xff",
    ],
)
def test_one_that_leads_elsewhere_says_where_to(
    serve: Callable[..., Server], location: str
) -> None:
    answer = b"HTTP/1.1 302 X\r\nLocation: " + location.encode("latin-1")
    server = serve(says(answer + b"\r\nContent-Length: 0\r\n\r\n"))
    reading = look(server)
    assert (reading.good, reading.known, reading.answered) == (False, False, True)
    assert "it points to " in reading.detail and "which is not followed" in reading.detail
    assert location.rpartition("/")[2].encode("ascii", "replace").decode() in reading.detail
    assert "set engine.health_url" in reading.detail
    assert len(server.asked) == 1


def test_where_it_leads_is_shown_without_a_strangers_control_characters(
    serve: Callable[..., Server],
) -> None:
    reading = look(serve(says(moved("http://x/\x1b[31m\x9b\u202e".encode().decode("latin-1")))))
    assert reading.detail.isascii() and reading.detail.isprintable()
    assert "|" not in reading.detail and "\n" not in reading.detail


def test_a_circle_ends(serve: Callable[..., Server]) -> None:
    server = serve(says(moved("/health")))
    reading = look(server)
    assert (reading.known, reading.answered) == (False, True)
    assert f"after {MOST_REDIRECTS} others it points to http://127.0.0.1:" in reading.detail
    assert len(server.asked) == 1 + MOST_REDIRECTS


def test_a_login_page_behind_a_redirect_is_not_the_engines_health(
    serve: Callable[..., Server],
) -> None:
    login = status(200, body=b"<html>Please log in</html>")
    server = serve(pages({"/health": moved("/sso/login"), "/sso/login": login}))
    reading = look(server)
    assert (reading.known, reading.answered) == (False, True)
    assert "does not say 'DB Up'; it is the page http://127.0.0.1:" in reading.detail
    assert "/sso/login: set engine.health_url" in reading.detail


@pytest.mark.parametrize("page", [status(503), status(200, body=b"DB down")])
def test_a_page_that_has_moved_to_another_port_can_be_ill(
    serve: Callable[..., Server], page: bytes
) -> None:
    other = serve(says(page))
    reading = look(serve(says(moved(f"http://127.0.0.1:{other.port}/health/"))))
    assert (reading.good, reading.known, reading.answered) == (False, True, True)


def test_the_deadline_holds_for_all_of_them(serve: Callable[..., Server]) -> None:
    slow = serve(lambda _client, over: (over.wait(), None)[1])
    server = serve(says(moved(f"http://127.0.0.1:{slow.port}/health")))
    url = f"http://127.0.0.1:{server.port}/health"
    reading = HttpHealthPage().check(url, "DB Up", 0.3)
    assert reading == HealthReading(False, "127.0.0.1: no answer within 0.3 s")


# --- another protocol -----------------------------------------------------------------------------


@pytest.mark.parametrize("banner", [b"SSH-2.0-OpenSSH\r\n", b"\x15\x03\x03\x00\x02\x02F\r\n"])
def test_another_protocol_is_not_the_engine(serve: Callable[..., Server], banner: bytes) -> None:
    reading = look(serve(says(banner)))
    assert (reading.known, reading.answered) == (False, True)
    assert "not an HTTP answer (BadStatusLine): is that the port for http?" in reading.detail


def test_an_end_without_a_word_is_bad(serve: Callable[..., Server]) -> None:
    reading = look(serve(says(b"")))
    assert (reading.known, reading.answered) == (True, True)


def test_no_tls_where_https_is_expected_is_not_the_engine(serve: Callable[..., Server]) -> None:
    server = serve(says(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    url = f"https://127.0.0.1:{server.port}/health"
    reading = HttpHealthPage().check(url, "DB Up", LONG_S)
    assert (reading.good, reading.known, reading.answered) == (False, False, True)
    assert "no TLS with it (" in reading.detail and "is that the port for https?" in reading.detail


# --- what was seen --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "seen"),
    [
        (GOOD, "127.0.0.1: HTTP status 200, page 'DB Up!'"),
        (status(503), "127.0.0.1: HTTP status 503, an empty page"),
        (
            status(200, body=b"\x1b[2J<h1>\r\n Log in\x00\xff</h1>"),
            "127.0.0.1: HTTP status 200, page '?[2J<h1> Log in??</h1>'",
        ),
        (status(401, body=b"x" * 500), f"127.0.0.1: HTTP status 401, page '{'x' * 120}'"),
        (b"SSH-2.0-OpenSSH\r\n", None),
    ],
)
def test_people_are_shown_what_was_seen(
    serve: Callable[..., Server], page: bytes, seen: Optional[str]
) -> None:
    assert look(serve(says(page))).seen == (seen or "")
