"""The command as a process of its own, on the files of a `Site`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from tests.integration.broker_process import FACTOR, ROOT, Site

COMMAND = (sys.executable, "-m", "ha_agent.command.main")


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
    before, begun_s = os.times(), time.monotonic()
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
    took_s, after = time.monotonic() - begun_s, os.times()
    cpu_s = sum(after[2:4]) - sum(before[2:4])
    return Done(done.returncode, done.stdout, done.stderr, cpu_s, took_s)
