# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""An SVG as PNG, by rsvg-convert, which is installed only where such pictures are wanted."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hosted_engine.errors import CommandError
from hosted_engine.host.tools import run_tool

TOOL = "rsvg-convert"
_ZOOM = 2  # sharp on screens and on paper
_DEADLINE_S = 60.0


def png_bytes(svg: bytes) -> bytes:
    """The whole file; raises CommandError without the tool."""
    if shutil.which(TOOL) is None:
        raise CommandError(
            f"a PNG needs {TOOL}, which is not installed here (Debian: librsvg2-bin, EL: "
            "librsvg2-tools); an SVG needs nothing: --plot FILE.svg"
        )
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "history.svg"), Path(folder, "history.png")
        source.write_bytes(svg)
        done = run_tool((TOOL, f"--zoom={_ZOOM}", f"--output={target}", str(source)), _DEADLINE_S)
        if done.code != 0 or not target.exists():
            raise CommandError(f"{TOOL}: {done.words}; an SVG needs nothing: --plot FILE.svg")
        return target.read_bytes()
