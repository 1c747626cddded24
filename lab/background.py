# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Something that is watched in a thread, from the beginning of a `with` to its end."""

from __future__ import annotations

import threading
from typing import TypeVar

_Self = TypeVar("_Self", bound="BackgroundWatcher")


class BackgroundWatcher:
    """`_run` is called in a thread of its own, and returns soon after `_ended` is set."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self: _Self) -> _Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        raise NotImplementedError
