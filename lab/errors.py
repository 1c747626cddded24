# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The lab's one error type."""


class LabError(Exception):
    """What a verb could not do, as one line for the person who asked."""
