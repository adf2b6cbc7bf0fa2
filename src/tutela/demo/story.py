"""The story: what the made-up forum does, and what Tutela should answer.

A ``Step`` is data: what is sent, by whom, and what must come back. The player (``play``) sends it
and keeps what came back, so that the terminal and the page tell the same.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, ImageDraw, ImageOps

from tutela.client import Answer, Client

from .scenes import disguised, jpeg, scene

KNOWN = 707
"""Seed of the picture that the demo's list knows."""
KNOWN_FILE = b"A harmless file that the demo's list knows by its digest alone.\n" * 40
PEOPLE = ("ana", "ben", "chidi", "dora", "emil", "fay")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that somebody does on the forum, and the outcome that must come back."""

    title: str
    account: str
    expected: str
    content: bytes
    file_name: str
    surface: str = "post"
    why: str = ""
    view: str | None = None


@dataclass(kw_only=True)
class Told:
    """A step that was played: what came back, and how long it took on the wire."""

    step: Step
    answer: Answer
    wire_ms: float
    thumbnail: bytes | None = None
    ok: bool = field(init=False)

    def __post_init__(self) -> None:
        matched = {str(f.get("view") or "") for f in self.answer.findings}
        self.ok = self.answer.outcome == self.step.expected and (
            self.step.view is None or any(self.step.view in view for view in matched)
        )

    @property
    def reason(self) -> str:
        """What the gate saw, in words; for the operator, never for the uploader."""
        words = [str(f.get("reason", "")) for f in self.answer.findings]
        return words[0] if words else self.step.why


def evening() -> Iterator[Step]:
    """An ordinary evening: people post landscapes; nothing may be in their way."""
    for number in range(12):
        name = PEOPLE[number % len(PEOPLE)]
        yield Step(
            title=f"{name.title()} posts a photo",
            account=name,
            expected="allow",
            content=jpeg(scene(number + 1)),
            file_name=f"evening-{number + 1}.jpg",
            why="Like nothing on the list.",
        )


def evasions() -> Iterator[Step]:
    """Somebody posts the known picture, and then tries to get it past."""
    known = scene(KNOWN)
    tries: list[tuple[str, str, bytes, str, str | None]] = [
        ("the known picture as it is", "block", jpeg(known, 92), "IMG_0707.jpg", None),
        (
            "it resized to a third and recompressed",
            "block",
            jpeg(known.resize((533, 400)), 40),
            "small.jpg",
            None,
        ),
        (
            "it resized, recompressed, mirrored and given a border",
            "block",
            disguised(known),
            "holiday.jpg",
            "mirror",
        ),
        ("it saved as GIF", "block", _gif(known), "fun.gif", None),
        ("it saved with inverted ink (CMYK)", "block", _cmyk(known), "print.jpg", None),
        ("it inside a ZIP among others", "block", _zip(known), "album.zip", None),
        ("its negative", "hold", jpeg(ImageOps.invert(known)), "negative.jpg", "invert"),
        (
            "it with a caption bar under it",
            "hold",
            jpeg(_captioned(known)),
            "meme.jpg",
            "",
        ),
        ("a file known by its digest alone", "block", KNOWN_FILE, "notes.txt", None),
    ]
    for title, expected, content, name, view in tries:
        yield Step(
            title=f"Mallory posts {title}",
            account="mallory",
            expected=expected,
            content=content,
            file_name=name,
            view=view,
        )


def oddities() -> Iterator[Step]:
    """What can't be examined is held, never waved through."""
    whole = jpeg(scene(41))
    yield Step(
        title="Fay's upload breaks off half-way",
        account="fay",
        expected="hold",
        content=whole[: len(whole) // 2],
        file_name="broken.jpg",
    )
    yield Step(
        title="Emil posts a locked archive",
        account="emil",
        expected="hold",
        content=_locked_zip(),
        file_name="private.zip",
    )


def play(steps: Iterator[Step], client: Client, tell: Callable[[Told], None]) -> list[Told]:
    """Send every step and tell what came back. Returns all of it."""
    import time

    told = []
    for step in steps:
        began = time.perf_counter()
        answer = client.upload(
            step.content,
            account=step.account,
            surface=step.surface,
            file_name=step.file_name,
        )
        one = Told(
            step=step,
            answer=answer,
            wire_ms=(time.perf_counter() - began) * 1000,
            thumbnail=thumbnail(step.content),
        )
        told.append(one)
        tell(one)
    return told


def thumbnail(content: bytes) -> bytes | None:
    """A small JPEG of what the demo itself drew, for the demo's own page."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            small = image.convert("RGB")
            small.thumbnail((360, 270))
            return jpeg(small, 80)
    except (OSError, ValueError, SyntaxError):
        return None


def _gif(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.resize((800, 600)).quantize(96).save(out, "GIF")
    return out.getvalue()


def _cmyk(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.resize((800, 600)).convert("CMYK").save(out, "JPEG", quality=80)
    return out.getvalue()


def _zip(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("trip/1.jpg", jpeg(scene(31, 800, 600)))
        archive.writestr("trip/2.jpg", jpeg(picture.resize((1000, 750)), 70))
        archive.writestr("trip/notes.txt", "Three days of rain.")
    return out.getvalue()


def _locked_zip() -> bytes:
    """A ZIP whose member is flagged as encrypted (the general purpose bit 0 of APPNOTE 4.4.4)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.jpg", jpeg(scene(32, 320, 240)))
    raw = bytearray(out.getvalue())
    raw[6] |= 1
    raw[raw.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(raw)


def _captioned(picture: Image.Image) -> Image.Image:
    small = picture.resize((1000, 750))
    board = Image.new("RGB", (1000, 750 + 150), "white")
    board.paste(small, (0, 0))
    draw = ImageDraw.Draw(board)
    draw.text((40, 780), "WHEN THE WEEKEND\nIS OVER ALREADY", fill="black", font_size=48)
    return board


def facts(told: list[Told]) -> dict[str, Any]:
    """The story in figures: how many went how, and the gate's own median time in milliseconds."""
    took = sorted(float(t.answer.milliseconds.get("total", t.wire_ms)) for t in told)
    outcomes = [t.answer.outcome for t in told]
    return {
        "uploads": len(told),
        "allow": outcomes.count("allow"),
        "hold": outcomes.count("hold"),
        "block": outcomes.count("block"),
        "median_ms": took[len(took) // 2] if took else 0.0,
        "as_told": all(t.ok for t in told),
    }
