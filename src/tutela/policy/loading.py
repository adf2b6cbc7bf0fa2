"""Reads a policy file. Every error points at the line and column that must be changed."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

import cel

from tutela.core import Outcome
from tutela.errors import InvalidPolicy

from .cel_check import CelError, Checked, check
from .rules import Brake, Rule, RuleSet
from .toml_lines import Lines, Path, places

MAX_RULES = 500
"""Most rules in one file."""
MAX_BYTES = 1 << 20
"""Largest policy file."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TOP = ("name", "rule", "test")
_RULE = (
    "name",
    "when",
    "outcome",
    "each",
    "reason",
    "severity",
    "queue",
    "case",
    "dry_run",
    "brake",
)
_BRAKE = ("per_hour", "per_signal_per_hour")


class Source:
    """A policy text with its values and their places; ``fail`` raises at a place."""

    def __init__(self, text: str, origin: str) -> None:
        self.text = text
        self.origin = origin
        if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
            raise InvalidPolicy(f"{origin}: the policy is larger than {MAX_BYTES} bytes.")
        try:
            self.values: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            line, column, what = _toml_place(str(error), text)
            raise self.error(f"not valid TOML: {what}", line, column) from None
        except RecursionError:
            raise self.error("nested too deeply", 1, 1) from None
        self.lines: Lines = places(text.replace("\r\n", "\n"))

    def error(self, what: str, line: int, column: int, next_step: str = "") -> InvalidPolicy:
        """An error that names the file, line and column."""
        return InvalidPolicy(
            f"{self.origin}, line {line}, column {column}: {what.rstrip('.')}.",
            line=line,
            column=column,
            next_step=next_step,
        )

    def at_key(self, path: Path, what: str, next_step: str = "") -> InvalidPolicy:
        """An error at a key or table."""
        return self.error(what, *self.lines.of_key(path), next_step)

    def at_value(
        self, path: Path, what: str, next_step: str = "", character: int = 0
    ) -> InvalidPolicy:
        """An error at a value, or at a character of it."""
        return self.error(what, *self.lines.of_value(path, character), next_step)

    def keys(self, path: Path, table: Mapping[str, Any], known: Iterable[str]) -> None:
        """Refuses keys that are not known, naming the one that was probably meant."""
        known = tuple(known)
        for key in table:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                step = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(known)}."
                raise self.at_key((*path, key), f"there is no key '{key}' here", step)

    def tables(self, name: str) -> list[tuple[Path, dict[str, Any]]]:
        """The tables of an array of tables such as ``[[rule]]``."""
        found = self.values.get(name, [])
        if not isinstance(found, list) or not all(isinstance(t, dict) for t in found):
            raise self.at_key((name,), f"'{name}' must be written as [[{name}]] tables")
        return [((name, number), table) for number, table in enumerate(found)]

    def take(
        self, path: Path, table: Mapping[str, Any], key: str, kind: type, default: Any = None
    ) -> Any:
        """A value of the right type, or the default. ``bool`` is no ``int`` here."""
        if key not in table:
            return default
        value = table[key]
        if type(value) is not kind:
            spoken = {str: "a text", bool: "true or false", int: "a whole number"}
            spoken |= {dict: "a table", list: "a list"}
            raise self.at_value((*path, key), f"'{key}' must be {spoken[kind]}")
        return value


def parse(text: str, *, origin: str) -> RuleSet:
    """The rules of a policy text. ``origin`` is the file's name, for messages.

    Raises ``InvalidPolicy`` at the first mistake, with line and column.
    """
    source = Source(text, origin)
    source.keys((), source.values, _TOP)
    name = source.take((), source.values, "name", str, "policy")
    if not _NAME.fullmatch(name):
        raise source.at_value(("name",), _NAME_RULE)
    tables = source.tables("rule")
    if len(tables) > MAX_RULES:
        raise source.at_key(tables[MAX_RULES][0], f"there are more than {MAX_RULES} rules")
    rules: list[Rule] = []
    for path, table in tables:
        rule = _rule(source, path, table)
        if any(rule.name == other.name for other in rules):
            raise source.at_value((*path, "name"), f"a rule is named '{rule.name}' already")
        rules.append(rule)
    return RuleSet.of(name, text, origin, tuple(rules))


_NAME_RULE = "a name is 1 to 64 letters, digits, dots, hyphens and underscores"


def _rule(source: Source, path: Path, table: Mapping[str, Any]) -> Rule:
    source.keys(path, table, _RULE)
    for key in ("name", "when", "outcome"):
        if key not in table:
            raise source.at_key(path, f"the rule has no '{key}'")
    name = source.take(path, table, "name", str)
    if not _NAME.fullmatch(name):
        raise source.at_value((*path, "name"), _NAME_RULE)
    each = _one_of(source, path, table, "each", ("finding", "item"), "finding")
    outcome = Outcome(
        _one_of(source, path, table, "outcome", [o.value for o in Outcome], Outcome.HOLD)
    )
    if each == "item" and outcome is Outcome.ALLOW:
        raise source.at_value(
            (*path, "outcome"), "a rule for the whole item holds or blocks, it does not allow"
        )
    when = source.take(path, table, "when", str)
    checked = _condition(source, (*path, "when"), when, each)
    return Rule(
        name=name,
        when=when,
        outcome=outcome,
        each=each,
        reason=source.take(path, table, "reason", str, ""),
        severity=_word(source, path, table, "severity"),
        queue=_word(source, path, table, "queue"),
        case=source.take(path, table, "case", bool, True),
        dry_run=source.take(path, table, "dry_run", bool, False),
        brake=_brake(source, path, table),
        line=source.lines.of_key(path)[0],
        test=cel.compile(when).execute,
        reads_findings=checked.reads_findings,
        facts=checked.facts,
    )


def _condition(source: Source, path: Path, when: str, each: str) -> Checked:
    try:
        return check(when, each=each)
    except CelError as error:
        raise source.at_value(path, error.what, error.next_step, error.offset) from None


def _one_of(
    source: Source,
    path: Path,
    table: Mapping[str, Any],
    key: str,
    words: Iterable[str],
    default: str,
) -> str:
    value: str = source.take(path, table, key, str, default)
    if value not in words:
        raise source.at_value((*path, key), f"'{key}' must be one of {', '.join(words)}")
    return value


def _word(source: Source, path: Path, table: Mapping[str, Any], key: str) -> str | None:
    value: str | None = source.take(path, table, key, str)
    if value is not None and not _NAME.fullmatch(value):
        raise source.at_value((*path, key), _NAME_RULE)
    return value


def _brake(source: Source, path: Path, table: Mapping[str, Any]) -> Brake:
    brake = source.take(path, table, "brake", dict, {})
    here = (*path, "brake")
    source.keys(here, brake, _BRAKE)
    for key in _BRAKE:
        if source.take(here, brake, key, int, 1) < 1:
            raise source.at_value((*here, key), f"'{key}' must be at least 1")
    return Brake(**brake)


def _toml_place(message: str, text: str) -> tuple[int, int, str]:
    """Line, column and words of ``tomllib``'s message, which carries the place as text."""
    found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    if found is not None:
        return int(found[2]), int(found[3]), found[1]
    lines = text.split("\n")
    return len(lines), len(lines[-1]) + 1, re.sub(r" \(at end of document\)$", "", message)
