# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The engine's page is asked for as long as something is done."""

import json
import signal
import subprocess
from typing import Any, Callable

from tests.lab.verbs import LabVerbs

AT_MOST_S = 1800


def watched_while(lab: LabVerbs, act: Callable[..., Any], *given: Any) -> float:
    """The longest time between two answers of the page while `act` runs, in seconds."""
    command = lab.command("watch-page", "--seconds", str(AT_MOST_S))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        try:
            act(*given)
        finally:
            watch.send_signal(signal.SIGINT)
            told, _ = watch.communicate()
    return float(json.loads(told)["longest_gap_s"])
