# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The network probes, of real sockets on the loopback address; the simulated twin beside them."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Callable, Optional

import pytest

from simulation.world import SimNetworkProbe
from world.network import dns_probe
from world.network.network_probe import SocketNetworkProbe
from world.ports.errors import WorldError
from world.ports.network import ProbeReading

FACTOR = float(os.environ.get("HE_TIME_FACTOR", "1"))
LONG_S = 10 * FACTOR
SHORT_S = 0.3

Answer = Callable[[socket.socket, threading.Event], None]


class Listener:
    """Serves one connection after another with `answer`."""

    def __init__(self, answer: Answer, address: str = "127.0.0.1", port: int = 0) -> None:
        self._answer = answer
        self._over = threading.Event()
        self._listener = socket.create_server((address, port))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, suppress(OSError):
                    self._answer(client, self._over)


def read_query(client: socket.socket) -> bytes:
    """One DNS message over TCP: two bytes of length, and so many more."""
    stream = client.makefile("rb")
    (size,) = struct.unpack("!H", stream.read(2))
    return stream.read(size)


def name_server(change: Callable[[bytes], bytes]) -> Answer:
    """Sends back what `change` makes of the query."""

    def answer(client: socket.socket, _over: threading.Event) -> None:
        message = change(read_query(client))
        client.sendall(struct.pack("!H", len(message)) + message)

    return answer


def with_code(code: int) -> Callable[[bytes], bytes]:
    """The query as an answer with this response code."""
    return lambda query: query[:2] + struct.pack("!H", 0x8000 | code) + query[4:]


def drips(client: socket.socket, over: threading.Event) -> None:
    message = with_code(0)(read_query(client))
    for byte in struct.pack("!H", len(message)) + message:
        client.sendall(bytes([byte]))
        if over.wait(0.05):
            return


def drips_rubbish(client: socket.socket, over: threading.Event) -> None:
    read_query(client)
    while not over.wait(0.05):
        client.sendall(b"\xff")


def says_nothing(_client: socket.socket, over: threading.Event) -> None:
    over.wait()


@pytest.fixture
def listen() -> Iterator[Callable[..., int]]:
    listeners: list[Listener] = []

    def start(answer: Answer, address: str = "127.0.0.1", port: int = 0) -> int:
        listeners.append(Listener(answer, address, port))
        return listeners[-1].port

    yield start
    for listener in listeners:
        listener.close()


@pytest.fixture
def refusing() -> Iterator[int]:
    """A port on which surely nobody listens: bound, and never listened on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture
def silent() -> Iterator[int]:
    """A port whose connections wait for ever: nobody accepts, and the queue is full."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        address = sock.getsockname()
        waiting = [socket.socket() for _ in range(8)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        time.sleep(0)
        yield address[1]
        for each in waiting:
            each.close()


# --- the beginning of TLS -------------------------------------------------------------------


def hangs_up(client: socket.socket, _over: threading.Event) -> None:
    client.recv(1)


def says_something_else(client: socket.socket, over: threading.Event) -> None:
    client.sendall(b"SSH-2.0-x\r\n")
    over.wait()


@pytest.mark.parametrize("answer", [hangs_up, says_something_else])
def test_whoever_does_anything_lives(listen: Callable[..., int], answer: Answer) -> None:
    assert SocketNetworkProbe().tls("127.0.0.1", listen(answer), LONG_S).answered


def test_tls_is_begun_as_a_server_expects_it(listen: Callable[..., int]) -> None:
    """A record of the kind "handshake", and in it a message "client hello"."""
    heard: list[bytes] = []

    def answer(client: socket.socket, _over: threading.Event) -> None:
        heard.append(client.recv(6))

    assert SocketNetworkProbe().tls("127.0.0.1", listen(answer), LONG_S).answered
    assert (heard[0][0], heard[0][1], heard[0][5]) == (22, 3, 1)


def test_one_that_is_frozen_says_nothing() -> None:
    """The kernel accepts for it."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        port = frozen.getsockname()[1]
        assert SocketNetworkProbe().tcp("127.0.0.1", port, LONG_S).answered
        reading = SocketNetworkProbe().tls("127.0.0.1", port, SHORT_S)
    why = "127.0.0.1 accepts the connection, and says nothing within 0.3 s"
    assert reading == ProbeReading(False, why)


def test_tls_where_nobody_listens(refusing: int) -> None:
    reading = SocketNetworkProbe().tls("127.0.0.1", refusing, LONG_S)
    assert (reading.answered, "Connection refused" in reading.detail) == (False, True)


# --- a connection ---------------------------------------------------------------------------


def test_one_that_listens(listen: Callable[..., int]) -> None:
    assert SocketNetworkProbe().tcp("127.0.0.1", listen(says_nothing), LONG_S).answered


def test_one_that_refuses(refusing: int) -> None:
    reading = SocketNetworkProbe().tcp("127.0.0.1", refusing, LONG_S)
    assert reading == ProbeReading(False, "127.0.0.1: Connection refused")


def test_one_that_is_silent_gets_its_time_and_no_more(silent: int) -> None:
    begun_s = time.monotonic()
    assert SocketNetworkProbe().tcp("127.0.0.1", silent, SHORT_S).answered is False
    assert SHORT_S * 0.9 < time.monotonic() - begun_s < SHORT_S + 2 * FACTOR


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example.org", "a" * 300])
def test_a_name_that_can_not_be_resolved_is_no_silence(host: str) -> None:
    with pytest.raises(WorldError) as caught:
        SocketNetworkProbe().tcp(host, 80, LONG_S)
    assert caught.value.what == f"connect to {host} port 80"


# --- a name server --------------------------------------------------------------------------


def ask(port: int, timeout_s: float = LONG_S, server: str = "127.0.0.1") -> bool:
    return SocketNetworkProbe(dns_port=port).dns(server, timeout_s).answered


def test_the_question_is_for_the_root_over_tcp(listen: Callable[..., int]) -> None:
    asked = []

    def keep(query: bytes) -> bytes:
        asked.append(query)
        return with_code(0)(query)

    assert ask(listen(name_server(keep))) is True
    (query,) = asked
    # RFC 1035 4.1: one question, recursion desired; the root's name, type NS, class IN
    assert query[2:] == bytes.fromhex("0100 0001 0000 0000 0000  00 0002 0001")


def test_each_question_has_a_number_of_its_own(listen: Callable[..., int]) -> None:
    numbers = set()

    def keep(query: bytes) -> bytes:
        numbers.add(query[:2])
        return with_code(0)(query)

    port = listen(name_server(keep))
    assert all(ask(port) for _ in range(8))
    assert len(numbers) > 4


CODES = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED", 9: "code 9"}


@pytest.mark.parametrize("code", CODES)
def test_whatever_one_elsewhere_answers_it_lives(
    listen: Callable[..., int], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_probe._Asking, "_is_on_this_host", lambda _: False)
    port = listen(name_server(with_code(code)))
    reading = SocketNetworkProbe(dns_port=port).dns("127.0.0.1", LONG_S)
    assert reading == ProbeReading(True, f"127.0.0.1 answers {CODES[code]}")


@pytest.mark.parametrize("code", CODES)
def test_of_one_on_this_host_only_a_real_answer_counts(
    listen: Callable[..., int], code: int
) -> None:
    port = listen(name_server(with_code(code)))
    reading = SocketNetworkProbe(dns_port=port).dns("127.0.0.1", LONG_S)
    if code in (0, 3):
        assert reading == ProbeReading(True, f"127.0.0.1 answers {CODES[code]}")
    else:
        why = f"127.0.0.1: {CODES[code]}, by a name server on this host itself"
        assert reading == ProbeReading(False, why)


@pytest.mark.parametrize(
    ("address", "on_this_host"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.53", True),
        ("192.0.2.53", False),
        ("2001:db8::53", False),
    ],
)
def test_loopback_is_known_in_every_form(address: str, on_this_host: bool) -> None:
    assert dns_probe.is_loopback(address) is on_this_host


def test_an_answer_that_drips_within_the_time(listen: Callable[..., int]) -> None:
    assert ask(listen(drips)) is True


@pytest.mark.parametrize(
    "change",
    [
        lambda query: query,  # an echo: no answer
        lambda query: bytes([query[0] ^ 1, query[1]]) + with_code(0)(query)[2:],
        lambda query: with_code(0)(query)[:11],
        lambda _query: b"",
    ],
    ids=["echo", "another question's", "too short", "empty"],
)
def test_what_is_no_answer(listen: Callable[..., int], change: Callable[[bytes], bytes]) -> None:
    assert ask(listen(name_server(change))) is False


def test_one_that_closes_in_the_midst(listen: Callable[..., int]) -> None:
    def cut(client: socket.socket, _over: threading.Event) -> None:
        message = with_code(0)(read_query(client))
        client.sendall(struct.pack("!H", len(message)) + message[:5])

    assert ask(listen(cut)) is False


@pytest.mark.parametrize("answer", [says_nothing, drips])
def test_the_deadline_holds_for_the_whole_question(
    listen: Callable[..., int], answer: Answer
) -> None:
    begun_s = time.monotonic()
    assert ask(listen(answer), SHORT_S) is False
    assert SHORT_S * 0.9 < time.monotonic() - begun_s < SHORT_S + 2 * FACTOR


def test_a_name_server_that_is_not_there(refusing: int) -> None:
    assert ask(refusing) is False


@pytest.fixture
def resolv_conf(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        (tmp_path / "resolv.conf").write_text(text)
        return tmp_path / "resolv.conf"

    return write


SERVERS = """\
# nameserver 127.0.0.9
search example.org
nameserver\t127.0.0.2
nameserver 127.0.0.3 x
"""


@pytest.mark.parametrize("good", ["127.0.0.2", "127.0.0.3"])
@pytest.mark.parametrize("other", [says_nothing, name_server(with_code(2)), drips_rubbish, None])
def test_without_a_target_one_of_all_in_resolv_conf_is_enough(
    listen: Callable[..., int],
    resolv_conf: Callable[[str], Path],
    good: str,
    other: Optional[Answer],
) -> None:
    port = listen(name_server(with_code(0)), good)
    if other is not None:
        listen(other, "127.0.0.2" if good == "127.0.0.3" else "127.0.0.3", port)
    begun_s = time.monotonic()
    reading = SocketNetworkProbe(resolv_conf(SERVERS), port).dns("", LONG_S)
    assert reading == ProbeReading(True, f"{good} answers NOERROR")
    assert time.monotonic() - begun_s < LONG_S / 2


def test_without_a_target_each_that_fails_is_named(
    listen: Callable[..., int], resolv_conf: Callable[[str], Path]
) -> None:
    port = listen(name_server(with_code(5)), "127.0.0.2")
    listen(says_nothing, "127.0.0.3", port)
    reading = SocketNetworkProbe(resolv_conf(SERVERS), port).dns("", SHORT_S)
    assert reading == ProbeReading(
        False,
        "127.0.0.2: REFUSED, by a name server on this host itself; "
        "127.0.0.3: no answer within 0.3 s",
    )


@pytest.mark.parametrize(
    ("text", "uplinks", "asked"),
    [
        ("127.0.0.53", "192.0.2.1 2001:db8::1", "192.0.2.1 2001:db8::1"),
        ("127.0.0.54", "192.0.2.1", "192.0.2.1"),
        ("192.0.2.9 127.0.0.53", "192.0.2.1 192.0.2.9", "192.0.2.9 192.0.2.1"),
        ("127.0.0.53", "", "127.0.0.53"),
        ("127.0.0.53", None, "127.0.0.53"),
        ("127.0.0.53", "127.0.0.53", "127.0.0.53"),
        ("127.0.0.1", "192.0.2.1", "127.0.0.1"),  # another program's: whom it asks is not known
        ("192.0.2.9 192.0.2.9", "192.0.2.1", "192.0.2.9"),
        ("ns.example.org fe80::1%eth0 192.0.2.300 ::1", "", "fe80::1%eth0 ::1"),
        ("192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4", "", "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4"),
    ],
)
def test_whom_the_files_name(tmp_path: Path, text: str, uplinks: Optional[str], asked: str) -> None:
    def lines(words: str) -> str:
        return "".join(f"nameserver {word}\n" for word in words.split())

    conf, resolved = tmp_path / "resolv.conf", tmp_path / "uplinks"
    conf.write_text(lines(text))
    if uplinks is not None:
        resolved.write_text(lines(uplinks))
    assert dns_probe.name_servers(conf, resolved) == tuple(asked.split())


@pytest.mark.parametrize(
    "text", [None, "", "search example.org\n", "nameserver\n", "nameserver x\n"]
)
def test_no_name_server_at_all_is_no_silence(tmp_path: Path, text: str | None) -> None:
    resolv_conf = tmp_path / "resolv.conf"
    if text is not None:
        resolv_conf.write_text(text)
    with pytest.raises(WorldError) as caught:
        SocketNetworkProbe(resolv_conf).dns("", LONG_S)
    assert str(resolv_conf) in caught.value.what


# --- the simulated twin ---------------------------------------------------------------------


def test_the_simulated_one_answers_as_it_is_told() -> None:
    network = SimNetworkProbe()
    assert network.tcp("192.0.2.1", 22, 5).answered
    assert network.dns("", 5).answered
    assert network.ping("192.0.2.1", 5).answered
    network.dns_takes_s = 5.1
    assert (network.dns("", 5).answered, network.tcp("192.0.2.1", 22, 5).answered) == (False, True)
    network.answers = False
    assert not network.tcp("192.0.2.1", 22, 5).answered
    assert network.calls[:2] == ["tcp 192.0.2.1 22", "dns "]
