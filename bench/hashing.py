"""Decoding and PDQ of pictures on one core, beside threatexchange's hasher in the same run.

Pictures are JPEGs composed of the photos that scikit-image packages, with a camera's grain, at
0.3, 2 and 12 megapixels. Both sides start from the file's bytes and end with hash and quality.
Also measured: how far the default mode (luma) lies from the reference, and which true pairs it
gains or loses at distance 31 over copies that were resized, recompressed and otherwise edited.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np
import skimage.data
from PIL import Image, ImageEnhance, ImageFilter
from threatexchange.signal_type.pdq.pdq_hasher import pdq_from_bytes

from tutela.core import HashMode, Pdq
from tutela.hashing import pdq
from tutela.hashing.pictures import PictureLimits, open_pictures
from tutela.hashing.sniff import HEAD_BYTES, sniff

from ._report import QUICK, Report, side_by_side

SIZES = {"0.3mp": (640, 480), "2mp": (1632, 1224), "12mp": (4000, 3000)}
BARS = {"2mp": 8.0, "12mp": 14.0}
IDENTICAL_BAR = 4.5
LIMITS = PictureLimits()
RADIUS = 31
MIN_QUALITY = 50


def photos() -> list[Image.Image]:
    """The photos that scikit-image carries in its package."""
    names = ("astronaut", "coffee", "chelsea", "rocket")
    return [Image.fromarray(np.ascontiguousarray(getattr(skimage.data, n)())) for n in names]


def jpeg(image: Image.Image, quality: int = 85) -> bytes:
    """The picture as a JPEG with the usual colour sampling."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def composed(size: tuple[int, int], number: int) -> Image.Image:
    """A picture of some size: four photos side by side, about as sharp as a phone's."""
    width, height = size
    sheet = Image.new("RGB", size)
    for k, photo in enumerate(photos()[number % 4 :] + photos()[: number % 4]):
        part = photo.resize((width // 2, height // 2), Image.Resampling.BICUBIC)
        sheet.paste(part, ((k % 2) * width // 2, (k // 2) * height // 2))
    grain = np.random.default_rng(number).normal(0, 3.0, (height, width, 1))
    return Image.fromarray(np.clip(np.asarray(sheet) + grain, 0, 255).astype(np.uint8))


def tutela_hash(data: bytes, mode: HashMode) -> Pdq:
    """What Tutela does between a file's bytes and its PDQ."""
    canvas = next(
        open_pictures(io.BytesIO(data), sniff(data[:HEAD_BYTES]), mode=mode, limits=LIMITS)
    )
    return canvas.spectrum(exact=mode is HashMode.IDENTICAL).pdq()


def speed(report: Report) -> None:
    """The ratios to threatexchange at each size."""
    for name, size in SIZES.items():
        files = [jpeg(composed(size, number)) for number in range(2 if QUICK else 4)]
        rounds = 3 if name == "12mp" else 7
        totals = np.zeros(3)
        for data in files:
            totals += side_by_side(
                [
                    lambda data=data: pdq_from_bytes(data),
                    lambda data=data: tutela_hash(data, HashMode.LUMA),
                    lambda data=data: tutela_hash(data, HashMode.IDENTICAL),
                ],
                rounds=1 if QUICK else rounds,
            )
        peer, luma, identical = totals / len(files) * 1000
        report.figure(
            f"hashing-{name}-ms",
            f"{luma:.2f} ms luma, {identical:.2f} ms identical, {peer:.1f} ms threatexchange;"
            f" files of {sum(map(len, files)) // len(files) // 1000} kB",
        )
        if name in BARS:
            report.ratio(f"hashing-{name}-luma-vs-threatexchange", peer / luma, BARS[name])
            report.ratio(
                f"hashing-{name}-identical-vs-threatexchange", peer / identical, IDENTICAL_BAR
            )
        else:
            report.figure(f"hashing-{name}-luma-vs-threatexchange", f"{peer / luma:.1f} times")


def kernel(report: Report) -> None:
    """The kernel alone, without decoding."""
    pixels = np.asarray(composed(SIZES["2mp"], 0))
    luma = np.asarray(Image.fromarray(pixels).convert("L"))
    from_luma, from_rgb = side_by_side(
        [lambda: pdq.spectrum_from_luma(luma).pdq(), lambda: pdq.spectrum_from_rgb(pixels).pdq()],
        rounds=50,
    )
    report.figure(
        "hashing-2mp-kernel-ms",
        f"{from_luma * 1000:.3f} ms from luma, {from_rgb * 1000:.3f} ms from RGB (identical bits)",
    )


EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "same": lambda image: image,
    "half": lambda image: image.resize((image.width // 2, image.height // 2)),
    "third": lambda image: image.resize((image.width // 3, image.height // 3)),
    "blur": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
    "bright": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.6),
    "colour": lambda image: ImageEnhance.Color(image).enhance(2.0),
    "crop-1": lambda image: cropped(image, 0.01),
    "crop-2": lambda image: cropped(image, 0.02),
    "crop-3": lambda image: cropped(image, 0.03),
    "turn-1": lambda image: image.rotate(1, Image.Resampling.BICUBIC),
    "border-1": lambda image: bordered(image, 0.01),
}
"""Edits that move a hash by little to about the radius, where a bit more or less decides."""


def cropped(image: Image.Image, share: float) -> Image.Image:
    """The picture without ``share`` of it on each side."""
    x, y = int(image.width * share), int(image.height * share)
    return image.crop((x, y, image.width - x, image.height - y))


def bordered(image: Image.Image, share: float) -> Image.Image:
    """The picture with a black border of ``share`` on each side."""
    x, y = int(image.width * share), int(image.height * share)
    out = Image.new("RGB", (image.width + 2 * x, image.height + 2 * y))
    out.paste(image, (x, y))
    return out


def originals(count: int) -> Iterator[Image.Image]:
    """Parts of the photos, enlarged to usual sizes."""
    random = np.random.default_rng(7)
    sources = photos()
    for number in range(count):
        source = sources[number % len(sources)]
        width = int(random.integers(source.width // 3, source.width))
        height = int(random.integers(source.height // 3, source.height))
        x = int(random.integers(0, source.width - width + 1))
        y = int(random.integers(0, source.height - height + 1))
        part = source.crop((x, y, x + width, y + height))
        scale = float(random.uniform(1.0, 2.5))
        yield part.resize((int(width * scale), int(height * scale)), Image.Resampling.LANCZOS)


def agreement(report: Report) -> None:
    """How far luma mode lies from the reference, and what that does to true pairs at 31."""
    apart: list[int] = []
    pairs = found = lost = gained = 0
    for image in originals(20 if QUICK else 150):
        listed = pdq.spectrum_from_rgb(np.asarray(image)).pdq().bits
        for edit in EDITS.values():
            for quality in (50, 85):
                data = jpeg(edit(image), quality)
                luma = tutela_hash(data, HashMode.LUMA)
                same = tutela_hash(data, HashMode.IDENTICAL)
                if same.quality < MIN_QUALITY:
                    continue
                apart.append(pdq.distance(luma.bits, same.bits))
                by_luma = pdq.distance(luma.bits, listed) <= RADIUS
                by_same = pdq.distance(same.bits, listed) <= RADIUS
                pairs += 1
                found += by_same
                lost += by_same and not by_luma
                gained += by_luma and not by_same
    report.figure(
        "hashing-luma-bits-apart",
        f"{np.mean(apart):.2f} bits from the reference on average, 99 % within"
        f" {np.percentile(apart, 99):.0f}, at most {max(apart)} ({len(apart)} JPEGs)",
    )
    report.figure(
        "hashing-luma-pairs-lost",
        f"{lost / found:.4%} of {found} pairs that identical mode finds at 31 ({lost})",
    )
    report.figure(
        "hashing-luma-pairs-gained",
        f"{gained / found:.4%} more found than identical mode does ({gained} of {pairs})",
    )


def main() -> int:
    """Run it all. Returns the exit code."""
    pdq.warm_up()
    report = Report()
    kernel(report)
    speed(report)
    agreement(report)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
