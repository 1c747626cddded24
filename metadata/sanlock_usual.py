# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What sanlock takes where nobody has set it otherwise. Loaded by each look at a record."""

from __future__ import annotations

USUAL_FIRE_TIMEOUT_S = 60
"""Its ``watchdog_fire_timeout``."""
