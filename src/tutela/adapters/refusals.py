"""What an uploader is answered where the guard lets nothing through: no list, no rule."""

from __future__ import annotations

import json
from html import escape
from typing import Any

import structlog
from starlette.types import Scope, Send

from tutela.client import Answer, Refused
from tutela.uploads.bodies import header

BLOCKED = (403, "This file was not accepted", "It cannot be posted here.")
HELD = (202, "This file could not be accepted just now", "It was not posted.")
AWAY = (202, "This file could not be accepted just now", "Please send it again later.")

log = structlog.get_logger("tutela.adapters")


def plain_refusal(scope: Scope, answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """A page for browsers, JSON for programs. It says no more than the opaque reason, and promises
    nothing: the application never got the file, so nobody can post it later but the uploader."""
    known = BLOCKED if answer.blocked else AWAY if answer.deferred else HELD
    status, title, text = known
    if "text/html" in (header(scope, b"accept") or ""):
        page = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
            f"<body><main><h1>{escape(title)}</h1><p>{escape(text)}</p></main></body></html>"
        )
        return status, {"content-type": "text/html; charset=utf-8"}, page.encode()
    detail = f"{title}." if answer.blocked else f"{title}. {text}"
    body = {"outcome": answer.outcome, "reason": answer.reason, "detail": detail}
    return status, {"content-type": "application/json"}, as_json(body)


async def respond(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    """Send a whole response that nobody may cache."""
    sent = {"content-type": "application/json", "cache-control": "no-store"} | headers
    sent["content-length"] = str(len(body))
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(k.encode(), v.encode("latin-1")) for k, v in sent.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})


def as_json(value: dict[str, Any]) -> bytes:
    """A JSON body."""
    return json.dumps(value).encode()


def note_refused(refused: Refused) -> None:
    """Tell the operator what is to be mended; no key, no content."""
    steps = {
        401: "Give the AsyncClient a key that is valid; see: tutela keys ls",
        403: "Give the AsyncClient a key with the scope uploads:write; see: tutela keys ls",
        404: "Check the URL that the AsyncClient was given: no Tutela answers there.",
    }
    log.warning(
        "upload not checked: Tutela refused the request",
        status=refused.status,
        code=refused.code,
        detail=refused.detail,
        next_step=steps.get(refused.status, "See the detail, and the facts that are sent along."),
    )
