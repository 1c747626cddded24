# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the names of all metrics begin with."""

from __future__ import annotations

PREFIX = "hosted_engine_"
