"""Where in a film a frame stands, in seconds that only grow.

Files may put together pieces whose timestamps begin anew (MPEG transport streams do so at every
cut; ISO/IEC 13818-1, 2.4.3.5 "discontinuity"). Players go on; so does this clock.
"""

from __future__ import annotations

from fractions import Fraction

USUAL_RATE = 25.0
"""Frames a second where the file does not say."""
LEAST_STEP = 1e-7
"""Seconds: less than this is no step, but what adding numbers costs."""


class FilmClock:
    """Timestamps in, seconds since the first frame out. Frames must come in the order shown."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._step = 1 / rate if rate else 1 / USUAL_RATE
        self._shift: float | None = None
        self._last: float | None = None

    def at(self, stamp: int | None, base: Fraction | None, number: int) -> float:
        """When frame ``number`` is shown. A stamp that does not go on restarts the clock there:
        the frame then stands one frame behind the last."""
        if stamp is None or not base:
            return number / self._rate if self._rate else float(number)
        raw = float(stamp * base)
        if self._shift is None:
            self._shift = -raw
        at = raw + self._shift
        if self._last is not None and at - self._last < LEAST_STEP:
            self._shift += self._last + self._step - at
            at = self._last + self._step
        self._last = max(at, 0.0)
        return self._last

    def again(self) -> None:
        """The frames that follow were seen before: their stamps go back, the clock does not."""
        self._last = None
