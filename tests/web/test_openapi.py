"""The description of the API is true: Schemathesis attacks every route by it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import BaseSchema, GenerationMode
from schemathesis.specs.openapi.checks import (
    ensure_resource_availability,
    ignored_auth,
    positive_data_acceptance,
)
from tests.house import Server

from .test_permissions import MADE_UP, ROUTES

UNFIT = [positive_data_acceptance, ignored_auth, ensure_resource_availability]
"""Checks that do not fit: lists that are not there are 404, and keys have tests of their own."""

SETTINGS = settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)


OPERATIONS = [
    f"{method} {path.replace('known', '{name}').replace(MADE_UP, '{decision_id}')}"
    for method, path, _, _ in ROUTES
] + ["GET /healthz", "GET /readyz"]


@pytest.fixture(scope="session")
def token(server: Server) -> str:
    """A key that may do everything."""
    return server.key()


@pytest.fixture(scope="session")
def api(server: Server) -> BaseSchema:
    """The description, as the server gives it."""
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_route_answers_as_described(
    api: BaseSchema, server: Server, token: str, operation: str
) -> None:
    """No 500, no undescribed status, media type, header or body, whatever comes in; what does not
    fit the description is refused."""
    method, path = operation.split(" ")

    @SETTINGS
    @given(case=api[path][method].as_strategy(generation_mode=GenerationMode.POSITIVE))
    def fitting(case: Any) -> None:
        attack(case)

    @SETTINGS
    @given(case=api[path][method].as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def unfit(case: Any) -> None:
        attack(case)

    def attack(case: Any) -> None:
        case.call_and_validate(
            base_url=server.url,
            headers={"Authorization": f"Bearer {token}"},
            excluded_checks=UNFIT,
        )

    fitting()
    if method != "GET" or "{" in path:
        unfit()


def test_the_description_is_complete(server: Server) -> None:
    """Every operation has words, a key or a reason to need none, problems, and examples."""
    document = httpx.get(f"{server.url}/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name = f"{method} {path}"
            assert operation.get("summary"), name
            assert operation.get("description"), name
            assert path in ("/healthz", "/readyz") or operation["security"] == [{"key": []}], name
            problem = operation["responses"]["400"]["content"]["application/problem+json"]
            assert problem["example"]["status"] == 400, name
    for path in ("/v1/uploads", "/v1/hashes"):
        content = document["paths"][path]["post"]["responses"]["200"]["content"]
        assert len(content["application/json"]["examples"]) == 2
