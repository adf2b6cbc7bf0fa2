"""Places in a TOML text, against the values that ``tomllib`` reads."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tutela.policy.toml_lines import Lines, places

TEXT = '''# a comment with [[rule]] in it
name = "x" # another

[[rule]]
name = "one"
when = """
a == "b" &&
  c"""
"quoted key" = "it's"
brake = { per_hour = 5, deep = { x = [1, {y = 2}] } }

[[rule]]
brake.per_hour = 7 # dotted
when = '\\n is not escaped'
list = [
  "a", # one ]
  "b",
]
[rule.sub]
at = 1979-05-27T07:32:00Z

[other]
x = true
'''


def walk(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], Any]]:
    found = [(path, value)] if path else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += walk(inner, (*path, key))
    if isinstance(value, list):
        for number, inner in enumerate(value):
            found += walk(inner, (*path, number))
    return found


def at(lines: Lines, path: tuple[str | int, ...]) -> str:
    line, column = lines.of_value(path)
    return lines.text.split("\n")[line - 1][column - 1 :]


def test_places_are_where_the_eye_finds_them() -> None:
    lines = places(TEXT)
    assert lines.of_key(("rule", 0)) == (4, 1)
    assert lines.of_key(("rule", 0, "when")) == (6, 1)
    assert lines.of_value(("rule", 0, "when")) == (7, 1)
    assert lines.of_value(("rule", 0, "when"), len('a == "b" &&\n  ')) == (8, 3)
    assert at(lines, ("rule", 0, "brake", "per_hour")).startswith("5,")
    assert at(lines, ("rule", 0, "brake", "deep", "x", 1, "y")).startswith("2}")
    assert at(lines, ("rule", 1, "brake", "per_hour")).startswith("7 # dotted")
    assert lines.of_key(("rule", 1)) == (12, 1)
    assert at(lines, ("rule", 1, "list", 1)).startswith('b",')
    assert lines.of_key(("rule", 1, "sub")) == (19, 1)
    assert at(lines, ("rule", 1, "sub", "at")).startswith("1979")
    assert at(lines, ("other", "x")) == "true"
    assert lines.of_key(("rule", 0, "missing")) == (4, 1)
    assert lines.of_key(("nothing",)) == (1, 1)


def test_every_value_has_a_place() -> None:
    lines = places(TEXT)
    for path, value in walk(tomllib.loads(TEXT)):
        assert path in lines.places, path
        if isinstance(value, str):
            assert len(lines.places[path].characters) == len(value) + 1


KEYS = st.text("abz_-09", min_size=1, max_size=4)
STRINGS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=12)


def basic(text: str) -> str:
    out = ""
    for c in text:
        plain = c >= " " and c not in '"\\\x7f'
        out += c if plain else f"\\u{ord(c):04X}"
    return f'"{out}"'


def multi(text: str) -> str:
    out = ""
    for c in text:
        plain = c == "\n" or (c >= " " and c not in '"\\\x7f')
        out += c if plain else f"\\u{ord(c):04X}"
    return f'"""\n{out}"""'


@st.composite
def documents(draw: st.DrawFn) -> str:
    lines: list[str] = []
    for _ in range(draw(st.integers(0, 4))):
        header = draw(st.sampled_from(["[[rule]]", "[[ rule ]] # x", "[[test]]"]))
        lines += ["", header]
        for key in draw(st.lists(KEYS, unique=True, max_size=4)):
            text = draw(STRINGS)
            value = draw(
                st.sampled_from(
                    [
                        basic(text),
                        multi(text),
                        "true",
                        "-1.5e3",
                        f"[{basic(text)}, 1,\n # c\n true]",
                        f"{{ a = {basic(text)}, b.c = 1 }}",
                    ]
                )
            )
            lines.append(f"{draw(st.sampled_from(['', '  ']))}{key} = {value} # c")
    return "\n".join(lines)


@given(documents())
def test_strings_stand_where_they_are_said_to_stand(text: str) -> None:
    values = tomllib.loads(text)
    lines = places(text)
    for path, value in walk(values):
        assert path in lines.places, (path, text)
        if not isinstance(value, str):
            continue
        offsets = lines.places[path].characters
        assert len(offsets) == len(value) + 1
        for character, offset in zip(value, offsets, strict=False):
            stands = text[offset]
            assert stands == character or stands == "\\", (path, character, stands)
