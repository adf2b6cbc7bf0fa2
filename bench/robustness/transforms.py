"""What people do to pictures: the 42 transforms of the robustness table, and the extra rows.

FROZEN. These transforms and their parameters were written down before any view was tuned, and a
test holds this file's SHA-256: a view may be made better, the question may not be made easier.
The 42 follow the list that plain PDQ was measured with before (43 % found on average); the extra
rows are combinations and parameters between the others', and count towards no mean.

A transform takes an RGB picture, a partner (another picture, for collages) and a seeded random
generator, and gives the changed RGB picture, which is then saved as JPEG at ``quality``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Picture = Image.Image
Apply = Callable[[Picture, Picture, random.Random], Picture]


@dataclass(frozen=True, slots=True)
class Transform:
    """One row of the table. ``words`` say what was done; ``quality`` is the JPEG it is saved at."""

    name: str
    words: str
    apply: Apply
    quality: int = 85


# --- resampling and tone ------------------------------------------------------------------------


def unchanged(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
    return picture


def resize(share: float) -> Apply:
    def apply(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
        return ImageOps.scale(picture, share, Image.Resampling.BICUBIC)

    return apply


def resize_to(longest: int) -> Apply:
    def apply(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
        return ImageOps.contain(picture, (longest, longest), Image.Resampling.BICUBIC)

    return apply


def squash(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
    return picture.resize((picture.width, max(1, picture.height // 2)), Image.Resampling.BICUBIC)


def grey(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
    return picture.convert("L").convert("RGB")


def brightness(factor: float) -> Apply:
    def apply(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
        return ImageEnhance.Brightness(picture).enhance(factor)

    return apply


def contrast(factor: float) -> Apply:
    def apply(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
        return ImageEnhance.Contrast(picture).enhance(factor)

    return apply


def gamma(exponent: float) -> Apply:
    table = [round(255 * (value / 255) ** exponent) for value in range(256)] * 3

    def apply(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
        return picture.point(table)

    return apply


def blur(share: float) -> Apply:
    def apply(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
        return picture.filter(ImageFilter.GaussianBlur(share * max(picture.size)))

    return apply


def noise(sigma: float) -> Apply:
    def apply(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
        values = np.random.default_rng(rng.getrandbits(32)).normal(
            0, sigma, (picture.height, picture.width, 3)
        )
        return Image.fromarray(np.clip(np.asarray(picture) + values, 0, 255).astype(np.uint8))

    return apply


def invert(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
    return ImageOps.invert(picture)


# --- things laid over the picture ---------------------------------------------------------------


def font(height: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(max(8, height))


def text_watermark(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
    """A name of about a fifth of the width, half transparent, somewhere in the lower half."""
    layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    words = rng.choice(("@some_account", "photo by nobody", "www.example.org"))
    face = font(picture.width / 28)
    x = rng.uniform(0.05, 0.7) * picture.width
    y = rng.uniform(0.5, 0.9) * picture.height
    draw.text((x, y), words, font=face, fill=(255, 255, 255, 150))
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def tiled_watermark(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
    """A word repeated all over the picture at 30 degrees, a quarter opaque."""
    side = int(1.5 * max(picture.size))
    layer = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    face = font(picture.width / 18)
    for row in range(0, side, max(20, picture.width // 7)):
        for column in range(0, side, max(40, picture.width // 4)):
            draw.text((column, row), "SAMPLE", font=face, fill=(255, 255, 255, 64))
    layer = layer.rotate(30)
    left, top = (side - picture.width) // 2, (side - picture.height) // 2
    layer = layer.crop((left, top, left + picture.width, top + picture.height))
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def logo(share: float) -> Apply:
    """An opaque badge in one of the corners, its side ``share`` of the picture's shorter side."""

    def apply(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
        changed = picture.copy()
        side = int(share * min(picture.size))
        ground = tuple(rng.randrange(256) for _ in range(3))
        ink = (255, 255, 255) if sum(ground) < 384 else (0, 0, 0)
        badge = Image.new("RGB", (side, side), ground)
        draw = ImageDraw.Draw(badge)
        inset = side // 8
        width = max(1, side // 16)
        draw.ellipse((inset, inset, side - inset, side - inset), outline=ink, width=width)
        draw.text((side * 0.36, side * 0.26), rng.choice("ABKMRS"), font=font(side / 2), fill=ink)
        margin = int(0.01 * min(picture.size))
        left = rng.choice((margin, picture.width - side - margin))
        top = rng.choice((margin, picture.height - side - margin))
        changed.paste(badge, (left, top))
        return changed

    return apply


# --- geometry -----------------------------------------------------------------------------------


def crop(share: float) -> Apply:
    """``share`` of the width cut from left and right, and of the height from top and bottom."""

    def apply(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
        x, y = round(share * picture.width), round(share * picture.height)
        return picture.crop((x, y, picture.width - x, picture.height - y))

    return apply


def crop_one_side(share: float) -> Apply:
    def apply(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
        x, y = round(share * picture.width), round(share * picture.height)
        return picture.crop(
            rng.choice(
                (
                    (x, 0, picture.width, picture.height),
                    (0, y, picture.width, picture.height),
                    (0, 0, picture.width - x, picture.height),
                    (0, 0, picture.width, picture.height - y),
                )
            )
        )

    return apply


Colour = tuple[int, int, int]
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def border(share: float, colour: Colour | None) -> Apply:
    """A frame of ``share`` of the longer side all round; no colour means one by chance."""

    def apply(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
        fill = colour or (rng.randrange(256), rng.randrange(256), rng.randrange(256))
        return ImageOps.expand(picture, max(1, round(share * max(picture.size))), fill)

    return apply


def letterbox(share: float, *, upright: bool = False) -> Apply:
    """Black bars of ``share`` of the height above and below (``upright``: left and right)."""

    def apply(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
        x = round(share * picture.width) if upright else 0
        y = 0 if upright else round(share * picture.height)
        return ImageOps.expand(picture, (x, y, x, y), BLACK)

    return apply


def blurred_letterbox(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
    """Made square on a blurred, enlarged copy of itself, as photo sharing apps do."""
    side = int(1.25 * max(picture.size))
    ground = ImageOps.fit(picture, (side, side)).filter(ImageFilter.GaussianBlur(side / 25))
    ground.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return ground


def rotate(degrees: float) -> Apply:
    """Turned by ``degrees`` one way or the other on a canvas of the same size, corners black."""

    def apply(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
        return picture.rotate(rng.choice((-1, 1)) * degrees, Image.Resampling.BICUBIC)

    return apply


def rotate_and_crop(degrees: float) -> Apply:
    """Turned, and cut to the largest upright rectangle of the same shape without corners."""

    def apply(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
        turned = picture.rotate(rng.choice((-1, 1)) * degrees, Image.Resampling.BICUBIC)
        width, height = picture.size
        sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
        scale = min(
            width / (width * cosine + height * sine), height / (width * sine + height * cosine)
        )
        x, y = int(width * (1 - scale) / 2) + 1, int(height * (1 - scale) / 2) + 1
        return turned.crop((x, y, width - x, height - y))

    return apply


def transposed(method: Image.Transpose) -> Apply:
    def apply(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
        return picture.transpose(method)

    return apply


def perspective(share: float) -> Apply:
    """Each corner drawn in by up to ``share`` of the sides; the result fills the canvas."""

    def apply(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
        width, height = picture.size

        def inset() -> tuple[float, float]:
            return rng.uniform(0, share) * width, rng.uniform(0, share) * height

        (ax, ay), (bx, by), (cx, cy), (dx, dy) = inset(), inset(), inset(), inset()
        source = [(ax, ay), (width - bx, by), (width - cx, height - cy), (dx, height - dy)]
        target = [(0, 0), (width, 0), (width, height), (0, height)]
        rows, values = [], []
        for (tx, ty), (sx, sy) in zip(target, source, strict=True):
            rows += [
                [tx, ty, 1, 0, 0, 0, -sx * tx, -sx * ty],
                [0, 0, 0, tx, ty, 1, -sy * tx, -sy * ty],
            ]
            values += [sx, sy]
        data = np.linalg.solve(np.array(rows, float), np.array(values, float)).tolist()
        return picture.transform(
            picture.size, Image.Transform.PERSPECTIVE, data, Image.Resampling.BICUBIC
        )

    return apply


# --- pictures set into something else -----------------------------------------------------------


def caption(share: float, *, below: bool = False) -> Apply:
    """A white bar with a black line of text above (or below), ``share`` of the height."""

    def apply(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
        bar = round(share * picture.height)
        canvas = Image.new("RGB", (picture.width, picture.height + bar), WHITE)
        canvas.paste(picture, (0, 0 if below else bar))
        words = rng.choice(("when you see it", "nobody: / me on monday", "wait for the end"))
        face = font(min(bar * 0.55, picture.width / 12))
        top = (picture.height if below else 0) + bar * 0.2
        ImageDraw.Draw(canvas).text((picture.width * 0.06, top), words, font=face, fill=BLACK)
        return canvas

    return apply


def screenshot(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
    """The picture as a post on a telephone's screen: status bar, name, picture, buttons, text."""
    dark = rng.random() < 0.5
    ground, ink = ((18, 18, 20), (230, 230, 230)) if dark else (WHITE, (20, 20, 20))
    margin = rng.choice((0, 0.03))
    width = max(360, picture.width)
    shown = ImageOps.contain(picture, (int(width * (1 - 2 * margin)), int(width * 1.4)))
    canvas = Image.new("RGB", (width, int(width * 2.1)), ground)
    draw = ImageDraw.Draw(canvas)
    unit = width / 100
    draw.text((4 * unit, 1.5 * unit), "12:47", font=font(4 * unit), fill=ink)
    draw.rectangle((88 * unit, 2 * unit, 96 * unit, 5 * unit), outline=ink, width=2)
    draw.ellipse((4 * unit, 11 * unit, 14 * unit, 21 * unit), fill=(120, 90, 200))
    draw.text((17 * unit, 12 * unit), "some.account", font=font(4.5 * unit), fill=ink)
    draw.text((17 * unit, 17 * unit), "2 hours ago", font=font(3.2 * unit), fill=(128, 128, 128))
    top = int(25 * unit)
    canvas.paste(shown, ((width - shown.width) // 2, top))
    below = top + shown.height + 3 * unit
    for place in range(3):
        left = (4 + 10 * place) * unit
        draw.ellipse((left, below, left + 6 * unit, below + 6 * unit), outline=ink, width=3)
    for line, words in enumerate(("liked by another.account", "a day at the sea", "view all 12")):
        draw.text((4 * unit, below + (9 + 6 * line) * unit), words, font=font(4 * unit), fill=ink)
    return canvas


def collage(*, left: bool) -> Apply:
    """Side by side with another picture at the same height; ``left`` says where ours is."""

    def apply(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
        width = max(1, round(partner.width * picture.height / partner.height))
        other = partner.resize((width, picture.height), Image.Resampling.BICUBIC)
        canvas = Image.new("RGB", (picture.width + width, picture.height))
        canvas.paste(picture, (0 if left else width, 0))
        canvas.paste(other, (picture.width if left else 0, 0))
        return canvas

    return apply


def collage_stacked(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
    """One above the other with a white gutter between them."""
    height = max(1, round(partner.height * picture.width / partner.width))
    other = partner.resize((picture.width, height), Image.Resampling.BICUBIC)
    gutter = max(4, picture.width // 50)
    canvas = Image.new("RGB", (picture.width, picture.height + gutter + height), WHITE)
    first = rng.random() < 0.5
    canvas.paste(picture, (0, 0 if first else height + gutter))
    canvas.paste(other, (0, picture.height + gutter if first else 0))
    return canvas


def both(*steps: Apply) -> Apply:
    """Several transforms one after the other."""

    def apply(picture: Picture, partner: Picture, rng: random.Random) -> Picture:
        for step in steps:
            picture = step(picture, partner, rng)
        return picture

    return apply


MIRROR = transposed(Image.Transpose.FLIP_LEFT_RIGHT)
FLIP = transposed(Image.Transpose.FLIP_TOP_BOTTOM)

TRANSFORMS: tuple[Transform, ...] = (
    Transform("jpeg-50", "saved as JPEG, quality 50", unchanged, 50),
    Transform("jpeg-20", "saved as JPEG, quality 20", unchanged, 20),
    Transform("jpeg-5", "saved as JPEG, quality 5", unchanged, 5),
    Transform("resize-half", "resized to half", resize(0.5)),
    Transform("resize-128", "resized to 128 pixels", resize_to(128)),
    Transform("resize-64", "resized to 64 pixels", resize_to(64)),
    Transform("squash", "squashed 2:1", squash),
    Transform("grey", "colours removed", grey),
    Transform("brighter", "brightness × 1.4", brightness(1.4)),
    Transform("darker", "brightness × 0.6", brightness(0.6)),
    Transform("contrast", "contrast × 1.6", contrast(1.6)),
    Transform("gamma-0.6", "gamma 0.6", gamma(0.6)),
    Transform("gamma-1.7", "gamma 1.7", gamma(1.7)),
    Transform("blur", "Gaussian blur, sigma 0.5 % of the longer side", blur(0.005)),
    Transform("noise", "Gaussian noise, sigma 20 of 255", noise(20)),
    Transform("text-watermark", "a name laid over it", text_watermark),
    Transform("tiled-watermark", "a word tiled all over it", tiled_watermark),
    Transform("logo-20", "opaque badge of 20 % in a corner", logo(0.20)),
    Transform("logo-35", "opaque badge of 35 % in a corner", logo(0.35)),
    Transform("crop-2", "2 % cut from every side", crop(0.02)),
    Transform("crop-5", "5 % cut from every side", crop(0.05)),
    Transform("crop-10", "10 % cut from every side", crop(0.10)),
    Transform("crop-20", "20 % cut from every side", crop(0.20)),
    Transform("border-2", "white border of 2 %", border(0.02, WHITE)),
    Transform("border-5", "black border of 5 %", border(0.05, BLACK)),
    Transform("border-10", "white border of 10 %", border(0.10, WHITE)),
    Transform("border-10-colour", "coloured border of 10 %", border(0.10, None)),
    Transform("letterbox-15", "black bars of 15 % above and below", letterbox(0.15)),
    Transform("rotate-1", "turned by 1°, black corners", rotate(1)),
    Transform("rotate-2", "turned by 2°, black corners", rotate(2)),
    Transform("rotate-5", "turned by 5°, black corners", rotate(5)),
    Transform("rotate-90", "turned by 90°", transposed(Image.Transpose.ROTATE_90)),
    Transform("rotate-180", "turned by 180°", transposed(Image.Transpose.ROTATE_180)),
    Transform("rotate-270", "turned by 270°", transposed(Image.Transpose.ROTATE_270)),
    Transform("mirror", "mirrored", MIRROR),
    Transform("flip", "upside down, mirrored", FLIP),
    Transform("perspective-5", "corners drawn in by up to 5 %", perspective(0.05)),
    Transform("caption-20", "meme caption of 20 % above", caption(0.20)),
    Transform("screenshot", "screenshot of a post on a telephone", screenshot),
    Transform("collage-left", "left half of a side-by-side collage", collage(left=True)),
    Transform("collage-right", "right half of a side-by-side collage", collage(left=False)),
    Transform("invert", "colours inverted", invert),
)
"""The 42 rows that the mean is taken over."""

EXTRAS: tuple[Transform, ...] = (
    Transform(
        "resize+mirror+border",
        "resized to 60 %, mirrored, white border of 4 %, JPEG quality 60",
        both(resize(0.6), MIRROR, border(0.04, WHITE)),
        60,
    ),
    Transform(
        "letterbox+rotate-180",
        "black bars of 12 %, turned by 180°",
        both(letterbox(0.12), transposed(Image.Transpose.ROTATE_180)),
    ),
    Transform("pillarbox", "black bars of 20 % left and right", letterbox(0.20, upright=True)),
    Transform("blurred-letterbox", "made square on a blurred copy of itself", blurred_letterbox),
    Transform(
        "caption-below", "caption of 14 % below, JPEG quality 40", caption(0.14, below=True), 40
    ),
    Transform("caption+mirror", "mirrored, caption of 25 % above", both(MIRROR, caption(0.25))),
    Transform("screenshot+mirror", "mirrored, then a screenshot", both(MIRROR, screenshot)),
    Transform("crop-3+jpeg-30", "3 % cut from every side, JPEG quality 30", crop(0.03), 30),
    Transform("crop-7", "7 % cut from every side", crop(0.07)),
    Transform("crop-side-10", "10 % cut from one side", crop_one_side(0.10)),
    Transform("crop-5+mirror", "5 % cut from every side, mirrored", both(crop(0.05), MIRROR)),
    Transform("rotate-1.5-cut", "turned by 1.5°, corners cut away", rotate_and_crop(1.5)),
    Transform("rotate-3.3", "turned by 3.3°, black corners", rotate(3.3)),
    Transform("rotate-3.3-cut", "turned by 3.3°, corners cut away", rotate_and_crop(3.3)),
    Transform(
        "logo-27+border",
        "badge of 27 %, white border of 3 %",
        both(logo(0.27), border(0.03, WHITE)),
    ),
    Transform("stacked", "stacked with another picture, white gutter", collage_stacked),
    Transform(
        "collage+mirror", "mirrored, right half of a collage", both(MIRROR, collage(left=False))
    ),
    Transform("invert+mirror", "inverted and mirrored", both(invert, MIRROR)),
    Transform("thin-border", "black line of half a percent all round", border(0.005, BLACK)),
    Transform(
        "noise+border+watermark",
        "noise of 12, a name laid over, grey border of 6 %",
        both(noise(12), text_watermark, border(0.06, (128, 128, 128))),
    ),
)
"""Combinations, and parameters between the others: shown, and counted in no mean."""
