"""Write the manual pages and the completion files below a folder."""

from __future__ import annotations

import sys
from pathlib import Path

from hosted_engine.cli.generated.programs import files


def main(folder: Path) -> None:
    """Overwrites what is there."""
    for name, text in files().items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
