"""The policy in force: rules, allow list and brakes behind the one function ``decide``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from tutela.core import Finding, Ruling
from tutela.errors import InvalidPolicy

from .allow_lists import AllowList
from .brakes import BrakeCounters
from .context import Context
from .decide import decide
from .loading import parse
from .rules import RuleSet

PACKAGED = ("default", "strict")
"""Policies that come with Tutela, by the name under which ``load`` finds them."""


class Policy:
    """The policy in force. Immutable but for ``allow_list``, which is replaced as a whole."""

    def __init__(
        self,
        rules: RuleSet,
        *,
        brakes: BrakeCounters | None = None,
        allow_list: AllowList | None = None,
    ) -> None:
        self.rules = rules
        self.brakes = brakes
        self.allow_list = allow_list or AllowList()

    @classmethod
    def load(
        cls,
        path: Path | str | None,
        *,
        brakes: BrakeCounters | None = None,
        allow_list: AllowList | None = None,
    ) -> Policy:
        """The policy of a TOML file, of a packaged name (``default``, ``strict``), or, for None or
        an empty text, the default one. Raises ``InvalidPolicy`` pointing at the line."""
        return cls(load_rules(path), brakes=brakes, allow_list=allow_list)

    @classmethod
    def default(
        cls, *, brakes: BrakeCounters | None = None, allow_list: AllowList | None = None
    ) -> Policy:
        """The default policy, right for most."""
        return cls.load(None, brakes=brakes, allow_list=allow_list)

    @property
    def version(self) -> str:
        """Name and digest of the rules' text; goes into every decision."""
        return self.rules.version

    def decide(self, findings: Sequence[Finding], context: Context) -> Ruling:
        """The ruling on one item's findings.

        Pure and quick (under 100 µs without findings) but where a block is about to happen: then
        the brakes count it, in the database where there are several processes. Raises what that
        store raises (``StoreUnavailable``); no rule, finding or context makes it raise otherwise.
        """
        allowed = self.allow_list.waves(findings, context) if findings else None
        return decide(self.rules, findings, context, allowed=allowed, brakes=self.brakes)


def load_rules(path: Path | str | None) -> RuleSet:
    """The rules of a file or packaged policy; see ``Policy.load``."""
    name = str(path) if path else "default"
    if name in PACKAGED:
        text = resources.files(__package__).joinpath(f"{name}.toml").read_text("utf-8")
        return parse(text, origin=name)
    try:
        text = Path(name).read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise InvalidPolicy(
            f"The policy file {name} cannot be read: {why}.",
            next_step="Correct the setting policy.file.",
        ) from error
    return parse(text, origin=name)
