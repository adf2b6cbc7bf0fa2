"""Makers of findings, rules and contexts for the policy's tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

from tutela.core import (
    Digests,
    Finding,
    FindingKind,
    HashMode,
    ListMode,
    ListRef,
    Media,
    MediaKind,
    PictureHash,
    Purpose,
    SignalRef,
    SignalState,
)
from tutela.policy.loading import parse
from tutela.policy.rules import RuleSet

settings.register_profile("unhurried", deadline=None, max_examples=60)
settings.load_profile("unhurried")


def make_finding(
    kind: FindingKind = FindingKind.EXACT,
    *,
    purpose: Purpose = Purpose.CSAM,
    mode: ListMode = ListMode.BLOCK,
    state: SignalState = SignalState.ACTIVE,
    signal: str = "sig_1",
    reason: str = "It matches.",
    **more: Any,
) -> Finding:
    matches = kind in {FindingKind.EXACT, FindingKind.NEAR, FindingKind.VIDEO}
    values: dict[str, Any] = {
        "kind": kind,
        "detector": "test",
        "version": "1",
        "reason": reason,
        "list": ListRef(
            id=f"lst_{purpose}_{mode}", name="a list", purpose=purpose, mode=mode, version=1
        )
        if matches
        else None,
        "signal": SignalRef(id=signal, upstream_id="u", state=state, ref=1) if matches else None,
    }
    if kind is FindingKind.NEAR:
        values |= {"distance": 10, "quality": 90, "radius": 31}
    if kind is FindingKind.VIDEO:
        values |= {"share": 0.9}
    return Finding(**{**values, **more})


def make_media(
    *,
    where: str = "",
    sha256: bytes = b"\x01" * 32,
    pdqs: tuple[bytes, ...] = (),
    members: tuple[Media, ...] = (),
    frames: tuple[Any, ...] = (),
) -> Media:
    return Media(
        where=where,
        kind=MediaKind.PICTURE,
        format="jpeg",
        size=1000,
        digests=Digests(md5=bytes(16), sha1=bytes(20), sha256=sha256),
        pictures=tuple(
            PictureHash(pdq=pdq, quality=90, mode=HashMode.LUMA, width=10, height=10, frame=n)
            for n, pdq in enumerate(pdqs)
        ),
        members=members,
        frames=frames,
    )


@pytest.fixture
def finding() -> Callable[..., Finding]:
    return make_finding


@pytest.fixture
def media() -> Callable[..., Media]:
    return make_media


@pytest.fixture
def rules() -> Callable[[str], RuleSet]:
    """Rules from the text of a policy."""

    def make(text: str) -> RuleSet:
        return parse(text, origin="test.toml")

    return make
