"""A real Chromium, without a window."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from tests.journeys.served.houses import House, Serving, closing, copied, furnished_house

HERE = Path(__file__).parent
QUIET = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-sync",
    "--no-first-run",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With the journeys, on whose worker there is a nursery."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("journeys"))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A furnished house."""
    data_dir = tmp_path_factory.mktemp("browser") / "data"
    with closing(copied(furnished_house(), data_dir)) as own:
        yield own


@pytest.fixture(scope="module")
def serving(house: House) -> Iterator[Serving]:
    """A server on it."""
    with house.serve(dies="none") as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser."""
    found = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if found is None:
        pytest.fail(
            "No Chromium: apt-get install chromium-headless-shell (CI does; see .ci/run).",
            pytrace=False,
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A fresh page; what goes wrong in it fails the test."""
    context = chromium.new_context()
    opened = context.new_page()
    troubles: list[str] = []
    opened.on("console", lambda said: troubles.append(_told(said)))
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("requestfailed", lambda request: troubles.append(request.url))
    yield opened
    context.close()
    assert [trouble for trouble in troubles if trouble] == []


def _told(said: ConsoleMessage) -> str:
    """What Chromium tells as an error; not so a refusal's own status, and no icon."""
    refusal = "status of 403" in said.text and said.location["url"].endswith("/photos")
    icon = said.location["url"].endswith("/favicon.ico")
    return "" if said.type != "error" or refusal or icon else f"{said.text} {said.location['url']}"
