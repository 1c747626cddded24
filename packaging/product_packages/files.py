# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which file of the sources goes where on a host: one list for all kinds of packages.

Modules lie in a private folder, because their names (`metadata`, `fsm`, …) are generic; the
commands put it on their path. Paths on the host are written without the first slash.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from product_packages.errors import PackagingError

NAME = "hosted-engine-ha"
COMPAT_NAME = "hosted-engine-ha-compat"
PACKAGES = ("metadata", "world", "fsm", "ha_broker", "ha_agent", "simulation", "hosted_engine")
COMPAT_PACKAGE = "ovirt_hosted_engine_ha"

MODULES = "usr/share/hosted-engine-ha"
# Where the units look for the daemons.
PROGRAMS = "usr/lib/hosted-engine-ha/bin"
UNITS = "usr/lib/systemd/system"
DOCUMENTS = "usr/share/doc"
COMMANDS = {
    "hosted-engine": "hosted_engine.main",
    "hosted-engine-cleanup": "hosted_engine.storage.cleanup",
    "ha-agent": "ha_agent.main",
    "ha-broker": "ha_broker.main",
}
# Isolated: neither root's environment nor a folder below /root adds to what runs as root.
_LAUNCHER = """\
#!/usr/bin/python3 -I
import sys

sys.path.insert(0, "/{modules}")
from {module} import main

sys.exit(main())
"""
_METADATA = """\
Metadata-Version: 2.1
Name: {name}
Version: {version}
License: LGPL-2.1-or-later
"""


@dataclass(frozen=True)
class Layout:
    """What differs between distributions."""

    zsh: str
    needrestart: Optional[str] = None


LAYOUTS = {
    "debian": Layout(zsh="usr/share/zsh/vendor-completions", needrestart="etc/needrestart/conf.d"),
    "el": Layout(zsh="usr/share/zsh/site-functions"),
}


@dataclass(frozen=True)
class Installed:
    """A file on the host: its content, or where it links to."""

    path: str
    content: bytes = b""
    mode: int = 0o644
    link: str = ""


def product_files(source: Path, layout: Layout, version: str) -> list[Installed]:
    """The files of the product itself, by path; raises PackagingError."""
    found = [
        *_modules(source),
        _dist_info(MODULES, NAME, version),
        *_commands(),
        *_systemd(source / "systemd"),
        *_pages(source),
        *_completion(source / "docs" / "completion", layout),
        *_needrestart(source, layout),
        *_documents(source),
    ]
    return _sorted(found)


def compat_files(source: Path, python_modules: str, version: str) -> list[Installed]:
    """The files of the optional package, by path; `python_modules` is where Python looks."""
    found = [
        *_python_files(source / "compat", COMPAT_PACKAGE, python_modules),
        _dist_info(python_modules, COMPAT_NAME, version),
        Installed(
            f"{DOCUMENTS}/{COMPAT_NAME}/README.md", (source / "compat/README.md").read_bytes()
        ),
    ]
    return _sorted(found)


def _sorted(found: list[Installed]) -> list[Installed]:
    return sorted(found, key=lambda file: file.path)


def write_files(files: list[Installed], root: Path) -> None:
    """Write them below `root`, whatever the umask is."""
    for file in files:
        target = root / file.path
        for folder in reversed(target.relative_to(root).parents):
            (root / folder).mkdir(mode=0o755, exist_ok=True)
            (root / folder).chmod(0o755)
        if file.link:
            target.symlink_to(file.link)
        else:
            target.write_bytes(file.content)
            target.chmod(file.mode)


# --- the parts --------------------------------------------------------------------------------


def _modules(source: Path) -> Iterator[Installed]:
    for package in PACKAGES:
        yield from _python_files(source, package, MODULES)


def _python_files(source: Path, package: str, target: str) -> Iterator[Installed]:
    files = sorted((source / package).rglob("*.py"))
    if not files:
        raise PackagingError(f"{source / package}: there is no module in it")
    for file in files:
        yield Installed(f"{target}/{file.relative_to(source)}", file.read_bytes())


def _dist_info(target: str, name: str, version: str) -> Installed:
    """By this other programs know which version is there, as with a wheel."""
    folder = f"{name.replace('-', '_')}-{version}.dist-info"
    text = _METADATA.format(name=name, version=version)
    return Installed(f"{target}/{folder}/METADATA", text.encode())


def _commands() -> Iterator[Installed]:
    for name, module in COMMANDS.items():
        text = _LAUNCHER.format(modules=MODULES, module=module)
        yield Installed(f"{PROGRAMS}/{name}", text.encode(), 0o755)
        yield Installed(f"usr/bin/{name}", link=f"../lib/hosted-engine-ha/bin/{name}")


def _systemd(folder: Path) -> Iterator[Installed]:
    """Units and their drop-ins, users and folders; what there is of each."""
    for pattern, target in (("*.service", UNITS), ("*.target", UNITS), ("*.d/*.conf", UNITS)):
        for file in sorted(folder.glob(pattern)):
            yield Installed(f"{target}/{file.relative_to(folder)}", file.read_bytes())
    for kind in ("sysusers", "tmpfiles"):
        for file in sorted(folder.glob(f"*.{kind}.conf")):
            name = file.name.replace(f".{kind}.conf", ".conf")
            yield Installed(f"usr/lib/{kind}.d/{name}", file.read_bytes())


def _pages(source: Path) -> Iterator[Installed]:
    """The commands' are made from their catalogue, the daemons' are written by hand."""
    for folder in ("docs/man", "packaging/man"):
        for file in sorted((source / folder).glob("*.8")):
            yield Installed(f"usr/share/man/man8/{file.name}", file.read_bytes())


def _completion(folder: Path, layout: Layout) -> Iterator[Installed]:
    for file in sorted(folder.iterdir()):
        if file.suffix == ".fish":
            target = "usr/share/fish/vendor_completions.d"
        elif file.name.startswith("_"):
            target = layout.zsh
        else:
            target = "usr/share/bash-completion/completions"
        yield Installed(f"{target}/{file.name}", file.read_bytes())


def _needrestart(source: Path, layout: Layout) -> Iterator[Installed]:
    """It would restart sanlock after an upgrade of a library."""
    if layout.needrestart is not None:
        rules = source / "docs/examples/needrestart/hosted-engine-ha.conf"
        yield Installed(f"{layout.needrestart}/{rules.name}", rules.read_bytes())


def _documents(source: Path) -> Iterator[Installed]:
    """As they lie in the sources, so that their links to each other hold."""
    target = f"{DOCUMENTS}/{NAME}"
    for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md"):
        yield Installed(f"{target}/{name}", (source / name).read_bytes())
    for file in sorted(path for path in (source / "docs").rglob("*") if path.is_file()):
        inside = file.relative_to(source)
        if inside.parts[1] not in ("man", "completion") and "__pycache__" not in inside.parts:
            yield Installed(f"{target}/{inside}", file.read_bytes())
