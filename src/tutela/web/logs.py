"""Structured logs that hold no content: ids, outcomes, sizes and times only (invariant 11)."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from tutela.settings import LogSettings

SECRET_WORDS = ("authorization", "token", "secret", "password", "cookie", "identity")
"""A value under a name with one of these words in it is never written."""


def drop_content(
    logger: Any, method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Last guard before a line is written: bytes and secrets are replaced by their kind."""
    for name, value in event.items():
        if isinstance(value, (bytes, bytearray, memoryview)):
            event[name] = f"[{len(value)} bytes]"
        elif any(word in name.lower() for word in SECRET_WORDS):
            event[name] = "[not logged]"
    return event


def configure_logs(settings: LogSettings) -> None:
    """Set up structlog and the standard library's logging for this process, to stderr."""
    level = getattr(logging, settings.level.upper())
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    renderer: Any = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            drop_content,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=max(level, logging.WARNING), stream=sys.stderr, force=True)
