"""The custody chain of a piece of evidence, as arithmetic: its hashes, and where it does not hold.

The records of one piece are numbered 1, 2, 3… and chained: each carries the hash of the one
before, and its own hash is SHA-256 over ``tutela-custody-v1``, a zero byte, that hash, and the
record as canonical JSON (RFC 8785). No key is in it: whoever can write the database can make
another chain that holds. So every hash also goes into the ledger (``CUSTODY``), and a chain counts
only together with what the ledger says of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import rfc8785

from .decision import as_plain

CUSTODY = "evidence"
"""The kind of ledger entry that each custody record has: which piece, the record's number and
action, and its hash."""

GENESIS = bytes(32)
"""What the first record of a chain carries as the hash before it."""

_DOMAIN = b"tutela-custody-v1\x00"
_RECORD = ("evidence_id", "number", "at", "who", "action", "why", "origin", "facts")
_SEALED = (
    "case_id",
    "item_id",
    "object_name",
    "sealed_at",
    "size",
    "md5",
    "sha256",
    "sealed_size",
    "sealed_sha256",
    "recipients",
)


class Action(StrEnum):
    """What can happen to a piece of evidence."""

    SEALED = "sealed"
    OPENED = "opened"
    """Decrypted by the opener, for the reason given; nothing about who saw it."""
    RETIMED = "retimed"
    """Until when it is kept was changed; the facts say until when."""
    ENDING = "ending"
    """Its retention is over: the object is being destroyed."""
    DESTROYED = "destroyed"
    """The object is gone; this record is the certificate."""


_ENDS = {Action.ENDING.value: "ending", Action.DESTROYED.value: "destroyed"}
_FOLLOWS = {Action.ENDING.value: {Action.DESTROYED.value}, Action.DESTROYED.value: set[str]()}


def record_hash(previous: bytes, record: Mapping[str, Any]) -> bytes:
    """The hash of a record that follows ``previous``."""
    plain = as_plain({name: record[name] for name in _RECORD})
    return hashlib.sha256(_DOMAIN + previous + rfc8785.dumps(plain)).digest()


def end_facts(expires_at: datetime | None) -> dict[str, Any]:
    """What a record says of the end of retention."""
    return {"expires_at": as_plain(expires_at)}


def seal_facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the record of sealing says of an evidence row: what must never change, and until when
    it is kept, which only a ``RETIMED`` record changes."""
    plain: dict[str, Any] = as_plain({name: row[name] for name in _SEALED})
    return plain | end_facts(row["expires_at"])


def first_break(
    row: Mapping[str, Any], chain: Sequence[Mapping[str, Any]]
) -> tuple[int, str] | None:
    """Where the ``chain`` of the evidence ``row`` does not hold: a record's number, and what is
    wrong in words. None where the links hold and the row is what they say."""
    previous = GENESIS
    for number, record in enumerate(chain, start=1):
        if record["number"] != number:
            return number, "a record is missing"
        if bytes(record["previous"]) != previous or bytes(record["hash"]) != record_hash(
            previous, record
        ):
            return number, "a record was changed"
        previous = bytes(record["hash"])
    if not chain or chain[0]["action"] != Action.SEALED.value:
        return 1, "the record of sealing is missing"
    return _wrong_order(chain) or _wrong_row(row, chain)


def _wrong_order(chain: Sequence[Mapping[str, Any]]) -> tuple[int, str] | None:
    """A record that cannot follow those before it: after the end, or an end before its time."""
    end = (chain[0]["facts"] or {}).get("expires_at")
    before = Action.SEALED.value
    for record in chain[1:]:
        action = record["action"]
        if before in _FOLLOWS and action not in _FOLLOWS[before]:
            return record["number"], "a record follows the end"
        if action == Action.DESTROYED.value and before != Action.ENDING.value:
            return record["number"], "it was destroyed without an end of its retention"
        if action == Action.ENDING.value and (
            end is None or record["at"] < datetime.fromisoformat(end)
        ):
            return record["number"], "its retention was ended before it was over"
        if action == Action.RETIMED.value:
            end = (record["facts"] or {}).get("expires_at")
        before = action
    return None


def _wrong_row(
    row: Mapping[str, Any], chain: Sequence[Mapping[str, Any]]
) -> tuple[int, str] | None:
    """Where the row differs from what its chain says of it."""
    is_now, was_sealed = seal_facts(row), dict(chain[0]["facts"] or {})
    timed = [r for r in chain if r["action"] in {Action.SEALED.value, Action.RETIMED.value}][-1]
    if is_now.pop("expires_at") != (timed["facts"] or {}).get("expires_at"):
        return timed["number"], "the row is to end at another time than was recorded"
    was_sealed.pop("expires_at", None)
    if is_now != was_sealed:
        return 1, "the row differs from its record of sealing"
    last = chain[-1]
    if row["state"] != _ENDS.get(last["action"], "kept"):
        return last["number"], f"the row is {row['state']}, the last record is {last['action']}"
    return None
