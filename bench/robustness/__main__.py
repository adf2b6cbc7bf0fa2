"""``python -m bench.robustness [--write]``: the table per transform, and what views cost.

Reported on the half of the pictures that was not looked at while views were made. ``--write``
puts the table where the documents show it; ``QUICK=1`` takes few pictures and holds no bars;
``--half tune`` shows the other half, for work on views.
"""

from __future__ import annotations

import argparse
import sys

from bench._report import QUICK, Report

from . import corpus, false_matches, recall, table
from .transforms import EXTRAS, TRANSFORMS

UNRELATED = 400 if QUICK else 20_480
MOST_PICTURES = 3 if QUICK else None
MEAN_BAR = 75.0


def main() -> int:
    """Runs it; the exit code is 1 if a bar was not reached."""
    parser = argparse.ArgumentParser(prog="python -m bench.robustness", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the documents' table")
    parser.add_argument("--half", choices=("report", "tune"), default="report")
    arguments = parser.parse_args()

    originals = corpus.pictures(arguments.half, most=MOST_PICTURES)
    print(f"robustness: {len(originals)} pictures of the half '{arguments.half}'", flush=True)
    rows = []
    for row in recall.measure(originals, TRANSFORMS + EXTRAS):
        print(table.line(row), flush=True)
        rows.append(row)
    counted, extras = rows[: len(TRANSFORMS)], rows[len(TRANSFORMS) :]
    print(f"false matches: {UNRELATED} unrelated pictures, all pairs", flush=True)
    false = false_matches.measure(corpus.unrelated(UNRELATED), UNRELATED)
    if arguments.write:
        table.write(originals, counted, extras, false)

    report = Report()
    plain, found = table.means(counted)
    _, found_real = table.means(counted, real=True)
    report.figure("robustness-plain-mean-percent", f"{plain:.1f} plain PDQ at distance 31")
    report.ratio("robustness-views-mean-percent", found, MEAN_BAR)
    report.figure("robustness-views-mean-percent-real", f"{found_real:.1f} photographs alone")
    worse = sum(row.found < row.plain for row in rows)
    report.ratio("robustness-rows-below-plain", worse, 0, at_most=True)
    report.figure("views-per-picture", f"{false.views_per_picture:.1f} hashes looked up besides it")
    for listed, name in ((1_000_000, "1M"), (10_000_000, "10M")):
        report.ratio(
            f"false-matches-per-upload-upper95-{name}",
            false.bound(false.with_views, listed),
            false.bound(false.plain, listed),
            at_most=True,
        )
    report.figure(
        "nearest-unrelated-bits", f"{false.nearest_view} with views, {false.nearest_plain} plain"
    )
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
