# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""More scenarios on real hosts: those that take minutes."""

from pathlib import Path

import pytest

from tests.lab.test_scenarios import check, marked
from tests.lab.verbs import LabVerbs


@pytest.mark.parametrize("folder", marked("lab_long"), ids=lambda folder: folder.name)
def test_real_hosts_go_the_simulators_way(lab: LabVerbs, folder: Path) -> None:
    check(lab, folder)
