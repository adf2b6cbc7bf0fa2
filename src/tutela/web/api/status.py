"""Whether it lives, whether it can decide, whether it protects; metrics; the self-test."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Literal

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from tutela import __version__
from tutela.app import Tutela
from tutela.core import as_plain, utc_now
from tutela.errors import TutelaError
from tutela.lists.status import SELFTEST_FAILED
from tutela.uploads.selftest import SelftestResult

from ..auth.keys import Scope
from ..pages import CSP, status_page
from ..schemas import Ready, SelftestShown
from ..state import Needs, Web, web_of

router = APIRouter()

Check = Literal["ok", "busy", "failing"]


@router.get("/healthz", tags=["status"])
async def healthz() -> dict[str, str]:
    """The process lives and answers. Says nothing of whether it can decide."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    tags=["status"],
    responses={503: {"description": "No decision can be had now.", "model": Ready}},
)
async def readyz(request: Request, response: Response, protecting: bool = False) -> Ready:
    """Whether decisions can be had (200 or 503), and whether any list protects.

    NOT PROTECTING is 200 all the same, since holds and errors are answered and a load balancer
    that takes the gate away protects nobody; with ``?protecting=true`` it is 503.
    """
    state = await run_in_threadpool(readiness, web_of(request))
    if not state.ready or (protecting and not state.protecting):
        response.status_code = 503
    response.headers["Tutela-Protecting"] = "true" if state.protecting else "false"
    return state


@router.get("/metrics", tags=["status"], response_class=Response)
async def metrics(request: Request, key: Any = Depends(Needs(Scope.METRICS_READ))) -> Response:
    """Counters and gauges in Prometheus' text format. No list, rule, key or account in them."""
    text = await run_in_threadpool(web_of(request).metrics.text)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.post("/v1/selftest", tags=["status"])
async def selftest(
    request: Request, key: Any = Depends(Needs(Scope.SELFTEST_RUN))
) -> SelftestShown:
    """Send the harmless triggers down the whole road now, and say how that went."""
    result = await web_of(request).tutela.selftest.run()
    return SelftestShown(**as_plain(result))


@router.get("/", include_in_schema=False)
async def status(request: Request) -> HTMLResponse:
    """The status page: what a person wants to know first, and what to do next."""
    state = await run_in_threadpool(readiness, web_of(request))
    return HTMLResponse(
        status_page(state), status_code=200, headers={"content-security-policy": CSP}
    )


def readiness(web: Web) -> Ready:
    """Look at every part now. Names no list: this is shown to anybody."""
    tutela = web.tutela
    checks: dict[str, Check] = {}
    try:
        tutela.database.check()
        checks["database"] = "ok"
    except TutelaError:
        checks["database"] = "failing"
    checks["index"] = "ok" if tutela.index.healthy else "failing"
    checks["decoder"] = _decoder_word(tutela)
    for name, duty in tutela.duties.states.items():
        if duty.failing_since is not None:
            checks[f"duty {name}"] = "failing"
    last = _last_selftest(web)
    ready = all(checks[part] in {"ok", "busy"} for part in ("database", "index", "decoder"))
    protecting = ready and tutela.lists.protection().protecting
    failed = last is not None and not last.ok
    protecting = protecting and not failed
    return Ready(
        ready=ready,
        protecting=protecting,
        headline="PROTECTING" if protecting else "NOT PROTECTING",
        why=SELFTEST_FAILED if failed else "",
        checks=checks,
        selftest=_selftest_words(last),
        version=__version__,
    )


def _decoder_word(tutela: Tutela) -> Check:
    """``busy`` where uploads wait for a decoder: they are answered, late or by a deferred hold."""
    health = tutela.decoder.health()
    if not health.workers:
        return "failing"
    return "busy" if health.busy else "ok"


def _last_selftest(web: Web) -> SelftestResult | None:
    try:
        return web.tutela.selftest.last()
    except TutelaError:
        return None


def _selftest_words(last: SelftestResult | None) -> dict[str, Any]:
    if last is None:
        return {"ok": None, "at": None, "seconds_ago": None}
    ago = round((utc_now() - last.at).total_seconds())
    return {"ok": last.ok, "at": as_plain(last.at), "seconds_ago": ago}


def gauges(web: Web) -> Iterable[tuple[str, str, float]]:
    """What is read at scrape time."""
    tutela = web.tutela
    health = tutela.decoder.health()
    yield "tutela_protecting", "1 where an active list could block.", float(tutela.protecting)
    yield "tutela_index_signals", "Hashes in the index.", float(tutela.index.signals)
    yield "tutela_index_side_size", "Changes since the snapshot.", float(tutela.index.side_size)
    yield "tutela_index_healthy", "1 where look-ups are answered.", float(tutela.index.healthy)
    yield "tutela_decoder_workers", "Decoder processes.", float(health.workers)
    yield "tutela_decoder_waiting", "Uploads waiting for a decoder.", float(health.waiting)
    yield "tutela_decoder_wait_seconds", "Longest wait for a decoder now.", health.longest_wait
    yield "tutela_decoder_films", "Films being decoded.", float(health.films)
    yield "tutela_decoder_crashes", "Decoders that crashed.", float(health.crashes)
    yield "tutela_decoder_timeouts", "Decoders stopped for taking too long.", float(health.timeouts)
    yield "tutela_spool_memory_bytes", "Uploads in memory.", float(tutela.spool.memory_in_use)
    yield "tutela_writes_waiting", "Writes waiting for the database.", float(tutela.writer.waiting)
    failing = sum(state.failing_since is not None for state in tutela.duties.states.values())
    yield "tutela_duties_failing", "Background duties that fail.", float(failing)
    refreshed = tutela.duties.states.get("lists")
    if refreshed is not None and refreshed.last_ok is not None:
        lag = time.time() - refreshed.last_ok.timestamp()
        yield "tutela_lists_lag_seconds", "Since lists were last taken in.", lag
    last = _last_selftest(web)
    if last is not None:
        yield "tutela_selftest_ok", "1 where the last self-test passed.", float(last.ok)
        yield "tutela_selftest_time", "When it ran, Unix time.", last.at.timestamp()
    try:
        yield "tutela_deferred_uploads", "Uploads on deferred hold.", float(tutela.deferred.count())
    except TutelaError:
        return
