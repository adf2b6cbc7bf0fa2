"""Cases beside the rules: ``[[test]]`` tables in the same file, run by ``tutela policy test``.

A test gives findings, item, account and context in the shape that rules see, and what shall come
out. What it leaves out has the default of something harmless or, in findings, of a plain match
with a blocking list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tutela.core import (
    FaultKind,
    Finding,
    FindingKind,
    HashMode,
    HashType,
    ListMode,
    ListRef,
    Outcome,
    Purpose,
    Ruling,
    SignalRef,
    SignalState,
)

from .cel_types import WORDS
from .context import Context
from .decide import decide
from .facts import FIELDS
from .loading import Source
from .rules import RuleSet
from .toml_lines import Path

_TEST = ("name", "finding", "item", "account", "context", "expect")
_EXPECT = ("outcome", "rule", "deferred", "purpose", "would")
_KINDS = {"string": str, "bool": bool, "int": int, "strings": dict}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test of the file: what goes in, and the values of the ruling that it expects."""

    name: str
    line: int
    findings: tuple[Finding, ...]
    context: Context
    expect: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """How one test came out. ``wrong`` says each difference in words; empty: passed."""

    case: Case
    ruling: Ruling
    wrong: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether everything came out as expected."""
        return not self.wrong


def cases(rules: RuleSet) -> list[Case]:
    """The tests in the text of a policy. Raises ``InvalidPolicy`` pointing at the line."""
    source = Source(rules.source, rules.origin)
    known = {rule.name for rule in rules.rules}
    return [_case(source, path, table, known) for path, table in source.tables("test")]


def run(rules: RuleSet) -> list[CaseResult]:
    """Runs the tests beside the rules. No brake is counted and no allow list asked."""
    results: list[CaseResult] = []
    for case in cases(rules):
        ruling = decide(rules, case.findings, case.context)
        results.append(CaseResult(case=case, ruling=ruling, wrong=_compare(case, ruling)))
    return results


def _compare(case: Case, ruling: Ruling) -> tuple[str, ...]:
    got = {
        "outcome": ruling.outcome.value,
        "rule": ruling.rule,
        "deferred": ruling.deferred,
        "purpose": ruling.purpose.value if ruling.purpose else "",
        "would": {name: outcome.value for name, outcome in ruling.would},
    }
    return tuple(
        f"{key} is {got[key]!r}, expected {wanted!r}"
        for key, wanted in case.expect.items()
        if got[key] != wanted
    )


def _case(source: Source, path: Path, table: Mapping[str, Any], rules: set[str]) -> Case:
    source.keys(path, table, _TEST)
    for key in ("name", "expect"):
        if key not in table:
            raise source.at_key(path, f"the test has no '{key}'")
    given = source.take(path, table, "finding", list, [])
    findings: list[Finding] = []
    for number, values in enumerate(given):
        here: Path = (*path, "finding", number)
        if not isinstance(values, dict):
            raise source.at_value(here, "a finding is a table")
        _check(source, here, values, "finding", FIELDS["finding"])
        findings.append(_finding(values))
    return Case(
        name=source.take(path, table, "name", str),
        line=source.lines.of_key(path)[0],
        findings=tuple(findings),
        context=_context(source, path, table),
        expect=_expect(source, path, table, rules),
    )


def _context(source: Source, path: Path, table: Mapping[str, Any]) -> Context:
    plain: dict[str, Any] = {}
    for part in ("item", "account", "context"):
        values = source.take(path, table, part, dict, {})
        _check(source, (*path, part), values, part, FIELDS[part])
        plain[part] = values
    if plain["account"]:
        plain["account"] = {"known": True, **plain["account"]}
    return Context.from_plain(plain)


def _expect(
    source: Source, path: Path, table: Mapping[str, Any], rules: set[str]
) -> Mapping[str, Any]:
    here = (*path, "expect")
    expect: dict[str, Any] = source.take(path, table, "expect", dict)
    source.keys(here, expect, _EXPECT)
    if not expect:
        raise source.at_key(here, "the test expects nothing")
    for key, kind in (("outcome", str), ("rule", str), ("deferred", bool), ("purpose", str)):
        source.take(here, expect, key, kind)
    _word(source, (*here, "outcome"), expect.get("outcome"), {o.value for o in Outcome})
    _word(source, (*here, "purpose"), expect.get("purpose"), {p.value for p in Purpose} | {""})
    would = source.take(here, expect, "would", dict, {})
    for name, outcome in would.items():
        if name not in rules:
            raise source.at_key((*here, "would", name), f"there is no rule '{name}'")
        _word(source, (*here, "would", name), outcome, {o.value for o in Outcome})
    return expect


def _word(source: Source, path: Path, value: object, words: set[str] | frozenset[str]) -> None:
    if value is not None and value not in words:
        shown = ", ".join(sorted(word for word in words if word))
        raise source.at_value(path, f"this must be one of {shown}")


def _check(
    source: Source, path: Path, values: Mapping[str, Any], name: str, fields: Mapping[str, Any]
) -> None:
    """Refuses fields that rules do not know, and values that they could not hold."""
    source.keys(path, values, fields)
    for key, value in values.items():
        wanted = fields[key]
        if isinstance(wanted, Mapping):
            inner = source.take(path, values, key, dict)
            _check(source, (*path, key), inner, f"{name}.{key}", wanted)
        elif wanted == "double":
            if type(value) not in {int, float}:
                raise source.at_value((*path, key), f"'{key}' must be a number")
        else:
            source.take(path, values, key, _KINDS[wanted])
            if wanted == "strings" and not all(type(v) is str for v in value.values()):
                raise source.at_value((*path, key), f"'{key}' holds texts only")
        if f"{name}.{key}" in WORDS:
            _word(source, (*path, key), value, WORDS[f"{name}.{key}"])


def _finding(values: Mapping[str, Any]) -> Finding:
    kind = FindingKind(values.get("kind", "exact"))
    matches = kind in {FindingKind.EXACT, FindingKind.NEAR, FindingKind.VIDEO}
    listed, signal = values.get("list", {}), values.get("signal", {})
    near = kind is FindingKind.NEAR
    fault = values.get("fault") or (None if matches else _FAULTS[kind])
    return Finding(
        kind=kind,
        detector=values.get("detector", "test"),
        version=values.get("version", "1"),
        reason="A finding of a test.",
        where=values.get("where", ""),
        list=ListRef(
            id=listed.get("id", "lst_test"),
            name=listed.get("name", "test"),
            purpose=Purpose(listed.get("purpose") or "csam"),
            mode=ListMode(listed.get("mode", "block")),
            version=listed.get("version", 1),
            stale=listed.get("stale", False),
        )
        if matches
        else None,
        signal=SignalRef(
            id=signal.get("id", "sig_test"),
            upstream_id=signal.get("upstream_id", "test"),
            state=SignalState(signal.get("state") or "active"),
            ref=1,
            classification=signal.get("classification"),
        )
        if matches
        else None,
        hash_type=HashType(values["hash_type"]) if values.get("hash_type") else None,
        mode=HashMode(values["mode"]) if values.get("mode") else None,
        distance=values.get("distance", 0 if matches else None),
        distance_identical=values.get("distance_identical"),
        radius=values.get("radius"),
        quality=values.get("quality", 100 if near else None),
        view=values.get("view") or None,
        frame=values.get("frame"),
        time=values.get("time"),
        share=values.get("share", 1.0 if kind is FindingKind.VIDEO else None),
        fault=FaultKind(fault) if fault else None,
    )


_FAULTS = {FindingKind.UNREADABLE: FaultKind.DAMAGED, FindingKind.FAULT: FaultKind.UNAVAILABLE}
