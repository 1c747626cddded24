# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Where the tests of direct I/O may put their files, and how long they may wait."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from world.ports.errors import StorageError
from world.storage.direct_store import DirectStore

TIME_FACTOR = float(os.environ.get("HE_TIME_FACTOR", "1"))


@contextmanager
def direct_io_directory() -> Iterator[Path]:
    """A new directory whose files can be opened with O_DIRECT, removed afterwards."""
    tried = []
    for parent in (tempfile.gettempdir(), "/var/tmp", str(Path(__file__).parent)):
        directory = Path(tempfile.mkdtemp(prefix="he-contract-", dir=parent))
        try:
            why = _why_not(directory)
            if not why:
                yield directory
                return
            tried.append(f"{parent}: {why}")
        finally:
            shutil.rmtree(directory)
    pytest.skip(f"no directory with direct I/O: {'; '.join(tried)}")


def _why_not(directory: Path) -> str:
    probe = directory / "probe"
    probe.write_bytes(bytes(4096))
    store = DirectStore()
    try:
        store.probe_direct_io(str(probe))
    except StorageError as error:
        return error.why
    finally:
        store.close()
        probe.unlink()
    return "tmpfs, which sanlock refuses" if _is_tmpfs(directory) else ""


def _is_tmpfs(directory: Path) -> bool:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    under = [m for m in mounts if directory.resolve().is_relative_to(m[1])]
    return max(under, key=lambda mount: len(mount[1]))[2] == "tmpfs"
