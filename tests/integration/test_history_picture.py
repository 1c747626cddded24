# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The picture of the history, as PNG by the real converter."""

from __future__ import annotations

import struct
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ha_agent.history.entry import AgentStarted
from hosted_engine.main import main
from tests.integration.test_manual import need
from tests.unit.history_entries import entry, story, write


def test_png_is_the_svg_at_twice_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("rsvg-convert")
    monkeypatch.setenv("HE_STATE_DIR", str(tmp_path))
    write(tmp_path / "history", [entry(0, AgentStarted(1, "h<&\x1b")), *story()])
    svg, png = tmp_path / "night.svg", tmp_path / "night.png"
    for target in (svg, png):
        assert main(["--history", "--plot", str(target)]) == 0
    root = ElementTree.parse(svg).getroot()
    content = png.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert content.endswith(b"IEND\xaeB`\x82")
    size = struct.unpack(">II", content[16:24])
    assert size == tuple(2 * round(float(root.attrib[name])) for name in ("width", "height"))
