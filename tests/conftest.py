# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What holds in every level: nothing is judged by seconds, and nothing passes without a test.

A level in which every test was skipped has shown nothing: it fails.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# Hypothesis gives each example 200 ms, and its making a moment, whatever else the machine does.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")

LEVEL_PASSED_NOTHING = 5


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    level = os.environ.get("HE_TEST_LEVEL")
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not level or reporter is None or exitstatus not in (0, LEVEL_PASSED_NOTHING):
        return
    if not reporter.stats.get("passed"):
        reporter.write_line(f"level {level}: no test passed, every one was skipped", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
