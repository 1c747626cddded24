# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What goes wrong while a package is built or checked."""

from __future__ import annotations


class PackagingError(Exception):
    """Something could not be built or is not as it should be; the message is for people."""
