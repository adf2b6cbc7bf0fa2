"""Commands that look at what is there do not make it: the data folder must exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tutela.errors import NotFound

if TYPE_CHECKING:
    from tutela.settings import Settings


def require_data(settings: Settings) -> None:
    """Raises ``NotFound`` where the data folder is missing, or has no database where it should."""
    folder = settings.data_dir
    in_folder = not settings.store.database_url.get_secret_value()
    if folder.is_dir() and (not in_folder or (folder / "tutela.db").exists()):
        return
    what = f"There is no data folder {folder}."
    if folder.is_dir():
        what = f"The folder {folder} holds no Tutela."
    raise NotFound(
        what,
        kept="Nothing was changed.",
        next_step="Set TUTELA_DATA_DIR to the one you mean; 'tutela lists create' or 'tutela "
        "serve' make a new one.",
    )
