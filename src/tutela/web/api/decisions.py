"""``/v1/decisions``: a decision read back, with the one that settled it, if any."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi import Path as PathPart
from starlette.concurrency import run_in_threadpool

from tutela.core import as_plain
from tutela.uploads.records import DecisionRecord, answer, not_found, read_decision

from ..auth.keys import ApiKey, Scope
from ..schemas import DecisionShown
from ..state import web_of

MAY_ASK = (Scope.DECISIONS_READ, Scope.UPLOADS_WRITE, Scope.HASHES_CHECK)
"""Scopes that get decisions made, or read."""

router = APIRouter(prefix="/v1/decisions", tags=["decisions"])


@router.get("/{decision_id}", response_model_exclude_unset=True)
async def one_decision(
    request: Request,
    decision_id: Annotated[str, PathPart(min_length=1, max_length=64)],
) -> DecisionShown:
    """A decision. A key without ``decisions:read`` sees those that it asked for itself; any other
    is, to it, not there. A deferred hold shows in ``superseded_by`` what it came to."""
    web = web_of(request)
    key = await web.admit_any(request.scope, MAY_ASK)

    def read() -> DecisionRecord:
        with web.tutela.database.read() as connection:
            return read_decision(connection, decision_id)

    record = await run_in_threadpool(read)
    if record.key_id != key.id and not key.allows(Scope.DECISIONS_READ):
        raise not_found()
    return DecisionShown(**shown(record, key))


def shown(record: DecisionRecord, key: ApiKey) -> dict[str, Any]:
    """What a key may see of a decision."""
    detail = key.allows(Scope.DECISIONS_DETAIL)
    said = answer(record.decision, detail=detail)
    said["at"] = record.decision.at
    said["supersedes"] = record.supersedes
    said["superseded_by"] = record.superseded_by
    if detail:
        said["item"] = as_plain(record.item)
        said["ledger_entry"] = record.ledger_entry
    return said
