"""The data folder: made where it is missing, and named where it cannot be."""

from __future__ import annotations

from pathlib import Path

from tutela.errors import InvalidSetting, TutelaError

from .faults import FULL_ERRNOS, storage_full


def make_data_folder(path: Path) -> None:
    """Make the data folder (0700) with those above it, if it is not there.

    Raises ``InvalidSetting`` naming it and the cause, ``StorageFull``.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise unusable(path, "it is a file, not a folder") from None
    except OSError as error:
        raise cannot(path, error) from error


def cannot(path: Path, error: OSError) -> TutelaError:
    """Our error for what the system said about a path of the data folder."""
    if error.errno in FULL_ERRNOS:
        return storage_full(f"{path} cannot be written: the disk is full.")
    return unusable(path, error.strerror or type(error).__name__)


def unusable(path: Path, why: str) -> InvalidSetting:
    """The error that names the path and the cause."""
    return InvalidSetting(
        f"{path} cannot be used: {why}.",
        kept="Nothing was changed.",
        next_step="Name another data folder with TUTELA_DATA_DIR, or correct this one's rights.",
    )
