"""A lists service over SQLite and a real index, and small signals to put in."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tutela.core import (
    Digests,
    HashMode,
    HashType,
    ListMode,
    Media,
    MediaKind,
    PictureHash,
    Purpose,
    Signal,
    SignalHash,
    ViewHash,
)
from tutela.lists import Hooks, Index, ListInfo, Lists
from tutela.store import Database

WHO = {"actor": "anna", "reason": "a test"}


class Maker:
    """Makes hashes, signals and media that are the same for the same number."""

    def bits(self, number: int, flips: int = 0) -> bytes:
        """32 random bytes, with so many bits flipped."""
        source = random.Random(number)
        value = int.from_bytes(source.randbytes(32), "big")
        for place in source.sample(range(256), flips):
            value ^= 1 << place
        return value.to_bytes(32, "big")

    def digests(self, number: int) -> Digests:
        """Random digests of a file."""
        source = random.Random(f"digests {number}")
        return Digests(
            md5=source.randbytes(16), sha1=source.randbytes(20), sha256=source.randbytes(32)
        )

    def signal(self, number: int, **facts: object) -> Signal:
        """A picture's signal: all digests and a PDQ."""
        digests = self.digests(number)
        hashes = (
            SignalHash(type=HashType.MD5, value=digests.md5),
            SignalHash(type=HashType.SHA1, value=digests.sha1),
            SignalHash(type=HashType.SHA256, value=digests.sha256),
            SignalHash(type=HashType.PDQ, value=self.bits(number), quality=90),
        )
        return Signal(**{"upstream_id": f"up-{number}", "hashes": hashes} | facts)

    def picture(
        self, number: int, *, flips: int = 0, quality: int = 90, views: tuple[ViewHash, ...] = ()
    ) -> Media:
        """A picture at so many bits from the signal of the same number, with other digests."""
        return Media(
            kind=MediaKind.PICTURE,
            format="jpeg",
            size=1000,
            digests=self.digests(-number - 1),
            pictures=(
                PictureHash(
                    pdq=self.bits(number, flips),
                    quality=quality,
                    mode=HashMode.LUMA,
                    width=64,
                    height=64,
                    views=views,
                ),
            ),
        )


@pytest.fixture
def make() -> Maker:
    """Makes hashes, signals and media."""
    return Maker()


OpenLists = Callable[..., Lists]


@contextmanager
def _opening(database: Database) -> Iterator[OpenLists]:
    opened: list[Index] = []

    def open_one(hooks: Hooks | None = None) -> Lists:
        index = Index(database.settings.data_dir / "index")
        opened.append(index)
        service = Lists(database, index, database.settings, hooks=hooks)
        service.open()
        return service

    yield open_one
    for index in opened:
        index.close()


@pytest.fixture
def open_lists(database: Database) -> Iterator[OpenLists]:
    """Opens services over the same database and snapshots, as further processes would; a test
    that takes it (or ``lists``) runs on SQLite and on PostgreSQL."""
    with _opening(database) as opened:
        yield opened


@pytest.fixture
def lists(open_lists: OpenLists) -> Lists:
    """One lists service, ready."""
    return open_lists()


@pytest.fixture
def known(lists: Lists) -> ListInfo:
    """An empty blocking list named ``known``."""
    return lists.create("known", Purpose.CSAM, mode=ListMode.BLOCK, **WHO)


@pytest.fixture
def sqlite_lists(sqlite_database: Database) -> Iterator[Lists]:
    """One lists service over SQLite only, with an empty blocking list named ``known``."""
    with _opening(sqlite_database) as opened:
        service = opened()
        service.create("known", Purpose.CSAM, mode=ListMode.BLOCK, **WHO)
        yield service
