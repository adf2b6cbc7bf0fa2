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
    name: str, reader: BinaryIO, budget: Budget, faults: list[Fault]
) -> Generator[Member]:
    """The members of a container of the sniffed format ``name``.

    Faults of the container as a whole are appended to ``faults``; those of a member are the
    member's. Each member's bytes are freed when the next is asked for. Raises ``OverLimit``.
    """
    try:
        for label, chunks in _contents(name, reader, budget, faults):
            budget.member()
            member = unpack(clean_name(label), chunks, budget)
            try:
                yield member
            finally:
                member.close()
    except BadMember as bad:
        faults.append(Fault(kind=bad.kind, detail=bad.detail))


def _contents(
    name: str, reader: BinaryIO, budget: Budget, faults: list[Fault]
) -> Iterator[tuple[str, Iterator[bytes]]]:
    reader.seek(0)
    if name == APPENDED:
        yield from appended.members(reader)
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
    found = zips.local_entries(reader) if directory is None else zips.entries(reader, directory)
    if directory is None and reader.seek(0, 2) > zips.END.size:
        faults.append(
            Fault(kind=FaultKind.TRUNCATED, detail="The archive's table of contents is missing.")
        )
    for entry in found:
        budget.entry()
        if not zips.is_folder(entry):
            yield entry.name, zips.content(reader, entry)
