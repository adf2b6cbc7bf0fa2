"""The views there are: what each undoes, how far it may match, what it costs.

Radii and quality gates were set on the tuning half of the robustness bench and on its unrelated
pictures: a view matches less far than the plain picture (31 bits), so that all views together
add no false matches that plain PDQ would not have.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What sort of change a view undoes."""

    DIHEDRAL = "dihedral"
    INVERT = "invert"
    PAD = "pad"
    ZOOM = "zoom"
    TURN = "turn"
    STRAIGHTEN = "straighten"
    FRAME = "frame"
    HALF = "half"
    PATCH = "patch"
    FRAME_QUARTERS = "frame+quarters"
    NESTED = "nested"


@dataclass(frozen=True, slots=True)
class Rule:
    """``radius`` in bits, and the least PDQ quality of the view that is hashed at all."""

    radius: int
    quality: int
    words: str


RULES: dict[Kind, Rule] = {
    Kind.DIHEDRAL: Rule(28, 50, "turned by quarters or mirrored; the same pixels"),
    Kind.INVERT: Rule(24, 60, "colours inverted; every bit of the hash complemented"),
    Kind.PAD: Rule(30, 50, "cropped on all sides; the lost margin guessed from the edge"),
    Kind.ZOOM: Rule(28, 50, "more of the scene shown than was listed; cut back"),
    Kind.TURN: Rule(30, 50, "turned by a little and cropped; turned back, padded"),
    Kind.STRAIGHTEN: Rule(30, 50, "turned by a little on its canvas; wedges tell the angle"),
    Kind.FRAME: Rule(30, 50, "border, bars, caption or a screen around it; cut away"),
    Kind.HALF: Rule(28, 70, "put together with another picture; cut at the seam"),
    Kind.PATCH: Rule(30, 50, "opaque badge in a corner; filled in from its surroundings"),
    Kind.FRAME_QUARTERS: Rule(26, 50, "a border or bars cut away, and turned or mirrored"),
    Kind.NESTED: Rule(24, 80, "other changes on top of each other"),
}
"""How far each kind may match."""

PADS = (0.02, 0.035, 0.05, 0.07)
"""Shares of each side that are taken to have been cropped."""
ZOOMS = (0.02, 0.04)
"""Shares of each side that are taken to have been added."""
TURNS = ((1.2, 0.0), (1.75, 0.02))
"""Degrees by which the picture is turned back, both ways, and the share of each side that is
taken to have been cropped after it was turned."""
QUARTERS = ("rotate-90", "rotate-180", "rotate-270", "flip", "mirror")
"""What is tried on top of a frame cut away."""
MOST_VIEWS = 48
"""Never more hashes of one picture than this, whatever is found in it."""
