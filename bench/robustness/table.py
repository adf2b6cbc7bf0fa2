"""The robustness table, as text for the screen and as a page of the documents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tutela.hashing.views import RULES

from .corpus import Original
from .false_matches import FalseMatches
from .recall import Row

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "robustness-table.md"


def means(rows: Sequence[Row], *, real: bool = False) -> tuple[float, float]:
    """Mean percentages over the rows: plain, and with views; of the photographs alone if asked."""
    if real:
        shares = [(row.real_plain / row.real, row.real_found / row.real) for row in rows]
    else:
        shares = [(row.plain / row.pictures, row.found / row.pictures) for row in rows]
    plain, found = zip(*shares, strict=True)
    return 100 * sum(plain) / len(rows), 100 * sum(found) / len(rows)


def percent(count: int, of: int) -> str:
    """A whole percentage."""
    return f"{100 * count / of:.0f}"


def line(row: Row) -> str:
    """One row for the screen."""
    return (
        f"  {row.transform.name:24} plain {percent(row.plain, row.pictures):>3}"
        f"  views {percent(row.found, row.pictures):>3}"
        f"  photographs {percent(row.real_plain, row.real):>3}"
        f" → {percent(row.real_found, row.real):>3}  {_by(row)}"
    )


def _by(row: Row) -> str:
    most = sorted(row.by_view.items(), key=lambda item: (-item[1], item[0]))[:2]
    return ", ".join(name for name, _ in most)


def _markdown(rows: Sequence[Row]) -> str:
    lines = [
        "| What was done | Plain PDQ | With views | Photographs alone | Found by |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        found_by = ", ".join(f"`{name}`" for name in _by(row).split(", ") if name) or "—"
        lines.append(
            f"| {row.transform.words} | {percent(row.plain, row.pictures)} % "
            f"| **{percent(row.found, row.pictures)} %** "
            f"| {percent(row.real_plain, row.real)} → {percent(row.real_found, row.real)} % "
            f"| {found_by} |"
        )
    return "\n".join(lines)


def page(
    originals: Sequence[Original],
    counted: Sequence[Row],
    extras: Sequence[Row],
    false: FalseMatches,
) -> str:
    """The whole page, MyST Markdown."""
    plain, found = means(counted)
    plain_real, found_real = means(counted, real=True)
    real = sum(original.real for original in originals)
    bounds = "\n".join(
        f"| {label} | {false.bound(false.plain, listed):.2g} "
        f"| {false.bound(false.with_views, listed):.2g} |"
        for label, listed in (("1 million", 1_000_000), ("10 million", 10_000_000))
    )
    kinds = "\n".join(
        f"| {kind.value} | {rule.words} | {rule.radius} | {rule.quality} |"
        for kind, rule in RULES.items()
    )
    return f"""<!-- Written by `python -m bench.robustness --write`; do not edit. -->
# What is still found after a change: the measured table

{len(originals)} pictures ({real} photographs, {len(originals) - real} generated scenes), each
changed in {len(counted)} ways and saved as JPEG (quality 85 where the row says nothing else).
Listed is the PDQ hash of the original, looked up is the changed copy. *Plain* is PDQ at distance
31, as the field uses it. The changes and their parameters were written down before any view was
made, and a test holds them; the views were tuned on other pictures than these.

Mean over the {len(counted)} rows: **{plain:.0f} % plain, {found:.0f} % with views**
(photographs alone: {plain_real:.0f} % and {found_real:.0f} %). This is a regression corpus, not an
estimate for any platform's uploads.

{_markdown(counted)}

Combinations, and parameters between the others. They are in no mean.

{_markdown(extras)}

## False matches

All pairs among {false.pictures:,} pictures that have nothing to do with one another: each is an
upload with all its views ({false.views_per_picture:.0f} on average) against the plain hashes of all
others of quality 50 or more, {false.pairs:,} pairs. They are crops of
photographs that share no pixel, generated scenes, and, every third, sorts that hashes confuse most
easily: posts on the same screen, framed and captioned pictures, pages of text, a few things on a
plain ground, gradients.

Pairs that matched: **{false.plain} plain, {false.with_views} with views.** The nearest unrelated
pair was {false.nearest_plain} bits apart plain and {false.nearest_view} bits with views. The exact
Poisson upper 95 % bound of false matches per upload, from these counts:

| Pictures on the list | Plain PDQ at 31, at most | With all views, at most |
| --- | ---: | ---: |
{bounds}

The bound says what so many pairs can show, not what is likely: none or few seen in
{false.pairs:,} pairs cannot prove less. What a real platform's uploads hold in near-duplicates,
templates and stock pictures is not in it; that is why a match by a view alone holds, and never
blocks, by the default policy.

## The views

| Kind | What it undoes | Radius, bits | Least quality |
| --- | --- | ---: | ---: |
{kinds}
"""


def write(
    originals: Sequence[Original],
    counted: Sequence[Row],
    extras: Sequence[Row],
    false: FalseMatches,
) -> None:
    """Writes the page where the documents show it."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(originals, counted, extras, false), encoding="utf-8")
