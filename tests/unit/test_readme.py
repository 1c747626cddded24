# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""README.md: what is said of its peers has a source, or is said not to be documented."""

from __future__ import annotations

import re

import pytest

from tests.unit.doc_pages import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = TEXT.partition("## Beside its peers")[2].partition("\n## ")[0]
ROWS = [line.strip("|").split(" | ") for line in SECTION.splitlines() if line.startswith("| ")]
SOURCES = dict(re.findall(r"^\[(\w+)\]: (\S+)$", SECTION, re.MULTILINE))
CELLS = [(row[0].strip(), number, cell) for row in ROWS[1:] for number, cell in enumerate(row[2:])]


def test_the_table_is_whole() -> None:
    assert {len(row) for row in ROWS} == {6}
    assert len(ROWS) > 8


@pytest.mark.parametrize(("row", "number", "cell"), CELLS)
def test_each_cell_has_its_source(row: str, number: int, cell: str) -> None:
    named = set(re.findall(r"\]\[(\w+)\]", cell))
    assert named or "not documented" in cell
    assert named <= SOURCES.keys()


def test_each_source_is_used_and_names_a_version() -> None:
    assert set(re.findall(r"\]\[(\w+)\]", SECTION)) == SOURCES.keys()
    loose = [link for link in SOURCES.values() if not re.search("/(blob|tree)/[0-9a-f]{40}", link)]
    assert loose == ["https://github.com/ClusterLabs/ha_cluster_exporter"]
