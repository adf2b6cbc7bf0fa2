"""One served Tutela for all tests of the HTTP entrance that do not break it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.house import QUICK, Server, picture

from tutela.settings import Settings

LISTED = picture(1)
"""The picture that the list ``known`` holds."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server with the blocking list ``known``. Do not break it: others use it."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("web") / "data", **QUICK)
    with Server(settings) as running:
        running.list_picture("known", LISTED)
        yield running


@pytest.fixture(scope="session")
def admin(server: Server) -> Iterator[httpx.Client]:
    """A client whose key may do everything."""
    with server.client() as client:
        yield client


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder of this test's own."""
    return tmp_path / "data"
