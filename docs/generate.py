"""Write the generated reference: settings, HTTP endpoints, permissions, errors, commands, words.

``python docs/generate.py`` writes ``docs/reference/*.md``; with ``--check`` it only compares and
exits 1, naming the pages that are out of date. The tests run the check, so that the reference
cannot fall behind the code.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

HERE = Path(__file__).parent
REFERENCE = HERE / "reference"
NOTE = "<!-- Written by docs/generate.py from the code. Do not edit by hand. -->\n\n"


def cell(text: object) -> str:
    """Text made safe for a Markdown table cell, on one line."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(head: list[str], rows: list[list[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def summary(thing: object) -> str:
    """The whole docstring as one paragraph."""
    return " ".join((inspect.getdoc(thing) or "").split())


# --- settings -------------------------------------------------------------------------------


def _shown_default(value: Any) -> str:
    if value is PydanticUndefined:
        return "(required)"
    if isinstance(value, SecretStr):
        return '""'
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value).replace("'", '"') if isinstance(value, (str, list, dict)) else str(value)


def settings_page() -> str:
    """Every setting with its type, default, environment variable and meaning."""
    from tutela.settings import Settings

    out = [
        "# Settings\n",
        "Settings come from `tutela.toml` in the data folder (or the file that `TUTELA_CONFIG`",
        "names), and from the environment, which outranks the file. Nothing must be set.\n",
    ]
    top: list[list[object]] = []
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            out.append(f"\n## `[{name}]`\n")
            out.append(summary(field.annotation) + "\n")
            rows: list[list[object]] = []
            for inner, spec in field.annotation.model_fields.items():
                default = spec.get_default(call_default_factory=True)
                rows.append(
                    [
                        f"`{inner}`",
                        f"`{_shown_default(default)}`",
                        f"`TUTELA_{name.upper()}__{inner.upper()}`",
                        (spec.description or "") + _allowed(spec),
                    ]
                )
            out.append(table(["Setting", "Default", "Environment", "Meaning"], rows))
        else:
            default = _shown_default(str(field.get_default()))
            top.append([f"`{name}`", f"`{default}`", f"`TUTELA_{name.upper()}`", field.description])
    out.insert(3, table(["Setting", "Default", "Environment", "Meaning"], top))
    return "\n".join(out)


# --- errors ---------------------------------------------------------------------------------


def _error_classes() -> list[type]:
    from tutela import errors

    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.TutelaError)
    ]


def errors_page() -> str:
    """The error tree and a row for each error."""
    from tutela import errors

    rows: list[list[object]] = [
        [f"`{c.__name__}`", f"`{c.code}`", c.status, summary(c)]  # type: ignore[attr-defined]
        for c in _error_classes()
    ]
    rows.append(["—", "`method-not-allowed`", 405, "The path is there, but not by this method."])
    return (
        "# Errors\n\n"
        "Over HTTP every error is a problem document (RFC 9457) whose `type` ends in the code\n"
        "below; `detail` says what happened, `kept` what was kept and `next_step` what to do.\n\n"
        f"```text\n{inspect.getdoc(errors)}\n```\n\n"
        + table(["Error", "Code", "HTTP status", "Meaning"], rows)
    )


def _allowed(spec: Any) -> str:
    """The values that a setting of fixed words can have."""
    if get_origin(spec.annotation) is not Literal:
        return ""
    return " One of " + ", ".join(f"`{word}`" for word in get_args(spec.annotation)) + "."


# --- HTTP -----------------------------------------------------------------------------------


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in sorted(document["paths"].items()):
        for method, operation in item.items():
            if method in {"get", "post", "put", "patch", "delete"}:
                yield method.upper(), path, operation


def _described() -> tuple[dict[str, Any], dict[tuple[str, str], str]]:
    """The OpenAPI document, and the scope that each operation asks for."""
    from fastapi import FastAPI
    from fastapi.routing import APIRoute

    from tutela.web.api import decisions, lists, status
    from tutela.web.auth.keys import Scope
    from tutela.web.openapi import describe
    from tutela.web.state import Needs

    app = FastAPI()
    scopes = {
        ("POST", "/v1/uploads"): Scope.UPLOADS_WRITE.value,
        ("POST", "/v1/hashes"): Scope.HASHES_CHECK.value,
    }
    for router in (status.router, lists.router, decisions.router):
        app.include_router(router)
        for route in router.routes:
            if isinstance(route, APIRoute):
                for needed in route.dependant.dependencies:
                    if isinstance(needed.call, Needs):
                        for method in route.methods:
                            scopes[method, route.path] = needed.call.scope.value
    return describe(app), scopes


def _member_docs(thing: type) -> dict[str, str]:
    """The docstrings that stand under the members of an enumeration."""
    body = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for before, after in pairwise(body.body):
        if (
            isinstance(before, ast.Assign)
            and isinstance(before.targets[0], ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            found[before.targets[0].id] = str(after.value.value)
    return found


def _yes(value: object) -> str:
    return "yes" if value else "no"


def http_page() -> str:
    """Every endpoint with its scope, parameters and answers, from the OpenAPI document."""
    document, scopes = _described()
    out = [
        "# HTTP API\n",
        "The running server describes itself at `/openapi.json`. Send the key as",
        "`Authorization: Bearer …`.\n",
    ]
    for method, path, operation in _operations(document):
        out.append(f"\n## `{method} {path}`\n")
        out.append(operation.get("summary", "") + "\n")
        if operation.get("description"):
            out.append(operation["description"].strip() + "\n")
        scope = scopes.get((method, path))
        any_key = "Needs a key, of any scope.\n" if operation.get("security") else "Needs no key.\n"
        out.append(f"Scope: `{scope}`\n" if scope else any_key)
        parameters: list[list[object]] = [
            [
                f"`{p['name']}`",
                p["in"],
                "yes" if p.get("required") else "no",
                p.get("description", ""),
            ]
            for p in operation.get("parameters", [])
        ]
        if parameters:
            out.append(table(["Parameter", "In", "Required", "Meaning"], parameters))
        answers: list[list[object]] = [
            [status, answer.get("description", "")]
            for status, answer in operation.get("responses", {}).items()
        ]
        out.append(table(["Status", "Meaning"], answers))
    return "\n".join(out)


def permissions_page() -> str:
    """Every scope that a key can have."""
    from tutela.web.auth.keys import Scope

    meaning = _member_docs(Scope)
    rows: list[list[object]] = [[f"`{s.value}`", meaning[s.name]] for s in Scope]
    return (
        "# Permissions\n\nA key has a set of scopes; a request needs the one named with its "
        "endpoint.\n\n" + table(["Scope", "Lets its holder"], rows)
    )


# --- commands -------------------------------------------------------------------------------


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name in sorted(getattr(command, "commands", {})):
        inner = command.commands[name]
        if getattr(inner, "commands", None):
            yield from _commands(inner, f"{path} {name}")
        else:
            yield f"{path} {name}", inner


def cli_page() -> str:
    """Every command with its arguments and options."""
    import typer.main

    from tutela.cli import app

    out = ["# Command line\n", "`tutela COMMAND --help` says the same.\n"]
    for path, command in _commands(typer.main.get_command(app), "tutela"):
        out.append(f"\n## `{path}`\n")
        out.append(" ".join((command.help or "").split()) + "\n")
        rows: list[list[object]] = []
        for parameter in command.params:
            names = getattr(parameter, "opts", [parameter.name])
            shown = ", ".join(f"`{n}`" for n in names if n != "--help")
            if not shown:
                continue
            label = (
                shown if parameter.param_type_name == "option" else f"`{parameter.name.upper()}`"
            )
            rows.append([label, getattr(parameter, "help", "") or ""])
        if rows:
            out.append(table(["Argument or option", "Meaning"], rows))
    return "\n".join(out)


# --- words ----------------------------------------------------------------------------------


def words_page() -> str:
    """The types of the core: fields of values and members of enumerations."""
    from tutela import core

    out = ["# The words\n", "The values that Tutela speaks in (`tutela.core`).\n"]
    for name in sorted(core.__all__):
        thing = getattr(core, name)
        if not isinstance(thing, type):
            continue
        out.append(f"\n## `{name}`\n")
        out.append(summary(thing) + "\n")
        if issubclass(thing, Enum):
            out.append(", ".join(f"`{member.value}`" for member in thing) + "\n")
        elif hasattr(thing, "__dataclass_fields__"):
            fields: list[list[object]] = [
                [f"`{field.name}`", f"`{field.type}`"]
                for field in thing.__dataclass_fields__.values()
            ]
            out.append(table(["Field", "Type"], fields))
    return "\n".join(out)


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "http.md": http_page,
    "permissions.md": permissions_page,
    "cli.md": cli_page,
    "words.md": words_page,
}


def main() -> int:
    """Write or check every page. Returns the exit code."""
    stale = []
    REFERENCE.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        text = NOTE + make().rstrip() + "\n"
        path = REFERENCE / name
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text)
    if "--check" in sys.argv and stale:
        print(f"Out of date: {', '.join(stale)}. Run `python docs/generate.py`.")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
