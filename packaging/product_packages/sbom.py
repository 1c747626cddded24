# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The bill of materials: what the packages contain, bring along and depend on, as SPDX 2.3 in JSON.

Files are those that packaging/install writes in Debian's layout; debhelper compresses some of them
afterwards. Dependencies are named as each kind of package names them, for which version of them is
installed is the distribution's matter; what the RPM package brings along has its version and hash.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from product_packages.files import (
    COMPAT_NAME,
    LAYOUTS,
    NAME,
    Installed,
    compat_files,
    product_files,
)
from product_packages.sources import Sources

LICENSE = "LGPL-2.1-or-later"
COPYRIGHT = "2026 The contributors to hosted-engine-ha"
HOME = "https://hosted-engine-ha.invalid"
DEBIAN_MODULES = "usr/lib/python3/dist-packages"
_UNKNOWN = "NOASSERTION"
_BUNDLED = re.compile(r"^([\w-]+)==(\S+) --hash=sha256:([0-9a-f]{64})  # (\S+)$", re.MULTILINE)

Json = dict[str, Any]


@dataclass(frozen=True)
class Dependency:
    """A package that one of ours depends on, by its name in an ecosystem (`pypi`, `deb`, `rpm`)."""

    ecosystem: str
    name: str

    @property
    def identity(self) -> str:
        """Its id in the document."""
        return _identity(f"{self.ecosystem}-{self.name}")

    @property
    def address(self) -> str:
        """Its package URL; the Python index's are in small letters."""
        distribution = {"deb": "debian/"}.get(self.ecosystem, "")
        return f"pkg:{self.ecosystem}/{distribution}{self.name.lower()}"


@dataclass(frozen=True)
class Bundled:
    """A Python package that the RPM package contains; `sha256` is that of its archive."""

    name: str
    version: str
    sha256: str
    license: str


def build_sbom(sources: Sources, work: Path) -> list[Path]:
    """Write it below `work`, an empty folder; returns its path. Raises PackagingError."""
    target = work / f"{sources.title}.spdx.json"
    text = json.dumps(document(sources), indent=1, ensure_ascii=False)
    target.write_text(text + "\n", encoding="utf-8")
    return [target]


def document(sources: Sources) -> Json:
    """The document; its name space has a hash of all else in it."""
    root, version = sources.root, sources.version
    product = product_files(root, LAYOUTS["debian"], version)
    compat = compat_files(root, DEBIAN_MODULES, version)
    brought = bundled(root)
    needed = dependencies(root)
    found: Json = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": sources.title,
        "creationInfo": {
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(sources.epoch_s)),
            "creators": [f"Organization: {NAME}", "Tool: packaging/build"],
        },
        "packages": [
            _ours(NAME, version, product),
            _ours(COMPAT_NAME, version, compat),
            *(_brought(one) for one in brought),
            *(_needed(one) for one in needed),
        ],
        "files": [*_files(NAME, product), *_files(COMPAT_NAME, compat)],
        "relationships": [
            *(_relation("SPDXRef-DOCUMENT", "DESCRIBES", _identity(name)) for name in _OURS),
            _relation(_identity(COMPAT_NAME), "DEPENDS_ON", _identity(NAME)),
            *_contains(NAME, product),
            *_contains(COMPAT_NAME, compat),
            *(
                _relation(_identity(NAME), "CONTAINS", _identity(f"bundled-{one.name}"), _IN_RPM)
                for one in brought
            ),
            *(_relation(_identity(NAME), "DEPENDS_ON", one.identity) for one in needed),
        ],
    }
    digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    return {**found, "documentNamespace": f"{HOME}/spdx/{sources.title}-{digest}"}


def bundled(root: Path) -> list[Bundled]:
    """What the RPM package brings along."""
    text = (root / "packaging/rpm/bundled.txt").read_text(encoding="utf-8")
    return [Bundled(*found) for found in _BUNDLED.findall(text)]


def dependencies(root: Path) -> list[Dependency]:
    """Of the product, as its wheel and its Debian and RPM packages say; without versions."""
    project = (root / "pyproject.toml").read_text(encoding="utf-8")
    control = (root / "packaging/debian/control").read_text(encoding="utf-8")
    spec = (root / "packaging/rpm/hosted-engine-ha.spec").read_text(encoding="utf-8")
    (wheel,) = re.findall(r"^dependencies = \[\n(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    (first, *_rest) = re.findall(r"^Depends:(.*?)^\S", control, re.MULTILINE | re.DOTALL)
    names = {
        "pypi": re.findall(r'"([\w-]+)', wheel),
        "deb": re.findall(r"(?<![{:\w])([a-z][a-z0-9.+-]+)(?=,|$)", first, re.MULTILINE),
        "rpm": re.findall(r"^Requires: +(\S+)$", spec.partition("%package")[0], re.MULTILINE),
    }
    return [Dependency(kind, name) for kind, found in names.items() for name in sorted(set(found))]


# --- parts of the document --------------------------------------------------------------------

_OURS = (NAME, COMPAT_NAME)
_IN_RPM = "in the RPM package alone"


def _ours(name: str, version: str, files: Sequence[Installed]) -> Json:
    sums = sorted(hashlib.sha1(file.content).hexdigest() for file in _regular(files))
    return {
        **_package(name, _identity(name), version),
        "filesAnalyzed": True,
        "packageVerificationCode": {
            "packageVerificationCodeValue": hashlib.sha1("".join(sums).encode()).hexdigest()
        },
        "supplier": f"Organization: {NAME}",
        "licenseConcluded": LICENSE,
        "licenseDeclared": LICENSE,
        "licenseInfoFromFiles": [LICENSE],
        "copyrightText": COPYRIGHT,
    }


def _brought(one: Bundled) -> Json:
    return {
        **_package(one.name, _identity(f"bundled-{one.name}"), one.version),
        **_foreign(f"pkg:pypi/{one.name}@{one.version}", one.license),
        "checksums": [{"algorithm": "SHA256", "checksumValue": one.sha256}],
    }


def _needed(one: Dependency) -> Json:
    return {**_package(one.name, one.identity), **_foreign(one.address, _UNKNOWN)}


def _package(name: str, identity: str, version: str = "") -> Json:
    told = {"versionInfo": version} if version else {}
    return {"name": name, "SPDXID": identity, **told, "downloadLocation": _UNKNOWN}


def _foreign(address: str, license_: str) -> Json:
    return {
        "filesAnalyzed": False,
        "licenseConcluded": license_,
        "licenseDeclared": license_,
        "copyrightText": _UNKNOWN,
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": address,
            }
        ],
    }


def _files(name: str, files: Iterable[Installed]) -> list[Json]:
    return [
        {
            "fileName": f"./{file.path}",
            "SPDXID": _file_identity(name, file),
            "checksums": [
                {"algorithm": kind, "checksumValue": hashlib.new(kind, file.content).hexdigest()}
                for kind in ("SHA1", "SHA256")
            ],
            "licenseConcluded": LICENSE,
            "licenseInfoInFiles": [LICENSE],
            "copyrightText": COPYRIGHT,
        }
        for file in _regular(files)
    ]


def _contains(name: str, files: Iterable[Installed]) -> list[Json]:
    return [
        _relation(_identity(name), "CONTAINS", _file_identity(name, file))
        for file in _regular(files)
    ]


def _regular(files: Iterable[Installed]) -> list[Installed]:
    """Without links, which have no content."""
    return [file for file in files if not file.link]


def _relation(source: str, kind: str, target: str, comment: str = "") -> Json:
    told = {"comment": comment} if comment else {}
    return {
        "spdxElementId": source,
        "relationshipType": kind,
        "relatedSpdxElement": target,
        **told,
    }


def _identity(name: str) -> str:
    return f"SPDXRef-{re.sub('[^A-Za-z0-9.-]', '-', name)}"


def _file_identity(name: str, file: Installed) -> str:
    """By a hash of its path: different paths could look alike with the signs that are allowed."""
    return f"{_identity(name)}-file-{hashlib.sha256(file.path.encode()).hexdigest()[:16]}"
