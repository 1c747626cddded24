# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A lab for one test alone, beside the level's: in namespaces of its own, with its own folder."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.lab.verbs import LabVerbs

UP_TIMEOUT_S = 600.0


@contextlib.contextmanager
def own_lab(*options: str) -> Iterator[LabVerbs]:
    """Built with these options of `lab up`; removed at the end."""
    level = Path(os.environ["HE_LAB_STATE"])
    state = level.with_name(level.name + "-own")
    state.mkdir(parents=True, exist_ok=True)
    try:
        # Without a network nothing can be fetched; all that is needed is there already.
        with contextlib.suppress(FileExistsError):
            (state / "cache").symlink_to(level / "cache")
        with _namespaces() as pid:
            inside = ("nsenter", f"--target={pid}", "--net", "--mount", "--")
            lab = LabVerbs(*inside, "env", f"HE_LAB_STATE={state}")
            try:
                lab("up", *options, timeout_s=UP_TIMEOUT_S)
                yield lab
            finally:
                lab("down")
    finally:
        shutil.rmtree(state)


@contextlib.contextmanager
def _namespaces() -> Iterator[int]:
    """A network and mounts of their own; yields a process that lives in them."""
    ready = "ip link set lo up && echo ready && exec sleep infinity"
    words = ["unshare", "--net", "--mount", "--propagation=slave", "sh", "-ec", ready]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None and holder.stdout.readline() == "ready\n"
            yield holder.pid
        finally:
            holder.kill()
