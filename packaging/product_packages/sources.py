# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A copy of the sources to build from: the same bytes, modes and times wherever it is made."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from product_packages.errors import PackagingError
from product_packages.files import NAME
from product_packages.version import product_version, write_version

EPOCH_VARIABLE = "SOURCE_DATE_EPOCH"
# What no package is built from.
_LEFT_OUT = ("tests", "lab", "dist", ".ci", ".git", ".venv")


@dataclass(frozen=True)
class Sources:
    """The sources, and what of them every package tells: version and time (seconds since 1970)."""

    root: Path
    version: str
    epoch_s: int

    @property
    def mail_date(self) -> str:
        """The time as a Debian changelog has it."""
        return formatdate(self.epoch_s)

    @property
    def title(self) -> str:
        """Name and version, as folders and archives of sources are called."""
        return f"{NAME}-{self.version}"

    def copy_to(self, folder: Path) -> Path:
        """A copy below `folder`, which is made; returns where it is."""
        target = folder / self.title
        for name in _names(self.root):
            file = target / name
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.root / name, file)
            executable = os.access(self.root / name, os.X_OK)
            file.chmod(0o755 if executable else 0o644)
        for path in [target, *target.rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)
            os.utime(path, (self.epoch_s, self.epoch_s))
        return target

    def next_version(self, folder: Path) -> Sources:
        """A copy below `folder` that has a higher version, and nothing else new."""
        version = f"{self.version}.1"
        copy = self.copy_to(folder)
        write_version(copy, version)
        return Sources(copy, version, self.epoch_s)

    def digest(self) -> str:
        """Another text for other names, modes or contents; the time has no part in it."""
        digest = hashlib.sha256()
        for name in _names(self.root):
            content = (self.root / name).read_bytes()
            executable = os.access(self.root / name, os.X_OK)
            digest.update(f"{name} {executable:d} {len(content)}\n".encode() + content)
        return digest.hexdigest()

    def pack(self, folder: Path, target: Path) -> None:
        """Write what `copy_to` made as `target`, a .tar.gz."""

        def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = "root"
            entry.mtime = self.epoch_s
            return entry

        with (
            target.open("wb") as raw,
            gzip.GzipFile("", "wb", fileobj=raw, mtime=self.epoch_s) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            archive.add(folder, folder.name, filter=plain)


def read_sources(root: Path) -> Sources:
    """The sources below `root`; raises PackagingError."""
    return Sources(root, product_version(root), _epoch_s(root))


def _epoch_s(root: Path) -> int:
    """When these sources were made: what the variable says, or else the time of git's commit."""
    given = os.environ.get(EPOCH_VARIABLE)
    if given is not None:
        if not re.fullmatch(r"\d{1,10}", given):
            raise PackagingError(f"{EPOCH_VARIABLE}={given!r}; allowed: seconds since 1970")
        return int(given)
    try:
        return int(_git(root, "log", "-1", "--format=%ct"))
    except PackagingError as error:
        raise PackagingError(
            f"{root} is no checkout of git, so the time of these sources is not known; set "
            f"{EPOCH_VARIABLE} to it, in seconds since 1970"
        ) from error


def _names(root: Path) -> list[str]:
    """What git knows or would add; without git, all that there is."""
    try:
        said = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        names = [name for name in said.split("\0") if (root / name).is_file()]
    except PackagingError:
        names = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    return sorted(name for name in names if not _is_left_out(name))


def _is_left_out(name: str) -> bool:
    parts = Path(name).parts
    return parts[0] in _LEFT_OUT or "__pycache__" in parts or name.endswith(".egg-info")


def _git(root: Path, *words: str) -> str:
    """Only of a repository that begins here: the sources may lie inside of another one."""
    if not (root / ".git").exists():
        raise PackagingError(f"{root}: no repository")
    # Somebody else may own the checkout, as with sudo.
    command = ["git", "-c", f"safe.directory={root}", "-C", str(root), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise PackagingError("git is not installed") from error
    if done.returncode != 0:
        raise PackagingError(done.stderr.strip())
    return done.stdout
