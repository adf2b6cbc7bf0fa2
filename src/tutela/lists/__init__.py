"""Lists: what is known, from whom, for which purpose, and what it may do.

``Lists`` is the service; the other names are what it takes and gives.
"""

from .editing import Hooks
from .formats import FORMATS, ReadOptions
from .index import Index
from .matching import HashQuery
from .records import (
    OWN_SOURCE,
    Edit,
    ImportReport,
    ListEvent,
    ListInfo,
    ListVersion,
    Refusal,
    StoredSignal,
)
from .service import SELFTEST_LIST, Lists
from .signals import parse_hash, signal_of_media
from .status import ListState, Protection

__all__ = [
    "FORMATS",
    "OWN_SOURCE",
    "SELFTEST_LIST",
    "Edit",
    "HashQuery",
    "Hooks",
    "ImportReport",
    "Index",
    "ListEvent",
    "ListInfo",
    "ListState",
    "ListVersion",
    "Lists",
    "Protection",
    "ReadOptions",
    "Refusal",
    "StoredSignal",
    "parse_hash",
    "signal_of_media",
]
