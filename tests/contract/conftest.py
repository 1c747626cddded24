"""The longest tests begin first and are waited for last."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from tests.contract import sleep_story, slow_story
from tests.contract.clusters import real_cluster
from tests.contract.real_story import RealStory

_STORIES = ("real_death", "real_sleep")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: bool(_stories_of(item)))


@pytest.fixture(scope="session")
def real_death() -> Iterator[RealStory]:
    story = RealStory(slow_story.tell, real_cluster)
    yield story
    story.cancel()


@pytest.fixture(scope="session")
def real_sleep() -> Iterator[RealStory]:
    story = RealStory(sleep_story.tell, functools.partial(real_cluster, sleeping=True))
    yield story
    story.cancel()


@pytest.fixture(scope="session", autouse=True)
def _begin_early(request: pytest.FixtureRequest) -> None:
    for name in sorted({name for item in request.session.items for name in _stories_of(item)}):
        request.getfixturevalue(name)


def _stories_of(item: pytest.Item) -> list[str]:
    return [name for name in getattr(item, "fixturenames", ()) if name in _STORIES]
