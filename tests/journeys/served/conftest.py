"""Houses for the journeys. Furnishing one takes seconds, so it is done once and copied."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.journeys.served.houses import (
    LISTED_SEED,
    House,
    Serving,
    closing,
    copied,
    furnished_house,
    photo,
)

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All journeys go to one worker of pytest-xdist, so that one nursery serves them."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("journeys"))


@pytest.fixture(scope="session")
def listed() -> bytes:
    """The picture that the blocking list holds."""
    return photo(LISTED_SEED)


@pytest.fixture(scope="session")
def furnished() -> House:
    """A house to copy."""
    return furnished_house()


@pytest.fixture
def house(furnished: House, tmp_path: Path) -> Iterator[House]:
    """A furnished house of this test's own."""
    with closing(copied(furnished, tmp_path / "data")) as own:
        yield own


@pytest.fixture(scope="module")
def module_house(furnished: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A furnished house that the tests of a module share."""
    with closing(copied(furnished, tmp_path_factory.mktemp("house") / "data")) as own:
        yield own


@pytest.fixture(scope="module")
def serving(module_house: House) -> Iterator[Serving]:
    """A server that the tests of a module share; do not break it."""
    with module_house.serve() as running:
        yield running
