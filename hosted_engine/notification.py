# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --test-notification``: does what the settings name take what this host sends?"""

from __future__ import annotations

import argparse

from hosted_engine.errors import EXIT_FAILURE, EXIT_OK
from hosted_engine.host.deployed import check_deployed
from hosted_engine.host.local_host import broker


def run_command(_: argparse.Namespace) -> int:
    """`run` with the options of the command line."""
    return run()


def run() -> int:
    """Send one to each target at once; 1 when one of them did not take it.

    Raises CommandError when no target is configured or the broker can't be asked.
    """
    check_deployed()
    with broker() as client:
        results = client.test_notification()
    for result in results:
        print(f"{'delivered' if result.delivered else 'FAILED'}: {result.target}: {result.words}")
    return EXIT_OK if all(result.delivered for result in results) else EXIT_FAILURE
