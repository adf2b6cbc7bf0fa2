"""The example application, as its README runs it: ``curl`` is refused the listed picture and has a
harmless one accepted."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.journeys.served.houses import LIST, House, photo
from tests.journeys.served.photo_wall import photo_wall


@pytest.fixture(scope="module")
def wall(module_house: House) -> Iterator[str]:
    """The running application's URL."""
    with module_house.serve(dies="none") as serving, photo_wall(module_house, serving) as url:
        yield url


def curl(*arguments: str) -> tuple[int, str]:
    """What curl is answered: status and body."""
    found = shutil.which("curl")
    assert found is not None, "this test needs curl: apt-get install curl"
    done = subprocess.run(
        [found, "-sS", "-w", "\n%{http_code}", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def test_curl_is_refused_the_listed_picture_and_a_harmless_one_is_posted(
    wall: str, listed: bytes, tmp_path: Path
) -> None:
    (tmp_path / "listed.jpg").write_bytes(listed)
    (tmp_path / "harmless.jpg").write_bytes(photo(95))

    status, body = curl("-F", f"photo=@{tmp_path / 'harmless.jpg'}", f"{wall}/photos")
    assert (status, "Posted so far: 1" in body) == (200, True)

    status, body = curl("-F", f"photo=@{tmp_path / 'listed.jpg'}", f"{wall}/photos")
    said = json.loads(body)
    assert (status, said["outcome"], said["reason"]) == (403, "block", "not_accepted")
    assert LIST not in body

    status, body = curl(f"{wall}/")
    assert (status, "Posted so far: 1" in body) == (200, True)


def test_a_browser_gets_a_page_it_can_read(wall: str, listed: bytes, tmp_path: Path) -> None:
    (tmp_path / "listed.jpg").write_bytes(listed)
    photo_field = f"photo=@{tmp_path / 'listed.jpg'}"
    status, body = curl("-H", "Accept: text/html", "-F", photo_field, f"{wall}/photos")
    assert (status, "<h1>This file was not accepted</h1>" in body) == (403, True)
