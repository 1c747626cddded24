"""The product's version, which pyproject.toml alone decides."""

from __future__ import annotations

import re
from pathlib import Path

from product_packages.errors import PackagingError

# What dpkg, rpm and Python sort alike and take as it is.
_ALLOWED = re.compile(r"\d+(\.\d+)+")
_VERSION_LINE = re.compile(r'^version = "([^"]*)"$', re.MULTILINE)


def product_version(source: Path) -> str:
    """The version of the sources below `source`; raises PackagingError.

    The optional package in compat/ is built by itself, too, and must have the same one.
    """
    version = _version_in(source / "pyproject.toml")
    compat = _version_in(source / "compat" / "pyproject.toml")
    if compat != version:
        raise PackagingError(
            f"compat/pyproject.toml has the version {compat}, pyproject.toml has {version}; "
            "both must be the same"
        )
    return version


def _version_in(file: Path) -> str:
    """Without a parser of TOML: Python has one since 3.11."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise PackagingError(f"{file}: {error.strerror}; the version stands there") from error
    found = _VERSION_LINE.findall(text)
    if len(found) != 1:
        raise PackagingError(f"{file}: has {len(found)} lines 'version = \"…\"', not one")
    if not _ALLOWED.fullmatch(found[0]):
        raise PackagingError(
            f"{file}: version {found[0]!r}; allowed: numbers with dots between them, such as 1.2.0"
        )
    return str(found[0])
