"""Run by Alembic: migrate over the connection that we were handed, in its transaction."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

import tutela.store.tables  # noqa: F401  fills the metadata
from tutela.store import metadata as types
from tutela.store.metadata import metadata


def render_item(kind: str, item: Any, autogenerate: AutogenContext) -> str | Literal[False]:
    """Write our own column types by their names, so that a revision serves both databases."""
    if kind == "type":
        for name in ("UtcTime", "Json"):
            if isinstance(item, getattr(types, name)):
                autogenerate.imports.add("from tutela.store import metadata as types")
                return f"types.{name}()"
        if item is types.RowId:
            autogenerate.imports.add("from tutela.store import metadata as types")
            return "types.RowId"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_item=render_item,
    include_object=context.config.attributes.get("include_object"),
    compare_type=True,
    transactional_ddl=False,
)
context.run_migrations()
