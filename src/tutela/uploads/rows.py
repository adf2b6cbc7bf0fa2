"""The rows of one plan, as plain values. Pure: ``act`` inserts them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from tutela.core import Media, as_plain
from tutela.lists.matching import HashQuery

from .plan import CaseDraft, Plan

MAX_PICTURES_KEPT = 64
"""Picture hashes kept in an item's record; a long animation or archive has more."""


def item_row(plan: Plan, expires_at: datetime) -> dict[str, Any]:
    item, account = plan.item, plan.item.account
    return {
        "id": item.id,
        "kind": item.kind.value,
        "received_at": item.received_at,
        "entrance": item.entrance,
        "surface": item.surface,
        "account_id": account.id if account else None,
        "account": {
            "age_band": account.age_band.value,
            "age_source": account.age_source.value,
            "facts": dict(account.facts),
        }
        if account
        else None,
        "file_name": item.file_name,
        "recipients_age_band": item.recipients_age_band.value,
        "client_time": item.client_time,
        "client_ip": str(item.client_ip) if item.client_ip else None,
        "client_port": item.client_port,
        "facts": dict(item.facts) or None,
        **seen(plan, expires_at),
    }


def seen(plan: Plan, expires_at: datetime) -> dict[str, Any]:
    """What examining told of an item."""
    media = plan.examined.media
    return {
        "size": media.size if media else None,
        "media_kind": media.kind.value if media else None,
        "format": media.format if media else None,
        "sha256": media.digests.sha256 if media else plan.query and plan.query.sha256,
        "hashes": _hashes(media) if media else _sent(plan),
        "expires_at": expires_at,
    }


def case_row(plan: Plan, draft: CaseDraft, expires_at: datetime) -> dict[str, Any]:
    account = plan.item.account
    return {
        "id": draft.id,
        "purpose": draft.purpose.value,
        "state": "open",
        "state_at": plan.decision.at,
        "state_by": "tutela",
        "opened_at": plan.decision.at,
        "severity": plan.ruling.severity,
        "account_id": account.id if account else None,
        "facts": {"queue": draft.queue} if draft.queue else None,
        "expires_at": expires_at,
    }


def decision_row(plan: Plan, expires_at: datetime) -> dict[str, Any]:
    decision, asker = plan.decision, plan.asker
    first = plan.follows is None
    return {
        "id": decision.id,
        "item_id": decision.item_id,
        "at": decision.at,
        "outcome": decision.outcome.value,
        "rule": decision.rule,
        "policy_version": decision.policy_version,
        "reasons": list(decision.reasons) or None,
        "opaque_reason": decision.opaque_reason,
        "purpose": plan.ruling.purpose.value if plan.ruling.purpose else None,
        "severity": plan.ruling.severity,
        "deferred": decision.deferred,
        "protecting": decision.protecting,
        "case_id": decision.case_id,
        "evidence_id": decision.evidence_id,
        "supersedes": plan.follows,
        "key_id": asker.key_id,
        "idempotency_key": asker.idempotency_key if first else None,
        "request_digest": asker.request_digest if first else None,
        "findings": as_plain(decision.findings) or None,
        "context": plan.context.plain(),
        "would": as_plain(decision.would) or None,
        "answer": None,
        "timings": dict(decision.milliseconds),
        "expires_at": expires_at,
    }


def event(plan: Plan) -> dict[str, Any]:
    """What the platform is told of a decision: no list, no rule."""
    decision = plan.decision
    return {
        "decision_id": decision.id,
        "outcome": decision.outcome.value,
        "deferred": decision.deferred,
        "case_id": decision.case_id,
        "supersedes": plan.follows,
        "at": as_plain(decision.at),
    }


def _hashes(media: Media) -> dict[str, Any]:
    pictures = [
        {
            "where": part.where,
            "frame": picture.frame,
            "pdq": picture.pdq.hex(),
            "quality": picture.quality,
        }
        for part in media.walk()
        for picture in part.pictures[:MAX_PICTURES_KEPT]
    ]
    return {
        "md5": media.digests.md5.hex(),
        "sha1": media.digests.sha1.hex(),
        "pictures": pictures[:MAX_PICTURES_KEPT],
    }


def _sent(plan: Plan) -> dict[str, Any] | None:
    """The hashes that came without bytes: of one item, or of all that nothing was found on."""
    if not plan.checked:
        return _query_texts(plan.query)
    checked = []
    for item, query in plan.checked:
        texts = _query_texts(query) or {}
        if item.account is not None:
            texts["account"] = item.account.id
        checked.append(texts)
    return {"checked": checked}


_HASHES = ("md5", "sha1", "sha256", "pdq")


def _query_texts(query: HashQuery | None) -> dict[str, Any] | None:
    if query is None:
        return None
    texts: dict[str, Any] = {}
    for name in _HASHES:
        if (value := getattr(query, name)) is not None:
            texts[name] = value.hex()
    if query.quality is not None:
        texts["quality"] = query.quality
    return texts


def check_record(plan: Plan) -> bytes:
    """What is kept as evidence of a check of hashes: the hashes and the facts, as JSON."""
    record = {"item": as_plain(plan.item), "hashes": _query_texts(plan.query)}
    return msgspec.json.encode(record)
