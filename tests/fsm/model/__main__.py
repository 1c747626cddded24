# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``python -m tests.fsm.model --hosts 2|3 [--faults N]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Optional

from tests.fsm.model.report import explored, gaps
from tests.fsm.model.world import HOST_FAULTS, REACH_FAULTS, VM_FAULTS, Size

KINDS = {"all": None, "vm": VM_FAULTS, "host": HOST_FAULTS, "reach": REACH_FAULTS}


def main(argv: Optional[Sequence[str]] = None) -> int:
    options = _arguments(argv)
    report = explored(Size(options.hosts, options.faults, KINDS[options.kinds]))
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
    parser.add_argument(
        "--kinds", choices=KINDS, default="all", help="which kinds of faults (default all)"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
