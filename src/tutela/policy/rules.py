"""A rule, and a set of rules as read from one file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tutela.core import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Brake:
    """How often a rule may block within an hour before it falls back to ``hold``.

    ``per_hour`` counts the rule's blocks; ``per_signal_per_hour`` those that rest on one and the
    same signal (one that suddenly matches a crowd is likely to be wrong). None: no limit.
    """

    per_hour: int | None = None
    per_signal_per_hour: int | None = None

    @property
    def limits(self) -> bool:
        """Whether there is any limit at all."""
        return self.per_hour is not None or self.per_signal_per_hour is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of the file.

    ``when`` is CEL source and ``test`` the compiled form, called with a ``cel.Context``. A rule
    with ``each`` ``"finding"`` is asked for every finding (as ``finding``), one with ``"item"``
    once for each purpose among the findings (as ``findings``), and also where there are none.
    ``case`` False makes a hold that rests on no match open no case. ``line`` is where the rule
    starts in the file, counted from 1. ``facts`` names the platform facts that ``when`` reads.
    """

    name: str
    when: str
    outcome: Outcome
    each: str = "finding"
    reason: str = ""
    severity: str | None = None
    queue: str | None = None
    case: bool = True
    dry_run: bool = False
    brake: Brake = Brake()
    line: int = 0
    test: Callable[[Any], object] = bool
    reads_findings: bool = False
    facts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """The rules of one file. ``version`` names exactly this text (a part of its SHA-256).

    ``by_finding`` and ``by_item`` are ``rules`` sorted by what they are asked for, each in the
    order of the file; ``reads_findings`` says whether any of them looks at ``findings``, ``facts``
    which of the platform's facts they name.
    """

    name: str
    version: str
    source: str
    origin: str
    rules: tuple[Rule, ...]
    by_finding: tuple[Rule, ...]
    by_item: tuple[Rule, ...]
    reads_findings: bool
    facts: frozenset[str]

    @classmethod
    def of(cls, name: str, source: str, origin: str, rules: tuple[Rule, ...]) -> RuleSet:
        """A set of these rules, versioned by the text ``source`` that they came from."""
        digest = hashlib.sha256(source.encode()).hexdigest()
        return cls(
            name=name,
            version=f"{name}@{digest[:12]}",
            source=source,
            origin=origin,
            rules=rules,
            by_finding=tuple(rule for rule in rules if rule.each == "finding"),
            by_item=tuple(rule for rule in rules if rule.each == "item"),
            reads_findings=any(rule.reads_findings for rule in rules),
            facts=frozenset().union(*(rule.facts for rule in rules)),
        )
