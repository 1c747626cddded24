# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""docs/migration.md: its commands are run by the tests that it names, or it says that none does."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from hosted_engine.deploy.checks_migration import CLIENT, SERVER
from tests.unit.test_security_page import NAMED, functions_of, where
from world.network.certificate_files import PemCertificates
from world.ports.certificates import CertificateFiles, Use

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/migration.md").read_text()
SCRIPT = "docs/examples/libvirt-tls/make-certificates"
(COMMAND,) = re.findall(rf"^{SCRIPT} .*", PAGE, re.MULTILINE)
HOSTS = [names.split(",") for names in shlex.split(COMMAND)[2:]]


def test_each_block_says_who_runs_it() -> None:
    behind = re.findall(r"^```\w*\n[^`]+^```\n\n(.*)", PAGE, re.MULTILINE)
    assert len(behind) == PAGE.count("```") / 2 > 5
    for said in behind:
        assert re.match(r"\*Run by\* `tests/|\*Not run by a test", said), said


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED.findall(PAGE))))
def test_a_test_that_is_named_is_there(file: str, test: str) -> None:
    found = functions_of(where(file))
    assert test in found if test else found


def make(folder: Path, *hosts: str, **environment: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("openssl") is None:
        pytest.skip("no command openssl")
    command = [str(ROOT / SCRIPT), str(folder), *hosts]
    env = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def below(root: Path, files: CertificateFiles) -> CertificateFiles:
    """The files of a host whose root is there."""
    return CertificateFiles(
        *(f"{root}{path}" for path in (files.certificate, files.key, files.authority))
    )


QEMU = {
    use: CertificateFiles(
        *(f"/etc/pki/qemu/{name}.pem" for name in (f"{use.value}-cert", f"{use.value}-key")),
        "/etc/pki/qemu/ca-cert.pem",
    )
    for use in Use
}


def test_the_certificates_are_made_as_the_page_says(tmp_path: Path) -> None:
    done = make(tmp_path / "ca", *shlex.split(COMMAND)[2:])
    assert (done.returncode, done.stderr) == (0, "")
    look = PemCertificates().look
    for host, address in HOSTS:
        root = tmp_path / "ca" / host
        for name in (host, address):
            assert look(below(root, SERVER), Use.SERVER, name).problem == ""
            assert look(below(root, QEMU[Use.SERVER]), Use.SERVER, name).problem == ""
        assert look(below(root, CLIENT), Use.CLIENT).problem == ""
        assert look(below(root, QEMU[Use.CLIENT]), Use.CLIENT).problem == ""
        assert "is not for the name" in look(below(root, SERVER), Use.SERVER, "other").problem
    keys = sorted((tmp_path / "ca").rglob("*key*.pem"))
    assert len(keys) == 1 + 4 * len(HOSTS)
    modes = {stat.S_IMODE(key.stat().st_mode) for key in keys}
    assert modes == {0o600, 0o640}
    assert f"{COMMAND.split()[1]}/ca-key.pem" in PAGE


def test_the_authority_stays(tmp_path: Path) -> None:
    make(tmp_path, "h1")
    before = (tmp_path / "cacert.pem").read_bytes()
    make(tmp_path, "h2,2001:db8::1", "h1")
    assert (tmp_path / "cacert.pem").read_bytes() == before
    look = PemCertificates().look
    assert look(below(tmp_path / "h2", SERVER), Use.SERVER, "2001:db8::1").problem == ""
    assert look(below(tmp_path / "h1", SERVER), Use.SERVER, "h1").problem == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("ca-key.pem", "cacert.pem", "h1", "h2"),
    ]


@pytest.mark.parametrize(
    "names", ["", "../h1", "/etc", "-h1", "h 1", "h1,", "h1,,h2", "h1;id", "é", "."]
)
def test_what_is_no_host_is_refused_before_anything_is_made(tmp_path: Path, names: str) -> None:
    done = make(tmp_path / "ca", "h1", names)
    assert done.returncode == 2
    assert done.stderr.startswith(f"make-certificates: {names}: not HOST")
    assert not (tmp_path / "ca").exists()


def test_without_hosts_it_says_what_it_wants(tmp_path: Path) -> None:
    done = make(tmp_path / "ca")
    assert (done.returncode, done.stderr.partition(":")[0]) == (2, "usage")


def test_openssl_s_own_words_are_told(tmp_path: Path) -> None:
    done = make(tmp_path / "ca", "h" * 65)
    assert done.returncode != 0
    assert "string too long" in done.stderr
