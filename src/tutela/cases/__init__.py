"""Cases: the evidence vault, the custody log and the end of retention.

The names below are loaded when they are first used: the opener, which alone reads the vault's
key, is started from this package and must load nothing of the rest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tutela.cases.check import CheckReport, Trouble, check_vault
    from tutela.cases.custody import Action
    from tutela.cases.retention import Retention, Swept, keep_until
    from tutela.cases.sealing import Sealed
    from tutela.cases.vault import Vault

_WHERE = {
    "Action": "custody",
    "CheckReport": "check",
    "Retention": "retention",
    "Sealed": "sealing",
    "Swept": "retention",
    "Trouble": "check",
    "Vault": "vault",
    "check_vault": "check",
    "keep_until": "retention",
}

__all__ = [
    "Action",
    "CheckReport",
    "Retention",
    "Sealed",
    "Swept",
    "Trouble",
    "Vault",
    "check_vault",
    "keep_until",
]


def __getattr__(name: str) -> Any:
    """Load a public name's module at its first use (PEP 562)."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
