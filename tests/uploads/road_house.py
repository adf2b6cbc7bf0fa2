"""A Tutela whose decoder is in this process and can be told to fail, for tests of the road."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from tests.house import picture

from tutela.app import Tutela
from tutela.core import (
    Decision,
    Fault,
    FaultKind,
    Item,
    ItemKind,
    ListMode,
    Media,
    MediaKind,
    Purpose,
)
from tutela.errors import DecoderUnavailable
from tutela.hashing.digests import digest_stream
from tutela.hashing.media import hash_media
from tutela.hashing.options import HashOptions
from tutela.hashing.source import Source
from tutela.settings import Settings
from tutela.uploads.records import Asker, DecisionRecord, read_decision

T = TypeVar("T")
LISTED = picture(1)


class Decoder:
    """Hashes in this process, or fails as told. ``asked`` keeps the options of each call."""

    def __init__(self) -> None:
        self.fails: FaultKind | None = None
        self.asked: list[HashOptions | None] = []

    async def hash(self, source: Source, options: HashOptions | None = None) -> Media:
        """As the pool's."""
        self.asked.append(options)
        with source.open() as stream:
            if self.fails is FaultKind.UNAVAILABLE:
                raise DecoderUnavailable("The decoder is not running.")
            if self.fails is not None:
                return Media(
                    kind=MediaKind.UNREADABLE,
                    format="unknown",
                    size=source.size,
                    digests=digest_stream(stream),
                    faults=(Fault(kind=self.fails, detail="told to"),),
                )
            return hash_media(stream, options or HashOptions(), digests=source.digests)


class House:
    """A Tutela without background duties, with a blocking list that holds ``LISTED``."""

    def __init__(self, settings: Settings) -> None:
        self.tutela = Tutela(settings, background=False)
        self.tutela.open_lists()
        self.decoder = Decoder()
        self.tutela.gate._decoder = self.decoder
        self.add("known", LISTED)

    def add(
        self,
        name: str,
        data: bytes,
        *,
        mode: ListMode = ListMode.BLOCK,
        purpose: Purpose = Purpose.CSAM,
    ) -> None:
        """Make a list of one picture."""
        lists = self.tutela.lists
        lists.create(name, purpose, mode=mode, actor="t", reason="t")
        with Source.from_bytes(data) as source:
            media = self.run(Decoder().hash(source))
        lists.add_media(name, media, actor="t", reason="t")
        self.tutela.protecting = lists.protection(fresh=True).protecting

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return asyncio.run(work)

    def upload(self, data: bytes, asker: Asker | None = None, **facts: Any) -> Decision:
        """Send an upload down the road, as an entrance does."""
        with self.tutela.spool.writer() as writer:
            writer.write(data)
            source = writer.finish()
        with source:
            item = Item(kind=ItemKind.UPLOAD, **facts)
            return self.run(self.tutela.road.upload(item, source, asker))

    def read(self, decision_id: str) -> DecisionRecord:
        """A decision as it is kept."""
        with self.tutela.database.read() as connection:
            return read_decision(connection, decision_id)
