# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A machine for commands, of which a test gives what the command may reach; the rest fails."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from hosted_engine.host.environment import Environment


def environment(**given: Any) -> Environment:
    """Without deadlines, and without anything that is not given."""
    without_deadlines = {
        "anew": lambda job: job(),
        "apart": lambda job, _whom, _deadline_s: job(),
        "bounded": lambda sanlock, _whom, _deadline_s, _but: sanlock,
    }
    known = {**without_deadlines, **given}
    missing = {one.name: _Missing(one.name) for one in fields(Environment) if one.name not in known}
    return Environment(**known, **missing)


class _Missing:
    """Whoever reaches for it is told so."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *_values: Any) -> Any:
        raise AssertionError(f"this test's machine has no {self._name}")

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"this test's machine has no {self._name}, asked for its {name}")
