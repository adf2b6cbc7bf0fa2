"""What verifying found, in places that a person can go to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MOST_PROBLEMS = 100
"""Problems told one by one; more are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that does not hold.

    ``where`` is a file of the ledger's folder (with the hash or entry in it) or a row of the
    database; ``entry`` the number of the ledger's entry and ``subject`` what it is about (the
    decision's id), where that can be told.
    """

    where: str
    what: str
    entry: int | None = None
    subject: str | None = None

    def __str__(self) -> str:
        about = [] if self.entry is None else [f"entry {self.entry}"]
        about += [self.subject] if self.subject is not None else []
        place = f"{self.where} ({', '.join(about)})" if about else self.where
        return f"{place}: {self.what}"


@dataclass(slots=True)
class Findings:
    """Collects problems; keeps the first ``MOST_PROBLEMS`` and counts all."""

    problems: list[Problem] = field(default_factory=list)
    count: int = 0

    def add(
        self, where: str, what: str, *, entry: int | None = None, subject: str | None = None
    ) -> None:
        """Notes one problem, once."""
        problem = Problem(where=where, what=what, entry=entry, subject=subject)
        if problem in self.problems:
            return
        self.count += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of verifying a ledger.

    ``size`` and ``root`` (hex) are those of the signed checkpoint, ``key`` the public key it was
    verified with; ``files`` counts files read. With a database: ``opened`` entries were
    compared with what they commit to, ``erased`` ones no longer can be, ``waiting`` ones are not
    published yet.
    """

    problems: tuple[Problem, ...]
    count: int
    origin: str = ""
    key: str = ""
    size: int = 0
    root: str = ""
    files: int = 0
    database: bool = False
    opened: int = 0
    erased: int = 0
    waiting: int = 0

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return self.count == 0

    def plain(self) -> dict[str, Any]:
        """JSON-ready."""
        from tutela.core import as_plain

        plain: dict[str, Any] = as_plain(self)
        return {"ok": self.ok, **plain}
