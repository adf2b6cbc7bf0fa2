"""A house for each test of the road."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.uploads.road_house import House

from tutela.settings import Settings


@pytest.fixture
def house(sqlite_settings: Settings) -> Iterator[House]:
    """The embedded default, with a decoder that can be told to fail."""
    made = House(sqlite_settings)
    yield made
    made.tutela.close()
