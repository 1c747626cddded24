# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The look at certificates in files: each thing that can be wrong is told by the file's name."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.certificates import Authority
from world.network.certificate_files import PemCertificates
from world.ports.certificates import CertificateFiles, CertificateLook, Use

NAMES = "DNS:h1,DNS:h1.example.org,IP:192.0.2.1,IP:2001:db8::1"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


def files_of(authority: Authority, names: str = NAMES, days: int = 2) -> CertificateFiles:
    """Key and certificate are in one file here, which OpenSSL takes for both."""
    both = str(authority.certificate(names, days))
    return CertificateFiles(both, both, str(authority.file))


def look(files: CertificateFiles, use: Use = Use.SERVER, name: str = "h1") -> CertificateLook:
    return PemCertificates().look(files, use, name)


@pytest.mark.parametrize("name", ["h1", "H1", "h1.example.org", "192.0.2.1", "2001:db8::1", ""])
def test_a_good_one_says_when_it_ends(authority: Authority, name: str) -> None:
    files = files_of(authority)
    found = look(files, name=name)
    assert found.problem == ""
    assert found.ends.endswith(" GMT")
    assert look(files, Use.CLIENT, "") == found


@pytest.mark.parametrize("name", ["h2", "h1.example.com", "192.0.2.2", "2001:db8::2", "1"])
def test_another_name(authority: Authority, name: str) -> None:
    files = files_of(authority)
    assert look(files, name=name) == CertificateLook(
        f"{files.certificate} is not for the name {name}"
    )


@pytest.mark.parametrize("name", [".", "h1..example", "h" * 200])
def test_a_name_that_no_certificate_can_have(authority: Authority, name: str) -> None:
    assert f"for the name {name}" in look(files_of(authority), name=name).problem


@pytest.mark.parametrize("use", list(Use))
def test_an_ended_one(authority: Authority, use: Use) -> None:
    files = files_of(authority, days=-2)
    assert look(files, use).problem == (
        f"{files.certificate}, or its authority's {files.authority}, has expired"
    )


@pytest.mark.parametrize("use", list(Use))
def test_one_of_another_authority(authority: Authority, tmp_path: Path, use: Use) -> None:
    files = replace(files_of(authority), authority=str(Authority(tmp_path / "other").file))
    assert look(files, use).problem == (
        f"{files.certificate} is not signed by the authority in {files.authority}"
    )


@pytest.mark.parametrize("which", ["certificate", "key", "authority"])
def test_a_file_that_is_not_there(authority: Authority, which: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    files = replace(files_of(authority), **{which: missing})
    assert look(files).problem == f"{missing} can't be read: No such file or directory"


@pytest.mark.parametrize("which", ["certificate", "key", "authority"])
@pytest.mark.parametrize("text", ["", "no certificate\n", "-----BEGIN CERTIFICATE-----\nAA==\n"])
def test_a_file_with_something_else(
    authority: Authority, which: str, text: str, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.write_text(text)
    files = replace(files_of(authority), **{which: str(other)})
    told = look(files).problem
    assert str(other) in told
    assert " no certificate" in told


def test_a_key_of_another_certificate(authority: Authority, tmp_path: Path) -> None:
    files = files_of(authority)
    key = files_of(Authority(tmp_path / "other")).key
    assert look(replace(files, key=key)).problem == f"{key} is not the key of {files.certificate}"


def test_a_key_with_a_password_asks_nobody_for_it(authority: Authority, tmp_path: Path) -> None:
    files, key = files_of(authority), tmp_path / "locked.pem"
    subprocess.run(
        ["openssl", "ec", "-aes128", "-passout", "pass:x", "-in", files.key, "-out", str(key)],
        check=True,
        capture_output=True,
    )
    assert look(replace(files, key=str(key))).problem == (
        f"{files.certificate} and {key} are no certificate and key without a password"
    )
