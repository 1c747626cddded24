# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``packaging/build``: builds the packages into dist/."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Callable, Optional

from product_packages.debian import build_deb, lint_deb
from product_packages.errors import PackagingError
from product_packages.rpm import build_rpm, lint_rpm
from product_packages.sbom import build_sbom
from product_packages.sources import Sources, read_sources
from product_packages.wheel import build_wheels

SOURCE = Path(__file__).resolve().parents[2]
Build = Callable[[Sources, Path], list[Path]]
Lint = Callable[[Sources, Sequence[Path]], None]
KINDS: dict[str, Build] = {
    "deb": build_deb,
    "rpm": build_rpm,
    "wheel": build_wheels,
    "sbom": build_sbom,
}
LINTERS: dict[str, Lint] = {"deb": lint_deb, "rpm": lint_rpm}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Build what is asked for; returns the exit code."""
    options = _arguments(argv)
    kinds = list(KINDS) if "all" in options.kinds or not options.kinds else options.kinds
    try:
        sources = read_sources(SOURCE)
        for kind in dict.fromkeys(kinds):
            made = kept(kind, sources, options.output) if options.if_changed else []
            made = made or build(kind, sources, options.output, options.check_reproducible)
            print(*made, sep="\n", flush=True)
            if options.lint and kind in LINTERS:
                LINTERS[kind](sources, made)
    except (PackagingError, OSError) as error:
        print(f"packaging/build: {error}", file=sys.stderr)
        return 1
    return 0


def _arguments(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="packaging/build",
        description="Build the packages of this checkout, and their bill of materials (sbom); no "
        "KIND means all.",
        epilog="The time in them is that of git's commit, or SOURCE_DATE_EPOCH.",
    )
    parser.add_argument(
        "kinds",
        nargs="*",
        metavar="KIND",
        choices=[*KINDS, "all", []],
        help=f"{', '.join(KINDS)} or all",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=SOURCE / "dist",
        metavar="FOLDER",
        help="where the packages go (default: dist/ of the checkout)",
    )
    parser.add_argument(
        "--check-reproducible",
        action="store_true",
        help="build twice, in two folders, and fail when a byte differs",
    )
    parser.add_argument(
        "--if-changed",
        action="store_true",
        help="keep what is there, when it was built from the same files",
    )
    parser.add_argument(
        "--lint",
        action="store_true",
        help="ask lintian and rpmlint, and fail when they have something to say",
    )
    return parser.parse_args(argv)


def build(kind: str, sources: Sources, output: Path, twice: bool) -> list[Path]:
    """Build one kind of packages into `output`; raises PackagingError."""
    with tempfile.TemporaryDirectory(prefix="hosted-engine-build-") as folder:
        made = KINDS[kind](sources, _empty(Path(folder) / "one"))
        if twice:
            # A path of another length, seen by whatever tells where it was built.
            again = KINDS[kind](sources, _empty(Path(folder) / "another-one"))
            refuse_differences(made, again)
        output.mkdir(parents=True, exist_ok=True)
        _forget(kind, output)
        packages = [Path(shutil.copyfile(package, output / package.name)) for package in made]
    lines = [sources.digest(), *(package.name for package in packages)]
    _stamp(kind, output).write_text("\n".join(lines), encoding="utf-8")
    return packages


def kept(kind: str, sources: Sources, output: Path) -> list[Path]:
    """What was built into `output` from these same files; nothing when any of it is missing."""
    digest, packages = _latest(kind, output)
    same = digest == sources.digest() and all(package.exists() for package in packages)
    return packages if same else []


def _forget(kind: str, output: Path) -> None:
    """Another version's packages would lie beside the new ones."""
    for package in _latest(kind, output)[1]:
        package.unlink(missing_ok=True)
    _stamp(kind, output).unlink(missing_ok=True)


def _latest(kind: str, output: Path) -> tuple[str, list[Path]]:
    """From what the latest build into `output` was made, and what it made."""
    try:
        digest, *names = _stamp(kind, output).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ValueError):
        return "", []
    return digest, [output / name for name in names]


def _stamp(kind: str, output: Path) -> Path:
    return output / f".{kind}-built-from"


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


def refuse_differences(first: Sequence[Path], second: Sequence[Path]) -> None:
    """Raise PackagingError when two builds are not the same files, byte by byte."""
    names = [[path.name for path in made] for made in (first, second)]
    if names[0] != names[1]:
        raise PackagingError(f"two builds made {names[0]} and {names[1]}")
    for one, other in zip(first, second):
        if one.read_bytes() != other.read_bytes():
            raise PackagingError(f"{one.name}: two builds differ")
