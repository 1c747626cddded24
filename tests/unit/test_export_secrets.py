# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""No secret gets into an archive, and what is none stays readable."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

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
    # names
    "secret_key={}",
    "password_in={}",
    "node.session.auth.password_in = {}",
    "node.session.auth.password = {}",
    "DB_PASS={}",
    "export DB_PASS={}",
    "PGPASSWORD={}",
    "AWS_SECRET_ACCESS_KEY={}",
    "bindpw {{x}}: bindpw: {}",
    "userPassword: {}",
    "PrivateKey = {}",
    "PresharedKey = {}",
    "encryption-key: {}",
    "client_secret={}&grant_type=x",
    "?access_token={}&x=1",
    "https://x.example.com/a?sig={}&sv=1",
    "X-Auth-Token: {}",
    "PRIVATE-TOKEN: {}",
    "Cookie: {}",
    "Set-Cookie: {}; Path=/",
    "refreshToken: '{}'",
    "passphrase={}",
    "snmp passcode: {}",
    "wpa_psk={}",
    "keyPassword={}",
    "password.0: {}",
    # blocks, lists, mappings
    "password: |\n  {}\n  more",
    "password: >-\n    {}",
    "smtp:\n  password: |2-\n      {}\n  port: 25",
    "password:\n  {}",
    "passwords:\n- {}\n- b",
    "passwords:\n  - a\n  - {}",
    "- token:\n    value: {}",
    "secret:\n  a:\n    b: {}",
    'password: "two\n  {} lines"',
    '"passwords": ["a", "{}"]',
    '"tokens": [\n  "a",\n  "{}"\n ]',
    '"credentials": {{"user": "a", "value": "{}"}}',
    "tokens: [a, {}]",
    # quoting
    '{{"a": "{{\\"password\\": \\"{}\\"}}"}}',
    '{{"a": "{{\\\\\\"password\\\\\\": \\\\\\"{}\\\\\\"}}"}}',
    '"password": "a\\"b{}"',
    '"a": "{{\\"token\\": \\"x\\\\\\"{}\\"}}"',
    "{{'password': '{}'}}",
    "{{'password': \"it's {}\"}}",
    "password='it is {}'",
    'Environment="DB_PASS=a {}"',
    "PASSWORD=a,{}",
    "password: a, b, {}",
    'password: a"{}',
    "<a password='{}' b='1'/>",
    '"token": 1, "password": "{}"',
    "password => {}",
    "password := '{}'",
    # command lines
    "cmd --password {} --user x",
    "cmd --password={} x",
    "cmd --db-password '{}' x",
    "cmd -passphrase {}",
    '["cmd", "--password", "{}", "x"]',
    "['cmd', '--api-token', '{}']",
    '["cmd", "password={}"]',
    '["cmd", "password=a b {}"]',
    "mount -t cifs -o username=a,password={},vers=3 //s/x /m",
    "curl -u ha:{} https://x",
    "curl --user 'ha:{}' https://x",
    "sshpass -p {} ssh h1",
    "sshpass -p{} ssh h1",
    "virsh secret-set-value --base64 {} x",
    "-spice port=1,password={},x=1",
    # XML
    "<userPassword>{}</userPassword>",
    "<db:password>{}</db:password>",
    "<password><![CDATA[{}]]></password>",
    "<secret-key type='x'>\n  {}\n</secret-key>",
    # keys
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n{}==\n-----END ENCRYPTED PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n{}\n"
    "-----END RSA PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----",
    "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: a-b\n\n{}\n"
    "-----END PGP PRIVATE KEY BLOCK-----",
    '"key": "-----BEGIN PRIVATE KEY-----\\n{}\\n-----END PRIVATE KEY-----"',
    # addresses
    "https://ha:a@{}@hooks.example.com/x",
    "smtps://ha:{}@mail.example.com:465",
    "postgres://ha:{}@db/x",
    "POST https://x.example.com/T0/{}: no answer",
    "ha-broker: webhook https://x.example.com/in?a={}: 200",
    "notifications.webhooks: [{{'url': 'https://x.example.com/in/{}', 'ca_file': ''}}]",
    '"url": "https://x.example.com/in/{}"',
    "https://hooks.slack.example/services/{}",
    "https://discord.example/api/webhooks/1/{}",
    "https://x.example.com/webhook/{}/b",
    "https://api.telegram.org/bot1:{}/sendMessage",
    # protocols
    '"Authorization": "Bearer {}"',
    "-H 'Authorization: Basic {}'",
    "Proxy-Authorization: Basic {}",
    "send: AUTH PLAIN {}",
    "machine h1 login ha password {}",
    "the password is '{}'",
    "CREATE USER ha IDENTIFIED BY '{}'",
    "root:$6$salt${}:19000:0",
)


FORMS = (
    "AKIA0123456789ABCDEF",
    "ghp_0123456789abcdefghij",
    "glpat-0123456789abcdef",
    "xoxb-0123-4567-abcdefghij",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "AGE-SECRET-KEY-1QQQQQQQQQQQQQQ",
    "key = AQBzdGVybmVuc3RhdWJzdGVybmVuc3RhdWI==",
)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_told_by_its_form_is_taken_out(form: str) -> None:
    assert without_secrets(f"a {form} b") in ("a *** b", "a key = *** b")


@pytest.mark.parametrize("kind", ["RSA PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"])
def test_a_key_that_is_cut_off_is_taken_out_as_far_as_it_is_there(kind: str) -> None:
    inside = "QUJD\nREVG\n"
    assert "REVG" not in without_secrets(f"-----BEGIN {kind}-----\n{inside}")
    assert "REVG" not in without_secrets(f"{inside}-----END {kind}-----\n")


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
        "node.session.auth.authmethod = CHAP",
        "token_id=1 lver=0",
        "<lease><lockspace>ha</lockspace><key>engine</key></lease>",
        "author: somebody",
        "user: ha\nport: 25\npassword_file: /etc/hosted-engine-ha/x\nserver: mail",
        "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----",
        '{"secret_file": "/etc/x", "password": null, "tokens": true}',
        "webhook https://example.com (webhooks[1]): not done within 1 s",
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


@pytest.mark.parametrize(
    "text",
    [
        *("secret,", "<secret ", 'password="', "token: '", "a://", "x-", "token=", "--token "),
        *("secret:\n ", "<secret>", "password: [", "password: {", "a.", "token:", "\\\\'", ",a="),
        *("https://hook", "-----BEGIN PRIVATE KEY-----", "AUTH ", "url: https://a/", "$6$", "eyJ"),
    ],
)
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


@pytest.mark.parametrize("secret", ["Mondschein", "mond+schein/ö", 'it\'s & "so"'])
@pytest.mark.parametrize("around", ["", "u:", "\0user\0", "ab"])
def test_a_known_secret_is_taken_out_of_what_encodes_it(secret: str, around: str) -> None:
    raw = f"{around}{secret}".encode()
    for text in (
        base64.b64encode(raw).decode(),
        base64.b64encode(raw + b"behind").decode(),
        base64.urlsafe_b64encode(raw).decode(),
        secret.encode().hex(),
        secret.encode().hex().upper(),
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(json.dumps(secret)),
        escape(secret, {"'": "&apos;", '"': "&quot;"}),
    ):
        found = without_secrets(f"before {text} behind", [secret])
        assert found.startswith("before ") and found.endswith(" behind")
        assert HIDDEN in found
        inside = found[len("before ") : -len(" behind")].strip('"\\')
        assert inside == HIDDEN, text


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
