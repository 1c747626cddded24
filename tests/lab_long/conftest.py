# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The lab of the level `lab`."""

from tests.lab.conftest import built_lab, lab
from tests.lab.test_shutdown import stopping
from tests.lab_long.slow_move import move, slow

__all__ = ["built_lab", "lab", "move", "slow", "stopping"]
