"""Each invariant names the function that holds it and a test that attacks it; both exist."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "invariants.md").read_text()
LINE = re.compile(
    r"^(?P<number>\d+)\. (?P<rule>.+?)\n"
    r" {3,4}- Held by: `(?P<holder>[\w.]+)`\n"
    r" {3,4}- Attacked by: (?P<tests>.+?)$",
    re.MULTILINE,
)
INVARIANTS = list(LINE.finditer(TEXT))


def test_every_numbered_line_is_an_invariant_in_full() -> None:
    numbers = [int(n) for n in re.findall(r"^(\d+)\. ", TEXT, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [int(m["number"]) for m in INVARIANTS] == numbers
    assert len(numbers) >= 12


@pytest.mark.parametrize("match", INVARIANTS, ids=[m["number"] for m in INVARIANTS])
def test_the_function_named_exists(match: re.Match[str]) -> None:
    parts = match["holder"].split(".")
    for cut in range(len(parts), 0, -1):
        try:
            thing: object = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for name in parts[cut:]:
            thing = getattr(thing, name)
        assert callable(thing), f"{match['holder']} is no function"
        return
    pytest.fail(f"{match['holder']} does not exist")


@pytest.mark.parametrize("match", INVARIANTS, ids=[m["number"] for m in INVARIANTS])
def test_the_tests_named_exist(match: re.Match[str]) -> None:
    named = re.findall(r"`([^`]+)`", match["tests"])
    assert named
    for test in named:
        path, _, function = test.partition("::")
        tree = ast.parse((ROOT / path).read_text())
        found = {
            n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert function in found, f"{path} has no {function}"
