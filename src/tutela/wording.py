"""Wrong settings told in plain words: which one, what it must be, what was probably meant.

Never the value: it may be a secret.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

OTHER_NAMES = frozenset({"TUTELA_CONFIG", "TUTELA_DEBUG", "TUTELA_KEY", "TUTELA_URL"})
"""Environment variables of ours that set no setting: the settings file, where faults are shown
whole, and what the examples and clients go by."""

_LEFT_ALONE = re.compile(
    r"TUTELA_TEST_\w+"
    r"|TUTELA_SERVICE_(HOST|PORT)(_\w+)?"
    r"|TUTELA_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?"
)
"""The tests' own, and those that Kubernetes sets for a service named ``tutela``
(https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables)."""
_LINK = re.compile(r"(tcp|udp|sctp)://")

_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def unknown_variables(
    environment: Mapping[str, str], known: Iterable[str], open_ended: tuple[str, ...]
) -> list[str]:
    """A sentence's part for each ``TUTELA_`` variable that sets nothing.

    ``known`` are the names that set something, ``open_ended`` the beginnings of names that may go
    on as they like.
    """
    names = sorted({*known, *OTHER_NAMES})
    return [
        f"{name}: there is no such setting{_meant(name.upper(), names)}"
        for name in sorted(environment)
        if name.upper().startswith("TUTELA_")
        and name.upper() not in names
        and not name.upper().startswith(open_ended)
        and not _LEFT_ALONE.fullmatch(name.upper())
        and not (name == "TUTELA_PORT" and _LINK.match(environment[name]))
    ]


def wrong_setting(problem: Mapping[str, Any], siblings: Iterable[str]) -> str:
    """What is wrong with one setting. ``problem`` is one of pydantic's ``ValidationError.errors``,
    ``siblings`` the names that stand beside it."""
    place = ".".join(str(part) for part in problem["loc"])
    kind = str(problem["type"])
    facts = problem.get("ctx", {})
    if kind == "extra_forbidden":
        return f"{place}: there is no such setting{_meant(str(problem['loc'][-1]), siblings)}"
    if kind in _BOUNDS:
        fact, word = _BOUNDS[kind]
        return f"{place} must be {word} {facts[fact]:g}"
    if kind == "literal_error":
        return f"{place} must be {facts['expected']}"
    return f"{place} {_must_be(kind)}"


def _must_be(kind: str) -> str:
    for beginning, words in (
        ("int_", "must be a whole number"),
        ("float_", "must be a number"),
        ("finite_", "must be a number"),
        ("bool_", "must be true or false"),
        ("string_", "must be a text"),
        ("path_", "must be a path"),
        ("list_", "must be a list"),
        ("dict_", "must be a table of names and values"),
        ("model_", "must be a table of settings"),
    ):
        if kind.startswith(beginning):
            return words
    return "cannot be used"


def _meant(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1)
    return f" (did you mean {near[0]}?)" if near else ""
