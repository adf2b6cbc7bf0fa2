"""Looking for a word in bytes that have no pattern."""

from __future__ import annotations

import numpy as np


def positions(data: bytes, word: bytes) -> list[int]:
    """Where a word occurs: several times faster than ``bytes.find`` on what has no pattern."""
    letters = np.frombuffer(data, np.uint8)
    if len(letters) < len(word):
        return []
    found = np.flatnonzero(letters[: len(letters) - len(word) + 1] == word[0])
    for offset in range(1, len(word)):
        found = found[letters[found + offset] == word[offset]]
    return [int(at) for at in found]
