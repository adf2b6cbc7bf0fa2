"""Checks a CEL condition before it is ever run: names, fields, words, types and functions.

The CEL library parses and runs conditions but checks nothing: an unknown name or a comparison of a
number with a text fails only when it is reached, which for a rule about rare things is the worst
moment. This is a recursive-descent reader of the CEL grammar (cel-spec, ``langdef.md``) that gives
every expression a type and refuses what could only fail, with the place.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import Any

import cel

from .cel_types import (
    BOOL,
    DOUBLE,
    DYN,
    FUNCTIONS,
    INT,
    MACROS,
    METHODS,
    NULL,
    STRING,
    UINT,
    Type,
    comparable,
    list_of,
    root_types,
)

MAX_LENGTH = 10_000
"""Longest condition in characters."""
MAX_DEPTH = 50
"""Deepest nesting of a condition."""

_TOKEN = re.compile(
    r"""(?P<space>(?:[ \t\r\n\f]|//[^\n]*)+)
    |(?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
    |(?P<uint>(?:0x[0-9a-fA-F]+|\d+)[uU])
    |(?P<int>0x[0-9a-fA-F]+|\d+)
    |(?P<string>[rR]?(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''
        |"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
    |(?P<name>[_a-zA-Z][_a-zA-Z0-9]*)
    |(?P<op>\|\||&&|==|!=|<=|>=|[-+*/%!<>?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)


class CelError(Exception):
    """A condition is wrong. ``offset`` is the character of the condition at which, from 0."""

    def __init__(self, what: str, offset: int, next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.offset = offset
        self.next_step = next_step


@dataclass(frozen=True, slots=True)
class Checked:
    """What a sound condition reads: whether ``findings``, and which facts by name."""

    reads_findings: bool
    facts: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


@dataclass(slots=True)
class _Value:
    """The type of an expression, where it stands, and its text if it is a literal string."""

    type: Type
    at: int
    literal: str | None = None
    items: list[_Value] = field(default_factory=list)
    field_of: str | None = None


def check(source: str, *, each: str) -> Checked:
    """Checks a condition of a rule asked for ``each`` (``"finding"`` or ``"item"``).

    Raises ``CelError`` at the first thing that is wrong. A condition that passes yields a bool and
    can fail at run time only by arithmetic (division by zero, overflow).
    """
    if len(source) > MAX_LENGTH:
        raise CelError(f"The condition is longer than {MAX_LENGTH} characters.", MAX_LENGTH)
    reader = _Reader(source, root_types(each))
    reader.whole()
    try:
        cel.compile(source)
    except Exception as error:  # the library's own word on syntax is final
        raise _from_library(source, error) from None
    return Checked(reader.reads_findings, frozenset(reader.facts))


def _from_library(source: str, error: Exception) -> CelError:
    found = re.search(r"<input>:(\d+):(\d+): (.*?)(?: expecting|\n|$)", str(error))
    if found is None:
        return CelError("The condition is not valid CEL.", 0)
    line, column = int(found[1]), int(found[2])
    lines = source.splitlines(keepends=True) or [""]
    offset = sum(len(text) for text in lines[: line - 1]) + column - 1
    return CelError(f"The condition is not valid CEL: {found[3]}.", min(offset, len(source)))


def _tokens(source: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(source):
        found = _TOKEN.match(source, at)
        if found is None:
            raise CelError("The condition is not valid CEL here.", at)
        kind = str(found.lastgroup)
        if kind != "space":
            tokens.append(_Token(kind, found.group(), at))
        at = found.end()
    tokens.append(_Token("end", "", len(source)))
    return tokens


class _Reader:
    """Reads a condition once, from left to right, and types it on the way."""

    def __init__(self, source: str, roots: dict[str, Type]) -> None:
        self._tokens = _tokens(source)
        self._next = 0
        self._depth = 0
        self._scopes: list[dict[str, Type]] = [roots]
        self.reads_findings = False
        self.facts: set[str] = set()

    def whole(self) -> None:
        value = self._expression()
        if self._peek().kind != "end":
            raise CelError("The condition goes on where it should end.", self._peek().at)
        self._want(value, BOOL, "A condition must be true or false")

    # --- tokens

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next += token.kind != "end"
        return token

    def _accept(self, *texts: str) -> _Token | None:
        token = self._peek()
        if token.kind in {"op", "name"} and token.text in texts:
            return self._take()
        return None

    def _expect(self, text: str) -> _Token:
        token = self._accept(text)
        if token is None:
            found = self._peek()
            what = f"'{found.text}'" if found.kind != "end" else "the end"
            raise CelError(f"Expected '{text}' but found {what}.", found.at)
        return token

    # --- operators, loosest first

    def _expression(self) -> _Value:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise CelError(f"The condition nests deeper than {MAX_DEPTH}.", self._peek().at)
        value = self._either()
        if self._accept("?"):
            self._want(value, BOOL, "Before '?' there must be true or false")
            yes = self._either()
            self._expect(":")
            no = self._expression()
            if not comparable(yes.type, no.type):
                raise CelError(f"One side of ':' is {yes.type}, the other {no.type}.", no.at)
            value = _Value(yes.type, value.at)
        self._depth -= 1
        return value

    def _either(self) -> _Value:
        return self._logical("||", lambda: self._logical("&&", self._relation))

    def _logical(self, operator: str, inner: Any) -> _Value:
        value: _Value = inner()
        while self._accept(operator):
            other: _Value = inner()
            for side in (value, other):
                self._want(side, BOOL, f"Both sides of '{operator}' must be true or false")
            value = _Value(BOOL, value.at)
        return value

    def _relation(self) -> _Value:
        value = self._sum()
        while token := self._accept("==", "!=", "<=", ">=", "<", ">", "in"):
            other = self._sum()
            if token.text == "in":
                self._membership(value, other)
            else:
                self._comparison(token, value, other)
            value = _Value(BOOL, value.at)
        return value

    def _membership(self, value: _Value, other: _Value) -> None:
        if other.type.kind == "strings":
            raise CelError(
                "'in' does not look into facts.",
                other.at,
                'A fact that was not given is the empty text: compare it with "".',
            )
        if other.type is DYN:
            return
        if other.type.kind != "list":
            raise CelError(f"After 'in' there must be a list, not {other.type}.", other.at)
        for item in other.items:
            self._same(value, item)
        if not other.items and other.type.of is not None:
            self._same(value, _Value(other.type.of, other.at))

    def _comparison(self, token: _Token, value: _Value, other: _Value) -> None:
        self._same(value, other)
        if token.text in {"==", "!="}:
            return
        for side in (value, other):
            if not side.type.ordered:
                raise CelError(f"'{token.text}' does not order {side.type}.", side.at)

    def _same(self, value: _Value, other: _Value) -> None:
        if not comparable(value.type, other.type):
            raise CelError(f"{value.type} is compared with {other.type}.", other.at)
        for words, text in ((value.type.words, other), (other.type.words, value)):
            if words and text.literal is not None and text.literal not in words:
                raise CelError(
                    f"'{text.literal}' is none of the words that can stand here.",
                    text.at,
                    f"The words are: {', '.join(sorted(w for w in words if w))}.",
                )

    def _sum(self) -> _Value:
        value = self._product()
        while token := self._accept("+", "-"):
            value = self._arithmetic(token, value, self._product())
        return value

    def _product(self) -> _Value:
        value = self._unary()
        while token := self._accept("*", "/", "%"):
            value = self._arithmetic(token, value, self._unary())
        return value

    def _arithmetic(self, token: _Token, value: _Value, other: _Value) -> _Value:
        if DYN in {value.type, other.type}:
            return _Value(DYN, value.at)
        joins = token.text == "+" and value.type.kind in {"string", "list"}
        same = value.type.kind == other.type.kind
        if not same or not (joins or value.type.number):
            raise CelError(
                f"'{token.text}' does not take {value.type} and {other.type}.",
                token.at,
                "CEL does not convert by itself: write int(x) or double(x).",
            )
        return _Value(STRING if value.type.kind == "string" else value.type, value.at)

    def _unary(self) -> _Value:
        token = self._accept("!", "-")
        if token is None:
            return self._member()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise CelError(f"The condition nests deeper than {MAX_DEPTH}.", token.at)
        value = self._unary()
        self._depth -= 1
        if token.text == "!":
            self._want(value, BOOL, "After '!' there must be true or false")
        elif not value.type.number:
            raise CelError(f"'-' does not take {value.type}.", value.at)
        return _Value(value.type, token.at)

    # --- members and calls

    def _member(self) -> _Value:
        value = self._primary()
        while True:
            if self._accept("."):
                name = self._take()
                if name.kind != "name":
                    raise CelError("After '.' there must be a name.", name.at)
                if self._accept("("):
                    value = self._method(value, name)
                else:
                    value = self._select(value, name.text, name.at)
            elif self._accept("["):
                inside = self._expression()
                self._expect("]")
                value = self._index(value, inside)
            else:
                return value

    def _select(self, value: _Value, name: str, at: int) -> _Value:
        if value.type is DYN:
            return _Value(DYN, at)
        if value.type.kind == "strings":
            self.facts.add(name)
            return _Value(STRING, value.at, field_of="facts")
        if value.type.kind != "object" or value.type.fields is None:
            raise CelError(f"{value.type} has no fields.", at)
        found = value.type.fields.get(name)
        if found is None:
            raise CelError(
                f"{value.type} has no field '{name}'.", at, _suggest(name, value.type.fields)
            )
        return _Value(found, value.at)

    def _index(self, value: _Value, inside: _Value) -> _Value:
        if value.type.kind == "strings":
            if inside.literal is None:
                raise CelError("A fact is named by a text in quotes.", inside.at)
            return self._select(value, inside.literal, inside.at)
        if value.type.kind == "list":
            raise CelError(
                "A list is not read by position: it may be empty.",
                inside.at,
                "Use exists(), all() or filter().",
            )
        raise CelError(f"{value.type} cannot be indexed.", inside.at)

    def _method(self, value: _Value, name: _Token) -> _Value:
        if name.text in MACROS:
            return self._macro(value, name)
        arguments = self._arguments()
        if name.text == "size" and not arguments and value.type.sized:
            return _Value(INT, value.at)
        wanted = METHODS.get(name.text)
        if wanted is None:
            raise CelError(
                f"There is no function '{name.text}'.",
                name.at,
                _suggest(name.text, (*METHODS, *MACROS, "size")),
            )
        self._want(value, STRING, f"{name.text}() is a function of texts")
        if len(arguments) != 1:
            raise CelError(f"{name.text}() takes one argument.", name.at)
        self._want(arguments[0], STRING, f"{name.text}() takes a text")
        if name.text == "matches":
            self._pattern(arguments[0])
        return _Value(BOOL, value.at)

    def _pattern(self, argument: _Value) -> None:
        if argument.literal is None:
            raise CelError("The pattern of matches() must be a text in quotes.", argument.at)
        try:
            cel.evaluate("''.matches(p)", {"p": argument.literal})
        except Exception:  # whatever the library raises, the pattern cannot be used
            raise CelError(
                "The pattern of matches() is not a valid regular expression.",
                argument.at,
                "Patterns are RE2: no look-around and no back-references.",
            ) from None

    def _macro(self, value: _Value, name: _Token) -> _Value:
        if value.type is not DYN and value.type.kind != "list":
            raise CelError(f"{name.text}() is for lists, not {value.type}.", name.at)
        bound = self._take()
        if bound.kind != "name":
            raise CelError(f"{name.text}() first takes a name for the element.", bound.at)
        if bound.text in self._scopes[0]:
            raise CelError(f"'{bound.text}' has a meaning already: take another name.", bound.at)
        self._expect(",")
        self._scopes.append({bound.text: value.type.of or DYN})
        body = self._expression()
        self._scopes.pop()
        self._expect(")")
        if name.text == "map":
            return _Value(list_of(body.type), value.at)
        self._want(body, BOOL, f"{name.text}() takes a condition")
        return _Value(value.type if name.text == "filter" else BOOL, value.at)

    def _arguments(self) -> list[_Value]:
        """What stands between parentheses; the opening one is taken already."""
        arguments: list[_Value] = []
        if self._accept(")"):
            return arguments
        while True:
            arguments.append(self._expression())
            if self._accept(")"):
                return arguments
            self._expect(",")

    def _call(self, name: _Token) -> _Value:
        arguments = self._arguments()
        takes = FUNCTIONS.get(name.text)
        if takes is None:
            raise CelError(
                f"There is no function '{name.text}'.", name.at, _suggest(name.text, FUNCTIONS)
            )
        if len(arguments) != 1:
            raise CelError(f"{name.text}() takes one argument.", name.at)
        accepted, gives = takes
        if arguments[0].type is not DYN and arguments[0].type.kind not in accepted:
            raise CelError(f"{name.text}() does not take {arguments[0].type}.", arguments[0].at)
        return _Value(gives, name.at)

    # --- literals and names

    def _primary(self) -> _Value:
        token = self._take()
        if token.kind in {"int", "uint", "float"}:
            return _Value({"int": INT, "uint": UINT, "float": DOUBLE}[token.kind], token.at)
        if token.kind == "string":
            return _Value(STRING, token.at, literal=_text_of(token))
        if token.text == "(":
            value = self._expression()
            self._expect(")")
            return value
        if token.text == "[":
            return self._list(token)
        if token.kind == "name":
            return self._name(token)
        what = f"'{token.text}'" if token.kind != "end" else "the end"
        raise CelError(f"Expected a value but found {what}.", token.at)

    def _list(self, opened: _Token) -> _Value:
        items: list[_Value] = []
        while not self._accept("]"):
            items.append(self._expression())
            if not comparable(items[0].type, items[-1].type):
                raise CelError("The list mixes types.", items[-1].at)
            if not self._accept(","):
                self._expect("]")
                break
        return _Value(list_of(items[0].type if items else DYN), opened.at, items=items)

    def _name(self, token: _Token) -> _Value:
        if token.text in {"true", "false"}:
            return _Value(BOOL, token.at)
        if token.text == "null":
            return _Value(NULL, token.at)
        if self._accept("("):
            if token.text == "has":
                raise CelError(
                    "has() is not needed: nothing that a rule can name is ever missing.",
                    token.at,
                    'A fact that was not given is the empty text: compare it with "".',
                )
            return self._call(token)
        for scope in reversed(self._scopes):
            if token.text in scope:
                self.reads_findings |= token.text == "findings"
                return _Value(scope[token.text], token.at)
        known = [name for scope in self._scopes for name in scope]
        step = _suggest(token.text, known)
        if token.text in {"finding", "findings"}:
            step = 'finding is for rules with each = "finding", which is the default.'
        raise CelError(f"There is no '{token.text}'.", token.at, step)

    def _want(self, value: _Value, wanted: Type, why: str) -> None:
        if value.type is not DYN and value.type.kind != wanted.kind:
            raise CelError(f"{why}, not {value.type}.", value.at)


def _text_of(token: _Token) -> str:
    """The text that a string literal means, as the library reads it."""
    try:
        return str(cel.evaluate(token.text))
    except Exception:  # the library's own parser refuses this literal
        raise CelError("This text has an escape that CEL does not know.", token.at) from None


def _suggest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), 1)
    if near:
        return f"Did you mean '{near[0]}'?"
    return f"Known here: {', '.join(sorted(known))}."
