"""The how-to's examples hold, and it names everything that a rule can say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tutela.errors import InvalidPolicy
from tutela.policy.cel_types import FUNCTIONS, MACROS, METHODS
from tutela.policy.facts import FIELDS
from tutela.policy.loading import _RULE, parse
from tutela.policy.testing import run

TEXT = (Path(__file__).resolve().parents[2] / "docs/how-to/policy.md").read_text()
EXAMPLES = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


def test_the_example_policy_passes_its_example_test() -> None:
    _, rules, test = EXAMPLES
    (result,) = run(parse(rules + test, origin="our-forum.toml"))
    assert result.passed, result.wrong


def test_the_example_of_a_mistake_is_told_word_for_word() -> None:
    wrong = EXAMPLES[1].replace('"near"', '"exakt"')
    with pytest.raises(InvalidPolicy) as told:
        parse(wrong, origin="our-forum.toml")
    assert told.value.spoken() in " ".join(TEXT.split())


def test_every_field_function_and_key_is_named() -> None:
    def names(fields: dict[str, object]) -> list[str]:
        found: list[str] = []
        for name, what in fields.items():
            found.append(name)
            found += names(what) if isinstance(what, dict) else []
        return found

    named = set(re.findall(r"`([a-z_A-Z]+)`", TEXT))
    wanted = {*names(FIELDS), "findings", *FUNCTIONS, *METHODS, *MACROS, *_RULE}
    assert wanted - named == set()
