"""Cells of a CSV that a spreadsheet may open: none may be taken for a formula.

A list's ids, tags and notes come from outside, and an operator opens an export in a spreadsheet.
Cells that begin as formulas do get an apostrophe in front (OWASP, "CSV Injection"); so do cells
that begin with an apostrophe, so that reading takes away exactly what writing put there.
"""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def harmless_cell(value: object) -> object:
    """A value as it is written; None becomes an empty cell."""
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith((*_FORMULA, "'")):
        return "'" + value
    return value


def plain_cell(text: str) -> str:
    """A cell as it was before ``harmless_cell``."""
    if text[:1] == "'" and text[1:].startswith((*_FORMULA, "'")):
        return text[1:]
    return text
