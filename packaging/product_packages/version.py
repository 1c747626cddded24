# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The product's version: pyproject.toml decides, and all that repeats it must say the same."""

from __future__ import annotations

import re
from pathlib import Path

from product_packages.errors import PackagingError

# What dpkg, rpm and Python sort alike and take as it is.
_ALLOWED = re.compile(r"\d+(\.\d+)+")
_IN_PROJECT = re.compile(r'^(version = ")([^"]*)(")$', re.MULTILINE)
_IN_MODULE = re.compile(r'^(VERSION = ")([^"]*)(")$', re.MULTILINE)
_DECIDES = "pyproject.toml"
# The package in compat/ is built by itself, too; the program does not look at what is installed.
_PLACES = {
    _DECIDES: _IN_PROJECT,
    "compat/pyproject.toml": _IN_PROJECT,
    "metadata/program.py": _IN_MODULE,
}


def product_version(source: Path) -> str:
    """The version of the sources below `source`; raises PackagingError."""
    found = {name: _version_in(source / name, line) for name, line in _PLACES.items()}
    version = found[_DECIDES]
    for name, other in found.items():
        if other != version:
            raise PackagingError(
                f"{name} has the version {other}, {_DECIDES} has {version}; both must be the same"
            )
    return version


def write_version(source: Path, version: str) -> None:
    """Give the sources below `source` another version; raises PackagingError."""
    for name, line in _PLACES.items():
        _version_in(source / name, line)
        text = (source / name).read_text(encoding="utf-8")
        (source / name).write_text(line.sub(rf"\g<1>{version}\g<3>", text), encoding="utf-8")


def _version_in(file: Path, line: re.Pattern[str]) -> str:
    """Without a parser of TOML: Python has one since 3.11."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise PackagingError(f"{file}: {error.strerror}; the version stands there") from error
    found = line.findall(text)
    if len(found) != 1:
        raise PackagingError(f"{file}: has {len(found)} lines with a version, not one")
    version = str(found[0][1])
    if not _ALLOWED.fullmatch(version):
        raise PackagingError(
            f"{file}: version {version!r}; allowed: numbers with dots between them, such as 1.2.0"
        )
    return version
