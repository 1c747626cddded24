# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What came of a try whether another host's libvirt is reached."""

from __future__ import annotations

from typing import Optional

from metadata.value_class import value_class


@value_class(frozen=True)
class Reach:
    """Whether a libvirt was reached; None: nothing was tried. `detail` says it in words."""

    answered: Optional[bool]
    detail: str
