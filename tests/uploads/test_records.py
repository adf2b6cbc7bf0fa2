"""Decisions read back by idempotency key, and the hashes that a record holds."""

from __future__ import annotations

from sqlalchemy import event
from tests.uploads.road_house import House

from tutela.core import Item, ItemKind
from tutela.lists.matching import HashQuery
from tutela.uploads.records import Asker, remembered_batch
from tutela.uploads.rows import _query_texts


def test_a_new_batch_is_looked_up_by_two_keys_however_long_it_is(house: House) -> None:
    asker = Asker(key_id="k", idempotency_key="b", request_digest=bytes(32))
    asked: list[object] = []

    def note(_c: object, _cursor: object, _text: object, values: object, *_: object) -> None:
        asked.append(values)

    engine = house.tutela.database.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        with house.tutela.database.read() as connection:
            assert remembered_batch(connection, asker, 1000) is None
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert asked == [("k", "b", "b\u21160")]


def test_a_long_batch_is_remembered_whole(house: House) -> None:
    asker = Asker(key_id="k", idempotency_key="b", request_digest=bytes(32))
    batch = [
        (Item(kind=ItemKind.HASHES, entrance="t"), HashQuery(md5=n.to_bytes(16, "big")))
        for n in range(1, 600)
    ]
    first = house.run(house.tutela.road.hashes(batch, asker))
    again = house.run(house.tutela.road.hashes(batch, asker))
    assert [one.id for one in again] == [one.id for one in first]
    assert all(one.repeated for one in again)


def test_sent_hashes_are_recorded_as_text_without_what_was_not_sent() -> None:
    assert _query_texts(None) is None
    assert _query_texts(HashQuery(pdq=b"\x01" * 32, quality=0)) == {"pdq": "01" * 32, "quality": 0}
    every = HashQuery(md5=b"a" * 16, sha1=b"b" * 20, sha256=b"c" * 32)
    assert _query_texts(every) == {"md5": "61" * 16, "sha1": "62" * 20, "sha256": "63" * 32}
