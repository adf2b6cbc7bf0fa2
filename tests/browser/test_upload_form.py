"""A person with a browser: the form of the example application refuses the listed picture in words
and posts a harmless one; the status page says whether we protect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.journeys.served.houses import LIST, LISTED_SEED, House, Serving, photo
from tests.journeys.served.photo_wall import photo_wall


@pytest.fixture(scope="module")
def wall(house: House, serving: Serving) -> Iterator[str]:
    """The running application's URL."""
    with photo_wall(house, serving) as url:
        yield url


def post(page: Page, url: str, file: Path) -> None:
    """Choose a file and press the button."""
    page.goto(url)
    page.get_by_label("A photo").set_input_files(file)
    page.get_by_role("button", name="Post it").click()


def test_the_form_refuses_the_listed_picture_and_posts_a_harmless_one(
    page: Page, house: House, wall: str, tmp_path: Path
) -> None:
    listed, harmless = tmp_path / "listed.jpg", tmp_path / "harmless.jpg"
    listed.write_bytes(photo(LISTED_SEED))
    harmless.write_bytes(photo(96))

    post(page, wall, listed)
    expect(page.get_by_role("heading")).to_have_text("This file was not accepted")
    expect(page).to_have_title("This file was not accepted")
    assert LIST not in page.content()

    post(page, wall, harmless)
    expect(page.get_by_text("Posted so far: 1")).to_be_visible()
    outcomes = [row["outcome"] for row in house.rows("SELECT outcome FROM decisions ORDER BY at")]
    assert outcomes == ["block", "allow"]
    assert house.count("evidence") == 1


def test_what_cannot_be_read_is_not_accepted(page: Page, wall: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0" + bytes(300))
    post(page, wall, broken)
    expect(page.get_by_role("heading")).to_have_text("This file could not be accepted just now")


def test_the_status_page_says_whether_we_protect(
    page: Page, house: House, serving: Serving
) -> None:
    page.goto(serving.url)
    expect(page).to_have_title("PROTECTING – Tutela")
    expect(page.locator("strong").first).to_have_text("PROTECTING")
    reason = ("--reason", "To see it said.")
    assert house.tutela("lists", "mode", LIST, "hold", *reason).code == 0
    page.wait_for_timeout(2500)
    page.reload()
    expect(page).to_have_title("NOT PROTECTING – Tutela")
    assert house.tutela("lists", "mode", LIST, "block", *reason).code == 0
