# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Where everything comes from: licence headers, pinned requirements, the bill of materials."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from product_packages.files import COMPAT_NAME, LAYOUTS, NAME, product_files
from product_packages.main import build
from product_packages.sbom import COPYRIGHT, LICENSE, bundled, dependencies, document
from product_packages.sources import Sources

from tests.lock import BUILD_REQUIREMENTS, BUILDER, FROM_THE_SYSTEM, REQUIREMENTS, pins

ROOT = Path(__file__).resolve().parents[2]
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")

# --- licence headers --------------------------------------------------------------------------

HEADER = (f"SPDX-FileCopyrightText: {COPYRIGHT}", f"SPDX-License-Identifier: {LICENSE}")
# Text for people, data, and pictures.
NO_SOURCE = {".md", ".json", ".log", ".svg", ".xml", ".yaml", ".yml", ".txt"}
WITHOUT_HEADER = {
    "LICENSE",
    ".gitignore",
    # In forms of their own, which have no remarks.
    "packaging/debian/copyright",
    "packaging/debian/source/format",
}
# Made from the catalogue of commands, which has the header.
GENERATED = ("docs/completion/", "docs/man/")


def sources() -> list[str]:
    """Each file of the checkout that is to have the header."""
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-files"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return []
    names = [name for name in done.stdout.splitlines() if (ROOT / name).is_file()]
    return [name for name in names if needs_header(name)]


def needs_header(name: str) -> bool:
    if name.startswith(GENERATED) or name in WITHOUT_HEADER:
        return False
    return Path(name).suffix not in NO_SOURCE


def header_problem(text: str) -> str:
    """What is wrong with the first lines; empty: nothing."""
    lines = text.splitlines()
    first = 1 if lines and lines[0].startswith("#!") else 0
    head = [line.lstrip('#/*.\\" ').rstrip(" */") for line in lines[first : first + 2]]
    return "" if tuple(head) == HEADER else f"begins with {head}"


def test_each_source_file_begins_with_its_licence() -> None:
    names = sources()
    if not names:
        pytest.skip("no checkout of git: which files there are is not known")
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in names}
    wrong = {name: header_problem(text) for name, text in texts.items()}
    assert {name: problem for name, problem in wrong.items() if problem} == {}
    assert len(names) > 900


@pytest.mark.parametrize("name", ["fsm/step.py", "tests/run", "systemd/x.service", "a.spec", "b.c"])
def test_sources_need_a_header(name: str) -> None:
    assert needs_header(name)


@pytest.mark.parametrize("name", ["docs/x.md", "docs/man/x.8", "tests/scenarios/x/world.yaml"])
def test_pages_data_and_what_is_generated_need_none(name: str) -> None:
    assert not needs_header(name)


@pytest.mark.parametrize(
    "start", ["# {}\n# {}\n", "#!/bin/sh\n# {}\n# {}\n", "/* {} */\n/* {} */\n"]
)
def test_a_header_is_known_in_each_language(start: str) -> None:
    assert header_problem(start.format(*HEADER) + "more\n") == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        '"""A module."""\n',
        f"# {HEADER[0]}\n\n# {HEADER[1]}\n",
        f"# {HEADER[1]}\n# {HEADER[0]}\n",
        f"# {HEADER[0]}\n# SPDX-License-Identifier: MIT\n",
        f"# {HEADER[0]}\n# {HEADER[1]}\n#!/bin/sh\n".replace("# SPDX-L", "# X-L"),
    ],
)
def test_a_file_without_it_is_found(text: str) -> None:
    assert header_problem(text)


def test_the_licence_is_the_one_that_packages_tell() -> None:
    """Debian has its own short name for it."""
    assert f'license = {{ text = "{LICENSE}" }}' in PROJECT
    told = (ROOT / "packaging/debian/copyright").read_text(encoding="utf-8")
    assert f"Copyright: {COPYRIGHT}\nLicense: {LICENSE.replace('-or-later', '+')}\n" in told


# --- what the tests run with ------------------------------------------------------------------

PINNED = REQUIREMENTS.read_text(encoding="utf-8")
ENTRY = re.compile(r"^([a-z0-9-]+)==([^\s;]+)(?: ; ([^\\]+?))? \\\n((?:    --hash=.*\n)+)", re.M)


def wanted() -> list[str]:
    """What pyproject.toml asks for; read as text, for the oldest Python can't read TOML."""
    (run,) = re.findall(r"^dependencies = \[\n(.*?)^\]", PROJECT, re.MULTILINE | re.DOTALL)
    (test,) = re.findall(r"^test = \[\n(.*?)^\]", PROJECT, re.MULTILINE | re.DOTALL)
    names = re.findall(r'^    "(.+)",$', run + test, re.MULTILINE)
    return [name for name in names if not name.startswith(FROM_THE_SYSTEM)]


def test_every_line_of_the_requirements_is_pinned_and_hashed() -> None:
    rest = ENTRY.sub("", PINNED)
    assert [line for line in rest.splitlines() if line and not line.startswith("#")] == []
    for name, _version, _marker, hashes in ENTRY.findall(PINNED):
        assert all(
            re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line)
            for line in hashes.splitlines()
        ), name


@pytest.mark.parametrize("requirement", wanted())
def test_what_pyproject_asks_for_is_pinned_to_what_it_allows(requirement: str) -> None:
    """A change of pyproject.toml needs ``python -m tests.lock``."""
    requirements = pytest.importorskip("packaging.requirements")
    one = requirements.Requirement(requirement)
    versions = [
        version for name, version, _, _ in ENTRY.findall(PINNED) if name == one.name.lower()
    ]
    assert versions, "it is missing"
    assert [version for version in versions if version not in one.specifier] == []


def test_what_builds_goes_first_with_the_same_hashes() -> None:
    text = BUILD_REQUIREMENTS.read_text(encoding="utf-8")
    assert pins(text, BUILDER) == pins(PINNED, BUILDER) != []


# --- the bill of materials --------------------------------------------------------------------

SOURCES = Sources(ROOT, "1.2.3", 86400)


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return document(SOURCES)


def named(made: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [one for one in made["packages"] if one["name"] == name]
    return dict(found)


def test_two_builds_of_it_are_the_same_bytes(tmp_path: Path) -> None:
    (path,) = build("sbom", SOURCES, tmp_path, twice=True)
    assert path.name == "hosted-engine-ha-1.2.3.spdx.json"
    assert json.loads(path.read_text())["creationInfo"]["created"] == "1970-01-02T00:00:00Z"


def test_it_has_every_file_of_the_package_with_its_hash(made: dict[str, Any]) -> None:
    hashes = {
        one["fileName"]: one["checksums"][1]["checksumValue"]
        for one in made["files"]
        if NAME + "-file" in one["SPDXID"]
    }
    assert hashes == {
        f"./{file.path}": hashlib.sha256(file.content).hexdigest()
        for file in product_files(ROOT, LAYOUTS["debian"], "1.2.3")
        if not file.link
    }
    assert named(made, COMPAT_NAME)["versionInfo"] == "1.2.3"


def test_another_content_has_another_name_space(made: dict[str, Any]) -> None:
    other = document(Sources(ROOT, "1.2.3", 86401))
    assert other["documentNamespace"] != made["documentNamespace"]


def test_it_has_what_the_rpm_brings_along(made: dict[str, Any]) -> None:
    text = (ROOT / "packaging/rpm/bundled.txt").read_text(encoding="utf-8")
    assert len(bundled(ROOT)) == len(re.findall("^[a-z]", text, re.MULTILINE)) == 3
    inside = {one["relatedSpdxElement"] for one in made["relationships"] if one.get("comment")}
    for one in bundled(ROOT):
        assert f"{one.name}=={one.version} --hash=sha256:{one.sha256}" in text
        (found,) = [p for p in made["packages"] if p["SPDXID"] == f"SPDXRef-bundled-{one.name}"]
        assert found["checksums"][0]["checksumValue"] == one.sha256
        assert found["SPDXID"] in inside
    spec = (ROOT / "packaging/rpm/hosted-engine-ha.spec").read_text(encoding="utf-8")
    (licenses,) = re.findall(r"^License: +(.* AND .*)$", spec, re.MULTILINE)
    assert set(licenses.split(" AND ")) == {LICENSE, *(one.license for one in bundled(ROOT))}


def test_it_has_what_each_kind_of_package_depends_on(made: dict[str, Any]) -> None:
    found = {(one.ecosystem, one.name) for one in dependencies(ROOT)}
    for one in wanted()[:4]:
        assert ("pypi", re.split("[>=<]", one)[0]) in found
    assert {("pypi", FROM_THE_SYSTEM), ("deb", "sanlock"), ("rpm", "sanlock-lib")} <= found
    control = (ROOT / "packaging/debian/control").read_text(encoding="utf-8")
    plain = control.partition("\nDepends:")[2].partition("${python3")[0]
    assert {name for kind, name in found if kind == "deb"} == set(re.findall(r"[\w-]+", plain))
    needed = {
        one["relatedSpdxElement"]
        for one in made["relationships"]
        if one["relationshipType"] == "DEPENDS_ON"
    }
    assert {one.identity for one in dependencies(ROOT)} <= needed


def test_it_is_valid_by_its_format(tmp_path: Path) -> None:
    parse = pytest.importorskip("spdx_tools.spdx.parser.parse_anything")
    validation = pytest.importorskip("spdx_tools.spdx.validation.document_validator")
    (path,) = build("sbom", SOURCES, tmp_path, twice=False)
    told = validation.validate_full_spdx_document(parse.parse_file(str(path)))
    assert [one.validation_message for one in told] == []


def test_what_is_not_valid_is_found_by_the_same_check(tmp_path: Path, made: dict[str, Any]) -> None:
    parse = pytest.importorskip("spdx_tools.spdx.parser.parse_anything")
    validation = pytest.importorskip("spdx_tools.spdx.validation.document_validator")
    path = tmp_path / "wrong.spdx.json"
    path.write_text(json.dumps({**made, "documentNamespace": "no address"}))
    assert validation.validate_full_spdx_document(parse.parse_file(str(path)))
