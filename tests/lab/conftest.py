# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

import os
import signal
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn, Optional

import pytest

from tests.lab.verbs import LabVerbs


@pytest.fixture(scope="session")
def built_lab() -> Iterator[LabVerbs]:
    """One lab for all tests; removed at the end, also after Ctrl-C or SIGTERM."""
    lab = LabVerbs()
    check = lab.attempt("check")
    if check.returncode:
        pytest.skip("the lab cannot run here, missing: " + ", ".join(check.stdout.split("\n")[:-1]))

    def interrupt(_number: int, _frame: Optional[FrameType]) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        lab("up", *release_options(), timeout_s=1200)
        yield lab
    finally:
        lab("down")
        signal.signal(signal.SIGTERM, before)


def release_options() -> list[str]:
    """Hosts of another release than the machine's, where the level says so."""
    release = os.environ.get("HE_LAB_RELEASE")
    return ["--release", release] if release else []


@pytest.fixture
def lab(built_lab: LabVerbs) -> Iterator[LabVerbs]:
    with built_lab.at_rest():
        yield built_lab
