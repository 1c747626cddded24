# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What holds for the unit level: nothing that really works is judged by how busy the machine is."""

from __future__ import annotations

import pytest

from hosted_engine.cluster import from_volume
from hosted_engine.deploy import checks

PATIENT_S = 300.0


@pytest.fixture(autouse=True)
def _patience_with_real_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """These deadlines hold for processes that the tests really start; a test of one sets it."""
    monkeypatch.setattr(checks, "DEADLINE_S", PATIENT_S)
    monkeypatch.setattr(from_volume, "READ_DEADLINE_S", PATIENT_S)
