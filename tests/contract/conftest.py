"""The longest test begins first and is waited for last."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.slow_story import RealStory


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_needs_real_story)


@pytest.fixture(scope="session")
def real_story() -> Iterator[RealStory]:
    story = RealStory()
    yield story
    story.cancel()


@pytest.fixture(scope="session", autouse=True)
def _begin_early(request: pytest.FixtureRequest) -> None:
    if any(_needs_real_story(item) for item in request.session.items):
        request.getfixturevalue("real_story")


def _needs_real_story(item: pytest.Item) -> bool:
    return "real_story" in getattr(item, "fixturenames", ())
