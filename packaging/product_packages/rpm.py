# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The RPM packages.

Debian's rpm knows neither EL's packages nor its macros: there, what the build needs is not looked
for, and the macros have stand-ins. The compat package then has the Python folder of EL 9.

No source package: rpm writes the folder of the build into it, and its checksum into the others, so
that no two builds would be equal.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from product_packages.errors import PackagingError
from product_packages.sources import Sources
from product_packages.tools import require, run

SPEC = "hosted-engine-ha.spec"
EL_MACROS = Path("/usr/lib/rpm/macros.d/macros.systemd")


def build_rpm(sources: Sources, work: Path) -> list[Path]:
    """Build them below `work`, an empty folder; returns the packages. Raises PackagingError."""
    require("rpmbuild", "pip3")
    copy = sources.copy_to(work)
    for name in ("SOURCES", "SPECS"):
        (work / name).mkdir()
    sources.pack(copy, work / "SOURCES" / f"{sources.title}.tar.gz")
    _fetch_bundled(copy / "packaging/rpm/bundled.txt", work)
    spec = work / "SPECS" / SPEC
    text = (copy / "packaging/rpm" / SPEC).read_text(encoding="utf-8")
    elsewhere = not EL_MACROS.exists()
    # In the spec file, not by --load: rpm 4.20 has forgotten those when it comes to the files.
    load = f"%{{load:{copy}/packaging/rpm/macros.stand-ins}}\n" if elsewhere else ""
    spec.write_text(load + spec_text(text, sources), encoding="utf-8")
    _set_times(work, sources.epoch_s)
    _rpmbuild(work, spec, sources.epoch_s, elsewhere)
    return sorted(work.glob("RPMS/noarch/*.rpm"))


def lint_rpm(sources: Sources, packages: Sequence[Path]) -> None:
    """Raise PackagingError with all that rpmlint says of the packages and of the spec file."""
    require("rpmlint")
    folder = sources.root / "packaging/rpm"
    with tempfile.TemporaryDirectory(prefix="hosted-engine-lint-") as name:
        spec = Path(name) / SPEC
        text = (folder / SPEC).read_text(encoding="utf-8")
        spec.write_text(spec_text(text, sources), encoding="utf-8")
        config = ["--config", str(folder / "rpmlint.toml")]
        said = run(["rpmlint", *config, str(spec), *map(str, packages)])
    found = [line for line in said.splitlines() if re.search(r": [EW]: ", line)]
    if found:
        raise PackagingError("rpmlint says\n" + "\n".join(found))


def spec_text(text: str, sources: Sources) -> str:
    """The spec file with the version and its time."""
    day = time.strftime("%a %b %d %Y", time.gmtime(sources.epoch_s))
    return text.replace("@VERSION@", sources.version).replace("@DATE@", day)


def _fetch_bundled(wanted: Path, work: Path) -> None:
    """From the Python index, or wherever pip is told to look; by their hashes."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    try:
        run([*command, "--dest", str(work / "SOURCES"), "--requirement", str(wanted)])
    except PackagingError as error:
        raise PackagingError(
            f"what the RPM package brings along could not be fetched: {error}"
        ) from error


def _set_times(work: Path, epoch_s: int) -> None:
    """Of what rpm unpacks or copies."""
    for path in [*(work / "SOURCES").iterdir(), *(work / "SPECS").iterdir()]:
        os.utime(path, (epoch_s, epoch_s))
        path.chmod(0o644)


def _rpmbuild(work: Path, spec: Path, epoch_s: int, elsewhere: bool) -> None:
    macros = {
        "_topdir": str(work),
        # Neither the time, nor the machine, nor the user of the build is told.
        "use_source_date_epoch_as_buildtime": "1",
        "clamp_mtime_to_source_date_epoch": "1",
        "source_date_epoch_from_changelog": "0",
        "_buildhost": "localhost",
        "_binary_payload": "w19.zstdio",
    }
    words = ["rpmbuild", "-bb", str(spec), "--quiet"]
    if elsewhere:
        words += ["--nodeps"]
    for name, value in macros.items():
        words += ["--define", f"{name} {value}"]
    home = work / "home"
    home.mkdir()
    try:
        # A home of its own: ~/.rpmmacros of whoever builds has no say.
        run(words, work, {"SOURCE_DATE_EPOCH": str(epoch_s), "HOME": str(home)})
    finally:
        shutil.rmtree(home)
