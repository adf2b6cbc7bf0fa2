"""``/v1/lists``: what is known, in which state, and the operator's edits."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi import Path as PathPart
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from tutela.core import HashType, Signal, SignalHash
from tutela.core.hashes import parse_digest, parse_pdq
from tutela.errors import InvalidInput
from tutela.lists import ListInfo, ListState, ListVersion
from tutela.lists.signals import derived_id

from ..auth.keys import ApiKey, Scope
from ..bounded import BoundedRoute
from ..downloads import Download
from ..schemas import (
    EditDone,
    ImportShown,
    ListShown,
    ListsShown,
    NewList,
    NewMode,
    NewSignal,
    NewSignals,
    SignalChoice,
    VersionShown,
    VersionsShown,
)
from ..spooling import spool_body
from ..state import Needs, web_of

FILE_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
"""OpenAPI's words for a body that is a file and is read as a stream."""

router = APIRouter(prefix="/v1/lists", tags=["lists"], route_class=BoundedRoute)

Reader = Annotated[ApiKey, Depends(Needs(Scope.LISTS_READ))]
Editor = Annotated[ApiKey, Depends(Needs(Scope.LISTS_WRITE))]
ListName = Annotated[
    str, PathPart(min_length=1, max_length=80, description="The list's name or id.")
]
Why = Annotated[
    str, Query(min_length=1, max_length=500, pattern=r"\S", description="Kept in its history.")
]


@router.get("")
def all_lists(request: Request, key: Reader) -> ListsShown:
    """Every list with its state and since when, and whether any protects."""
    lists = web_of(request).tutela.lists
    protection = lists.protection()
    states = {state.name: state for state in protection.lists}
    return ListsShown(
        protecting=protection.protecting,
        why=protection.why,
        lists=[_shown(info, states.get(info.name)) for info in lists.all()],
    )


@router.post("", status_code=201)
def create_list(request: Request, key: Editor, new: NewList) -> ListShown:
    """Make an empty list. What it may do is the operator's recorded choice."""
    lists = web_of(request).tutela.lists
    info = lists.create(
        new.name,
        new.purpose,
        mode=new.mode,
        source=new.source,
        synced=new.synced,
        actor=_actor(key),
        reason=new.reason,
    )
    return _now(request, info)


@router.get("/{name}")
def one_list(request: Request, key: Reader, name: ListName) -> ListShown:
    """One list."""
    return _now(request, web_of(request).tutela.lists.get(name))


@router.post("/{name}/mode")
def set_mode(request: Request, key: Editor, name: ListName, new: NewMode) -> ListShown:
    """Choose what a list may do: block, hold, inform, or off."""
    lists = web_of(request).tutela.lists
    return _now(request, lists.set_mode(name, new.mode, actor=_actor(key), reason=new.reason))


@router.get("/{name}/versions")
def versions(
    request: Request,
    key: Reader,
    name: ListName,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> VersionsShown:
    """A list's newest versions, each with its Merkle root."""
    found = web_of(request).tutela.lists.versions(name, limit)
    return VersionsShown(versions=[_version(version) for version in found])


@router.post("/{name}/signals")
def add_signals(request: Request, key: Editor, name: ListName, new: NewSignals) -> EditDone:
    """Add signals by their hashes; those with a known upstream id are brought up to date."""
    lists = web_of(request).tutela.lists
    signals = [_signal(signal) for signal in new.signals]
    return _done(lists.add(name, signals, actor=_actor(key), reason=new.reason))


@router.post("/{name}/withdraw")
def withdraw(request: Request, key: Editor, name: ListName, which: SignalChoice) -> EditDone:
    """Stop signals from matching, on every process within two seconds."""
    lists = web_of(request).tutela.lists
    done = lists.withdraw(name, which.signals, actor=_actor(key), reason=which.reason)
    return _done(done)


@router.post("/{name}/dispute")
def dispute(request: Request, key: Editor, name: ListName, which: SignalChoice) -> EditDone:
    """Let signals hold and no longer block."""
    lists = web_of(request).tutela.lists
    done = lists.dispute(name, which.signals, actor=_actor(key), reason=which.reason)
    return _done(done)


@router.post("/{name}/restore")
def restore(request: Request, key: Editor, name: ListName, which: SignalChoice) -> EditDone:
    """Take back one's own withdrawal or dispute."""
    lists = web_of(request).tutela.lists
    done = lists.restore(name, which.signals, actor=_actor(key), reason=which.reason)
    return _done(done)


@router.post("/{name}/files", openapi_extra=FILE_BODY)
async def add_file(request: Request, key: Editor, name: ListName, reason: Why) -> EditDone:
    """Add a file, sent as the body, by what it hashes to. The file itself is not kept."""
    web = web_of(request)
    source = await spool_body(request.scope, request.receive, web.tutela.spool, web.upload_limits)
    with source:
        if not source.size:
            raise InvalidInput("The file is empty.")
        media = await web.tutela.decoder.hash(source)
    if media.all_faults():
        raise InvalidInput(
            "The file could not be read whole, so it was not listed.",
            kept="Nothing was changed.",
            next_step="Add its hashes instead, if you have them.",
        )
    lists = web.tutela.lists
    done = await run_in_threadpool(
        lambda: lists.add_media(name, media, actor=_actor(key), reason=reason)
    )
    return _done(done)


@router.post("/{name}/import", openapi_extra=FILE_BODY)
async def import_list(
    request: Request,
    key: Editor,
    name: ListName,
    reason: Why,
    format: Annotated[str | None, Query(pattern="^(csv|jsonl|hma|vics)$")] = None,
    dry_run: bool = False,
    mirror: bool = False,
) -> ImportShown:
    """Import a list file sent as the body: CSV, JSON Lines, HMA bank content or VICS 2.0."""
    web = web_of(request)
    source = await spool_body(request.scope, request.receive, web.tutela.spool, web.upload_limits)

    def work() -> Any:
        with source, source.open() as stream:
            return web.tutela.lists.import_file(
                name,
                stream,
                format=format,
                dry_run=dry_run,
                mirror=mirror,
                actor=_actor(key),
                reason=reason,
            )

    report = await asyncio.to_thread(work)
    values = asdict(report)
    return ImportShown(**{name: values[name] for name in ImportShown.model_fields})


@router.get("/{name}/export", response_class=Response)
def export_list(
    request: Request,
    key: Editor,
    name: ListName,
    reason: Why,
    format: Annotated[str, Query(pattern="^(csv|jsonl|hma|vics)$")] = "jsonl",
) -> Response:
    """Export a list. Needs ``lists:write``: it hands out what the list holds, and is recorded."""
    export = web_of(request).tutela.lists.export(name, format, actor=_actor(key), reason=reason)
    return Download(iter(export), web_of(request).upload_limits)


def _actor(key: ApiKey) -> str:
    return f"key {key.id}"


def _now(request: Request, info: ListInfo) -> ListShown:
    protection = web_of(request).tutela.lists.protection(fresh=True)
    return _shown(info, next((s for s in protection.lists if s.name == info.name), None))


def _shown(info: ListInfo, state: ListState | None) -> ListShown:
    return ListShown(
        id=info.id,
        name=info.name,
        purpose=info.purpose,
        mode=info.mode,
        state=state.state if state else info.mode.value,
        since=state.since if state else info.created_at,
        source=info.source,
        synced=info.synced,
        entries=info.entries,
        version=info.version,
        root=info.root.hex(),
        refreshed_at=info.refreshed_at,
    )


def _version(version: ListVersion) -> VersionShown:
    values = asdict(version) | {"root": version.root.hex()}
    return VersionShown(**{name: values[name] for name in VersionShown.model_fields})


def _done(version: ListVersion | None) -> EditDone:
    return EditDone(version=_version(version) if version else None)


def _signal(new: NewSignal) -> Signal:
    hashes: list[SignalHash] = []
    for kind in (HashType.SHA256, HashType.SHA1, HashType.MD5):
        text = getattr(new, kind.value)
        if text is not None:
            hashes.append(SignalHash(type=kind, value=parse_digest(kind, text)))
    if new.pdq is not None:
        hashes.append(SignalHash(type=HashType.PDQ, value=parse_pdq(new.pdq), quality=new.quality))
    if not hashes:
        raise InvalidInput("A signal needs at least one of md5, sha1, sha256 and pdq.")
    return Signal(
        upstream_id=new.upstream_id or derived_id(hashes),
        hashes=tuple(hashes),
        classification=new.classification,
        note=new.note,
    )
