"""TAR archives (ustar, GNU, pax), read member by member in the order in which they lie."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from tutela.core import FaultKind
from tutela.settings import MIB

from .appended import behind
from .member import BadMember, read_chunks
from .signatures import is_tar

if TYPE_CHECKING:
    from .budget import Budget

BLOCK = 512
"""Bytes of a tar's headers and of its padding."""


def members(reader: BinaryIO, budget: Budget) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Names and contents of all regular members. Raises ``BadMember`` where reading on fails."""
    try:
        archive = tarfile.open(fileobj=reader, mode="r:", errorlevel=1)  # noqa: SIM115  # closing it is the reader's affair
        while (info := archive.next()) is not None:
            budget.entry()
            if info.isreg() or info.issparse():
                yield info.name, _content(archive, info)
        yield from _rest(reader, archive.offset)
    except tarfile.TarError as error:
        raise BadMember(FaultKind.DAMAGED, "The archive is damaged.") from error
    except (OSError, ValueError, EOFError, OverflowError) as error:
        raise BadMember(FaultKind.DAMAGED, "The archive is damaged.") from error


def _rest(reader: BinaryIO, start: int) -> Iterator[tuple[str, Iterator[bytes]]]:
    """What lies behind the last member: zeros, by the rule. Another archive is opened as one.

    Readers that go on after a damaged header, or after zeros, show what lies there.
    """
    reader.seek(start)
    at = start
    while chunk := reader.read(MIB):
        rest = chunk.lstrip(b"\0")
        if rest:
            at += (len(chunk) - len(rest)) // BLOCK * BLOCK
            break
        at += len(chunk)
    else:
        return
    reader.seek(at)
    joined = is_tar(reader.read(BLOCK), 0)
    yield from behind(reader, at)
    if not joined:
        raise BadMember(FaultKind.DAMAGED, "The archive is damaged, or more lies behind its end.")


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[bytes]:
    try:
        stream = archive.extractfile(info)
        if stream is None:
            return
        with stream:
            yield from read_chunks(stream)
    except tarfile.ReadError as error:
        raise BadMember(FaultKind.TRUNCATED, "This member ends too early.") from error
    except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
        raise BadMember(FaultKind.DAMAGED, "This member is damaged.") from error
