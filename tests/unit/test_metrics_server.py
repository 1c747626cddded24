# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The metrics over TCP, on loopback: TLS, who may read, rude clients, files that change."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ha_broker.metrics.certificate import CertificateError
from ha_broker.metrics.service import MetricsService
from ha_broker.metrics.tcp_server import MOST_CONNECTIONS, MOST_OF_ONE_ADDRESS, MetricsServer
from ha_broker.server.http_server import TextAnswer
from metadata.settings.metrics import MetricsSettings
from tests.unit.certificates import AUTHORITY_USAGE

FACTOR = float(os.environ.get("HE_TIME_FACTOR", "1"))
PROMPT_S = 2.0 * FACTOR
ANSWER = TextAnswer(b"hosted_engine_up 1\n", "text/plain; version=0.0.4")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(
    conversation_s: float = 5.0, answer: Callable[[], TextAnswer] = lambda: ANSWER, **settings: str
) -> Iterator[MetricsServer]:
    made = MetricsSettings(f"127.0.0.1:{free_port()}", **settings)
    server = MetricsServer(made, answer, conversation_s * FACTOR)
    thread = threading.Thread(target=server.serve_forever, args=(3600,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop_serving(thread)
        server.server_close()
        assert not thread.is_alive()


@contextlib.contextmanager
def served(*arguments: Any, **settings: Any) -> Iterator[str]:
    """The address of one, host:port."""
    with serving(*arguments, **settings) as server:
        yield address_of(server)


def address_of(server: MetricsServer) -> str:
    return f"127.0.0.1:{server.server_address[1]}"


def get(address: str, path: str = "/metrics", **headers: str) -> tuple[int, bytes]:
    return fetch(f"http://{address}{path}", headers)


def fetch(
    url: str, headers: dict[str, str], context: ssl.SSLContext | None = None
) -> tuple[int, bytes]:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PROMPT_S, context=context) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def connection(address: str, source: str = "") -> socket.socket:
    host, port = address.split(":")
    sock = socket.create_connection((host, int(port)), 5 * FACTOR, (source, 0) if source else None)
    sock.settimeout(5 * FACTOR)
    return sock


def raw(address: str, request: bytes) -> bytes:
    with connection(address) as sock:
        sock.sendall(request)
        return b"".join(iter(lambda: sock.recv(65536), b""))


# --- what is answered ------------------------------------------------------------------


def test_the_metrics_with_their_type():
    with served() as address:
        answer = raw(address, b"GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Type: text/plain; version=0.0.4" in head
    assert b"Connection: close" in head
    assert b"Content-Length: %d" % len(ANSWER.body) in head
    assert body == ANSWER.body


def test_a_hint_where_they_are():
    with served() as address:
        assert get(address, "/") == (200, b"The metrics are at /metrics.\n")
        status, text = get(address, "/v1/status")
    assert (status, text) == (404, b"Not here. The metrics are at /metrics.\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"PUT /v1/maintenance HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"501"),
        (b"\x16\x03\x01 garbage\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/9.0\r\n\r\n", b"505"),
    ],
)
def test_nothing_else_is_served(request_: bytes, status: bytes):
    with served() as address:
        assert raw(address, request_).split(maxsplit=2)[1] == status


# --- who may read ----------------------------------------------------------------------


def write_secret(path: Path, content: str) -> None:
    path.touch(mode=0o600)
    path.write_text(content)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    write_secret(path, "s3cret ü\n")
    return path


def test_a_password(secret: Path):
    with served(user="prometheus", password_file=str(secret)) as address:
        assert get(address, **basic("prometheus", "s3cret ü"))[0] == 200
        for wrong in (
            {},
            basic("prometheus", "s3cret"),
            basic("prometheu", "s3cret ü"),
            basic("prometheus", ""),
            {"Authorization": "Basic \xff"},
            {"Authorization": "Bearer s3cret"},
        ):
            assert get(address, **wrong) == (401, b"Say who you are.\n")
        answer = raw(address, b"GET /metrics HTTP/1.1\r\n\r\n")
    assert b'WWW-Authenticate: Basic realm="metrics"' in answer


def test_a_token(tmp_path: Path):
    write_secret(tmp_path / "token", "abc")
    with served(token_file=str(tmp_path / "token")) as address:
        assert get(address, Authorization="Bearer abc")[0] == 200
        assert get(address, Authorization="bearer abc")[0] == 200
        assert get(address, Authorization="Bearer abd")[0] == 401
        assert get(address, Authorization="Basic abc")[0] == 401
        assert get(address)[0] == 401


def test_a_new_password_counts_at_once(secret: Path):
    with served(user="p", password_file=str(secret)) as address:
        assert get(address, **basic("p", "s3cret ü"))[0] == 200
        replacement = secret.with_name("new")
        write_secret(replacement, "other")
        replacement.replace(secret)
        assert get(address, **basic("p", "s3cret ü"))[0] == 401
        assert get(address, **basic("p", "other"))[0] == 200


def test_a_password_that_is_gone_lets_nobody_in(secret: Path, caplog: pytest.LogCaptureFixture):
    with served(user="p", password_file=str(secret)) as address:
        secret.unlink()
        for _ in range(3):
            assert get(address, **basic("p", "s3cret ü"))[0] == 503
        write_secret(secret, "\n")
        assert get(address, **basic("p", ""))[0] == 503
        write_secret(secret, "back")
        assert get(address, **basic("p", "back"))[0] == 200
        secret.unlink()
        assert get(address, **basic("p", "back"))[0] == 503
    why = f"nobody is let in: {secret}: No such file or directory"
    assert caplog.text.count(why) == 2  # not for each who asked


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_secret_is_refused(tmp_path: Path, content: str):
    write_secret(tmp_path / "token", content)
    with pytest.raises(OSError, match="token: a secret has"):
        MetricsServer(
            MetricsSettings("127.0.0.1:1", token_file=str(tmp_path / "token")), lambda: ANSWER
        )


def test_a_secret_that_goes_out_in_clear_is_warned_about(
    secret: Path, caplog: pytest.LogCaptureFixture
):
    settings = MetricsSettings(f"0.0.0.0:{free_port()}", token_file=str(secret))
    MetricsServer(settings, lambda: ANSWER).server_close()
    assert "goes out in clear" in caplog.text


def test_a_secret_of_root_on_loopback_is_fine(secret: Path, caplog: pytest.LogCaptureFixture):
    with served(token_file=str(secret)):
        pass
    assert caplog.text == ""


# --- TLS -------------------------------------------------------------------------------


def make_certificate(directory: Path, name: str = "localhost") -> tuple[Path, Path]:
    certificate, key = directory / "metrics.pem", directory / "metrics.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", f"/CN={name}",
         "-addext", f"{AUTHORITY_USAGE},digitalSignature", "-addext",
         f"subjectAltName=DNS:{name},IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


@pytest.fixture
def pair(tmp_path: Path) -> dict[str, str]:
    certificate, key = make_certificate(tmp_path)
    return {"certificate_file": str(certificate), "key_file": str(key)}


def trusting(pair: dict[str, str]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=pair["certificate_file"])


def test_over_tls(pair: dict[str, str]):
    with served(**pair) as address:
        assert fetch(f"https://{address}/metrics", {}, trusting(pair)) == (200, ANSWER.body)


def test_over_tls_with_a_password(pair: dict[str, str], secret: Path):
    with served(**pair, user="p", password_file=str(secret)) as address:
        url, trust = f"https://{address}/metrics", trusting(pair)
        assert fetch(url, basic("p", "s3cret ü"), trust)[0] == 200
        assert fetch(url, {}, trust)[0] == 401


def test_certificate_and_key_in_one_file(pair: dict[str, str], tmp_path: Path):
    both = tmp_path / "both.pem"
    both.write_text("".join(Path(path).read_text() for path in pair.values()))
    with served(certificate_file=str(both)) as address:
        assert fetch(f"https://{address}/metrics", {}, trusting(pair))[0] == 200


def test_plain_http_gets_nothing_from_tls(pair: dict[str, str]):
    with served(**pair) as address, pytest.raises(OSError):
        get(address)


def test_a_renewed_certificate_is_used_at_once(pair: dict[str, str], tmp_path: Path):
    with served(**pair) as address:
        old = trusting(pair)
        assert fetch(f"https://{address}/metrics", {}, old)[0] == 200
        make_certificate(tmp_path)
        assert fetch(f"https://{address}/metrics", {}, trusting(pair))[0] == 200
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            fetch(f"https://{address}/metrics", {}, old)


def test_a_damaged_new_certificate_leaves_the_old_one(
    pair: dict[str, str], caplog: pytest.LogCaptureFixture
):
    with served(**pair) as address:
        trust = trusting(pair)
        Path(pair["certificate_file"]).write_text("garbage")
        for _ in range(2):
            assert fetch(f"https://{address}/metrics", {}, trust)[0] == 200
    assert caplog.text.count("the certificate in use stays") == 1


@pytest.mark.parametrize("damage", ["missing", "garbage", "encrypted", "another's key"])
def test_files_that_make_no_certificate(pair: dict[str, str], tmp_path: Path, damage: str):
    key = Path(pair["key_file"])
    if damage == "missing":
        key.unlink()
    elif damage == "garbage":
        key.write_text("garbage")
    elif damage == "encrypted":
        encrypt = ["openssl", "ec", "-aes128", "-passout", "pass:x", "-in", str(key), "-out"]
        subprocess.run([*encrypt, str(key)], check=True, capture_output=True)
    else:
        other = tmp_path / "other"
        other.mkdir()
        make_certificate(other)[1].replace(key)
    with pytest.raises(CertificateError, match=r"metrics\.key"):
        MetricsServer(MetricsSettings("127.0.0.1:1", **pair), lambda: ANSWER)


# --- rude clients ----------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True])
def test_silent_clients_delay_nobody(pair: dict[str, str], tls: bool):
    settings = pair if tls else {}
    url = "https" if tls else "http"
    with served(**settings) as address, contextlib.ExitStack() as stack:
        for _ in range(MOST_CONNECTIONS - 1):
            stack.enter_context(connection(address))
        begun_s = time.monotonic()
        assert fetch(f"{url}://{address}/metrics", {}, trusting(pair))[0] == 200
        assert time.monotonic() - begun_s < PROMPT_S


@pytest.mark.parametrize("tls", [False, True])
def test_a_client_that_trickles_is_cut_off(pair: dict[str, str], tls: bool):
    settings, text = (pair, client_hello()) if tls else ({}, b"GET /metrics" + 1000 * b"x")
    with served(conversation_s=0.5, **settings) as address, connection(address) as sock:
        begun_s = time.monotonic()
        pause_s = 0.05 * FACTOR
        assert len(text) * pause_s > 10 * FACTOR
        for place in range(len(text)):
            sock.sendall(text[place : place + 1])
            if _readable(sock, pause_s):
                break
        assert time.monotonic() - begun_s < 3 * FACTOR
        with contextlib.suppress(ConnectionError):
            assert sock.recv(100) == b""


@pytest.mark.parametrize("tls", [False, True])
def test_a_client_that_reads_too_slowly_is_cut_off(pair: dict[str, str], tls: bool):
    settings = pair if tls else {}
    huge = TextAnswer(bytes(50_000_000))
    with serving(0.5, lambda: huge, **settings) as server, connection(address_of(server)) as plain:
        sock = trusting(pair).wrap_socket(plain, server_hostname="localhost") if tls else plain
        begun_s = time.monotonic()
        sock.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert sock.recv(4).startswith(b"HTTP")
        while server.connections:
            sock.recv(65536)
            threading.Event().wait(0.02)
            assert time.monotonic() - begun_s < 3 * FACTOR


def client_hello() -> bytes:
    """What a client that speaks TLS says first."""
    out = ssl.MemoryBIO()
    hello = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    return out.read()


def _readable(sock: socket.socket, wait_s: float) -> list[socket.socket]:
    import select

    return select.select([sock], [], [], wait_s)[0]


@pytest.mark.parametrize("text", [b"", b"GET /metr"])
def test_a_crowd_shuts_nobody_out(text: bytes, monkeypatch: pytest.MonkeyPatch):
    with serving() as server, contextlib.ExitStack() as stack:
        taken, take = threading.Semaphore(0), server.get_request

        def taking() -> tuple[Any, Any]:
            found = take()
            taken.release()
            return found

        monkeypatch.setattr(server, "get_request", taking)
        for _ in range(100):
            stack.enter_context(connection(address_of(server))).sendall(text)
            # Else the backlog gets full, and the kernel lets the crowd try again each second.
            assert taken.acquire(timeout=5 * FACTOR)
        begun_s = time.monotonic()
        assert get(address_of(server))[0] == 200
        assert time.monotonic() - begun_s < PROMPT_S
        assert server.connections <= MOST_OF_ONE_ADDRESS


def test_one_address_leaves_room_for_others():
    inside, go_on = threading.Semaphore(0), threading.Event()

    def slow() -> TextAnswer:
        inside.release()
        go_on.wait(10 * FACTOR)
        return ANSWER

    with serving(20, slow) as server, contextlib.ExitStack() as stack:
        for _ in range(MOST_OF_ONE_ADDRESS):
            sock = stack.enter_context(connection(address_of(server)))
            sock.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            assert inside.acquire(timeout=5 * FACTOR)
        assert raw(address_of(server), b"") == b""  # turned away
        other = stack.enter_context(connection(address_of(server), "127.0.0.2"))
        other.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert inside.acquire(timeout=5 * FACTOR)
        go_on.set()
        assert other.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
    ],
)
def test_what_counts_as_one_peer(one: str, two: str, same: bool):
    with serving() as server:
        peers = [server.peer_of(server.socket, (address, 1)) for address in (one, two)]
    assert (peers[0] == peers[1]) is same


def test_a_large_head_is_refused_and_not_kept():
    with served() as address:
        for lines in (b"a: " + b"b" * 60_000, b"a: bbbbbb\r\n" * 3000):
            answer = raw(address, b"GET /metrics HTTP/1.1\r\n" + lines)
            assert answer.startswith(b"HTTP/1.1 431 ") or answer == b""


# --- the service -----------------------------------------------------------------------


class Troubles:
    """What a service tells."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._news = threading.Condition()

    def __call__(self, trouble: str) -> None:
        with self._news:
            self.told.append(trouble)
            self._news.notify_all()

    def wait_for(self, text: str) -> None:
        """The latest word holds `text`, or is empty as it."""
        with self._news:
            assert self._news.wait_for(lambda: self._is_latest(text), 5 * FACTOR), self.told

    def _is_latest(self, text: str) -> bool:
        latest = self.told[-1] if self.told else None
        return latest is not None and text in latest and bool(text) == bool(latest)


def test_an_address_in_use_is_told_once_and_taken_when_it_is_free(
    caplog: pytest.LogCaptureFixture,
):
    troubles = Troubles()
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        service = MetricsService(MetricsSettings(listen), lambda: ANSWER, troubles, pause_s=0.02)
        service.start()
        troubles.wait_for(f"not served at {listen}: Address already in use")
        while len(troubles.told) < 3:
            troubles.wait_for("in use")
    troubles.wait_for("")
    assert get(listen)[0] == 200
    service.stop()
    with pytest.raises(OSError):
        get(listen)
    assert caplog.text.count("Address already in use") == 1


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"token_file": "/nowhere/token"}, "/nowhere/token: No such file or directory"),
        ({"certificate_file": "/nowhere/pem"}, "/nowhere/pem: can't be read"),
        ({"listen": "no-such-name.invalid:9177"}, "not served at no-such-name.invalid:9177: "),
        ({"listen": "a..b:9177"}, "not served at a..b:9177: "),
        ({"listen": "192.0.2.1:9177"}, "Cannot assign requested address"),
    ],
)
def test_what_can_not_be_served_is_told(settings: dict[str, str], why: str):
    troubles = Troubles()
    made = MetricsSettings(**{"listen": f"127.0.0.1:{free_port()}", **settings})
    service = MetricsService(made, lambda: ANSWER, troubles)
    service.start()
    troubles.wait_for(why)
    service.stop()
    assert len(troubles.told) == 1


def test_without_an_address_there_is_no_thread():
    service = MetricsService(MetricsSettings(), lambda: ANSWER, lambda _why: None)
    service.start()
    service.stop()
    assert not any(thread.name == "metrics" for thread in threading.enumerate())


def test_a_failing_exporter_is_no_silence(caplog: pytest.LogCaptureFixture):
    def fail() -> TextAnswer:
        raise RuntimeError("a bug")

    with served(answer=fail) as address:
        assert get(address) == (500, b"Making the metrics failed; see the broker's log.\n")
    assert "RuntimeError: a bug" in caplog.text
