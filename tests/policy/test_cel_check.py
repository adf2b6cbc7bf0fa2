"""Conditions are refused at load for what could only fail later, at the character."""

from __future__ import annotations

from typing import Any

import cel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutela.policy.cel_check import CelError, check
from tutela.policy.facts import FIELDS

WRONG = [
    ("", "", "Expected a value but found the end"),
    ("finding.kind == 'extact'", "'extact'", "none of the words"),
    ("finding.list.mode in ['block', 'hld']", "'hld'", "none of the words"),
    ("'csam' == finding.list.purposes", "purposes", "no field 'purposes'"),
    ("finding.distanc < 3", "distanc", "no field 'distanc'"),
    ("finding.list.mode.x", "x", "a text has no fields"),
    ("nope == 1", "nope", "There is no 'nope'"),
    ("findings.exists(f, g.distance < 1)", "g.", "There is no 'g'"),
    ("findings.exists(f, f.distance < 'x')", "'x'", "a whole number is compared with a text"),
    ("finding.kind < 3", "3", "a text is compared with a whole number"),
    ("finding.stale", "stale", "no field"),
    ("finding.list.stale < true", "finding.list.stale", "does not order"),
    ("finding.distance", "finding.distance", "must be true or false"),
    ("!finding.distance", "finding", "After '!'"),
    ("-finding.kind == 'near'", "finding", "'-' does not take"),
    ("finding.distance && true", "finding", "Both sides"),
    ("true ? 1 : 'x'", "'x'", "One side of ':'"),
    ("1 ? true : false", "1", "Before '?'"),
    ("finding.distance + finding.share > 1.0", "+", "does not take"),
    ("'a' - 'b' == 'c'", "-", "does not take"),
    ("finding.kind in 'near'", "'near'", "there must be a list"),
    ("'x' in item.facts", "item.facts", "does not look into facts"),
    ("has(item.facts.x)", "has", "not needed"),
    ("item.facts[item.surface] == 'x'", "item.surface", "named by a text"),
    ("findings[0].kind == 'near'", "0", "not read by position"),
    ("item['surface'] == 'x'", "'surface'", "cannot be indexed"),
    ("item.file_name.matches('a(')", "'a('", "not a valid regular expression"),
    ("item.file_name.matches(item.surface)", "item.surface", "must be a text in quotes"),
    ("item.file_name.contains(1)", "1", "takes a text"),
    ("item.file_name.contains()", "contains", "takes one argument"),
    ("item.size.contains('1')", "item.size", "function of texts"),
    ("item.file_name.startWith('a')", "startWith", "no function 'startWith'"),
    ("lowerAscii('a') == 'a'", "lowerAscii", "no function 'lowerAscii'"),
    ("int('x') == 1", "int", "no function 'int'"),
    ("size(1) == 1", "1", "does not take"),
    ("size() == 1", "size", "takes one argument"),
    ("item.surface.exists(x, true)", "exists", "is for lists"),
    ("findings.exists(item, true)", "item", "has a meaning already"),
    ("findings.exists(1, true)", "1", "takes a name"),
    ("findings.exists(f, f.distance)", "f.distance", "takes a condition"),
    ("[1, 'a'] == [1]", "'a'", "mixes types"),
    ("'a\\q' == item.surface", "'a\\q'", "escape"),
    ("true and false", "and", "goes on"),
    ("true || $", "$", "not valid CEL"),
    ("(true", "", "Expected ')'"),
    ("finding.", "", "must be a name"),
    ("size(findings, 1) > 0", "size", "takes one argument"),
    ("{'a': 1} == 1", "{", "Expected a value"),
]


@pytest.mark.parametrize(("source", "place", "what"), WRONG)
def test_a_mistake_is_told_where_it_stands(source: str, place: str, what: str) -> None:
    with pytest.raises(CelError) as told:
        check(source, each="finding")
    assert what in told.value.what
    wanted = source.rindex(place) if place else len(source)
    if what in {"does not take", "There is no 'nope'"} or place in {"finding", "item", "1", "size"}:
        wanted = source.index(place)
    assert told.value.offset == wanted, told.value.what


RIGHT = [
    "true",
    "finding.kind == 'near' && finding.distance <= 20",
    "finding.share > 0 || finding.share < 1.5",
    "size(findings) > 3 && findings.filter(f, f.kind == 'exact').size() >= 1",
    "findings.map(f, f.list.name).exists(n, n.startsWith('x'))",
    "findings.exists_one(f, findings.exists(g, g.distance < f.distance))",
    "account.facts.trusted == 'yes' || item.facts['two words'] != ''",
    "item.file_name.matches('(?i)^img_[0-9]+\\\\.jpe?g$')",
    "finding.list.mode in ['block', 'hold'] ? finding.quality > 50 : false",
    "double(finding.distance) / 2.0 < 5.5 // a comment",
    "string(finding.distance) + 'x' == '3x'",
    "(finding.distance * 2 + 1) % 2 == 1 && -finding.distance < 1",
    "[1, 2,].exists(n, n == finding.frame)",
    "!(finding.view in ['mirror', 'trim'])",
    'r\'\\d\' == item.surface || """a\nb""" == item.surface',
    "finding.signal.classification == 'A1'",
]


@pytest.mark.parametrize("source", RIGHT)
def test_what_is_right_passes_and_runs(source: str, finding: Any) -> None:
    from tutela.policy.facts import finding_facts

    checked = check(source, each="finding")
    facts = finding_facts(finding())
    empty = dict.fromkeys(checked.facts, "")
    variables = {
        "finding": facts,
        "findings": [facts],
        "item": {**_defaults(FIELDS["item"]), "facts": empty},
        "account": {**_defaults(FIELDS["account"]), "facts": empty},
        "context": _defaults(FIELDS["context"]),
    }
    assert isinstance(cel.compile(source).execute(variables), bool)


def _defaults(fields: dict[str, Any]) -> dict[str, Any]:
    values = {"string": "", "int": 0, "bool": False, "double": 0.0, "strings": {}}
    return {name: values[kind] for name, kind in fields.items()}


def test_it_says_what_a_condition_reads() -> None:
    checked = check("findings.exists(f, true) && item.facts.a == account.facts['b']", each="item")
    assert checked.reads_findings
    assert checked.facts == {"a", "b"}
    assert not check("finding.distance == 1", each="finding").reads_findings


def test_a_rule_for_the_item_has_no_finding() -> None:
    with pytest.raises(CelError, match="There is no 'finding'") as told:
        check("finding.kind == 'near'", each="item")
    assert "each" in told.value.next_step


def test_too_much_is_refused() -> None:
    for source in ("(" * 60 + "true" + ")" * 60, "!" * 60 + "true", "true || " * 3000 + "true"):
        with pytest.raises(CelError):
            check(source, each="finding")


WORDS = """finding findings item account . . ( ) [ ] , + - * / % == != < && || ! ? : in 'block' 'x'
1 2.5 kind mode list distance facts exists all filter map size f f. true false null has matches //
" ' \\ $ é"""
TOKENS = st.sampled_from([*WORDS.split(), "\n"])


@given(st.lists(TOKENS, max_size=14).map(" ".join) | st.text(max_size=30))
def test_anything_is_checked_or_refused_and_what_passes_compiles(source: str) -> None:
    try:
        check(source, each="finding")
    except CelError as error:
        offset = error.offset
    else:
        cel.compile(source)
        return
    assert 0 <= offset <= len(source)


def test_every_field_that_rules_can_name_is_there(finding: Any) -> None:
    from tutela.policy import Context
    from tutela.policy.facts import finding_facts

    plain = {"finding": finding_facts(finding()), **Context().plain()}

    def names(fields: dict[str, Any]) -> Any:
        return {k: names(v) if isinstance(v, dict) else None for k, v in fields.items()}

    for root, fields in FIELDS.items():
        got, wanted = names(plain[root]), names(fields)
        got.pop("facts", None)
        wanted.pop("facts", None)
        assert got == wanted, root
