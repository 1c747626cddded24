"""No secret gets into an archive, and what is none stays readable."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hosted_engine.support_archive.secrets import HIDDEN, known_secrets, without_secrets

SECRETS = (
    "<graphics type='vnc' port='5900' passwd='{}'/>",
    '<graphics type="vnc" passwd="{}" passwdValidTo="2026-01-01"/>',
    '"domain_xml": "<graphics passwd=\\"{}\\" port=\\"1\\"/>"',
    '"domain_xml": "<graphics passwd=\'{}\'/>"',
    "password: {}",
    "  smtp_password:   {}",
    "- {{user: ha, password: {}, server: mail}}",
    "password: '{}'",
    'password: "{}"',
    '"password": "{}"',
    '{{"a": 1, "secret":"{}"}}',
    "SMTP_PASSWORD={}",
    'password: "{}',
    "<graphics passwd='{}\\\\'/>",
    "?user=ha&token={}&x=1",
    "api-key: {}",
    "-----BEGIN RSA PRIVATE KEY-----\n{}==\n-----END RSA PRIVATE KEY-----",
    "<secret>{}</secret>",
    "<password type='x'>{}</password>",
    "qemu -object secret,id=masterKey0,format=raw,data={},iv=1",
    "https://ha:{}@hooks.example.com/x",
    "smtp://{}@mail.example.com",
    "Authorization: Bearer {}",
    "authorization: Basic {}",
    "delivered: webhook https://hooks.example.com/services/{}: 200 OK",
)


@pytest.mark.parametrize("text", SECRETS)
def test_what_looks_like_a_secret_is_taken_out(text: str) -> None:
    line = f"before\n{text.format('Geheim+123')}\nbehind"
    found = without_secrets(line)
    assert "Geheim+123" not in found
    assert HIDDEN in found
    assert found.startswith("before\n") and found.endswith("\nbehind")


def test_a_secret_of_several_words_is_taken_out_whole() -> None:
    assert without_secrets("password: drei leise Worte\nport: 25") == "password: ***\nport: 25"
    document = '{"secret": "zwei \\" Worte", "port": 1}'
    assert without_secrets(document) == '{"secret": "***", "port": 1}'


@pytest.mark.parametrize(
    "text",
    [
        "password_file: /etc/hosted-engine-ha/mail.password",
        "  token_file: /etc/token",
        '"secret_file": "/etc/hook.secret"',
        "/etc/hosted-engine-ha/hook.secret: others than its owner may use it (mode 0644)",
        "read /etc/mail.password: no such file",
        "<secret ephemeral='no' private='yes'/>",
        "state=EngineUp",
        "https://engine.example.com/ovirt-engine/services/health",
        "mail to a@example.com through mail.example.com:587",
        "webhook https://hooks.example.com: 200 OK",
        "2026-11-21 09:00:01 h1 s1 renewal",
    ],
)
def test_what_is_none_stays(text: str) -> None:
    assert without_secrets(text) == text


def test_a_redacted_json_is_still_one() -> None:
    document = {"password": 'a"b\\', "xml": "<g passwd=\"x y\" port='1'/>", "token": "t", "n": 1}
    found = json.loads(without_secrets(json.dumps(document, indent=1)))
    assert found == {
        "password": HIDDEN,
        "xml": f"<g passwd=\"{HIDDEN}\" port='1'/>",
        "token": HIDDEN,
        "n": 1,
    }


@pytest.mark.parametrize("text", ["secret,", "<secret ", 'password="', "token: '", "a://", "x-"])
def test_a_long_text_of_anything_takes_no_long_time(text: str) -> None:
    begun_s = time.process_time()
    without_secrets(text * 20_000)
    assert time.process_time() - begun_s < 5


# --- what this host knows ---------------------------------------------------------------


def test_the_files_that_settings_name_are_secrets_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text('Mond & "Schein"\n')
    settings = {"notifications": {"smtp": {"password_file": str(tmp_path / "mail")}}}
    known = known_secrets([settings])
    assert known == ['Mond & "Schein"']
    for text in ('x Mond & "Schein" y', 'Mond &amp; "Schein"', 'a "Mond & \\"Schein\\""'):
        assert "Mond" not in without_secrets(text, known)


def test_the_address_of_a_webhook_is_a_secret_and_its_host_alone_is_none() -> None:
    settings = {"webhooks": [{"url": "https://hooks.example.com/T0/B0/xyzxyzxyz?key=a"}]}
    known = known_secrets([settings])
    for text in ("POST https://hooks.example.com/T0/B0/xyzxyzxyz?key=a", "/T0/B0/xyzxyzxyz?key=a"):
        assert "xyz" not in without_secrets(text, known)
    assert without_secrets("can't reach hooks.example.com", known).endswith("hooks.example.com")
    short = known_secrets([{"url": "https://example.com/ha"}])
    assert without_secrets("ha-agent: https://example.com/ha", short) == "ha-agent: https://***"


def test_the_password_of_the_console_is_a_secret_wherever_it_stands() -> None:
    xml = "<domain><graphics passwd='Mondschein'/><graphics type='spice' passwd=\"Abendrot\"/>"
    assert known_secrets([{"domain_xml": xml}]) == ["Abendrot", "Mondschein"]


@pytest.mark.parametrize("kind", ["none", "directory", "short", "pipe"])
def test_a_secrets_file_that_cannot_be_read_hides_nothing(tmp_path: Path, kind: str) -> None:
    import os

    path = tmp_path / "secret"
    if kind == "directory":
        path.mkdir()
    elif kind == "short":
        path.write_text("a")
    elif kind == "pipe":
        os.mkfifo(path)
    assert known_secrets([{"password_file": str(path)}]) == []


@given(st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=6, max_size=40))
def test_a_known_secret_is_in_no_text_that_shows_it(secret: str) -> None:
    text = f"a {secret} b {json.dumps({'x': secret})}"
    assert secret not in without_secrets(text, [secret])
