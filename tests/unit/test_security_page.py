# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""docs/security.md: what it claims is shown by tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from hosted_engine.cli.catalogue import COMMANDS
from hosted_engine.config.lock import LOCK_FILE

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = re.compile(r"`((?:tests/)?[a-z/_]*test_[a-z_]+\.py)(?:::(\w+))?`")


def functions_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    found = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return {name for name in found if name.startswith("test_")}


def where(name: str) -> Path:
    return ROOT / (name if name.startswith("tests/") else f"tests/unit/{name}")


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED.findall(PAGE))))
def test_a_test_that_is_named_is_there(file: str, test: str) -> None:
    assert where(file).is_file()
    found = functions_of(where(file))
    assert test in found if test else found


def test_each_claim_names_one() -> None:
    claims = 0
    for title, column in (("What is not trusted", 2), ("Secrets", 2)):
        section = PAGE.partition(f"## {title}")[2].partition("\n## ")[0]
        rows = [line.split(" | ") for line in section.splitlines() if line.startswith("|")]
        for row in rows[2:]:  # behind the heads
            assert NAMED.search(row[column]), row
            claims += 1
    assert claims > 15


def test_its_links_lead_somewhere() -> None:
    for place in re.findall(r"\]\((adr/[^)]+)\)", PAGE):
        assert (ROOT / "docs" / place).is_file()
    for name in ("README.md", "ARCHITECTURE.md"):
        assert "docs/security.md" in (ROOT / name).read_text()


def test_what_everybody_may_ask_for_is_the_catalogues() -> None:
    """Named as everybody's, or as what the broker's group, or the volume's, may."""
    anybody = {command.name for command in COMMANDS if command.anybody}
    (row,) = [line for line in PAGE.splitlines() if line.startswith("| every other user")]
    assert set(re.findall(r"`(--[a-z-]+)`", row)) - {"--help"} <= anybody
    assert anybody == {
        *("--vm-status", "--explain", "--check-deployed", "--check-liveliness", "--history"),
        *("--get-shared-config", "--shared-config-history", "--export-status", "--simulate"),
        *("--set-maintenance", "--test-notification"),
        "--version",
    }
    assert f"`{LOCK_FILE}`" in PAGE
