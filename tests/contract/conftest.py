# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The longest tests begin first and are waited for last."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable

import pytest

from tests.contract import sleep_story, slow_story
from tests.contract.clusters import Cluster, real_cluster
from tests.contract.real_story import RealStory
from tests.contract.sanlock_hosts import Binding

_STORIES = ("real_death", "real_sleep")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: bool(_stories_of(item)))


@pytest.fixture(scope="session")
def real_death() -> Iterator[dict[Binding, RealStory]]:
    with told_by_both(slow_story.tell, sleeping=False) as stories:
        yield stories


@pytest.fixture(scope="session")
def real_sleep() -> Iterator[dict[Binding, RealStory]]:
    with told_by_both(sleep_story.tell, sleeping=True) as stories:
        yield stories


@contextmanager
def told_by_both(
    tell: Callable[[Cluster], None], sleeping: bool
) -> Iterator[dict[Binding, RealStory]]:
    """The same story by each binding, at the same time."""
    stories = {
        binding: RealStory(
            tell, functools.partial(real_cluster, sleeping=sleeping, binding=binding)
        )
        for binding in Binding
    }
    yield stories
    for story in stories.values():
        story.cancel()


@pytest.fixture(scope="session", autouse=True)
def _begin_early(request: pytest.FixtureRequest) -> None:
    for name in sorted({name for item in request.session.items for name in _stories_of(item)}):
        request.getfixturevalue(name)


def _stories_of(item: pytest.Item) -> list[str]:
    return [name for name in getattr(item, "fixturenames", ()) if name in _STORIES]
