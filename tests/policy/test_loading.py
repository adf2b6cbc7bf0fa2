"""A policy file is read whole, and every mistake is shown by line and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tutela.errors import InvalidPolicy
from tutela.policy import Policy, load_rules
from tutela.policy.loading import parse
from tutela.policy.testing import cases

GOOD = """\
name = "mine"

[[rule]]
name = "one"
when = 'finding.kind == "exact"'
outcome = "block"
"""

WRONG = [
    ("name = ", 1, 8, "not valid TOML"),
    ('name = "a"\nname = "b"', 2, 11, "not valid TOML"),
    ("[[rule]]\nname = 'x", 2, 10, "not valid TOML"),
    ("rule = 3", 1, 1, "[[rule]]"),
    ("nome = 'x'", 1, 1, "no key 'nome'"),
    ("name = 'two words'", 1, 9, "a name is"),
    ("name = 5", 1, 8, "must be a text"),
    (GOOD.replace("outcome", "outcom"), 6, 1, "no key 'outcom'"),
    (GOOD.replace('outcome = "block"', ""), 3, 1, "has no 'outcome'"),
    (GOOD.replace('"block"', '"blok"'), 6, 12, "one of allow, hold, block"),
    (GOOD.replace('"block"', "true"), 6, 11, "must be a text"),
    (GOOD.replace("exact", "exakt"), 5, 25, "'exakt' is none of the words"),
    (GOOD.replace("finding.kind", "finding.knd"), 5, 17, "no field 'knd'"),
    (GOOD + GOOD.partition("\n\n")[2], 8, 9, "named 'one' already"),
    (GOOD + "brake = { per_hour = 0 }", 7, 22, "at least 1"),
    (GOOD + "brake = { per_day = 1 }", 7, 11, "no key 'per_day'"),
    (GOOD + "brake = { per_hour = true }", 7, 22, "a whole number"),
    (GOOD + "brake.per_hour = 'x'", 7, 19, "a whole number"),
    (GOOD + "each = 'items'", 7, 9, "one of finding, item"),
    (GOOD + "notify = ['pager']", 7, 1, "no key 'notify'"),
    (GOOD + "severity = 'über'", 7, 13, "a name is"),
    (GOOD + "case = 1", 7, 8, "true or false"),
    (GOOD + "opaque_reason = 'x'", 7, 1, "no key 'opaque_reason'"),
    (
        "[[rule]]\nname = 'a'\noutcome = 'allow'\neach = 'item'\nwhen = 'true'",
        3,
        12,
        "holds or blocks",
    ),
    (
        'name = "x"\r\n[[rule]]\r\nname = "a"\r\noutcome = "hold"\r\nwhen = """\r\ntrue\r\n'
        '&& finding.nope"""\r\n',
        7,
        12,
        "no field 'nope'",
    ),
    (
        '[[rule]]\nname = "a"\noutcome = "hold"\nwhen = "finding.kind == \\"near\\" && nope"',
        4,
        37,
        "There is no 'nope'",
    ),
    (
        "[[rule]]\nname = 'a'\noutcome = 'hold'\n# c\n  when   =   '''\n\ntrue &&\n   1'''",
        8,
        4,
        "must be true or false",
    ),
]


@pytest.mark.parametrize(("text", "line", "column", "what"), WRONG)
def test_a_mistake_is_shown_at_its_line_and_column(
    text: str, line: int, column: int, what: str
) -> None:
    with pytest.raises(InvalidPolicy) as told:
        parse(text, origin="mine.toml")
    error = told.value
    assert what in error.what
    assert (error.line, error.column) == (line, column), error.what
    assert f"mine.toml, line {line}, column {column}: " in error.what
    assert error.kept == "The policy in force stays in force."


def test_a_good_file_is_read() -> None:
    text = GOOD + (
        "each = 'finding'\nreason = 'Because.'\nseverity = 'high'\nqueue = 'urgent'\n"
        "case = true\ndry_run = true\n"
        "brake = { per_hour = 5, per_signal_per_hour = 2 }\n"
    )
    rules = parse(text, origin="mine.toml")
    (rule,) = rules.rules
    assert (rule.name, rule.outcome, rule.each, rule.line) == ("one", "block", "finding", 3)
    assert (rule.severity, rule.queue) == ("high", "urgent")
    assert (rule.dry_run, rule.brake.per_hour, rule.brake.per_signal_per_hour) == (True, 5, 2)
    assert rules.version.startswith("mine@")


def test_the_version_names_exactly_the_text() -> None:
    one = parse(GOOD, origin="a")
    assert one.version == parse(GOOD, origin="b").version
    assert one.version != parse(GOOD + "# changed", origin="a").version


def test_files_and_packaged_policies_are_found_by_name(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(GOOD)
    assert Policy.load(file).rules.name == "mine"
    assert Policy.load(str(file)).rules.origin == str(file)
    assert Policy.load("").version == Policy.load(None).version == Policy.default().version
    assert Policy.load("strict").rules.name == "strict"
    with pytest.raises(InvalidPolicy, match="cannot be read"):
        load_rules(tmp_path / "missing.toml")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidPolicy, match="not UTF-8"):
        load_rules(file)


def test_a_file_too_large_or_with_too_many_rules_is_refused() -> None:
    with pytest.raises(InvalidPolicy, match="larger than"):
        parse("#" * (1 << 20) + "\n", origin="x")
    rule = "[[rule]]\nname = 'r{}'\nwhen = 'true'\noutcome = 'hold'\n"
    with pytest.raises(InvalidPolicy, match="more than 500 rules"):
        parse("".join(rule.format(n) for n in range(501)), origin="x")
    with pytest.raises(InvalidPolicy, match="nested too deeply"):
        parse("name = " + "[" * 5000 + "]" * 5000, origin="x")


TESTS_WRONG = [
    ("[[test]]\nexpect = {outcome = 'block'}", 1, 1, "has no 'name'"),
    ("[[test]]\nname = 'a'", 1, 1, "has no 'expect'"),
    ("[[test]]\nname = 'a'\nexpect = {}", 3, 1, "expects nothing"),
    ("[[test]]\nname = 'a'\nexpect = {outcome = 'blok'}", 3, 22, "one of allow, block, hold"),
    ("[[test]]\nname = 'a'\nexpect = {outcum = 'x'}", 3, 11, "no key 'outcum'"),
    ("[[test]]\nname = 'a'\nexpect = {would = {x = 'hold'}}", 3, 20, "no rule 'x'"),
    ("[[test]]\nname = 'a'\nfinding = [{knd = 1}]\nexpect = {rule = 'a'}", 3, 13, "no key 'knd'"),
    ("[[test]]\nname = 'a'\nfinding = [{kind = 'nar'}]\nexpect = {rule = 'a'}", 3, 21, "one of"),
    ("[[test]]\nname = 'a'\nfinding = [1]\nexpect = {rule = 'a'}", 3, 12, "is a table"),
    ("[[test]]\nname = 'a'\naccount.facts = {a = 1}\nexpect = {rule = 'a'}", 3, 17, "texts only"),
    ("[[test]]\nname = 'a'\nfinding = [{share = 'x'}]\nexpect = {rule = 'a'}", 3, 22, "a number"),
    (
        "[[test]]\nname = 'a'\nfinding = [{list = {mode = 'x'}}]\nexpect = {rule = 'a'}",
        3,
        29,
        "one",
    ),
]


@pytest.mark.parametrize(("text", "line", "column", "what"), TESTS_WRONG)
def test_a_mistake_in_a_test_is_shown_too(text: str, line: int, column: int, what: str) -> None:
    with pytest.raises(InvalidPolicy) as told:
        cases(parse(text, origin="mine.toml"))
    assert what in told.value.what
    assert (told.value.line, told.value.column) == (line, column), told.value.what


def test_errors_never_carry_anything_but_ours(rules: Any) -> None:
    for text in (
        "\x00",
        "a\x00b = 1",
        "\ud800",
        "[[rule",
        "[[rule]]\n[rule]",
        "rule.x = 1\n[[rule]]",
    ):
        with pytest.raises(InvalidPolicy):
            rules(text)
