# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which lines of some modules a call executes, in all of its threads."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterable
from types import FrameType
from typing import Any, Callable, Optional

Line = tuple[str, int]  # module, number


def executed_lines(call: Callable[[], object], modules: Iterable[str]) -> set[Line]:
    """Calls `call`; its result is not kept."""
    names = {str(importlib.import_module(name).__file__): name for name in modules}
    found: set[Line] = set()

    def in_function(frame: FrameType, event: str, argument: object) -> Any:
        found.add((names[frame.f_code.co_filename], frame.f_lineno))
        return in_function

    def entered(frame: FrameType, event: str, argument: object) -> Optional[Any]:
        if frame.f_code.co_filename not in names:
            return None
        return in_function(frame, event, argument)

    before = sys.gettrace()
    threading.settrace(entered)
    sys.settrace(entered)
    try:
        call()
    finally:
        sys.settrace(before)
        threading.settrace(before)
    return found
