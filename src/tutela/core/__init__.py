"""The words of Tutela as frozen, validated values. No I/O happens here.

Everything inside the house speaks in these types; entrances turn requests into them and turn
them into answers. See the table of words in the documentation.
"""

from .account import Account, AgeBand, AgeSource
from .clock import utc_now
from .decision import Decision, Effect, EffectKind, Outcome, Ruling, as_plain
from .finding import Finding, FindingKind, ListRef, SignalRef
from .hashes import (
    Digests,
    Fault,
    FaultKind,
    FrameHash,
    HashMode,
    HashType,
    Media,
    MediaKind,
    Pdq,
    PictureHash,
    ViewHash,
)
from .ids import new_id
from .item import Item, ItemKind
from .signal import ListMode, Opinion, Purpose, Signal, SignalHash, SignalState

__all__ = [
    "Account",
    "AgeBand",
    "AgeSource",
    "Decision",
    "Digests",
    "Effect",
    "EffectKind",
    "Fault",
    "FaultKind",
    "Finding",
    "FindingKind",
    "FrameHash",
    "HashMode",
    "HashType",
    "Item",
    "ItemKind",
    "ListMode",
    "ListRef",
    "Media",
    "MediaKind",
    "Opinion",
    "Outcome",
    "Pdq",
    "PictureHash",
    "Purpose",
    "Ruling",
    "Signal",
    "SignalHash",
    "SignalRef",
    "SignalState",
    "ViewHash",
    "as_plain",
    "new_id",
    "utc_now",
]
