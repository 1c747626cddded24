# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The Debian packages."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from product_packages.errors import PackagingError
from product_packages.files import NAME
from product_packages.sources import Sources
from product_packages.tools import require, run

MAINTAINER = "hosted-engine-ha maintainers <hosted-engine-ha@packages.invalid>"
_CHANGELOG = """\
{name} ({version}) unstable; urgency=medium

  * Version {version}: what is new stands in CHANGELOG.md.

 -- {maintainer}  {date}
"""


def build_deb(sources: Sources, work: Path) -> list[Path]:
    """Build them below `work`, an empty folder; returns the packages. Raises PackagingError."""
    require("dpkg-buildpackage", "dh", "dh_python3")
    copy = sources.copy_to(work)
    shutil.copytree(copy / "packaging/debian", copy / "debian")
    (copy / "debian/changelog").write_text(changelog(sources), encoding="utf-8")
    control = copy / "debian/control"
    text = control.read_text(encoding="utf-8").replace("@MAINTAINER@", MAINTAINER)
    control.write_text(text, encoding="utf-8")
    # What the build needs was looked for above: Debian would ask for a compiler, too.
    run(
        ["dpkg-buildpackage", "--build=binary", "--no-sign", "--no-check-builddeps"],
        copy,
        {"SOURCE_DATE_EPOCH": str(sources.epoch_s)},
    )
    found = sorted(work.glob("*.deb"))
    if not found:
        raise PackagingError("dpkg-buildpackage made no package")
    return found


def lint_deb(_: Sources, packages: Sequence[Path]) -> None:
    """Raise PackagingError with all that lintian calls an error or a warning."""
    require("lintian")
    command = ["lintian", "--allow-root", "--tag-display-limit", "0", "--fail-on", "error,warning"]
    said = run([*command, *map(str, packages)])
    if said.strip():
        raise PackagingError(f"lintian says\n{said}")


def changelog(sources: Sources) -> str:
    """What debian/changelog says: the version and its time."""
    return _CHANGELOG.format(
        name=NAME, version=sources.version, maintainer=MAINTAINER, date=sources.mail_date
    )
