"""``python -m tests.fsm.model --hosts 2|3 [--faults N]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Optional

from tests.fsm.model.report import explored, gaps
from tests.fsm.model.world import VM_FAULTS, Size


def main(argv: Optional[Sequence[str]] = None) -> int:
    options = _arguments(argv)
    only = VM_FAULTS if options.vm_faults else None
    size = Size(options.hosts, options.faults, only, options.alike)
    report = explored(size)
    print(report.summary)
    print(gaps([report]))
    for failure in report.failures:
        print(failure)
    return 1 if report.failures else 0


def _arguments(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fsm.model",
        description="Explore all worlds of a few hosts by the table; exit 1 with a "
        "counterexample. Rows that one exploration leaves out another may show.",
    )
    parser.add_argument("--hosts", type=int, choices=(1, 2, 3), default=2)
    parser.add_argument(
        "--faults", type=int, choices=range(5), default=2, help="faults on each way (default 2)"
    )
    parser.add_argument("--vm-faults", action="store_true", help="only faults of the VM itself")
    parser.add_argument(
        "--alike", action="store_true", help="worlds count as one that an exchange of hosts joins"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
