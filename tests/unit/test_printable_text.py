# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What strangers wrote is only text: it steers no terminal and begins no line of its own."""

from __future__ import annotations

import base64
import io
import json
import logging
import pickle
import socket
import struct
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from ha_broker.api.json_codec import DataError, from_data
from ha_broker.notifications.message import Notice
from hosted_engine.cli.terminal import print_raw
from hosted_engine.config.history import history_data, history_lines
from hosted_engine.errors import say_error
from metadata.domain_xml import domain_name
from metadata.errors import DomainXmlError, SettingsError
from metadata.plain_text import one_line, printable_text, steers
from metadata.records import HostRecord
from metadata.sanlock_disk import HOST_ID_MAGIC, parse_record
from metadata.settings.notifications import NONE, SmtpSettings, WebhookSettings
from metadata.settings.parse import ClusterSettings, parse_cluster_settings
from metadata.shared_config import SharedConfig, StoredConfig
from world.host.journal import log_setup
from world.network.health_page import HttpHealthPage
from world.network.notification_sender import NetNotificationSender
from world.plain_yaml import PlainYamlError, parse_yaml
from world.ports.errors import HypervisorError, LockspaceError, StorageError, WorldError
from world.ports.notifications import DeliveryError, Message

CLEAR = "\x1b[2J"
CSI_8_BIT = "\x9b31m"
TITLE = "\x1b]0;owned\x07"
REVERSED = "\u202etxet"
ISOLATE = "\u2067x\u2069"
NEW_LINE = "\nVersion 9 (in use): forged"
SEPARATOR = "\u2028Version 9"
NEXT_LINE = "\x85Version 9"
HALF = "\ud800"
INVISIBLE = "a\u200bb\ufeffc"
ATTACKS = (
    CLEAR, CSI_8_BIT, TITLE, REVERSED, ISOLATE, NEW_LINE, SEPARATOR, NEXT_LINE, HALF, INVISIBLE,
    "back\rto the front", "rub\x08out", "nul\0", "del\x7f",
)  # fmt: skip
each_attack = pytest.mark.parametrize("attack", ATTACKS, ids=ascii)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# --- the rule -------------------------------------------------------------------------------


@each_attack
def test_no_attack_passes(attack: str) -> None:
    assert printable_text(f"x{attack}y").isprintable()
    assert one_line(f"x{attack}y").isprintable()
    assert steers(f"x{attack}y", allowed="")


@pytest.mark.parametrize(
    "text", ["", "DB Up", "Zürich 東京 مرحبا", "a\u00a0b", "می\u200cخواهم", "👩\u200d💻", "e\u0301"]
)
def test_people_s_own_languages_steer_nothing(text: str) -> None:
    assert not steers(text)


def test_white_space_is_one_blank_and_the_rest_a_question_mark() -> None:
    assert one_line(" a\n\tb\u00a0c\x1b[0m ") == "a b c?[0m"


# --- the shared configuration ---------------------------------------------------------------


def packed(**note: object) -> str:
    whole = {"user": "root", "host": "h1", "at_wall_s": 0, "what": "x", **note}
    old = {"sequence": 7, "settings": {}, "domain_xml": "<domain/>", "note": whole}
    document = {"note": whole, "versions": [old]}
    return base64.b64encode(zlib.compress(json.dumps(document).encode())).decode()


@each_attack
@pytest.mark.parametrize("key", ["user", "host", "what"])
def test_a_note_can_not_forge_a_version(key: str, attack: str) -> None:
    config = SharedConfig(8, ClusterSettings(), "<domain/>")
    stored = StoredConfig(config, {}, packed(**{key: f"x{attack}"}))
    lines = history_lines(stored)
    assert len(lines) == 2
    assert [line.split(":")[0] for line in lines] == ["Version 8 (in use)", "Version 7"]
    assert all(line.isprintable() for line in lines)
    assert history_data(stored)["versions"][0][{"what": "changes"}.get(key, key)].isprintable()


@each_attack
@pytest.mark.parametrize(
    ("section", "key"),
    [("engine", "health_text"), ("engine", "domain_name"), ("engine", "health_ca_file")],
)
def test_a_setting_that_steers_is_refused(section: str, key: str, attack: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_cluster_settings({section: {key: f"/x{attack}"}}, "settings")
    assert f"{section}.{key}: " in str(caught.value)
    assert "refused; allowed: " in str(caught.value)
    assert str(caught.value).isprintable() and str(caught.value).isascii()


@each_attack
def test_so_is_one_of_the_lists_and_maps(attack: str) -> None:
    smtp = {"server": "mail", "from": "a@b.c", "to": ["d@e.f"], "subject": f"x{attack}"}
    plugins = {"raid": {"options": {"array": f"x{attack}"}}}
    for data in ({"notifications": {"smtp": smtp}}, {"monitors": {"plugins": plugins}}):
        with pytest.raises(SettingsError):
            parse_cluster_settings(data, "settings")


def test_a_mail_s_body_may_have_lines() -> None:
    smtp = {"server": "mail", "from": "a@b.c", "to": ["d@e.f"], "body": "one\n\ttwo"}
    parse_cluster_settings({"notifications": {"smtp": smtp}}, "settings")


@pytest.mark.parametrize("name", ["a\nb", "a\u202eb", "a\u2028b", "a\u0085b"])
def test_a_domain_with_such_a_name_is_refused(name: str) -> None:
    with pytest.raises(DomainXmlError, match=r"<name> .* is refused; allowed: one line") as caught:
        domain_name(f"<domain><name>{name}</name></domain>")
    assert caught.value.why.isascii()


# --- other decoders -------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    why: str
    notes: tuple[tuple[str, str], ...] = ()


@each_attack
def test_the_api_s_texts(attack: str) -> None:
    told = from_data(Told, {"why": f"x{attack}", "notes": [["key", f"x{attack}"]]})
    assert told.why.isprintable() and told.notes[0][1].isprintable()
    with pytest.raises(DataError) as caught:
        from_data(Told, {"why": "", f"x{attack}": 1}, refuse_unknown=True)
    assert str(caught.value).isprintable()


@each_attack
@pytest.mark.parametrize(("kind", "key"), [(HostRecord, "text"), (Notice, "detail")])
def test_a_text_of_several_lines_keeps_them_and_steers_nothing(
    kind: type, key: str, attack: str
) -> None:
    status = {"vm": "up", "health": "good", "detail": f"x{attack}"}
    numbers = {"host_id": 1, "timestamp_s": 1, "score": 1, "wall_s": 1.0, "engine_status": status}
    words = ("hostname", "id", "kind", "text", "detail", "host", "engine", "sender")
    data = {**dict.fromkeys(words, f"x{attack}"), **numbers, key: f"one\ntwo{attack}\n"}
    told = from_data(kind, data)
    found = getattr(told, key)
    assert found.split("\n")[0] == "one" and found.endswith("\n")
    assert len(found) == len(data[key])
    assert found.replace("\n", "").isprintable()
    others = {name: text for name, text in vars(told).items() if name != key}
    assert all(text.isprintable() for text in others.values() if isinstance(text, str))


@each_attack
def test_the_names_in_sanlock_s_sectors(attack: str) -> None:
    raw = attack.replace(HALF, "").encode("utf-8")[:48]
    sector = bytearray(512)
    struct.pack_into("<I", sector, 0, HOST_ID_MAGIC)
    struct.pack_into("<48s48s", sector, 56, raw, raw)
    record = parse_record(bytes(sector))
    assert record is not None
    assert record.lockspace.isprintable() and record.resource.isprintable()


@each_attack
@pytest.mark.parametrize("kind", [WorldError, StorageError, LockspaceError, HypervisorError])
def test_what_the_world_s_errors_say(kind: type[WorldError], attack: str) -> None:
    error = kind(f"ask{attack}", f"no{attack}", 5)
    assert all(text.isprintable() for text in (str(error), error.what, error.why))
    again = pickle.loads(pickle.dumps(error))
    assert (again.what, again.why, again.errno) == (error.what, error.why, 5)


@pytest.mark.parametrize(
    "text", ["a: [\u202e", "\u2066a: @x", "? \u200b: {", "- \u2069\n :-x: y: z"]
)
def test_yaml_s_errors_quote_nothing_that_steers(text: str) -> None:
    with pytest.raises(PlainYamlError) as caught:
        parse_yaml(text)
    assert str(caught.value).isprintable()


# --- servers --------------------------------------------------------------------------------


class Server:
    """Says each of `lines` after it has heard something; the first one at once if `greets`."""

    def __init__(self, lines: list[bytes], greets: bool) -> None:
        self._lines, self._greets = lines, greets
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            client, _ = self._listener.accept()
            with client:
                for place, line in enumerate(self._lines):
                    if place or not self._greets:
                        client.recv(65536)
                    client.sendall(line)
                client.recv(65536)

    def close(self) -> None:
        self._listener.close()
        self._thread.join()


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    made: list[Server] = []
    yield made
    for server in made:
        server.close()


WIRED = [text for text in ATTACKS if text not in (NEW_LINE, HALF) and "\r" not in text]


@pytest.mark.parametrize("attack", WIRED, ids=ascii)
@pytest.mark.parametrize("status", [200, 302, 500])
def test_a_webhook_s_reason(servers: list[Server], status: int, attack: str) -> None:
    head = f"HTTP/1.1 {status} fine".encode() + attack.encode("utf-8")
    servers.append(Server([head + b"\r\nContent-Length: 0\r\n\r\n"], greets=False))
    hook = WebhookSettings(f"http://127.0.0.1:{servers[0].port}/x", timeout_s=10)
    try:
        words = NetNotificationSender().post(hook, b"{}").words
    except DeliveryError as error:
        words = str(error)
    assert f"HTTP status {status}" in words or "not an HTTP answer" in words
    assert words.isprintable()


@pytest.mark.parametrize("attack", WIRED, ids=ascii)
def test_a_mail_server_s_words(servers: list[Server], attack: str) -> None:
    said = attack.encode("utf-8")
    lines = [b"220 hi\r\n", b"250 hello\r\n", b"250 sender\r\n", b"550-no\r\n550 " + said + b"\r\n"]
    servers.append(Server([*lines, b"221 bye\r\n"], greets=True))
    smtp = SmtpSettings(
        "127.0.0.1", "a@b.c", ("d@e.f",), port=servers[0].port, security=NONE, timeout_s=10
    )
    with pytest.raises(DeliveryError) as caught:
        NetNotificationSender().mail(smtp, Message("a@b.c", ("d@e.f",), b"x\r\n"))
    assert "d@e.f: 550 no" in caught.value.why
    assert str(caught.value).isprintable()


def test_the_health_page_s_own_errors() -> None:
    reading = HttpHealthPage().check(f"http://h{REVERSED}{CLEAR}/", "DB Up", 5.0)
    assert not reading.known
    assert reading.detail.isprintable()


# --- where it would be seen -----------------------------------------------------------------


@pytest.fixture
def log_lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


@each_attack
def test_the_log_has_one_printable_line_for_each_message(
    log_lines: io.StringIO, attack: str
) -> None:
    log_setup("info", log_lines)
    logging.getLogger("x").warning("heard: %s", f"x{attack}y")
    logging.getLogger().handlers[0].flush()
    assert log_lines.getvalue().count("\n") == 1
    assert log_lines.getvalue()[:-1].isprintable()


def test_a_traceback_keeps_its_lines_and_steers_nothing(log_lines: io.StringIO) -> None:
    log_setup("info", log_lines)
    try:
        raise ValueError(f"{CLEAR}{REVERSED}")
    except ValueError:
        logging.getLogger("x").exception("it failed")
    logging.getLogger().handlers[0].flush()
    lines = log_lines.getvalue().splitlines()
    assert lines[0].endswith("it failed") and lines[1] == "Traceback (most recent call last):"
    assert lines[-1].startswith("ValueError: ?")
    assert all(line.isprintable() for line in lines)


@each_attack
def test_raw_text_is_filtered_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, attack: str
) -> None:
    raw = f"<domain>\n\t<name>x{attack}</name>\r\n</domain>"
    written: dict[type, str] = {}
    for kind in (io.StringIO, Terminal):
        stream = kind()
        monkeypatch.setattr(sys, "stdout", stream)
        print_raw(raw)
        written[kind] = stream.getvalue()
    assert written[io.StringIO] == f"{raw}\n"
    shown = written[Terminal].split("\n")
    assert shown[0] == "<domain>" and shown[1].startswith("\t<name>x") and shown[-2] == "</domain>"
    assert all(line.replace("\t", "").isprintable() for line in shown)


@each_attack
def test_the_command_s_errors(capsys: Any, attack: str) -> None:
    say_error(f"no{attack}")
    (line,) = capsys.readouterr().err.split("\n")[:-1]
    assert line.isprintable()
