"""Policy: a pure function from findings and context to one ruling.

Rules are data (TOML with CEL conditions), tried in dry run before they go live, tested beside
themselves, replayable against the past, and braked. What no rule can do is in ``limits.py``.
"""

from .allow_lists import AllowEntry, AllowList
from .allow_store import AllowLists, KeptEntry
from .brake_store import DatabaseBrakes
from .brakes import Alarm, BrakeCounters, MemoryBrakes, Pulled
from .context import Context
from .desk import PolicyDesk
from .policy import Policy, load_rules
from .rules import Brake, Rule, RuleSet

__all__ = [
    "Alarm",
    "AllowEntry",
    "AllowList",
    "AllowLists",
    "Brake",
    "BrakeCounters",
    "Context",
    "DatabaseBrakes",
    "KeptEntry",
    "MemoryBrakes",
    "Policy",
    "PolicyDesk",
    "Pulled",
    "Rule",
    "RuleSet",
    "load_rules",
]
