# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Write the manual pages, the completion files and the references below a folder.

``python -m hosted_engine.cli.generated FOLDER``; what is kept in docs/ is what it wrote. Why not by
a generator for argparse: ADR 40.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hosted_engine.cli.generated.api_page import api_page
from hosted_engine.cli.generated.bash import bash_completion
from hosted_engine.cli.generated.fish import fish_completion
from hosted_engine.cli.generated.man_page import man_page
from hosted_engine.cli.generated.programs import CLEANUP_PROGRAM, HOSTED_ENGINE
from hosted_engine.cli.generated.settings_page import settings_page
from hosted_engine.cli.generated.zsh import zsh_completion


def files() -> dict[str, str]:
    """All files: path below the folder, and text."""
    written = {"api.md": api_page(), "settings.md": settings_page()}
    for program in (HOSTED_ENGINE, CLEANUP_PROGRAM):
        name = program.name
        written[f"man/{name}.8"] = man_page(program)
        written[f"completion/{name}"] = bash_completion(program)
        written[f"completion/_{name}"] = zsh_completion(program)
        written[f"completion/{name}.fish"] = fish_completion(program)
    return written


def main(folder: Path) -> None:
    """Overwrites what is there."""
    for name, text in files().items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
