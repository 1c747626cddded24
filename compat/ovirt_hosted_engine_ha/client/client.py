# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The client of `hosted_engine.client`, by the name that callers import."""

from hosted_engine.client import HAClient

__all__ = ["HAClient"]
