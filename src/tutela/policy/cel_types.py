"""Types of CEL expressions as far as rules need them, and the functions that rules may call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tutela.core import (
    AgeBand,
    AgeSource,
    FaultKind,
    FindingKind,
    HashMode,
    HashType,
    ItemKind,
    ListMode,
    MediaKind,
    Purpose,
    SignalState,
)

from .facts import FIELDS


@dataclass(frozen=True, slots=True, eq=False)
class Type:
    """A type. ``of`` is a list's element type, ``fields`` an object's; ``words`` are all the texts
    that a field can hold, where they are known."""

    kind: str
    of: Type | None = None
    fields: Mapping[str, Type] | None = None
    words: frozenset[str] | None = None
    name: str = ""

    @property
    def number(self) -> bool:
        """Whether it can be reckoned with."""
        return self.kind in {"int", "uint", "double"}

    @property
    def ordered(self) -> bool:
        """Whether ``<`` means something."""
        return self.number or self.kind in {"string", "dyn"}

    @property
    def sized(self) -> bool:
        """Whether it has a size."""
        return self.kind in {"string", "list", "strings", "dyn"}

    def __str__(self) -> str:
        return _SPOKEN.get(self.kind, self.name or self.kind)


_SPOKEN = {
    "bool": "a truth value",
    "int": "a whole number",
    "uint": "an unsigned number",
    "double": "a fraction",
    "string": "a text",
    "null": "null",
    "list": "a list",
    "strings": "a set of facts",
    "dyn": "any value",
}

BOOL, INT, UINT, DOUBLE = Type("bool"), Type("int"), Type("uint"), Type("double")
STRING, NULL, DYN, STRINGS = Type("string"), Type("null"), Type("dyn"), Type("strings")
_PLAIN = {"bool": BOOL, "int": INT, "double": DOUBLE, "string": STRING, "strings": STRINGS}

METHODS = dict.fromkeys(("contains", "startsWith", "endsWith", "matches"), STRING)
"""Functions called on a text with one text."""
MACROS = ("all", "exists", "exists_one", "filter", "map")
"""What CEL offers for lists."""
FUNCTIONS: dict[str, tuple[frozenset[str], Type]] = {
    "size": (frozenset({"string", "list", "strings"}), INT),
    "double": (frozenset({"int", "uint", "double"}), DOUBLE),
    "string": (frozenset({"int", "uint", "double", "string"}), STRING),
}
"""Functions with one argument: the kinds they take and the type they give. What could fail on a
value, such as reading a number out of a text, is left out."""


def _words(kind: Any, *more: str) -> frozenset[str]:
    return frozenset({*(word.value for word in kind), *more})


WORDS: dict[str, frozenset[str]] = {
    "finding.kind": _words(FindingKind),
    "finding.list.purpose": _words(Purpose, ""),
    "finding.list.mode": _words(ListMode),
    "finding.signal.state": _words(SignalState, ""),
    "finding.hash_type": _words(HashType, ""),
    "finding.mode": _words(HashMode, ""),
    "finding.fault": _words(FaultKind, ""),
    "item.kind": _words(ItemKind),
    "item.recipients_age_band": _words(AgeBand),
    "item.media": _words(MediaKind, ""),
    "account.age_band": _words(AgeBand),
    "account.age_source": _words(AgeSource),
}
"""Fields that hold one of a few words: a typing error in a rule is refused, not never true."""


def list_of(element: Type) -> Type:
    """The type of a list of ``element``."""
    return Type("list", of=element)


def comparable(one: Type, other: Type) -> bool:
    """Whether values of the two types can be equal at all."""
    if DYN in {one, other} or one.kind == other.kind:
        return True
    return one.number and other.number


def root_types(each: str) -> dict[str, Type]:
    """The names that a rule asked for ``each`` may use, with their types."""
    roots = {name: _object(name, fields) for name, fields in FIELDS.items()}
    findings = list_of(roots["finding"])
    if each == "item":
        del roots["finding"]
    return {**roots, "findings": findings}


def _object(path: str, fields: Mapping[str, Any]) -> Type:
    typed = {
        name: _object(f"{path}.{name}", what)
        if isinstance(what, Mapping)
        else Type("string", words=WORDS[f"{path}.{name}"])
        if f"{path}.{name}" in WORDS
        else _PLAIN[what]
        for name, what in fields.items()
    }
    return Type("object", fields=typed, name=f"'{path}'")
