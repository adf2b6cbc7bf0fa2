"""Files inside files: ZIP, TAR, gzip, bzip2, xz, PDF, and pictures written into text.

``open_members`` gives what one container holds, one member at a time, within the upload's budget.
Names are labels: nothing is ever written under them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import BinaryIO

from tutela.core import Fault, FaultKind

from . import appended, inline, pdfs, tars, zips
from .budget import Budget, OverLimit
from .compressed import decompress
from .member import BadMember, Member, below, clean_name, read_chunks, unpack

__all__ = ["APPENDED", "TEXTS", "Budget", "Member", "OverLimit", "below", "open_members"]

APPENDED = "appended"
"""Not a format: what is hidden or kept behind the end of another file."""
COMPRESSED = {"gzip": "gzip", "bz2": "bzip2", "xz": "xz"}
TEXTS = frozenset({"svg", "html", "text"})
"""Text in which pictures may be written as ``data:`` URIs."""


def open_members(
    name: str, reader: BinaryIO, budget: Budget, faults: list[Fault], *, form: str = ""
) -> Generator[Member]:
    """The members of a container of the sniffed format ``name``.

    With ``APPENDED``, ``form`` says in a file of which format to look for what does not belong.

    Faults of the container as a whole are appended to ``faults``; those of a member are the
    member's. Each member's bytes are freed when the next is asked for. Raises ``OverLimit``.
    """
    try:
        for label, chunks in _contents(name, form, reader, budget, faults):
            budget.member()
            member = unpack(clean_name(label), chunks, budget)
            try:
                yield member
            finally:
                member.close()
    except BadMember as bad:
        faults.append(Fault(kind=bad.kind, detail=bad.detail))


def _contents(
    name: str, form: str, reader: BinaryIO, budget: Budget, faults: list[Fault]
) -> Iterator[tuple[str, Iterator[bytes]]]:
    reader.seek(0)
    if name == APPENDED:
        yield from appended.members(reader, form)
    elif name == "zip":
        yield from _zip(reader, budget, faults)
    elif name == "tar":
        yield from tars.members(reader, budget)
    elif name in COMPRESSED:
        yield "content", decompress(COMPRESSED[name], read_chunks(reader), joined=True)
    elif name == "pdf":
        yield from pdfs.members(reader, budget)
    elif name in TEXTS:
        yield from inline.members(reader)
    else:
        raise BadMember(FaultKind.UNSUPPORTED, f"Files of the format {name} cannot be opened.")


def _zip(
    reader: BinaryIO, budget: Budget, faults: list[Fault]
) -> Iterator[tuple[str, Iterator[bytes]]]:
    directory = zips.find_directory(reader)
    if directory is None:
        if reader.seek(0, 2) > zips.END.size:
            detail = "The archive's table of contents is missing."
            faults.append(Fault(kind=FaultKind.TRUNCATED, detail=detail))
        for entry in zips.local_entries(reader):
            budget.entry()
            if not zips.is_folder(entry):
                yield entry.name, zips.content(reader, entry)
        return
    known: list[tuple[int, int]] = []
    damage: BadMember | None = None
    try:
        for entry in zips.entries(reader, directory):
            budget.entry()
            known.append(zips.extent(reader, entry))
            if not zips.is_folder(entry):
                yield entry.name, zips.content(reader, entry)
    except BadMember as bad:
        damage = bad  # what the table does not name any more is found between the members
    for start, end in zips.gaps(known, directory.start):
        for entry in zips.local_entries(reader, start, end):
            budget.entry()
            if not zips.is_folder(entry):
                yield entry.name, zips.content(reader, entry)
    yield from appended.behind(reader, directory.end)
    if damage is not None:
        raise damage
