"""TAR archives (ustar, GNU, pax), read member by member in the order in which they lie."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from tutela.core import FaultKind

from .member import BadMember, read_chunks

if TYPE_CHECKING:
    from .budget import Budget


def members(reader: BinaryIO, budget: Budget) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Names and contents of all regular members. Raises ``BadMember`` where reading on fails."""
    try:
        archive = tarfile.open(fileobj=reader, mode="r:", errorlevel=1)  # noqa: SIM115  # closing it is the reader's affair
        while (info := archive.next()) is not None:
            budget.entry()
            if info.isreg() or info.issparse():
                yield info.name, _content(archive, info)
    except tarfile.TarError as error:
        raise BadMember(FaultKind.DAMAGED, "The archive is damaged.") from error
    except (OSError, ValueError, EOFError, OverflowError) as error:
        raise BadMember(FaultKind.DAMAGED, "The archive is damaged.") from error


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
