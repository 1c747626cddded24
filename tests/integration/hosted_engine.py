# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The command as a process of its own, on the files of a `Site`."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, Callable

from tests.integration.broker_process import FACTOR, ROOT, Site

# What a status may compute, in starts of a bare interpreter. Seconds would depend on the machine,
# and on what else it does: a busy one takes more of them for the same.
JSON_STARTS = 8.0
TEXT_STARTS = 12.0

COMMAND = (sys.executable, "-m", "hosted_engine.main")


@dataclass(frozen=True)
class Done:
    """How it ended; `cpu_s` is what it and its children computed, `took_s` what people waited."""

    code: int
    out: str
    err: str
    cpu_s: float
    took_s: float

    def document(self) -> dict[str, Any]:
        """The one JSON document that stdout is; nothing may stand beside it."""
        assert self.err == ""
        assert self.out.count("\n") == 1
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


def environment(site: Site) -> dict[str, str]:
    """Where the command finds this site."""
    places = {"HE_BROKER_SOCKET": str(site.socket), "HE_SETTINGS": str(site.settings_file)}
    return {**os.environ, **places, "HE_STATE_DIR": str(site.state_dir)}


def hosted_engine(site: Site, *words: str, timeout_s: float = 60.0) -> Done:
    """Run it to its end and to the end of its output."""
    before_s, begun_s = children_cpu_s(), time.monotonic()
    done = subprocess.run(
        [*COMMAND, *words],
        env=environment(site),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s * FACTOR,
        check=False,
    )
    took_s, cpu_s = time.monotonic() - begun_s, children_cpu_s() - before_s
    return Done(done.returncode, done.stdout, done.stderr, cpu_s, took_s)


def children_cpu_s() -> float:
    """What all processes have computed that this one has begun and seen end, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bare_interpreter_cpu_s() -> float:
    """What a Python computes to start and end, on this machine with all else that it does now."""
    before_s = children_cpu_s()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return children_cpu_s() - before_s


def in_interpreter_starts(run: Callable[[], float]) -> float:
    """What `run` says it has computed, measured in starts of a bare interpreter.

    They take turns, so that the machine's other work meets both, and the least of each counts.
    """
    pairs = [(run(), bare_interpreter_cpu_s()) for _ in range(5)]
    seconds, starts = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
    print(f"{seconds:.3f} s computed, {seconds / starts:.1f} starts of {starts:.3f} s")
    return seconds / starts
