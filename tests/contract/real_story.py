# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A long story with real daemons, told while the other tests run."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import Callable, Optional

from tests.contract.clusters import Cluster

MakeCluster = Callable[[threading.Event], AbstractContextManager[Cluster]]


class RealStory:
    """`tell` with the cluster that `make_cluster` makes; a set event ends the story early."""

    def __init__(self, tell: Callable[[Cluster], None], make_cluster: MakeCluster) -> None:
        self._tell = tell
        self._make_cluster = make_cluster
        self._cancelled = threading.Event()
        self._error: Optional[BaseException] = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def finish(self) -> None:
        """Wait for its end; raises what it raised, skips too."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def cancel(self) -> None:
        """End it early, when nobody waits for it any more."""
        self._cancelled.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._make_cluster(self._cancelled) as cluster:
                self._tell(cluster)
        except BaseException as error:
            self._error = error
