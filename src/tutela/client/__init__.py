"""The Python client of a Tutela server: ``Client`` (blocking) and ``AsyncClient``.

It stands alone: it imports httpx and nothing of the server.

    from tutela.client import Client

    with Client("http://127.0.0.1:8780", key) as tutela:
        answer = tutela.upload(path, account="u-123", surface="post")
        if not answer.allowed:
            ...
"""

from __future__ import annotations

from .answers import Answer, HashQuery, ServerState
from .errors import InvalidInput, Refused, TutelaClientError, Unreachable
from .http import AsyncClient, Client

__all__ = [
    "Answer",
    "AsyncClient",
    "Client",
    "HashQuery",
    "InvalidInput",
    "Refused",
    "ServerState",
    "TutelaClientError",
    "Unreachable",
]
