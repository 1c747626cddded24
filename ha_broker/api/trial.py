# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a test of the notifications found."""

from __future__ import annotations

from metadata.value_class import value_class


@value_class(frozen=True)
class TrialResult:
    """What became of a test notification at one target; `words` are the other side's own."""

    target: str
    delivered: bool
    words: str


@value_class(frozen=True)
class TrialAnswer:
    """What all targets answered, as it travels."""

    targets: tuple[TrialResult, ...]
