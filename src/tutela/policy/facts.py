"""What rules see: the names, their fields and types, and findings in that shape.

Nothing here is ever null, so that rules need no guards: a finding without a list has the list named
``""`` in mode ``off``; one without a distance is 256 bits away, an exact one 0. The quality of a
match by PDQ that came without one, as platforms may send it, counts as 100; elsewhere it is 0.
"""

from __future__ import annotations

from typing import Any

from tutela.core import Finding, FindingKind

FAR = 256
"""The distance of a finding that has none: every bit of a PDQ hash differs."""

FIELDS: dict[str, Any] = {
    "finding": {
        "kind": "string",
        "detector": "string",
        "version": "string",
        "where": "string",
        "list": {
            "id": "string",
            "name": "string",
            "purpose": "string",
            "mode": "string",
            "version": "int",
            "stale": "bool",
        },
        "signal": {
            "id": "string",
            "upstream_id": "string",
            "state": "string",
            "classification": "string",
        },
        "hash_type": "string",
        "mode": "string",
        "distance": "int",
        "distance_identical": "int",
        "radius": "int",
        "quality": "int",
        "view": "string",
        "frame": "int",
        "time": "double",
        "share": "double",
        "fault": "string",
    },
    "item": {
        "kind": "string",
        "surface": "string",
        "entrance": "string",
        "file_name": "string",
        "live": "bool",
        "recipients_age_band": "string",
        "facts": "strings",
        "size": "int",
        "media": "string",
        "format": "string",
    },
    "account": {
        "known": "bool",
        "id": "string",
        "age_band": "string",
        "age_source": "string",
        "facts": "strings",
    },
    "context": {"protecting": "bool", "tries": "int"},
}
"""The names that rules may use, with the type of every field. ``strings`` is a map of text to text;
``findings`` is besides a list of ``finding``."""


def finding_facts(finding: Finding) -> dict[str, Any]:
    """A finding as rules see it: the fields of ``FIELDS["finding"]``, none of them null."""
    source, signal = finding.list, finding.signal
    distance = finding.distance
    if distance is None:
        distance = 0 if finding.kind is FindingKind.EXACT else FAR
    quality = finding.quality
    if quality is None:
        quality = 100 if finding.kind is FindingKind.NEAR else 0
    identical = finding.distance_identical
    return {
        "kind": finding.kind.value,
        "detector": finding.detector,
        "version": finding.version,
        "where": finding.where,
        "list": {
            "id": source.id if source else "",
            "name": source.name if source else "",
            "purpose": source.purpose.value if source else "",
            "mode": source.mode.value if source else "off",
            "version": source.version if source else 0,
            "stale": source.stale if source else False,
        },
        "signal": {
            "id": signal.id if signal else "",
            "upstream_id": signal.upstream_id if signal else "",
            "state": signal.state.value if signal else "",
            "classification": (signal.classification or "") if signal else "",
        },
        "hash_type": finding.hash_type.value if finding.hash_type else "",
        "mode": finding.mode.value if finding.mode else "",
        "distance": distance,
        "distance_identical": distance if identical is None else identical,
        "radius": finding.radius if finding.radius is not None else 0,
        "quality": quality,
        "view": finding.view or "",
        "frame": finding.frame if finding.frame is not None else -1,
        "time": float(finding.time) if finding.time is not None else -1.0,
        "share": float(finding.share) if finding.share is not None else 0.0,
        "fault": finding.fault.value if finding.fault else "",
    }
