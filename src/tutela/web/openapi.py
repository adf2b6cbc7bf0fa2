"""The description of the API: what FastAPI derives, plus the two hot routes, plus every problem."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from tutela import __version__

from .auth.keys import Scope
from .facts import FACT_PREFIX, KNOWN
from .problems import MEDIA_TYPE, TITLES, TYPE_BASE
from .schemas import DecisionAnswer, HashAnswers, Problem

ABOUT = """Ask about uploads and hashes, edit lists, read decisions back.

Every error is an RFC 9457 problem that says what happened, what was kept and what to do next.
Keys are made by `tutela keys create` and sent as `Authorization: Bearer tutela_…`."""

_HEX = {"md5": 32, "sha1": 40, "sha256": 64, "pdq": 64}
_ALLOWED = {
    "decision_id": "dec_0199f0c2b1f07c3e9d0e2f4a5b6c7d8e",
    "outcome": "allow",
    "case_id": None,
    "reason": "accepted",
    "deferred": False,
    "protecting": True,
    "repeated": False,
    "milliseconds": {"receive": 0.9, "total": 9.1},
}
_BLOCKED = _ALLOWED | {
    "decision_id": "dec_0199f0c2b2a47d1e8c0b1d2e3f405162",
    "outcome": "block",
    "case_id": "case_0199f0c2b2a57aa0b6c7d8e9f0a1b2c3",
    "reason": "not_accepted",
}
_PROBLEM = {
    "type": TYPE_BASE + "invalid-input",
    "title": TITLES[400],
    "status": 400,
    "detail": "The client_ip is not an IP address.",
    "kept": "Nothing was kept.",
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document, made once."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title="Tutela", version=__version__, description=ABOUT, routes=app.routes
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for model in (DecisionAnswer, HashAnswers, Problem):
        found = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(found.pop("$defs", {}))
        schemas[model.__name__] = found
    schemas["HashItem"] = _hash_item()
    document["paths"]["/v1/uploads"] = {"post": _uploads()}
    document["paths"]["/v1/hashes"] = {"post": _hashes()}
    document["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "bearerFormat": "tutela_…"}
    }
    for path, methods in document["paths"].items():
        for operation in methods.values():
            _with_problems(path, operation)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    app.openapi_schema = document
    return document


OPEN = ("/healthz", "/readyz")
"""Paths that need no key."""


def _with_problems(path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    statuses = [400] if path in OPEN else [400, 401, 403, 404, 409, 429, 503]
    if "requestBody" in operation:
        statuses += [408, 413, 415, 507]
    if path not in OPEN:
        operation["security"] = [{"key": []}]
    for status in statuses:
        responses.setdefault(str(status), _problem(status))


def _problem(status: int) -> dict[str, Any]:
    said: dict[str, Any] = {
        "description": TITLES[status],
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": _PROBLEM | {"status": status, "title": TITLES[status]},
            }
        },
    }
    if status in (429, 503, 507):
        said["headers"] = {
            "Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}
        }
    return said


def _answer(schema: str, examples: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": "The decision.",
        "content": {
            "application/json": {
                "schema": {"$ref": f"#/components/schemas/{schema}"},
                "examples": {name: {"value": value} for name, value in examples.items()},
            }
        },
    }


def _idempotency() -> dict[str, Any]:
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same key with the same content gives the same answer and one case.",
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": 200,
            "pattern": "^[\\x21-\\x7e]+$",
        },
    }


def _uploads() -> dict[str, Any]:
    parameters = [_idempotency()]
    for name, meaning in KNOWN.items():
        parameters.append(
            {
                "name": "Tutela-" + "-".join(part.title() for part in name.split("_")),
                "in": "header",
                "description": meaning,
                "schema": _fact_schema(name),
            }
        )
    fields = {name: _fact_schema(name) | {"description": KNOWN[name]} for name in KNOWN}
    return {
        "tags": ["uploads"],
        "operationId": "check_upload",
        "summary": "Ask about an upload",
        "description": "The file as the body, or one file in multipart/form-data. Facts come as "
        f"headers or form fields; further ones as `{FACT_PREFIX}NAME` (header `Tutela-Fact-NAME`). "
        f"Needs the scope `{Scope.UPLOADS_WRITE.value}`.",
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {
                    "schema": {"type": "string", "format": "binary", "minLength": 1}
                },
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["file"],
                        "properties": {
                            "file": {"type": "string", "format": "binary", "minLength": 1}
                        }
                        | fields,
                    }
                },
            },
        },
        "responses": {"200": _answer("DecisionAnswer", {"allowed": _ALLOWED, "blocked": _BLOCKED})},
    }


def _hashes() -> dict[str, Any]:
    one = {"$ref": "#/components/schemas/HashItem"}
    many = {
        "type": "object",
        "additionalProperties": False,
        "required": ["items"],
        "properties": {"items": {"type": "array", "minItems": 1, "maxItems": 1000, "items": one}},
    }
    single = {"sha256": "00" * 32, "surface": "post"}
    return {
        "tags": ["uploads"],
        "operationId": "check_hashes",
        "summary": "Ask about hashes computed by the platform",
        "description": "One item, or `items` with up to `server.max_batch` of them. The bytes stay "
        f"on the platform. Needs the scope `{Scope.HASHES_CHECK.value}`.",
        "parameters": [_idempotency()],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"oneOf": [one, many]},
                    "examples": {
                        "one": {"value": single},
                        "batch": {"value": {"items": [single, {"pdq": "5a" * 32, "quality": 90}]}},
                    },
                }
            },
        },
        "responses": {
            "200": {
                "description": "The decision, or one for each item in their order.",
                "content": {
                    "application/json": {
                        "schema": {
                            "oneOf": [
                                {"$ref": "#/components/schemas/DecisionAnswer"},
                                {"$ref": "#/components/schemas/HashAnswers"},
                            ]
                        },
                        "examples": {
                            "one": {"value": _ALLOWED},
                            "batch": {"value": {"items": [_ALLOWED, _BLOCKED]}},
                        },
                    }
                },
            }
        },
    }


def _hash_item() -> dict[str, Any]:
    properties: dict[str, Any] = {
        name: {"type": "string", "pattern": f"^[0-9a-fA-F]{{{length}}}$"}
        for name, length in _HEX.items()
    }
    properties["quality"] = {"type": "integer", "minimum": 0, "maximum": 100}
    properties |= {name: _fact_schema(name) for name in KNOWN}
    properties["facts"] = {
        "type": "object",
        "maxProperties": 32,
        "propertyNames": {"pattern": "^[a-z0-9_]{1,50}$"},
        "additionalProperties": {"type": "string", "maxLength": 1024},
    }
    return {
        "type": "object",
        "title": "HashItem",
        "description": "One file's hashes and facts; at least one hash.",
        "additionalProperties": False,
        "properties": properties,
        "anyOf": [{"required": [name]} for name in _HEX],
        "examples": [{"pdq": "5a" * 32, "quality": 90, "surface": "avatar"}],
    }


def _fact_schema(name: str) -> dict[str, Any]:
    """What a fact may look like; headers and form fields carry text only."""
    bands = ["under_13", "13_15", "16_17", "adult", "unknown"]
    schemas: dict[str, dict[str, Any]] = {
        "account": {"type": "string", "minLength": 1, "maxLength": 256},
        "account_age_band": {"type": "string", "enum": bands},
        "account_age_source": {
            "type": "string",
            "enum": ["declared", "verified", "estimated", "unknown"],
        },
        "surface": {"type": "string", "minLength": 1, "maxLength": 64},
        "file_name": {"type": "string", "maxLength": 1024},
        "recipients_age_band": {"type": "string", "enum": bands},
        "client_time": {"type": "string", "format": "date-time"},
        "client_ip": {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]},
        "client_port": {"type": "integer", "minimum": 1, "maximum": 65535},
        "live": {"type": "boolean"},
    }
    return dict(schemas[name])
